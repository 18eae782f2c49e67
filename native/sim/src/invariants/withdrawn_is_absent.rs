//! A publish that was taken back before any leader saw it never commits by that request (rules R4 and R5). Its events
//! may still commit by another request of their own.

use crate::history::{Asked, Delivery, Request};
use crate::world::World;
use vexfs_core::ids::GroupId;

pub fn note(world: &mut World, request: &Request) {
    if !request.withdrawn {
        world.history.violate("withdrawn_is_absent", "a request ends withdrawn, nobody withdrew it".to_string());
    }
}

pub fn check(world: &mut World, node: usize, group: GroupId, journal: &[Delivery]) {
    for one in journal.iter().filter(|one| world.history.of(group).withdrawn.contains(&one.id)).copied().collect::<Vec<_>>() {
        let elsewhere = world.history.requests.values().any(|request| match &request.asked {
            Asked::Events { events, session: other, .. } => {
                !request.withdrawn && *other == one.session && events.contains(&one.id)
            }
            _ => false,
        });
        if !elsewhere {
            let what = format!("event {:x} is at {:?} of {node} although it was withdrawn", one.id.0, one.place);
            world.history.violate("withdrawn_is_absent", what);
        }
    }
}
