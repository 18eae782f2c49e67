//! Event ids in the lane (rule R3): what is published again here is answered with its first place. What was written again
//! elsewhere, before it was known here, stands in two logs under one id; readers pass over the second that they come to.
//!
//! The window is put together from the logs after an open, backwards from their ends and a little with each tick; until
//! it is, nothing is written, taken or read.

use super::actor::Actor;
use super::delivery::head_of;
use super::origin::Origin;
use super::Lane;
use crate::entry;
use crate::event::{EventRef, Submission};
use crate::ids::{EventId, GroupId, Index};
use crate::machine::window::{IdWindow, Identified};
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};
use crate::stub;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Log bytes looked through in one tick.
const SCAN_BYTES: usize = 2 * 1024 * 1024;
/// As many as it takes the time of, to look for an entry that is not there.
const UNREADABLE_BYTES: usize = 64 * 1024;
/// Entries looked through at a time.
const PAGE_ENTRIES: u64 = 16;

/// Where an event of the lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dot {
    pub actor: Actor,
    pub counter: u64,
    /// Among the events of its entry.
    pub offset: u32,
}

/// An event, and what its bytes were.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: EventId,
    fingerprint: u64,
    dot: Dot,
}

impl Identified for Known {
    fn id(&self) -> EventId {
        self.id
    }
}

/// What an event that is published here comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is written, at this offset of the entry, under this stamp.
    New { offset: u32, hlc: u64 },
    /// It was written before, there.
    Duplicate(Dot),
    /// Its id is that of another event, which was written there.
    IdReused(Dot),
}

impl Admitted {
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New { .. })
    }
}

/// Events that stand in more than one place, as readers see them.
#[derive(Debug, Default)]
pub struct Doubled {
    table: RwLock<Table>,
    any: AtomicBool,
    complete: AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    places: BTreeMap<EventId, Vec<Known>>,
    /// In the order in which they were found; the first goes when there are too many.
    order: VecDeque<EventId>,
}

impl Doubled {
    /// Of a lane whose ids are all known, none of them twice.
    pub fn none() -> Self {
        Self { complete: AtomicBool::new(true), ..Self::default() }
    }

    /// Whether all ids of the window are known by now.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Whether an event also stands in a place that `had` knows.
    pub fn stands_in(&self, id: EventId, fingerprint: impl FnOnce() -> u64, had: impl Fn(Dot) -> bool) -> bool {
        if !self.any.load(Ordering::Acquire) || plants::is(CorePlant::DoubledGiven) {
            return false;
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let Some(places) = table.places.get(&id) else { return false };
        let fingerprint = fingerprint();
        places.iter().any(|known| known.fingerprint == fingerprint && had(known.dot))
    }

    /// Where an event of that id and those bytes stands, if it is not in the window.
    fn find(&self, id: EventId, fingerprint: u64) -> Option<Dot> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let places = table.places.get(&id)?;
        places.iter().find(|known| known.fingerprint == fingerprint).map(|known| known.dot)
    }

    fn add(&self, first: Known, second: Known, capacity: usize) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let places = table.places.entry(first.id).or_default();
        let fresh = places.is_empty();
        for known in [first, second] {
            if places.iter().all(|other| other.dot != known.dot) {
                places.push(known);
            }
        }
        if fresh {
            table.order.push_back(first.id);
        }
        if table.order.len() > capacity {
            if let Some(oldest) = table.order.pop_front() {
                table.places.remove(&oldest);
            }
        }
        self.any.store(true, Ordering::Release);
    }
}

pub struct Ids {
    capacity: usize,
    window: IdWindow<Known>,
    doubled: Arc<Doubled>,
    scan: Option<Scan>,
}

/// How far back the logs were looked through.
#[derive(Default)]
struct Scan {
    logs: Vec<Tail>,
    /// From the last event backwards.
    found: Vec<Known>,
}

struct Tail {
    group: GroupId,
    actor: Actor,
    first: u64,
    /// The last entry that was not looked at.
    last: u64,
    /// Stamp of the first entry that was.
    hlc: u64,
}

impl Ids {
    pub fn new(capacity: usize, key: u64) -> Self {
        Self { capacity, window: IdWindow::new(capacity, key), doubled: Arc::default(), scan: Some(Scan::default()) }
    }

    pub fn is_complete(&self) -> bool {
        self.scan.is_none()
    }

    pub fn doubled(&self) -> &Arc<Doubled> {
        &self.doubled
    }

    pub fn find(&self, id: EventId) -> Option<Dot> {
        self.window.find(id).map(|known| known.dot)
    }

    /// Takes a submission for an entry that has `offset` events already: what becomes of each of its events.
    pub fn admit(&mut self, submission: &Submission, actor: Actor, counter: u64, offset: u32) -> Vec<Admitted> {
        let (mut offset, mut hlc) = (offset, submission.hlc());
        self.window.touch(submission.events().map(|event| event.id()));
        let admit = |event: EventRef<'_>| {
            let (id, fingerprint) = (event.id(), event.fingerprint());
            let dot = Dot { actor, counter, offset };
            match self.window.find(id).filter(|_| !plants::is(CorePlant::WrittenAgain)) {
                Some(known) if known.fingerprint == fingerprint => Admitted::Duplicate(known.dot),
                Some(known) => {
                    let other = known.dot;
                    self.doubled.find(id, fingerprint).map_or(Admitted::IdReused(other), Admitted::Duplicate)
                }
                None => {
                    self.note(Known { id, fingerprint, dot });
                    let admitted = Admitted::New { offset, hlc };
                    (offset, hlc) = (offset + 1, hlc.saturating_add(1));
                    admitted
                }
            }
        };
        submission.events().map(admit).collect()
    }

    /// Takes note of an entry that another has written, or that is back on disk.
    pub fn note_entry(&mut self, actor: Actor, counter: u64, fingerprints: &[u64], submissions: &[Submission]) {
        let events = submissions.iter().flat_map(Submission::events).zip(fingerprints);
        for (offset, (event, fingerprint)) in (0..).zip(events) {
            self.note(Known { id: event.id(), fingerprint: *fingerprint, dot: Dot { actor, counter, offset } });
        }
    }

    fn note(&mut self, known: Known) {
        match self.window.find(known.id).copied() {
            None => self.window.insert(known),
            Some(other) if other.dot == known.dot => {}
            Some(other) => self.doubled.add(other, known, self.capacity),
        }
    }

    fn finish(&mut self) {
        let Some(scan) = self.scan.take() else { return };
        let kept = match plants::is(CorePlant::IdsForgotten) {
            true => 0,
            false => scan.found.len().min(self.capacity),
        };
        scan.found[..kept].iter().rev().for_each(|known| self.note(*known));
        self.doubled.complete.store(true, Ordering::Release);
    }
}

impl<R: EntryReader> Lane<R> {
    /// Begins with the ids of what the logs hold. Until it is through, nothing counts as delivered.
    pub(super) fn begin_scan(&mut self) {
        let tail = |origin: &Origin| Tail {
            group: origin.group,
            actor: origin.actor,
            first: origin.first.max(1),
            last: origin.last,
            hlc: u64::MAX,
        };
        let logs = self.origins.iter().map(tail).collect();
        self.ids.scan = Some(Scan { logs, ..Scan::default() });
        self.scan_ids();
    }

    /// Goes on with that.
    pub(super) fn scan_ids(&mut self) {
        let Some(mut scan) = self.ids.scan.take() else { return };
        let mut bytes = 0;
        while bytes < SCAN_BYTES && scan.found.len() < self.ids.capacity {
            // The log whose next entries are the latest.
            let next = scan.logs.iter_mut().filter(|tail| tail.last >= tail.first).max_by_key(|tail| tail.hlc);
            let Some(tail) = next else { break };
            let page = tail.first.max((tail.last + 1).saturating_sub(PAGE_ENTRIES));
            let mut known = Vec::new();
            let mut at = page;
            while at <= tail.last {
                // What cannot be read is noted when it is back.
                let Some(entries) = self.readable(tail.group, at, tail.last, SCAN_BYTES as u64) else {
                    self.unreadable(tail.group, Index(at));
                    bytes += UNREADABLE_BYTES;
                    at += 1;
                    continue;
                };
                for entry in entries {
                    bytes += entry.data.len() + 64;
                    at = entry.index.0 + 1;
                    let Some(submissions) = head_of(&entry, tail.actor).and_then(|_| entry::unpack_causal(&entry.data).ok()) else { continue };
                    if entry.index.0 == page {
                        tail.hlc = submissions.first().map_or(0, Submission::hlc);
                    }
                    let events = submissions.iter().flat_map(Submission::events).zip(stub::fingerprints(&entry.data, &submissions));
                    known.extend((0..).zip(events).map(|(offset, (event, fingerprint))| Known {
                        id: event.id(),
                        fingerprint,
                        dot: Dot { actor: tail.actor, counter: entry.index.0, offset },
                    }));
                }
            }
            tail.last = page - 1;
            scan.found.extend(known.into_iter().rev());
        }
        let done = scan.found.len() >= self.ids.capacity || scan.logs.iter().all(|tail| tail.last < tail.first);
        self.ids.scan = Some(scan);
        if done {
            // Recovery does not read what is in sealed segments: what cannot be read there is known by now. Nobody else may have it,
            // and what is written here next would follow it, and be delivered nowhere else.
            self.deliver_at_open();
            self.ids.finish();
        }
    }

    /// Where an event stands whose id is in the window.
    pub fn find(&self, id: EventId) -> Option<Dot> {
        self.ids.find(id)
    }

    pub fn doubled(&self) -> &Arc<Doubled> {
        self.ids.doubled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
    use crate::ids::MemberId;
    use bytes::Bytes;

    const A: Actor = Actor { member: MemberId(1), incarnation: 0 };
    const B: Actor = Actor { member: MemberId(2), incarnation: 0 };

    /// Events of these ids and priorities.
    fn submission(events: &[(u128, u8)]) -> Submission {
        let record = |(id, priority): &(u128, u8)| {
            let mut record = (RECORD_HEADER_BYTES as u32).to_le_bytes().to_vec();
            record.resize(RECORD_HEADER_BYTES, 0);
            record[24..40].copy_from_slice(&id.to_be_bytes());
            record[6] = *priority;
            record
        };
        let body: Vec<u8> = events.iter().flat_map(record).collect();
        let mut bytes = vec![1, 1, 1, 1];
        bytes.extend_from_slice(&((SUBMISSION_HEADER_BYTES + 1 + body.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&(events.len() as u32).to_le_bytes());
        bytes.resize(SUBMISSION_HEADER_BYTES, 0);
        bytes[64..72].copy_from_slice(&100u64.to_le_bytes());
        bytes.push(b'n');
        bytes.extend_from_slice(&body);
        Submission::parse_causal(Bytes::from(bytes)).expect("it is well formed")
    }

    fn note(ids: &mut Ids, actor: Actor, counter: u64, submissions: &[Submission]) {
        ids.note_entry(actor, counter, &stub::fingerprints(&[], submissions), submissions);
    }

    fn dot(actor: Actor, counter: u64, offset: u32) -> Dot {
        Dot { actor, counter, offset }
    }

    fn complete(capacity: usize) -> Ids {
        let mut ids = Ids::new(capacity, 7);
        ids.finish();
        ids
    }

    #[test]
    fn of_a_batch_what_is_new_is_told_from_what_is_known() {
        let mut ids = complete(10);
        note(&mut ids, B, 4, &[submission(&[(9, 0), (1, 0)])]);
        let batch = submission(&[(1, 0), (2, 0), (1, 5), (3, 0), (2, 0)]);
        let admitted = ids.admit(&batch, A, 1, 6);
        let expected = [
            Admitted::Duplicate(dot(B, 4, 1)),
            Admitted::New { offset: 6, hlc: 100 },
            Admitted::IdReused(dot(B, 4, 1)),
            Admitted::New { offset: 7, hlc: 101 },
            Admitted::Duplicate(dot(A, 1, 6)),
        ];
        assert_eq!(admitted, expected);
        let written = batch.only(|at| admitted[at].is_new());
        assert_eq!(written.events().map(|event| event.id().0).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(Submission::parse_causal(written.bytes().clone()).map(|again| (again.count(), again.hlc())), Ok((2, 100)));
    }

    #[test]
    fn what_stands_twice_is_known_to_readers_by_either_place_and_only_with_the_same_bytes() {
        let mut ids = complete(10);
        note(&mut ids, A, 1, &[submission(&[(1, 0)])]);
        note(&mut ids, A, 1, &[submission(&[(1, 0)])]);
        let (same, other) = (submission(&[(1, 0)]), submission(&[(1, 5)]));
        let stands = |ids: &Ids, submission: &Submission, place: Dot| submission.events().all(|event| ids.doubled().stands_in(event.id(), || event.fingerprint(), |dot| dot == place));
        assert!(!stands(&ids, &same, dot(A, 1, 0)));
        note(&mut ids, B, 3, &[other.clone(), same.clone()]);
        assert!(stands(&ids, &same, dot(A, 1, 0)) && stands(&ids, &same, dot(B, 3, 1)));
        assert!(!stands(&ids, &same, dot(B, 3, 0)) && stands(&ids, &other, dot(B, 3, 0)));
        // Published again, each is told its own place.
        assert_eq!(ids.admit(&other, A, 2, 0), [Admitted::Duplicate(dot(B, 3, 0))]);
        assert_eq!(ids.admit(&same, A, 2, 0), [Admitted::Duplicate(dot(A, 1, 0))]);
    }

    #[test]
    fn as_many_are_known_as_the_window_holds() {
        let mut ids = complete(2);
        for id in 1..=3 {
            note(&mut ids, A, id as u64, &[submission(&[(id, 0)])]);
            note(&mut ids, B, id as u64, &[submission(&[(id, 0)])]);
        }
        assert_eq!([1, 2, 3].map(|id| ids.find(EventId(id))), [None, Some(dot(A, 2, 0)), Some(dot(A, 3, 0))]);
        let table = ids.doubled.table.read().expect("nobody panics");
        assert_eq!(table.places.keys().copied().collect::<Vec<_>>(), [EventId(2), EventId(3)]);
    }
}
