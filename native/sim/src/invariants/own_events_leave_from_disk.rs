//! An own causal event leaves its member only after fdatasync (rule R7), so that no power loss takes back what others have.

use crate::world::World;
use bytes::Bytes;
use vexfs_core::causal::message::Entries;
use vexfs_core::peer::frame::{FrameKind, FRAME_HEADER_BYTES};

/// Looks at a frame that a member sends.
pub fn check(world: &mut World, node: usize, frame: &[u8]) {
    if frame[8] != FrameKind::Entries as u8 {
        return;
    }
    let Ok(entries) = Entries::decode(&Bytes::copy_from_slice(&frame[FRAME_HEADER_BYTES..])) else { return };
    let member = &world.members[node];
    let last = entries.first + entries.list.len() as u64 - 1;
    let written = member.shadow.origin_of(entries.actor).map_or(0, |(_, origin)| origin.last());
    if last > written && !entries.list.is_empty() {
        let what = format!("{node} sends entry {last} of {:?}, on its disk are {written}", entries.actor);
        world.history.violate("own_events_leave_from_disk", what);
    }
}
