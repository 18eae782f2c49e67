//! In what an open log or its recovery is not as its followers wrote it.

use super::disk::SimDisk;
use super::follower::{made, Follower};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use vexfs_core::ids::Index;
use vexfs_core::log::{GroupRecovery, LogEntry, LogError, LogReader, LostRange, Recovery};

/// The entry, or `None` for one that is said to be lost, by its own name.
pub fn read(follower: &Follower, reader: &LogReader<SimDisk>, index: u64) -> Result<Option<LogEntry>, String> {
    let names = |range: &LostRange| range.group == follower.group && (range.first.0..=range.last.0).contains(&index);
    match reader.entries(follower.group, Index(index), Index(index + 1), 0) {
        Ok(read) => Ok(Some(read[0].clone())),
        Err(LogError::Damaged { lost, .. }) if lost.iter().any(names) => Ok(None),
        Err(error) => Err(format!("reading entry {index} of group {}: {error:?}", follower.group)),
    }
}

/// Which entries cannot be read, where all others are what was written.
pub fn lacking(follower: &Follower, reader: &LogReader<SimDisk>) -> Result<BTreeSet<u64>, String> {
    let group = follower.group;
    let bounds = (reader.first_index(group).0, reader.last_index(group).0);
    if bounds != (follower.first, follower.last().max(follower.first - 1)) {
        return Err(format!("group {group} goes from {} to {}", bounds.0, bounds.1));
    }
    let mut lacking = BTreeSet::new();
    for index in follower.first..=follower.last() {
        let term = follower.term(index);
        match read(follower, reader, index)? {
            None => drop(lacking.insert(index)),
            Some(found) if found != made(index, term) => return Err(format!("entry {index} of group {group} is of term {}", found.term.0)),
            Some(_) => match reader.term(group, Index(index)) {
                Ok(found) if found.0 == term => {}
                found => return Err(format!("the term of entry {index} of group {group} is {found:?}")),
            },
        }
    }
    Ok(lacking)
}

/// Whether a settled log was recovered as it is, with one of these commits; `lacking` of it cannot be read.
pub fn recovered(
    follower: &Follower,
    recovery: &Recovery,
    lacking: &BTreeSet<u64>,
    commits: RangeInclusive<u64>,
) -> Result<(), String> {
    let group = follower.group;
    let Some(found) = recovery.groups.get(&group) else {
        return if follower.is_untouched() { Ok(()) } else { Err(format!("group {group} is not found")) };
    };
    let (term, vote, _) = follower.hard_state;
    let state = found.hard_state;
    let term_at = |index: u64| found.terms[..found.terms.partition_point(|(at, _)| at.0 <= index)].last().map(|(_, term)| term.0);
    let is_known = |index: &u64| !lacking.contains(index) || *index == follower.marked();
    let other_term = (follower.first..=follower.last()).filter(is_known).find(|index| term_at(*index) != Some(follower.term(*index)));
    let what = if !is_where_it_was(found, follower) {
        "bounds or mark"
    } else if (state.term.0, state.vote.0) != (term, vote) || !commits.contains(&state.commit.0) {
        "hard state"
    } else if other_term.is_some() {
        "terms"
    } else {
        return named(follower, recovery, lacking);
    };
    Err(format!("{what} of group {group} recovered as {found:?}"))
}

fn is_where_it_was(found: &GroupRecovery, follower: &Follower) -> bool {
    let snapshot = found.snapshot.map(|(index, term)| (index.0, term.0));
    let last = follower.last().max(follower.first - 1);
    (found.first_index.0, found.prior_term.0, found.last_index.0, snapshot) == (follower.first, follower.prior_term, last, follower.mark)
}

/// What recovery says is lost cannot be read, and only a snapshot leaves gaps.
fn named(follower: &Follower, recovery: &Recovery, lacking: &BTreeSet<u64>) -> Result<(), String> {
    let ranges = || recovery.damaged.iter().filter(|range| range.group == follower.group);
    let named: BTreeSet<u64> = ranges().flat_map(|range| range.first.0..=range.last.0).collect();
    let is_next = |range: &LostRange| range.next_term.is_none_or(|term| term.0 == follower.term(range.last.0 + 1));
    let is_gap = |range: &LostRange| !range.gap || range.last.0 <= follower.marked();
    match named.is_subset(lacking) && ranges().all(|range| is_next(range) && is_gap(range)) {
        true => Ok(()),
        false => Err(format!("group {} lacks {lacking:?}, said to be lost: {:?}", follower.group, ranges().collect::<Vec<_>>())),
    }
}

/// Whether what lacks is said to be gaps and nothing else, as of a log that was never damaged.
pub fn only_gaps(follower: &Follower, recovery: &Recovery) -> Result<(), String> {
    let ranges = || recovery.damaged.iter().filter(|range| range.group == follower.group);
    let named: BTreeSet<u64> = ranges().flat_map(|range| range.first.0..=range.last.0).collect();
    match named == follower.missing && ranges().all(|range| range.gap) {
        true => Ok(()),
        false => Err(format!("gaps of group {}: {:?}, not {:?}", follower.group, ranges().collect::<Vec<_>>(), follower.missing)),
    }
}

/// Of an unsettled log: what it says is committed is sure, and nothing is said that was not.
pub fn unsettled(follower: &Follower, found: &GroupRecovery, reader: &LogReader<SimDisk>) -> Result<(), String> {
    let (group, commit, first) = (follower.group, found.hard_state.commit.0, found.first_index.0);
    let (marked, last) = (found.snapshot.map_or(0, |(index, _)| index.0), found.last_index.0);
    let is_mark = marked <= follower.marked().min(last) && found.snapshot.is_none_or(|(index, term)| term.0 == follower.term(index.0));
    if !is_mark || first > follower.first || commit > follower.committed().min(last) {
        return Err(format!("unsettled group {group} found as {found:?}"));
    }
    for index in follower.first..=commit.max(marked) {
        if read(follower, reader, index)?.is_some_and(|found| found != made(index, follower.term(index))) {
            return Err(format!("entry {index} of unsettled group {group} is another than was committed, found as {found:?}"));
        }
    }
    Ok(())
}
