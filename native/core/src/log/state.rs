//! What writer and readers of an open log share: where every group's live entries are.
//!
//! Sealed segments leave here one range a group; their sparse indexes stay in their footers and are fetched through a
//! small cache. Only the newest segment's index is kept in memory.

use super::cache::SegmentCache;
use super::disk::Disk;
use super::index::{push_term, truncate_runs, SegmentIndex};
use super::layout::SegmentHeader;
use super::types::{GroupRecovery, HardState, LogStats, Op};
use crate::ids::{GroupId, Index, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A group's entries `first..=last` in one sealed segment.
pub(super) struct SealedRange {
    pub segment: u64,
    pub first: u64,
    pub last: u64,
}

/// A group as far as sealed segments hold it. Invariant: ranges and terms ascend without a gap.
#[derive(Default)]
struct SealedGroup {
    ranges: Vec<SealedRange>,
    terms: Vec<(u64, u64)>,
    hard_state: HardState,
}

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
}

pub(super) struct State<F> {
    groups: BTreeMap<GroupId, SealedGroup>,
    pub sealed: BTreeMap<u64, SealedSegment>,
    pub active: Option<Active<F>>,
}

impl<F> State<F> {
    pub fn new() -> Self {
        Self { groups: BTreeMap::new(), sealed: BTreeMap::new(), active: None }
    }

    /// Takes over what a sealed segment, newer than all before, says about its groups.
    pub fn absorb(
        &mut self,
        header: &SegmentHeader,
        used_bytes: u64,
        index: &SegmentIndex,
        pin: bool,
    ) -> Result<(), &'static str> {
        for (id, part) in &index.groups {
            let group = self.groups.entry(*id).or_default();
            if let Some(from) = part.truncated_from {
                group.truncate(from);
            }
            if let (Some(first), Some(last)) = (part.first(), part.last()) {
                if first != group.last() + 1 {
                    return Err("its entries do not go on where the segments before it end");
                }
                group.ranges.push(SealedRange { segment: header.sequence, first, last });
                part.terms.iter().for_each(|(index, term)| push_term(&mut group.terms, *index, *term));
            }
            group.hard_state = part.hard_state.unwrap_or(group.hard_state);
        }
        let pinned = pin.then(|| Arc::new(index.clone()));
        self.sealed.insert(header.sequence, SealedSegment { header: header.clone(), used_bytes, pinned });
        Ok(())
    }

    /// Makes a segment the newest; what it truncates goes from the sealed ones.
    pub fn activate(&mut self, active: Active<F>) -> Result<(), &'static str> {
        for (id, part) in &active.index.groups {
            let group = self.groups.entry(*id).or_default();
            if let Some(from) = part.truncated_from {
                group.truncate(from);
            }
            if part.first().is_some_and(|first| first != group.last() + 1) {
                return Err("its entries do not go on where the segments before it end");
            }
        }
        self.active = Some(active);
        Ok(())
    }

    /// Notes a batch that is on disk; `offsets` are those of its entries' records, in order.
    pub fn apply(&mut self, ops: &[Op], offsets: &[u64], end: u64) {
        let Some(active) = &mut self.active else { return };
        let mut offsets = offsets.iter();
        for op in ops {
            match op {
                Op::Truncate { group, from } => {
                    active.index.group(*group).truncate(from.0);
                    self.groups.entry(*group).or_default().truncate(from.0);
                }
                Op::HardState { group, state } => active.index.group(*group).hard_state = Some(*state),
                Op::Entries { group, entries } => {
                    let part = active.index.group(*group);
                    for (entry, offset) in entries.iter().zip(&mut offsets) {
                        part.push(entry.index, entry.term, *offset);
                    }
                }
            }
        }
        active.end = end;
    }

    pub fn last_index(&self, group: GroupId) -> u64 {
        let active = self.active.as_ref().and_then(|active| active.index.groups.get(&group)?.last());
        active.or_else(|| self.groups.get(&group).map(SealedGroup::last)).unwrap_or(0)
    }

    /// Term of a live entry.
    pub fn term(&self, group: GroupId, index: u64) -> Option<u64> {
        if index == 0 || index > self.last_index(group) {
            return None;
        }
        let find = |terms: &[(u64, u64)]| {
            terms[..terms.partition_point(|(first, _)| *first <= index)].last().map(|(_, term)| *term)
        };
        let active = self.active.as_ref().and_then(|active| active.index.groups.get(&group));
        active.and_then(|part| find(&part.terms)).or_else(|| find(&self.groups.get(&group)?.terms))
    }

    /// Sealed ranges that overlap `low..=high`.
    pub fn sealed_ranges(&self, group: GroupId, low: u64, high: u64) -> impl Iterator<Item = &SealedRange> {
        let ranges = self.groups.get(&group).map_or(&[][..], |group| &group.ranges);
        ranges[ranges.partition_point(|range| range.last < low)..].iter().take_while(move |range| range.first <= high)
    }

    /// Every group, with its commit mark clamped to its last entry.
    pub fn recovered(&self) -> BTreeMap<GroupId, GroupRecovery> {
        let active = self.active.iter().flat_map(|active| active.index.groups.keys());
        let ids: BTreeSet<GroupId> = self.groups.keys().chain(active).copied().collect();
        ids.into_iter().map(|id| (id, self.recovered_group(id))).collect()
    }

    fn recovered_group(&self, id: GroupId) -> GroupRecovery {
        let sealed = self.groups.get(&id);
        let active = self.active.as_ref().and_then(|active| active.index.groups.get(&id));
        let mut terms = sealed.map_or_else(Vec::new, |group| group.terms.clone());
        active.iter().flat_map(|part| &part.terms).for_each(|(index, term)| push_term(&mut terms, *index, *term));
        let stored = active.and_then(|part| part.hard_state).or(sealed.map(|group| group.hard_state));
        let last_index = Index(self.last_index(id));
        let mut hard_state = stored.unwrap_or_default();
        hard_state.commit = hard_state.commit.min(last_index);
        let terms = terms.into_iter().map(|(index, term)| (Index(index), Term(term))).collect();
        GroupRecovery { hard_state, first_index: Index(1), last_index, terms }
    }

    pub fn stats(&self) -> LogStats {
        let sealed: u64 = self.sealed.values().map(|segment| segment.used_bytes).sum();
        LogStats {
            log_bytes: sealed + self.active.as_ref().map_or(0, |active| active.end),
            segments: self.sealed.len() + usize::from(self.active.is_some()),
        }
    }
}

impl SealedGroup {
    fn last(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.last)
    }

    fn truncate(&mut self, from: u64) {
        truncate_runs(&mut self.ranges, from, |range| (range.first, &mut range.last));
        self.terms.retain(|(first, _)| *first < from);
    }
}

pub(super) struct Shared<D: Disk> {
    pub disk: Arc<D>,
    state: RwLock<State<D::File>>,
    cache: Mutex<SegmentCache<D::File>>,
}

// A panic while a lock was held cannot leave these half changed in a way that matters more than ending the node, which
// the owner of the panicking thread does; so lock poisoning is passed over.
impl<D: Disk> Shared<D> {
    pub fn new(disk: Arc<D>, state: State<D::File>) -> Self {
        Self { disk, state: RwLock::new(state), cache: Mutex::new(SegmentCache::new()) }
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
}
