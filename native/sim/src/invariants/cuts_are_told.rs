//! A reader is told that what it comes to is gone where that is so, and only there (rule R8; docs/decisions/0024): what it
//! gets is without a gap (`events_come_once`) from a place on that it was told.

use crate::clients::lane_reader::Had;
use crate::world::World;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::Index;

/// A reader at `node` is told that entry `index` of an origin is no longer there.
pub fn check(world: &mut World, node: usize, whom: &str, origin: &str, (index, first): (Index, Index), had: &Had) {
    let Some(running) = &world.members[node].running else { return };
    let origins = &running.lane.origins;
    let actor = origins.iter().find(|view| view.name == origin).map(|view| view.actor);
    let next = |actor: &Actor| had.entries.get(actor).copied().unwrap_or(0) + 1;
    let begins = |actor: &Actor| origins.iter().find(|view| view.actor == *actor).map_or(1, |view| view.first);
    // It may have moved past events that it had had elsewhere, and not have said so.
    let true_word = actor.is_some_and(|actor| next(&actor) <= index.0 && index < first && begins(&actor) == first.0);
    if !true_word {
        let what = format!("{whom} is told that entry {index} of {origin} is gone, which begins at {first}; it has had {:?}", had.entries);
        world.history.violate("cuts_are_told", what);
    }
}
