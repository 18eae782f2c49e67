//! What waits at a member is bounded (design, "Who does what": byte budgets): requests by `limits.pendingBytesMax`, and
//! one submission more, since an empty queue takes any; of each origin's entries those whose past is kept until they are
//! delivered by `causal.bufferEvents`.

use crate::setup::BUFFER_ENTRIES;
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

/// Of the causal lane.
pub fn check_lane(world: &mut World, node: usize) {
    let buffered = world.members[node].running.as_ref().map_or(0, |running| running.groups.lane().buffered());
    if buffered > BUFFER_ENTRIES {
        let what = format!("{buffered} entries of one origin wait in the memory of {node}, the bound is {BUFFER_ENTRIES}");
        world.history.violate("memory_is_bounded", what);
    }
}
