//! A retry is answered with the place of the first (rule R3; Ongaro 2014, section 6.3).

use crate::history::{Asked, Request};
use crate::world::World;
use vexfs_core::ids::{EventId, GroupId, Index, Term};
use vexfs_core::machine::{EventOutcome, Outcome};

pub fn check(world: &mut World, request: &Request, index: Index, term: Term, outcome: &Outcome) {
    let Asked::Events { events, .. } = &request.asked else { return };
    match outcome {
        Outcome::Accepted { first_offset, count } => {
            if *count as usize != events.len() {
                let what = format!("{count} of {} events accepted at {index}", events.len());
                world.history.violate("duplicates_keep_first_place", what);
            }
            for (offset, id) in (*first_offset..).zip(events) {
                place(world, request.group, *id, (index, offset), term);
            }
        }
        Outcome::Mixed(list) => {
            for (outcome, id) in list.iter().zip(events) {
                match outcome {
                    EventOutcome::Accepted { offset } => place(world, request.group, *id, (index, *offset), term),
                    EventOutcome::Duplicate { index, offset } => place(world, request.group, *id, (*index, *offset), Term(0)),
                    EventOutcome::Fenced => {}
                    // Of clients outside: the event, or its place (docs/decisions/0023), was there before; they are held to it there.
                    EventOutcome::IdReused { .. } if world.setup.publishers == 0 => {}
                    EventOutcome::SessionExpired | EventOutcome::Early if world.setup.forgets_sessions() => {}
                    other => {
                        let what = format!("{other:?} for an event that was only ever retried");
                        world.history.violate("duplicates_keep_first_place", what);
                    }
                }
            }
        }
        Outcome::Skipped => {}
        other => world.history.violate("duplicates_keep_first_place", format!("{other:?} for events")),
    }
}

fn place(world: &mut World, group: GroupId, id: EventId, here: (Index, u32), term: Term) {
    let history = world.history.of_mut(group);
    let known = *history.places.entry(id).or_insert(here);
    history.acknowledged.entry(id).or_insert((here, term));
    if known != here {
        let what = format!("event {:x} was answered with {known:?} and with {here:?}", id.0);
        world.history.violate("duplicates_keep_first_place", what);
    }
}
