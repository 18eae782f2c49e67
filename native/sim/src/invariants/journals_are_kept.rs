//! Without a limit that retention sets, the whole journal is somewhere in the cluster: damage, snapshots in the place of
//! entries and changes of members take nothing from all of it (rule L5).

use crate::clients::operator;
use crate::world::World;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::member::open::FOUNDED_AT;

pub fn check(world: &mut World, group: GroupId) {
    let policy = &world.setup.snapshots;
    // What the only member loses, nobody has.
    if world.setup.founders < 3 || policy.retain_events.is_some() || policy.retain_bytes.is_some() || policy.retain_age_ms.is_some() {
        return;
    }
    let Some(table) = operator::table(world) else { return };
    let members = world.members.iter().filter(|member| operator::belongs(&table, member));
    let firsts: Vec<Index> = members.filter_map(|member| Some(member.group(group)?.status().first)).collect();
    if firsts.iter().all(|first| *first > Index(FOUNDED_AT.0 + 1)) {
        let firsts: Vec<String> = firsts.iter().map(ToString::to_string).collect();
        let what = format!("nobody has the whole journal of group {group}: they begin at {}", firsts.join(", "));
        world.history.violate("journals_are_kept", what);
    }
}
