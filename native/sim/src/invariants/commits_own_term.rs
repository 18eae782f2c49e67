//! A leader commits by counting copies only what is of its own term (Ongaro and Ousterhout 2014, section 5.4.2, figure 8).

use crate::world::World;
use vexfs_core::ids::GroupId;
use vexfs_core::ordered::status::{GroupStatus, Role};

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    let Some(running) = &mut world.members[node].running else { return };
    // A candidate may learn of commits from those it asks.
    let leads = status.role == Role::Leader;
    let known = running.view(group).led_from.filter(|(term, _)| leads && *term == status.term);
    let Some((term, commit)) = known else {
        running.view_mut(group).led_from = leads.then_some((status.term, status.commit));
        return;
    };
    let of = running.group(group).term_of(status.commit);
    if status.commit > commit && of.is_some_and(|of| of != status.term) {
        let what = format!("{node} commits entry {} of term {of:?} as the leader of term {term}", status.commit);
        world.history.violate("commits_own_term", what);
    }
}
