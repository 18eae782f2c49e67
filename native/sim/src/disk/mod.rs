//! A simulated directory of files: a cache over a device, both in memory, under a fault model.
//!
//! Modelled: lost and torn unsynced writes by sectors of 512 bytes, lost directory entries, a crash before any step, a
//! failed fdatasync whose pages stay readable, a full device, and devices that lie (`damage`). Left out: versions of an
//! unsynced page between its first and its last write, since the log writes none twice between syncs.

mod damage;
mod image;
mod pages;

pub use damage::{Damage, Struck};
pub use image::DiskPlants;

use crate::random::Random;
use image::{DirChange, Image};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vexfs_core::log::{Disk, DiskFile};

/// Handles of one device; a clone is another handle. Only one thread uses it: the locks are what the port asks for.
#[derive(Clone, Default)]
pub struct SimDisk {
    image: Arc<Mutex<Image>>,
    life: u64,
}

pub struct SimFile {
    image: Arc<Mutex<Image>>,
    inode: usize,
    life: u64,
}

fn lock(image: &Mutex<Image>) -> MutexGuard<'_, Image> {
    image.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDisk {
    pub fn new(plants: DiskPlants) -> Self {
        let disk = Self::default();
        lock(&disk.image).plants = plants;
        disk
    }

    /// Another device with the same content.
    pub fn copy(&self) -> Self {
        Self { image: Arc::new(Mutex::new(lock(&self.image).clone())), life: self.life }
    }

    /// The power goes at the step after `steps` more.
    pub fn crash_after(&self, steps: u64) {
        lock(&self.image).steps_left = Some(steps);
    }

    /// An awaited crash that has not come is called off.
    pub fn crash_never(&self) {
        lock(&self.image).steps_left = None;
    }

    pub fn fail_next_sync(&self) {
        lock(&self.image).fail_sync = true;
    }

    pub fn set_full(&self, full: bool) {
        lock(&self.image).full = full;
    }

    pub fn is_full(&self) -> bool {
        lock(&self.image).full
    }

    pub fn set_opening(&self, opening: bool) {
        lock(&self.image).opening = opening;
    }

    /// Ends every handle; of what was not synced chance decides.
    pub fn lose_power(&mut self, random: &mut Random) {
        let mut image = lock(&self.image);
        image.lose_power(random);
        self.life = image.life;
    }

    /// Ends every handle; the cache stays.
    pub fn end_process(&mut self) {
        let mut image = lock(&self.image);
        image.revive();
        self.life = image.life;
    }

    /// Steps that changed something, over all lives.
    pub fn steps(&self) -> u64 {
        lock(&self.image).steps
    }

    /// A breach of rule L3 that was seen.
    pub fn shared_block(&self) -> Option<String> {
        lock(&self.image).shared_block.take()
    }

    /// Lies: see `Damage`. The member must be down.
    pub fn damage(&self, damage: Damage, random: &mut Random) -> Option<Struck> {
        damage::strike(&mut lock(&self.image), damage, random)
    }

    fn file(&self, inode: usize) -> SimFile {
        SimFile { image: self.image.clone(), inode, life: self.life }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let image = lock(&self.image);
        image.alive(self.life)?;
        Ok(image.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut image = lock(&self.image);
        image.step(self.life)?;
        if image.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if image.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        image.inodes.push(Default::default());
        let inode = image.inodes.len() - 1;
        image.change(DirChange::Link(name.to_owned(), inode));
        drop(image);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let image = lock(&self.image);
        image.alive(self.life)?;
        let inode = image.file(name).ok_or(io::ErrorKind::NotFound)?;
        drop(image);
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut image = lock(&self.image);
        image.step(self.life)?;
        let inode = image.file(from).ok_or(io::ErrorKind::NotFound)?;
        image.change(DirChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        if to.ends_with(".seg") {
            image.renamed(inode);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut image = lock(&self.image);
        image.step(self.life)?;
        image.change(DirChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut image = lock(&self.image);
        image.step(self.life)?;
        image.sync_dir();
        Ok(())
    }
}

impl SimFile {
    /// A write that the crash interrupts has reached the cache: which sectors survive is decided later.
    fn put(&self, data: &[u8], offset: u64, batch: bool) -> io::Result<()> {
        let mut image = lock(&self.image);
        let stepped = image.step(self.life);
        if stepped.is_ok() || image.crashed && image.life == self.life {
            image.write(self.inode, data, offset, batch)?;
        }
        stepped
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let image = lock(&self.image);
        image.alive(self.life)?;
        Ok(image.inodes[self.inode].cached.read(buffer, offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.put(buffer, offset, false)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        match buffers {
            [one] => self.put(one, offset, true),
            many => self.put(&many.iter().map(|buffer| &**buffer).collect::<Vec<&[u8]>>().concat(), offset, true),
        }
    }

    fn len(&self) -> io::Result<u64> {
        let image = lock(&self.image);
        image.alive(self.life)?;
        Ok(image.inodes[self.inode].cached.len())
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        match lock(&self.image).full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = lock(&self.image);
        image.step(self.life)?;
        image.sync(self.inode)
    }

    fn forget_cache(&self) -> io::Result<()> {
        lock(&self.image).forget_cache(self.inode);
        Ok(())
    }
}
