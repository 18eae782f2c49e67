//! Members that have applied as much have the same configuration, and one that was left out of it never leads again
//! (Ongaro 2014, sections 4.1 to 4.3; ids are never used again).

use crate::world::World;
use vexfs_core::ids::GroupId;
use vexfs_core::ordered::status::{GroupStatus, Role};

/// Confs that are kept to judge quorums by.
const KEPT: usize = 4;

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    if status.conf.voters.is_empty() || status.snapshot > status.applied {
        // It waits for its first snapshot, or for a snapshot's write: the configuration is ahead of the state then.
        return;
    }
    let history = world.history.of_mut(group);
    let known = history.conf_at.entry(status.applied).or_insert_with(|| status.conf.clone());
    if **known != *status.conf {
        let what = format!("{node} has another configuration of group {group} at {} than the others", status.applied);
        world.history.violate("configurations_agree", what);
    }
    let history = world.history.of_mut(group);
    let newest = history.confs.back();
    let newer = newest.is_none_or(|(index, conf)| *index < status.applied && **conf != *status.conf);
    if newer {
        history.confs.push_back((status.applied, status.conf.clone()));
        if history.confs.len() > KEPT {
            history.confs.pop_front();
        }
    }
    let me = world.members[node].id;
    if status.role == Role::Leader && !status.conf.votes(me) {
        world.history.violate("configurations_agree", format!("{node} leads, but has no vote"));
    }
}
