//! The members, the network between them and what was seen of both; what can be asked of them and done to them.
//!
//! - `lives`: members start and end. `links`: connections and what arrives. `requests`: what clients ask.
//! - `distances`: how far they are from each other.
//! - `flushing`: the protocol thread's turn. `disks`: the log thread's and the snapshot thread's.

mod disks;
mod distances;
mod flushing;
mod links;
mod lives;
mod requests;

use crate::faults::counts::Counts;
use crate::history::History;
use crate::invariants::consumers;
use crate::member::{Member, Stage};
use crate::network::Network;
use crate::queue::{Event, Events};
use crate::random::Random;
use crate::record::{Happening, Recorder};
use crate::setup::Setup;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::ids::GroupId;
use vexfs_core::ordered::effects::Completion;

/// A frame that a process had sent before it ended, on its way to a process of its receiver.
struct Late {
    from: usize,
    to: usize,
    life: u32,
    bytes: Vec<u8>,
}

pub struct World {
    pub now_us: u64,
    pub setup: Setup,
    pub random: Random,
    pub members: Vec<Member>,
    pub network: Network,
    pub events: Events,
    /// Frames of processes that have ended, by the numbers of their arrivals.
    late: Vec<Late>,
    pub history: History,
    pub consumers: BTreeMap<(GroupId, &'static str), consumers::Name>,
    /// Completions that clients have not learned of.
    pub ended: Vec<(usize, Completion)>,
    pub recorder: Recorder,
    pub counts: Counts,
    /// Abstract states that were seen (see `coverage`).
    pub states: BTreeSet<u64>,
}

impl World {
    pub fn new(setup: Setup, recorder: Recorder) -> Self {
        let name = |at: usize| ((b'a' + at as u8) as char).to_string();
        let mut members: Vec<Member> = (0..setup.members).map(|at| Member::new(name(at), &setup)).collect();
        for member in &mut members[setup.founders..] {
            (member.stage, member.joins) = (Stage::Waiting, true);
        }
        let mut world = Self {
            now_us: 0,
            random: Random::stream(setup.seed, "world", 0),
            network: Network::new(setup.seed, setup.members, setup.delay_us, setup.regions.clone()),
            members,
            events: Events::default(),
            late: Vec::new(),
            history: History::new(setup.groups),
            consumers: BTreeMap::new(),
            ended: Vec::new(),
            recorder,
            counts: Counts::default(),
            states: BTreeSet::new(),
            setup,
        };
        for from in 0..world.members.len() as u8 {
            for to in (0..world.members.len() as u8).filter(|to| *to != from) {
                world.events.at(1_000, Event::Dial { from, to });
            }
        }
        for node in 0..world.members.len() {
            world.start(node, None);
        }
        world
    }

    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        (0..self.setup.groups).map(GroupId)
    }

    pub fn say(&mut self, what: Happening) {
        self.say_with(|_| what);
    }

    pub fn say_with(&mut self, what: impl FnOnce(&World) -> Happening) {
        if self.recorder.is_on() {
            let (at_us, what) = (self.now_us, what(self));
            self.recorder.add(at_us, what);
        }
    }
}
