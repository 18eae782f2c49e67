//! What writer and readers of an open log share: where every group's live entries are.
//!
//! Of sealed segments only ranges are kept here; their sparse indexes stay in their footers and are fetched through a
//! small cache. Only the newest segment's index is kept in memory.

use super::bookmarks::Bookmarks;
use super::cache::SegmentCache;
use super::disk::Disk;
use super::error::LostRange;
use super::group::Group;
use super::index::SegmentIndex;
use super::layout::{segment_name, SegmentHeader};
use super::types::{GroupRecovery, LogStats, Op, Pin};
use super::LogError;
use crate::ids::{GroupId, Index, Term};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(super) struct SealedSegment {
    pub header: SegmentHeader,
    pub used_bytes: u64,
    /// Its index, where the footer is missing or damaged and cannot be fetched again.
    pub pinned: Option<Arc<SegmentIndex>>,
}

/// The newest segment. Invariant: everything in `index` is on disk.
pub(super) struct Active<F> {
    pub header: SegmentHeader,
    pub file: Arc<F>,
    pub index: SegmentIndex,
    /// Where the next batch goes.
    pub end: u64,
    /// It has lost batches: it gets no footer, so that every open reads it and judges the loss anew.
    pub damaged: bool,
}

pub(super) struct State<F> {
    pub groups: BTreeMap<GroupId, Group>,
    pub sealed: BTreeMap<u64, SealedSegment>,
    pub active: Option<Active<F>>,
    /// Batches lost so far; and whether no segment since then has said what it began with.
    pub lost_batches: u64,
    pub unsure: bool,
    /// Truncations written since the open.
    pub cuts: u64,
}

impl<F> State<F> {
    pub fn new() -> Self {
        Self { groups: BTreeMap::new(), sealed: BTreeMap::new(), active: None, lost_batches: 0, unsure: false, cuts: 0 }
    }

    /// Takes over what a segment, or a part of one, says about its groups; it is newer than all before. `begins` for the
    /// first part of a segment.
    pub fn absorb(&mut self, sequence: u64, index: &SegmentIndex, begins: bool) {
        for (id, part) in &index.groups {
            self.unsure &= part.carried.is_none();
            self.groups.entry(*id).or_default().absorb(sequence, part, begins);
        }
    }

    /// That many batches are lost between what was absorbed and what comes.
    pub fn lose(&mut self, batches: u64) {
        if batches > 0 {
            self.lost_batches += batches;
            self.unsure = true;
            self.groups.values_mut().for_each(Group::lose);
        }
    }

    pub fn add_sealed(&mut self, header: &SegmentHeader, used_bytes: u64, pinned: Option<SegmentIndex>) {
        let segment = SealedSegment { header: header.clone(), used_bytes, pinned: pinned.map(Arc::new) };
        self.sealed.insert(header.sequence, segment);
    }

    /// Notes that the newest segment's first batch carried all groups.
    pub fn carried(&mut self) {
        let Some(active) = &mut self.active else { return };
        for (id, group) in &mut self.groups {
            let (carried, part) = (group.carried(), active.index.group(*id));
            part.carry(&carried);
            group.was_carried(active.header.sequence);
        }
    }

    /// Notes a batch that is on disk; `offsets` are those of its entries' records, in order.
    pub fn apply(&mut self, ops: &[Op], offsets: &[u64], end: u64) {
        let Some(active) = &mut self.active else { return };
        let sequence = active.header.sequence;
        let mut offsets = offsets.iter();
        for op in ops {
            let (part, group) = (active.index.group(op.group()), self.groups.entry(op.group()).or_default());
            match op {
                Op::Truncate { from, .. } => {
                    self.cuts += 1;
                    part.truncate(from.0);
                    group.truncate(from.0);
                }
                Op::HardState { state, .. } => {
                    part.hard_state = Some(*state);
                    group.set_hard_state(*state, sequence);
                }
                Op::Mark { mark, .. } => {
                    part.mark(*mark);
                    group.set_mark(*mark, sequence);
                }
                Op::Entries { entries, .. } => {
                    part.note_written(entries, offsets.as_slice());
                    for (entry, offset) in entries.iter().zip(&mut offsets) {
                        part.push(entry.index, entry.term, *offset);
                    }
                    group.append(sequence, entries, part.mean_bytes());
                }
                Op::Repair { entries, .. } | Op::Relocate { entries, .. } => {
                    part.note_written(entries, offsets.as_slice());
                    for (entry, offset) in entries.iter().zip(&mut offsets) {
                        // The writer began a new segment if this one had any of them.
                        part.place(entry.index, entry.term, *offset);
                    }
                    group.place(sequence, entries, part.mean_bytes());
                }
            }
        }
        active.end = end;
    }

    /// First and last index of a group; 1 and 0 for an empty or unknown one.
    pub fn bounds(&self, group: GroupId) -> (u64, u64) {
        self.groups.get(&group).map_or((1, 0), |group| (group.first, group.last()))
    }

    /// Term of an entry, or of the one before the first.
    pub fn term(&self, id: GroupId, index: Index) -> Result<Term, LogError> {
        let (first, last) = self.bounds(id);
        if index.0 + 1 < first {
            return Err(LogError::Compacted { group: id, index, first: Index(first) });
        }
        let out_of_range = || {
            let high = Index(index.0.saturating_add(1));
            LogError::OutOfRange { group: id, low: index, high, first: Index(first), last: Index(last) }
        };
        if index.0 == 0 || index.0 > last && index.0 + 1 != first {
            return Err(out_of_range());
        }
        let group = self.groups.get(&id).ok_or_else(out_of_range)?;
        let lost = group.extents(index.0, index.0).find(|extent| extent.segment.is_none());
        match (lost, group.term(index.0)) {
            (None, Some(term)) => Ok(Term(term)),
            _ => Err(self.lost(id, index.0, index.0)),
        }
    }

    /// The error for entries that no segment holds.
    pub fn lost(&self, id: GroupId, first: u64, last: u64) -> LogError {
        let lost = self.groups.get(&id).map(|group| group.lost_range(id, first, last));
        let segment = segment_name(self.sealed.keys().next().copied().unwrap_or(1));
        LogError::Damaged { segment, offset: 0, reason: "its batch or that of a later segment is lost", lost: lost.into_iter().collect() }
    }

    /// Every group, with its commit mark clamped to its last entry.
    pub fn recovered(&self) -> BTreeMap<GroupId, GroupRecovery> {
        self.groups.iter().map(|(id, group)| (*id, group.recovered())).collect()
    }

    pub fn damaged(&self) -> Vec<LostRange> {
        self.groups.iter().flat_map(|(id, group)| group.lost(*id)).collect()
    }

    /// Oldest segment that any group needs, or the newest.
    pub fn oldest_needed(&self) -> u64 {
        let newest = self.active.as_ref().map_or(u64::MAX, |active| active.header.sequence);
        self.groups.values().map(Group::oldest_segment).min().unwrap_or(u64::MAX).min(newest)
    }

    /// What each group holds in segments up to `sequence`.
    pub fn pins(&self, sequence: u64) -> Vec<Pin> {
        let pin = |(id, group): (&GroupId, &Group)| {
            let mut pin = Pin { group: *id, entries: 0, bytes: 0 };
            for extent in group.extents(0, u64::MAX).filter(|extent| extent.segment.is_some_and(|at| at <= sequence)) {
                let entries = extent.last - extent.first + 1;
                pin.entries += entries;
                pin.bytes += entries * u64::from(extent.mean_bytes);
            }
            pin
        };
        self.groups.iter().map(pin).filter(|pin| pin.entries > 0).collect()
    }

    /// Live bytes in segments up to `sequence`.
    pub fn live_bytes(&self, sequence: u64) -> u64 {
        self.pins(sequence).iter().map(|pin| pin.bytes).sum()
    }

    /// Of the sealed segments: bytes that are live, and bytes that older live entries hold back.
    pub fn sealed_bytes(&self) -> (u64, u64) {
        let Some(newest) = self.sealed.keys().next_back() else { return (0, 0) };
        let used: u64 = self.sealed.values().map(|segment| segment.used_bytes).sum();
        let live = self.live_bytes(*newest);
        (live, used.saturating_sub(live))
    }

    /// Live entries in one segment, as group, first and last index.
    pub fn held_in(&self, sequence: u64) -> Vec<(GroupId, u64, u64)> {
        let held = |(id, group): (&GroupId, &Group)| -> Vec<(GroupId, u64, u64)> {
            let extents = group.extents(0, u64::MAX).filter(|extent| extent.segment == Some(sequence));
            extents.map(|extent| (*id, extent.first, extent.last)).collect()
        };
        self.groups.iter().flat_map(held).collect()
    }

    pub fn stats(&self) -> LogStats {
        let sealed: u64 = self.sealed.values().map(|segment| segment.used_bytes).sum();
        LogStats {
            log_bytes: sealed + self.active.as_ref().map_or(0, |active| active.end),
            segments: self.sealed.len() + usize::from(self.active.is_some()),
            held_back_bytes: self.sealed_bytes().1,
        }
    }
}

pub(super) struct Shared<D: Disk> {
    pub disk: Arc<D>,
    state: RwLock<State<D::File>>,
    cache: Mutex<SegmentCache<D::File>>,
    bookmarks: Mutex<Bookmarks>,
}

// A panic while a lock was held cannot leave these half changed in a way that matters more than ending the node, which
// the owner of the panicking thread does; so lock poisoning is passed over.
impl<D: Disk> Shared<D> {
    pub fn new(disk: Arc<D>, state: State<D::File>) -> Self {
        Self { disk, state: RwLock::new(state), cache: Mutex::new(SegmentCache::new()), bookmarks: Mutex::default() }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State<D::File>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State<D::File>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cache(&self) -> MutexGuard<'_, SegmentCache<D::File>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn bookmarks(&self) -> MutexGuard<'_, Bookmarks> {
        self.bookmarks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
