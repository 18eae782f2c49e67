//! When a log gives back what nobody needs, and moves what is in the way of that (rule L6, docs/decisions/0018). Whoever
//! writes the batches asks after each of them, and again for as long as none waits to be written.

use super::disk::Disk;
use super::error::LostRange;
use super::types::AppendStats;
use super::writer::Log;
use super::LogError;

#[derive(Clone, Copy, Debug)]
pub struct UpkeepLimits {
    /// Bytes that nobody needs and that older entries may hold back.
    pub held_back_bytes_max: u64,
    /// Live bytes moved at a time: what a write waits for at most.
    pub move_bytes_max: u64,
    /// So much is worth a write of its own.
    pub move_bytes_min: u64,
}

#[derive(Debug)]
pub struct Upkeep {
    limits: UpkeepLimits,
    /// A mark was written in the last batch, or entries were moved after it. Until there is a later batch they could be
    /// lost with a torn tail, and what was there before must still be found.
    release_due: bool,
    /// A mark was written in the last batch.
    tidy_due: bool,
    /// There may be something to move without anything else happening first.
    untidy: bool,
}

impl Upkeep {
    pub fn new(limits: UpkeepLimits) -> Self {
        Self { limits, release_due: false, tidy_due: false, untidy: false }
    }

    /// After a batch; `marked` if it held a snapshot mark. What could not be moved, and needs repair first.
    ///
    /// Errors: as `Log::append` and `Log::release`.
    pub fn after_batch<D: Disk>(&mut self, log: &mut Log<D>, written: AppendStats, marked: bool) -> Result<Vec<LostRange>, LogError> {
        if written.bytes == 0 {
            // Nothing was written: what was moved last is still in the last batch alone.
            return Ok(Vec::new());
        }
        let release = std::mem::replace(&mut self.release_due, marked);
        let tidy = std::mem::replace(&mut self.tidy_due, marked);
        if release && written.rolled {
            // The first batch of a segment repeats what those before say of the groups: torn, it takes that along.
            self.release_due = true;
        } else if release {
            log.release()?;
        }
        let UpkeepLimits { held_back_bytes_max, move_bytes_max, move_bytes_min } = self.limits;
        if tidy {
            // A quiet group's few entries make way for the next.
            self.tidy(log, move_bytes_max)
        } else if holds_back_more_than(log, held_back_bytes_max.saturating_mul(2)) {
            // Too much is held back to wait for a quiet moment: for each byte written one is moved. Whatever was in the way of
            // that the last time (damage, no room, too little written) may be gone.
            self.tidy(log, written.bytes.clamp(move_bytes_min, move_bytes_max))
        } else {
            Ok(Vec::new())
        }
    }

    /// Whether `while_idle` has something to do: Raft's writes go first.
    pub fn is_due<D: Disk>(&self, log: &Log<D>) -> bool {
        self.untidy && !self.release_due && holds_back_more_than(log, self.limits.held_back_bytes_max)
    }

    /// While no batch waits. What could not be moved, and needs repair first.
    ///
    /// Errors: as `Log::append`.
    pub fn while_idle<D: Disk>(&mut self, log: &mut Log<D>) -> Result<Vec<LostRange>, LogError> {
        self.tidy(log, self.limits.move_bytes_max)
    }

    /// Moves something out of the oldest segment, which goes after the next batch when it was the last.
    fn tidy<D: Disk>(&mut self, log: &mut Log<D>, bytes_max: u64) -> Result<Vec<LostRange>, LogError> {
        let tidied = log.tidy(bytes_max, self.limits.held_back_bytes_max)?;
        self.untidy = tidied.moved;
        self.release_due |= tidied.freed;
        Ok(tidied.unreadable)
    }
}

fn holds_back_more_than<D: Disk>(log: &Log<D>, bytes: u64) -> bool {
    log.reader().stats().held_back_bytes > bytes
}
