//! A reader of the causal lane gets every event once, and an origin's events without a gap, however often it moves and
//! whatever its members go through (rule R8).

use crate::world::World;
use std::collections::BTreeSet;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::EventId;

/// An event as a reader gets it.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub actor: Actor,
    pub counter: u64,
    pub offset: u32,
    pub id: EventId,
}

/// `next`: the counter and offset that must come next of this actor. `ids`: what the reader has had.
pub fn check(world: &mut World, reader: &str, item: Item, next: (u64, u32), ids: &mut BTreeSet<EventId>) {
    if (item.counter, item.offset) != next {
        let what = format!("{reader} gets {item:?}, next was {next:?}");
        world.history.violate("events_come_once", what);
    }
    if !ids.insert(item.id) {
        world.history.violate("events_come_once", format!("{reader} gets event {:x} again: {item:?}", item.id.0));
    }
    if world.history.lane.withdrawn.contains(&item.id) {
        world.history.violate("withdrawn_is_absent", format!("{reader} gets {item:?} although it was withdrawn"));
    }
}
