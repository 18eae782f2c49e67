//! The checker is checked: a member that has applied something else than a majority of the voters isolates itself in time,
//! neither leads nor acknowledges from then on, and no other member isolates itself (docs/decisions/0017).

use crate::world::World;
use vexfs_core::ids::{GroupId, Index, MemberId};
use vexfs_core::ordered::effects::{Completion, End};
use vexfs_core::ordered::status::GroupStatus;

/// When all are connected: a report that was lost comes again after five seconds, and finding the entry takes one more.
const NOTICED_US: u64 = 10_000_000;
/// After the faults have stopped, members start and connect.
const CALM_US: u64 = 5_000_000;

pub fn check(world: &mut World, node: usize, group: GroupId, status: &GroupStatus) {
    if let Some(first) = status.isolated {
        world.members[node].differs_since_us.remove(&group);
        if world.members[node].group(group).is_some_and(|group| group.leads()) {
            world.history.violate("minority_is_isolated", format!("{node} leads, and is isolated from entry {first} on"));
        }
        if is_of_majority(world, node, status, first) == Some(true) {
            let what = format!("{node} isolates itself for entry {first}, at which it has what a majority has");
            world.history.violate("minority_is_isolated", what);
        }
        return;
    }
    if !world.history.of(group).parted {
        return;
    }
    let index = Index(status.applied.0.min(majority_applied(world, status)));
    let differs = is_of_majority(world, node, status, index) == Some(false);
    let calm_us = world.setup.until_us + CALM_US;
    let since_us = &mut world.members[node].differs_since_us;
    if !differs {
        since_us.remove(&group);
        return;
    }
    let since_us = *since_us.entry(group).or_insert(world.now_us);
    if world.now_us > since_us.max(calm_us) + NOTICED_US {
        let what = format!("{node} differs from a majority at entry {index}, and goes on");
        world.history.violate("minority_is_isolated", what);
    }
}

/// Nobody is answered from a state that is not the others'.
pub fn check_end(world: &mut World, node: usize, completion: &Completion) {
    if !matches!(completion.end, End::Applied { .. } | End::Barrier { .. }) {
        return;
    }
    if let Some(first) = world.members[node].group(completion.group).and_then(|group| group.isolated()) {
        let what = format!("{node} answers request {}, and is isolated from entry {first} on", completion.request);
        world.history.violate("minority_is_isolated", what);
    }
}

fn of_voter<T>(world: &World, voter: MemberId, read: impl Fn(&crate::member::Running) -> Option<T>) -> Option<T> {
    let member = world.members.iter().find(|member| member.id == voter)?;
    member.running.as_ref().and_then(read)
}

/// How much a majority of the voters has applied.
fn majority_applied(world: &World, status: &GroupStatus) -> u64 {
    let applied = |voter: &MemberId| of_voter(world, *voter, |running| Some(running.group(status.group).machine().applied().0));
    let mut all: Vec<u64> = status.conf.voters.iter().map(|voter| applied(voter).unwrap_or(0)).collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.get(all.len() / 2).copied().unwrap_or(0)
}

/// Whether it has at this entry what a majority of the voters has; unknown where no majority that runs has the same.
fn is_of_majority(world: &World, node: usize, status: &GroupStatus, index: Index) -> Option<bool> {
    let own = world.members[node].group(status.group)?.hash_at(index)?;
    let voters = &status.conf.voters;
    let hashes: Vec<u64> = voters.iter().filter_map(|voter| of_voter(world, *voter, |running| running.group(status.group).hash_at(index))).collect();
    let right = hashes.iter().find(|hash| 2 * hashes.iter().filter(|other| other == hash).count() > voters.len())?;
    Some(own == *right)
}
