//! A group whose log has lost entries: Raft stands still until those it needs are back (rule L2). Meanwhile the member
//! neither votes nor acknowledges anything, heartbeats included; it answers what others ask about their own damage, and
//! keeps the requests of its callers.
//!
//! Raft is made anew afterwards, from the log as it is then. What it had in hand and had not put to disk is as if it had
//! never come.

use super::candidacy::Timeout;
use super::effects::{Effects, Purpose, Write};
use super::receive::Refused;
use super::repair::hashes;
use super::repair::words::{Answer, Query, ANSWER_BYTES};
use super::repair::{Lost, Mend, Step, Weight};
use super::store::{EntryReader, Store};
use super::{engine, reconcile, Group, GroupError};
use crate::ids::{Index, MemberId, Term};
use crate::log::{GroupRecovery, LogEntry, LostRange, Op, SnapshotMark};
use crate::machine::{Beginning, Machine};
use crate::ordered::persistence::Persistence;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::plants::{self, CorePlant};
use crate::snapshot::SnapshotInfo;
use raft::eraftpb::ConfChangeType;
use raft::StateRole;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Entries looked at for the end of a damaged range; what is behind is found later.
const RUN_MAX: u64 = 256;
/// Bytes read at a time when the log is looked through for changes of the configuration.
const LOOK_BYTES: u64 = 1024 * 1024;

/// Raft stands still.
pub(super) struct Paused {
    /// The log as it is on disk; `None` until what Raft had under way is there.
    found: Option<GroupRecovery>,
    /// A snapshot that came in the place of compacted entries.
    info: Option<SnapshotInfo>,
    /// The configuration in front of the range that is being asked for.
    ahead: Option<Ahead>,
}

/// What the log says of the configuration up to an entry that is not applied yet.
#[derive(Clone)]
struct Ahead {
    of: Index,
    /// Members of the configurations that may have been in force there.
    members: BTreeSet<MemberId>,
    /// Who counts for a majority there is what is applied here.
    as_applied: bool,
}

/// A repair on its way to the disk.
pub(super) enum Mending {
    Restore(Vec<LogEntry>),
    Cut(Index),
    Adopt { mark: SnapshotMark, info: SnapshotInfo, machine: Box<Machine> },
}

impl<R: EntryReader> Group<R> {
    /// Says what recovery has not found of the log `found`, before the first input.
    pub fn damaged(&mut self, found: &GroupRecovery, ranges: &[LostRange]) {
        let covered = self.machine.applied();
        for range in ranges {
            let lost = |first: Index, last: Index, next_term, weight| Lost { first, last, next_term, terms: Vec::new(), weight };
            if range.first <= covered {
                let weight = if range.gap { Weight::Gap } else { Weight::Light };
                self.repair.add(lost(range.first, range.last.min(covered), None, weight));
                self.raw.mut_store().set_floor(Index(covered.0 + 1));
            }
            if range.last > covered {
                self.repair.add(lost(range.first.max(Index(covered.0 + 1)), range.last, range.next_term, Weight::Grave));
            }
        }
        if self.repair.has_grave() {
            self.paused = Some(Paused { found: Some(found.clone()), info: None, ahead: None });
        }
    }

    /// A snapshot has come in the place of these entries: readers of the journal get them from the others.
    pub(super) fn fill_gap(&mut self, first: Index, last: Index) {
        self.repair_only(self.raw.store().first(), Index(first.0 - 1));
        if first <= last && !plants::is(CorePlant::GapForgotten) {
            self.repair.add(Lost { first, last, next_term: None, terms: Vec::new(), weight: Weight::Gap });
        }
    }

    /// Nothing else is asked for any more.
    pub(super) fn repair_only(&mut self, first: Index, last: Index) {
        self.repair.covered(first);
        self.repair.cut(Index(last.0 + 1));
    }

    /// Where the journal begins for its readers: behind its last gap.
    pub fn journal_first(&self) -> Index {
        let gap_end = self.repair.gap_end().filter(|_| !plants::is(CorePlant::GapShown));
        gap_end.map_or(self.first(), |last| Index(last.0 + 1))
    }

    /// A reader of the journal could not read this entry.
    pub fn unreadable(&mut self, index: Index) {
        let (first, applied) = (self.journal_first(), self.machine.applied());
        let readable = || !self.raw.store().readable(index, Index(index.0 + 1), 1).is_empty();
        if index >= first && index <= applied && !self.repair.contains(index) && !readable() {
            let lost = self.run_of(index, applied, Weight::Light);
            self.repair.add(lost);
        }
    }

    /// Whether Raft stands still until damage is repaired.
    pub fn is_repairing(&self) -> bool {
        self.paused.is_some()
    }

    /// First entry that Raft waits for.
    pub(super) fn repairs_from(&self) -> Option<Index> {
        self.paused.as_ref().and_then(|_| self.repair.front()).map(|lost| lost.first)
    }

    /// Entries from `index` on that cannot be read; their terms are in memory.
    fn run_of(&self, index: Index, last: Index, weight: Weight) -> Lost {
        let store = self.raw.store();
        let unreadable = |at: &u64| store.readable(Index(*at), Index(at + 1), 1).is_empty();
        let most = last.0.min(index.0 + RUN_MAX);
        let last = Index((index.0 + 1..=most).take_while(unreadable).last().unwrap_or(index.0));
        let known = index >= store.floor();
        let terms = (index.0..=last.0).filter(|_| known).filter_map(|at| Some((Index(at), store.term_of(Index(at))?)));
        let mut terms: Vec<(Index, Term)> = terms.collect();
        terms.dedup_by_key(|(_, term)| *term);
        Lost { first: index, last, next_term: store.term_of(Index(last.0 + 1)), terms, weight }
    }

    /// Raft or a follower has asked the log for what it cannot give.
    pub(super) fn notice_damage(&mut self) {
        if let Some(index) = self.raw.store().take_hole() {
            self.unreadable(index);
        }
        let failed = self.raw.store().failed().or_else(|| self.fails_as_planted());
        let Some(index) = failed.filter(|_| !self.is_repairing()) else { return };
        let lost = self.run_of(index, self.raw.store().durable(), Weight::Grave);
        self.repair.add(lost);
        // Others lead meanwhile.
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, 0);
        self.leader = None;
        self.paused = Some(Paused { found: None, info: None, ahead: None });
    }

    /// An entry that cannot be read, once in a life, at the one moment at which a planted bug shows: faults come there too
    /// rarely.
    fn fails_as_planted(&mut self) -> Option<Index> {
        let planted = plants::is(CorePlant::SettledKept) && self.repair.restored == 0;
        let at_risk = planted && self.marked && self.is_settled() && !self.is_settled_on_disk();
        let store = self.raw.store();
        at_risk.then(|| store.durable()).filter(|last| *last >= store.first())
    }

    /// The next step of a repair that is under way.
    pub(super) fn drive_repair(&mut self, effects: &mut Effects) -> Result<(), GroupError> {
        if self.mending.is_some() || (self.repair.is_idle() && !self.is_repairing()) || !self.is_still() {
            return Ok(());
        }
        if self.is_repairing() {
            if !self.repair.has_grave() {
                return self.resume();
            }
            if let Some((info, machine)) = self.snapshots.take_received() {
                self.adopt(info, machine, effects);
            }
            if self.mending.is_some() || self.snapshots.is_receiving() {
                return Ok(());
            }
        }
        let me = self.config.me;
        let Some(Ahead { mut members, as_applied, .. }) = self.look_ahead() else { return Ok(()) };
        members.remove(&me);
        self.repair.set_others(members, &self.linked);
        let (committed, gap_end) = (self.committed(), self.repair.gap_end());
        let step = self.repair.next(me, as_applied.then_some(&self.conf), committed);
        if self.repair.gap_end() != gap_end {
            effects.journal_first = Some(self.journal_first());
        }
        match step {
            Step::Nothing => {}
            Step::Ask { to, first, last, takes_snapshot } => {
                let query = Query { first, last, takes_snapshot };
                let frame = frame::build(FrameKind::RepairQuery, self.config.group, 17, |out| query.encode(out));
                self.outbox.push((to, Channel::Urgent, frame));
            }
            Step::Forget { from } => {
                // It may have been acknowledged to a leader that still counts on it (decision 9).
                if self.settling.is_none() {
                    self.torn();
                }
                self.cut(from, Purpose::Forget, effects);
            }
            Step::Halt { index } => return Err(GroupError::Lost { group: self.config.group, index }),
        }
        Ok(())
    }

    /// Whether the log on disk is all there is, so that it can be changed beside Raft.
    fn is_still(&mut self) -> bool {
        let commit = self.committed();
        let (idle, store) = (self.persistence.is_idle(), self.raw.store());
        match &mut self.paused {
            Some(Paused { found: found @ None, .. }) if idle => *found = Some(store.found(commit)),
            Some(Paused { found: None, .. }) => return false,
            _ => {}
        }
        true
    }

    fn found(&self) -> Option<&GroupRecovery> {
        self.paused.as_ref().and_then(|paused| paused.found.as_ref())
    }

    /// First entry of the log on disk, which Raft may not know of yet.
    pub(super) fn first(&self) -> Index {
        self.found().map_or(self.raw.store().first(), |found| found.first_index)
    }

    /// Index of the newest snapshot that the log names; 0 without one.
    pub(super) fn snapshot(&self) -> Index {
        let named = || self.raw.store().snapshot_info().map(|info| info.meta.index);
        self.found().map_or_else(named, |found| found.snapshot.map(|(index, _)| index)).unwrap_or_default()
    }

    /// Up to here the log that `store` and disk have is committed. Raft may know of more, by what has come since and is
    /// not in them: there the log may hold something else yet.
    fn committed(&self) -> Index {
        let log = &self.raw.raft.raft_log;
        let known = match self.found() {
            Some(found) => found.hard_state.commit,
            None if log.unstable_snapshot().is_some() => Index(0),
            None => Index(log.committed.min(log.unstable.offset - 1)),
        };
        known.max(self.machine.applied())
    }

    /// Term of the entry in front of the range that is being asked for.
    fn prior_term(&self) -> Option<Term> {
        let prior = Index(self.repair.front()?.first.0 - 1);
        match self.found() {
            Some(found) if prior >= found.first_index => {
                found.terms[..found.terms.partition_point(|(first, _)| *first <= prior)].last().map(|run| run.1)
            }
            Some(found) => (prior.0 + 1 == found.first_index.0).then_some(found.prior_term),
            None => self.raw.store().term_of(prior).filter(|_| prior >= self.raw.store().floor()),
        }
    }

    /// Who belongs to the group in front of the range that is being asked for, by the entries that are not applied yet.
    /// `None`: one of them cannot be read either, and comes first now.
    fn look_ahead(&mut self) -> Option<Ahead> {
        let applied = self.machine.applied();
        let of = self.repair.front().map(|lost| lost.first).filter(|_| self.is_repairing()).unwrap_or(applied);
        if let Some(known) = self.paused.as_ref().and_then(|paused| paused.ahead.as_ref()).filter(|known| known.of == of) {
            return Some(known.clone());
        }
        // A joint configuration takes two changes; what was in force before the last two may still have counted.
        let mut sets = vec![self.conf.members()];
        let mut next = Index(applied.0 + 1);
        while next < of {
            let read = self.raw.store().reader().entries(self.config.group, next, of, LOOK_BYTES).unwrap_or_default();
            if read.is_empty() {
                let lost = self.run_of(next, Index(of.0 - 1), Weight::Grave);
                self.repair.add(lost);
                return None;
            }
            for entry in read.iter().filter(|entry| entry.kind != 0) {
                let mut set = sets.last().cloned().unwrap_or_default();
                if !entry.context.is_empty() {
                    reconcile::decode(&entry.context).ok().iter().flat_map(|change| change.get_changes()).for_each(|one| {
                        match one.get_change_type() {
                            ConfChangeType::RemoveNode => set.remove(&MemberId(one.node_id)),
                            _ => set.insert(MemberId(one.node_id)),
                        };
                    });
                }
                sets.push(set);
            }
            next.0 += read.len() as u64;
        }
        let as_applied = sets.len() == 1;
        let members = sets.into_iter().rev().take(3).flatten().collect();
        let ahead = Ahead { of, members, as_applied };
        if let Some(paused) = &mut self.paused {
            paused.ahead = Some(ahead.clone());
        }
        Some(ahead)
    }

    fn write(&mut self, ops: Vec<Op>, purpose: Purpose, mending: Mending, effects: &mut Effects) {
        self.mending = Some(mending);
        effects.writes.push(Write { group: self.config.group, number: 0, ops, purpose });
    }

    fn cut(&mut self, from: Index, purpose: Purpose, effects: &mut Effects) {
        self.write(vec![Op::Truncate { group: self.config.group, from }], purpose, Mending::Cut(from), effects);
    }

    pub(super) fn receive_repair_answer(
        &mut self,
        from: MemberId,
        frame: &Frame,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let answer = Answer::decode(&frame.body)?;
        if self.mending.is_some() {
            return Ok(());
        }
        let prior_term = self.prior_term();
        match self.repair.answered(from, answer, self.committed(), prior_term) {
            Some(Mend::Restore(mut entries)) => {
                let Some(count) = self.right_ones(&entries) else {
                    self.repair.refused(from);
                    return Ok(());
                };
                entries.truncate(count);
                let op = Op::Repair { group: self.config.group, entries: entries.clone() };
                self.write(vec![op], Purpose::Repair, Mending::Restore(entries), effects);
            }
            Some(Mend::Cut(index)) => self.cut(index, Purpose::Repair, effects),
            None => {}
        }
        Ok(())
    }

    /// How many of the entries are the ones that were applied here; of what was not, nothing is known.
    fn right_ones(&self, entries: &[LogEntry]) -> Option<usize> {
        let applied = entries.last().is_some_and(|last| last.index <= self.machine.applied());
        match applied && !plants::is(CorePlant::GapUnhashed) {
            true => hashes::right_ones(&self.machine, self.raw.store(), self.config.group, entries),
            false => Some(entries.len()),
        }
    }

    /// A repair is on disk.
    pub fn repaired(&mut self, effects: &mut Effects) {
        let Some(mending) = self.mending.take() else { return };
        self.repair.written();
        if let Some(paused) = &mut self.paused {
            paused.ahead = None;
        }
        let found = self.paused.as_mut().and_then(|paused| paused.found.as_mut());
        match mending {
            Mending::Restore(mut entries) => {
                // A snapshot may have come meanwhile.
                let known = found.as_ref().map_or(self.raw.store().first(), |found| found.first_index);
                entries.retain(|entry| entry.index >= known);
                let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
                match found {
                    Some(found) => found.repaired(&entries),
                    None => self.raw.mut_store().repaired(&entries),
                }
                let before = self.repair.gap_end();
                self.repair.restored(first.index, last.index);
                if self.repair.gap_end() != before {
                    effects.journal_first = Some(self.journal_first());
                }
            }
            Mending::Cut(from) => {
                self.repair.cut(from);
                if let Some(found) = found {
                    found.truncated(from);
                }
            }
            Mending::Adopt { mark, info, machine } => self.adopted(mark, info, machine, effects),
        }
        if self.repair.is_idle() {
            self.raw.mut_store().set_floor(Index(0));
        }
    }

    /// A snapshot is here in the place of entries that the others have compacted. What the log holds behind it stays
    /// where it goes on from it.
    fn adopt(&mut self, info: SnapshotInfo, machine: Box<Machine>, effects: &mut Effects) {
        let (Some(found), Some(lost)) = (self.found(), self.repair.front()) else { return };
        let (index, term) = (info.meta.index, info.meta.term);
        if index < lost.first || index <= self.machine.applied() || index < self.snapshots.unreadable() {
            return;
        }
        let commit = self.committed();
        let ends = index == lost.last && commit < index && lost.next_term.is_some_and(|next| next != term);
        if ends {
            // Whether the next entry follows this one cannot be told.
            return;
        }
        let other = index < found.last_index && !self.repair.contains(index) && found.term_of(index) != Some(term);
        let (group, mark) = (self.config.group, SnapshotMark { index, term, first: Index(index.0 + 1), prior_term: term });
        let mut ops = Vec::new();
        ops.extend(other.then_some(Op::Truncate { group, from: Index(index.0 + 1) }));
        ops.push(Op::Mark { group, mark });
        if other {
            // Not committed: another entry is there.
            self.repair.cut(Index(index.0 + 1));
            if let Some(found) = self.paused.as_mut().and_then(|paused| paused.found.as_mut()) {
                found.truncated(Index(index.0 + 1));
            }
        }
        self.write(ops, Purpose::Repair, Mending::Adopt { mark, info, machine }, effects);
    }

    fn adopted(&mut self, mark: SnapshotMark, info: SnapshotInfo, machine: Box<Machine>, effects: &mut Effects) {
        self.machine = *machine;
        self.machine.journal_begins(Beginning { first: mark.first, prior_term: mark.prior_term, prior_hash: None });
        self.conf = Arc::new(info.meta.conf.clone());
        let counted_on = self.settling.as_ref().is_some_and(|settling| !settling.is_learner() || mark.index >= self.found_commit) && self.conf.votes(self.config.me);
        if counted_on {
            self.settle_among(mark.index, self.conf.voting_but(self.config.me));
        }
        self.agreement.begin(mark.index, self.machine.agreed_hash(), self.machine.events());
        self.snapshots.replaced(self.machine.bytes());
        self.pending.hand_in_again();
        self.repair_marked(mark);
        if let Some(paused) = &mut self.paused {
            paused.info = Some(info);
        }
        effects.journal_first = Some(self.journal_first());
        effects.applied = true;
    }

    /// The log is told to begin elsewhere.
    pub(super) fn repair_marked(&mut self, mark: SnapshotMark) {
        self.repair.covered(mark.first);
        if let Some(found) = self.paused.as_mut().and_then(|paused| paused.found.as_mut()) {
            found.marked(mark);
        }
    }

    /// Index of the newest snapshot that the log names or is about to.
    pub(super) fn newest_snapshot(&self) -> Index {
        let coming = match &self.mending {
            Some(Mending::Adopt { mark, .. }) => mark.index,
            _ => Index(0),
        };
        let adopted = self.paused.as_ref().and_then(|paused| paused.info.as_ref());
        let named = self.raw.store().snapshot_info().into_iter().chain(adopted).map(|info| info.meta.index);
        named.max().unwrap_or_default().max(coming)
    }

    /// All that Raft needs is there: it begins anew.
    fn resume(&mut self) -> Result<(), GroupError> {
        let Some(Paused { found: Some(found), info, .. }) = self.paused.take() else { return Ok(()) };
        // Of a log that may have forgotten something: whether what settled it, and the term that the others told, are on disk.
        let (term, vote) = (Term(self.raw.raft.term), MemberId(self.raw.raft.vote));
        let promised = (found.hard_state.term, found.hard_state.vote) == (term, vote);
        let kept = promised && (self.settling.is_some() || self.is_settled_on_disk());
        let known = self.raw.store();
        let (reader, floor) = (known.reader().clone(), known.floor());
        let info = info.or_else(|| known.snapshot_info().cloned());
        let mut store = Store::new(self.config.group, reader, &found, info, &self.conf);
        store.set_floor(if self.repair.is_idle() { Index(0) } else { floor });
        self.raw = engine(&self.config, store, self.machine.applied())?;
        self.persistence = Persistence::default();
        self.engine_from = self.last_number;
        // It does not know any more whom it follows.
        self.votes_after = self.ticks + self.config.election_ticks.0 as u64;
        self.snapshots.forget_raft();
        self.intake.clear();
        self.intake_bytes = 0;
        (self.leader, self.term, self.deserted, self.timeout) = (None, found.hard_state.term, None, Timeout::NONE);
        self.pending.hand_in_again();
        self.barriers.ask_again();
        if self.marked && !kept && !plants::is(CorePlant::SettledKept) {
            self.torn();
        }
        self.draw_timeout();
        Ok(())
    }

    /// Tells another member what this log has of the entries it has lost.
    pub(super) fn receive_repair_query(&mut self, from: MemberId, frame: &Frame) -> Result<(), Refused> {
        let Query { first, last, takes_snapshot } = Query::decode(&frame.body)?;
        let store = self.raw.store();
        let live;
        let log = match self.found() {
            Some(found) => found,
            None => {
                live = store.found(self.committed());
                &live
            }
        };
        let in_log = |index: Index| index >= log.first_index && index <= log.last_index;
        let term = |index: Index| {
            let known = in_log(index) && index >= store.floor() && !self.repair.contains(index);
            if index.0 + 1 == log.first_index.0 {
                return log.prior_term;
            }
            log.term_of(index).filter(|_| known).unwrap_or_default()
        };
        let high = Index(last.min(log.last_index).0 + 1);
        let entries = match (in_log(first) && !self.repair.contains(first), self.is_repairing()) {
            (false, _) => Vec::new(),
            (_, true) => store.reader().entries(self.config.group, first, high, ANSWER_BYTES).unwrap_or_default(),
            (_, false) => store.readable(first, high, ANSWER_BYTES),
        };
        // What a snapshot covers and cannot be read is as good as compacted: what comes after it is to be had all the same.
        let covered = |missed: &Index| log.snapshot.is_some_and(|(snapshot, _)| *missed <= snapshot);
        let missed = self.repair.missed_through(first).filter(covered);
        let answer = Answer {
            first,
            last,
            commit: self.committed(),
            log_first: missed.map_or(log.first_index, |missed| Index(missed.0 + 1)),
            log_last: log.last_index,
            prior_term: term(Index(first.0 - 1)),
            last_term: term(last),
            next_term: term(Index(last.0 + 1)),
            settled: self.settling.is_none(),
            entries,
        };
        let hint = 64 + answer.entries.iter().map(|entry| 32 + entry.data.len() + entry.context.len()).sum::<usize>();
        let frame = frame::build(FrameKind::RepairAnswer, self.config.group, hint, |out| answer.encode(out));
        self.outbox.push((from, Channel::Bulk, frame));
        let offer = store.snapshot_info().filter(|_| takes_snapshot && answer.log_first > first).cloned();
        if let Some(info) = offer.filter(|info| info.meta.index >= first) {
            self.push_offer(from, self.raw.raft.term, &info);
        }
        if answer.entries.is_empty() {
            self.unreadable(first);
        }
        Ok(())
    }

    /// What readers of the log wait for, for the status: first and last entry of a lost range.
    pub(super) fn lost_now(&self) -> Option<(Index, Index)> {
        self.repair.front().map(|lost| (lost.first, lost.last))
    }

    /// Whether Raft runs and leads.
    pub fn leads(&self) -> bool {
        !self.stands_still() && self.raw.raft.state == StateRole::Leader
    }
}
