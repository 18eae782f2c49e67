//! Questions how long it takes there and back, as the protocol thread asks them, where members are far apart.

use super::World;
use crate::member::TICK_US;
use vexfs_core::ids::MemberId;
use vexfs_core::peer::frame::{Channel, Frame};
use vexfs_core::peer::round_trips::{is_of_no_group, Now};

/// Between two questions.
const PROBE_US: u64 = 1_000_000;

impl World {
    pub(super) fn probe(&mut self, node: usize) {
        let now = self.now_at(node);
        let now_us = now.us;
        let Some(running) = self.members[node].awake().filter(|running| now_us >= running.probed_us + PROBE_US) else { return };
        running.probed_us = now_us;
        let bulk = running.round_trips.bulk_lines(now_us, TICK_US as u32);
        running.groups.measured(&running.round_trips.distances(TICK_US as u32), &bulk);
        let questions = if self.setup.regions.is_some() { running.round_trips.ask(now) } else { Vec::new() };
        questions.into_iter().for_each(|question| self.send(node, question));
    }

    /// Answers a question, or takes an answer; hands all else back.
    pub(super) fn take_probe(&mut self, node: usize, sender: MemberId, frame: Frame) -> Option<Frame> {
        if !is_of_no_group(frame.kind) {
            return Some(frame);
        }
        let now = self.now_at(node);
        let answer = self.members[node].awake().and_then(|running| running.round_trips.receive(sender, &frame, now));
        answer.into_iter().for_each(|answer| self.send(node, answer));
        None
    }

    fn now_at(&self, node: usize) -> Now {
        Now { us: self.now_us, wall_ms: self.members[node].wall_ms(self.now_us) }
    }

    pub(super) fn note_link(&mut self, from: usize, to: usize, up: bool) {
        let member = self.members[to].id;
        let Some(running) = &mut self.members[from].running else { return };
        for channel in [Channel::Urgent, Channel::Bulk] {
            match up {
                true => running.round_trips.link_up(member, channel),
                false => running.round_trips.link_down(member, channel),
            }
        }
    }
}
