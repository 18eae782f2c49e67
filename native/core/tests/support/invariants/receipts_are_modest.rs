//! A receipt never claims more copies than there are (rules R1 and R2).

use super::acknowledged_is_durable::copies;
use crate::support::world::World;
use vexfs_core::ids::{Index, Term};

pub fn check(world: &mut World, index: Index, term: Term, claimed: u32) {
    let claimed = claimed as usize;
    let copies = copies(world, index, term);
    if claimed > copies || claimed == 0 {
        let what = format!("receipt of entry {index} claims {claimed} copies, there are {copies}");
        world.history.violate("receipts_are_modest", what);
    }
}
