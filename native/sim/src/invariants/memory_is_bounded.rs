//! What waits at a member is bounded (design, "Who does what": byte budgets): requests by `limits.pendingBytesMax`, and
//! one submission more, since an empty queue takes any.

use crate::world::World;
use vexfs_core::ordered::status::GroupStatus;

/// Five events of 5,000 bytes.
const SUBMISSION_BYTES_LARGEST: usize = 28 * 1024;

pub fn check(world: &mut World, node: usize, status: &GroupStatus) {
    let bound = world.setup.pending_bytes_max + SUBMISSION_BYTES_LARGEST;
    if status.pending_bytes > bound {
        let what = format!("{} bytes of requests wait at {node}, the bound is {bound}", status.pending_bytes);
        world.history.violate("memory_is_bounded", what);
    }
}
