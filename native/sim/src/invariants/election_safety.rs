//! At most one leader is elected in a term (Ongaro and Ousterhout 2014, "In Search of an Understandable Consensus
//! Algorithm", section 5.2, figure 3).

use super::leader_completeness;
use crate::world::World;
use vexfs_core::ids::GroupId;
use vexfs_core::ordered::status::{GroupStatus, Role};

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    if status.role != Role::Leader {
        return;
    }
    match world.history.of(group).leaders.get(&status.term) {
        Some(other) if *other == node => {}
        Some(other) => {
            let what = format!("term {} of group {group} has leaders {other} and {node}", status.term);
            world.history.violate("election_safety", what);
        }
        None => {
            world.history.of_mut(group).leaders.insert(status.term, node);
            world.history.elections += 1;
            leader_completeness::check(world, node, group, status.term);
        }
    }
}
