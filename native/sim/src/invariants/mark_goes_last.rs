//! The mark of a log that may have forgotten what its member acknowledged goes only when what settled each group is on
//! disk: after it, the next start believes the log (rule L2; Alagappan et al. 2018, section 3.4).

use crate::world::World;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::ordered::status::GroupStatus;

/// What a group that is settled must have on disk: the term, and the last entry that it knew to be committed.
#[derive(Clone, Copy)]
pub struct SettledTo {
    term: Term,
    commit: Index,
    /// None where a snapshot took the entry's place.
    of: Option<Term>,
}

/// Notes where a group was settled, once in a life.
pub fn note(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    let Some(running) = &mut world.members[node].running else { return };
    let of = running.group(group);
    if of.is_marked() && of.is_settled() {
        let settled = SettledTo { term: status.term, commit: status.commit, of: of.term_of(status.commit) };
        running.settled_to.entry(group).or_insert(settled);
    }
}

/// The mark of a member's log is gone.
pub fn check(world: &mut World, node: usize) {
    let member = &world.members[node];
    let Some(running) = &member.running else { return };
    for (group, SettledTo { term, commit, of }) in &running.settled_to {
        let shadow = member.shadow.of(*group);
        if shadow.hard.term < *term || *commit > shadow.last() || of.is_some_and(|of| !shadow.holds(*commit, of)) {
            let has = (shadow.hard.term, shadow.last());
            let what = format!("{} counts as settled with {has:?} of group {group} on disk: term {term}, entry {commit} of term {of:?} settled it", member.name);
            return world.history.violate("mark_goes_last", what);
        }
    }
}
