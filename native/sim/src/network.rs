//! Connections as TCP gives them: each channel of a pair in order and without loss until it resets; a reset loses what
//! is on its way, in that direction, and is noticed by the sender. A partition is silence first, a reset later.

use crate::queue::Lane;
use crate::random::Random;
use crate::regions::Regions;
use std::collections::VecDeque;
use vexfs_core::peer::frame::{Assembler, Channel, Frame, FrameError};

pub const NEVER: u64 = u64::MAX;
/// What waits for a peer at most, in bytes, as in the runtime's outbox; what is beyond is dropped, and raft told.
const OUTBOX_BYTES_MAX: usize = 512 * 1024;

#[derive(Default)]
struct Flight {
    assembler: Assembler,
    frames: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// Nothing arrives before.
    stalled_until_us: u64,
    /// An arrival is planned.
    awaited: bool,
}

/// One direction between two members: dialled by the sender.
#[derive(Default)]
struct Link {
    flights: [Flight; 2],
    up: bool,
    /// No connection is made before.
    cut_until_us: u64,
}

/// What became of a frame that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It arrives then; `true`: the lane has to be looked at then.
    Arrives(u64, bool),
    /// There is no connection.
    Nowhere,
    /// Too much waits already: the sender has to be told.
    Overflow,
}

pub struct Network {
    members: usize,
    links: Vec<Link>,
    random: Random,
    regions: Option<Regions>,
    pub delay_us: (u64, u64),
    /// Added until then.
    pub slow: (u64, u64),
}

impl Network {
    pub fn new(seed: u64, members: usize, delay_us: (u64, u64), regions: Option<Regions>) -> Self {
        let links = (0..members * members).map(|_| Link::default()).collect();
        Self { members, links, random: Random::stream(seed, "network", 0), regions, delay_us, slow: (0, 0) }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.members + to]
    }

    pub fn is_up(&self, from: usize, to: usize) -> bool {
        self.links[from * self.members + to].up
    }

    /// Whether both directions between two members are up and nothing holds them up.
    pub fn is_whole(&self, one: usize, other: usize, now_us: u64) -> bool {
        let whole = |from: usize, to: usize| {
            let link = &self.links[from * self.members + to];
            link.up && link.flights.iter().all(|flight| flight.stalled_until_us <= now_us)
        };
        self.slow.0 <= now_us && whole(one, other) && whole(other, one)
    }

    pub fn connect(&mut self, from: usize, to: usize) {
        self.link(from, to).up = true;
    }

    pub fn may_connect(&self, from: usize, to: usize, now_us: u64) -> bool {
        let link = &self.links[from * self.members + to];
        !link.up && link.cut_until_us <= now_us
    }

    pub fn send(&mut self, from: usize, to: usize, channel: Channel, bytes: Vec<u8>, now_us: u64) -> Sent {
        let (low, high) = self.delay_us;
        let slow = if now_us < self.slow.0 { self.random.between(0, self.slow.1) } else { 0 };
        let way_us = match &self.regions {
            Some(regions) => regions.delay_us(from, to, &mut self.random),
            None => self.random.between(low, high),
        };
        let arrives_us = now_us + way_us + slow;
        let link = self.link(from, to);
        if !link.up {
            return Sent::Nowhere;
        }
        let flight = &mut link.flights[channel as usize];
        if flight.bytes + bytes.len() > OUTBOX_BYTES_MAX && flight.bytes > 0 {
            return Sent::Overflow;
        }
        let arrives_us = flight.frames.back().map_or(arrives_us, |(before, _)| arrives_us.max(*before));
        flight.bytes += bytes.len();
        flight.frames.push_back((arrives_us, bytes));
        let awaits = !flight.awaited && flight.stalled_until_us != NEVER;
        flight.awaited |= awaits;
        Sent::Arrives(arrives_us.max(flight.stalled_until_us), awaits)
    }

    /// Frames of a lane that have arrived by now, and when to look again.
    pub fn arrived(&mut self, lane: Lane, now_us: u64) -> (Result<Vec<Frame>, FrameError>, Option<u64>) {
        let cut = self.random.number();
        let flight = &mut self.link(lane.from as usize, lane.to as usize).flights[lane.channel as usize];
        flight.awaited = false;
        let mut frames = Vec::new();
        while flight.stalled_until_us <= now_us && flight.frames.front().is_some_and(|(at, _)| *at <= now_us) {
            let Some((_, bytes)) = flight.frames.pop_front() else { break };
            flight.bytes -= bytes.len();
            // Now and then in pieces, as a socket gives them.
            let cut = if cut % 8 == 0 { cut as usize % bytes.len().max(1) } else { 0 };
            let (head, tail) = bytes.split_at(cut);
            for part in [head, tail] {
                if let Err(error) = flight.assembler.push(part, &mut frames) {
                    return (Err(error), None);
                }
            }
        }
        let next = flight.frames.front().map(|(at, _)| (*at).max(flight.stalled_until_us)).filter(|at| *at != NEVER);
        flight.awaited = next.is_some();
        (Ok(frames), next)
    }

    /// The receiver does not run: the lane is looked at again when it does.
    pub fn unattended(&mut self, lane: Lane) {
        self.link(lane.from as usize, lane.to as usize).flights[lane.channel as usize].awaited = false;
    }

    /// Holds a lane up until then; the time to look at it again, if anything waits.
    pub fn stall(&mut self, lane: Lane, until_us: u64, now_us: u64) -> Option<u64> {
        let flight = &mut self.link(lane.from as usize, lane.to as usize).flights[lane.channel as usize];
        flight.stalled_until_us = until_us;
        let due = flight.frames.front().map(|(at, _)| (*at).max(until_us).max(now_us)).filter(|at| *at != NEVER)?;
        flight.awaited = true;
        Some(due)
    }

    /// What is on its way is lost; no connection is made before `until_us`.
    pub fn reset(&mut self, from: usize, to: usize, until_us: u64) {
        let link = self.link(from, to);
        let stalled = [0, 1].map(|channel: usize| link.flights[channel].stalled_until_us);
        link.flights = Default::default();
        for (flight, stalled) in link.flights.iter_mut().zip(stalled) {
            flight.stalled_until_us = stalled;
        }
        link.up = false;
        link.cut_until_us = link.cut_until_us.max(until_us);
    }

    /// Of what is on its way the frames that are as wanted.
    pub fn under_way(&self, from: usize, to: usize, channel: Channel, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let frames = &self.links[from * self.members + to].flights[channel as usize].frames;
        frames.iter().map(|(_, bytes)| bytes).filter(|bytes| wanted(bytes)).cloned().collect()
    }

    /// What is on its way vanishes without anybody noticing.
    pub fn lose(&mut self, from: usize, to: usize) {
        for flight in &mut self.link(from, to).flights {
            flight.frames.clear();
            flight.bytes = 0;
        }
    }

    /// Ends every cut and stall; the lanes in which something waits.
    pub fn heal(&mut self, now_us: u64) -> Vec<(Lane, u64)> {
        self.slow = (0, 0);
        let mut due = Vec::new();
        for from in 0..self.members {
            for to in 0..self.members {
                self.link(from, to).cut_until_us = 0;
                for channel in 0..2 {
                    let lane = Lane { from: from as u8, to: to as u8, channel };
                    due.extend(self.stall(lane, 0, now_us).map(|at| (lane, at)));
                }
            }
        }
        due
    }
}
