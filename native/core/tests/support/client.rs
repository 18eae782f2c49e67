//! Publishers: pipelined sessions, strong publishes, retries of the same events through other members, withdrawals,
//! fences and barriers.

use super::history::{Asked, State};
use super::random::Random;
use super::submissions::Draft;
use super::world::World;
use std::collections::BTreeMap;
use vexfs_core::ids::{EventId, RequestId, SessionId};

/// Open requests of a member at most.
const OPEN_MAX: usize = 24;

#[derive(Default)]
struct Session {
    id: SessionId,
    incarnation: u64,
    next_sequence: u64,
    acknowledged: u64,
    /// First sequence of each open request, with its length.
    open: BTreeMap<RequestId, (u64, u64)>,
}

pub struct Clients {
    random: Random,
    sessions: Vec<Session>,
    next_id: u128,
    /// Batches handed in once, to be retried.
    tried: Vec<Vec<EventId>>,
    /// Ids that a fence may close before they are ever published.
    reserved: Vec<EventId>,
}

impl Clients {
    pub fn new(seed: u64, members: usize) -> Self {
        Self {
            random: Random::new(seed ^ 0xC11E),
            sessions: (0..members).map(|_| Session::default()).collect(),
            next_id: 1,
            tried: Vec::new(),
            reserved: Vec::new(),
        }
    }

    fn fresh(&mut self) -> EventId {
        self.next_id += 1;
        EventId(self.next_id << 64 | 0x77)
    }

    fn batch(&mut self) -> Vec<EventId> {
        let count = self.random.between(1, 4);
        let mut batch: Vec<EventId> = (0..count).map(|_| self.fresh()).collect();
        if self.random.chance(10_000) {
            batch.extend(self.reserved.pop());
        }
        self.tried.push(batch.clone());
        batch
    }

    /// Learns of the requests that have ended.
    pub fn learn(&mut self, world: &mut World) {
        for (node, completion) in std::mem::take(&mut world.ended) {
            let session = &mut self.sessions[node];
            session.open.remove(&completion.request);
            session.acknowledged =
                session.open.values().map(|(first, _)| first - 1).min().unwrap_or(session.next_sequence.max(1) - 1);
        }
    }

    /// One thing some client does.
    pub fn act(&mut self, world: &mut World) {
        let node = self.random.between(0, world.nodes.len() as u64) as usize;
        let open = world.history.requests.range((node, RequestId(0))..(node + 1, RequestId(0)));
        let open: Vec<RequestId> =
            open.filter(|(_, request)| request.state == State::Open).map(|((_, id), _)| *id).collect();
        if world.nodes[node].group.is_none() {
            return;
        }
        match self.random.between(0, 100) {
            82..=87 => self.withdraw_one(world, node, &open),
            _ if open.len() >= OPEN_MAX => {}
            0..=49 => self.publish_in_session(world, node),
            50..=61 => {
                let draft = Draft::events(self.batch());
                let quorum = self.quorum(world);
                world.submit(node, &draft, quorum);
            }
            62..=75 => {
                if !self.tried.is_empty() {
                    let recent = self.tried.len().saturating_sub(40) as u64;
                    let at = self.random.between(recent, self.tried.len() as u64) as usize;
                    world.submit(node, &Draft::events(self.tried[at].clone()), 1);
                }
            }
            76..=81 => {
                let id = match (self.random.between(0, 3), self.tried.last()) {
                    (0, Some(batch)) => batch[0],
                    _ => {
                        let id = self.fresh();
                        self.reserved.push(id);
                        id
                    }
                };
                world.submit(node, &Draft::fence(id), 1);
            }
            88..=97 => {
                world.barrier(node);
            }
            _ => self.sessions[node] = Session::default(),
        }
    }

    fn quorum(&mut self, world: &World) -> u32 {
        match self.random.between(0, 4) {
            0 => self.random.between(2, world.nodes.len() as u64 + 1).max(1) as u32,
            _ => 1,
        }
        .min(world.nodes.len() as u32)
    }

    fn publish_in_session(&mut self, world: &mut World, node: usize) {
        let incarnation = world.nodes[node].incarnation;
        if self.sessions[node].id.is_none() || self.sessions[node].incarnation != incarnation {
            let id = SessionId(u128::from(self.random.number()) << 32 | 1);
            self.sessions[node] = Session { id, incarnation, next_sequence: 1, ..Session::default() };
        }
        let events = self.batch();
        let quorum = self.quorum(world);
        let session = &mut self.sessions[node];
        let (first, count) = (session.next_sequence, events.len() as u64);
        session.next_sequence += count;
        let acknowledged = session.acknowledged.min(first - 1);
        let draft = Draft::events(events).in_session(session.id, first, acknowledged);
        let request = world.submit(node, &draft, quorum);
        self.sessions[node].open.insert(request, (first, count));
    }

    fn withdraw_one(&mut self, world: &mut World, node: usize, open: &[RequestId]) {
        if open.is_empty() {
            return;
        }
        let request = open[self.random.between(0, open.len() as u64) as usize];
        let publishes = matches!(world.history.requests[&(node, request)].asked, Asked::Events { .. });
        if publishes {
            world.withdraw(node, request);
        }
    }
}
