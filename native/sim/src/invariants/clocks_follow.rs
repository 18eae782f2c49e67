//! A stamp is later than everything its member had seen (Kulkarni et al. 2014, "Logical Physical Clocks", theorem 1),
//! whatever the wall clock does.

use crate::world::World;

pub fn check(world: &mut World, node: usize, stamp: u64) {
    let seen = world.members[node].running.as_ref().map_or(0, |running| running.groups.hlc());
    if stamp <= seen {
        world.history.violate("clocks_follow", format!("{node} stamps {stamp:x}, it had seen {seen:x}"));
    }
}

/// As `check`, of an event for the causal lane: what its member has delivered was seen in whichever life.
pub fn check_lane(world: &mut World, node: usize, stamp: u64) {
    let seen = world.members[node].stamp_delivered;
    if stamp <= seen {
        world.history.violate("clocks_follow", format!("{node} stamps {stamp:x}, it had delivered {seen:x}"));
    }
}
