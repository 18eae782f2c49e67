//! A causal or eventual publish is answered once it is on the disk of the member that took it, under the name that the
//! answer gives (rule R1); and it is delivered everywhere in the end, unless that disk loses it.

use crate::history::{Asked, Request};
use crate::lane::{Dot, Kept};
use crate::world::World;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::EventId;

/// What the answer names; `None` where it is not there.
pub fn check(world: &mut World, request: &Request, actor: Actor, counter: u64, offset: u32) -> Option<Dot> {
    let node = request.node;
    let Asked::Kept { events, .. } = &request.asked else {
        world.history.violate("ends_are_asked_for", format!("{node} keeps what was not published to the causal lane"));
        return None;
    };
    let print = world.members[node].shadow.origin_of(actor).and_then(|(_, origin)| origin.had_print(counter));
    let dot = print.map(|print| Dot { actor, counter, print });
    let fact = dot.and_then(|dot| world.history.lane.fact(dot));
    let named = fact.is_some_and(|fact| fact.events.get(offset as usize..).is_some_and(|rest| rest.starts_with(events)));
    if !named {
        let what = format!("{node} answers entry {counter} of {actor:?}, on its disk is {:?}", fact.map(|fact| &fact.events));
        world.history.violate("kept_is_durable", what);
        return None;
    }
    let at_us = world.now_us;
    world.history.lane.kept.extend(dot.map(|dot| Kept { dot, node, at_us }));
    dot
}

/// As `check`, of one event that an answer gives a place.
pub fn check_event(world: &mut World, node: usize, (actor, counter, offset): (Actor, u64, u32), id: EventId) {
    let print = world.members[node].shadow.origin_of(actor).and_then(|(_, origin)| origin.had_print(counter));
    let dot = print.map(|print| Dot { actor, counter, print });
    let named = dot.and_then(|dot| world.history.lane.fact(dot)).and_then(|fact| fact.events.get(offset as usize));
    if named != Some(&id) {
        let what = format!("{node} answers that event {:x} is at {offset} of entry {counter} of {actor:?}, there is {named:?}", id.0);
        return world.history.violate("kept_is_durable", what);
    }
    let at_us = world.now_us;
    world.history.lane.kept.extend(dot.map(|dot| Kept { dot, node, at_us }));
}

/// At the end: `members` are those that the table has.
pub fn check_everywhere(world: &mut World, members: &[usize]) {
    let mut wrong = None;
    for kept in &world.history.lane.kept {
        let lost = world.members[kept.node].lost_at_us >= kept.at_us || !members.contains(&kept.node);
        let had = |node: &usize| {
            let running = world.members[*node].running.as_ref();
            running.and_then(|running| running.lane.vector.get(&kept.dot.actor).copied()).unwrap_or(0) >= kept.dot.counter
        };
        if let Some(node) = members.iter().find(|node| !lost && !had(node)) {
            let Dot { actor, counter, .. } = kept.dot;
            wrong = Some(format!("entry {counter} of {actor:?} was acknowledged by {}, and never delivered at {node}", kept.node));
        }
    }
    if let Some(what) = wrong {
        world.history.violate("kept_is_durable", what);
    }
}
