//! An actor that its member has given up is never written again: once another actor of it has written, or once a start has
//! found that the log may have forgotten what was acknowledged (rule R7; docs/decisions/0022). What was lost with the only
//! disk that had it nobody can miss, but whoever was told of it would know two entries by one name.

use crate::lane::Dot;
use crate::world::World;
use std::collections::BTreeSet;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::MemberId;

/// All that a member was, but for what it is.
fn give_up(world: &mut World, member: MemberId, but: Option<Actor>) {
    let lane = &mut world.history.lane;
    let former: BTreeSet<Actor> = lane.actors().filter(|actor| actor.member == member && Some(*actor) != but).collect();
    lane.given_up.extend(former);
}

/// A member has started.
pub fn note_start(world: &mut World, node: usize) {
    let member = &world.members[node];
    let torn = member.running.as_ref().is_some_and(|running| running.groups.groups().any(|(_, group)| group.is_marked()));
    if torn {
        give_up(world, member.id, None);
    }
}

/// The directory was put back to before: what it had given up since it does not know.
pub fn note_put_back(world: &mut World, node: usize) {
    let id = world.members[node].id;
    world.history.lane.given_up.retain(|actor| actor.member != id);
}

/// Entries have come to a member's disk.
pub fn check(world: &mut World, node: usize, dots: &[Dot]) {
    let member = &world.members[node];
    let actor = member.running.as_ref().and_then(|running| running.groups.lane().actor());
    let Some(dot) = dots.iter().find(|dot| Some(dot.actor) == actor) else { return };
    if world.history.lane.given_up.contains(&dot.actor) {
        let what = format!("{node} writes entry {} of {:?}, which it has given up", dot.counter, dot.actor);
        return world.history.violate("given_up_stays", what);
    }
    give_up(world, member.id, actor);
}
