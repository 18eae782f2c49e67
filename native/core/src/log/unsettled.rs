//! A file that says: this log may have forgotten what its member acknowledged, and the others have not settled it yet
//! (rule L2). What is lost leaves no trace in a log that was cut, so the file is durable before the cut.

use super::disk::{Disk, DiskFile};
use super::LogError;
use std::io;

const NAME: &str = "UNSETTLED";

pub(super) fn is_set(names: &[String]) -> bool {
    names.iter().any(|name| name == NAME)
}

/// On disk when it returns. Twice does no harm.
pub(super) fn set<D: Disk>(disk: &D) -> Result<(), LogError> {
    let file = match disk.create(NAME) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(NAME),
        created => created,
    };
    let file = file.map_err(LogError::space("create", NAME))?;
    file.sync_data().map_err(LogError::space("sync", NAME))?;
    disk.sync_dir().map_err(LogError::space("sync", "the directory"))
}

/// The others have settled what the log may have lost: removes the mark durably. Twice does no harm.
pub fn clear_unsettled<D: Disk>(disk: &D) -> Result<(), LogError> {
    let names = disk.list().map_err(LogError::io("list", "the directory"))?;
    if is_set(&names) {
        disk.remove(NAME).map_err(LogError::io("remove", NAME))?;
    }
    disk.sync_dir().map_err(LogError::io("sync", "the directory"))
}
