//! Files that are zero-filled before they are needed. Writing into blocks that were written before is several times
//! quicker than into fresh or merely reserved ones, whose every first write changes the file system's own records.

use crate::plants::{self, CorePlant};
use super::disk::{Disk, DiskFile};
use super::layout::{SPARE_PREFIX, UNFINISHED_SUFFIX};
use super::LogError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const ZERO_BYTES: usize = 1024 * 1024;
/// Zeros written between two syncs of a spare that is made in the background.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;
static ZEROS: [u8; ZERO_BYTES] = [0; ZERO_BYTES];

/// Prepares segment files ahead of need, from a thread of the owner's. The owner stops that thread before it gives
/// the directory up.
pub struct SparePool<D: Disk> {
    inner: Arc<Inner<D>>,
}

impl<D: Disk> Clone for SparePool<D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<D: Disk> {
    disk: Arc<D>,
    segment_bytes: u64,
    wanted: usize,
    ready: Mutex<Vec<String>>,
    /// Files of released segments that have still to be filled with zeros, under the names of unfinished spares.
    used: Mutex<Vec<String>>,
    /// One filling at a time, so that two callers do not both make the last missing spare.
    filling: Mutex<()>,
    next_name: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Disk> SparePool<D> {
    /// Takes over the finished spares among the directory's files, removes the unfinished and the misfits.
    pub(super) fn open(disk: Arc<D>, names: &[String], segment_bytes: u64, wanted: usize) -> Result<Self, LogError> {
        let mut ready = Vec::new();
        let mut next_name = 1;
        for name in names.iter().filter(|name| name.starts_with(SPARE_PREFIX)) {
            let number = name[SPARE_PREFIX.len()..].trim_end_matches(UNFINISHED_SUFFIX).parse().unwrap_or(0);
            next_name = next_name.max(number + 1);
            let fits = !name.ends_with(UNFINISHED_SUFFIX) && {
                let file = disk.open(name).map_err(LogError::io("open", name))?;
                file.len().map_err(LogError::io("read", name))? == segment_bytes
            };
            if fits {
                ready.push(name.clone());
            } else {
                disk.remove(name).map_err(LogError::io("remove", name))?;
            }
        }
        let (ready, used) = (Mutex::new(ready), Mutex::default());
        let (filling, next_name) = (Mutex::new(()), AtomicU64::new(next_name));
        Ok(Self { inner: Arc::new(Inner { disk, segment_bytes, wanted, ready, used, filling, next_name }) })
    }

    /// Takes over a released segment's file, if it has a spare's size and fewer stand by than wanted.
    pub(super) fn recycle(&self, segment: &str) -> Result<bool, LogError> {
        let inner = &*self.inner;
        if self.ready() + lock(&inner.used).len() >= inner.wanted {
            return Ok(false);
        }
        let file = inner.disk.open(segment).map_err(LogError::io("open", segment))?;
        if file.len().map_err(LogError::io("read", segment))? != inner.segment_bytes {
            return Ok(false);
        }
        let unfinished = format!("{}{UNFINISHED_SUFFIX}", self.fresh_name());
        inner.disk.rename(segment, &unfinished).map_err(LogError::io("rename", segment))?;
        lock(&inner.used).push(unfinished);
        Ok(true)
    }

    fn fresh_name(&self) -> String {
        format!("{SPARE_PREFIX}{}", self.inner.next_name.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes one spare if fewer than wanted stand by; true if it did. Each MiB is synced by itself, and then `pace` is
    /// called: it may sleep, so that the appends' own syncs are not kept waiting.
    pub fn fill(&self, pace: &mut dyn FnMut()) -> Result<bool, LogError> {
        let _one = lock(&self.inner.filling);
        if lock(&self.inner.ready).len() >= self.inner.wanted {
            return Ok(false);
        }
        let name = self.prepare(self.inner.segment_bytes, Some(pace))?;
        lock(&self.inner.ready).push(name);
        Ok(true)
    }

    /// Spares that stand by.
    pub fn ready(&self) -> usize {
        lock(&self.inner.ready).len()
    }

    /// Name of a zero-filled file of at least `capacity` bytes: a spare, or one made on the spot.
    pub(super) fn take(&self, capacity: u64) -> Result<String, LogError> {
        let spare = if capacity <= self.inner.segment_bytes { lock(&self.inner.ready).pop() } else { None };
        spare.map_or_else(|| self.prepare(capacity.max(self.inner.segment_bytes), None), Ok)
    }

    /// Name of a zero-filled file of just this capacity, made on the spot.
    pub(super) fn make(&self, capacity: u64) -> Result<String, LogError> {
        self.prepare(capacity, None)
    }

    /// Out of a released segment where there is one: its blocks are there already.
    fn prepare(&self, capacity: u64, pace: Option<&mut dyn FnMut()>) -> Result<String, LogError> {
        let inner = &*self.inner;
        let used = if capacity == inner.segment_bytes { lock(&inner.used).pop() } else { None };
        let exists = used.is_some();
        let unfinished = used.unwrap_or_else(|| format!("{}{UNFINISHED_SUFFIX}", self.fresh_name()));
        let name = unfinished.trim_end_matches(UNFINISHED_SUFFIX).to_owned();
        let made = self.write_zeros(&unfinished, exists, capacity, pace).and_then(|()| {
            inner.disk.rename(&unfinished, &name).map_err(LogError::space("rename", &unfinished))
        });
        if made.is_err() {
            // The space goes back where it can; the error that counts is the first.
            let _ = inner.disk.remove(&unfinished);
        }
        made.map(|()| name)
    }

    fn write_zeros(
        &self,
        name: &str,
        exists: bool,
        capacity: u64,
        mut pace: Option<&mut dyn FnMut()>,
    ) -> Result<(), LogError> {
        let disk = &self.inner.disk;
        let file = match exists {
            true => disk.open(name).map_err(LogError::io("open", name))?,
            false => {
                let file = disk.create(name).map_err(LogError::space("create", name))?;
                file.allocate(capacity).map_err(LogError::space("allocate", name))?;
                file
            }
        };
        let mut at = if exists && plants::is(CorePlant::StaleRecycled) { capacity } else { 0 };
        while at < capacity {
            let bytes = (capacity - at).min(ZERO_BYTES as u64);
            zero(&file, name, at, at + bytes)?;
            at += bytes;
            if let Some(pace) = &mut pace {
                // Each sync makes the file system commit the extents it has turned into written ones: not too often.
                if at % SYNC_BYTES == 0 {
                    file.sync_data().map_err(LogError::space("sync", name))?;
                }
                pace();
            }
        }
        file.sync_data().map_err(LogError::space("sync", name))
    }
}

/// Writes zeros over `from..to`; the caller syncs.
pub(super) fn zero<F: DiskFile>(file: &F, name: &str, from: u64, to: u64) -> Result<(), LogError> {
    let mut at = from;
    while at < to {
        let bytes = (to - at).min(ZERO_BYTES as u64);
        file.write_at(&ZEROS[..bytes as usize], at).map_err(LogError::space("write", name))?;
        at += bytes;
    }
    Ok(())
}
