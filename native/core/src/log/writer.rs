//! The log's one writer: appending batches, moving from segment to segment.

use super::batch::{batch_bytes, carried_bytes, BatchBuffer};
use super::check::check;
use super::disk::{Disk, DiskFile};
use super::footer;
use super::index::SegmentIndex;
use super::layout::{round_up, BLOCK_BYTES};
use super::maker::{Maker, Newest};
use super::reader::LogReader;
use super::reserve::Reserve;
use super::spare::SparePool;
use super::state::Shared;
use super::superblock::{Copies, Superblock};
use super::types::{AppendStats, Op};
use super::unsettled::{self, clear_unsettled};
use super::LogError;
use std::sync::Arc;

/// Largest batch, headers and padding included.
pub const BATCH_BYTES_MAX: u64 = 1 << 30;
/// Smallest segment: header, one block of batches, footer and trailer.
pub(super) const SEGMENT_BYTES_MIN: u64 = 4 * BLOCK_BYTES;
/// Room kept for what one batch may add to the footer. Not a promise: a footer that does not fit makes the file grow.
const FOOTER_SLACK_BYTES: u64 = BLOCK_BYTES;

/// Room in a segment that is made on a full disk, besides the batch it is made for.
const SMALL_SEGMENT_BYTES: u64 = 16 * BLOCK_BYTES;

/// A log open for writing. There is one per directory: the owner of the directory's lock has it.
pub struct Log<D: Disk> {
    pub(super) shared: Arc<Shared<D>>,
    pub(super) pool: SparePool<D>,
    pub(super) reserve: Reserve,
    pub(super) copies: Copies,
    pub(super) superblock: Superblock,
    pub(super) segment_bytes: u64,
    pub(super) salt_seed: u64,
    pub(super) newest: Newest<D::File>,
    pub(super) buffer: BatchBuffer,
    pub(super) offsets: Vec<u64>,
    pub(super) poisoned: bool,
    /// Bytes written since the open and not yet matched by bytes moved: no more may be moved.
    pub(super) credit: u64,
}

impl<D: Disk> Log<D> {
    /// Writes all of `ops` as one batch; Ok means that it is on disk and that readers see it. Once a write or a sync
    /// has failed, every later call answers `Poisoned` (rule L4).
    ///
    /// These change nothing: `NotContiguous`, `OutOfRange`, `Compacted`, `MarkRefused`, `WrittenTwice` and `TooLarge`
    /// for operations that do not fit the log; `Full` where the disk has no room for another segment. Then the reserve
    /// is given back, and the same operations can be tried again. Batches without entries go on out of the reserve.
    pub fn append(&mut self, ops: &[Op]) -> Result<AppendStats, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        check(&self.shared.read(), ops)?;
        let bytes = batch_bytes(ops);
        if bytes > BATCH_BYTES_MAX {
            return Err(LogError::TooLarge { what: "a batch", bytes, limit: BATCH_BYTES_MAX });
        }
        if ops.is_empty() {
            return Ok(AppendStats::default());
        }
        let written = self.write(ops, bytes);
        match &written {
            Ok(_) => {}
            Err(LogError::Full { .. }) => self.reserve.give_back(&*self.shared.disk),
            Err(_) => self.poisoned = true,
        }
        self.buffer.clear();
        written
    }

    fn write(&mut self, ops: &[Op], bytes: u64) -> Result<AppendStats, LogError> {
        let (seal, carried, unfit) = {
            let state = self.shared.read();
            let active = state.active.as_ref();
            let seal = active.map_or(0, |active| footer::sealed_bytes(&active.index));
            let unfit = active.is_some_and(|active| {
                active.damaged || ops.iter().any(|op| moves_what_is_there(op, &active.index))
            });
            (seal, carried_bytes(state.groups.len()), unfit)
        };
        let first = if self.newest.end == BLOCK_BYTES { carried } else { 0 };
        let rolled = unfit || self.newest.end + first + bytes + seal + FOOTER_SLACK_BYTES > self.newest.header.capacity;
        if rolled {
            let small = ops.iter().all(|op| matches!(op, Op::HardState { .. } | Op::Truncate { .. } | Op::Mark { .. }));
            self.roll(bytes + carried, small)?;
        }
        let newest = &mut self.newest;
        let incarnation = self.superblock.identity.incarnation;
        self.buffer.begin(newest.header.salt, newest.end);
        self.offsets.clear();
        let carries = newest.end == BLOCK_BYTES;
        if carries {
            // So that no older segment is needed to know a group's hard state and mark (rule L6).
            for (id, group) in &self.shared.read().groups {
                self.buffer.push_carried(*id, &group.carried());
            }
        }
        for op in ops {
            self.buffer.push(op, |offset| self.offsets.push(offset));
        }
        let padded = self.buffer.finish(newest.next_batch, incarnation);
        let name = || newest.header.name();
        newest.file.write_vectored_at(&self.buffer.slices(), newest.end).map_err(|e| LogError::io("write", name())(e))?;
        newest.file.sync_data().map_err(|e| LogError::io("sync", name())(e))?;
        let batch = newest.next_batch;
        newest.end += padded;
        newest.next_batch += 1;
        self.credit += padded;
        let mut state = self.shared.write();
        if carries {
            state.carried();
        }
        state.apply(ops, &self.offsets, newest.end);
        Ok(AppendStats { bytes: padded, batch, rolled })
    }

    /// Seals the newest segment and begins another, with room for a batch of `bytes`. `Full` before anything is changed;
    /// a `small` batch gets a small segment then, out of the reserve, for votes and snapshot marks are what makes room.
    fn roll(&mut self, bytes: u64, small: bool) -> Result<(), LogError> {
        let needed = round_up(BLOCK_BYTES + bytes + SEGMENT_BYTES_MIN + FOOTER_SLACK_BYTES, BLOCK_BYTES);
        let spare = match self.pool.take(self.segment_bytes.max(needed)) {
            Err(LogError::Full { .. }) if small => {
                self.reserve.give_back(&*self.shared.disk);
                self.pool.make((needed + SMALL_SEGMENT_BYTES).min(self.segment_bytes.max(needed)))
            }
            taken => taken,
        }?;
        let sealed = self.seal()?;
        let disk = self.shared.disk.clone();
        let mut maker = Maker { disk: &*disk, copies: &mut self.copies, superblock: &mut self.superblock };
        let previous = self.newest.header.salt;
        let newest = maker.segment(&spare, previous, self.newest.next_batch, self.salt_seed)?;
        let mut state = self.shared.write();
        if let Some(active) = state.active.take() {
            let used = active.end + sealed.unwrap_or(0);
            let pinned = sealed.is_none().then_some(active.index);
            state.add_sealed(&active.header, used, pinned);
        }
        state.active = Some(newest.active());
        drop(state);
        self.newest = newest;
        Ok(())
    }

    /// Puts the footer behind the last batch; its size. `None` where there is none to be: the segment has lost batches,
    /// or is too full for a footer while the disk is full.
    fn seal(&mut self) -> Result<Option<u64>, LogError> {
        let state = self.shared.read();
        let newest = &self.newest;
        let Some(active) = state.active.as_ref().filter(|active| !active.damaged) else { return Ok(None) };
        let incarnation = self.superblock.identity.incarnation;
        match footer::write(&*newest.file, &newest.header, newest.end, newest.next_batch, incarnation, &active.index) {
            Err(LogError::Full { .. }) => return Ok(None),
            written => written?,
        }
        newest.file.sync_data().map_err(LogError::io("sync", newest.header.name()))?;
        Ok(Some(footer::sealed_bytes(&active.index)))
    }

    /// A reader of what is on disk, for any thread.
    pub fn reader(&self) -> LogReader<D> {
        LogReader::new(self.shared.clone())
    }

    /// For a thread that prepares segments ahead.
    pub fn spare_pool(&self) -> SparePool<D> {
        self.pool.clone()
    }

    /// The others have settled what this log may have lost (rule L2); durable when it returns. Also to be had without
    /// the log, as `clear_unsettled`.
    pub fn clear_unsettled(&self) -> Result<(), LogError> {
        clear_unsettled(&*self.shared.disk)
    }

    /// Says durably that this log is about to forget what its member may have acknowledged; for the moment before it does.
    pub fn set_unsettled(&self) -> Result<(), LogError> {
        unsettled::set(&*self.shared.disk)
    }

    /// True while the space for a full disk is kept back, or none was asked for and so none given back.
    pub fn has_reserve(&self) -> bool {
        self.reserve.is_held()
    }

    /// Keeps space back again after it was given away to a full disk; false while there is not enough. Blocks for as
    /// long as writing that many zeros takes.
    pub fn restore_reserve(&mut self) -> Result<bool, LogError> {
        self.reserve.restore(&*self.shared.disk)
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

/// A segment never holds two live records of one entry: what is repaired or moved anew goes to the next.
fn moves_what_is_there(op: &Op, index: &SegmentIndex) -> bool {
    let (Op::Repair { group, entries } | Op::Relocate { group, entries }) = op else { return false };
    let (Some(low), Some(high)) = (entries.first(), entries.last()) else { return false };
    index.groups.get(group).is_some_and(|part| part.overlaps(low.index.0, high.index.0))
}
