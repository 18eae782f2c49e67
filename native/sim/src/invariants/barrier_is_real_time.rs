//! Real time is kept (rule R12; Herlihy and Wing 1990; Ongaro 2014, section 6.4): a barrier covers everything that anybody
//! was answered before it was asked, and an event that is published after an answer takes its place after it.

use crate::history::Request;
use crate::world::World;
use vexfs_core::ids::Index;
use vexfs_core::machine::{EventOutcome, Outcome};

pub fn check_barrier(world: &mut World, request: &Request, applied: Index) {
    if applied < request.after {
        let what = format!("{} passes at {applied}, somebody knew of {} before", request.node, request.after);
        world.history.violate("barrier_is_real_time", what);
    }
}

pub fn check_publish(world: &mut World, request: &Request, index: Index, outcome: &Outcome) {
    let accepted = match outcome {
        Outcome::Accepted { .. } => true,
        Outcome::Mixed(list) => list.iter().any(|one| matches!(one, EventOutcome::Accepted { .. })),
        _ => false,
    };
    if accepted && index <= request.after {
        let what = format!("an event is accepted at {index}, {} was answered before it was published", request.after);
        world.history.violate("publish_is_real_time", what);
    }
}
