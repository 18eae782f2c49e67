//! The storage port: one directory of files. The runtime implements it over the operating system, the simulator and
//! the tests over a disk that can crash.
//!
//! What an implementation owes: after `sync_data` returned Ok, everything written to that file before survives a loss
//! of power; after `sync_dir` returned Ok, so does every creation, renaming and removal before. Nothing else does.

use std::io::{self, IoSlice};

pub trait Disk: Send + Sync + 'static {
    type File: DiskFile;
    /// Names of the files in the directory, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file; fails where one of that name exists.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Atomic; replaces `to` if it exists.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_dir(&self) -> io::Result<()>;
}

// A file's emptiness is nobody's question here, so there is no `is_empty`.
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Send + Sync + 'static {
    /// Bytes read; fewer than asked only at the end of the file or when interrupted, 0 at its end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of it.
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of them, one after another.
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for buffer in buffers {
            self.write_at(buffer, at)?;
            at += buffer.len() as u64;
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64>;
    /// Reserves space for a file of this many bytes, where the implementation can; its length may stay.
    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    /// Makes data and length durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
    /// Lets later reads come from the device rather than from a cache that a failed sync may have left lying.
    fn forget_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads until `buffer` is full or the file ends; the number of bytes read.
pub(super) fn read_full<F: DiskFile>(file: &F, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
