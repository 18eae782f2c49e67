//! A reader of the causal lane gets every event once, and an origin's events without a gap, however often it moves and
//! whatever its members go through (rule R8).

use crate::lane::Dot;
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

/// `ids`: what the reader has had. `untold`: where it reads, not all of that has come, or damage has taken it, so that nothing
/// there can tell that it was had.
pub fn check(world: &mut World, reader: &str, item: Item, untold: bool, ids: &mut BTreeSet<EventId>) {
    if !ids.insert(item.id) && !untold {
        world.history.violate("events_come_once", format!("{reader} gets event {:x} again: {item:?}", item.id.0));
    }
    let lane = &world.history.lane;
    if lane.withdrawn.contains(&item.id) && !lane.retried.contains(&item.id) {
        world.history.violate("withdrawn_is_absent", format!("{reader} gets {item:?} although it was withdrawn"));
    }
}

/// A reader passes over events of an entry: it must have had them elsewhere.
pub fn check_passed(world: &mut World, reader: &str, dot: Dot, passed: &[EventId], ids: &BTreeSet<EventId>) {
    if let Some(id) = passed.iter().find(|id| !ids.contains(*id)) {
        let what = format!("{reader} passes over event {:x} of entry {} of {:?}, which it has not had", id.0, dot.counter, dot.actor);
        world.history.violate("events_come_once", what);
    }
}
