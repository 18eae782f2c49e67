//! Where one segment's live entries are: what a footer stores and what the newest segment keeps in memory.
//!
//! The index is sparse. A group's live entries form runs; a point names the offset of an entry at least every
//! `POINT_SPACING_BYTES`, and a reader walks the records between points.

use super::record::{entry_bytes, Carried, ENTRY_HEADER_BYTES};
use super::terms::{copy_terms, forget_terms_before, push_term, set_term, truncate_terms, Terms};
use super::types::{HardState, LogEntry, SnapshotMark};
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

/// One group's part of a segment. Invariant: runs and points ascend by index; no index is in two runs, for a segment never
/// holds two live records of one entry. Runs may reach below the group's first index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentGroup {
    /// Index and term of the group's last entry when the segment began; the term is 0 where that entry was lost.
    pub carried: Option<(u64, u64)>,
    /// Lowest index from which this segment truncates what earlier segments hold.
    pub truncated_from: Option<u64>,
    pub runs: Vec<Run>,
    pub terms: Terms,
    pub points: Vec<(u64, u64)>,
    pub hard_state: Option<HardState>,
    pub mark: Option<SnapshotMark>,
    /// Entries written here, live or not, and the bytes of their records: for the mean.
    pub written: u64,
    pub written_bytes: u64,
    /// Lowest of the entries that were appended here and none cut since: nothing at or above it is elsewhere.
    appended_from: Option<u64>,
    /// The next entry begins a run: a truncated or a moved one may lie between it and the one before.
    broken: bool,
    /// Where a repair or relocation under way goes on.
    moving: Option<u64>,
    /// Index of the next entry to be appended, once anything here tells.
    pub next: Option<u64>,
}

impl SegmentGroup {
    /// First index in one of the runs.
    pub fn first(&self) -> Option<u64> {
        self.runs.first().map(|run| run.first)
    }

    pub fn last(&self) -> Option<u64> {
        self.runs.last().map(|run| run.last)
    }

    /// Mean size of the records written here, in bytes.
    pub fn mean_bytes(&self) -> u32 {
        u32::try_from(self.written_bytes / self.written.max(1)).unwrap_or(u32::MAX)
    }

    /// Counts entries in, whose records lie one after another, the first at the first of `offsets`.
    pub fn note_written(&mut self, entries: &[LogEntry], offsets: &[u64]) {
        let ends = entries.len().checked_sub(1).and_then(|last| Some((offsets.first()?, offsets.get(last)?, &entries[last])));
        if let Some((first, last, entry)) = ends {
            self.written += entries.len() as u64;
            self.written_bytes += last - first + entry_bytes(entry);
        }
    }

    /// Counts one entry in, of so many bytes of data and context.
    pub fn note_record(&mut self, bytes: usize) {
        self.written += 1;
        self.written_bytes += (ENTRY_HEADER_BYTES + bytes) as u64;
    }

    /// Takes what the segment's first batch says about the group.
    pub fn carry(&mut self, carried: &Carried) {
        self.carried = Some((carried.last.0, carried.last_term.0));
        (self.hard_state, self.mark) = (carried.hard_state, carried.mark);
        self.next = Some(carried.last.0 + 1);
    }

    pub fn truncate(&mut self, from: u64) {
        if self.appended_from.is_none_or(|first| from <= first) {
            self.truncated_from = Some(self.truncated_from.map_or(from, |earlier| earlier.min(from)));
            self.appended_from = None;
        }
        self.moving = None;
        self.next = self.next.map(|next| next.min(from));
        if self.last().is_some_and(|last| from <= last) {
            self.broken = true;
            truncate_runs(&mut self.runs, from);
            truncate_terms(&mut self.terms, from);
            self.points.truncate(self.points.partition_point(|(index, _)| *index < from));
        }
    }

    /// Drops the runs that a snapshot covers as a whole.
    pub fn mark(&mut self, mark: SnapshotMark) {
        self.mark = Some(mark);
        self.next = self.next.map(|next| next.max(mark.first.0).max(mark.index.0 + 1));
        let dead = self.runs.partition_point(|run| run.last < mark.first.0);
        self.runs.drain(..dead);
        if dead > 0 {
            let first = self.first().unwrap_or(u64::MAX);
            self.points.drain(..self.points.partition_point(|(index, _)| *index < first));
            match self.runs.is_empty() {
                true => self.terms.clear(),
                false => forget_terms_before(&mut self.terms, first),
            }
        }
    }

    /// For an index read back: whether its last record was a truncation is not stored.
    pub fn break_run(&mut self) {
        self.broken = true;
    }

    /// Adds the entry that comes after all others.
    pub fn push(&mut self, index: Index, term: Term, offset: u64) {
        match self.runs.last_mut() {
            Some(run) if !self.broken && run.last + 1 == index.0 => run.last = index.0,
            _ => {
                self.runs.push(Run { first: index.0, last: index.0, offset });
                self.appended_from = self.appended_from.or(Some(index.0));
            }
        }
        (self.broken, self.moving, self.next) = (false, None, Some(index.0 + 1));
        push_term(&mut self.terms, index.0, term.0);
        if self.points.last().is_none_or(|(_, last)| offset.abs_diff(*last) >= POINT_SPACING_BYTES) {
            self.points.push((index.0, offset));
        }
    }

    /// Adds an entry anywhere: a repaired or relocated one. False where the segment has a live record of it already.
    pub fn place(&mut self, index: Index, term: Term, offset: u64) -> bool {
        let (index, end) = (index.0, self.last().unwrap_or(0));
        let at = self.runs.partition_point(|run| run.first <= index);
        if at.checked_sub(1).is_some_and(|before| self.runs[before].last >= index) {
            return false;
        }
        if at > 0 && self.moving == Some(index) && self.runs[at - 1].last + 1 == index {
            self.runs[at - 1].last = index;
        } else {
            self.runs.insert(at, Run { first: index, last: index, offset });
        }
        match index > end {
            true => push_term(&mut self.terms, index, term.0),
            false => set_term(&mut self.terms, index, index, term.0, end),
        }
        let near = self.points.partition_point(|(first, _)| *first <= index);
        let last = near.checked_sub(1).map(|before| self.points[before].1);
        if last.is_none_or(|last| offset.abs_diff(last) >= POINT_SPACING_BYTES) {
            self.points.insert(near, (index, offset));
        }
        (self.broken, self.moving) = (true, Some(index + 1));
        true
    }

    /// Takes over what a later part of the same segment has, when batches between the two were lost. False where both
    /// have a live record of one entry.
    pub fn follow(&mut self, later: &Self) -> bool {
        self.carried = self.carried.or(later.carried);
        if let Some(from) = later.truncated_from {
            self.truncate(from);
        }
        if let Some(mark) = later.mark {
            self.mark(mark);
        }
        self.hard_state = later.hard_state.or(self.hard_state);
        self.written += later.written;
        self.written_bytes += later.written_bytes;
        for run in &later.runs {
            let at = self.runs.partition_point(|other| other.first <= run.first);
            let before = at.checked_sub(1).is_some_and(|at| self.runs[at].last >= run.first);
            if before || self.runs.get(at).is_some_and(|after| after.first <= run.last) {
                return false;
            }
            let end = self.last().unwrap_or(0);
            copy_terms(&mut self.terms, &later.terms, run.first, run.last, end);
            self.runs.insert(at, *run);
        }
        for (index, offset) in &later.points {
            let at = self.points.partition_point(|(other, _)| other <= index);
            self.points.insert(at, (*index, *offset));
        }
        self.appended_from = self.appended_from.or(later.appended_from);
        self.next = later.next.or(self.next);
        (self.broken, self.moving) = (true, None);
        true
    }

    /// Lowest entry that both have a record of.
    pub fn meets(&self, later: &Self) -> Option<u64> {
        let pairs = later.runs.iter().flat_map(|run| self.runs.iter().map(move |own| (own, run)));
        pairs.filter(|(own, run)| own.first <= run.last && run.first <= own.last).map(|(own, run)| own.first.max(run.first)).min()
    }

    pub fn overlaps(&self, first: u64, last: u64) -> bool {
        self.runs.iter().any(|run| run.first <= last && first <= run.last)
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
fn truncate_runs(runs: &mut Vec<Run>, from: u64) {
    while let Some(run) = runs.last_mut() {
        if run.first < from {
            run.last = run.last.min(from - 1);
            return;
        }
        runs.pop();
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
