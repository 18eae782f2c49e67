//! Where nothing happens but that members are far apart and a little is lost on the way, whoever leads goes on leading, and
//! nobody gives it up (docs/decisions/0032; "no election in 10 minutes of 1 % loss").

use crate::world::World;
use vexfs_core::ids::GroupId;
use vexfs_core::ordered::status::GroupStatus;

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    if !world.setup.regions.as_ref().is_some_and(|regions| regions.calm) {
        return;
    }
    let (seen, name) = ((status.leader, status.term), &world.members[node].name);
    match world.history.of(group).steady {
        Some(steady) if steady != seen => {
            let what = format!("{name} has {:?} in term {} for its leader, all had {:?} in term {}", seen.0, seen.1, steady.0, steady.1);
            world.history.violate("leaders_stay", what);
        }
        Some(_) => {}
        None => {
            let other = |node: usize| world.members[node].group(group).map(|group| group.status());
            let agree = (0..world.members.len()).all(|node| other(node).is_some_and(|other| (other.leader, other.term) == seen));
            if status.leader.is_some() && agree {
                world.history.of_mut(group).steady = Some(seen);
            }
        }
    }
}
