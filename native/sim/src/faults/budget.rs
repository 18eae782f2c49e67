//! How much may be lost at the same time, so that what the cluster promises has to hold.

use crate::world::World;
use vexfs_core::ids::{GroupId, Index};

impl World {
    /// Whether one more member may lose what it acknowledged. The promises hold while, at any time, less than half of
    /// the members (a minority: `2 * lost < members`) have lost a write and are not whole again. Whole again is a disk
    /// that holds every committed entry, and whose term, and last entry as raft compares logs, are not behind what was
    /// lost: then the lost entries are back, or others have taken their places by an election that did not need them.
    pub fn may_lose(&mut self, node: usize) -> bool {
        let groups: Vec<GroupId> = self.groups().collect();
        for member in &mut self.members {
            // What damage has taken shows at the next start.
            let seen = !member.struck && !member.shadow.has_holes();
            let whole = |group: &GroupId| member.lost_of(*group).is_some_and(|lost| {
                let shadow = member.shadow.of(*group);
                let (term, last_term, last) = shadow.reach();
                let holds = |(index, term): (u64, &_)| shadow.holds(Index(index), *term);
                let committed = &self.history.of(*group).committed;
                term >= lost.0 && (last_term, last) >= (lost.1, lost.2) && (1..).zip(committed).all(holds)
            });
            // What it may have forgotten is for the others to settle; until then it is of no use to them.
            let settled = |group: &GroupId| member.group(*group).is_some_and(|group| group.is_settled() && !group.is_repairing());
            if seen && groups.iter().all(|group| settled(group) && whole(group)) {
                member.lost = None;
            }
        }
        let others = (0..self.members.len()).filter(|at| *at != node && self.members[*at].lost.is_some()).count();
        // During a change of members two majorities count: the budget waits until it is over.
        groups.iter().all(|group| {
            let conf = self.history.of(*group).confs.back();
            conf.is_some_and(|(_, conf)| !conf.is_joint() && conf.learners.is_empty() && 2 * (others + 1) < conf.voters.len())
        })
    }
}
