//! What is published here: taken, written as entries of the own log, answered once it is on disk and delivered.

use super::actor::{Clock, OriginId};
use super::head::Head;
use super::{pop_if, Lane, WHOLE_EVERY};
use crate::entry;
use crate::event::Submission;
use crate::ids::{Index, RequestId, Term};
use crate::log::{LogEntry, Op};
use crate::ordered::effects::{Completion, Effects, End};
use crate::ordered::store::EntryReader;
use bytes::Bytes;
use std::collections::VecDeque;

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
}

/// Invariant: `bytes` is the sum over both queues.
#[derive(Default)]
pub struct Intake {
    taken: VecDeque<Taken>,
    written: VecDeque<Written>,
    bytes: usize,
}

impl Intake {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.taken.len() + self.written.len()
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
        let Some(at) = self.intake.taken.iter().position(|taken| taken.submission.request() == request) else { return false };
        if let Some(taken) = self.intake.taken.remove(at) {
            self.intake.bytes -= taken.submission.bytes().len();
        }
        true
    }

    pub(super) fn write_intake(&mut self) {
        let Some(me) = self.me else { return };
        while !self.intake.taken.is_empty() {
            let (mut bytes, mut submissions, mut offset) = (0, Vec::new(), 0);
            let counter = self.origins[me.at()].last + 1;
            while let Some(taken) = pop_if(&mut self.intake.taken, |next| bytes == 0 || bytes + next.submission.bytes().len() <= ENTRY_BYTES) {
                let Taken { submission, taken_at_us } = taken;
                bytes += submission.bytes().len();
                self.intake.written.push_back(Written {
                    request: submission.request(),
                    origin: me,
                    counter,
                    offset,
                    hlc: submission.hlc(),
                    bytes: submission.bytes().len(),
                    taken_at_us,
                    clock: None,
                });
                offset += submission.count();
                submissions.push(submission);
            }
            self.urgent = true;
            let clock = self.write_entry(me, counter, &submissions);
            let of_entry = self.intake.written.len() - submissions.len();
            self.intake.written[of_entry].clock = Some(clock);
        }
    }

    /// Answers what the entry follows.
    fn write_entry(&mut self, me: OriginId, counter: u64, submissions: &[Submission]) -> Clock {
        let causal = submissions.iter().any(|submission| submission.level() >= CAUSAL);
        let whole = counter % WHOLE_EVERY == 1 || self.covered.is_none();
        let before = self.covered.take();
        // What is only to arrive some time or other follows nothing new.
        let after = match before.clone() {
            Some(before) if !causal => before,
            _ => self.delivered.clone(),
        };
        let new = |(origin, counter): &(OriginId, u64)| whole || before.as_ref().is_none_or(|before| *counter > before.get(*origin));
        let follows: Vec<(OriginId, u64)> = match crate::plants::is(crate::plants::CorePlant::NothingFollows) {
            true => Vec::new(),
            false => after.iter().filter(|(origin, _)| *origin != me).filter(new).collect(),
        };
        let named = follows.iter().map(|(origin, counter)| (self.origins[origin.at()].actor, *counter)).collect();
        let context = Bytes::from(Head { actor: self.origins[me.at()].actor, whole, follows: named }.encode());
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
        if origin.delivered + origin.waiting.len() as u64 + 1 == counter && origin.waiting.len() < self.config.buffer_entries {
            origin.waiting.push_back(follows);
        }
        let group = origin.group;
        self.writing.bytes += data.len() + context.len() + 64;
        match self.writing.ends.last_mut() {
            Some((last, end)) if *last == id => *end = counter,
            _ => self.writing.ends.push((id, counter)),
        }
        let entry = log_entry(counter, data, context);
        match self.ops.last_mut() {
            Some(Op::Entries { group: last, entries }) if *last == group => entries.push(entry),
            _ => self.ops.push(Op::Entries { group, entries: vec![entry] }),
        }
    }

    /// Tells the ends of requests whose entries are on disk and delivered.
    pub(super) fn answer(&mut self, now_us: u64, effects: &mut Effects) {
        let early = crate::plants::is(crate::plants::CorePlant::OriginAcksEarly);
        let mut clock = Vec::new();
        while let Some(next) = self.intake.written.front() {
            let (id, counter) = (next.origin, next.counter);
            if counter > self.origins[id.at()].delivered && !early {
                break;
            }
            if let Some(follows) = &next.clock {
                let others = follows.iter().filter(|(other, _)| *other != id);
                clock = others.chain([(id, counter)]).map(|(of, counter)| (self.name_of(self.origins[of.at()].actor), counter)).collect();
            }
            let Some(written) = self.intake.written.pop_front() else { break };
            self.intake.bytes -= written.bytes;
            let (actor, incarnation) = (self.origins[id.at()].actor, self.origins[id.at()].actor.incarnation);
            let end = End::Kept {
                actor: self.name_of(actor),
                incarnation,
                counter: Index(counter),
                offset: written.offset,
                hlc: written.hlc,
                clock: clock.clone(),
            };
            let latency_us = now_us.saturating_sub(written.taken_at_us);
            effects.completions.push(Completion { group: super::FIRST_ORIGIN, request: written.request, end, latency_us });
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
