//! A leader's part in membership: bringing its group's configuration to what was agreed on, handing leadership over,
//! and telling members that were removed.

use super::effects::{Effects, End};
use super::reconcile::{self, Step};
use super::settling::Settling;
use super::store::EntryReader;
use super::Group;
use crate::event::{Submission, SubmissionKind};
use crate::ids::{Index, MemberId, RequestId, Term};
use crate::membership::{MemberRefused, Membership, Role};
use crate::packed::Unpack;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::plants::{self, CorePlant};
use raft::eraftpb::Entry;
use raft::StateRole;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::conf::Conf;
use super::receive::Refused;

/// Entries that a learner may be behind and still be called caught up.
const LAG_ENTRIES: u64 = 1_000;
/// Ticks that the leader's own disk may be behind what others have committed before another one leads.
const SLOW_DISK_TICKS: u32 = 50;
/// Election timeouts without a leader after which a member asks whether it was removed.
const LONELY_ELECTIONS: usize = 4;
/// Ticks between two attempts to hand leadership over.
const HAND_OVER_TICKS: u64 = 100;

impl<R: EntryReader> reconcile::Known for Group<R> {
    fn caught_up(&self, id: MemberId) -> bool {
        self.caught_up(id)
    }

    fn answers(&self, id: MemberId) -> bool {
        self.hears_of(id) && (id == self.config.me || self.linked.contains(&id))
    }

    fn fetches(&self, id: MemberId) -> bool {
        self.fetching.as_ref().is_none_or(|fetching| fetching.contains(&id))
    }
}

impl<R: EntryReader> Group<R> {
    /// What the configuration is to become: of group 0 its own table, of others what they are told of it.
    fn goal(&self) -> &Membership {
        match self.machine.membership().is_empty() {
            true => &self.goal,
            false => self.machine.membership(),
        }
    }

    /// Group 0's table as it stands, for the other groups.
    pub fn set_goal(&mut self, goal: &Membership) {
        if self.goal.version != goal.version {
            self.goal.clone_from(goal);
        }
    }

    /// Members that wait to be settled in some group.
    pub fn set_unsettled(&mut self, members: &BTreeSet<MemberId>) {
        if self.unsettled_elsewhere != *members {
            self.unsettled_elsewhere.clone_from(members);
        }
    }

    /// Members that lack what others hold of the causal lane; `None` where that is not known.
    pub fn set_fetching(&mut self, members: Option<BTreeSet<MemberId>>) {
        self.fetching = members;
    }

    pub fn knows_fetching(&self) -> bool {
        self.fetching.is_some()
    }

    pub fn conf(&self) -> &Conf {
        &self.conf
    }

    /// A tick: one of the engine's, or a part of it. Once in an election timeout a leader looks whether it has a majority, and
    /// forgets whom it has heard of until they answer again (raft-rs 0.7, quorum_recently_active).
    pub(super) fn tick_engine(&mut self) {
        let over = self.pace.tick();
        let raft = &mut self.raw.raft;
        let elapsed = raft.election_elapsed;
        if raft.state != StateRole::Leader {
            self.heard_before = None;
            // Whoever stands for a leader that has left (`tick_desertion`) waits for nothing more.
            let due = usize::from(elapsed >= self.timeout.ticks());
            for _ in 0..over.max(due) {
                self.raw.tick();
            }
            return;
        }
        if over == 0 {
            // Heartbeats leave all the same: it is the clock of elections alone that stands still.
            raft.election_elapsed = elapsed.saturating_sub(1);
            self.raw.tick();
            self.raw.raft.election_elapsed = elapsed;
            return;
        }
        if elapsed + 1 >= raft.election_timeout() {
            let heard = raft.prs().iter().filter(|(_, progress)| progress.recent_active);
            self.heard_before = Some(heard.map(|(id, _)| MemberId(*id)).collect());
        }
        self.raw.tick();
    }

    /// At a leader: whether a member was heard of within the last election timeout or the one under way. One that has not led
    /// for that long takes all for alive.
    pub(super) fn hears_of(&self, member: MemberId) -> bool {
        let lately = self.raw.raft.prs().get(member.0).is_some_and(|progress| progress.recent_active);
        let before = || self.heard_before.as_ref().is_none_or(|heard| heard.contains(&member));
        member == self.config.me || lately || before()
    }

    fn caught_up(&self, id: MemberId) -> bool {
        let last = self.raw.raft.raft_log.last_index();
        let progress = self.raw.raft.prs().get(id.0);
        // A vote of one that may have forgotten what it promised is no help; its directory is one for all groups.
        if self.unsettled_elsewhere.contains(&id) {
            return false;
        }
        // The engine takes a new member for active, and one that never started holds nothing.
        progress.is_some_and(|progress| {
            self.hears_of(id) && progress.matched > 0 && progress.matched + LAG_ENTRIES >= last
        })
    }

    /// Once a tick: the next step towards the goal, if this member leads and the step before is done.
    pub(super) fn drive_membership(&mut self) {
        let hasty = plants::is(CorePlant::SingleStep);
        if hasty {
            self.raw.raft.pending_conf_index = 0;
        }
        let raft = &self.raw.raft;
        let leads = raft.state == StateRole::Leader && (raft.apply_to_current_term() || hasty);
        if !leads || raft.has_pending_conf() || self.goal().is_empty() {
            return;
        }
        let step = reconcile::next_step(&self.conf, self.goal(), self.config.me, |id| self.caught_up(id));
        let (changes, joint) = match step {
            Step::Done | Step::Wait => return,
            Step::HandOver => {
                self.hand_over();
                return;
            }
            Step::Leave => (Vec::new(), false),
            Step::Change { mut changes, .. } if hasty => {
                changes.truncate(1);
                (changes, false)
            }
            Step::Change { changes, joint } => (changes, joint),
        };
        let context = reconcile::encode(&changes, joint);
        // What the engine drops now is proposed again at a later tick.
        let before = self.raw.raft.pending_conf_index;
        if self.raw.propose_conf_change(context, reconcile::to_raft(&changes, joint)).is_err() {
            // The engine counts on the entry it did not take (raft-rs 0.7, step_leader), and would wait for it.
            self.raw.raft.pending_conf_index = before;
        }
    }

    /// A committed configuration change. One that does not fit is passed over, by every member alike.
    pub(super) fn apply_conf(&mut self, entry: &Entry, now_us: u64) {
        let Ok(change) = reconcile::decode(&entry.context) else { return };
        if let Ok(state) = self.raw.apply_conf_change(&change) {
            // A chain of changes within what may still be answered: the least majority of them counts.
            let least = self.conf.proven().min(self.conf_since.1);
            self.lease.end(now_us);
            self.conf_since = (Index(entry.index), least);
            // A restart that has forgotten it would need those who have gone since.
            self.commit_wanted = true;
            self.conf = Arc::new(Conf::from_raft(&state));
            self.raw.mut_store().set_conf(state);
            // A learner that is promoted was counted on by nobody before.
            let counted_on = !self.settling.as_ref().is_some_and(Settling::is_learner);
            if counted_on && Index(entry.index) > self.found_commit {
                self.settle_among(Index(entry.index), self.conf.voting_but(self.config.me));
            }
        }
    }

    /// A leader that was left out steps down: the engine would have it lead on (raft-rs issue 584).
    pub(super) fn step_down_if_left_out(&mut self) {
        if self.raw.raft.state == StateRole::Leader && !self.conf.votes(self.config.me) {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, 0);
        }
    }

    /// A member that hears of no leader may have been removed: whoever it asks for its term says so. Voters that stand
    /// for election ask that way.
    pub(super) fn ask_whether_removed(&mut self) {
        let patience = (LONELY_ELECTIONS * self.pace.most()) as u64;
        let lonely = self.ticks.saturating_sub(self.heard_at);
        if self.raw.raft.state == StateRole::Leader || lonely == 0 || lonely % patience != 0 {
            return;
        }
        for member in self.linked.clone() {
            let frame = frame::build(FrameKind::TermQuery, self.config.group, 0, |_| {});
            self.outbox.push((member, Channel::Urgent, frame));
        }
    }

    /// Passes leadership to the voter that is furthest, if there is one that can take it; it takes effect within an
    /// election timeout or not at all.
    pub fn hand_over(&mut self) -> bool {
        if self.raw.raft.state != StateRole::Leader || self.ticks < self.hand_over_at {
            return false;
        }
        let goal = self.goal();
        let fit = |id: MemberId| {
            id != self.config.me && self.linked.contains(&id) && self.conf.voters.contains(&id) && goal.role(id).is_none_or(|role| role == Role::Voter)
        };
        let progress = self.raw.raft.prs().iter().filter(|(id, _)| fit(MemberId(**id)) && self.hears_of(MemberId(**id)));
        let Some((best, _)) = progress.max_by_key(|(id, progress)| (progress.matched, **id)) else { return false };
        let best = *best;
        self.hand_over_at = self.ticks + HAND_OVER_TICKS;
        self.lease.offer(Term(self.raw.raft.term));
        self.raw.transfer_leader(best);
        true
    }

    /// Has `to` lead. At a follower: the leader is asked. False where nobody leads or `to` is no voter.
    pub fn transfer(&mut self, to: MemberId) -> bool {
        if !self.conf.voters.contains(&to) {
            return false;
        }
        match (self.raw.raft.state, self.leader) {
            (StateRole::Leader, _) => {
                self.lease.offer(Term(self.raw.raft.term));
                self.raw.transfer_leader(to.0);
                true
            }
            (_, Some(leader)) => {
                let frame = frame::build(FrameKind::Transfer, self.config.group, 8, |out| {
                    out.extend_from_slice(&to.0.to_le_bytes());
                });
                self.outbox.push((leader, Channel::Urgent, frame));
                true
            }
            _ => false,
        }
    }

    pub(super) fn receive_transfer(&mut self, frame: &Frame) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let to = MemberId(fields.u64()?);
        fields.end()?;
        if self.raw.raft.state == StateRole::Leader {
            self.transfer(to);
        }
        Ok(())
    }

    /// A leader whose disk does not keep up with the others' slows nobody down but itself, until it is to read.
    pub(super) fn watch_own_disk(&mut self) {
        let behind = self.raw.raft.raft_log.committed > self.raw.raft.raft_log.persisted;
        let slow = behind && self.raw.raft.state == StateRole::Leader;
        self.slow_ticks = if slow { self.slow_ticks + 1 } else { 0 };
        if self.slow_ticks >= SLOW_DISK_TICKS && self.hand_over() {
            self.slow_ticks = 0;
        }
    }

    /// Whether a command that a leader is about to propose must be declined for what only the leader knows.
    pub(super) fn declines(&self, submission: &Submission) -> Option<MemberRefused> {
        if submission.kind() != SubmissionKind::Members {
            return None;
        }
        let command = submission.members().ok()?;
        reconcile::declines(&self.conf, self.goal(), self.config.me, &command, self)
    }

    pub(super) fn decline(&mut self, submission: &Submission, refused: MemberRefused) {
        let (to, request) = (submission.origin(), submission.request());
        if to == self.config.me {
            self.declined.push((request, refused));
            return;
        }
        let frame = frame::build(FrameKind::Declined, self.config.group, 9, |out| {
            out.extend_from_slice(&request.0.to_le_bytes());
            out.push(refused as u8);
        });
        self.outbox.push((to, Channel::Urgent, frame));
    }

    pub(super) fn receive_declined(&mut self, frame: &Frame) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let (request, number) = (RequestId(fields.u64()?), fields.u8()?);
        fields.end()?;
        if let Some(refused) = MemberRefused::of(number) {
            self.declined.push((request, refused));
        }
        Ok(())
    }

    pub(super) fn end_declined(&mut self, now_us: u64, effects: &mut Effects) {
        for (id, refused) in std::mem::take(&mut self.declined) {
            if let Some(request) = self.pending.remove(id) {
                self.complete(effects, id, request.taken_at_us, now_us, End::Declined(refused));
            }
        }
    }

    /// Whether a sender was removed from the cluster for good; it is told so, once a tick at most.
    pub(super) fn tells_removed(&mut self, from: MemberId) -> bool {
        // Of several groups, one may not have come here yet: it does not know whether it still needs that member.
        // Nor does one whose configuration may be of long ago: who was added since may be needed until it has gone again.
        // Nor does a learner know: its leader may be of long ago, and those who have removed the sender may need it again where
        // they have lost their commit marks.
        let present = self.settling.is_none() && self.leader.is_some();
        let knows = present && self.conf.voters.contains(&self.config.me) && !self.conf.contains(from);
        if self.goal().role(from) != Some(Role::Removed) || !knows {
            return false;
        }
        // Whoever is told goes for good: a restart here must not need its vote to learn that it has gone.
        if self.durable_commit < self.conf_since.0 {
            self.commit_wanted = true;
            return true;
        }
        if self.told.insert(from) {
            self.outbox.push((from, Channel::Urgent, frame::build(FrameKind::Removed, self.config.group, 0, |_| {})));
        }
        true
    }

    /// Whether this member was told, by one that knows, that it belongs to the group no more. That it has applied its
    /// removal itself is not enough: until others have, they may need what only it knows of.
    pub fn is_removed(&self) -> bool {
        self.removed
    }
}
