//! The log's one writer: opening for writing, appending batches, moving from segment to segment.

use super::batch::{batch_bytes, BatchBuffer};
use super::disk::{Disk, DiskFile};
use super::footer;
use super::layout::{round_up, segment_name, segment_salt, segment_sequence, SegmentHeader, BLOCK_BYTES};
use super::reader::LogReader;
use super::record::{entry_bytes, ENTRY_BYTES_MAX};
use super::recover::{recover, Access, Tail};
use super::spare::{zero, SparePool};
use super::state::{Active, Shared};
use super::superblock::{Copies, Superblock};
use super::types::{AppendStats, LogOptions, Op, Recovery, Wanted};
use super::LogError;
use crate::ids::{GroupId, Index};
use std::sync::Arc;

/// Largest batch, headers and padding included.
pub const BATCH_BYTES_MAX: u64 = 1 << 30;
/// Smallest segment: header, one block of batches, footer and trailer.
const SEGMENT_BYTES_MIN: u64 = 4 * BLOCK_BYTES;
/// Room kept for what one batch may add to the footer. Not a promise: a footer that does not fit makes the file grow.
const FOOTER_SLACK_BYTES: u64 = BLOCK_BYTES;

/// The newest segment as the writer sees it.
struct Newest<F> {
    header: SegmentHeader,
    file: Arc<F>,
    end: u64,
    next_batch: u64,
}

/// A log open for writing. There is one per directory: the owner of the directory's lock has it.
pub struct Log<D: Disk> {
    shared: Arc<Shared<D>>,
    pool: SparePool<D>,
    copies: Copies,
    superblock: Superblock,
    segment_bytes: u64,
    salt_seed: u64,
    newest: Newest<D::File>,
    buffer: BatchBuffer,
    offsets: Vec<u64>,
    poisoned: bool,
}

impl<D: Disk> Log<D> {
    /// Creates the log of a new directory, or recovers the one that is there: a torn tail is cut off, the directory's
    /// incarnation counted up, all durably.
    ///
    /// Errors: `IdentityMismatch` for another cluster's or node's log; `Damaged`, `MissingSegment` and the like for
    /// anything that no torn write explains; nothing is changed then.
    pub fn open(disk: Arc<D>, options: LogOptions, wanted: Wanted) -> Result<(Self, Recovery), LogError> {
        let segment_bytes = round_up(options.segment_bytes, BLOCK_BYTES).max(SEGMENT_BYTES_MIN);
        disk.sync_dir().map_err(LogError::io("sync", "the directory"))?;
        let names = disk.list().map_err(LogError::io("list", "the directory"))?;
        let mut copies = Copies::read(&*disk, &names, true)?;
        let has_segments = names.iter().any(|name| segment_sequence(name).is_some());
        let mut superblock = match copies.newest() {
            Some(superblock) => superblock.clone(),
            None if copies.never_written() && !has_segments => {
                let mut fresh = Superblock::fresh(&wanted)?;
                fresh.identity.incarnation = 0;
                fresh
            }
            None => return Err(LogError::SuperblockLost),
        };
        superblock.check(&wanted)?;
        let (mut state, tail) = recover(&*disk, &superblock, &names, Access::Write)?;
        if let (Some(active), Some(tail)) = (&state.active, &tail) {
            clean(active, tail)?;
            superblock.newest = active.header.sequence;
            superblock.newest_salt = active.header.salt;
        }
        let seen = tail.as_ref().map_or(0, |tail| tail.incarnation);
        superblock.identity.incarnation = superblock.identity.incarnation.max(seen) + 1;
        copies.update(&*disk, superblock.clone())?;
        let pool = SparePool::open(disk.clone(), &names, segment_bytes, options.spare_segments)?;

        let mut maker = Maker { disk: &*disk, pool: &pool, copies: &mut copies, superblock: &mut superblock };
        let newest = match (&state.active, &tail) {
            (Some(active), Some(tail)) => {
                let (header, file) = (active.header.clone(), active.file.clone());
                Newest { header, file, end: active.end, next_batch: tail.next_batch }
            }
            _ => {
                let newest = maker.segment(segment_bytes, 0, 1, wanted.salt_seed)?;
                state.active = Some(newest.active());
                newest
            }
        };
        let recovery = Recovery {
            identity: superblock.identity.clone(),
            groups: state.recovered(),
            torn_bytes: tail.map_or(0, |tail| tail.torn_bytes),
            log_bytes: state.stats().log_bytes,
            segments: state.stats().segments,
        };
        let log = Self {
            shared: Arc::new(Shared::new(disk, state)),
            pool,
            copies,
            superblock,
            segment_bytes,
            salt_seed: wanted.salt_seed,
            newest,
            buffer: BatchBuffer::default(),
            offsets: Vec::new(),
            poisoned: false,
        };
        Ok((log, recovery))
    }

    /// Writes all of `ops` as one batch; Ok means that it is on disk and that readers see it. Once a write or a sync
    /// has failed, every later call answers `Poisoned` (rule L4). `NotContiguous` and `TooLarge` change nothing.
    pub fn append(&mut self, ops: &[Op]) -> Result<AppendStats, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        self.check(ops)?;
        let bytes = batch_bytes(ops);
        if bytes > BATCH_BYTES_MAX {
            return Err(LogError::TooLarge { what: "a batch", bytes, limit: BATCH_BYTES_MAX });
        }
        if ops.is_empty() {
            return Ok(AppendStats::default());
        }
        let written = self.write(ops, bytes);
        self.poisoned = written.is_err();
        self.buffer.clear();
        written
    }

    /// Every group's entries must go on where its log ends at that point of the batch.
    fn check(&self, ops: &[Op]) -> Result<(), LogError> {
        let state = self.shared.read();
        let mut ends: Vec<(GroupId, u64)> = Vec::new();
        let mut end_of = |group: GroupId| -> usize {
            ends.iter().position(|(other, _)| *other == group).unwrap_or_else(|| {
                ends.push((group, state.last_index(group)));
                ends.len() - 1
            })
        };
        let mut checked: Vec<(usize, GroupId, &Op)> = Vec::with_capacity(ops.len());
        for op in ops {
            let group = match op {
                Op::Truncate { group, .. } | Op::Entries { group, .. } | Op::HardState { group, .. } => *group,
            };
            checked.push((end_of(group), group, op));
        }
        for (slot, group, op) in checked {
            let end = &mut ends[slot].1;
            match op {
                Op::Truncate { from: Index(0), .. } => {
                    return Err(LogError::NotContiguous { group, expected: Index(1), found: Index(0) })
                }
                Op::Truncate { from, .. } => *end = (*end).min(from.0 - 1),
                Op::HardState { .. } => {}
                Op::Entries { entries, .. } => {
                    for entry in entries {
                        let (expected, found) = (Index(*end + 1), entry.index);
                        if expected != found {
                            return Err(LogError::NotContiguous { group, expected, found });
                        }
                        let bytes = entry_bytes(entry);
                        if bytes > ENTRY_BYTES_MAX as u64 {
                            return Err(LogError::TooLarge { what: "an entry", bytes, limit: ENTRY_BYTES_MAX as u64 });
                        }
                        *end = found.0;
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, ops: &[Op], bytes: u64) -> Result<AppendStats, LogError> {
        let seal = self.shared.read().active.as_ref().map_or(0, |active| footer::sealed_bytes(&active.index));
        let rolled = self.newest.end + bytes + seal + FOOTER_SLACK_BYTES > self.newest.header.capacity;
        if rolled {
            self.roll(bytes)?;
        }
        let newest = &mut self.newest;
        let incarnation = self.superblock.identity.incarnation;
        self.buffer.begin(newest.header.salt, newest.end);
        self.offsets.clear();
        for op in ops {
            self.buffer.push(op, |_, offset| self.offsets.push(offset));
        }
        let padded = self.buffer.finish(newest.next_batch, incarnation);
        debug_assert_eq!(padded, bytes);
        let name = || newest.header.name();
        newest.file.write_vectored_at(&self.buffer.slices(), newest.end).map_err(|e| LogError::io("write", name())(e))?;
        newest.file.sync_data().map_err(|e| LogError::io("sync", name())(e))?;
        let batch = newest.next_batch;
        newest.end += padded;
        newest.next_batch += 1;
        self.shared.write().apply(ops, &self.offsets, newest.end);
        Ok(AppendStats { bytes: padded, batch, rolled })
    }

    /// Seals the newest segment and begins another, with room for a batch of `bytes`.
    fn roll(&mut self, bytes: u64) -> Result<(), LogError> {
        let sealed_bytes = self.seal()?;
        let needed = round_up(BLOCK_BYTES + bytes + SEGMENT_BYTES_MIN + FOOTER_SLACK_BYTES, BLOCK_BYTES);
        let disk = self.shared.disk.clone();
        let mut maker = Maker {
            disk: &*disk,
            pool: &self.pool,
            copies: &mut self.copies,
            superblock: &mut self.superblock,
        };
        let (capacity, previous) = (self.segment_bytes.max(needed), self.newest.header.salt);
        let newest = maker.segment(capacity, previous, self.newest.next_batch, self.salt_seed)?;
        let mut state = self.shared.write();
        if let Some(sealed) = state.active.take() {
            let used = sealed.end + sealed_bytes;
            // It went through `check` entry by entry.
            let absorbed = state.absorb(&sealed.header, used, &sealed.index, false);
            absorbed.map_err(|reason| LogError::damaged(&sealed.header.name(), 0, reason))?;
        }
        state.active = Some(newest.active());
        drop(state);
        self.newest = newest;
        Ok(())
    }

    /// Puts the footer behind the last batch; its size.
    fn seal(&mut self) -> Result<u64, LogError> {
        let state = self.shared.read();
        let newest = &self.newest;
        let Some(active) = &state.active else { return Ok(0) };
        let incarnation = self.superblock.identity.incarnation;
        footer::write(&*newest.file, &newest.header, newest.end, newest.next_batch, incarnation, &active.index)?;
        newest.file.sync_data().map_err(LogError::io("sync", newest.header.name()))?;
        Ok(footer::sealed_bytes(&active.index))
    }

    /// A reader of what is on disk, for any thread.
    pub fn reader(&self) -> LogReader<D> {
        LogReader::new(self.shared.clone())
    }

    /// For a thread that prepares segments ahead.
    pub fn spare_pool(&self) -> SparePool<D> {
        self.pool.clone()
    }

    /// Ends writing. The newest segment gets its footer, so that the next open need not scan it; where little of it
    /// is used the next open takes the footer off again and goes on in the same file.
    pub fn seal_and_close(mut self) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if self.newest.end > BLOCK_BYTES {
            self.seal()?;
        }
        Ok(())
    }
}

impl<F: DiskFile> Newest<F> {
    fn active(&self) -> Active<F> {
        let (header, file) = (self.header.clone(), self.file.clone());
        Active { header, file, index: Default::default(), end: self.end }
    }
}

/// Zeroes what a torn batch or a seal has left behind the end, so that nothing of it can be taken for a later batch.
fn clean<F: DiskFile>(active: &Active<F>, tail: &Tail) -> Result<(), LogError> {
    let name = active.header.name();
    let length = active.file.len().map_err(LogError::io("read", &name))?;
    for range in &tail.dirty {
        zero(&*active.file, &name, range.start, range.end)?;
    }
    // A file that was cut short gets its written blocks back.
    zero(&*active.file, &name, length.max(active.end), active.header.capacity)?;
    if !tail.dirty.is_empty() || length < active.header.capacity {
        active.file.sync_data().map_err(LogError::io("sync", &name))?;
    }
    Ok(())
}

/// Makes segments. The order of its steps is what recovery relies on: a segment's header is durable before it has its
/// name, and its name before the superblock counts on it, and that before any batch goes into it.
struct Maker<'a, D: Disk> {
    disk: &'a D,
    pool: &'a SparePool<D>,
    copies: &'a mut Copies,
    superblock: &'a mut Superblock,
}

impl<D: Disk> Maker<'_, D> {
    fn segment(
        &mut self,
        capacity: u64,
        previous_salt: u64,
        first_batch: u64,
        salt_seed: u64,
    ) -> Result<Newest<D::File>, LogError> {
        let spare = self.pool.take(capacity)?;
        let file = self.disk.open(&spare).map_err(LogError::io("open", &spare))?;
        let identity = &self.superblock.identity;
        let sequence = self.superblock.newest + 1;
        let header = SegmentHeader {
            directory: identity.directory,
            sequence,
            salt: segment_salt(salt_seed, sequence, identity.incarnation),
            previous_salt,
            first_batch,
            capacity: file.len().map_err(LogError::io("read", &spare))?,
            incarnation: identity.incarnation,
        };
        let name = segment_name(sequence);
        file.write_at(&header.encode(), 0).map_err(LogError::io("write", &spare))?;
        file.sync_data().map_err(LogError::io("sync", &spare))?;
        self.disk.rename(&spare, &name).map_err(LogError::io("rename", &spare))?;
        self.disk.sync_dir().map_err(LogError::io("sync", "the directory"))?;
        self.superblock.newest = sequence;
        self.superblock.newest_salt = header.salt;
        self.copies.update(self.disk, self.superblock.clone())?;
        Ok(Newest { header, file: Arc::new(file), end: BLOCK_BYTES, next_batch: first_batch })
    }
}
