//! Operations that fit what a log holds, for tests that make them up.

use super::{mark, truncate, Model};
use vexfs_core::ids::GroupId;
use vexfs_core::log::Op;

/// A place in the group's log, from `low` to its last index, by a part of 256.
fn place(model: &Model, group: GroupId, low: u64, part: u64) -> u64 {
    let last = model.last(group);
    low + (last + 1).saturating_sub(low) * (part % 256) / 256
}

/// A truncation of what comes after a part of 256 of the group's log.
pub fn cut(model: &Model, group: GroupId, part: u64) -> Op {
    truncate(group, place(model, group, model.group(group).first().max(model.group(group).mark.index.0 + 1), part))
}

/// A snapshot of a part of 256 of the group's log, and `kept` entries below it that stay.
pub fn snapshot(model: &Model, group: GroupId, part: u64, kept: u64) -> Op {
    let state = model.group(group);
    let index = place(model, group, state.mark.index.0.max(state.first() - 1), part).min(state.last()).max(state.mark.index.0);
    let first = (index + 1).saturating_sub(kept).max(state.first()).min(state.last() + 1);
    let term = |index: u64| if index == 0 { 0 } else { state.term(index) };
    let of_index = if (state.first()..=state.last()).contains(&index) { term(index) } else { state.mark.term.0 };
    mark(group, index, of_index, first, term(first - 1))
}

/// A received snapshot of a log that is `ahead` of the group's.
pub fn install(model: &Model, group: GroupId, ahead: u64, term: u64) -> Vec<Op> {
    let state = model.group(group);
    let index = state.mark.index.0.max(state.first() - 1).max((state.last() + ahead).saturating_sub(3));
    vec![truncate(group, index + 1), mark(group, index, term, index + 1, term)]
}

/// Entries as they are, from a part of 256 of the group's log on.
pub fn repair(model: &Model, group: GroupId, part: u64, count: u64) -> Op {
    let state = model.group(group);
    let low = place(model, group, state.first(), part);
    let entries = state.entries.iter().filter(|entry| (low..low + count).contains(&entry.index.0)).cloned().collect();
    Op::Repair { group, entries }
}

/// What a mark must never do.
pub fn refused_marks(model: &Model, group: GroupId) -> Vec<Op> {
    let state = model.group(group);
    let (index, first) = (state.mark.index.0, state.first());
    let at = |index: u64, first: u64| mark(group, index, 1, first, 1);
    let mut ops = vec![at(state.last() + 5, state.last() + 7)];
    ops.extend(index.checked_sub(1).map(|lower| at(lower, first.min(lower + 1))));
    ops.extend((first > 1).then(|| at(state.last().max(index), first - 1)));
    ops
}
