//! Publishers: pipelined sessions, strong publishes, retries of the same events through other members, withdrawals,
//! fences and barriers; now and then more at once than a member takes.

use crate::clients::draft::Draft;
use crate::history::{Asked, State};
use crate::lane::Past;
use crate::random::Random;
use crate::world::World;
use std::collections::BTreeMap;
use vexfs_core::ids::{EventId, GroupId, RequestId, SessionId};

/// Open requests of a publisher at most.
const OPEN_MAX: usize = 24;

#[derive(Default)]
struct Session {
    id: SessionId,
    life_id: u64,
    /// Each group has sequences of its own.
    groups: BTreeMap<GroupId, Sequences>,
}

struct Sequences {
    next: u64,
    acknowledged: u64,
    /// First sequence of each open request, with its length.
    open: BTreeMap<RequestId, (u64, u64)>,
}

impl Sequences {
    fn new() -> Self {
        Self { next: 1, acknowledged: 0, open: BTreeMap::new() }
    }

    fn learn(&mut self, request: RequestId) {
        if self.open.remove(&request).is_some() {
            let lowest = self.open.values().map(|(first, _)| first - 1).min();
            self.acknowledged = lowest.unwrap_or(self.next - 1);
        }
    }
}

struct Publisher {
    random: Random,
    /// What its events follow is drawn apart.
    following: Random,
    node: usize,
    session: Session,
    open: Vec<(usize, RequestId)>,
}

pub struct Publishers {
    publishers: Vec<Publisher>,
    pace_us: u64,
    next_id: u128,
    /// Batches handed in once, to be retried.
    tried: Vec<(GroupId, Vec<EventId>, Past)>,
    /// Ids that a fence may close before they are ever published.
    reserved: Vec<(GroupId, EventId)>,
}

impl Publishers {
    pub fn new(seed: u64, count: usize, pace_us: u64) -> Self {
        let publisher = |number: usize| Publisher {
            random: Random::stream(seed, "publisher", number as u64),
            following: Random::stream(seed, "publisher follows", number as u64),
            node: number,
            session: Session::default(),
            open: Vec::new(),
        };
        let publishers = (0..count).map(publisher).collect();
        Self { publishers, pace_us, next_id: 0, tried: Vec::new(), reserved: Vec::new() }
    }

    fn fresh(&mut self) -> EventId {
        self.next_id += 1;
        EventId(self.next_id << 64 | 0x77)
    }

    fn batch(&mut self, random: &mut Random, group: GroupId) -> Vec<EventId> {
        let mut batch: Vec<EventId> = (0..random.between(1, 4)).map(|_| self.fresh()).collect();
        if random.chance(100) {
            let newest = self.reserved.iter().rposition(|(of, _)| *of == group);
            batch.extend(newest.map(|at| self.reserved.remove(at).1));
        }
        self.tried.push((group, batch.clone(), Past::new()));
        batch
    }

    pub fn learn(&mut self, node: usize, request: RequestId) {
        for publisher in &mut self.publishers {
            publisher.open.retain(|open| *open != (node, request));
            // Another member's request may have the same number.
            if publisher.node != node {
                continue;
            }
            publisher.session.groups.values_mut().for_each(|sequences| sequences.learn(request));
        }
    }

    /// One thing this publisher does; microseconds to its next.
    pub fn act(&mut self, world: &mut World, number: usize) -> u64 {
        // The stream is taken out for the time, since a batch needs the publisher's and what all share.
        let mut random = std::mem::replace(&mut self.publishers[number].random, Random::new(0));
        let burst = random.chance(5) && world.setup.barriers == 0;
        for _ in 0..if burst { 120 } else { 1 } {
            self.once(world, number, &mut random, burst);
        }
        let gap_us = random.gap_us(self.pace_us);
        self.publishers[number].random = random;
        gap_us
    }

    fn once(&mut self, world: &mut World, number: usize, random: &mut Random, burst: bool) {
        let publisher = &mut self.publishers[number];
        if random.chance(60) || publisher.node >= world.members.len() {
            publisher.node = random.between(0, world.members.len() as u64) as usize;
            publisher.session = Session::default();
        }
        let node = publisher.node;
        publisher.open.retain(|(node, id)| {
            world.history.requests.get(&(*node, *id)).is_some_and(|request| request.state == State::Open)
        });
        let open = publisher.open.len();
        if !world.members[node].runs() {
            return;
        }
        let reads = world.setup.barriers > 0 && random.chance(world.setup.barriers);
        match if reads { 88 } else { random.between(0, 100) } {
            82..=87 => self.withdraw_one(world, number, random),
            _ if open >= OPEN_MAX && !burst => {}
            0..=49 => self.publish_in_session(world, number, random),
            50..=61 => {
                let group = world.setup.pick_group(world.now_us, random);
                let draft = Draft::events(group, self.batch(random, group)).following(self.follow(world, number));
                let quorum = quorum(random, world);
                self.submit(world, number, &draft, quorum);
            }
            62..=75 => {
                if !self.tried.is_empty() {
                    let recent = self.tried.len().saturating_sub(40) as u64;
                    let at = random.between(recent, self.tried.len() as u64) as usize;
                    let (group, events, follows) = self.tried[at].clone();
                    let draft = Draft::events(group, events).following(follows);
                    self.submit(world, number, &draft, 1);
                }
            }
            76..=81 => {
                let (group, id) = match (random.between(0, 3), self.tried.last()) {
                    (0, Some((group, batch, _))) => (*group, batch[0]),
                    _ => {
                        let fresh = (world.setup.pick_group(world.now_us, random), self.fresh());
                        self.reserved.push(fresh);
                        fresh
                    }
                };
                self.submit(world, number, &Draft::fence(group, id), 1);
            }
            88..=97 => {
                let group = world.setup.pick_group(world.now_us, random);
                let request = world.barrier(node, group);
                self.publishers[number].open.extend(request.map(|request| (node, request)));
            }
            _ => self.publishers[number].session = Session::default(),
        }
    }

    /// What the last batch follows: something its publisher could have had of the causal lane where it is, or elsewhere.
    fn follow(&mut self, world: &World, number: usize) -> Past {
        let Publisher { following, node, .. } = &mut self.publishers[number];
        if world.setup.causal == 0 || !following.chance(400) {
            return Past::new();
        }
        let node = if following.chance(100) { following.between(0, world.members.len() as u64) as usize } else { *node };
        let Some(running) = &world.members[node].running else { return Past::new() };
        let vector = &running.lane.vector;
        let follows: Past = match following.between(0, 3) {
            // What was written there last, on no other disk perhaps.
            0 => running.lane.own.iter().filter(|(actor, counter)| vector.get(actor).is_some_and(|had| had >= counter)).map(|(actor, counter)| (*actor, *counter)).collect(),
            1 => vector.iter().filter(|_| following.chance(500)).map(|(actor, counter)| (*actor, *counter)).collect(),
            _ => (**vector).clone(),
        };
        if let Some((_, _, last)) = self.tried.last_mut() {
            last.clone_from(&follows);
        }
        follows
    }

    fn submit(&mut self, world: &mut World, number: usize, draft: &Draft, quorum: u32) -> Option<RequestId> {
        let publisher = &mut self.publishers[number];
        let request = world.submit(publisher.node, draft, quorum)?;
        publisher.open.push((publisher.node, request));
        Some(request)
    }

    fn publish_in_session(&mut self, world: &mut World, number: usize, random: &mut Random) {
        let publisher = &mut self.publishers[number];
        let life_id = world.members[publisher.node].life_id;
        if publisher.session.id.is_none() || publisher.session.life_id != life_id {
            let id = SessionId(u128::from(random.number()) << 32 | 1);
            publisher.session = Session { id, life_id, groups: BTreeMap::new() };
        }
        let group = world.setup.pick_group(world.now_us, random);
        let events = self.batch(random, group);
        let follows = self.follow(world, number);
        let quorum = quorum(random, world);
        let session = &mut self.publishers[number].session;
        let sequences = session.groups.entry(group).or_insert_with(Sequences::new);
        let (first, count) = (sequences.next, events.len() as u64);
        let draft = Draft::events(group, events).in_session(session.id, first, sequences.acknowledged.min(first - 1)).following(follows);
        // A refused publish has not used its sequences.
        if let Some(request) = self.submit(world, number, &draft, quorum) {
            if let Some(sequences) = self.publishers[number].session.groups.get_mut(&group) {
                sequences.next += count;
                sequences.open.insert(request, (first, count));
            }
        }
    }

    fn withdraw_one(&mut self, world: &mut World, number: usize, random: &mut Random) {
        let open = &self.publishers[number].open;
        if open.is_empty() {
            return;
        }
        let (node, request) = random.pick(open);
        let publishes = |asked: &Asked| matches!(asked, Asked::Events { .. });
        if world.history.requests.get(&(node, request)).is_some_and(|known| publishes(&known.asked)) {
            world.withdraw(node, request);
        }
    }
}

fn quorum(random: &mut Random, world: &World) -> u32 {
    let members = world.members.len() as u32;
    let asked = if random.chance(250) { random.between(2, u64::from(members) + 1) as u32 } else { 1 };
    asked.clamp(1, members)
}
