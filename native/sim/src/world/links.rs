//! Connections between members, and what arrives over them.

use super::{Late, World};
use crate::describe;
use crate::member::Running;
use crate::plants::garble;
use crate::queue::{Event, Lane};
use crate::record::Happening;
use crate::shadow::GroupShadow;
use vexfs_core::causal::is_origin;
use vexfs_core::ordered::receive::Refused;
use vexfs_core::ordered::repair::words::Answer;
use vexfs_core::peer::frame::{Assembler, Channel, Frame, FrameKind};

/// Microseconds until what a process that has ended had sent has arrived.
const LATE_US: u64 = 1_000_000;
/// Microseconds after which a dialler tries again.
const REDIAL_US: (u64, u64) = (2_000, 30_000);

impl World {
    pub fn reset_link(&mut self, from: usize, to: usize, until_us: u64) {
        let was_up = self.network.is_up(from, to);
        self.network.reset(from, to, until_us);
        self.say(Happening::Reset { from, to });
        if was_up {
            let member = self.members[to].id;
            if let Some(running) = &mut self.members[from].running {
                running.groups.link_down(member);
                running.groups.deserted_by(member);
                self.plan_flush(from);
            }
            self.note_link(from, to, false);
            let at_us = until_us.max(self.now_us).min(self.now_us + REDIAL_US.1);
            self.events.at(at_us, Event::Dial { from: from as u8, to: to as u8 });
        }
    }

    /// Entries of the causal lane that a process has sent may be read from its connection when its next one is heard
    /// already: the lane promises to bear that, where the handshake lets it happen.
    pub(super) fn let_linger(&mut self, from: usize, to: usize) {
        if !self.setup.lingers {
            return;
        }
        let entries = |bytes: &[u8]| bytes[8] == FrameKind::Entries as u8;
        for bytes in self.network.under_way(from, to, Channel::Bulk, entries) {
            let at_us = self.now_us + self.random.between(0, LATE_US);
            self.events.at(at_us, Event::Late { number: self.late.len() as u32 });
            self.late.push(Late { from, to, life: self.members[to].life, bytes });
        }
    }

    pub fn deliver_late(&mut self, number: u32) {
        let Late { from, to, life, ref mut bytes } = self.late[number as usize];
        let (bytes, mut frames) = (std::mem::take(bytes), Vec::new());
        if self.members[to].life != life {
            return;
        }
        let (sender, now_us) = (self.members[from].id, self.now_us);
        let Some(running) = self.members[to].awake() else { return };
        let taken = Assembler::default().push(&bytes, &mut frames).is_ok();
        for frame in frames {
            let taken = taken && running.groups.receive(sender, frame, now_us, &mut running.effects).is_ok();
            if !taken {
                self.history.violate("frames_are_taken", format!("{to} refuses what {from} sent before its end"));
            }
        }
        self.plan_flush(to);
    }

    pub fn dial(&mut self, from: usize, to: usize) {
        if self.network.is_up(from, to) {
            return;
        }
        let both = self.members[from].runs() && self.members[to].runs();
        if both && self.network.may_connect(from, to, self.now_us) {
            self.network.connect(from, to);
            let member = self.members[to].id;
            if let Some(running) = &mut self.members[from].running {
                running.groups.link_up(member);
            }
            self.note_link(from, to, true);
            self.plan_flush(from);
        } else {
            let again_us = self.now_us + self.random.between(REDIAL_US.0, REDIAL_US.1);
            self.events.at(again_us, Event::Dial { from: from as u8, to: to as u8 });
        }
    }

    /// Hands a member what has arrived on a lane.
    pub fn deliver(&mut self, lane: Lane) {
        let (from, to) = (lane.from as usize, lane.to as usize);
        if !self.members[to].runs() {
            return self.network.unattended(lane);
        }
        let (frames, next_us) = self.network.arrived(lane, self.now_us);
        if let Some(at_us) = next_us {
            self.events.at(at_us, Event::Arrive(lane));
        }
        let sender = self.members[from].id;
        let garbles = self.members[from].garbles_until_us > self.now_us;
        let member = &self.members[to];
        let lost = member.lost.is_some();
        if member.running.is_none() {
            return;
        }
        let frames = match frames {
            Ok(frames) => frames,
            Err(error) => return self.history.violate("frames_are_taken", format!("{to} from {from}: {error}")),
        };
        if self.recorder.is_on() && !frames.is_empty() {
            let text = describe::arrived(&frames);
            self.recorder.add(self.now_us, Happening::Arrived { from, to, channel: lane.channel, frames: frames.len(), text });
        }
        for frame in frames {
            let Some(mut frame) = self.take_probe(to, sender, frame) else { continue };
            let member = &mut self.members[to];
            let Some(running) = &mut member.running else { return };
            if let Some(plant) = self.setup.plant {
                plant.spoil_frame(&mut frame, self.setup.groups, &mut self.random);
            }
            if garbles && !is_origin(frame.group) && is_told_apart(member.shadow.of(frame.group), running, &frame) {
                garble(&mut frame);
            }
            if let Err(refused) = running.groups.receive(sender, frame, self.now_us, &mut running.effects) {
                // Members that keep their promises never refuse each other's frames. One that has lost a write may not
                // know what it is told was acknowledged to it.
                let tells = matches!(refused, Refused::Removed(_) | Refused::NotFounded(_));
                if !lost && !tells {
                    self.history.violate("frames_are_taken", format!("{to} refuses {from}: {refused}"));
                }
            }
        }
        self.plan_flush(to);
    }
}

/// Whether an answer is all that the member misses, of what it has applied and knows the running hash around: it must see
/// then that something else was given.
fn is_told_apart(shadow: &GroupShadow, running: &Running, frame: &Frame) -> bool {
    let (FrameKind::RepairAnswer, Ok(answer)) = (frame.kind, Answer::decode(&frame.body)) else { return false };
    let (Some(first), Some(last)) = (answer.entries.first(), answer.entries.last()) else { return false };
    let (range, machine) = (first.index..=last.index, running.group(frame.group).machine());
    let known = machine.hashes().next().is_some_and(|(at, _)| at < first.index);
    known && last.index <= machine.applied() && shadow.holes.iter().chain(&shadow.gaps).all(|index| range.contains(index))
}
