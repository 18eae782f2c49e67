//! One run: faults and clients for a while, then quiet, then judgement.

use crate::clients::{operator, Clients};
use crate::faults::counts::Counts;
use crate::faults::strike;
use crate::invariants::{self, healing, origins_converge};
use crate::panics;
use crate::plants::Plant;
use crate::queue::Event;
use crate::record::{Happening, Recorder};
use crate::setup::{Changes, Setup};
use crate::world::World;
use std::collections::BTreeSet;

/// Virtual time that the cluster has to heal in.
const HEALING_US: u64 = 60_000_000;
const LOOK_US: u64 = 50_000;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub members: usize,
    pub violations: Vec<String>,
    /// Folded over everything that was sent and answered.
    pub trace: u64,
    pub answers: u64,
    pub deliveries: u64,
    pub elections: u64,
    pub starts: u64,
    pub virtual_us: u64,
    pub faults: Counts,
    pub states: BTreeSet<u64>,
}

/// Runs one seed; a panic anywhere is a violation like any other.
pub fn run(seed: u64, changes: &Changes) -> Report {
    run_recorded(seed, changes, Recorder::default()).0
}

/// As `run`, with what the recorder got.
pub fn run_recorded(seed: u64, changes: &Changes, recorder: Recorder) -> (Report, Recorder) {
    let setup = Setup::new(seed, changes);
    vexfs_core::plants::plant(changes.plant.and_then(Plant::in_core));
    let mut run = match panics::caught(|| Run::new(setup, recorder)) {
        Ok(run) => run,
        Err(what) => {
            let violations = vec![format!("no_panic: {what}")];
            return (Report { seed, violations, ..Report::default() }, Recorder::default());
        }
    };
    if let Err(what) = panics::caught(|| run.go()) {
        run.world.history.violate("no_panic", what);
    }
    run.report()
}

pub(crate) struct Run {
    pub world: World,
    clients: Clients,
    calm: bool,
    healed: bool,
}

impl Run {
    pub fn new(setup: Setup, recorder: Recorder) -> Self {
        let mut world = World::new(setup, recorder);
        for (at, fault) in world.setup.faults.iter().enumerate() {
            world.events.at(fault.at_us, Event::Fault { number: at as u32 });
        }
        world.events.at(world.setup.until_us, Event::Look);
        let clients = Clients::new(&mut world);
        Self { world, clients, calm: false, healed: false }
    }

    fn go(&mut self) {
        let deadline_us = self.world.setup.until_us + HEALING_US;
        while self.world.history.violations.is_empty() && !self.healed {
            let Some((at_us, event)) = self.world.events.pop() else { break };
            if at_us > deadline_us {
                break;
            }
            self.world.now_us = at_us;
            self.happen(event);
            if !self.world.ended.is_empty() {
                self.clients.learn(&mut self.world);
            }
        }
        if self.world.history.violations.is_empty() {
            invariants::at_the_end(&mut self.world);
            self.clients.judge(&mut self.world);
        }
    }

    /// Lets the next thing happen, unless that is later than `until_us`.
    pub fn step(&mut self, until_us: u64) -> bool {
        let due = self.world.events.next_us().filter(|at_us| *at_us <= until_us);
        let Some((at_us, event)) = due.and_then(|_| self.world.events.pop()) else { return false };
        self.world.now_us = at_us;
        self.happen(event);
        true
    }

    /// The faults have stopped.
    pub fn is_calm(&self) -> bool {
        self.calm
    }

    fn happen(&mut self, event: Event) {
        let world = &mut self.world;
        match event {
            Event::Tick { node, life } => world.tick(node as usize, life),
            Event::Arrive(lane) => world.deliver(lane),
            Event::Late { number } => world.deliver_late(number),
            Event::Written { node, life, batch } => world.written(node as usize, life, batch),
            Event::Flush { node, life } => {
                let member = &mut world.members[node as usize];
                if let Some(running) = member.running.as_mut().filter(|_| member.life == life) {
                    running.flush_planned = false;
                    world.flush(node as usize);
                }
            }
            Event::Job { node, life } => world.job(node as usize, life),
            Event::Dial { from, to } => world.dial(from as usize, to as usize),
            Event::Start { node } => {
                let due = world.members[node as usize].restarts_at_us.is_some_and(|at_us| at_us <= world.now_us);
                if due {
                    world.start(node as usize, None);
                    world.note_state();
                }
            }
            Event::Resume { node } => strike::resume(world, node as usize),
            Event::Room { node } => world.members[node as usize].disk.set_full(false),
            Event::Fault { number } => {
                let fault = world.setup.faults[number as usize].clone();
                if !self.calm {
                    strike::strike(world, &fault);
                    world.note_state();
                }
            }
            Event::Publisher { .. } | Event::Subscriber { .. } | Event::Consumer { .. } | Event::Operator
            | Event::RuleSetter | Event::LanePublisher { .. } | Event::LaneReader { .. } | Event::LaneSession { .. } | Event::StateKeeper { .. } => {
                self.clients.act(world, event);
            }
            Event::Look => self.look(),
        }
    }

    fn look(&mut self) {
        if !std::mem::replace(&mut self.calm, true) {
            self.world.say(Happening::Calm);
            strike::calm(&mut self.world);
        } else {
            if let Some(table) = operator::table(&self.world) {
                operator::admit(&mut self.world, &table);
            }
            // Somebody reads the whole journal.
            for (node, group, index) in healing::mendable(&self.world) {
                let running = self.world.members[node].running.as_mut();
                if let Some(group) = running.and_then(|running| running.groups.touch(group)) {
                    group.unreadable(index);
                    self.world.plan_flush(node);
                }
            }
            for (node, group, index) in origins_converge::mendable(&self.world) {
                if let Some(running) = &mut self.world.members[node].running {
                    running.groups.unreadable(group, index);
                    self.world.plan_flush(node);
                }
            }
            self.world.withdraw_what_waits_in_vain();
            self.healed = healing::healed(&self.world);
        }
        self.world.events.at(self.world.now_us + LOOK_US, Event::Look);
    }

    fn report(mut self) -> (Report, Recorder) {
        let violations = std::mem::take(&mut self.world.history.violations);
        for what in &violations {
            self.world.say(Happening::Violation { what: what.clone() });
        }
        let history = self.world.history;
        let report = Report {
            seed: self.world.setup.seed,
            members: self.world.members.len(),
            violations,
            trace: history.trace,
            answers: history.answers,
            deliveries: history.deliveries,
            elections: history.elections,
            starts: history.starts,
            virtual_us: self.world.now_us,
            faults: self.world.counts,
            states: self.world.states,
        };
        (report, self.world.recorder)
    }
}
