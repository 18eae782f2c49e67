//! The protocol thread's turn: ticks, flushes, and the carrying out of what they ask for.

use super::World;
use crate::describe;
use crate::invariants::{self, one_change_at_a_time, own_events_leave_from_disk};
use crate::member::TICK_US;
use crate::network::Sent;
use crate::plants::Plant;
use crate::queue::{Event, Lane};
use crate::record::Happening;
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::ids::{GroupId, MemberId};
use vexfs_core::ordered::GroupError;
use vexfs_core::peer::frame::{Channel, FrameKind};

impl World {
    pub fn tick(&mut self, node: usize, life: u32) {
        let member = &mut self.members[node];
        if member.life != life {
            return;
        }
        let Some(running) = &mut member.running else { return };
        if running.paused {
            running.clock_stands = true;
            return;
        }
        running.groups.tick();
        self.events.at(self.now_us + TICK_US, Event::Tick { node: node as u8, life });
        self.probe(node);
        self.flush(node);
    }

    /// Flushes at once, or a little later together with what comes until then.
    pub fn plan_flush(&mut self, node: usize) {
        let Some(running) = &mut self.members[node].running else { return };
        if running.flush_planned {
            return;
        }
        let wait_us = if self.setup.busy_us == 0 { 0 } else { self.random.between(0, self.setup.busy_us) };
        running.flush_planned = true;
        let life = self.members[node].life;
        self.events.at(self.now_us + wait_us, Event::Flush { node: node as u8, life });
    }

    /// Flushes the groups of a member that anything happened to, one after the other, and carries out their effects.
    pub fn flush(&mut self, node: usize) {
        let Some(running) = self.members[node].awake() else { return };
        for group in running.groups.take_dirty() {
            if !self.flush_group(node, group) {
                return;
            }
        }
        let removed = |running: &crate::member::Running| running.groups.groups().all(|(_, group)| group.is_removed());
        if self.members[node].running.as_ref().is_some_and(removed) {
            self.dismiss(node);
        }
    }

    /// False: the member has ended, or the run has.
    fn flush_group(&mut self, node: usize, group: GroupId) -> bool {
        let now_us = self.now_us;
        let Some(running) = &mut self.members[node].running else { return false };
        match running.groups.flush(group, now_us, &mut running.effects) {
            Ok(()) => {}
            Err(GroupError::Lost { index, .. }) => {
                self.halt(node, group, index);
                return false;
            }
            Err(error) => {
                let name = &self.members[node].name;
                self.history.violate("groups_go_on", format!("{name}: {error}"));
                return false;
            }
        }
        if group == FIRST_ORIGIN {
            running.tell_readers(group);
        }
        let effects = &mut running.effects;
        let quiet = effects.frames.is_empty() && effects.writes.is_empty() && effects.jobs.is_empty();
        if quiet && effects.completions.is_empty() && !effects.applied && effects.journal_first.is_none() {
            if group == FIRST_ORIGIN {
                invariants::after_lane_flush(self, node);
            }
            return true;
        }
        running.jobs.extend(effects.jobs.drain(..));
        let (writes, frames) = (std::mem::take(&mut effects.writes), std::mem::take(&mut effects.frames));
        let completions = std::mem::take(&mut effects.completions);
        if group != FIRST_ORIGIN {
            running.tell_readers(group);
        }
        writes.iter().filter(|write| write.group != FIRST_ORIGIN).for_each(|write| one_change_at_a_time::check(&mut self.history, running.group(write.group), write));
        self.take_writes(node, writes);
        self.plan_job(node);
        frames.into_iter().for_each(|frame| self.send(node, frame));
        if group == FIRST_ORIGIN {
            invariants::after_lane_flush(self, node);
        } else {
            invariants::after_flush(self, node, group);
            self.note_status(node, group);
        }
        for completion in completions {
            self.history.note(&[node as u64, completion.request.0, now_us]);
            self.say_with(|_| Happening::Ended { node, group, request: completion.request, what: describe::end(&completion) });
            invariants::on_completion(self, node, &completion);
            self.ended.push((node, completion));
        }
        true
    }

    pub(super) fn send(&mut self, node: usize, (to, channel, bytes): (MemberId, Channel, Vec<u8>)) {
        let now_us = self.now_us;
        let Some(to) = self.members.iter().position(|member| member.id == to) else { return };
        if self.setup.plant == Some(Plant::ForwardsDropped) && bytes[8] == FrameKind::Forward as u8 {
            return;
        }
        own_events_leave_from_disk::check(self, node, &bytes);
        self.history.note(&[node as u64, to as u64, channel as u64, bytes.len() as u64, now_us]);
        let what = self.recorder.is_on().then(|| describe::frame(&bytes));
        let sent = self.network.send(node, to, channel, bytes, now_us);
        if let Some((kind, text)) = what {
            let arrives_us = if let Sent::Arrives(at_us, _) = sent { Some(at_us) } else { None };
            self.say(Happening::Frame { from: node, to, channel: channel as u8, kind, text, arrives_us });
        }
        match sent {
            Sent::Arrives(at_us, true) => {
                let lane = Lane { from: node as u8, to: to as u8, channel: channel as u8 };
                self.events.at(at_us, Event::Arrive(lane));
            }
            Sent::Overflow => {
                let member = self.members[to].id;
                if let Some(running) = &mut self.members[node].running {
                    running.groups.overflowed(member);
                }
                self.plan_flush(node);
            }
            _ => {}
        }
    }

    fn note_status(&mut self, node: usize, group: GroupId) {
        if self.recorder.is_on() {
            if let Some(status) = self.members[node].group(group).map(|group| group.status()) {
                let members = describe::members(self, &status.conf);
                self.recorder.status(self.now_us, node, &status, members);
            }
        }
    }
}
