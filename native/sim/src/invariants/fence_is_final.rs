//! Once a fence has said "absent", its event never takes a place (rule R4).

use crate::history::{Asked, Delivery, Request};
use crate::world::World;
use vexfs_core::ids::GroupId;
use vexfs_core::machine::Outcome;

pub fn note(world: &mut World, request: &Request, outcome: &Outcome) {
    let Asked::Fence { id } = request.asked else { return };
    match outcome {
        Outcome::Fence { found: Some(place), .. } => {
            let here = (place.index, place.offset);
            let known = *world.history.of_mut(request.group).places.entry(id).or_insert(here);
            if known != here {
                world.history.violate("fence_is_final", format!("a fence finds {:x} at another place", id.0));
            }
        }
        Outcome::Fence { found: None, certain } => {
            if *certain {
                world.history.of_mut(request.group).fenced_off.insert(id);
            }
            // One that is not certain says "unknown": the id may have left the window.
            if *certain && world.history.of(request.group).acknowledged.contains_key(&id) {
                world.history.violate("fence_is_final", format!("a fence misses acknowledged {:x}", id.0));
            }
        }
        other => world.history.violate("fence_is_final", format!("{other:?} for a fence")),
    }
}

pub fn check(world: &mut World, node: usize, group: GroupId, journal: &[Delivery]) {
    for one in journal {
        if world.history.of(group).fenced_off.contains(&one.id) {
            let what = format!("event {:x} is at {:?} of {node} although a fence said absent", one.id.0, one.place);
            world.history.violate("fence_is_final", what);
        }
    }
}
