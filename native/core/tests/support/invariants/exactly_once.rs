//! An acknowledged event is in every later journal, once, at the place its receipt names (rules R1, R3 and R8).

use crate::support::history::Placed;
use crate::support::world::World;
use std::collections::BTreeMap;
use vexfs_core::ids::{EventId, SessionId};

pub fn check(world: &mut World, node: usize, journal: &[(EventId, Placed, SessionId, u64)]) {
    let mut places: BTreeMap<EventId, Placed> = BTreeMap::new();
    for (id, place, ..) in journal {
        if let Some(first) = places.insert(*id, *place) {
            let what = format!("event {:x} is at {first:?} and at {place:?} of {node}", id.0);
            world.history.violate("exactly_once", what);
        }
    }
    let missing: Vec<String> = world
        .history
        .acknowledged
        .iter()
        .filter(|(id, (place, _))| places.get(id) != Some(place))
        .map(|(id, (place, _))| format!("event {:x} was acknowledged at {place:?}, {node} has {:?}", id.0, places.get(id)))
        .collect();
    missing.into_iter().for_each(|what| world.history.violate("exactly_once", what));
}
