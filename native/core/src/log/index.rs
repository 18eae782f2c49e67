//! Where one segment's live entries are: what a footer stores and what the newest segment keeps in memory.
//!
//! The index is sparse. A group's live entries form runs; a point names the offset of an entry at least every
//! `POINT_SPACING_BYTES`, and a reader walks the records between points.

use super::types::HardState;
use crate::ids::{GroupId, Index, Term};
use std::collections::BTreeMap;

/// Least distance in a segment between two points of one group.
pub(super) const POINT_SPACING_BYTES: u64 = 64 * 1024;

/// Entries `first..=last` of a group, one after another among other groups' records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub first: u64,
    /// Invariant: first <= last.
    pub last: u64,
    /// Offset of the record of `first`.
    pub offset: u64,
}

/// One group's part of a segment. Invariant: runs, terms and points ascend and hold live entries only; two runs are
/// contiguous by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentGroup {
    /// Lowest index from which this segment truncates what earlier segments hold.
    pub truncated_from: Option<u64>,
    pub runs: Vec<Run>,
    pub terms: Vec<(u64, u64)>,
    pub points: Vec<(u64, u64)>,
    pub hard_state: Option<HardState>,
    /// The next entry begins a run: a truncated one may lie between it and the one before.
    broken: bool,
}

impl SegmentGroup {
    pub fn first(&self) -> Option<u64> {
        self.runs.first().map(|run| run.first)
    }

    pub fn last(&self) -> Option<u64> {
        self.runs.last().map(|run| run.last)
    }

    pub fn truncate(&mut self, from: u64) {
        if self.first().is_none_or(|first| from <= first) {
            self.truncated_from = Some(self.truncated_from.map_or(from, |earlier| earlier.min(from)));
        }
        if self.last().is_some_and(|last| from <= last) {
            self.broken = true;
            truncate_runs(&mut self.runs, from, |run| (run.first, &mut run.last));
            self.terms.retain(|(first, _)| *first < from);
            self.points.retain(|(index, _)| *index < from);
        }
    }

    /// For an index read back: whether its last record was a truncation is not stored.
    pub fn break_run(&mut self) {
        self.broken = true;
    }

    pub fn push(&mut self, index: Index, term: Term, offset: u64) {
        match self.runs.last_mut() {
            Some(run) if !self.broken && run.last + 1 == index.0 => run.last = index.0,
            _ => self.runs.push(Run { first: index.0, last: index.0, offset }),
        }
        self.broken = false;
        push_term(&mut self.terms, index.0, term.0);
        if self.points.last().is_none_or(|(_, last)| offset - last >= POINT_SPACING_BYTES) {
            self.points.push((index.0, offset));
        }
    }

    /// The closest known record at or before `index`, which must be in one of the runs.
    pub fn nearest(&self, index: u64) -> Option<(u64, u64)> {
        let run = self.runs[..self.runs.partition_point(|run| run.first <= index)].last()?;
        let point = self.points[..self.points.partition_point(|(first, _)| *first <= index)].last();
        Some(point.copied().filter(|(first, _)| *first > run.first).unwrap_or((run.first, run.offset)))
    }

    /// The group's index range `low..=high` cut into the parts that can be walked in one go.
    pub fn parts(&self, low: u64, high: u64) -> Vec<(u64, u64)> {
        let overlapping = self.runs.iter().filter(|run| run.first <= high && low <= run.last);
        overlapping.map(|run| (run.first.max(low), run.last.min(high))).collect()
    }
}

/// Cuts everything at and after `from` off a list of ascending ranges.
pub(super) fn truncate_runs<T>(runs: &mut Vec<T>, from: u64, mut range: impl FnMut(&mut T) -> (u64, &mut u64)) {
    while let Some(run) = runs.last_mut() {
        let (first, last) = range(run);
        if first < from {
            *last = (*last).min(from - 1);
            return;
        }
        runs.pop();
    }
}

/// Notes the term of the entry at `index`, in a list of the first indexes of runs of equal terms.
pub(super) fn push_term(terms: &mut Vec<(u64, u64)>, index: u64, term: u64) {
    if terms.last().is_none_or(|(_, last)| *last != term) {
        terms.push((index, term));
    }
}

/// What one segment holds. Invariant: all of it is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    pub groups: BTreeMap<GroupId, SegmentGroup>,
}

impl SegmentIndex {
    pub fn group(&mut self, group: GroupId) -> &mut SegmentGroup {
        self.groups.entry(group).or_default()
    }
}
