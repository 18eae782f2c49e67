//! Members that have applied as much have applied the same (Ongaro and Ousterhout 2014, section 5.4.3), decisions
//! about duplicates, fences and sessions included (rule R3). And what is read at a member never goes back while it runs.

use crate::plants::Plant;
use crate::world::World;
use vexfs_core::ids::GroupId;
use vexfs_core::ordered::status::GroupStatus;

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    let (applied, hash) = (status.applied, status.apply_hash);
    let known = *world.history.of_mut(group).hash_at.entry(applied).or_insert(hash);
    if known != hash {
        world.history.of_mut(group).parted = true;
        // These leave it to the members to see it.
        if !world.setup.plant.is_some_and(|plant| plant == Plant::Divergence || plant.is_left_to_isolation()) {
            let what = format!("{node} has another state of group {group} at {applied} than the others");
            world.history.violate("state_machine_safety", what);
        }
    }
    world.members[node].note_applied(group, applied);
}
