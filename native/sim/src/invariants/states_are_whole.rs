//! What is made of the origins' logs has everything in it that was ever in them, once they are cut too, at members that come
//! later too: so nothing that was removed comes back for want of the word that it was (rule R11; Almeida, Shoker and Baquero
//! 2018, "Delta state replicated data types", section 6, on what may be forgotten of deltas).

use crate::clients::operator;
use crate::clients::state_keeper::Made;
use crate::world::World;
use vexfs_core::ids::Index;

/// Some of the logs of a member have gone that none of its states cover.
pub fn lacking(world: &mut World, node: usize) {
    if world.members[node].lost_at_us == 0 {
        world.history.violate("states_are_whole", format!("{node} has let go of entries that no states of its cover"));
    }
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
