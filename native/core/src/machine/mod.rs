//! The replicated state of an ordered group: what decides, alike on every member, which events of an entry count.
//!
//! Deterministic by construction: its inputs are entries in log order, nothing else. What the caller owes: entries
//! are applied once each, in index order, without a gap.
//! Left out: payloads (the log holds them) and who waits for an answer (`ordered::pending`).

mod commands;
pub mod consumer;
pub mod image;
pub mod session;
pub mod window;

use crate::entry;
use crate::event::{Malformed, Submission, SubmissionKind};
use crate::ids::{EventId, Index, Term};
use crate::journal::{PassedOver, Suppressed};
use crate::log::LogEntry;
use crate::membership::{MemberRefused, Membership};
use crate::replication::{Agreed, RulesRefused};
use bytes::Bytes;
use consumer::{Consumer, Consumers};
use session::{Sessions, Standing};
use std::collections::{BTreeSet, VecDeque};
use window::{IdWindow, Place};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Limits that are part of the replicated state: they must be equal on every member.
#[derive(Clone, Copy, Debug)]
pub struct MachineLimits {
    pub window_events: usize,
    pub sessions: usize,
    pub fences: usize,
    pub consumers: usize,
    /// Entries after which there is a milestone at the latest.
    pub milestone_entries: u64,
}

impl Default for MachineLimits {
    fn default() -> Self {
        Self { window_events: 1_000_000, sessions: 10_000, fences: 100_000, consumers: 10_000, milestone_entries: 1024 }
    }
}

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    Accepted { offset: u32 },
    /// Accepted before, at this place; its receipt is this one's answer.
    Duplicate { index: Index, offset: u32 },
    /// The id belongs to an event with other bytes.
    IdReused { index: Index, offset: u32 },
    /// `outcome` has promised that this id never commits.
    Fenced,
    SessionExpired,
    /// An earlier sequence of its session is missing: to be handed in again, in order.
    Early,
    /// Its sequence was used before, but the window no longer knows how it ended.
    Forgotten,
}

impl EventOutcome {
    /// As the running hash and snapshots have it.
    pub fn code(self) -> u8 {
        match self {
            EventOutcome::Accepted { .. } => 0,
            EventOutcome::Duplicate { .. } => 1,
            EventOutcome::IdReused { .. } => 2,
            EventOutcome::Fenced => 3,
            EventOutcome::SessionExpired => 4,
            EventOutcome::Early => 5,
            EventOutcome::Forgotten => 6,
        }
    }
}

/// What became of one submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All events accepted, at consecutive offsets from this one.
    Accepted { first_offset: u32, count: u32 },
    /// One outcome an event.
    Mixed(Vec<EventOutcome>),
    Skipped,
    /// Of a fence: where the id stands, or `None`: it can never commit; `certain` is false where the window has
    /// forgotten events, or no more fences fit, so that nothing was proved.
    Fence { found: Option<Place>, certain: bool },
    Consumer(Consumer),
    ConsumerFenced { epoch: u64 },
    ConsumersFull,
    /// Of a member command: agreed on; the groups' configurations follow.
    MembersChanged,
    MembersRefused(MemberRefused),
    /// Of a table of rules.
    RulesSet,
    RulesRefused(RulesRefused),
}

/// A submission and what became of it.
pub struct Applied {
    pub submission: Submission,
    pub outcome: Outcome,
}

/// Totals and running hash up to and including the entry at `index`; `hlc` is the highest hybrid clock seen by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Milestone {
    pub index: Index,
    pub hash: u64,
    pub events: u64,
    pub bytes: u64,
    pub hlc: u64,
}

/// Where a member's journal begins: it can tell of every entry from there on which of its events count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub first: Index,
    /// Term of the entry before.
    pub prior_term: Term,
    /// Running hash up to the entry before, where it is known.
    pub prior_hash: Option<u64>,
}

/// A milestone is set after so many bytes or milliseconds too.
const MILESTONE_BYTES: u64 = 1024 * 1024;
const MILESTONE_MS: u64 = 10_000;

pub struct Machine {
    limits: MachineLimits,
    window: IdWindow,
    sessions: Sessions,
    fences: BTreeSet<EventId>,
    consumers: Consumers,
    /// Events applied since the last `take_suppressed` that do not count: readers of the journal pass them over.
    suppressed: Vec<PassedOver>,
    /// All of them, as far back as this member's journal goes.
    passed_over: Suppressed,
    membership: Membership,
    replication: Agreed,
    applied: Index,
    hash: u64,
    events: u64,
    hlc: u64,
    /// Bytes of all entries so far.
    bytes: u64,
    /// How far the journal had come here and there: what retention counts by.
    milestones: VecDeque<Milestone>,
    /// `None`: of a snapshot that does not say it.
    beginning: Option<Beginning>,
}

impl Machine {
    /// `key` seeds the window's hash table and influences nothing that can be observed.
    pub fn new(limits: MachineLimits, key: u64) -> Self {
        Self {
            limits,
            window: IdWindow::new(limits.window_events, key),
            sessions: Sessions::new(limits.sessions),
            fences: BTreeSet::new(),
            consumers: Consumers::new(limits.consumers),
            suppressed: Vec::new(),
            passed_over: Suppressed::default(),
            membership: Membership::default(),
            replication: Agreed::default(),
            applied: Index(0),
            hash: 0,
            events: 0,
            hlc: 0,
            bytes: 0,
            milestones: VecDeque::new(),
            beginning: None,
        }
    }

    /// The state a cluster begins with: `index` stands for its founding.
    pub fn founded(limits: MachineLimits, key: u64, membership: Membership, index: Index) -> Self {
        Self { membership, applied: index, ..Self::new(limits, key) }
    }

    pub fn limits(&self) -> MachineLimits {
        self.limits
    }

    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The rules of replication as they were agreed on; of group 0 alone.
    pub fn replication(&self) -> &Agreed {
        &self.replication
    }

    /// For a cluster that begins again from a snapshot.
    pub fn set_membership(&mut self, membership: Membership) {
        self.membership = membership;
    }

    pub fn consumers(&self) -> usize {
        self.consumers.iter().count()
    }

    /// Bytes of all entries so far: what retention and snapshots count by.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What readers of the journal pass over, as far back as it goes.
    pub fn passed_over(&self) -> &Suppressed {
        &self.passed_over
    }

    pub fn beginning(&self) -> Option<Beginning> {
        self.beginning
    }

    /// The journal begins here now.
    pub fn journal_begins(&mut self, beginning: Beginning) {
        let first = beginning.first;
        let prior_hash = beginning.prior_hash.or_else(|| self.hash_at(Index(first.0.saturating_sub(1))));
        self.beginning = Some(Beginning { prior_hash, ..beginning });
        self.passed_over.cut_before(first);
        while self.milestones.front().is_some_and(|mark| mark.index < first) {
            self.milestones.pop_front();
        }
    }

    /// Totals up to now.
    pub fn totals(&self) -> Milestone {
        Milestone { index: self.applied, hash: self.hash, events: self.events, bytes: self.bytes, hlc: self.hlc }
    }

    /// Where the running hash is known since the journal's beginning, ascending: the same on every member.
    pub fn hashes(&self) -> impl DoubleEndedIterator<Item = (Index, u64)> + '_ {
        let begins = self.beginning.and_then(|begins| Some((Index(begins.first.0.checked_sub(1)?), begins.prior_hash?)));
        let milestones = self.milestones.iter().map(|mark| (mark.index, mark.hash));
        begins.into_iter().chain(milestones).chain([(self.applied, self.hash)])
    }

    fn hash_at(&self, index: Index) -> Option<u64> {
        self.hashes().rev().find(|(at, _)| *at == index).map(|(_, hash)| hash)
    }

    /// The running hash behind an entry that was applied, from that in front of it.
    pub fn hash_past(&self, hash: u64, entry: &LogEntry) -> u64 {
        if entry.kind != 0 {
            return fold_change(hash, entry.term, &entry.data, &entry.context);
        }
        let decided = self.passed_over.at(entry.index);
        decided.fold(fold_entry(hash, entry.term, &entry.data), |hash, event| fold_decision(hash, event.offset, event.code))
    }

    /// Ascending, since the journal's beginning.
    pub fn milestones(&self) -> impl Iterator<Item = &Milestone> {
        self.milestones.iter()
    }

    fn set_milestone(&mut self) {
        let now = self.totals();
        let last = self.milestones.back().copied().unwrap_or_default();
        let due = now.index.0 >= last.index.0 + self.limits.milestone_entries
            || now.bytes >= last.bytes + MILESTONE_BYTES
            || now.hlc >> 16 >= (last.hlc >> 16) + MILESTONE_MS;
        if due {
            self.milestones.push_back(now);
        }
    }

    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Running hash over everything applied and every exceptional decision: equal at equal `applied` on all members.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The running hash as members compare it: the tables that one log comes to are as different as what they began with.
    pub fn agreed_hash(&self) -> u64 {
        self.hash ^ self.membership.founding()
    }

    /// Events accepted so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Highest hybrid logical clock seen.
    pub fn hlc(&self) -> u64 {
        self.hlc
    }

    pub fn find(&self, id: EventId) -> Option<&Place> {
        self.window.find(id)
    }

    pub fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Events that were not accepted since the last call, in order.
    pub fn take_suppressed(&mut self) -> Vec<PassedOver> {
        std::mem::take(&mut self.suppressed)
    }

    /// Takes one entry. An error means that a member wrote an entry no member can read: the node must stop rather
    /// than go on with a different state.
    pub fn apply(&mut self, index: Index, term: Term, data: &Bytes) -> Result<Vec<Applied>, Malformed> {
        self.apply_unpacked(index, term, data, entry::unpack(data)?, &[])
    }

    /// Takes a change of the group's configuration: an entry that the state makes nothing of.
    pub fn apply_change(&mut self, index: Index, term: Term, data: &[u8], context: &[u8]) {
        debug_assert_eq!(index.0, self.applied.0 + 1, "entries are applied in order, without a gap");
        self.hash = fold_change(self.hash, term, data, context);
        self.applied = index;
        self.set_milestone();
    }

    /// Takes one entry whose submissions `entry::unpack` has found before. `fingerprints`: of its events in order, or
    /// none, where nobody has made them yet.
    pub fn apply_unpacked(
        &mut self,
        index: Index,
        term: Term,
        data: &Bytes,
        submissions: Vec<Submission>,
        fingerprints: &[u64],
    ) -> Result<Vec<Applied>, Malformed> {
        debug_assert_eq!(index.0, self.applied.0 + 1, "entries are applied in order, without a gap");
        self.hash = fold_entry(self.hash, term, data);
        self.bytes += data.len() as u64;
        let mut offset = 0;
        let mut applied = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let outcome = match submission.kind() {
                SubmissionKind::Events => self.apply_events(index, &mut offset, &submission, fingerprints),
                SubmissionKind::Skip => self.apply_skip(index, &submission),
                SubmissionKind::Fence => self.apply_fence(submission.fenced()),
                SubmissionKind::ConsumerAttach
                | SubmissionKind::ConsumerClaim
                | SubmissionKind::ConsumerAcknowledge => self.apply_consumer(&submission),
                SubmissionKind::Members => self.apply_members(index, &submission.members()?),
                SubmissionKind::Rules => self.apply_rules(index, submission.rules()?),
            };
            self.hlc = self.hlc.max(submission.hlc().saturating_add(u64::from(submission.count().saturating_sub(1))));
            applied.push(Applied { submission, outcome });
        }
        self.applied = index;
        self.set_milestone();
        Ok(applied)
    }

    fn apply_events(
        &mut self,
        index: Index,
        offset: &mut u32,
        submission: &Submission,
        fingerprints: &[u64],
    ) -> Outcome {
        let (session, first) = (submission.session(), submission.first_sequence());
        let first_offset = *offset;
        // The session is looked up once a batch, not once an event.
        let known = if session.is_none() { None } else { self.sessions.last_sequence(session) };
        let mut last = known;
        self.window.touch(submission.events().map(|event| event.id()));
        let mut exceptions: Option<Vec<EventOutcome>> = None;
        for (at, event) in submission.events().enumerate() {
            let here = *offset;
            *offset += 1;
            let standing = if session.is_none() {
                Standing::Next
            } else {
                Standing::of(last, first + at as u64, submission.acknowledged_through())
            };
            let fingerprint = || fingerprints.get(here as usize).copied().unwrap_or_else(|| event.fingerprint());
            let outcome = match standing {
                Standing::Next => {
                    let place = Place { id: event.id(), fingerprint: fingerprint(), index, offset: here };
                    let outcome = self.admit(place);
                    last = Some(first + at as u64);
                    outcome
                }
                Standing::Repeated => self.repeat(event.id(), fingerprint()),
                Standing::Early => EventOutcome::Early,
                Standing::Expired => EventOutcome::SessionExpired,
            };
            let accepted = matches!(outcome, EventOutcome::Accepted { .. });
            if !accepted && exceptions.is_none() {
                exceptions = Some((first_offset..here).map(|offset| EventOutcome::Accepted { offset }).collect());
            }
            if let Some(list) = &mut exceptions {
                list.push(outcome);
            }
            if !accepted {
                let event = PassedOver { index, offset: here, code: outcome.code() };
                self.suppressed.push(event);
                self.passed_over.add([event]);
                self.hash = fold_decision(self.hash, here, event.code);
            }
        }
        if let (false, Some(last)) = (session.is_none() || last == known, last) {
            self.sessions.advance(session, last, index);
        }
        match exceptions {
            None => Outcome::Accepted { first_offset, count: submission.count() },
            Some(list) => Outcome::Mixed(list),
        }
    }

    fn admit(&mut self, place: Place) -> EventOutcome {
        match self.window.find(place.id) {
            Some(known) if known.fingerprint == place.fingerprint => {
                EventOutcome::Duplicate { index: known.index, offset: known.offset }
            }
            Some(known) => EventOutcome::IdReused { index: known.index, offset: known.offset },
            None if self.fences.contains(&place.id) => EventOutcome::Fenced,
            None => {
                self.window.insert(place);
                self.events += 1;
                EventOutcome::Accepted { offset: place.offset }
            }
        }
    }

    fn repeat(&self, id: EventId, fingerprint: u64) -> EventOutcome {
        match self.window.find(id) {
            Some(known) if known.fingerprint == fingerprint => {
                EventOutcome::Duplicate { index: known.index, offset: known.offset }
            }
            Some(known) => EventOutcome::IdReused { index: known.index, offset: known.offset },
            None if self.fences.contains(&id) => EventOutcome::Fenced,
            None => EventOutcome::Forgotten,
        }
    }

    /// A skip moves its session over those of its sequences that come next; what was applied before stays.
    fn apply_skip(&mut self, index: Index, submission: &Submission) -> Outcome {
        let first = submission.first_sequence();
        for sequence in first..first + u64::from(submission.count()) {
            let last = self.sessions.last_sequence(submission.session());
            match Standing::of(last, sequence, submission.acknowledged_through()) {
                Standing::Next => self.sessions.advance(submission.session(), sequence, index),
                Standing::Repeated => {}
                Standing::Early => return Outcome::Mixed(vec![EventOutcome::Early]),
                Standing::Expired => return Outcome::Mixed(vec![EventOutcome::SessionExpired]),
            }
        }
        Outcome::Skipped
    }

    fn apply_fence(&mut self, id: EventId) -> Outcome {
        if let Some(place) = self.window.find(id) {
            return Outcome::Fence { found: Some(*place), certain: true };
        }
        let fits = self.fences.contains(&id) || self.fences.len() < self.limits.fences;
        let certain = fits && self.window.forgotten() == 0;
        if certain {
            self.fences.insert(id);
        }
        Outcome::Fence { found: None, certain }
    }
}

fn fold_entry(hash: u64, term: Term, data: &[u8]) -> u64 {
    xxh3_64_with_seed(data, hash ^ term.0.rotate_left(32))
}

fn fold_change(hash: u64, term: Term, data: &[u8], context: &[u8]) -> u64 {
    xxh3_64_with_seed(context, fold_entry(hash, term, data))
}

/// Decisions that the entry's bytes alone do not show go into the hash too.
fn fold_decision(hash: u64, offset: u32, code: u8) -> u64 {
    let mut note = [0; 13];
    note[..8].copy_from_slice(&hash.to_le_bytes());
    note[8..12].copy_from_slice(&offset.to_le_bytes());
    note[12] = code;
    xxh3_64(&note)
}
