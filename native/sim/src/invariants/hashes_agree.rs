//! The members' own comparison of what they have applied: it raises no false alarm, and a true one names the first entry
//! at which they differ and the member that differs, which keeps out of everything from then on (rule R3, "always on").

use crate::plants::Plant;
use crate::world::World;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::ordered::status::GroupStatus;

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    let Some(found) = status.divergence.as_ref() else { return };
    if world.setup.plant.is_some_and(Plant::is_left_to_isolation) {
        return;
    }
    if world.setup.plant != Some(Plant::Divergence) {
        let what = format!("{node} finds that {:?} differ from entry {} on", found.minority, found.first);
        return world.history.violate("hashes_agree", what);
    }
    // The member that the plant is in: it knows when a majority has told it.
    let alone = world.members[0].id;
    if node == 0 && status.isolated.is_some() {
        let what = match misnamed(world, group, found.first) {
            None if found.minority == [alone] && !world.members[0].group(group).is_some_and(|group| group.leads()) => {
                return world.history.violate("hashes_agree", format!("{node} isolates itself, for entry {}", found.first));
            }
            None => format!("{:?} are said to differ", found.minority),
            Some(what) => what,
        };
        world.history.violate("divergence_is_named", what);
    }
}

/// Whether another entry than this is the first difference, as far as hashes are kept.
fn misnamed(world: &World, group: GroupId, first: Index) -> Option<String> {
    let at = |node: usize, index: Index| world.members[node].group(group).and_then(|group| group.hash_at(index));
    let before = Index(first.0 - 1);
    (1..world.members.len()).find_map(|other| {
        let differs = |index| Some(at(0, index)? != at(other, index)?);
        let wrong = differs(first) == Some(false) || differs(before) == Some(true);
        wrong.then(|| format!("entry {first} is named, and is not the first in which {other} differs"))
    })
}
