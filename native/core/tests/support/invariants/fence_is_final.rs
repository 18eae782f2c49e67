//! Once a fence has said "absent", its event never takes a place (rule R4).

use crate::support::history::{Asked, Placed, Request};
use crate::support::world::World;
use vexfs_core::ids::{EventId, SessionId};
use vexfs_core::machine::Outcome;

pub fn note(world: &mut World, request: &Request, outcome: &Outcome) {
    let Asked::Fence { id } = request.asked else { return };
    match outcome {
        Outcome::Fence { found: Some(place), .. } => {
            let here = (place.index, place.offset);
            let known = *world.history.places.entry(id).or_insert(here);
            if known != here {
                world.history.violate("fence_is_final", format!("a fence finds {:x} at another place", id.0));
            }
        }
        Outcome::Fence { found: None, certain } => {
            if *certain {
                world.history.fenced_off.insert(id);
            }
            if world.history.acknowledged.contains_key(&id) {
                world.history.violate("fence_is_final", format!("a fence misses acknowledged {:x}", id.0));
            }
        }
        other => world.history.violate("fence_is_final", format!("{other:?} for a fence")),
    }
}

pub fn check(world: &mut World, node: usize, journal: &[(EventId, Placed, SessionId, u64)]) {
    for (id, place, ..) in journal {
        if world.history.fenced_off.contains(id) {
            let what = format!("event {:x} is at {place:?} of {node} although a fence said absent", id.0);
            world.history.violate("fence_is_final", what);
        }
    }
}
