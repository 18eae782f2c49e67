//! Frames from peers, checked against this member's state before the engine sees them: it panics on what cannot
//! happen among members that keep their promises, and a peer whose disk lied must not take this node with it.

use super::Group;
use crate::bytes_le::{u32_at, u64_at};
use crate::event::{Submission, SUBMISSION_HEADER_BYTES};
use crate::ids::{GroupId, Index, MemberId, RequestId};
use crate::ordered::conf::Conf;
use crate::ordered::effects::Effects;
use crate::ordered::settling::Settling;
use crate::ordered::standing::Standing;
use crate::ordered::store::EntryReader;
use crate::packed::Unpack;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::peer::raft_message;
use raft::eraftpb::{Message, MessageType};
use raft::StateRole;
use std::collections::BTreeSet;
use thiserror::Error;

/// Of no caller: those are numbered from 1 on in each life.
pub(super) const SETTLING_READ: RequestId = RequestId(0);
/// Context of an answer that says: this log ends before what was acknowledged.
pub(super) const REGRESSED: &[u8] = b"regressed";

/// Election timeouts without a leader after which a member believes that it was removed; it asks a little later.
const LEADERLESS_ELECTIONS: u64 = 3;

/// A frame that was refused; the node is unharmed. Those of `is_violation` come from a member that breaks the rules.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("{0}")]
    Message(#[from] raft_message::MessageError),
    #[error("{0}")]
    Submission(#[from] crate::event::Malformed),
    #[error("message claims to come from {claimed} or to go to {to}, on a connection of {from}")]
    Misaddressed { from: MemberId, claimed: MemberId, to: MemberId },
    #[error("sender {0} is not another member")]
    Stranger(MemberId),
    #[error("{from} speaks of group {group}, which is not configured here")]
    UnknownGroup { from: MemberId, group: GroupId },
    #[error("sender {0} was removed from the cluster")]
    Removed(MemberId),
    #[error("leader {0} sends a log from its beginning, which this new member cannot start from")]
    NotFounded(MemberId),
    #[error("{from} offers a snapshot of cluster {cluster:?} or of another group")]
    WrongSnapshot { from: MemberId, cluster: String },
    #[error("leader {from} counts on entry {commit} here, but this log ends at {last}: it has lost entries it acknowledged")]
    Regressed { from: MemberId, commit: Index, last: Index },
    #[error("leader {from} sends another entry {index} than the one committed here")]
    Conflicts { from: MemberId, index: Index },
    #[error("{from} acknowledges entry {index}, but this log ends at {last}")]
    Invented { from: MemberId, index: Index, last: Index },
    #[error("submission of group {found} in a frame of group {expected}")]
    Group { found: GroupId, expected: GroupId },
    #[error("{from} sends what belongs to the causal lane in a frame of group {group}")]
    Lane { from: MemberId, group: GroupId },
    #[error("{0} sends what belongs to no group to one")]
    OfNoGroup(MemberId),
    #[error("body of {0} bytes for its kind")]
    Length(usize),
}

/// What a member takes while Raft stands still: nothing that would have it vote, acknowledge or lead.
fn heard_in_repair(kind: FrameKind) -> bool {
    !matches!(
        kind,
        FrameKind::Raft | FrameKind::Forward | FrameKind::ForwardRefused | FrameKind::Transfer | FrameKind::TermAnswer
    )
}

/// What a member takes that has applied something else than a majority: its log is as good as the others', what it has
/// made of it is not.
fn heard_in_isolation(kind: FrameKind) -> bool {
    matches!(
        kind,
        FrameKind::HashReport | FrameKind::HashQuery | FrameKind::HashAnswer | FrameKind::RepairQuery | FrameKind::Removed
    )
}

impl<R: EntryReader> Group<R> {
    /// Takes a frame that came on a connection of `from`.
    pub fn receive(
        &mut self,
        from: MemberId,
        frame: Frame,
        now_us: u64,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if from == self.config.me {
            return Err(Refused::Stranger(from));
        }
        let left_out = self.settling.as_ref().is_some_and(|settling| settling.left_out(from));
        if self.tells_removed(from) || left_out {
            return Err(Refused::Removed(from));
        }
        let deaf = self.stands_still() && !heard_in_repair(frame.kind) || self.keeps_out() && !heard_in_isolation(frame.kind);
        if deaf {
            return Ok(());
        }
        match frame.kind {
            FrameKind::Raft => self.receive_raft(from, raft_message::decode(&frame.body)?),
            FrameKind::Forward => self.receive_forward(from, frame),
            FrameKind::ForwardRefused => {
                self.refusals_pending = true;
                Ok(())
            }
            FrameKind::AppliedQuery => {
                let index = self.index_of(&frame)?;
                let asked = self.asked.entry(from).or_default();
                *asked = index.max(*asked);
                Ok(())
            }
            FrameKind::AppliedAnswer => {
                let index = self.index_of(&frame)?;
                let applied = self.applied_of.entry(from).or_default();
                *applied = index.max(*applied);
                self.settle_strong(now_us, effects);
                Ok(())
            }
            FrameKind::Entries | FrameKind::Held | FrameKind::Pull | FrameKind::OriginQuery | FrameKind::OriginAnswer | FrameKind::StatesQuery
            | FrameKind::HeldQuery | FrameKind::HeldAnswer => {
                Err(Refused::Lane { from, group: frame.group })
            }
            FrameKind::Probe | FrameKind::ProbeAnswer => Err(Refused::OfNoGroup(from)),
            FrameKind::SnapshotOffer => self.receive_offer(from, &frame, effects),
            FrameKind::SnapshotPull => self.receive_pull(from, &frame, effects),
            FrameKind::SnapshotPiece => self.receive_piece(from, &frame, effects),
            FrameKind::Transfer => self.receive_transfer(&frame),
            FrameKind::Declined => self.receive_declined(&frame),
            FrameKind::TermQuery => {
                self.answer_term(from);
                Ok(())
            }
            FrameKind::TermAnswer => {
                let mut fields = Unpack::new(&frame.body);
                let (term, applied, conf) = (fields.u64()?, Index(fields.u64()?), Conf::decode(&mut fields)?);
                fields.end()?;
                self.take_term(from, term, applied, &conf);
                Ok(())
            }
            FrameKind::Standing => self.receive_standing(from, &frame),
            FrameKind::StandingAnswer => self.receive_standing_answer(from, &frame),
            FrameKind::HashReport => self.receive_hash_report(from, &frame),
            FrameKind::HashQuery => self.receive_hash_query(from, &frame),
            FrameKind::HashAnswer => self.receive_hash_answer(from, &frame),
            FrameKind::RepairQuery => self.receive_repair_query(from, &frame),
            FrameKind::RepairAnswer => self.receive_repair_answer(from, &frame, effects),
            FrameKind::Removed => {
                // Ids are never used again, so that this is final; only those this member knows as its own may say it. One
                // that never had a snapshot knows nobody.
                let known = self.conf.contains(from) || self.conf.voters.is_empty();
                self.removed |= known && self.is_leaderless();
                Ok(())
            }
        }
    }

    /// Whether no leader was heard of for longer than an election takes. Who has one was not removed, whatever one member
    /// says that was made the first of a cluster of its own.
    fn is_leaderless(&self) -> bool {
        let patience = LEADERLESS_ELECTIONS * self.pace.most() as u64;
        self.raw.raft.state != StateRole::Leader && self.ticks.saturating_sub(self.heard_at) >= patience
    }

    fn index_of(&self, frame: &Frame) -> Result<Index, Refused> {
        match frame.body.len() {
            8 => Ok(Index(u64_at(&frame.body, 0))),
            other => Err(Refused::Length(other)),
        }
    }

    fn receive_raft(&mut self, from: MemberId, mut message: Message) -> Result<(), Refused> {
        let reads = message.get_msg_type() == MessageType::MsgReadIndex;
        if message.from != from.0 || message.to != self.config.me.0 {
            let (claimed, to) = (MemberId(message.from), MemberId(message.to));
            return Err(Refused::Misaddressed { from, claimed, to });
        }
        if message.term == 0 && !reads {
            // Raft takes it for one of its own and passes over every check of terms.
            return Err(Refused::Message(raft_message::MessageError("no term")));
        }
        if message.get_msg_type() == MessageType::MsgAppend && message.index > 0 && message.log_term == 0 {
            // Raft takes it for a match where its log has no such entry.
            return Err(Refused::Message(raft_message::MessageError("an append behind an entry without a term")));
        }
        if self.passes_over(from, &message) {
            return Ok(());
        }
        // Raft's own view, entries included that came since the last flush; of earlier terms it ignores everything.
        let log = &self.raw.raft.raft_log;
        let last = Index(log.last_index());
        let current = message.term >= self.raw.raft.term;
        let end = (log.last_term(), last.0);
        let leads = self.raw.raft.state == StateRole::Leader;
        if message.get_msg_type() == MessageType::MsgHeartbeat && current && message.commit > last.0 && self.settling.is_none() {
            // It counts on what it was told is here.
            self.put_back(from, Standing { term: message.term, end: (0, 0), last: message.commit });
        }
        let log = &self.raw.raft.raft_log;
        match message.get_msg_type() {
            // A leader may count on what an earlier life of this member has answered it, or of its Raft.
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
                if self.is_quiet() || self.lease.is_on() && self.ticks <= self.votes_after =>
            {
                return Ok(());
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
                if self.settling.as_mut().is_some_and(|settling| !settling.votes(from, &message)) =>
            {
                return Ok(());
            }
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse
                if !message.reject && self.settling.as_ref().is_some_and(|settling| !settling.takes_votes(end)) =>
            {
                return Ok(());
            }
            // Raft would send it on, under the address of a member that its leader may not know yet. It is asked again.
            MessageType::MsgReadIndex if !leads => return Ok(()),
            // Raft would send it on too, and panics over the term that it came with.
            MessageType::MsgTransferLeader if !leads => return Ok(()),
            MessageType::MsgTimeoutNow if self.settling.is_some() || self.snapshots.installing.is_some() => return Ok(()),
            MessageType::MsgHeartbeat if current && self.settling.is_some() => {
                // What the leader believes to be here may be what was lost, or replaced by it: only an append shows how
                // far the logs are the same.
                let (term, committed) = (log.last_term(), log.committed);
                let tells = self.settling.as_ref().is_some_and(|settling| {
                    settling.speaks_to(from) && settling.must_tell(from, message.term)
                });
                if tells {
                    self.tell_regressed(&message, last, term);
                }
                message.commit = message.commit.min(committed);
            }
            MessageType::MsgAppendResponse if current && message.reject && message.context[..] == *REGRESSED => {
                self.probe_again(from, Index(message.reject_hint));
                return Ok(());
            }
            MessageType::MsgHeartbeat if current && message.commit > last.0 => {
                return Err(Refused::Regressed { from, commit: Index(message.commit), last });
            }
            // A member without a configuration begins with a snapshot: the entries alone do not say who the members are.
            MessageType::MsgAppend if self.conf.voters.is_empty() && message.index == 0 && !message.entries.is_empty() => {
                return Err(Refused::NotFounded(from));
            }
            MessageType::MsgAppend if current => {
                let first = log.first_index();
                let known = message.entries.iter().skip_while(|entry| entry.index < first);
                for entry in known.take_while(|entry| entry.index <= log.committed) {
                    if log.term(entry.index) != Ok(entry.term) {
                        return Err(Refused::Conflicts { from, index: Index(entry.index) });
                    }
                }
            }
            // Only a leader is owed this: one that restarted in its term may hear late of what it never had on disk.
            MessageType::MsgAppendResponse if current && leads && !message.reject && message.index > last.0 => {
                return Err(Refused::Invented { from, index: Index(message.index), last });
            }
            _ => {}
        }
        // What raft answers with an error (a vote from a stranger, a dropped proposal) concerns the sender alone.
        let (kind, commit, term) = (message.get_msg_type(), message.commit, message.term);
        let appends = kind == MessageType::MsgAppend;
        let goes_on = appends && self.raw.raft.raft_log.term(message.index) == Ok(message.log_term);
        self.note_told(from, &message, leads);
        let _ = self.raw.step(message);
        let settled = match self.raw.raft.state {
            // All logs were heard and none was ahead of this one.
            StateRole::Leader => true,
            _ => kind == MessageType::MsgAppend && self.reaches(from, commit),
        };
        let follows = self.raw.raft.leader_id == from.0 && self.raw.raft.term == term;
        if follows {
            self.heard_at = self.ticks;
            self.pace.restart();
        }
        match &mut self.settling {
            Some(settling) if settled && settling.knows_terms() => self.settling = None,
            Some(settling) if follows => settling.led(from, term, goes_on),
            _ => {}
        }
        self.draw_timeout();
        Ok(())
    }

    /// Asks those who have not told what term they are in.
    pub(super) fn ask_terms(&mut self) {
        let Some(settling) = &self.settling else { return };
        // Those its log does not know as voters tell it who is one now.
        let asked: BTreeSet<MemberId> = settling.asks().chain(self.linked.iter().copied()).collect();
        for member in asked {
            let frame = frame::build(FrameKind::TermQuery, self.config.group, 0, |_| {});
            self.outbox.push((member, Channel::Urgent, frame));
        }
    }

    /// A learner is settled by a barrier of this life: only a leader that a majority still follows can answer it. One that
    /// was deposed may know no more than it did before this member became a voter, and lost what it acknowledged as one.
    pub(super) fn read_to_settle(&mut self) {
        let leader = self.leader.filter(|leader| self.settling.as_ref().is_some_and(|settling| settling.is_learner() && settling.speaks_to(*leader)));
        if leader.is_some() && !std::mem::replace(&mut self.settling_read, true) {
            // Nobody waits for it: it has no time of its own.
            self.barriers.add(SETTLING_READ, 0);
        }
    }

    /// Everything that was committed before the barrier is applied, the own promotion included if there was one.
    pub(super) fn settle_learner(&mut self) {
        self.settling_read = false;
        if !self.settling.as_ref().is_some_and(Settling::is_learner) {
            return;
        }
        if self.conf.votes(self.config.me) {
            self.settle_among(self.machine.applied(), self.conf.voting_but(self.config.me));
        } else {
            self.settling = None;
        }
    }

    fn answer_term(&mut self, to: MemberId) {
        // Who asks may have forgotten one that it has told.
        let term = self.raw.raft.term.max(self.standings.term_of(to));
        let applied = self.machine.applied();
        let frame = frame::build(FrameKind::TermAnswer, self.config.group, 64, |out| {
            out.extend_from_slice(&term.to_le_bytes());
            out.extend_from_slice(&applied.0.to_le_bytes());
            self.conf.encode(out);
        });
        self.outbox.push((to, Channel::Urgent, frame));
    }

    /// All others have told their terms: whatever vote was lost was given in none that is higher.
    fn take_term(&mut self, from: MemberId, term: u64, applied: Index, conf: &Conf) {
        let me = self.config.me;
        let learner = self.settling.as_ref().is_some_and(Settling::is_learner);
        if if learner { conf.votes(me) } else { applied > self.machine.applied() && conf.contains(me) } {
            self.settle_among(applied, conf.voting_but(me));
        } else if let Some(settling) = &mut self.settling {
            settling.counts_not(from, term, conf.voters.is_empty());
        }
        let Some(highest) = self.settling.as_mut().and_then(|settling| settling.told(from, term)) else { return };
        let raft = &mut self.raw.raft;
        if highest > raft.term {
            raft.become_follower(highest, 0);
        }
        if raft.vote == 0 {
            // Its own, which nobody else can get then.
            raft.vote = raft.id;
        }
        self.draw_timeout();
    }

    /// All that was known to be committed when this member started is applied: only as a whole it says who the voters are.
    /// Those of a moment in between may have been fewer, and before it this member may have been a learner.
    pub(super) fn settle_as_found(&mut self) {
        let me = self.config.me;
        if self.conf.votes(me) || !self.settling.as_ref().is_some_and(Settling::is_learner) {
            self.settle_among(self.found_commit, self.conf.voting_but(me));
        }
    }

    /// Notes who the other voters are, as of an index; nobody is left to settle anything with where there are none.
    pub(super) fn settle_among(&mut self, as_of: Index, others: BTreeSet<MemberId>) {
        let Some(settling) = &mut self.settling else { return };
        if !others.is_empty() {
            settling.others_are(as_of, others);
        } else if settling.is_news(as_of) {
            self.settling = None;
        }
    }

    /// Whether a torn batch is of no concern any more. Until then, whoever starts this member again must call `torn`
    /// again, although recovery finds the log whole the second time.
    pub fn is_settled(&self) -> bool {
        self.settling.is_none()
    }

    /// Whether what has settled this group is on disk too: raft may have taken it and not written it yet.
    pub fn is_settled_on_disk(&mut self) -> bool {
        if !self.is_settled() {
            self.settled_to = None;
            return false;
        }
        let log = &self.raw.raft.raft_log;
        let to = *self.settled_to.get_or_insert(log.last_index());
        log.persisted >= to.min(log.last_index())
    }

    /// Whether all that was committed before is here again: up to what this leader knows of, and that with an entry of
    /// its own term, since a new leader does not know yet how far its predecessors had come.
    fn reaches(&self, leader: MemberId, commit: u64) -> bool {
        let raft = &self.raw.raft;
        let committed = raft.raft_log.committed;
        raft.leader_id == leader.0 && committed >= commit && raft.raft_log.term(committed) == Ok(raft.term)
    }

    /// Tells a leader that this log ends before what it counts on: raft takes such a word for a stale one.
    fn tell_regressed(&mut self, heartbeat: &Message, last: Index, last_term: u64) {
        let mut answer = Message::default();
        answer.set_msg_type(MessageType::MsgAppendResponse);
        (answer.to, answer.from, answer.term) = (heartbeat.from, heartbeat.to, heartbeat.term);
        (answer.index, answer.reject, answer.reject_hint) = (heartbeat.commit, true, last.0);
        answer.log_term = last_term;
        answer.context = REGRESSED.into();
        self.push_raft(Channel::Urgent, &answer);
    }

    /// Forgets what a member with a torn log had acknowledged, and sends from its end on; what was committed with its
    /// acknowledgement stays so.
    fn probe_again(&mut self, member: MemberId, last: Index) {
        if self.raw.raft.state != StateRole::Leader {
            return;
        }
        // Its log may go further, by what a deposed leader sent or it wrote itself.
        let next_idx = last.0.min(self.raw.raft.raft_log.last_index()) + 1;
        if let Some(progress) = self.raw.raft.mut_prs().get_mut(member.0) {
            progress.become_probe();
            progress.matched = 0;
            progress.next_idx = next_idx;
        }
    }

    fn receive_forward(&mut self, from: MemberId, frame: Frame) -> Result<(), Refused> {
        let mut submissions = Vec::new();
        let mut at = 0;
        while at < frame.body.len() {
            let length = u32_at(&frame.body, at + 4) as usize;
            if length < SUBMISSION_HEADER_BYTES || at + length > frame.body.len() {
                return Err(Refused::Length(length));
            }
            let submission = Submission::parse(frame.body.slice(at..at + length))?;
            // A member hands in what it took itself, for the group it says.
            if submission.origin() != from {
                let (claimed, to) = (submission.origin(), self.config.me);
                return Err(Refused::Misaddressed { from, claimed, to });
            }
            if submission.group() != frame.group {
                return Err(Refused::Group { found: submission.group(), expected: frame.group });
            }
            submissions.push(submission);
            at += length;
        }
        // An empty intake takes anything, or a large frame would be refused for ever.
        let full = self.intake_bytes > 0 && self.intake_bytes + frame.body.len() > self.config.intake_bytes_max;
        if self.raw.raft.state != StateRole::Leader || full {
            let refused = frame::build(FrameKind::ForwardRefused, self.config.group, 0, |_| {});
            self.outbox.push((from, Channel::Urgent, refused));
            return Ok(());
        }
        self.intake_bytes += frame.body.len();
        self.intake.append(&mut submissions);
        Ok(())
    }

    /// A dialled connection is up: what may have been lost with the one before is handed in again.
    pub fn link_up(&mut self, member: MemberId) {
        self.linked.insert(member);
        self.standings.link_up(member);
        if let Some(settling) = &mut self.settling {
            settling.link(member, true);
        }
        if self.leader == Some(member) {
            self.pending.hand_in_again();
            self.barriers.ask_again();
        }
    }

    /// A dialled connection is gone: raft probes instead of streaming until the member answers.
    pub fn link_down(&mut self, member: MemberId) {
        self.linked.remove(&member);
        if let Some(settling) = &mut self.settling {
            settling.link(member, false);
        }
        self.overflowed(member);
    }

    /// Frames to a member were dropped, on a connection that stays.
    pub fn overflowed(&mut self, member: MemberId) {
        self.snapshot_link_down(member);
        if self.raw.raft.state == StateRole::Leader {
            self.raw.report_unreachable(member.0);
        }
    }
}
