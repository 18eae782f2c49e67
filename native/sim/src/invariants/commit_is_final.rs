//! A committed position never gets another entry (Ongaro and Ousterhout 2014, section 5.4; state machine safety seen
//! from the commit mark rather than from what was applied).

use crate::world::World;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::ordered::status::GroupStatus;

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    if status.repairing {
        // Its log is not read meanwhile.
        return;
    }
    let Some(running) = &mut world.members[node].running else { return };
    let mut wrong = None;
    // Of what a snapshot stands for, no term is known; it was committed elsewhere, and its hash is compared.
    let known = (status.first.0 - 1).max(1);
    let history = world.history.of_mut(group);
    for index in (running.view(group).last_commit_seen.0 + 1).max(known)..=status.commit.0 {
        let term = running.group(group).term_of(Index(index));
        match (history.committed_at(Index(index)), term) {
            (Some(known), Some(term)) if known == term => {}
            (None, Some(term)) if history.committed.len() as u64 == index - 1 => {
                history.committed.push(term);
                history.committed_in.push(status.term);
            }
            // Of lost entries that a snapshot covers the term is not known.
            (Some(_), None) if index <= status.snapshot.0 => {}
            (known, term) => wrong = wrong.or(Some(format!("entry {index} of {node}, group {group}, is {term:?}, committed {known:?}"))),
        }
    }
    running.view_mut(group).last_commit_seen = status.commit;
    if let Some(what) = wrong {
        world.history.violate("commit_is_final", what);
    }
}
