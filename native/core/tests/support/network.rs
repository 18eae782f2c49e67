//! Connections as TCP gives them: each channel of a pair in order and without loss until it resets; a reset loses what
//! is on its way, in that direction, and is noticed by the sender.

use super::random::Random;
use std::collections::VecDeque;
use vexfs_core::peer::frame::{Assembler, Channel, Frame};

#[derive(Default)]
struct Lane {
    assembler: Assembler,
    flight: VecDeque<(u64, Vec<u8>)>,
    stalled_until_us: u64,
}

/// One direction between two members: dialled by the sender.
#[derive(Default)]
pub struct Link {
    lanes: [Lane; 2],
    /// Down until then; `None` is up.
    pub down_until_us: Option<u64>,
}

pub struct Network {
    members: usize,
    links: Vec<Link>,
    pub delay_us: (u64, u64),
}

impl Network {
    pub fn new(members: usize, delay_us: (u64, u64)) -> Self {
        Self { members, links: (0..members * members).map(|_| Link::default()).collect(), delay_us }
    }

    pub fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.members + to]
    }

    pub fn send(&mut self, from: usize, to: usize, channel: Channel, bytes: Vec<u8>, now_us: u64, random: &mut Random) {
        let (low, high) = self.delay_us;
        let arrives_us = now_us + random.between(low, high);
        let link = self.link(from, to);
        if link.down_until_us.is_some() {
            return;
        }
        let lane = &mut link.lanes[channel as usize];
        let arrives_us = lane.flight.back().map_or(arrives_us, |(before, _)| arrives_us.max(*before));
        lane.flight.push_back((arrives_us, bytes));
    }

    /// Frames of one direction and channel that have arrived by now, at most `max` of them.
    pub fn arrived(&mut self, from: usize, to: usize, channel: usize, now_us: u64, max: usize) -> Vec<Frame> {
        let lane = &mut self.link(from, to).lanes[channel];
        let mut frames = Vec::new();
        if now_us < lane.stalled_until_us {
            return frames;
        }
        while frames.len() < max && lane.flight.front().is_some_and(|(at, _)| *at <= now_us) {
            let Some((_, bytes)) = lane.flight.pop_front() else { break };
            let (head, tail) = bytes.split_at(bytes.len() / 3);
            lane.assembler.push(head, &mut frames).expect("frames of a member are well formed");
            lane.assembler.push(tail, &mut frames).expect("frames of a member are well formed");
        }
        frames
    }

    pub fn stall(&mut self, from: usize, to: usize, channel: usize, until_us: u64) {
        self.link(from, to).lanes[channel].stalled_until_us = until_us;
    }

    /// What is on its way is lost; the link comes up again at `until_us`.
    pub fn reset(&mut self, from: usize, to: usize, until_us: u64) {
        let link = self.link(from, to);
        link.lanes = Default::default();
        link.down_until_us = Some(link.down_until_us.map_or(until_us, |before| before.max(until_us)));
    }

    /// What is on its way vanishes without anybody noticing, as in a queue that overflows.
    pub fn lose(&mut self, from: usize, to: usize) {
        self.link(from, to).lanes.iter_mut().for_each(|lane| lane.flight.clear());
    }

    pub fn in_flight(&self) -> usize {
        self.links.iter().flat_map(|link| &link.lanes).map(|lane| lane.flight.len()).sum()
    }
}
