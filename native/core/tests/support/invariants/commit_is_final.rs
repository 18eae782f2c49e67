//! A committed position never gets another entry (Ongaro and Ousterhout 2014, section 5.4; state machine safety seen
//! from the commit mark rather than from what was applied).

use crate::support::world::World;
use vexfs_core::ids::Index;

pub fn check(world: &mut World, node: usize) {
    let at = &mut world.nodes[node];
    let Some(group) = &at.group else { return };
    let commit = group.status().commit;
    let mut wrong = None;
    for index in at.last_commit_seen.0 + 1..=commit.0 {
        let term = group.term_of(Index(index));
        match (world.history.committed.get(index as usize - 1), term) {
            (Some(known), Some(term)) if *known == term => {}
            (None, Some(term)) if world.history.committed.len() as u64 == index - 1 => world.history.committed.push(term),
            (known, term) => wrong = wrong.or(Some(format!("entry {index} of {node} is {term:?}, committed {known:?}"))),
        }
    }
    at.last_commit_seen = commit;
    if let Some(what) = wrong {
        world.history.violate("commit_is_final", what);
    }
}
