//! A publish that was taken back before any leader saw it never commits by that request (rules R4 and R5). Its events
//! may still commit by another request of their own.

use crate::support::history::{Asked, Placed, Request};
use crate::support::world::World;
use vexfs_core::ids::{EventId, SessionId};

pub fn note(world: &mut World, request: &Request) {
    if !request.withdrawn {
        world.history.violate("withdrawn_is_absent", "a request ends withdrawn, nobody withdrew it".to_string());
    }
}

pub fn check(world: &mut World, node: usize, journal: &[(EventId, Placed, SessionId, u64)]) {
    let given_up: Vec<_> = journal.iter().filter(|(id, ..)| world.history.withdrawn.contains(id)).collect();
    for (id, place, session, _) in given_up {
        let elsewhere = world.history.requests.values().any(|request| match &request.asked {
            Asked::Events { events, session: other, .. } => {
                !request.withdrawn && other == session && events.contains(id)
            }
            _ => false,
        });
        if !elsewhere {
            let what = format!("event {:x} is at {place:?} of {node} although it was withdrawn", id.0);
            world.history.violate("withdrawn_is_absent", what);
        }
    }
}
