//! A group does not end by itself (docs/ARCHITECTURE.md, "When something fails"): the log stops where its disk has failed,
//! and nowhere else.

use crate::world::World;
use vexfs_core::log::LogError;

pub fn check_end_of_log(world: &mut World, node: usize, error: &LogError) {
    if !matches!(error, LogError::Io { .. }) {
        world.history.violate("groups_go_on", format!("the log of {node} stops: {error}"));
    }
}
