//! What a quiet group holds back of the log that all groups share is bounded (docs/decisions/0018): from a snapshot on
//! that finds more than twice the limit, as much as is written is moved, so that it is less again before four times what
//! is live was written. Moving all of it once takes up to twice that, since batches are padded to blocks, and what is
//! live grows meanwhile; histories without the planted bug come to twice.

use crate::invariants::origins_converge;
use crate::member::UPKEEP;
use crate::world::World;

/// Snapshots of any group that must have come: only they begin to move something.
const MARKS_MIN: u32 = 3;
/// Of what is live: so much may be written until then.
const WRITTEN_SHARE: u64 = 4;

/// More than twice the limit is held back.
#[derive(Clone, Copy, Debug)]
pub struct Excess {
    /// What had been written when a snapshot found it.
    written_before: u64,
    /// Snapshots since.
    marks: u32,
    /// The most that was live since.
    live: u64,
}

/// Judges a batch that is on disk; `marked`: with a snapshot mark.
pub fn check(world: &mut World, node: usize, marked: bool) {
    let segment = world.setup.segment_bytes;
    if origins_converge::has_lost_for_good(world, node) {
        // What nobody has any more of an origin's log cannot be moved, and stays in the way until all others have let go of it (rule R11).
        return;
    }
    let Some(running) = &mut world.members[node].running else { return };
    if running.excess.is_none() && !marked {
        return;
    }
    let (live, held_back) = running.log_use();
    // A segment that was just sealed counts at once, one that was emptied goes with the next batch.
    let bound = 2 * UPKEEP.held_back_bytes_max.max(live) + 2 * segment;
    let written = running.written_bytes;
    running.excess = match running.excess {
        _ if held_back <= bound => None,
        None => marked.then_some(Excess { written_before: written, marks: 0, live }),
        Some(excess) => Some(Excess { marks: excess.marks + u32::from(marked), live: excess.live.max(live), ..excess }),
    };
    let Some(Excess { written_before, marks, live }) = running.excess else { return };
    let since = written - written_before;
    if marks >= MARKS_MIN && since > WRITTEN_SHARE * live {
        let what = format!("{held_back} bytes are held back at {node}, the bound is {bound}; {since} were written since, with {marks} snapshots");
        world.history.violate("held_back_is_bounded", what);
    }
}
