//! Every subscription gets the same events in the same order, without gap and without repetition, wherever it reads
//! and however often it moves (rule R8; as strict as writes). What the first reader of a place saw is what all must see;
//! that nothing acknowledged is missing from it is `exactly_once`.

use crate::history::Delivery;
use crate::world::World;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::journal::Window;

/// `ordinal`: how many events the reader has had before `items`; moved on by them.
pub fn check(world: &mut World, group: GroupId, reader: &str, ordinal: &mut usize, items: &[Delivery]) {
    for item in items {
        let journal = &mut world.history.of_mut(group).journal;
        let last = journal.last().map(|last| last.place);
        match journal.get(*ordinal) {
            Some(known) if known == item => {}
            None if *ordinal == journal.len() && last.is_none_or(|last| last < item.place) => {
                journal.push(*item);
            }
            known => {
                let what = format!("event {ordinal} of {reader} in group {group} is {item:?}, to others it was {known:?}");
                world.history.violate("subscriptions_are_complete", what);
                return;
            }
        }
        *ordinal += 1;
    }
    world.history.deliveries += items.len() as u64;
}

/// A reader that has come to the end of what its member has applied has had as many events as the member counts.
pub fn check_end(world: &mut World, node: usize, group: GroupId, reader: &str, ordinal: usize, next: Window) {
    let Some(group) = world.members[node].group(group) else { return };
    let (applied, events) = (group.machine().applied(), group.machine().events());
    if (next.index, next.offset) == (Index(applied.0 + 1), 0) && events != ordinal as u64 {
        let what = format!("{reader} has had {ordinal} events up to {applied}, its member counts {events}");
        world.history.violate("subscriptions_are_complete", what);
    }
}

/// A reader was told that its place is before the journal's beginning.
pub fn check_compacted(world: &mut World, node: usize, group: GroupId, reader: &str, place: Index) {
    // As readers were told, or will be with the next flush.
    let told = world.members[node].running.as_ref().map_or(Index(0), |running| running.view(group).first);
    let first = world.members[node].group(group).map_or(Index(0), |group| group.status().first).max(told);
    if place >= first {
        let what = format!("{reader} is told that {place} of group {group} is gone, the journal begins at {first}");
        world.history.violate("subscriptions_are_complete", what);
    }
}
