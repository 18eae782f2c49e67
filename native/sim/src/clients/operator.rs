//! An operator who adds, promotes, removes and replaces members, and moves leadership, at whatever moment.

use crate::history::{Asked, State};
use crate::member::{Member, Stage};
use crate::random::Random;
use crate::world::World;
use vexfs_core::ids::RequestId;
use vexfs_core::member::FIRST_GROUP;
use vexfs_core::membership::{MemberCommand, Membership, Role};

pub struct Operator {
    random: Random,
    open: Option<(usize, RequestId, u64)>,
}

/// Microseconds after which an operator asks again, elsewhere.
const PATIENCE_US: u64 = 3_000_000;

impl Operator {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::stream(seed, "operator", 0), open: None }
    }

    /// One step; microseconds to the next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.between(100_000, 2_000_000);
        let Some(table) = table(world) else { return gap_us };
        admit(world, &table);
        if let Some((node, request, since_us)) = self.open {
            let state = world.history.requests.get(&(node, request)).map(|request| request.state.clone());
            if state == Some(State::Open) && world.now_us < since_us + PATIENCE_US {
                return gap_us;
            }
            if let Some(known) = world.history.requests.get_mut(&(node, request)) {
                known.unattended = true;
            }
            self.open = None;
        }
        let node = self.random.between(0, world.members.len() as u64) as usize;
        if self.random.chance(150) {
            let group = world.setup.pick_group(world.now_us, &mut self.random);
            world.transfer(node, group, self.random.between(0, world.members.len() as u64) as usize);
            return gap_us;
        }
        // Nobody who may have to give others their states is removed.
        let parts = |command: &MemberCommand| matches!(command, MemberCommand::Remove { .. } | MemberCommand::Replace { .. });
        let waits = world.members.iter().any(|member| member.lacks_states && belongs(&table, member));
        if let Some(command) = self.choose(world, &table).filter(|command| !(waits && parts(command))) {
            self.open = world.command(node, &command).map(|request| (node, request, world.now_us));
        }
        gap_us
    }

    fn choose(&mut self, world: &World, table: &Membership) -> Option<MemberCommand> {
        let names = |role: Role| -> Vec<String> {
            table.iter().filter(|(_, member)| member.role == role).map(|(_, member)| member.name.clone()).collect()
        };
        let pick = |random: &mut Random, list: &[String]| -> Option<String> {
            (!list.is_empty()).then(|| list[random.between(0, list.len() as u64) as usize].clone())
        };
        let waiting: Vec<String> =
            world.members.iter().filter(|member| member.stage == Stage::Waiting).map(|member| member.name.clone()).collect();
        let (voters, learners, removed) = (names(Role::Voter), names(Role::Learner), names(Role::Removed));
        let random = &mut self.random;
        Some(match random.between(0, 10) {
            0..=3 => MemberCommand::Add { name: pick(random, &waiting)?, address: String::new() },
            4 | 5 => MemberCommand::Promote { name: pick(random, &learners)? },
            6 => MemberCommand::Replace { old: pick(random, &voters)?, new: pick(random, &learners)? },
            7 if voters.len() > 2 => MemberCommand::Remove { name: pick(random, &voters)? },
            8 => MemberCommand::Remove { name: pick(random, &learners)? },
            // What must be refused: an id that was used, a member that is none.
            9 => MemberCommand::Add { name: pick(random, &removed)?, address: String::new() },
            _ => return None,
        })
    }
}

/// Starts the members that were added.
pub fn admit(world: &mut World, table: &Membership) {
    for node in 0..world.members.len() {
        if world.members[node].stage == Stage::Waiting && belongs(table, &world.members[node]) {
            world.admit(node);
        }
    }
}

pub fn belongs(table: &Membership, member: &Member) -> bool {
    table.role(member.id).is_some_and(|role| role != Role::Removed)
}

/// The table of whichever member has applied most.
pub fn table(world: &World) -> Option<Membership> {
    let groups = world.members.iter().filter_map(|member| member.group(FIRST_GROUP));
    let most = groups.max_by_key(|group| group.machine().applied())?;
    Some(most.machine().membership().clone())
}

/// As text, for traces.
pub fn asked(command: &MemberCommand) -> Asked {
    Asked::Members { what: format!("{command:?}") }
}
