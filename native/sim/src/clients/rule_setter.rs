//! An operator who sets rules of replication at whatever moment, and somebody who has entries fetched that a member does not
//! hold.

use crate::history::State;
use crate::random::Random;
use crate::world::World;
use std::collections::BTreeMap;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::RequestId;
use vexfs_core::replication::{Rule, Rules};

/// Paths of events are `/d/` and a number in hexadecimal; their priority is 3.
const GLOBS: [&str; 5] = ["/d/[0-7]*", "/d/[8-f]*", "/d/1*", "/d/**", "/e/**"];

pub struct RuleSetter {
    random: Random,
    open: Option<(usize, RequestId)>,
}

impl RuleSetter {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::stream(seed, "rules", 1), open: None }
    }

    /// One step; microseconds to the next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.between(200_000, 2_500_000);
        let node = self.random.between(0, world.members.len() as u64) as usize;
        if self.random.chance(500) {
            self.fetch(world, node);
            return gap_us;
        }
        // What nobody waits for any more may be applied yet, or never.
        let last = self.open.take().and_then(|last| world.history.requests.get_mut(&last));
        last.into_iter().filter(|request| request.state == State::Open).for_each(|request| request.unattended = true);
        let rules = self.draw(world);
        self.open = world.set_rules(node, &rules).map(|request| (node, request));
        gap_us
    }

    fn draw(&mut self, world: &World) -> Rules {
        let random = &mut self.random;
        let some = |random: &mut Random| -> Vec<String> {
            world.members.iter().filter(|_| random.chance(300)).map(|member| member.name.clone()).collect()
        };
        let regions: BTreeMap<String, Vec<String>> = [("r".to_string(), some(random))].into();
        let count = random.between(0, 4);
        let list = (0..count).map(|at| Rule {
            name: at.to_string(),
            codes: if random.chance(500) { vec![0x0102] } else { Vec::new() },
            globs: vec![random.pick(&GLOBS).to_string()],
            priorities: random.pick(&[0, 0, 1 << 3, 1 << 5]),
            nodes: some(random),
            regions: if random.chance(300) { vec!["r".to_string()] } else { Vec::new() },
            ..Rule::default()
        });
        Rules { list: list.collect(), regions }
    }

    fn fetch(&mut self, world: &mut World, node: usize) {
        let stubs: Vec<(Actor, u64)> = world.members[node].stubs.iter().copied().collect();
        if stubs.is_empty() {
            return;
        }
        let (actor, counter) = self.random.pick(&stubs);
        if let Some(running) = world.members[node].awake() {
            running.groups.touch_lane().fetch(actor, counter);
            world.plan_flush(node);
        }
    }
}
