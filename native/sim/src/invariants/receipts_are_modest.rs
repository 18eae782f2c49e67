//! A receipt never claims more copies than there are (rules R1 and R2).

use super::acknowledged_is_durable::copies;
use crate::plants::Plant;
use crate::world::World;
use vexfs_core::ids::{GroupId, Index, Term};

pub fn check(world: &mut World, group: GroupId, index: Index, term: Term, claimed: u32) {
    let claimed = match world.setup.plant {
        Some(Plant::InflatedReceipts) => world.members.len(),
        _ => claimed as usize,
    };
    let copies = copies(world, group, index, term);
    if claimed > copies || claimed == 0 {
        let what = format!("receipt of entry {index} claims {claimed} copies, there are {copies}");
        world.history.violate("receipts_are_modest", what);
    }
}
