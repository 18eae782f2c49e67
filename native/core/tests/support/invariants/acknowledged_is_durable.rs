//! What is acknowledged is on the disks of a majority (rule R1; Ongaro 2014, "Consensus: Bridging Theory and Practice",
//! section 3.8). The disks are asked, not the members.

use crate::support::node::Node;
use crate::support::world::World;
use vexfs_core::ids::{Index, Term};

pub fn copies(world: &World, index: Index, term: Term) -> usize {
    let holds = |node: &&Node| {
        // A disk that lied has had it: that was true when it was said.
        node.disk.borrow().term_of(index) == Some(term) || node.lost.is_some_and(|(_, _, last)| last >= index)
    };
    world.nodes.iter().filter(holds).count()
}

pub fn check(world: &mut World, index: Index, term: Term) {
    let copies = copies(world, index, term);
    if copies < world.nodes.len() / 2 + 1 {
        let what = format!("entry {index} of term {term} is on {copies} disks when it is acknowledged");
        world.history.violate("acknowledged_is_durable", what);
    }
}
