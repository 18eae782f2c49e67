//! When the faults have stopped, every request ends, one leader leads and all members reach the same state (partial
//! synchrony: Dwork, Lynch and Stockmeyer 1988; the liveness the paper's section 5.6 asks timing for).

use crate::clients::operator;
use crate::invariants::{followed_comes, held_is_whole, origins_converge, states_are_whole};
use crate::member::{Member, Stage};
use crate::world::World;
use vexfs_core::ids::{GroupId, Index, MemberId};
use vexfs_core::membership::{Membership, Role};
use vexfs_core::ordered::conf::Conf;

/// Lost entries that some member has, and who has lost them. Nobody reads what is in front of a gap: damage there is met
/// by nobody before the gap is filled.
pub fn mendable(world: &World) -> Vec<(usize, GroupId, Index)> {
    let has = |member: &Member, group: GroupId, index: Index| {
        let shadow = member.shadow.of(group);
        member.running.is_some() && index >= shadow.first() && index <= shadow.last() && !shadow.holes.contains(&index) && !shadow.gaps.contains(&index)
    };
    let running = world.members.iter().enumerate().filter(|(_, member)| member.running.is_some());
    running
        .flat_map(|(node, member)| member.shadow.groups().map(move |(group, shadow)| (node, group, shadow)))
        .flat_map(|(node, group, shadow)| {
            let gap_end = shadow.gaps.last().copied().unwrap_or_default();
            let met = shadow.holes.iter().filter(move |index| **index > gap_end);
            met.chain(&shadow.gaps).map(move |index| (node, group, *index))
        })
        .filter(|(_, group, index)| world.members.iter().any(|member| has(member, *group, *index)))
        .collect()
}

/// Requests that somebody waits for, at members who can learn what becomes of them.
fn open(world: &World, table: &Membership) -> usize {
    world.history.open().filter(|node| !stranded(world, table, *node)).count()
}

/// Whether a member was removed, and of those it knows nobody is left to tell it.
fn stranded(world: &World, table: &Membership, node: usize) -> bool {
    let member = &world.members[node];
    let runs = |id: MemberId| id != member.id && world.members.iter().any(|other| other.id == id && other.running.is_some());
    let alone = |group| member.group(group).is_some_and(|group| !group.conf().members().into_iter().any(runs));
    table.role(member.id) == Some(Role::Removed) && world.groups().all(alone)
}

pub fn healed(world: &World) -> bool {
    let Some(table) = operator::table(world) else { return false };
    if open(world, &table) > 0 || mendable(world).iter().any(|(node, ..)| !stranded(world, &table, *node)) {
        return false;
    }
    let members: Vec<&Member> = world.members.iter().filter(|member| operator::belongs(&table, member)).collect();
    let waiting = members.iter().any(|member| member.stage == Stage::Waiting);
    !waiting && states_are_whole::are_back(world) && followed_comes::waiting(world).is_none() && world.groups().all(|group| has_healed(&members, group, &table)) && origins_converge::wrong(world).is_none() && held_is_whole::wrong(world).is_none()
}

fn has_healed(members: &[&Member], group: GroupId, table: &Membership) -> bool {
    let states: Vec<_> = members.iter().map(|member| member.group(group).map(|group| group.status())).collect();
    let Some(Some(first)) = states.first() else { return false };
    states.iter().all(|state| {
        state.as_ref().is_some_and(|state| {
            state.leader.is_some() && state.leader == first.leader && state.applied == first.applied
                && state.applied == state.last && agrees(table, &state.conf) && state.apply_hash == first.apply_hash && state.pending == 0
        })
    })
}

/// Whether a configuration has come to where the table wants it.
fn agrees(table: &Membership, conf: &Conf) -> bool {
    let are = |role: Role, list: &[MemberId]| {
        let mut wanted = table.iter().filter(|(_, member)| member.role == role).map(|(id, _)| id);
        table.count(role) == list.len() && wanted.all(|id| list.contains(&id))
    };
    !conf.is_joint() && are(Role::Voter, &conf.voters) && are(Role::Learner, &conf.learners)
}

pub fn check(world: &mut World) {
    if healed(world) {
        return;
    }
    if open(world, &operator::table(world).unwrap_or_default()) == 0 && followed_comes::waiting(world).is_some() {
        return;
    }
    let table = operator::table(world).unwrap_or_default();
    if open(world, &table) == 0 && (origins_converge::wrong(world).is_some() || held_is_whole::wrong(world).is_some() || !states_are_whole::are_back(world)) {
        // Those invariants say it better.
        return;
    }
    let groups: Vec<String> = world.groups().map(|group| format!("group {group}: {}", describe(world, group))).collect();
    let what = format!("{} requests open; {}{}", open(world, &table), groups.join("; "), stubs(world));
    world.history.violate("healing", what);
}

fn describe(world: &World, group: GroupId) -> String {
    let table = operator::table(world).unwrap_or_default();
    let role_of = |id| table.role(id).map_or("nobody".to_string(), |role| format!("{role:?}").to_lowercase());
    let states = world.members.iter().map(|member| match member.group(group) {
        Some(group) => {
            let status = group.status();
            format!(
                "{}{} ({}) {:?} follows {} in term {} last {} applied {} pending {}{}",
                member.name,
                if status.repairing { format!(" repairs {:?}", status.lost) } else { String::new() },
                role_of(member.id),
                status.role,
                status.leader.map_or("nobody", |leader| name_of(world, leader)),
                status.term,
                status.last,
                status.applied,
                status.pending,
                if group.is_settled() { "" } else { " unsettled" }
            )
        }
        None => format!("{} ({}) down", member.name, role_of(member.id)),
    });
    let names = |list: &[MemberId]| list.iter().map(|id| name_of(world, *id)).collect::<Vec<_>>().join("");
    let confs = world.members.iter().filter_map(|member| member.group(group)).map(|group| group.conf());
    let confs = confs.map(|conf| format!("{}/{}+{}", names(&conf.voters), names(&conf.outgoing), names(&conf.learners)));
    format!("{}; configurations {}", states.collect::<Vec<_>>().join("; "), confs.collect::<Vec<_>>().join(" "))
}

/// What members know of the causal lane and do not hold: what follows it may wait for nothing else.
fn stubs(world: &World) -> String {
    let mut told = String::new();
    for member in &world.members {
        let Some(running) = &member.running else { continue };
        let lane = running.groups.lane();
        let behind = lane.held().zip(lane.known_here()).filter(|((_, held), (_, known))| held < known);
        told.extend(behind.map(|((actor, held), (_, known))| format!("; {} holds {held} of {known} of {}~{:x}", member.name, name_of(world, actor.member), actor.incarnation)));
    }
    told
}

fn name_of(world: &World, id: MemberId) -> &str {
    world.members.iter().find(|member| member.id == id).map_or("a stranger", |member| &member.name)
}
