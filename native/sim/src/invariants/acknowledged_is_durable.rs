//! What is acknowledged is on the disks of a majority (rule R1; Ongaro 2014, "Consensus: Bridging Theory and Practice",
//! section 3.8). What the logs were told to hold is asked, not the members.

use crate::member::Member;
use crate::world::World;
use vexfs_core::ids::{Index, Term};

pub fn copies(world: &World, index: Index, term: Term) -> usize {
    let holds = |member: &&Member| {
        // A disk that lied has had it: that was true when it was said.
        member.shadow.holds(index, term) || member.lost.is_some_and(|(_, _, last)| last >= index)
    };
    world.members.iter().filter(holds).count()
}

pub fn check(world: &mut World, index: Index, term: Term) {
    let copies = copies(world, index, term);
    if copies < world.members.len() / 2 + 1 {
        let what = format!("entry {index} of term {term} is on {copies} disks when it is acknowledged");
        world.history.violate("acknowledged_is_durable", what);
    }
}
