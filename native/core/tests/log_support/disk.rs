//! A disk in memory that can lose power, or lose its process, at any step.
//!
//! What was not synced when the power goes survives in any part: each 512-byte sector of each write by itself, now and
//! then only the beginning of one; and of the directory's changes any first part.

use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use vexfs_core::log::{Disk, DiskFile};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    cached: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone)]
enum DirChange {
    Link(String, usize),
    Unlink(String),
    Rename { from: String, to: String, inode: usize },
}

#[derive(Clone, Default)]
struct Image {
    inodes: Vec<Inode>,
    durable_names: BTreeMap<String, usize>,
    names: BTreeMap<String, usize>,
    pending: Vec<DirChange>,
    /// Steps until the crash; `None` for never.
    steps_left: Option<u64>,
    steps: u64,
    crashed: bool,
    /// Handles of an earlier life answer errors.
    life: u64,
    fail_sync: bool,
    /// Bytes that all files together may have; `None` for no limit.
    capacity: Option<usize>,
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        // Quicker than `resize` in a build without optimisation.
        let mut longer = vec![0; offset + data.len()];
        longer[..bytes.len()].copy_from_slice(bytes);
        *bytes = longer;
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

fn change(names: &mut BTreeMap<String, usize>, change: &DirChange) {
    match change {
        DirChange::Link(name, inode) => names.insert(name.clone(), *inode),
        DirChange::Unlink(name) => names.remove(name),
        DirChange::Rename { from, to, inode } => {
            names.remove(from);
            names.insert(to.clone(), *inode)
        }
    };
}

impl Image {
    /// Every step that changes something passes here; the crash strikes before its effect is durable.
    fn step(&mut self, life: u64) -> io::Result<()> {
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

    fn alive(&self, life: u64) -> io::Result<()> {
        match self.crashed || self.life != life {
            true => Err(io::Error::other("the power is gone")),
            false => Ok(()),
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].cached.len()).sum()
    }

    /// Growing a file by so many bytes needs room for them.
    fn room(&self, bytes: usize) -> io::Result<()> {
        match self.capacity.is_some_and(|capacity| bytes > 0 && self.used() + bytes > capacity) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn change(&mut self, one: DirChange) {
        change(&mut self.names, &one);
        self.pending.push(one);
    }
}

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

impl SimDisk {
    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap()
    }

    /// Another disk with the same content.
    pub fn copy(&self) -> Self {
        Self { image: Arc::new(Mutex::new(self.image().clone())), life: self.life }
    }

    /// The power goes at the step after `steps` more.
    pub fn crash_after(&self, steps: u64) {
        self.image().steps_left = Some(steps);
    }

    pub fn crashed(&self) -> bool {
        self.image().crashed
    }

    /// The disk has room for so many bytes more; `None` for any number.
    pub fn leave_room(&self, bytes: Option<usize>) {
        let mut image = self.image();
        let used = image.used();
        image.capacity = bytes.map(|bytes| used + bytes);
    }

    pub fn names(&self) -> Vec<String> {
        self.image().names.keys().cloned().collect()
    }

    pub fn fail_next_sync(&self) {
        self.image().fail_sync = true;
    }

    /// The disk after the power came back.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut image = self.image().clone();
        // All or nothing are the likeliest to show a fault, next to a mixture.
        let mood = random.next_u32() % 4;
        // How much of `length` bytes does.
        let mut survives = move |length: usize| match (mood, random.next_u32() % 8) {
            (0, _) | (2, 0..3) => 0,
            (2, 3) => (1 << (random.next_u32() % 9)).min(length),
            // Headers are torn in their midst.
            (3.., 0..7) => (random.next_u32() as usize % 64).min(length),
            _ => length,
        };
        let kept = image.pending.iter().take_while(|_| survives(1) == 1).count();
        for one in &image.pending[..kept] {
            change(&mut image.durable_names, one);
        }
        for inode in &mut image.inodes {
            for (offset, data) in std::mem::take(&mut inode.pending) {
                let mut at = 0;
                while at < data.len() {
                    let end = data.len().min(at + SECTOR - (offset as usize + at) % SECTOR);
                    let kept = survives(end - at);
                    if kept > 0 {
                        put(&mut inode.durable, offset as usize + at, &data[at..at + kept]);
                    }
                    at = end;
                }
            }
            inode.cached = inode.durable.clone();
        }
        image.names = image.durable_names.clone();
        Self::revive(image)
    }

    /// The disk as the next process finds it: the cache is still there, nothing more is durable.
    pub fn after_process_end(&self) -> Self {
        Self::revive(self.image().clone())
    }

    fn revive(mut image: Image) -> Self {
        if image.names == image.durable_names {
            image.pending.clear();
        }
        (image.crashed, image.steps_left, image.life) = (false, None, image.life + 1);
        let life = image.life;
        Self { image: Arc::new(Mutex::new(image)), life }
    }

    pub fn steps(&self) -> u64 {
        self.image().steps
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let image = self.image();
        image.inodes[image.names[name]].cached.clone()
    }

    /// Replaces a file's content behind the log's back, durably.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) {
        let mut image = self.image();
        let inode = Inode { durable: bytes.to_vec(), cached: bytes.to_vec(), pending: Vec::new() };
        image.inodes.push(inode);
        let number = image.inodes.len() - 1;
        image.names.insert(name.to_owned(), number);
        image.durable_names.insert(name.to_owned(), number);
    }

    pub fn delete(&self, name: &str) {
        let mut image = self.image();
        image.names.remove(name);
        image.durable_names.remove(name);
    }

    pub fn segments(&self) -> Vec<String> {
        self.image().names.keys().filter(|name| name.ends_with(".seg")).cloned().collect()
    }

    fn file(&self, inode: usize) -> SimFile {
        SimFile { image: self.image.clone(), inode, life: self.life }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let image = self.image();
        image.alive(self.life)?;
        Ok(image.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut image = self.image();
        image.step(self.life)?;
        if image.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // An entry in the directory takes a little, too.
        image.room(1)?;
        image.inodes.push(Inode::default());
        let inode = image.inodes.len() - 1;
        image.change(DirChange::Link(name.to_owned(), inode));
        drop(image);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let image = self.image();
        image.alive(self.life)?;
        let inode = *image.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        drop(image);
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut image = self.image();
        image.step(self.life)?;
        let inode = *image.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        image.change(DirChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut image = self.image();
        image.step(self.life)?;
        if !image.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        image.change(DirChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut image = self.image();
        image.step(self.life)?;
        image.durable_names = image.names.clone();
        image.pending.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let image = self.image.lock().unwrap();
        image.alive(self.life)?;
        let bytes = &image.inodes[self.inode].cached;
        let from = (offset as usize).min(bytes.len());
        let length = buffer.len().min(bytes.len() - from);
        buffer[..length].copy_from_slice(&bytes[from..from + length]);
        Ok(length)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        let grows = (offset as usize + buffer.len()).saturating_sub(image.inodes[self.inode].cached.len());
        image.room(grows)?;
        let stepped = image.step(self.life);
        if stepped.is_ok() || image.crashed && image.life == self.life {
            let inode = &mut image.inodes[self.inode];
            put(&mut inode.cached, offset as usize, buffer);
            inode.pending.push((offset, buffer.to_vec()));
        }
        stepped
    }

    fn len(&self) -> io::Result<u64> {
        let image = self.image.lock().unwrap();
        image.alive(self.life)?;
        Ok(image.inodes[self.inode].cached.len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        image.step(self.life)?;
        let failed = std::mem::take(&mut image.fail_sync);
        let inode = &mut image.inodes[self.inode];
        if failed {
            // As Linux does it: the pages are clean now, the disk has nothing of them.
            inode.pending.clear();
            return Err(io::Error::other("an input/output error"));
        }
        for (offset, data) in std::mem::take(&mut inode.pending) {
            put(&mut inode.durable, offset as usize, &data);
        }
        Ok(())
    }

    fn forget_cache(&self) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        let inode = &mut image.inodes[self.inode];
        if inode.pending.is_empty() {
            inode.cached = inode.durable.clone();
        }
        Ok(())
    }
}
