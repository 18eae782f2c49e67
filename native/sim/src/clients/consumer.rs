//! A holder of a named consumer, as the coordinator does it: attach, claim before delivery, acknowledge, end when fenced.

use crate::clients::draft::Draft;
use crate::clients::journal;
use crate::history::{Asked, ConsumerStep, Delivery, State};
use crate::invariants::followed_first;
use crate::invariants::consumers::{self, placed, Handed};
use crate::plants::Plant;
use crate::random::Random;
use crate::world::World;
use vexfs_core::event::SubmissionKind;
use vexfs_core::ids::{GroupId, Index, RequestId};
use vexfs_core::journal::Window;
use vexfs_core::machine::consumer::Position;
use vexfs_core::machine::Outcome;
use vexfs_core::ordered::effects::{Completion, End};

const NAME: &str = "work";
/// Microseconds after which an unanswered step is given up.
const PATIENCE_US: u64 = 2_000_000;

enum Holding {
    Nothing,
    Attaching { request: RequestId, since_us: u64, confirmed: (Index, u32) },
    Reading,
    Claiming { request: RequestId, since_us: u64, items: Vec<Delivery>, next: Window },
}

pub struct Consumer {
    number: usize,
    random: Random,
    node: usize,
    /// Of which group's journal.
    group: GroupId,
    life: u32,
    holding: Holding,
    epoch: u64,
    cursor: Window,
    redelivered_through: (Index, u32),
    confirmed: (Index, u32),
    first: bool,
}

impl Consumer {
    pub fn new(seed: u64, number: usize) -> Self {
        Self {
            number,
            random: Random::stream(seed, "consumer", number as u64),
            node: number,
            group: GroupId(0),
            life: 0,
            holding: Holding::Nothing,
            epoch: 0,
            cursor: Window { index: Index(1), offset: 0, bytes_max: 1, events_max: 1 },
            redelivered_through: (Index(0), 0),
            confirmed: (Index(0), 0),
            first: true,
        }
    }

    fn ask(&self, world: &mut World, kind: SubmissionKind, number: u64, place: Position, step: ConsumerStep) -> Option<RequestId> {
        let request = world.submit(self.node, &Draft::consumer(self.group, kind, NAME, number, place), 1)?;
        let known = world.history.requests.get_mut(&(self.node, request))?;
        known.asked = Asked::Consumer { client: self.number, step };
        Some(request)
    }

    /// One step; microseconds to the next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.between(20_000, 300_000);
        let here = world.members.get(self.node).is_some_and(|member| member.runs() && member.life == self.life);
        let lost = |world: &World, request: RequestId, since_us: u64, node: usize| {
            let state = world.history.requests.get(&(node, request)).map(|request| request.state.clone());
            state != Some(State::Open) || world.now_us > since_us + PATIENCE_US
        };
        match &self.holding {
            // Ends of an earlier step may still come: `learn` passes them over.
            Holding::Attaching { request, since_us, .. } | Holding::Claiming { request, since_us, .. } => {
                if lost(world, *request, *since_us, self.node) {
                    self.holding = Holding::Nothing;
                }
            }
            Holding::Reading if !here || self.random.chance(30) => self.holding = Holding::Nothing,
            Holding::Reading => self.read(world),
            Holding::Nothing => self.attach(world),
        }
        gap_us
    }

    fn attach(&mut self, world: &mut World) {
        self.node = self.random.between(0, world.members.len() as u64) as usize;
        if !world.members[self.node].runs() {
            return;
        }
        self.group = world.setup.pick_group(world.now_us, &mut self.random);
        self.life = world.members[self.node].life;
        let confirmed = world.consumers.get(&(self.group, NAME)).map_or_else(Default::default, |name| name.confirmed);
        let holder = self.random.number();
        let place = Position::default();
        if let Some(request) = self.ask(world, SubmissionKind::ConsumerAttach, holder, place, ConsumerStep::Attach) {
            self.holding = Holding::Attaching { request, since_us: world.now_us, confirmed };
        }
    }

    fn read(&mut self, world: &mut World) {
        self.cursor.bytes_max = self.random.pick(&[1, 700, 16_000]);
        self.cursor.events_max = self.random.pick(&[1, 5, 100]);
        let Some(running) = &world.members[self.node].running else { return };
        if journal::catch_up(running, self.group, &mut self.cursor) {
            // What retention took, nobody has to get any more.
            let known = world.history.of(self.group);
            let before = known.ordinal_of(self.cursor.index).checked_sub(1).map(|at| known.journal[at].place);
            let name = world.consumers.entry((self.group, NAME)).or_default();
            name.asked = name.asked.max(before.unwrap_or_default());
        }
        let (items, next) = match journal::read_in_order(world, self.node, self.group, self.cursor) {
            Ok(read) => read,
            Err(error) if journal::met_damage(world, self.node, self.group, &error) => return,
            Err(error) => {
                let what = format!("consumer {} at {}: {error}", self.number, self.node);
                return world.history.violate("groups_go_on", what);
            }
        };
        let Some(last) = items.last() else {
            self.cursor = next;
            return;
        };
        let through = Position { index: last.place.0, offset: last.place.1 };
        if world.setup.plant == Some(Plant::ClaimSkipped) {
            self.deliver(world, items, next, None);
            return;
        }
        let step = ConsumerStep::Claim { epoch: self.epoch, through };
        if let Some(request) = self.ask(world, SubmissionKind::ConsumerClaim, self.epoch, through, step) {
            self.holding = Holding::Claiming { request, since_us: world.now_us, items, next };
        }
    }

    fn deliver(&mut self, world: &mut World, items: Vec<Delivery>, next: Window, claimed_at: Option<Index>) {
        let handed = Handed {
            items: &items,
            first: std::mem::take(&mut self.first),
            redelivered_through: self.redelivered_through,
            confirmed: self.confirmed,
            epoch: self.epoch,
            claimed_at,
        };
        consumers::check(world, (self.group, NAME), &handed);
        followed_first::check(world, self.node, &format!("consumer {}", self.number), &items);
        world.history.deliveries += items.len() as u64;
        self.cursor = next;
        // Some of it is acknowledged, sometimes.
        if self.random.chance(600) {
            let last = items[self.random.between(0, items.len() as u64) as usize];
            let through = Position { index: last.place.0, offset: last.place.1 };
            let step = ConsumerStep::Acknowledge { epoch: self.epoch, through };
            if self.ask(world, SubmissionKind::ConsumerAcknowledge, self.epoch, through, step).is_some() {
                let name = world.consumers.entry((self.group, NAME)).or_default();
                name.asked = name.asked.max(placed(through));
            }
        }
    }

    /// Learns how a step of it ended.
    pub fn learn(&mut self, world: &mut World, node: usize, completion: &Completion) {
        let Some(request) = world.history.requests.get(&(node, completion.request)) else { return };
        let Asked::Consumer { client, step } = request.asked else { return };
        let name = (request.group, NAME);
        let End::Applied { index, outcome, .. } = &completion.end else { return };
        if client != self.number {
            return;
        }
        match (step, outcome) {
            (ConsumerStep::Attach, Outcome::Consumer(consumer)) => {
                consumers::note_epoch(world, name, consumer.epoch, *index);
                let Holding::Attaching { request, confirmed, .. } = &self.holding else { return };
                if (self.node, *request) == (node, completion.request) {
                    self.confirmed = *confirmed;
                    self.attached(world, consumer);
                }
            }
            (ConsumerStep::Acknowledge { through, .. }, Outcome::Consumer(_)) => {
                let name = world.consumers.entry(name).or_default();
                name.confirmed = name.confirmed.max(placed(through));
            }
            (ConsumerStep::Claim { .. }, outcome) => {
                let mine = matches!(&self.holding, Holding::Claiming { request, .. } if (self.node, *request) == (node, completion.request));
                if !mine {
                    return;
                }
                let goes_on = matches!(outcome, Outcome::Consumer(_)) || world.setup.plant == Some(Plant::FencingIgnored);
                let held = std::mem::replace(&mut self.holding, if goes_on { Holding::Reading } else { Holding::Nothing });
                if let (Holding::Claiming { items, next, .. }, true) = (held, goes_on) {
                    self.deliver(world, items, next, Some(*index));
                }
            }
            _ => {}
        }
    }

    fn attached(&mut self, world: &World, consumer: &vexfs_core::machine::consumer::Consumer) {
        let from = match world.setup.plant {
            Some(Plant::LostCursor) => consumer.claimed,
            _ => consumer.acknowledged,
        };
        self.holding = Holding::Reading;
        self.epoch = consumer.epoch;
        self.redelivered_through = placed(consumer.claimed);
        self.first = true;
        // The first event after it; places begin at index 1.
        self.cursor.index = from.index;
        self.cursor.offset = if from.index.0 == 0 { 0 } else { from.offset + 1 };
    }
}
