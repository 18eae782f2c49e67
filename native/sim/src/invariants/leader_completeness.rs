//! A new leader's log holds every entry that was committed in an earlier term (Ongaro and Ousterhout 2014, section 5.4.3).

use crate::world::World;
use vexfs_core::ids::{GroupId, Index, Term};

pub fn check(world: &mut World, node: usize, id: GroupId, term: Term) {
    let Some(group) = world.members[node].group(id) else { return };
    let history = world.history.of(id);
    // What is before the journal's first entry is in its snapshot.
    let (first, snapshot) = (group.status().first, group.status().snapshot);
    // One that hears late that it was elected is the leader of an earlier term than others by then.
    let earlier = history.committed_in.iter().map(|seen| *seen < term);
    let lacks = |index: u64, term| match group.term_of(Index(index)) {
        // Damage has taken it; the snapshot has it.
        None => Index(index) > snapshot,
        known => Index(index) >= first && known != Some(term),
    };
    let mut committed = (1..).zip(&history.committed).zip(earlier);
    if let Some(((index, term), _)) = committed.find(|((index, term), earlier)| *earlier && lacks(*index, **term)) {
        let what = format!("leader {node} of group {id} lacks entry {index} committed in term {term}");
        world.history.violate("leader_completeness", what);
    }
}
