//! Nothing is cut from an origin's log before every member that the agreed table has, as whoever cuts knows it, has had it
//! on its disk (rule R11; Wuu and Bernstein 1984, "Efficient solutions to the replicated log and dictionary problems"): what
//! a disk has lost since is not there, and its member begins behind the cut, as one that is new does.

use crate::lane::raise;
use crate::world::World;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::MemberId;
use vexfs_core::membership::{Membership, Role};

/// Of entries that are cut now, one that not all hold and that somebody who is to hold it has had the stub of alone.
fn never_whole(world: &World, table: &Membership, actor: Actor, last: u64) -> Option<String> {
    let first = world.history.lane.cuts.get(&actor).copied().unwrap_or(0) + 1;
    for counter in first..=last {
        for holders in world.history.lane.all(actor, counter).iter().filter(|fact| fact.there).filter_map(|fact| fact.holders.as_ref()) {
            let is_due = |id: &MemberId, role: Role| role == Role::Voter || role == Role::Learner && holders.members.contains(id);
            let had = |id: MemberId| world.members.iter().any(|member| member.id == id && member.whole_ever.contains(&(actor, counter)));
            let lacking = table.iter().find(|(id, row)| is_due(id, row.role) && !had(*id));
            if let Some((_, row)) = lacking {
                return Some(format!("{} has never had entry {counter} whole", row.name));
            }
        }
    }
    None
}

/// A member lets go of an origin's entries up to `last`.
pub fn check(world: &mut World, node: usize, actor: Actor, last: u64) {
    let Some(running) = &world.members[node].running else { return };
    let table = running.groups.lane().table();
    let has_say = |role: Role| role != Role::Removed;
    let had = |id| {
        let member = world.members.iter().find(|member| member.id == id);
        member.is_some_and(|member| member.held_ever.get(&actor).is_some_and(|held| *held >= last))
    };
    let lacking = table.iter().filter(|(_, row)| has_say(row.role)).find(|(id, _)| !had(*id));
    let stable = table.role(world.members[node].id).is_some_and(has_say) && lacking.is_none();
    if let Some(what) = never_whole(world, table, actor, last).filter(|_| stable) {
        return world.history.violate("cut_is_held_by_all", format!("{node} lets go of entries up to {last} of {actor:?}, and {what}"));
    }
    if stable {
        return raise(&mut world.history.lane.cuts, actor, last);
    }
    // It begins where somebody else's log does.
    if world.history.lane.cuts.get(&actor).is_none_or(|cut| *cut < last) {
        let whom = lacking.map_or("nobody has been asked".to_string(), |(_, row)| format!("{} has never had them", row.name));
        let what = format!("{node} lets go of entries up to {last} of {actor:?}, and {whom}");
        world.history.violate("cut_is_held_by_all", what);
    }
}
