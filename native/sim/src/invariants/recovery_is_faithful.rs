//! Opening a log finds every batch that was synced and nothing that was not written (rules L1, L2 and L4); a member can
//! always be started again unless its disk lost more than a last batch; nobody takes another's directory for its own.

use crate::world::World;
use vexfs_core::log::LogError;
use vexfs_core::member::open::OpenError;

pub fn check(world: &mut World, node: usize, wrong: Option<String>) {
    if let Some(what) = wrong {
        world.history.violate("recovery_is_faithful", format!("{node}: {what}"));
    }
}

/// Judges an open that failed. A full device and a crash are reasons to try again.
pub fn check_refusal(world: &mut World, node: usize, error: &OpenError) {
    let passes = match error {
        OpenError::Log(LogError::Io { .. } | LogError::Full { .. }) => true,
        OpenError::Snapshot(error) => error.is_full(),
        _ => false,
    };
    if !passes {
        world.history.violate("members_start_again", format!("{node}: {error}"));
    }
}

pub fn check_foreign(world: &mut World, node: usize, opened: bool) {
    if opened {
        world.history.violate("directories_are_known", format!("{node} opens the directory of another member"));
    }
}

pub fn check_blocks(world: &mut World, node: usize) {
    if let Some(what) = world.members[node].disk.shared_block() {
        world.history.violate("blocks_are_not_shared", format!("{node}: {what}"));
    }
}
