//! A directory in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vexfs_core::log::{Disk, DiskFile};

type Files = BTreeMap<String, MemoryFile>;

#[derive(Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<Files>>,
}

#[derive(Clone, Default)]
pub struct MemoryFile {
    bytes: Arc<Mutex<Vec<u8>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, Files> {
        locked(&self.files)
    }

    /// What is in it now, by name.
    pub fn content(&self) -> BTreeMap<String, Vec<u8>> {
        self.files().iter().map(|(name, file)| (name.clone(), file.content())).collect()
    }

    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files().insert(name.to_string(), MemoryFile::of(bytes));
    }

    pub fn of(content: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::default();
        content.iter().for_each(|(name, bytes)| disk.put(name, bytes.clone()));
        disk
    }
}

impl MemoryFile {
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)) }
    }

    pub fn content(&self) -> Vec<u8> {
        locked(&self.bytes).clone()
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let mut files = self.files();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(files.entry(name.to_string()).or_default().clone())
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        self.files().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_string(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = locked(&self.bytes);
        let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = locked(&self.bytes);
        // What no file system of ours has room for.
        let end = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(buffer.len())).filter(|end| *end <= 64 << 20);
        let end = end.ok_or(io::ErrorKind::StorageFull)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[end - buffer.len()..end].copy_from_slice(buffer);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.bytes).len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
