//! What counts as held is whole on that disk; a stub stands only where its entry's holders leave its member out, and only of
//! what a majority of the voters has had whole; and what a member is to hold by the rules that its writer went by, it holds
//! in the end (rule R10; docs/decisions/0034).

use crate::clients::operator;
use crate::lane::{self, Past};
use crate::member::Member;
use crate::world::World;
use std::collections::BTreeSet;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::head::{Head, Holders};
use vexfs_core::entry;
use vexfs_core::ids::{GroupId, Index, MemberId};
use vexfs_core::log::LogEntry;
use vexfs_core::member::FIRST_GROUP;
use vexfs_core::membership::{Membership, Role};
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::replication::Selection;
use vexfs_core::stub;

/// Takes note of the rules that a member has applied.
pub fn note_rules(world: &mut World, node: usize) {
    let Some(group) = world.members[node].group(FIRST_GROUP) else { return };
    let agreed = group.machine().replication();
    let known = &mut world.history.lane.rules;
    if agreed.version > Index(0) && !known.contains_key(&agreed.version) {
        known.insert(agreed.version, Selection::of(agreed));
    }
}

/// Judges an entry that a member is about to write.
pub fn check_written(world: &mut World, node: usize, entry: &LogEntry) {
    let Ok(head) = Head::decode(&entry.context) else { return };
    let (id, is_stub) = (world.members[node].id, stub::is_stub(&entry.data));
    let is_new = lane::dot(entry).is_some_and(|dot| world.history.lane.fact(dot).is_none());
    let what = match (&head.holders, is_stub) {
        (None, true) => Some("takes the stub of what everybody holds"),
        (Some(_), true) if is_due(world, node, &head) && is_anywhere(world, head.actor, entry.index.0) => Some("takes the stub of what it is to hold"),
        (Some(_), true) if !is_backed(world, head.actor, entry.index.0) => Some("takes the stub of what no majority holds"),
        (holders, false) if head.actor.member == id && is_new && !are_right(world, entry, holders.as_ref()) => Some("does not go by the rules in"),
        _ => None,
    };
    if let Some(what) = what {
        world.history.violate("held_is_whole", format!("{node} {what} entry {} of {:?}", entry.index, head.actor));
    }
}

/// By what it knows itself, and knew when it was given it.
fn is_due(world: &World, node: usize, head: &Head) -> bool {
    let member = &world.members[node];
    !is_learner(member) && !member.was_learner || head.names(member.id)
}

fn is_learner(member: &Member) -> bool {
    let table = member.running.as_ref().map(|running| running.groups.lane().table());
    table.is_some_and(|table| table.role(member.id) == Some(Role::Learner))
}

fn is_backed(world: &World, actor: Actor, counter: u64) -> bool {
    let had = |id: &MemberId| world.members.iter().any(|member| member.id == *id && member.whole_ever.contains(&(actor, counter)));
    let majority = |voters: &[MemberId]| 2 * voters.iter().filter(|id| had(id)).count() > voters.len();
    let voters = |table: &Membership| -> Vec<MemberId> { table.iter().filter(|(_, row)| row.role == Role::Voter).map(|(id, _)| id).collect() };
    let tables = world.members.iter().filter_map(|member| Some(voters(member.running.as_ref()?.groups.lane().table())));
    // Of whichever members its giver knew of at the time.
    let confs = world.history.of(FIRST_GROUP).confs.iter().flat_map(|(_, conf)| [conf.voters.clone(), conf.outgoing.clone()]);
    tables.chain(confs).any(|voters| majority(&voters))
}

/// Whether an entry names whom the rules name that it says it goes by.
fn are_right(world: &World, entry: &LogEntry, holders: Option<&Holders>) -> bool {
    let (Some(holders), Ok(submissions)) = (holders, entry::unpack_causal(&entry.data)) else { return true };
    // Rules that a member has passed by at once nobody has seen.
    let Some(rules) = world.history.lane.rules.get(&holders.version) else { return true };
    submissions.iter().filter_map(|submission| rules.holders(submission)).all(|named| named.members.iter().all(|member| holders.members.contains(member)))
}

/// Entries have come to a member's disk: some as stubs, some whole.
pub fn note_written(world: &mut World, node: usize, entries: &[(Actor, u64, bool)]) {
    let member = &mut world.members[node];
    for (actor, counter, is_stub) in entries {
        if *is_stub {
            member.stubs.insert((*actor, *counter));
        } else {
            member.stubs.remove(&(*actor, *counter));
            member.whole_ever.insert((*actor, *counter));
        }
    }
}

/// What the disk of a member that starts has.
pub fn note_start(world: &mut World, node: usize) {
    let origins: Vec<(GroupId, Actor, u64, u64)> = world.members[node].shadow.origins().map(|(group, origin)| (group, origin.actor, origin.first(), origin.last())).collect();
    world.members[node].stubs.clear();
    world.members[node].was_learner = false;
    let mut found = Vec::new();
    for (group, actor, first, last) in origins {
        let Some(running) = &world.members[node].running else { return };
        for counter in first..=last {
            if world.history.lane.all(actor, counter).iter().all(|fact| fact.holders.is_none()) {
                continue;
            }
            if let Some(is_stub) = is_stub(&running.entries, group, counter) {
                found.push((actor, counter, is_stub));
            }
        }
    }
    note_written(world, node, &found);
}

/// `None` where it cannot be read.
fn is_stub(log: &impl EntryReader, group: GroupId, counter: u64) -> Option<bool> {
    let read = log.entries(group, Index(counter), Index(counter + 1), u64::MAX).ok()?;
    read.first().map(|entry| stub::is_stub(&entry.data))
}

/// Whether a member has an entry whole on its disk.
fn is_anywhere(world: &World, actor: Actor, counter: u64) -> bool {
    let table = operator::table(world).unwrap_or_default();
    let belongs = |member: &&Member| table.is_empty() || operator::belongs(&table, member);
    world.members.iter().filter(belongs).any(|member| has_whole(member, actor, counter))
}

fn has_whole(member: &Member, actor: Actor, counter: u64) -> bool {
    !member.stubs.contains(&(actor, counter)) && member.shadow.origin_of(actor).is_some_and(|(_, origin)| origin.print(counter).is_some())
}

/// Judges what a member tells that it holds.
pub fn check_told(world: &mut World, node: usize) {
    world.members[node].was_learner = is_learner(&world.members[node]);
    let member = &world.members[node];
    let Some(running) = member.running.as_ref().filter(|_| !member.stubs.is_empty()) else { return };
    let lane = running.groups.lane();
    let held: Past = lane.held().collect();
    // A cut that is on its way to disk is one already.
    let begins: Past = lane.origins().map(|origin| (origin.actor, origin.first)).collect();
    let wrong = |(actor, counter): &&(Actor, u64)| {
        begins.get(actor).is_some_and(|first| counter >= first) && held.get(actor).is_some_and(|held| held >= counter)
    };
    if let Some((actor, counter)) = member.stubs.iter().filter(wrong).find(|(actor, counter)| is_anywhere(world, *actor, *counter)) {
        let what = format!("{node} holds {:?} of {actor:?}, and of entry {counter} it has the stub", held.get(actor));
        world.history.violate("held_is_whole", what);
    }
}

/// What somebody is to hold, and does not.
pub fn wrong(world: &World) -> Option<String> {
    let table = operator::table(world)?;
    let members: Vec<usize> = (0..world.members.len()).filter(|node| operator::belongs(&table, &world.members[*node])).collect();
    let whole = |actor: Actor, counter: u64| members.iter().any(|node| has_whole(&world.members[*node], actor, counter));
    for node in &members {
        let member = &world.members[*node];
        let running = member.running.as_ref()?;
        let votes = running.groups.lane().table().role(member.id) == Some(Role::Voter);
        let lacked: BTreeSet<&(Actor, u64)> = member.stubs.iter().filter(|_| votes).collect();
        for (actor, counter) in lacked {
            let stands = member.shadow.origin_of(*actor).is_some_and(|(_, origin)| origin.print(*counter).is_some());
            if stands && whole(*actor, *counter) {
                return Some(format!("{} votes, and of entry {counter} of {actor:?} it has the stub", member.name));
            }
        }
    }
    None
}

pub fn check(world: &mut World) {
    if let Some(what) = wrong(world) {
        world.history.violate("held_is_whole", what);
    }
}
