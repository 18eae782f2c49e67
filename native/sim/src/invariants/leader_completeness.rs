//! A new leader's log holds every entry that was ever committed (Ongaro and Ousterhout 2014, section 5.4.3).

use crate::world::World;
use vexfs_core::ids::Index;

pub fn check(world: &mut World, node: usize) {
    let Some(group) = world.members[node].group() else { return };
    // What is before the journal's first entry is in its snapshot.
    let first = group.status().first;
    let lacks = |(index, term): &(u64, &_)| Index(*index) >= first && group.term_of(Index(*index)) != Some(**term);
    let missing = (1..).zip(&world.history.committed).find(lacks);
    if let Some((index, term)) = missing {
        let what = format!("leader {node} lacks entry {index} committed in term {term}");
        world.history.violate("leader_completeness", what);
    }
}
