//! Space that is kept back for a full disk (rule L6): given to the file system when it runs out, so that the small writes
//! which report it, seal segments and save snapshots still find room.

use super::disk::{Disk, DiskFile};
use super::layout::UNFINISHED_SUFFIX;
use super::spare::zero;
use super::LogError;

const NAME: &str = "RESERVE";

pub(super) struct Reserve {
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Takes over the file that is there, or makes one. A full disk is no error here.
    pub fn open<D: Disk>(disk: &D, bytes: u64) -> Result<Self, LogError> {
        let names = disk.list().map_err(LogError::io("list", "the directory"))?;
        let unfinished = format!("{NAME}{UNFINISHED_SUFFIX}");
        let mut reserve = Self { bytes, held: false };
        for name in names.iter().filter(|name| **name == NAME || **name == unfinished) {
            let file = disk.open(name).map_err(LogError::io("open", name))?;
            let fits = name == NAME && bytes > 0 && file.len().map_err(LogError::io("read", name))? == bytes;
            match fits {
                true => reserve.held = true,
                false => disk.remove(name).map_err(LogError::io("remove", name))?,
            }
        }
        reserve.restore(disk)?;
        Ok(reserve)
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Gives the space back. What cannot be removed stays, and is tried again the next time.
    pub fn give_back<D: Disk>(&mut self, disk: &D) {
        self.held = self.held && !remove_reserve(disk);
    }

    /// Makes the file if it is not there; true if it stands, false if the disk is too full for it.
    pub fn restore<D: Disk>(&mut self, disk: &D) -> Result<bool, LogError> {
        if self.held || self.bytes == 0 {
            return Ok(self.held);
        }
        let unfinished = format!("{NAME}{UNFINISHED_SUFFIX}");
        match make(disk, &unfinished, self.bytes) {
            Ok(()) => self.held = true,
            Err(error) => {
                let _ = disk.remove(&unfinished);
                if !matches!(error, LogError::Full { .. }) {
                    return Err(error);
                }
            }
        }
        Ok(self.held)
    }
}

/// False where there is none, or it cannot be removed.
pub(super) fn remove_reserve<D: Disk>(disk: &D) -> bool {
    let removed = disk.remove(NAME).is_ok();
    if removed {
        // Not needed for safety: a file that comes back after a crash is a reserve again.
        let _ = disk.sync_dir();
    }
    removed
}

/// Zeros are written, for not every file system can reserve space otherwise.
fn make<D: Disk>(disk: &D, unfinished: &str, bytes: u64) -> Result<(), LogError> {
    let file = disk.create(unfinished).map_err(LogError::space("create", unfinished))?;
    file.allocate(bytes).map_err(LogError::space("allocate", unfinished))?;
    zero(&file, unfinished, 0, bytes)?;
    file.sync_data().map_err(LogError::space("sync", unfinished))?;
    disk.rename(unfinished, NAME).map_err(LogError::space("rename", unfinished))?;
    disk.sync_dir().map_err(LogError::space("sync", "the directory"))
}
