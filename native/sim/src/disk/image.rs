//! What a device holds and what the system's cache says it holds, with everything that may become of the difference.

use super::pages::{Pages, PAGE, SECTOR, ZEROS};
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Known bugs of a storage layer, planted (see `plants`).
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskPlants {
    /// A failed fdatasync is tried again, and the second answer believed.
    pub retries_sync: bool,
    /// Opening does not sync what it finds in the cache.
    pub trusts_cache: bool,
    /// Directories are not synced.
    pub skips_dir_sync: bool,
}

#[derive(Clone)]
pub(super) enum DirChange {
    Link(String, usize),
    Unlink(String),
    Rename { from: String, to: String, inode: usize },
}

impl DirChange {
    fn carry_out(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            DirChange::Link(name, inode) => names.insert(name.clone(), *inode),
            DirChange::Unlink(name) => names.remove(name),
            DirChange::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode)
            }
        };
    }
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub cached: Pages,
    pub durable: Pages,
    /// Pages written since the last sync.
    pub dirty: BTreeSet<usize>,
    /// Clean pages whose cache differs from the device: what a failed sync leaves behind.
    pub lying: BTreeSet<usize>,
    /// Pages that a whole batch was synced to in this use of the file.
    pub acknowledged: BTreeSet<usize>,
}

/// The last batch that was written: `pages` of one file.
#[derive(Clone, Debug)]
pub struct Tail {
    pub inode: usize,
    pub first: usize,
    pub pages: usize,
    pub synced: bool,
}

#[derive(Clone, Default)]
pub(super) struct Image {
    pub inodes: Vec<Inode>,
    pub names: BTreeMap<String, usize>,
    pub durable_names: BTreeMap<String, usize>,
    pub pending: Vec<DirChange>,
    pub steps_left: Option<u64>,
    pub steps: u64,
    pub crashed: bool,
    /// Handles of an earlier life answer errors.
    pub life: u64,
    pub fail_sync: bool,
    /// No new page finds room.
    pub full: bool,
    /// Between the start of an open and its end.
    pub opening: bool,
    pub tail: Option<Tail>,
    pub plants: DiskPlants,
    /// A batch that was written over an acknowledged one (rule L3), if there was any.
    pub shared_block: Option<String>,
}

impl Image {
    /// Every step that changes something passes here; the crash strikes before its effect is durable.
    pub fn step(&mut self, life: u64) -> io::Result<()> {
        self.alive(life)?;
        self.steps += 1;
        if let Some(left) = &mut self.steps_left {
            if *left == 0 {
                self.crashed = true;
                return Err(io::Error::other("the power is gone"));
            }
            *left -= 1;
        }
        Ok(())
    }

    pub fn alive(&self, life: u64) -> io::Result<()> {
        match self.crashed || self.life != life {
            true => Err(io::Error::other("the power is gone")),
            false => Ok(()),
        }
    }

    pub fn change(&mut self, one: DirChange) {
        one.carry_out(&mut self.names);
        self.pending.push(one);
    }

    /// `batch`: a write of several buffers, which only the log's batches are.
    pub fn write(&mut self, inode: usize, data: &[u8], offset: u64, batch: bool) -> io::Result<()> {
        let end = offset + data.len() as u64;
        if self.full && end > self.inodes[inode].cached.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let pages = offset as usize / PAGE..(end as usize).div_ceil(PAGE);
        let file = &mut self.inodes[inode];
        if batch {
            let shared = pages.clone().find(|page| file.acknowledged.contains(page));
            if shared.is_some() || offset % PAGE as u64 != 0 || end % PAGE as u64 != 0 {
                let what = format!("a batch at {offset}..{end}, acknowledged before: block {shared:?}");
                self.shared_block.get_or_insert(what);
            }
            self.tail = Some(Tail { inode, first: pages.start, pages: pages.len(), synced: false });
        } else {
            let zeros = data.chunks(PAGE).all(|part| *part == ZEROS[..part.len()]);
            if zeros {
                file.acknowledged.retain(|page| !pages.contains(page));
            }
            let sealed = !zeros && self.tail.as_ref().is_some_and(|tail| tail.inode == inode);
            let zeroed = zeros && self.tail.as_ref().is_some_and(|t| t.inode == inode && pages.contains(&t.first));
            if sealed || zeroed {
                self.tail = None;
            }
        }
        let file = &mut self.inodes[inode];
        file.cached.write(data, offset);
        file.dirty.extend(pages.clone());
        file.lying.retain(|page| !pages.contains(page));
        Ok(())
    }

    pub fn sync(&mut self, inode: usize) -> io::Result<()> {
        let failed = std::mem::take(&mut self.fail_sync);
        if self.opening && self.plants.trusts_cache {
            return Ok(());
        }
        let file = &mut self.inodes[inode];
        if failed {
            // As Linux does it: the pages are clean now, the device has nothing of them.
            let dirty = std::mem::take(&mut file.dirty);
            file.lying.extend(dirty);
            if self.plants.retries_sync {
                return Ok(());
            }
            return Err(io::Error::other("an input/output error"));
        }
        for page in std::mem::take(&mut file.dirty) {
            file.durable.take_page(&file.cached, page);
        }
        file.durable.set_len(file.cached.len());
        // What an open finds and syncs is not acknowledged yet.
        let opening = self.opening;
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.inode == inode && !tail.synced && !opening) {
            tail.synced = true;
            file.acknowledged.extend(tail.first..tail.first + tail.pages);
        }
        Ok(())
    }

    pub fn sync_dir(&mut self) {
        if !self.plants.skips_dir_sync {
            self.durable_names = self.names.clone();
            self.pending.clear();
        }
    }

    /// Drops from the cache what a later read can get from the device.
    pub fn forget_cache(&mut self, inode: usize) {
        let file = &mut self.inodes[inode];
        for page in std::mem::take(&mut file.lying) {
            file.cached.take_page(&file.durable, page);
        }
    }

    /// A new segment begins: it holds no batch yet.
    pub fn renamed(&mut self, inode: usize) {
        self.tail = None;
        self.inodes[inode].acknowledged.clear();
    }

    /// The device after the power came back: of what was not synced some survives, by names in order, by sectors in any.
    pub fn lose_power(&mut self, random: &mut Random) {
        // All or nothing are the likeliest to show a fault, next to a mixture.
        let mood = random.between(0, 4);
        let mut survives = move || match mood {
            0 => false,
            1 => true,
            2 => random.chance(125),
            _ => random.chance(875),
        };
        let kept = self.pending.iter().take_while(|_| survives()).count();
        for one in &self.pending[..kept] {
            one.carry_out(&mut self.durable_names);
        }
        self.pending.clear();
        for file in &mut self.inodes {
            let mut longer = file.durable.len();
            for page in std::mem::take(&mut file.dirty) {
                for sector in 0..PAGE / SECTOR {
                    if survives() {
                        file.durable.take_sector(&file.cached, page, sector);
                        longer = longer.max(((page * PAGE + (sector + 1) * SECTOR) as u64).min(file.cached.len()));
                    }
                }
            }
            file.durable.set_len(longer);
            file.lying.clear();
            file.cached = file.durable.clone();
        }
        self.names = self.durable_names.clone();
        self.tail = self.tail.take().filter(|tail| tail.synced);
        self.revive();
    }

    /// The next process finds the cache as the last one left it.
    pub fn revive(&mut self) {
        (self.crashed, self.steps_left, self.fail_sync, self.opening) = (false, None, false, false);
        self.life += 1;
    }

    pub fn file(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }
}
