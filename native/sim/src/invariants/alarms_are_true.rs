//! The checker is checked: only a member that has lost something it had told of is told that its directory was put back
//! (docs/decisions/0019).

use crate::world::World;
use vexfs_core::ids::GroupId;
use vexfs_core::ordered::status::GroupStatus;

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    let Some(put_back) = status.put_back.filter(|put_back| !put_back.settled) else { return };
    if world.members[node].lost.is_none() {
        let ((known_term, known), (had_term, had)) = (put_back.known, put_back.had);
        let what = format!("{node} has lost nothing of group {group}, and is told of entry {known}/{known_term}; it had {had}/{had_term}");
        world.history.violate("alarms_are_true", what);
    }
}
