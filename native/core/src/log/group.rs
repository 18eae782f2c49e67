//! One group of an open log: which segment holds which of its entries, and what is known of those that none holds.
//!
//! A group is rebuilt from what its segments say, oldest first. Where batches were lost in between, what came before
//! them is in *doubt* from the last known commit on: the lost batches may have truncated it. Raft's log matching decides:
//! an entry of the same term further on was written by the same leader, whose log only grows, so that nothing before it
//! can have changed (Ongaro, Ousterhout 2014, sections 5.3 and 5.4).

use super::error::LostRange;
use super::index::SegmentGroup;
use super::record::Carried;
use super::terms::{copy_terms, forget_terms_before, push_term, set_term, term_at, truncate_terms, Terms};
use super::types::{GroupRecovery, HardState, LogEntry, SnapshotMark};
use crate::ids::{GroupId, Index, Term};

/// Entries `first..=last` and the segment that has them; `None` where no readable batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub segment: Option<u64>,
    pub first: u64,
    pub last: u64,
    /// Mean size of their records in bytes; an estimate.
    pub mean_bytes: u32,
}

impl Extent {
    pub fn contains(&self, index: u64) -> bool {
        (self.first..=self.last).contains(&index)
    }
}

/// Invariant: the extents cover `first..` up to the last entry, ascending, without gap or overlap.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub first: u64,
    prior_term: u64,
    mark: Option<SnapshotMark>,
    hard_state: Option<HardState>,
    /// Segment with the newest record of the mark, and of the hard state.
    mark_segment: u64,
    hard_state_segment: u64,
    extents: Vec<Extent>,
    terms: Terms,
    /// Ranges that lost batches may have truncated.
    doubts: Vec<(u64, u64)>,
    /// Batches were lost.
    lossy: bool,
    /// Ranges that a snapshot has come in the place of; of those that no segment holds, damage took the others.
    gaps: Vec<(u64, u64)>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            first: 1,
            prior_term: 0,
            mark: None,
            hard_state: None,
            mark_segment: u64::MAX,
            hard_state_segment: u64::MAX,
            extents: Vec::new(),
            terms: Terms::new(),
            doubts: Vec::new(),
            lossy: false,
            gaps: Vec::new(),
        }
    }
}

impl Group {
    pub fn last(&self) -> u64 {
        self.extents.last().map_or(self.first - 1, |extent| extent.last)
    }

    /// Term of an entry from `first - 1` on; `None` for others and where it is not known.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index + 1 == self.first {
            return Some(self.prior_term);
        }
        (self.first..=self.last()).contains(&index).then(|| term_at(&self.terms, index)).flatten()
    }

    pub fn mark(&self) -> Option<SnapshotMark> {
        self.mark
    }

    /// Oldest segment that is still needed for this group; `u64::MAX` for none.
    pub fn oldest_segment(&self) -> u64 {
        let held = self.extents.iter().filter_map(|extent| extent.segment).min();
        held.unwrap_or(u64::MAX).min(self.mark_segment).min(self.hard_state_segment)
    }

    /// Extents that overlap `low..=high`, cut to it.
    pub fn extents(&self, low: u64, high: u64) -> impl Iterator<Item = Extent> + '_ {
        let from = self.extents.partition_point(|extent| extent.last < low);
        let overlapping = self.extents[from..].iter().take_while(move |extent| extent.first <= high);
        overlapping.map(move |extent| Extent { first: extent.first.max(low), last: extent.last.min(high), ..*extent })
    }

    /// What the group is, for a new segment's first batch.
    pub fn carried(&self) -> Carried {
        let last = self.last();
        let held = self.extents.last().is_none_or(|extent| extent.segment.is_some());
        // Of what no segment holds, the term of a snapshot's end is known.
        let marked = self.mark.filter(|mark| mark.index.0 == last).map(|mark| mark.term.0);
        let last_term = if held { self.term(last) } else { marked }.unwrap_or(0);
        Carried { hard_state: self.hard_state, mark: self.mark, last: Index(last), last_term: Term(last_term) }
    }

    /// The carried records are on disk in that segment.
    pub fn was_carried(&mut self, segment: u64) {
        self.mark_segment = self.mark.map_or(self.mark_segment, |_| segment);
        self.hard_state_segment = self.hard_state.map_or(self.hard_state_segment, |_| segment);
    }

    pub fn set_hard_state(&mut self, state: HardState, segment: u64) {
        (self.hard_state, self.hard_state_segment) = (Some(state), segment);
    }

    pub fn set_mark(&mut self, mark: SnapshotMark, segment: u64) {
        (self.first, self.prior_term) = (mark.first.0, mark.prior_term.0);
        (self.mark, self.mark_segment) = (Some(mark), segment);
        let first = self.first;
        self.extents.drain(..self.extents.partition_point(|extent| extent.last < first));
        match self.extents.first_mut() {
            Some(extent) => {
                extent.first = extent.first.max(first);
                forget_terms_before(&mut self.terms, first);
            }
            None => self.terms.clear(),
        }
        self.trim_doubts(|(low, high)| (low.max(first), high));
        self.gaps.retain(|(_, high)| *high >= first);
        self.reach_mark();
    }

    /// A log goes at least as far as the snapshot that stands for it: what it does not have of that is a gap, which the
    /// other members fill.
    fn reach_mark(&mut self) {
        let Some(mark) = self.mark.filter(|mark| mark.index.0 > self.last()) else { return };
        let (first, last) = (self.last() + 1, mark.index.0);
        self.extend(Extent { segment: None, first, last, mean_bytes: 0 });
        push_term(&mut self.terms, last, mark.term.0);
        match self.gaps.last_mut() {
            Some((_, high)) if *high + 1 == first => *high = last,
            _ => self.gaps.push((first, last)),
        }
    }

    pub fn truncate(&mut self, from: u64) {
        while let Some(extent) = self.extents.last_mut() {
            if extent.first < from {
                extent.last = extent.last.min(from - 1);
                break;
            }
            self.extents.pop();
        }
        truncate_terms(&mut self.terms, from);
        self.trim_doubts(|(low, high)| (low, high.min(from - 1)));
        self.gaps.iter_mut().for_each(|(_, high)| *high = (*high).min(from - 1));
        self.gaps.retain(|(low, high)| low <= high);
    }

    fn trim_doubts(&mut self, trim: impl Fn((u64, u64)) -> (u64, u64)) {
        self.doubts.iter_mut().for_each(|doubt| *doubt = trim(*doubt));
        self.doubts.retain(|(low, high)| low <= high);
    }

    /// Notes entries that were appended to a segment.
    pub fn append(&mut self, segment: u64, entries: &[LogEntry], mean_bytes: u32) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        entries.iter().for_each(|entry| push_term(&mut self.terms, entry.index.0, entry.term.0));
        let extent = Extent { segment: Some(segment), first: first.index.0, last: last.index.0, mean_bytes };
        self.extend(extent);
    }

    /// Notes entries that were repaired or relocated.
    pub fn place(&mut self, segment: u64, entries: &[LogEntry], mean_bytes: u32) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let end = self.last();
        for entry in entries {
            set_term(&mut self.terms, entry.index.0, entry.index.0, entry.term.0, end);
        }
        let extent = Extent { segment: Some(segment), first: first.index.0, last: last.index.0, mean_bytes };
        self.overlay(extent);
    }

    fn extend(&mut self, extent: Extent) {
        match self.extents.last_mut() {
            Some(last) if last.segment == extent.segment => {
                last.last = extent.last;
                last.mean_bytes = extent.mean_bytes;
            }
            _ => self.extents.push(extent),
        }
    }

    /// Gives a range another home; behind the last entry it is added, with a lost range where there is a gap.
    fn overlay(&mut self, extent: Extent) {
        let next = self.last() + 1;
        if extent.first >= next {
            if extent.first > next {
                self.extend(Extent { segment: None, first: next, last: extent.first - 1, mean_bytes: 0 });
            }
            return self.extend(extent);
        }
        let from = self.extents.partition_point(|other| other.last < extent.first);
        let to = self.extents.partition_point(|other| other.first <= extent.last);
        let left = self.extents.get(from).filter(|other| other.first < extent.first);
        let left = left.map(|other| Extent { last: extent.first - 1, ..*other });
        let right = to.checked_sub(1).map(|last| self.extents[last]).filter(|other| other.last > extent.last);
        let right = right.map(|other| Extent { first: extent.last + 1, ..other });
        self.extents.splice(from..to.max(from), left.into_iter().chain([extent]).chain(right));
        self.join();
        // What is written anew is not in doubt.
        let doubts = std::mem::take(&mut self.doubts);
        self.doubts = doubts
            .into_iter()
            .flat_map(|(low, high)| [(low, high.min(extent.first - 1)), (low.max(extent.last + 1), high)])
            .filter(|(low, high)| low <= high)
            .collect();
        self.doubts.dedup();
    }

    /// Takes over what a segment, newer than all before, says about the group. `begins` for the first part of one.
    pub fn absorb(&mut self, segment: u64, part: &SegmentGroup, begins: bool) {
        if begins && part.carried.is_none() && !self.doubts.is_empty() {
            // Its writer did not carry anything; it also did not repair. So what it appends shows where it truncated.
            self.truncate(part.first().unwrap_or(u64::MAX));
        }
        if let Some(mark) = part.mark {
            // A mark of lost batches may have been newer.
            if self.mark.is_none_or(|known| known.first <= mark.first) {
                self.set_mark(mark, segment);
            }
        }
        if let Some((last, term)) = part.carried {
            self.carry(last, term);
            // The mark may be of a later batch of the segment.
            self.reach_mark();
        }
        if let Some(from) = part.truncated_from {
            self.truncate(from.max(1));
            self.reach_mark();
        }
        for run in &part.runs {
            let (first, last) = (run.first.max(self.first), run.last);
            if first <= last {
                let end = self.last();
                self.overlay(Extent { segment: Some(segment), first, last, mean_bytes: part.mean_bytes() });
                copy_terms(&mut self.terms, &part.terms, first, last, end);
            }
        }
        if let Some(state) = part.hard_state {
            self.set_hard_state(state, segment);
        }
    }

    /// A segment's first batch says where the log ended then.
    fn carry(&mut self, last: u64, term: u64) {
        if self.last() > last {
            self.truncate((last + 1).max(self.first));
        }
        let next = self.last() + 1;
        if next <= last {
            self.extend(Extent { segment: None, first: next, last, mean_bytes: 0 });
            if term != 0 {
                push_term(&mut self.terms, last, term);
            }
        }
        self.judge((term != 0).then_some((last, Some(term))));
    }

    /// Batches were lost here: whatever no commit covers is in doubt.
    pub fn lose(&mut self) {
        self.lossy = true;
        let commit = self.hard_state.map_or(0, |state| state.commit.0).max(self.mark.map_or(0, |mark| mark.index.0));
        let doubt = (self.first.max(commit + 1), self.last());
        if doubt.0 <= doubt.1 {
            self.doubts.push(doubt);
        }
    }

    /// Decides what is in doubt: by the nearest that is known of what follows, an entry, the last one that a later segment
    /// carries, or that of a snapshot that was marked since; else not yet. `carried`: index and term.
    fn judge(&mut self, carried: Option<(u64, Option<u64>)>) {
        for (low, high) in std::mem::take(&mut self.doubts) {
            let low = match self.mark.filter(|mark| (low..=high).contains(&mark.index.0)) {
                Some(mark) if !self.holds(mark.index.0) => {
                    // What was there has another home or none any more. Of its term nothing is known but what the mark says.
                    self.judge_before(low, mark);
                    mark.index.0 + 1
                }
                Some(mark) if term_at(&self.terms, mark.index.0) != Some(mark.term.0) => {
                    self.forget(low, high);
                    let end = self.last();
                    set_term(&mut self.terms, mark.index.0, mark.index.0, mark.term.0, end);
                    continue;
                }
                // Up to there the snapshot stands for the same entries.
                Some(mark) => mark.index.0 + 1,
                None => low,
            };
            if low > high {
                continue;
            }
            let from = self.extents.partition_point(|extent| extent.last <= high);
            let held = self.extents[from..].iter().find(|extent| extent.segment.is_some());
            let held = held.map(|extent| extent.first.max(high + 1)).map(|index| (index, term_at(&self.terms, index)));
            let marked = self.mark.filter(|mark| mark.index.0 > high).map(|mark| (mark.index.0, Some(mark.term.0)));
            let next = held.into_iter().chain(carried).chain(marked).min_by_key(|(index, _)| *index);
            match next.and_then(|(_, term)| term) {
                None => self.doubts.push((low, high)),
                proof if proof != term_at(&self.terms, high) => self.forget(low, high),
                _ => {}
            }
        }
    }

    fn holds(&self, index: u64) -> bool {
        self.extents(index, index).any(|extent| extent.segment.is_some())
    }

    /// Decides what is in doubt in front of a mark whose own entry no segment holds: by the last one that is held.
    fn judge_before(&mut self, low: u64, mark: SnapshotMark) {
        let held = self.extents(low, mark.index.0).filter(|extent| extent.segment.is_some()).last().map(|extent| extent.last);
        if held.is_some_and(|last| term_at(&self.terms, last) != Some(mark.term.0)) {
            self.forget(low, mark.index.0);
        }
    }

    /// No readable batch holds these.
    fn forget(&mut self, low: u64, high: u64) {
        let doubts = std::mem::take(&mut self.doubts);
        self.overlay(Extent { segment: None, first: low, last: high, mean_bytes: 0 });
        self.doubts = doubts;
    }

    fn join(&mut self) {
        self.extents.dedup_by(|later, earlier| {
            let joins = later.segment == earlier.segment;
            if joins {
                earlier.last = later.last;
            }
            joins
        });
    }

    /// Ends recovery. What is still in doubt stays, for nothing contradicts it, but no commit mark covers it: only the
    /// other members can tell. True where there is such.
    pub fn finish(&mut self) -> bool {
        self.judge(None);
        self.reach_mark();
        if let Some(mark) = self.mark.filter(|mark| mark.index.0 >= self.first && !self.holds(mark.index.0)) {
            let end = self.last();
            set_term(&mut self.terms, mark.index.0, mark.index.0, mark.term.0, end);
        }
        let doubtful = std::mem::take(&mut self.doubts).iter().map(|(low, _)| *low).min();
        let (last, commit) = (self.last(), self.hard_state.map_or(0, |state| state.commit.0));
        match (doubtful, &mut self.hard_state) {
            (Some(low), Some(state)) => state.commit.0 = commit.min(low - 1),
            (None, _) if self.lossy && commit > last => {
                // What was committed was there, though nothing that is left follows it.
                self.extend(Extent { segment: None, first: last + 1, last: commit, mean_bytes: 0 });
            }
            _ => {}
        }
        doubtful.is_some()
    }

    /// Ranges that no segment holds.
    pub fn lost(&self, group: GroupId) -> impl Iterator<Item = LostRange> + '_ {
        let lost = self.extents.iter().filter(|extent| extent.segment.is_none());
        lost.map(move |extent| self.lost_range(group, extent.first, extent.last))
    }

    /// `first..=last` as a lost range, with the term that follows it.
    pub fn lost_range(&self, group: GroupId, first: u64, last: u64) -> LostRange {
        let held = |extent: &Extent| extent.segment.is_some();
        let next = self.extents(last + 1, last + 1).next().filter(held).and_then(|_| self.term(last + 1));
        let gap = self.gaps.iter().any(|(low, high)| *low <= first && last <= *high);
        LostRange { group, first: Index(first), last: Index(last), next_term: next.map(Term), gap }
    }

    pub fn recovered(&self) -> GroupRecovery {
        let last_index = Index(self.last());
        let mut hard_state = self.hard_state.unwrap_or_default();
        hard_state.commit = hard_state.commit.min(last_index);
        let prior = (self.first > 1).then_some((self.first - 1, self.prior_term));
        let mut terms: Vec<_> =
            prior.iter().chain(&self.terms).map(|(index, term)| (Index(*index), Term(*term))).collect();
        terms.dedup_by_key(|(_, term)| *term);
        GroupRecovery {
            hard_state,
            first_index: Index(self.first),
            prior_term: Term(self.prior_term),
            snapshot: self.mark.map(|mark| (mark.index, mark.term)),
            last_index,
            terms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Index, Term};

    /// A segment whose first batch carried an empty log, in which a snapshot came later: the log goes to the snapshot's end,
    /// whose term is known, whatever its entries are.
    #[test]
    fn a_mark_counts_that_came_after_what_its_segment_began_with() {
        let mark = SnapshotMark { index: Index(159), term: Term(35), first: Index(128), prior_term: Term(33) };
        let mut part = SegmentGroup::default();
        (part.carried, part.mark) = (Some((0, 0)), Some(mark));
        let mut group = Group::default();
        group.absorb(1, &part, true);
        assert_eq!((group.last(), group.term(159), group.term(127)), (159, Some(35), Some(33)));
    }

    /// Found by random lives: the truncation in front of a mark was lost, and what it had truncated was taken for the
    /// journal's.
    #[test]
    fn a_mark_tells_what_lost_batches_have_truncated_up_to_its_end() {
        let entry = |index: u64, term: u64| LogEntry { index: Index(index), term: Term(term), kind: 0, data: Default::default(), context: Default::default() };
        let mark = SnapshotMark { index: Index(6), term: Term(6), first: Index(1), prior_term: Term(0) };
        for last in [6, 8] {
            let mut group = Group::default();
            group.append(1, &(1..=last).map(|index| entry(index, 3)).collect::<Vec<_>>(), 0);
            group.lose();
            let mut part = SegmentGroup::default();
            (part.carried, part.mark) = (Some((6, 6)), Some(mark));
            group.absorb(3, &part, true);
            group.finish();
            assert_eq!((group.last(), group.term(6)), (6, Some(6)));
            assert_eq!(group.lost(GroupId(0)).map(|lost| (lost.first.0, lost.last.0)).collect::<Vec<_>>(), [(1, 6)]);
        }
    }

    /// Found by random lives: a batch with nothing but a commit was lost, what had held the mark's entry was released since,
    /// and the entries behind it, which are there, were taken for replaced.
    #[test]
    fn a_mark_whose_own_entry_is_gone_judges_nothing_behind_it() {
        let entry = |index: u64, term: u64| LogEntry { index: Index(index), term: Term(term), kind: 0, data: Default::default(), context: Default::default() };
        let mark = |index: u64, first: u64| SnapshotMark { index: Index(index), term: Term(2), first: Index(first), prior_term: Term(2) };
        let state = |commit: u64| HardState { term: Term(3), vote: crate::ids::MemberId(1), commit: Index(commit) };
        let carry = |last: u64, term: u64, mark: SnapshotMark| {
            let mut part = SegmentGroup::default();
            (part.carried, part.mark) = (Some((last, term)), Some(mark));
            part
        };
        let mut group = Group::default();
        group.absorb(18, &carry(23, 2, mark(18, 19)), true);
        group.append(18, &(24..=29).map(|index| entry(index, 2 + index / 29)).collect::<Vec<_>>(), 0);
        group.set_hard_state(state(20), 18);
        group.lose();
        group.absorb(19, &carry(29, 3, mark(21, 19)), true);
        group.set_hard_state(state(28), 19);
        group.absorb(20, &carry(29, 3, mark(27, 25)), true);
        group.finish();
        assert_eq!(group.lost(GroupId(0)).map(|lost| (lost.first.0, lost.last.0)).collect::<Vec<_>>(), []);
        assert_eq!((group.last(), group.term(29), group.term(27)), (29, Some(3), Some(2)));
    }

    #[test]
    fn gaps_that_touch_are_one() {
        let mark = |index: u64| SnapshotMark { index: Index(index), term: Term(2), first: Index(1), prior_term: Term(0) };
        let mut group = Group::default();
        group.set_mark(mark(5), 1);
        group.set_mark(mark(7), 1);
        assert_eq!(group.lost(GroupId(0)).map(|lost| (lost.first.0, lost.last.0, lost.gap)).collect::<Vec<_>>(), [(1, 7, true)]);
    }
}
