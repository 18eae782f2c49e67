//! A session of the causal lane: a client that reads what a member has delivered, publishes, and moves to another member,
//! where it goes on once all that it has read and written was delivered there too. What it carries is a place, as cursors do.

use crate::history::{Asked, State};
use crate::invariants::session_guarantees;
use crate::lane::{raise, Dot, Past};
use crate::clients::draft::Draft;
use crate::plants::Plant;
use crate::random::Random;
use crate::world::World;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::reader::Place;
use vexfs_core::ids::{EventId, RequestId};
use vexfs_core::ordered::effects::{Completion, End};

/// What a session has read and written, for the invariant.
#[derive(Default)]
pub struct Known {
    pub read: Past,
    pub written: Past,
}

pub struct LaneSession {
    name: String,
    random: Random,
    node: usize,
    carried: Vec<u8>,
    known: Known,
    open: Vec<(usize, RequestId)>,
    next_id: u128,
    /// Entries that were forgotten when it began or looked last.
    forgotten: usize,
}

impl LaneSession {
    pub fn new(seed: u64, which: usize) -> Self {
        Self {
            name: format!("lane session {which}"),
            random: Random::stream(seed, "lane session", which as u64),
            node: which,
            carried: Place::default().encode(),
            known: Known::default(),
            open: Vec::new(),
            // Apart from the ids of other clients.
            next_id: (which as u128 + 1) << 96 | 0x5E,
            forgotten: 0,
        }
    }

    /// Reads or publishes once; microseconds to the next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.gap_us(150_000);
        if self.random.chance(200) || self.node >= world.members.len() {
            self.node = self.random.between(0, world.members.len() as u64) as usize;
        }
        self.leave_what_was_forgotten(world);
        let Some(running) = world.members[self.node].running.as_ref().filter(|_| world.members[self.node].runs()) else { return gap_us };
        let carried = Place::decode(&self.carried).unwrap_or_default();
        let reaches = carried.is_within(&running.lane.origins, &running.lane.delivered) || world.setup.plant == Some(Plant::ContextDropped);
        if !reaches {
            return gap_us;
        }
        let here = running.lane.vector.clone();
        session_guarantees::check(world, &format!("{} at {}", self.name, self.node), &here, &self.known);
        if self.random.chance(500) {
            here.iter().for_each(|(actor, counter)| raise(&mut self.known.read, *actor, *counter));
            self.carry();
            return gap_us;
        }
        self.next_id += 1 << 32;
        if let Some(request) = world.publish(self.node, &Draft::kept(1, vec![EventId(self.next_id)])) {
            self.open.push((self.node, request));
            if let Some(Asked::Kept { seen, .. }) = world.history.requests.get_mut(&(self.node, request)).map(|request| &mut request.asked) {
                // Wherever it is now, what it publishes follows all that it knows.
                let mut all = (**seen).clone();
                let known = self.known.read.iter().chain(&self.known.written);
                known.for_each(|(actor, counter)| raise(&mut all, *actor, *counter));
                *seen = all.into();
            }
        }
        gap_us
    }

    /// A request has ended: what it has written is the session's.
    pub fn learn(&mut self, world: &World, node: usize, completion: &Completion) {
        let Some(at) = self.open.iter().position(|open| *open == (node, completion.request)) else { return };
        self.open.swap_remove(at);
        if let End::Kept { incarnation, counter, .. } = &completion.end {
            raise(&mut self.known.written, Actor { member: world.members[node].id, incarnation: *incarnation }, counter.0);
            self.carry();
        }
        self.open.retain(|key| world.history.requests.get(key).is_some_and(|request| request.state == State::Open));
    }

    fn carry(&mut self) {
        let mut place = Place::default();
        self.known.read.iter().chain(&self.known.written).for_each(|(actor, counter)| raise(&mut place.had, *actor, *counter));
        self.carried = place.encode();
    }

    /// What was on one disk alone, and was lost with it, no member can wait for: whoever knew of it begins anew.
    fn leave_what_was_forgotten(&mut self, world: &World) {
        let forgotten = &world.history.lane.forgotten[self.forgotten..];
        self.forgotten += forgotten.len();
        let knows = |dot: &Dot| [&self.known.read, &self.known.written].iter().any(|past| past.get(&dot.actor).is_some_and(|counter| *counter >= dot.counter));
        if forgotten.iter().any(knows) {
            self.known = Known::default();
            self.open.clear();
            self.carry();
        }
    }
}
