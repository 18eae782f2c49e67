//! Groups share a log and connections, and nothing else (rule R9): an event stands in the journal of the group it was
//! published in, and in no other's.

use crate::history::Delivery;
use crate::world::World;
use vexfs_core::ids::GroupId;

pub fn check(world: &mut World, node: usize, group: GroupId, journal: &[Delivery]) {
    for one in journal {
        match world.history.published_in.get(&one.id) {
            Some(known) if *known == group => {}
            known => {
                let what = format!("event {:x} is at {:?} of group {group} at {node}, it was published in {known:?}", one.id.0, one.place);
                return world.history.violate("groups_are_apart", what);
            }
        }
    }
}
