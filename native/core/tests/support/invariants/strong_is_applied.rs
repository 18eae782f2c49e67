//! A strong publish is answered once as many voters as asked for have applied it (rule R2, the level's definition).

use crate::support::history::Request;
use crate::support::world::World;
use vexfs_core::ids::Index;

pub fn check(world: &mut World, request: &Request, index: Index, claimed: u32) {
    let applied = world.nodes.iter().filter(|node| node.applied_ever >= index).count() as u32;
    if applied < request.applied_quorum || claimed > applied {
        let what = format!(
            "entry {index} is applied at {applied}, asked for {}, the receipt claims {claimed}",
            request.applied_quorum
        );
        world.history.violate("strong_is_applied", what);
    }
}
