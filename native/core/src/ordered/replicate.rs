//! From a request to a proposal: handing in at the leader (above Raft, whose own forwarding loses proposals), packing
//! at the leader, and knowing what other voters have applied.

use super::{Group, ENTRY_BYTES};
use crate::entry;
use crate::event::SubmissionKind;
use crate::ids::{Index, MemberId};
use crate::machine::{EventOutcome, Outcome};
use crate::ordered::effects::{Effects, End};
use crate::ordered::pending::Progress;
use crate::ordered::store::EntryReader;
use crate::peer::frame::{self, Channel, FrameKind};
use crate::peer::raft_message;
use raft::eraftpb::{Message, MessageType};
use raft::StateRole;

/// Largest forward frame made of several submissions.
const FORWARD_BYTES: usize = 1024 * 1024;

/// Whether a submission has to be handed in again, after an earlier one of its session.
pub fn is_early(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Mixed(list) if list.contains(&EventOutcome::Early))
}

impl<R: EntryReader> Group<R> {
    /// Hands waiting requests to the leader that is known, in the order they were taken.
    pub(super) fn hand_in(&mut self) {
        if self.raw.raft.state == StateRole::Leader {
            let room = self.config.intake_bytes_max.saturating_sub(self.intake_bytes);
            if room == 0 {
                return;
            }
            let (intake, bytes) = (&mut self.intake, &mut self.intake_bytes);
            self.pending.hand_in(room, |submission| {
                *bytes += submission.bytes().len();
                intake.push(submission.clone());
            });
            return;
        }
        let leader = MemberId(self.raw.raft.leader_id);
        if leader.0 == 0 || leader == self.config.me || self.leader != Some(leader) {
            return;
        }
        loop {
            let mut taken = Vec::new();
            if !self.pending.hand_in(FORWARD_BYTES, |submission| taken.push(submission.bytes().clone())) {
                return;
            }
            if taken.is_empty() {
                return;
            }
            let size = taken.iter().map(|bytes| bytes.len()).sum();
            let frame = frame::build(FrameKind::Forward, self.config.group, size, |out| {
                for bytes in &taken {
                    out.extend_from_slice(bytes);
                }
            });
            self.outbox.push((leader, Channel::Bulk, frame));
        }
    }

    /// Packs the intake into entries: one entry for everything that waits, up to a size.
    pub(super) fn propose(&mut self) {
        if self.raw.raft.state != StateRole::Leader {
            return;
        }
        self.decline_some();
        let mut proposed = 0;
        while proposed < self.intake.len() {
            let mut bytes = 0;
            let fitting = self.intake[proposed..]
                .iter()
                .take_while(|submission| {
                    bytes += submission.bytes().len();
                    bytes <= ENTRY_BYTES
                })
                .count()
                .max(1);
            let data = entry::pack(&self.intake[proposed..proposed + fitting]);
            if self.raw.propose(Vec::new(), data).is_err() {
                // Too much uncommitted, or leadership on its way elsewhere: what is left waits for the next flush.
                break;
            }
            proposed += fitting;
        }
        for submission in self.intake.drain(..proposed) {
            self.intake_bytes -= submission.bytes().len();
        }
    }

    /// Takes out of the intake what a leader answers by itself.
    fn decline_some(&mut self) {
        if !self.intake.iter().any(|submission| submission.kind() == SubmissionKind::Members) {
            return;
        }
        for submission in std::mem::take(&mut self.intake) {
            match self.declines(&submission) {
                Some(refused) => {
                    self.intake_bytes -= submission.bytes().len();
                    self.decline(&submission, refused);
                }
                None => self.intake.push(submission),
            }
        }
    }

    pub(super) fn push_raft(&mut self, channel: Channel, message: &Message) {
        if message.get_msg_type() == MessageType::MsgSnapshot {
            self.offer(message);
            return;
        }
        let mut travels = false;
        let size = raft_message::encoded_bytes(message);
        let frame = frame::build(FrameKind::Raft, self.config.group, size, |out| {
            travels = raft_message::encode(message, out);
        });
        if travels {
            self.outbox.push((MemberId(message.to), channel, frame));
        }
    }

    fn push_index(&mut self, to: MemberId, kind: FrameKind, index: Index) {
        let frame = frame::build(kind, self.config.group, 8, |out| out.extend_from_slice(&index.0.to_le_bytes()));
        self.outbox.push((to, Channel::Urgent, frame));
    }

    /// Asks the other voters to tell when they have applied `index`.
    pub(super) fn ask_applied_for(&mut self, index: Index) {
        let others: Vec<MemberId> = self.conf.voters.iter().copied().filter(|id| *id != self.config.me).collect();
        for voter in others {
            if self.applied_of.get(&voter).is_none_or(|applied| *applied < index) {
                self.push_index(voter, FrameKind::AppliedQuery, index);
            }
        }
    }

    /// A query or its answer may be lost with a connection: while strong publishes wait, it is asked again.
    pub(super) fn ask_applied(&mut self) {
        let highest = self.pending.iter().filter_map(|(_, request)| match &request.progress {
            Progress::Applied { index, .. } => Some(*index),
            Progress::Waiting => None,
        });
        if let Some(index) = highest.max() {
            self.ask_applied_for(index);
        }
    }

    pub(super) fn answer_applied(&mut self) {
        let applied = self.machine.applied();
        let ready: Vec<MemberId> =
            self.asked.iter().filter(|(_, index)| **index <= applied).map(|(member, _)| *member).collect();
        for member in ready {
            self.asked.remove(&member);
            self.push_index(member, FrameKind::AppliedAnswer, applied);
        }
    }

    /// Completes the strong publishes that enough voters have applied. Where members have gone since, all that are left
    /// are enough: the end says how many they were.
    pub(super) fn settle_strong(&mut self, now_us: u64, effects: &mut Effects) {
        let voters = self.conf.voting();
        let own = u32::from(self.conf.votes(self.config.me));
        let reached: Vec<_> = self
            .pending
            .iter()
            .filter_map(|(id, request)| match &request.progress {
                Progress::Applied { index, .. } => {
                    let has = |(id, applied): &(&MemberId, &Index)| self.conf.votes(**id) && *applied >= index;
                    let there = own + self.applied_of.iter().filter(has).count() as u32;
                    (there >= request.applied_quorum.min(voters)).then_some((*id, there))
                }
                Progress::Waiting => None,
            })
            .collect();
        for (id, applied_members) in reached {
            let Some(request) = self.pending.remove(id) else { continue };
            if let Progress::Applied { index, term, outcome } = request.progress {
                // Applied means durable: a member applies only what is on its disk.
                let durable_members = self.durable_members(index).max(applied_members);
                let hlc = request.submission.hlc();
                let end = End::Applied { index, term, outcome, hlc, durable_members, applied_members };
                self.complete(effects, id, request.taken_at_us, now_us, end);
            }
        }
    }
}
