//! Giving old segments back: dropping those in which nothing is live, and moving what is live out of the oldest, where it
//! is little or holds too much back (rule L6).

use super::disk::Disk;
use super::layout::segment_name;
use super::types::{Op, Pin, ReleaseStats, RelocateStats, Tidied};
use super::writer::Log;
use super::LogError;
use crate::ids::Index;
use crate::plants::{self, CorePlant};

/// The oldest segment is worth emptying when at most one part in so many of it is live.
const LIVE_SHARE: u64 = 4;

impl<D: Disk> Log<D> {
    /// Drops the oldest segments, as many as no group needs: their files become spares, as far as those are wanted, or
    /// go. The superblock says so durably before the first file is touched; what a crash leaves over is removed by the
    /// next open. Readers of a dropped segment get `Compacted`, or the entries from where they are now.
    ///
    /// Errors: a file that cannot be renamed or removed leaves the log as it should be, and the file to the next open.
    /// A superblock that cannot be written poisons the log.
    pub fn release(&mut self) -> Result<ReleaseStats, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let oldest = self.shared.read().oldest_needed();
        let mut stats = ReleaseStats::default();
        if oldest <= self.superblock.oldest {
            return Ok(stats);
        }
        let mut superblock = self.superblock.clone();
        (superblock.oldest, superblock.floor) = (oldest, self.newest.next_batch);
        let disk = self.shared.disk.clone();
        if let Err(error) = self.copies.update(&*disk, superblock.clone()) {
            self.poisoned = true;
            return Err(error);
        }
        let gone = self.superblock.oldest..oldest;
        self.superblock = superblock;
        let mut state = self.shared.write();
        let kept = state.sealed.split_off(&oldest);
        let dropped = std::mem::replace(&mut state.sealed, kept);
        drop(state);
        self.shared.cache().forget_before(oldest);
        stats.bytes = dropped.values().map(|segment| segment.used_bytes).sum();
        // A segment that was lost with its file is not among the dropped, or is without a file.
        for name in gone.filter(|sequence| dropped.contains_key(sequence)).map(segment_name) {
            if self.pool.recycle(&name)? {
                stats.recycled += 1;
            } else {
                disk.remove(&name).map_err(LogError::io("remove", &name))?;
            }
            stats.segments += 1;
        }
        disk.sync_dir().map_err(LogError::io("sync", "the directory"))?;
        Ok(stats)
    }

    /// Moves live entries out of the oldest segment, where little of it is live, or where more than `held_back_max` bytes
    /// are held back: up to `max_bytes` of data, but at least one entry. To be called again until it moves nothing; it is
    /// an append of its own, for which what waits to be appended has to wait. Then `release` drops the segment.
    ///
    /// At least as many bytes as are live may be held back, whatever the limit says, so that moving all of them once frees
    /// as much. And nothing is moved unless as much was written since the last time: the log never writes more than twice
    /// what it is given.
    ///
    /// Errors: as `append`; `Damaged` where an entry to be moved cannot be read and needs repair first.
    pub fn relocate(&mut self, max_bytes: u64, held_back_max: u64) -> Result<RelocateStats, LogError> {
        let mut moved = RelocateStats::default();
        let Some((sequence, used)) = self.oldest_pinned().filter(|_| self.credit > 0) else { return Ok(moved) };
        let (oldest, (live, held_back)) = {
            let state = self.shared.read();
            (state.live_bytes(sequence), state.sealed_bytes())
        };
        let exceeds = held_back > held_back_max.max(live) && !plants::is(CorePlant::QuotaIgnored);
        if oldest > used / LIVE_SHARE && !exceeds {
            return Ok(moved);
        }
        let reader = self.reader();
        let mut ops = Vec::new();
        for (group, first, last) in self.shared.read().held_in(sequence) {
            let mut low = first;
            while low <= last && (moved.entries == 0 || moved.bytes < max_bytes) {
                let entries = reader.entries(group, Index(low), Index(last + 1), max_bytes - moved.bytes.min(max_bytes))?;
                low += entries.len() as u64;
                moved.entries += entries.len();
                moved.bytes += entries.iter().map(|entry| (entry.data.len() + entry.context.len()) as u64).sum::<u64>();
                ops.push(Op::Relocate { group, entries });
            }
        }
        let before = self.credit;
        let written = self.append(&ops)?.bytes;
        self.credit = before.saturating_sub(written);
        moved.freed = self.shared.read().oldest_needed() > sequence;
        Ok(moved)
    }

    /// Between two batches: as `relocate`, without errors that only mean that nothing can be moved now.
    pub fn tidy(&mut self, max_bytes: u64, held_back_max: u64) -> Result<Tidied, LogError> {
        match self.relocate(max_bytes, held_back_max) {
            Ok(moved) => {
                // What was repaired has a new home too.
                let freed = self.shared.read().oldest_needed() > self.superblock.oldest;
                Ok(Tidied { moved: moved.entries > 0, freed, unreadable: Vec::new() })
            }
            Err(LogError::Full { .. }) => Ok(Tidied::default()),
            Err(LogError::Damaged { lost, .. }) => Ok(Tidied { unreadable: lost, ..Tidied::default() }),
            Err(error) => Err(error),
        }
    }

    /// What each group holds in the `segments` oldest segments.
    pub fn pins(&self, segments: u64) -> Vec<Pin> {
        self.shared.read().pins(self.superblock.oldest.saturating_add(segments).saturating_sub(1))
    }

    /// The oldest sealed segment, unless it can be dropped as it is, and the bytes in use in it.
    fn oldest_pinned(&self) -> Option<(u64, u64)> {
        let state = self.shared.read();
        let (sequence, segment) = state.sealed.iter().next()?;
        (state.oldest_needed() == *sequence).then_some((*sequence, segment.used_bytes))
    }
}
