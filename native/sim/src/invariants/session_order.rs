//! Within a session, events take their places in the order of their sequences and without gaps (rule R3; pipelined
//! client sessions as in Ongaro 2014, section 6.3).

use crate::history::{Asked, Delivery, Placed, Request};
use crate::world::World;
use std::collections::BTreeMap;
use vexfs_core::ids::{EventId, GroupId, SessionId};
use vexfs_core::machine::{EventOutcome, Outcome};

/// A member hands its sessions in so that no client ever sees a gap of its own.
pub fn check_outcome(world: &mut World, request: &Request, outcome: &Outcome) {
    let Asked::Events { session, .. } = &request.asked else { return };
    let Outcome::Mixed(list) = outcome else { return };
    let broken = |outcome: &EventOutcome| matches!(outcome, EventOutcome::Early | EventOutcome::SessionExpired);
    if !session.is_none() && !world.setup.forgets_sessions() && list.iter().any(broken) {
        world.history.violate("session_order", format!("a client of session {session} is answered {list:?}"));
    }
}

pub fn check_journal(world: &mut World, node: usize, group: GroupId, journal: &[Delivery]) {
    let places: BTreeMap<EventId, Placed> = journal.iter().map(|one| (one.id, one.place)).collect();
    let mut last: BTreeMap<SessionId, u64> = BTreeMap::new();
    for Delivery { id, place, session, sequence, .. } in journal.iter().filter(|one| !one.session.is_none()) {
        if world.history.of(group).by_sequence.get(&(*session, *sequence)) != Some(id) {
            let what = format!("sequence {sequence} of {session} at {node} is not the event its client gave it");
            world.history.violate("session_order", what);
        }
        let before = last.insert(*session, *sequence).unwrap_or(0);
        if before >= *sequence {
            let what = format!("sequence {sequence} of {session} follows {before} at {node}");
            world.history.violate("session_order", what);
        }
        // A sequence in between was decided before: its event has an earlier place, or none for good. One that was
        // skipped has none by this session; a retry without a session may give its event a later one.
        for between in before + 1..*sequence {
            let Some(id) = world.history.of(group).by_sequence.get(&(*session, between)) else { continue };
            let skipped = world.history.of(group).withdrawn.contains(id);
            if !skipped && places.get(id).is_some_and(|other| other > place) {
                let what = format!("sequence {between} of {session} has a place after {sequence} at {node}");
                world.history.violate("session_order", what);
            }
        }
    }
}
