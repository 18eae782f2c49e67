//! The storage port over the operating system: one directory, owned by one opener at a time (rule L4).
//!
//! Linux and macOS. The lock is `flock` on a file in the directory, and a registry within the process, since some file
//! systems grant a process a lock that it has already.

use crate::direct::DirectFile;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use thiserror::Error;
use vexfs_core::log::{Disk, DiskFile};

const LOCK_NAME: &str = "LOCK";
/// In a directory that is being restored into: what is in it is not whole.
pub(crate) const RESTORING_NAME: &str = "RESTORING";
/// Buffers that one `pwritev` takes on every system.
const VECTORS_MAX: usize = 1024;

#[derive(Debug, Error)]
pub enum DiskError {
    /// Another process, or another part of this one, has the directory open.
    #[error("{} is in use", dir.display())]
    InUse { dir: PathBuf },
    #[error("{} does not exist", dir.display())]
    NotFound { dir: PathBuf },
    #[error("a restore into {} was broken off; restore into it again", dir.display())]
    HalfRestored { dir: PathBuf },
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The only opener. Makes the directory if there is none.
    ReadWrite,
    /// Beside other readers; not a byte is changed.
    ReadOnly,
}

/// Faults for tests of rules L4 and R14. They strike files that were opened, not those just created: the filling of a
/// spare in the background would swallow what is meant for an append.
#[derive(Debug, Default)]
pub struct Faults {
    hold_ms: AtomicU64,
    fail: AtomicBool,
    fired: AtomicU64,
}

impl Faults {
    /// The next fdatasync takes this much longer, in milliseconds.
    pub fn hold_sync(&self, ms: u64) {
        self.hold_ms.store(ms, Ordering::SeqCst);
    }

    /// The next fdatasync fails.
    pub fn fail_sync(&self) {
        self.fail.store(true, Ordering::SeqCst);
    }

    /// Faults that have struck.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    fn before_sync(&self) -> io::Result<()> {
        if self.hold_ms.load(Ordering::Relaxed) != 0 {
            let ms = self.hold_ms.swap(0, Ordering::SeqCst);
            self.fired.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(ms));
        }
        if self.fail.load(Ordering::Relaxed) && self.fail.swap(false, Ordering::SeqCst) {
            self.fired.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::other("fdatasync failed by a test's fault"));
        }
        Ok(())
    }
}

/// Directories open in this process, by device and inode; the number of readers, or `None` for a writer.
type Registry = Mutex<HashMap<(u64, u64), Option<usize>>>;

fn registry() -> MutexGuard<'static, HashMap<(u64, u64), Option<usize>>> {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the registry, given back on drop.
struct Registered((u64, u64));

impl Registered {
    fn new(key: (u64, u64), mode: Mode) -> Option<Self> {
        let mut open = registry();
        let usage = match (open.get(&key), mode) {
            (None, Mode::ReadWrite) => None,
            (None, Mode::ReadOnly) => Some(1),
            (Some(Some(readers)), Mode::ReadOnly) => Some(readers + 1),
            _ => return None,
        };
        open.insert(key, usage);
        Some(Self(key))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = registry();
        match open.get_mut(&self.0) {
            Some(Some(readers)) if *readers > 1 => *readers -= 1,
            _ => {
                open.remove(&self.0);
            }
        }
    }
}

/// One directory of files. Whoever holds it owns the directory, until it is dropped.
pub struct FileDisk {
    dir: PathBuf,
    handle: File,
    mode: Mode,
    faults: Arc<Faults>,
    // The fields are dropped in order: the locks go before the registration, so that the next opener finds both free.
    _locks: (DirLock, Option<DirLock>),
    _registered: Registered,
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_path_buf();
    move |source| DiskError::Io { action, path, source }
}

impl FileDisk {
    /// Errors: `InUse` while somebody writes, or reads and `mode` is `ReadWrite`; `NotFound` in `ReadOnly` mode;
    /// `HalfRestored`.
    pub fn open(dir: impl AsRef<Path>, mode: Mode) -> Result<Self, DiskError> {
        let disk = Self::open_to_restore(dir, mode)?;
        match disk.dir.join(RESTORING_NAME).exists() {
            true => Err(DiskError::HalfRestored { dir: disk.dir }),
            false => Ok(disk),
        }
    }

    /// As `open`, of a directory that is to be restored into, or was in part.
    pub fn open_to_restore(dir: impl AsRef<Path>, mode: Mode) -> Result<Self, DiskError> {
        let dir = dir.as_ref();
        if mode == Mode::ReadWrite {
            create_dir(dir).map_err(failed("create", dir))?;
        }
        let handle = File::open(dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DiskError::NotFound { dir: dir.to_path_buf() },
            _ => failed("open", dir)(error),
        })?;
        let found = handle.metadata().map_err(failed("open", dir))?;
        if !found.is_dir() {
            return Err(failed("open", dir)(io::ErrorKind::NotADirectory.into()));
        }
        let in_use = || DiskError::InUse { dir: dir.to_path_buf() };
        let registered = Registered::new((found.dev(), found.ino()), mode).ok_or_else(in_use)?;
        let lock_path = dir.join(LOCK_NAME);
        let lock = match mode {
            Mode::ReadWrite => OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path).map(Some),
            // Where no lock file is, nobody has ever written.
            Mode::ReadOnly => match File::open(&lock_path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => opened.map(Some),
            },
        };
        let lock = match lock.map_err(failed("open", &lock_path))? {
            Some(file) => Some(DirLock::take(file, mode).map_err(failed("lock", &lock_path))?.ok_or_else(in_use)?),
            None => None,
        };
        // The directory itself too: somebody may remove the file while its owner runs.
        let own = handle.try_clone().and_then(|handle| DirLock::take(handle, mode)).map_err(failed("lock", dir))?.ok_or_else(in_use)?;
        let (dir, faults) = (dir.to_path_buf(), Arc::default());
        Ok(Self { dir, handle, mode, faults, _locks: (own, lock), _registered: registered })
    }

    pub fn faults(&self) -> Arc<Faults> {
        self.faults.clone()
    }

    fn writable(&self) -> io::Result<()> {
        match self.mode {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// Makes a directory and those above it, each durable in its parent.
fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_dir(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

/// The lock on a directory, let go when dropped.
struct DirLock(File);

impl DirLock {
    /// `None` when another holder is in the way.
    fn take(file: File, mode: Mode) -> io::Result<Option<Self>> {
        let operation = if mode == Mode::ReadWrite { libc::LOCK_EX } else { libc::LOCK_SH };
        loop {
            // SAFETY: the descriptor is open for as long as `file` is.
            if unsafe { libc::flock(file.as_raw_fd(), operation | libc::LOCK_NB) } == 0 {
                return Ok(Some(Self(file)));
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }
}

impl Drop for DirLock {
    /// Said aloud: to close the file is not enough while a child that this process has just forked holds a copy of the
    /// descriptor, which it does until it runs its program (flock(2)).
    fn drop(&mut self) {
        // SAFETY: the descriptor is open until the file is dropped, after this. A failure leaves it to the closing.
        unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

impl Disk for FileDisk {
    type File = OpenFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // No file of ours has a name that is not UTF-8.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<OpenFile> {
        self.writable()?;
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(OpenFile { file, direct: DirectFile::open(&path), faults: None })
    }

    fn open(&self, name: &str) -> io::Result<OpenFile> {
        let write = self.mode == Mode::ReadWrite;
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(write).open(&path)?;
        let direct = if write { DirectFile::open(&path) } else { None };
        Ok(OpenFile { file, direct, faults: Some(self.faults.clone()) })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// A file of a `FileDisk`.
pub struct OpenFile {
    file: File,
    /// For writes of whole blocks, where the file system can.
    direct: Option<DirectFile>,
    faults: Option<Arc<Faults>>,
}

/// A cached write at least this long sets out for the disk at once.
#[cfg(target_os = "linux")]
const WRITEBACK_BYTES_MIN: usize = 64 * 1024;

impl OpenFile {
    /// Has the disk begin with what was just written to the cache. Else all of a snapshot would wait for its fdatasync and
    /// stand in the way of the log's. It is no sync and promises nothing, so its failure is none.
    #[cfg(target_os = "linux")]
    fn begin_writeback(&self, bytes: usize, offset: u64) {
        if bytes >= WRITEBACK_BYTES_MIN {
            let (from, length) = (offset as libc::off64_t, bytes as libc::off64_t);
            // SAFETY: the descriptor is open for as long as `self` is borrowed; no memory is passed.
            unsafe { libc::sync_file_range(self.file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn begin_writeback(&self, _bytes: usize, _offset: u64) {}

    /// A file anywhere, only to be read.
    pub fn open_for_reading(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, direct: None, faults: None })
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) if direct.write(&[IoSlice::new(buffer)], offset)? => Ok(()),
            _ => {
                self.file.write_all_at(buffer, offset)?;
                self.begin_writeback(buffer.len(), offset);
                Ok(())
            }
        }
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct {
            if direct.write(buffers, offset)? {
                return Ok(());
            }
        }
        let mut rest: Vec<IoSlice<'_>> = buffers.iter().filter(|buffer| !buffer.is_empty()).copied().collect();
        let mut rest = rest.as_mut_slice();
        let mut at = offset;
        while !rest.is_empty() {
            let count = rest.len().min(VECTORS_MAX);
            // SAFETY: IoSlice has the layout of iovec, and the buffers outlive the call.
            let written = unsafe {
                libc::pwritev(self.file.as_raw_fd(), rest.as_ptr().cast(), count as libc::c_int, at as libc::off_t)
            };
            match written {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                1.. => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut rest, written as usize);
                }
                _ => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Lets a full disk show before anything relies on the space.
    #[cfg(target_os = "linux")]
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        // SAFETY: the descriptor is open for as long as `self` is borrowed.
        if unsafe { libc::fallocate(self.file.as_raw_fd(), 0, 0, bytes as libc::off_t) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINTR) => Ok(()),
            _ => Err(error),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        if let Some(faults) = &self.faults {
            faults.before_sync()?;
        }
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn forget_cache(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open for as long as `self` is borrowed. The answer is an error number.
        match unsafe { libc::posix_fadvise(self.file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
            0 | libc::EINVAL | libc::ENOSYS => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_descriptor_does_not_keep_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let owner = FileDisk::open(dir.path(), Mode::ReadWrite).unwrap();
        // What a forked child holds until it runs its program.
        let copy = owner._locks.1.as_ref().unwrap().0.try_clone().unwrap();
        drop(owner);
        FileDisk::open(dir.path(), Mode::ReadWrite).unwrap();
        drop(copy);
    }
}
