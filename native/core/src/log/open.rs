//! Opening a log for writing: recovery, and the changes that make what it found durable.

use super::batch::BatchBuffer;
use super::disk::{Disk, DiskFile};
use super::layout::{round_up, segment_sequence, BLOCK_BYTES};
use super::maker::{Maker, Newest};
use super::recover::{leftovers, recover, Access, Tail};
use super::reserve::{remove_reserve, Reserve};
use super::spare::{zero, SparePool};
use super::state::{Active, Shared, State};
use super::superblock::{Copies, Superblock};
use super::types::{Identity, LogOptions, Recovery, Wanted};
use super::unsettled;
use super::writer::{Log, SEGMENT_BYTES_MIN};
use super::LogError;
use std::sync::Arc;

impl<D: Disk> Log<D> {
    /// Creates the log of a new directory, or recovers the one that is there: a torn tail is cut off, the directory's
    /// incarnation counted up, all durably. Where batches in front of readable ones are lost, what they held is named in
    /// `Recovery::damaged` and reads as `Damaged`.
    ///
    /// Errors: `IdentityMismatch` for another cluster's or node's log; `MissingSegment` for the newest,
    /// `UnexpectedSegment`, `ForeignSegment`, `StaleSuperblock` and the like where the directory's parts do not belong
    /// together; nothing is changed then. `Full` where there is no room for what an open has to write.
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
        let recovery = recovery(&state, tail.as_ref(), superblock.identity.clone(), &names);
        if recovery.unsettled && !unsettled::is_set(&names) {
            // Before anything is cut: the next open finds the log whole.
            match unsettled::set(&*disk) {
                Err(LogError::Full { .. }) if remove_reserve(&*disk) => unsettled::set(&*disk)?,
                set => set?,
            }
        }
        if let (Some(active), Some(tail)) = (&state.active, &tail) {
            clean(active, tail)?;
            superblock.newest = active.header.sequence;
            superblock.newest_salt = active.header.salt;
            superblock.floor = tail.next_batch;
        }
        superblock.identity.incarnation += 1;
        copies.update(&*disk, superblock.clone())?;
        for name in leftovers(&superblock, &names) {
            disk.remove(name).map_err(LogError::io("remove", name))?;
        }
        let pool = SparePool::open(disk.clone(), &names, segment_bytes, options.spare_segments)?;

        let mut maker = Maker { disk: &*disk, copies: &mut copies, superblock: &mut superblock };
        let newest = match (&state.active, &tail) {
            (Some(active), Some(tail)) => {
                let (header, file) = (active.header.clone(), active.file.clone());
                Newest { header, file, end: active.end, next_batch: tail.next_batch }
            }
            _ => {
                let newest = maker.segment(&pool.take(segment_bytes)?, 0, 1, wanted.salt_seed)?;
                state.active = Some(newest.active());
                newest
            }
        };
        let reserve = Reserve::open(&*disk, options.reserve_bytes)?;
        let stats = state.stats();
        let recovery = Recovery {
            identity: superblock.identity.clone(),
            log_bytes: stats.log_bytes,
            segments: stats.segments,
            ..recovery
        };
        let log = Self {
            shared: Arc::new(Shared::new(disk, state)),
            pool,
            reserve,
            copies,
            superblock,
            segment_bytes,
            salt_seed: wanted.salt_seed,
            newest,
            buffer: BatchBuffer::default(),
            offsets: Vec::new(),
            poisoned: false,
            credit: 0,
        };
        Ok((log, recovery))
    }
}

/// What was found, in the caller's terms.
pub(super) fn recovery<F>(state: &State<F>, tail: Option<&Tail>, identity: Identity, names: &[String]) -> Recovery {
    let torn_bytes = tail.map_or(0, |tail| tail.torn_bytes);
    let stats = state.stats();
    Recovery {
        identity,
        groups: state.recovered(),
        torn_bytes,
        unsettled: torn_bytes > 0 || state.unsure || unsettled::is_set(names),
        damaged: state.damaged(),
        lost_batches: state.lost_batches,
        log_bytes: stats.log_bytes,
        segments: stats.segments,
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
