//! What a member has delivered of the causal lane it does not write again, however often it is published there (rule R3); and
//! who publishes it again is told where it stands.

use crate::history::{Asked, Request};
use crate::invariants::kept_is_durable;
use crate::lane::{self, Dot};
use crate::world::World;
use vexfs_core::causal::actor::Actor;
use vexfs_core::entry;
use vexfs_core::ids::EventId;
use vexfs_core::log::LogEntry;
use vexfs_core::ordered::effects::{KeptEntry, KeptEvent};

/// A member is about to write an entry of its own.
pub fn check(world: &mut World, node: usize, entry: &LogEntry) {
    let member = &world.members[node];
    let (Some(dot), Some(running)) = (lane::dot(entry), &member.running) else { return };
    if dot.actor.member != member.id || world.history.lane.fact(dot).is_some() || world.history.lane.retried.is_empty() {
        return;
    }
    let Ok(submissions) = entry::unpack_causal(&entry.data) else { return };
    let had = |dot: &&Dot| {
        // What damage has taken nobody can compare with, until it is back.
        let stands = member.shadow.origin_of(dot.actor).is_some_and(|(_, origin)| origin.print(dot.counter) == Some(dot.print));
        stands && running.lane.vector.get(&dot.actor).is_some_and(|counter| *counter >= dot.counter)
    };
    let ids = submissions.iter().flat_map(|submission| submission.events().map(|event| event.id()).collect::<Vec<EventId>>());
    let again = ids.filter_map(|id| Some((id, *world.history.lane.places(id).iter().find(had)?))).next();
    if let Some((id, first)) = again {
        let what = format!("{node} writes event {:x} into entry {} although it has it in entry {} of {:?}", id.0, dot.counter, first.counter, first.actor);
        world.history.violate("ids_are_written_once", what);
    }
}

/// A publish has ended of which not every event was new.
pub fn check_end(world: &mut World, request: &Request, entry: Option<(&KeptEntry, Actor)>, ends: &[KeptEvent]) {
    let Asked::Kept { events, .. } = &request.asked else { return };
    if events.len() != ends.len() {
        return world.history.violate("ids_are_written_once", format!("{} ends for {} events", ends.len(), events.len()));
    }
    for (id, end) in events.clone().into_iter().zip(ends) {
        let (actor, counter, offset) = match (end, entry) {
            (KeptEvent::New { offset, .. }, Some((entry, actor))) => (Some(actor), entry.counter, *offset),
            (KeptEvent::Duplicate { actor, counter, offset }, _) => (super::clocks_cover_the_past::actor_of(world, actor), *counter, *offset),
            (KeptEvent::New { .. }, None) | (KeptEvent::IdReused { .. }, _) => {
                world.history.violate("ids_are_written_once", format!("event {:x} ends as {end:?}", id.0));
                continue;
            }
        };
        if let Some(actor) = actor {
            kept_is_durable::check_event(world, request.node, (actor, counter.0, offset), id);
        }
    }
}
