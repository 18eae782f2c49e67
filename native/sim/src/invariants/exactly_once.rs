//! An acknowledged event is in every later journal, once, at the place its receipt names (rules R1, R3 and R8).

use crate::history::{Delivery, Placed};
use crate::world::World;
use std::collections::BTreeMap;
use vexfs_core::ids::{EventId, GroupId, Index};

/// `first`: where the member's journal begins.
pub fn check(world: &mut World, node: usize, group: GroupId, first: Index, journal: &[Delivery]) {
    let mut places: BTreeMap<EventId, Placed> = BTreeMap::new();
    for one in journal {
        if let Some(first) = places.insert(one.id, one.place) {
            let what = format!("event {:x} is at {first:?} and at {:?} of {node}", one.id.0, one.place);
            world.history.violate("exactly_once", what);
        }
    }
    let missing: Vec<String> = world
        .history
        .of(group)
        .acknowledged
        .iter()
        .filter(|(_, (place, _))| place.0 >= first)
        .filter(|(id, (place, _))| places.get(id) != Some(place))
        .map(|(id, (place, _))| format!("event {:x} was acknowledged at {place:?}, {node} has {:?}", id.0, places.get(id)))
        .collect();
    missing.into_iter().for_each(|what| world.history.violate("exactly_once", what));
}
