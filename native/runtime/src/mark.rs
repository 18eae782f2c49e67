//! A file that says: the log's tail was cut off here, and what it held is not settled yet (rule L2). Recovery finds the
//! log whole the next time; this is what remembers.
//!
//! Left open: a crash between the cut and the first `set` forgets it. The mark belongs before the cut, and gets there
//! with the repair of damaged records.

use std::io;
use vexfs_core::log::Disk;

const NAME: &str = "UNSETTLED";

pub fn is_set<D: Disk>(disk: &D) -> io::Result<bool> {
    Ok(disk.list()?.iter().any(|name| name == NAME))
}

/// On disk when it returns; twice does no harm.
pub fn set<D: Disk>(disk: &D) -> io::Result<()> {
    if !is_set(disk)? {
        disk.create(NAME)?;
    }
    disk.sync_dir()
}

pub fn clear<D: Disk>(disk: &D) -> io::Result<()> {
    disk.remove(NAME)?;
    disk.sync_dir()
}
