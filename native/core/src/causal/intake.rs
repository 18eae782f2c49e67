//! What is published here: taken, written as entries of the own log, answered once it is on disk and delivered.

use super::actor::{Clock, OriginId};
use super::cut::sum_of;
use super::head::{Head, Holders};
use super::ids::{Admitted, Dot};
use super::{pop_if, Lane, WHOLE_EVERY};
use crate::clock::Ranges;
use crate::entry;
use crate::event::Submission;
use crate::ids::{Index, RequestId, Term};
use crate::log::{LogEntry, Op};
use crate::ordered::effects::{Completion, Effects, End, KeptEntry, KeptEvent};
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};
use crate::stub;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that one entry takes in at most, but for a single larger submission.
const ENTRY_BYTES: usize = 256 * 1024;

/// Level causal as submissions spell it; below it is eventual.
const CAUSAL: u8 = 1;

struct Taken {
    submission: Submission,
    taken_at_us: u64,
}

/// A request that is written, and waits for its entry.
struct Written {
    request: RequestId,
    origin: OriginId,
    counter: u64,
    offset: u32,
    hlc: u64,
    bytes: usize,
    taken_at_us: u64,
    /// What the entry follows; of the first request of an entry.
    clock: Option<Clock>,
    /// What its events come to, where not all of them are new.
    admitted: Option<Vec<Admitted>>,
}

/// A request of which some events stand elsewhere, and waits until all of that is delivered here.
struct Repeat {
    request: RequestId,
    bytes: usize,
    taken_at_us: u64,
    /// Of those that are new.
    entry: Option<KeptEntry>,
    admitted: Vec<Admitted>,
}

/// Invariant: `bytes` is the sum over all that is in here.
#[derive(Default)]
pub struct Intake {
    taken: VecDeque<Taken>,
    written: VecDeque<Written>,
    repeats: Vec<Repeat>,
    bytes: usize,
}

impl Intake {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.taken.len() + self.written.len() + self.repeats.len()
    }
}

/// Own entries that are not on disk, and so have not left.
pub type Unsent = VecDeque<(u64, Bytes, Bytes)>;

impl<R: EntryReader> Lane<R> {
    pub fn submit(&mut self, submission: Submission, now_us: u64) {
        self.intake.bytes += submission.bytes().len();
        self.hlc = self.hlc.max(last_hlc(&submission));
        self.intake.taken.push_back(Taken { submission, taken_at_us: now_us });
    }

    /// Takes a request back, if it is not written; else it is about to be answered.
    pub fn withdraw(&mut self, request: RequestId) -> bool {
        if let Some(at) = self.intake.repeats.iter().position(|repeat| repeat.request == request) {
            // What it waits for may never be delivered; it stands there all the same.
            self.intake.bytes -= self.intake.repeats.swap_remove(at).bytes;
            return false;
        }
        let Some(at) = self.intake.taken.iter().position(|taken| taken.submission.request() == request) else { return false };
        if let Some(taken) = self.intake.taken.remove(at) {
            self.intake.bytes -= taken.submission.bytes().len();
        }
        true
    }

    pub(super) fn write_intake(&mut self) {
        let Some(me) = self.me.filter(|_| self.ids.is_complete()) else { return };
        let (actor, selection) = (self.origins[me.at()].actor, self.selection());
        while !self.intake.taken.is_empty() {
            let (mut bytes, mut submissions, mut offset, mut clock_at, mut holders) = (0, Vec::new(), 0, None, None);
            let counter = self.origins[me.at()].last + 1;
            while let Some(taken) = pop_if(&mut self.intake.taken, |next| {
                // What others hold is in entries of its own.
                bytes == 0 || bytes + next.submission.bytes().len() <= ENTRY_BYTES && holders == selection.holders(&next.submission)
            }) {
                let Taken { submission, taken_at_us } = taken;
                let request = submission.request();
                let size = submission.bytes().len();
                let admitted = self.ids.admit(&submission, actor, counter, offset);
                let fresh = admitted.iter().filter(|event| event.is_new()).count();
                if fresh == 0 {
                    self.intake.repeats.push(Repeat { request, bytes: size, taken_at_us, entry: None, admitted });
                    continue;
                }
                if bytes == 0 {
                    holders = selection.holders(&submission);
                }
                let all = fresh == admitted.len();
                let submission = if all { submission } else { submission.only(|at| admitted[at].is_new()) };
                bytes += submission.bytes().len();
                clock_at.get_or_insert(self.intake.written.len());
                self.intake.written.push_back(Written {
                    request,
                    origin: me,
                    counter,
                    offset,
                    hlc: submission.hlc(),
                    bytes: size,
                    taken_at_us,
                    clock: None,
                    admitted: (!all).then_some(admitted),
                });
                offset += submission.count();
                submissions.push(submission);
            }
            let Some(clock_at) = clock_at else { continue };
            self.urgent = true;
            let clock = self.write_entry(me, counter, &submissions, holders);
            self.intake.written[clock_at].clock = Some(clock);
        }
    }

    /// Answers what the entry follows.
    fn write_entry(&mut self, me: OriginId, counter: u64, submissions: &[Submission], holders: Option<Holders>) -> Clock {
        let causal = submissions.iter().any(|submission| submission.level() >= CAUSAL);
        let whole = counter % WHOLE_EVERY == 1 || self.covered.is_none();
        let before = self.covered.take();
        // What is only to arrive some time or other follows nothing new.
        let after = match before.clone() {
            Some(before) if !causal => before,
            _ => self.delivered.clone(),
        };
        let new = |(origin, counter): &(OriginId, u64)| whole || before.as_ref().is_none_or(|before| *counter > before.get(*origin));
        let follows: Vec<(OriginId, u64)> = match plants::is(CorePlant::NothingFollows) {
            true => Vec::new(),
            false => after.iter().filter(|(origin, _)| *origin != me).filter(new).collect(),
        };
        let named = follows.iter().map(|(origin, counter)| (self.origins[origin.at()].actor, *counter)).collect();
        let context = Bytes::from(Head { actor: self.origins[me.at()].actor, whole, follows: named, holders }.encode());
        let data = Bytes::from(entry::pack(submissions));
        self.covered = Some(after.clone());
        self.unsent.push_back((counter, data.clone(), context.clone()));
        self.append(me, counter, data, context, follows);
        after
    }

    /// Adds an entry behind the last one of an origin.
    pub(super) fn append(&mut self, id: OriginId, counter: u64, data: Bytes, context: Bytes, follows: Vec<(OriginId, u64)>) {
        let origin = &mut self.origins[id.at()];
        debug_assert_eq!(counter, origin.last + 1);
        origin.last = counter;
        origin.known = origin.known.max(counter);
        let room = origin.waiting.len() < self.config.buffer_entries || plants::is(CorePlant::BufferIgnored);
        if room && origin.delivered + origin.waiting.len() as u64 + 1 == counter {
            origin.waiting.push_back(follows);
        }
        let group = origin.group;
        self.note_stub(id, counter, &data);
        if !stub::is_stub(&data) {
            let origin = &mut self.origins[id.at()];
            origin.unheld = origin.unheld.without(&Ranges::of(counter, counter));
        }
        let origin = &mut self.origins[id.at()];
        origin.tally.append(counter, sum_of(&data, &context));
        self.writing.bytes += data.len() + context.len() + 64;
        match self.writing.ends.last_mut() {
            Some((last, end)) if *last == id => *end = counter,
            _ => self.writing.ends.push((id, counter)),
        }
        let entry = log_entry(counter, data, context);
        self.recent.push(group, &entry);
        match self.ops.last_mut() {
            Some(Op::Entries { group: last, entries }) if *last == group => entries.push(entry),
            _ => self.ops.push(Op::Entries { group, entries: vec![entry] }),
        }
    }

    /// Tells the ends of requests whose entries are on disk and delivered.
    pub(super) fn answer(&mut self, now_us: u64, effects: &mut Effects) {
        let early = plants::is(CorePlant::OriginAcksEarly);
        let mut clock: Arc<Vec<(String, u64)>> = Arc::default();
        while let Some(next) = self.intake.written.front() {
            let (id, counter) = (next.origin, next.counter);
            if counter > self.origins[id.at()].delivered && !early {
                break;
            }
            if let Some(follows) = &next.clock {
                let others = follows.iter().filter(|(other, _)| *other != id);
                clock = Arc::new(others.chain([(id, counter)]).map(|(of, counter)| (self.name_of(self.origins[of.at()].actor), counter)).collect());
            }
            let Some(written) = self.intake.written.pop_front() else { break };
            let Written { request, offset, hlc, bytes, taken_at_us, .. } = written;
            let (actor, counter, clock) = (self.origins[id.at()].actor, Index(counter), clock.clone());
            let (incarnation, actor) = (actor.incarnation, self.name_of(actor));
            if let Some(admitted) = written.admitted {
                let entry = Some(KeptEntry { actor, incarnation, counter, clock });
                self.intake.repeats.push(Repeat { request, bytes, taken_at_us, entry, admitted });
                continue;
            }
            self.intake.bytes -= bytes;
            let end = End::Kept { actor, incarnation, counter, offset, hlc, clock };
            let latency_us = now_us.saturating_sub(taken_at_us);
            effects.completions.push(Completion { group: super::FIRST_ORIGIN, request, end, latency_us });
        }
        self.answer_repeats(now_us, effects);
    }

    /// What somebody is told who asks for an event that stands there.
    pub fn told_again(&self, Dot { actor, counter, offset }: Dot) -> KeptEvent {
        KeptEvent::Duplicate { actor: self.name_of(actor), counter: Index(counter), offset }
    }

    fn answer_repeats(&mut self, now_us: u64, effects: &mut Effects) {
        let delivered = |dot: &Dot| self.by_actor.get(&dot.actor).is_some_and(|id| self.delivered.get(*id) >= dot.counter);
        let is_due = |repeat: &Repeat| {
            repeat.admitted.iter().all(|event| match event {
                Admitted::New { .. } | Admitted::IdReused(_) => true,
                Admitted::Duplicate(dot) => delivered(dot),
            })
        };
        let (due, waiting): (Vec<Repeat>, Vec<Repeat>) = std::mem::take(&mut self.intake.repeats).into_iter().partition(is_due);
        self.intake.repeats = waiting;
        for Repeat { request, bytes, taken_at_us, entry, admitted } in due {
            self.intake.bytes -= bytes;
            let event = |event: Admitted| match event {
                Admitted::New { offset, hlc } => KeptEvent::New { offset, hlc },
                Admitted::Duplicate(dot) => self.told_again(dot),
                Admitted::IdReused(Dot { actor, counter, offset }) => {
                    KeptEvent::IdReused { actor: self.name_of(actor), counter: Index(counter), offset }
                }
            };
            let end = End::KeptInPart { entry, events: admitted.into_iter().map(event).collect() };
            let latency_us = now_us.saturating_sub(taken_at_us);
            effects.completions.push(Completion { group: super::FIRST_ORIGIN, request, end, latency_us });
        }
    }
}

pub(super) fn log_entry(counter: u64, data: Bytes, context: Bytes) -> LogEntry {
    LogEntry { index: Index(counter), term: Term(1), kind: 0, data, context }
}

/// The stamp of a submission's last event.
pub(super) fn last_hlc(submission: &Submission) -> u64 {
    submission.hlc().saturating_add(u64::from(submission.count().saturating_sub(1)))
}
