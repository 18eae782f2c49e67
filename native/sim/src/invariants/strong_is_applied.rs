//! A strong publish is answered once as many voters as asked for have applied it (rule R2, the level's definition), and
//! every publish once it is applied where it was taken, so that a session reads what it has written.

use crate::history::Request;
use crate::world::World;
use vexfs_core::ids::Index;

pub fn check(world: &mut World, request: &Request, index: Index, claimed: u32) {
    // Fewer are enough where fewer are left, or were a moment ago.
    let left = world.history.of(request.group).confs.iter().map(|(_, conf)| conf.voting()).min();
    let asked = request.applied_quorum.min(left.unwrap_or(u32::MAX));
    let applied = world.members.iter().filter(|member| member.applied_ever(request.group) >= index).count() as u32;
    if applied < asked || claimed > applied {
        let what = format!(
            "entry {index} is applied at {applied}, asked for {}, the receipt claims {claimed}",
            asked
        );
        world.history.violate("strong_is_applied", what);
    }
    let here = world.members[request.node].group(request.group).map_or(Index(0), |group| group.machine().applied());
    if here < index {
        let what = format!("entry {index} is acknowledged where only {here} are applied");
        world.history.violate("own_writes_are_read", what);
    }
}
