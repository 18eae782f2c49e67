//! From a committed entry to the end of a request: the replicated state takes the entry, and what this member handed in
//! is answered.

use super::replicate::is_early;
use super::{Group, GroupError};
use crate::event::{Submission, SubmissionKind};
use crate::ids::{Index, MemberId, RequestId, Term};
use crate::machine::Outcome;
use crate::ordered::effects::{Completion, Effects, End};
use crate::ordered::pending::Progress;
use crate::ordered::store::EntryReader;
use raft::eraftpb::{Entry, EntryType};
use raft::StateRole;
use std::sync::Arc;

/// Where and when a submission was applied.
struct Here {
    index: Index,
    term: Term,
    durable_members: u32,
    now_us: u64,
}

impl<R: EntryReader> Group<R> {
    pub(super) fn apply(&mut self, entries: Vec<Entry>, now_us: u64, effects: &mut Effects) -> Result<(), GroupError> {
        let Some(through) = entries.last().map(|entry| entry.index) else { return Ok(()) };
        let conf_before = self.conf.clone();
        for entry in entries {
            let (index, term) = (Index(entry.index), Term(entry.term));
            let applied = match entry.get_entry_type() {
                EntryType::EntryNormal => self
                    .machine
                    .apply(index, term, &entry.data)
                    .map_err(|source| GroupError::Unappliable { index, source })?,
                // The configuration is the group's own: the replicated state makes nothing of it.
                EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                    self.apply_conf(&entry, now_us);
                    self.machine.apply_change(index, term, &entry.data, &entry.context);
                    Vec::new()
                }
            };
            if index == self.found_commit {
                self.settle_as_found();
            }
            self.agreement.note(index, self.machine.agreed_hash());
            let durable_members = self.durable_members(index);
            for one in applied {
                effects.follows.extend(one.submission.follows());
                if one.submission.origin() == self.config.me {
                    let here = Here { index, term, durable_members, now_us };
                    self.settle(one.submission, one.outcome, here, effects);
                }
            }
        }
        self.raw.advance_apply_to(through);
        if !Arc::ptr_eq(&conf_before, &self.conf) {
            // Voters that were waited for may be gone.
            self.settle_strong(now_us, effects);
        }
        effects.suppressed.append(&mut self.machine.take_suppressed());
        effects.applied = true;
        Ok(())
    }

    /// Voters with the entry on disk: what the leader has been told, elsewhere what commitment proves.
    pub(super) fn durable_members(&self, index: Index) -> u32 {
        // An entry from before a change of members was committed by a majority of the members of that time.
        let now = self.conf.proven();
        let majority = if index > self.conf_since.0 { now } else { now.min(self.conf_since.1) };
        if self.raw.raft.state != StateRole::Leader {
            return majority as u32;
        }
        let holds = |(id, progress): &(&u64, &raft::Progress)| {
            self.conf.votes(MemberId(**id)) && progress.matched >= index.0
        };
        let told = self.raw.raft.prs().iter().filter(holds).count();
        told.max(majority) as u32
    }

    pub(super) fn complete(&self, effects: &mut Effects, request: RequestId, since_us: u64, now_us: u64, end: End) {
        let latency_us = now_us.saturating_sub(since_us);
        effects.completions.push(Completion { group: self.config.group, request, end, latency_us });
    }

    /// Ends the request of this member that a submission carried, if it still waits.
    fn settle(&mut self, submission: Submission, outcome: Outcome, here: Here, effects: &mut Effects) {
        let Here { index, term, durable_members, now_us } = here;
        let id = submission.request();
        let again = is_early(&outcome)
            && self.pending.has_earlier(submission.session(), submission.first_sequence());
        let Some(request) = self.pending.get_mut(id) else { return };
        if !matches!(request.progress, Progress::Waiting) {
            return;
        }
        if again {
            self.pending.hand_in_again();
            return;
        }
        if request.submission.kind() != submission.kind() {
            // Withdrawn after all: its skip, handed in since, is what ends it.
            return;
        }
        if request.applied_quorum > 1 {
            request.progress = Progress::Applied { index, term, outcome };
            self.ask_applied_for(index);
            self.settle_strong(now_us, effects);
            return;
        }
        let since_us = request.taken_at_us;
        self.pending.remove(id);
        let hlc = submission.hlc();
        let end = match submission.kind() {
            SubmissionKind::Skip => End::Withdrawn,
            _ => End::Applied { index, term, outcome, hlc, durable_members, applied_members: 1 },
        };
        self.complete(effects, id, since_us, now_us, end);
    }
}
