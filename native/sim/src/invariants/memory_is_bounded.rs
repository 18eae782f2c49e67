//! What waits at a member is bounded (design, "Who does what": byte budgets): requests by `limits.pendingBytesMax`, and
//! one submission more, since an empty queue takes any.

use crate::world::World;

/// Five events of 5,000 bytes.
const SUBMISSION_BYTES_LARGEST: usize = 28 * 1024;

pub fn check(world: &mut World, node: usize) {
    let Some(running) = &world.members[node].running else { return };
    let waiting = running.groups.pending_bytes();
    let bound = world.setup.pending_bytes_max + SUBMISSION_BYTES_LARGEST;
    if waiting > bound {
        let what = format!("{waiting} bytes of requests wait at {node}, the bound is {bound}");
        world.history.violate("memory_is_bounded", what);
    }
}
