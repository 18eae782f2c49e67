//! What is made of the origins' logs has everything in it that was ever in them, once they are cut too, at members that come
//! later too: so nothing that was removed comes back for want of the word that it was (rule R11; Almeida, Shoker and Baquero
//! 2018, "Delta state replicated data types", section 6, on what may be forgotten of deltas).

use crate::clients::operator;
use crate::clients::state_keeper::{self, Made};
use crate::lane::lacks;
use crate::member::Member;
use crate::world::World;
use vexfs_core::causal::reader::Place;
use vexfs_core::ids::Index;

/// Some of the logs of a member have gone that none of its states cover.
pub fn lacking(world: &mut World, node: usize) {
    let member = &world.members[node];
    if member.lost_at_us == 0 && !member.lacks_states {
        world.history.violate("states_are_whole", format!("{node} has let go of entries that no states of its cover"));
    }
}

/// While states are missing, only what has all in it that has gone is to be kept for whole.
pub fn check_wanted(world: &mut World, node: usize, made: &Made) {
    let Some(running) = &world.members[node].running else { return };
    if let Some((actor, _)) = lacks(&state_keeper::place(made), &Place::oldest(&running.lane.origins).had) {
        let what = format!("{node} is to keep states that lack what has gone of the log of {actor:?}, as if they were whole");
        world.history.violate("states_are_whole", what);
    }
}

/// Others are there that can give a member all that has gone of its logs: they have delivered it, and their own states are
/// whole. Where there is an operator, one of them may be about to be removed.
pub fn are_elsewhere(world: &World, node: usize) -> bool {
    let Some(running) = &world.members[node].running else { return false };
    let gone = Place::oldest(&running.lane.origins).had;
    let has_it = |member: &&Member| {
        let other = member.running.as_ref();
        other.is_some_and(|other| !other.groups.lane().lacks_states() && lacks(&other.lane.vector, &gone).is_none())
    };
    let others: Vec<&Member> = belonging(world).into_iter().filter(|member| member.id != world.members[node].id).collect();
    let needed = if world.setup.founders < world.setup.members { 2 } else { 1 };
    world.setup.has_states && others.iter().filter(|member| has_it(member)).count() >= needed
        && others.iter().all(|member| member.lost_at_us == 0 && !member.lacks_states)
}

/// Whether members whose states were damaged have others' again. What disks have lost since may be in some states alone.
pub fn are_back(world: &World) -> bool {
    world.members.iter().any(|member| member.lost_at_us > 0) || !belonging(world).iter().any(|member| member.lacks_states)
}

fn belonging(world: &World) -> Vec<&Member> {
    let table = operator::table(world).unwrap_or_default();
    world.members.iter().filter(|member| operator::belongs(&table, member)).collect()
}

/// The next entry of an origin that a state lacks has gone of the log that it is made of.
pub fn cannot_go_on(world: &mut World, node: usize, index: Index, name: &str) {
    let what = format!("entry {index} of {name} has gone at {node}, and is not in its states");
    world.history.violate("states_are_whole", what);
}

/// At the end. What disks have lost since may be in some states alone.
pub fn check(world: &mut World, node: usize, made: &Made) {
    let table = operator::table(world).unwrap_or_default();
    if world.members.iter().any(|member| member.lost_at_us > 0) || !operator::belongs(&table, &world.members[node]) {
        return;
    }
    let Some(running) = &world.members[node].running else { return };
    for (actor, last) in running.lane.vector.iter() {
        let (counter, sum) = made.get(actor).copied().unwrap_or_default();
        let all = world.history.lane.taken_in.range((*actor, 1)..=(*actor, *last)).fold(0, |sum, (_, print)| sum ^ print);
        if counter != *last || sum != all {
            let what = format!("the states at {node} have {counter} entries of {actor:?} in them, of {last}{}", if counter == *last { ", and lack some" } else { "" });
            return world.history.violate("states_are_whole", what);
        }
    }
}
