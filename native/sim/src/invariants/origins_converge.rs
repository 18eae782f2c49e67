//! When the faults have stopped, every member has delivered all that any member has, as far as all that it follows is still
//! to be had (rule R8, level eventual: "all members converge"; Shapiro et al. 2011, "Conflict-free replicated data types",
//! eventual delivery).

use crate::clients::operator;
use crate::lane::{Dot, Past};
use crate::world::World;
use std::collections::BTreeSet;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::{GroupId, Index};

/// Members that the table has.
fn members(world: &World) -> Vec<usize> {
    let table = operator::table(world).unwrap_or_default();
    (0..world.members.len()).filter(|node| operator::belongs(&table, &world.members[*node])).collect()
}

/// The entry as some member can give it.
fn available(world: &World, members: &[usize], actor: Actor, counter: u64) -> Option<u64> {
    let of = |node: &usize| world.members[*node].shadow.origin_of(actor)?.1.print(counter);
    members.iter().find_map(of)
}

/// All that can be delivered everywhere.
fn deliverable(world: &World, members: &[usize]) -> Past {
    let origins = members.iter().flat_map(|node| world.members[*node].shadow.origins().map(|(_, origin)| origin.actor));
    let actors: BTreeSet<Actor> = origins.collect();
    // What was cut anywhere was had everywhere, and who has lost it since begins behind it.
    let begins = |actor: &Actor| members.iter().filter_map(|node| Some(world.members[*node].shadow.origin_of(*actor)?.1.first())).max();
    let mut had: Past = actors.iter().filter_map(|actor| Some((*actor, begins(actor)? - 1))).filter(|(_, had)| *had > 0).collect();
    let mut again = true;
    while std::mem::take(&mut again) {
        for actor in &actors {
            let next = had.get(actor).copied().unwrap_or(0) + 1;
            let print = available(world, members, *actor, next);
            let fact = print.and_then(|print| world.history.lane.fact(Dot { actor: *actor, counter: next, print }));
            let follows = |fact: &crate::lane::Fact| fact.follows.iter().all(|(of, counter)| had.get(of).is_some_and(|had| had >= counter));
            if fact.is_some_and(follows) {
                had.insert(*actor, next);
                again = true;
            }
        }
    }
    had
}

/// Whether a vector can be delivered everywhere by what is left of the logs.
pub fn can_be_delivered(world: &World, vector: &Past) -> bool {
    let members = members(world);
    crate::lane::lacks(&deliverable(world, &members), vector).is_none()
}

/// Entries that damage has taken and that another member has: whoever reads everything tells of them.
pub fn mendable(world: &World) -> Vec<(usize, GroupId, Index)> {
    let members = members(world);
    let running = members.iter().copied().filter(|node| world.members[*node].running.is_some());
    let holes = running.flat_map(|node| {
        let origins = world.members[node].shadow.origins();
        origins.flat_map(move |(group, origin)| origin.holes.iter().map(move |counter| (node, group, origin.actor, *counter)))
    });
    let here = holes.filter(|(_, _, actor, counter)| available(world, &members, *actor, *counter).is_some());
    here.map(|(node, group, _, counter)| (node, group, Index(counter))).collect()
}

/// Whether damage has taken an entry of a member that no other has.
pub fn has_lost_for_good(world: &World, node: usize) -> bool {
    let holes = || world.members[node].shadow.origins().flat_map(|(_, origin)| origin.holes.iter().map(|counter| (origin.actor, *counter)));
    if holes().next().is_none() {
        return false;
    }
    let members = members(world);
    holes().any(|(actor, counter)| available(world, &members, actor, counter).is_none())
}

/// What keeps the causal lane from being whole; `None` where nothing does.
pub fn wrong(world: &World) -> Option<String> {
    let members = members(world);
    let vectors: Option<Vec<Past>> = members.iter().map(|node| Some((*world.members[*node].running.as_ref()?.lane.vector).clone())).collect();
    let Some(vectors) = vectors else { return Some("a member is down".to_string()) };
    let holed = |node: &usize| world.members[*node].shadow.origins().any(|(_, origin)| !origin.holes.is_empty());
    // What a disk has lost that nobody has any more may have been delivered before.
    let lossy = members.iter().any(holed);
    if !lossy && vectors.windows(2).any(|pair| pair[0] != pair[1]) {
        return Some(format!("members have delivered {vectors:?}"));
    }
    let all = deliverable(world, &members);
    let at = vectors.iter().position(|vector| crate::lane::lacks(vector, &all).is_some() || !lossy && *vector != all)?;
    Some(format!("{} has delivered {:?}, all has is {all:?}", members[at], vectors[at]))
}

pub fn check(world: &mut World) {
    if let Some(what) = wrong(world) {
        world.history.violate("origins_converge", what);
    }
}
