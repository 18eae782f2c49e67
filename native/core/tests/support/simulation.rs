//! One run: faults and clients by chance for a while, then quiet, then judgement.

use super::client::Clients;
use super::invariants::{self, healing};
use super::plant::Plant;
use super::world::{World, TICK_US};
use std::panic::AssertUnwindSafe;

const STEP_US: u64 = 1_000;
const FAULTS_US: u64 = 4_000_000;
/// Virtual time that the cluster has to heal in.
const HEALING_US: u64 = 20_000_000;

/// What a run came to.
pub struct Report {
    pub seed: u64,
    pub violations: Vec<String>,
    pub trace: u64,
    pub completions: u64,
    pub elections: u64,
    pub crashes: u64,
    pub torn: u64,
    pub virtual_us: u64,
}

/// Runs one seed; a panic anywhere is a violation like any other.
pub fn run(seed: u64, plant: Option<Plant>) -> Report {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| Simulation::new(seed, plant).run()));
    outcome.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default();
        let violations = vec![format!("no_panic: {what}")];
        Report { seed, violations, trace: 0, completions: 0, elections: 0, crashes: 0, torn: 0, virtual_us: 0 }
    })
}

struct Simulation {
    world: World,
    clients: Clients,
    seed: u64,
    /// Client actions a millisecond, in parts of a hundred thousand.
    pace: u64,
    /// Weight of faults: 0 is a calm run.
    storm: u64,
    /// Crashes that tear the last durable write, in parts of a hundred thousand.
    torn: u64,
}

impl Simulation {
    fn new(seed: u64, plant: Option<Plant>) -> Self {
        let members = match seed % 8 {
            0 if plant.is_none() => 1,
            1 | 2 => 5,
            _ => 3,
        };
        let mut world = World::new(seed, members, plant);
        let pace = [3_000, 15_000, 60_000][world.random.between(0, 3) as usize];
        let storm = [0, 1, 4, 10][world.random.between(0, 4) as usize];
        let torn = [0, 30_000, 100_000][world.random.between(0, 3) as usize];
        if world.random.chance(30_000) {
            (world.network.delay_us, world.sync_us) = ((2_000, 30_000), (500, 20_000));
        }
        Self { clients: Clients::new(seed, members), world, seed, pace, storm, torn }
    }

    fn run(mut self) -> Report {
        while self.world.now_us < FAULTS_US {
            self.faults();
            if self.world.random.chance(self.pace) {
                self.clients.act(&mut self.world);
            }
            self.step();
            if !self.world.history.violations.is_empty() {
                return self.report();
            }
        }
        self.calm();
        let deadline = self.world.now_us + HEALING_US;
        while self.world.now_us < deadline && !healing::healed(&self.world) {
            self.step();
        }
        invariants::at_the_end(&mut self.world);
        self.report()
    }

    fn report(self) -> Report {
        let history = self.world.history;
        Report {
            seed: self.seed,
            violations: history.violations,
            trace: history.trace,
            completions: history.completions,
            elections: history.elections,
            crashes: history.crashes,
            torn: history.torn,
            virtual_us: self.world.now_us,
        }
    }

    fn step(&mut self) {
        let world = &mut self.world;
        world.now_us += STEP_US;
        let now = world.now_us;
        world.raise_links();
        for node in 0..world.nodes.len() {
            if world.nodes[node].restarts_at_us.is_some_and(|at| at <= now) {
                world.start(node);
            }
            if !world.nodes[node].runs(now) {
                continue;
            }
            world.deliver(node, 1 + (self.seed % 7) as usize * 8);
            world.sync(node);
            if world.nodes[node].next_tick_us <= now {
                world.tick(node);
                world.nodes[node].next_tick_us = (world.nodes[node].next_tick_us + TICK_US).max(now);
            }
            // Some inputs wait for others, as in a busy process.
            if world.random.chance(70_000) {
                world.flush(node);
            }
        }
        self.clients.learn(world);
    }

    fn faults(&mut self) {
        let (world, storm) = (&mut self.world, self.storm);
        let (members, now) = (world.nodes.len() as u64, world.now_us);
        let node = world.random.between(0, members) as usize;
        let other = world.random.between(0, members) as usize;
        if world.random.chance(60 * storm) && world.nodes[node].group.is_some() {
            let surviving = world.random.between(0, 3) as usize;
            world.crash(node, surviving);
            if world.random.chance(self.torn) && world.may_tear(node) {
                world.tear(node);
            }
            world.nodes[node].restarts_at_us = Some(now + world.random.between(1_000, 700_000));
        }
        if node != other && world.random.chance(150 * storm) {
            let until = now + world.random.between(1_000, 50_000);
            world.reset_link(node, other, until);
        }
        if node != other && world.random.chance(60 * storm) {
            // A queue that overflowed: the sender is told, or the network itself never knew.
            world.network.lose(node, other);
            let member = world.nodes[other].id;
            if let (Some(group), true) = (&mut world.nodes[node].group, world.random.chance(50_000)) {
                group.link_down(member);
            }
        }
        if node != other && world.random.chance(60 * storm) {
            let until = now + world.random.between(20_000, 600_000);
            let channel = world.random.between(0, 2) as usize;
            world.network.stall(node, other, channel, until);
        }
        if world.random.chance(25 * storm) {
            let until = now + world.random.between(100_000, 1_200_000);
            for other in (0..world.nodes.len()).filter(|other| *other != node) {
                world.reset_link(node, other, until);
                world.reset_link(other, node, until);
            }
        }
        if world.random.chance(40 * storm) {
            world.nodes[node].disk.borrow_mut().stalled_until_us = now + world.random.between(20_000, 1_500_000);
        }
        if world.random.chance(30 * storm) {
            world.nodes[node].paused_until_us = now + world.random.between(20_000, 800_000);
        }
    }

    /// Ends all faults that are under way.
    fn calm(&mut self) {
        let world = &mut self.world;
        for node in 0..world.nodes.len() {
            world.nodes[node].paused_until_us = 0;
            world.nodes[node].disk.borrow_mut().stalled_until_us = 0;
            if world.nodes[node].restarts_at_us.is_some() {
                world.nodes[node].restarts_at_us = Some(world.now_us);
            }
            for other in 0..world.nodes.len() {
                let link = world.network.link(node, other);
                if link.down_until_us.is_some() {
                    link.down_until_us = Some(world.now_us);
                }
                for channel in 0..2 {
                    world.network.stall(node, other, channel, 0);
                }
            }
        }
    }
}
