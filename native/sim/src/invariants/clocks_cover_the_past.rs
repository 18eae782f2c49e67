//! A receipt's clock is what its entry follows, all that its publisher had seen is in it, and readers get the same clock
//! with the event (rules R2 and R9; Fidge 1988 and Mattern 1989, vector clocks).

use crate::lane::{lacks, Dot, Past};
use crate::world::World;
use vexfs_core::causal::actor::Actor;

/// The actor that a clock names.
pub fn actor_of(world: &World, name: &str) -> Option<Actor> {
    let spelled = |actor: &Actor| {
        let member = world.members.iter().find(|member| member.id == actor.member);
        // Of a member that is not in its table yet nobody knows the name.
        member.is_some_and(|member| actor.name(&member.name) == name) || actor.name(&format!("{:016x}", actor.member.0)) == name
    };
    world.history.lane.actors().find(spelled)
}

/// A clock as a receipt has it.
pub fn of_receipt(world: &mut World, clock: &[(String, u64)]) -> Past {
    let named: Vec<_> = clock.iter().map(|(name, counter)| (actor_of(world, name), *counter)).collect();
    if named.iter().any(|(actor, _)| actor.is_none()) {
        world.history.violate("clocks_cover_the_past", format!("a receipt's clock names a stranger: {clock:?}"));
    }
    named.into_iter().filter_map(|(actor, counter)| Some((actor?, counter))).collect()
}

/// `clock`: all that an entry follows, as somebody was told; the entry itself may be in it.
pub fn check(world: &mut World, whom: &str, dot: Dot, mut clock: Past) {
    clock.remove(&dot.actor);
    let Some(fact) = world.history.lane.fact_mut(dot) else { return };
    let lacking = lacks(&clock, &fact.past);
    let known = fact.clock.get_or_insert_with(|| clock.clone()).clone();
    let Dot { actor, counter, .. } = dot;
    if let Some(missing) = lacking {
        let what = format!("{whom} is told that entry {counter} of {actor:?} follows {clock:?}, which is without {missing:?}");
        world.history.violate("clocks_cover_the_past", what);
    } else if known != clock {
        let what = format!("{whom} is told that entry {counter} of {actor:?} follows {clock:?}, others were told {known:?}");
        world.history.violate("clocks_cover_the_past", what);
    }
}
