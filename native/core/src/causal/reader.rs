//! A subscription to the causal lane: the origins' logs, merged so that nothing comes before what it follows.
//!
//! Where it stands is a vector; what it gives from there on is the same for each vector, whatever the member has been
//! through. Among entries that could come next, the one with the lowest hybrid clock does, so that a replay goes along
//! with time.

use super::actor::{Actor, Clock, OriginId};
use super::delivery::{head_of, whole_before};
use super::ids::{Dot, Doubled};
pub use super::place::Place;
use super::OriginView;
use crate::entry;
use crate::event::Submission;
use crate::filter::Filter;
use crate::ids::{GroupId, Index};
use crate::journal::{pack_item, ITEM_FLAGS_AT};
use crate::log::LogEntry;
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};
use crate::stub;
use std::collections::{BTreeMap, VecDeque};
use thiserror::Error;

/// Bytes read of an origin's log at a time.
const PAGE_BYTES: u64 = 64 * 1024;
/// Log bytes looked through by one read at most, so that a filter that matches nothing does not hold its caller.
const SCAN_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("entry {index} of {name} cannot be read")]
    Unreadable { group: GroupId, index: Index, name: String },
    #[error("entry {index} of {name} is no longer in its log, which begins at {first}")]
    Compacted { index: Index, first: Index, name: String },
}

fn compacted(origin: &OriginView, next: u64) -> ReadError {
    ReadError::Compacted { index: Index(next), first: Index(origin.first), name: origin.name.clone() }
}

/// Entries from `first` on, at least one; `None` where that one cannot be read.
fn page_of<R: EntryReader>(log: &R, group: GroupId, first: u64, last: u64) -> Option<Vec<LogEntry>> {
    let read = |last: u64| log.entries(group, Index(first), Index(last + 1), PAGE_BYTES).ok();
    // A page ends with an error wherever in it the damage is.
    read(last).or_else(|| read(first)).filter(|entries| !entries.is_empty())
}

struct Page {
    entry: LogEntry,
    follows: Vec<(OriginId, u64)>,
    whole: bool,
    hlc: u64,
    submissions: Vec<Submission>,
    /// Of a stub, whose events are heads alone: what tells them from others under their ids.
    prints: Option<Vec<u64>>,
}

/// One origin as far as the subscription has come.
#[derive(Default)]
struct Track {
    had: u64,
    pages: VecDeque<Page>,
    /// What entry `had` follows, itself left out; `None` while that is not looked up.
    clock: Option<Clock>,
}

pub struct Reader {
    tracks: Vec<Track>,
    by_actor: BTreeMap<Actor, OriginId>,
    /// What came of origins that are not met yet.
    unmet: BTreeMap<Actor, u64>,
    /// Of the next entry of some origins, events up to, not including, this offset were had.
    parts: BTreeMap<OriginId, u32>,
    parts_unmet: BTreeMap<Actor, u32>,
}

/// Which events to bring.
struct Sieve<'a> {
    filter: Option<&'a Filter>,
    doubled: &'a Doubled,
}

/// How much to bring.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes_max: usize,
    pub events_max: u32,
}

impl Reader {
    pub fn new(place: Place) -> Self {
        Self { tracks: Vec::new(), by_actor: BTreeMap::new(), unmet: place.had, parts: BTreeMap::new(), parts_unmet: place.parts }
    }

    fn meet(&mut self, origins: &[OriginView]) {
        for (at, origin) in origins.iter().enumerate().skip(self.tracks.len()) {
            let id = OriginId(at as u16);
            self.by_actor.insert(origin.actor, id);
            let had = self.unmet.remove(&origin.actor).unwrap_or(0);
            self.tracks.push(Track { had, ..Track::default() });
            if let Some(offset) = self.parts_unmet.remove(&origin.actor) {
                self.parts.insert(id, offset);
            }
        }
    }

    /// Packs events in happened-before order up to what is delivered (docs/formats.md, "Packed causal deliveries").
    pub fn read<R: EntryReader>(
        &mut self,
        log: &R,
        origins: &[OriginView],
        delivered: &Clock,
        doubled: &Doubled,
        bounds: Bounds,
        filter: Option<&Filter>,
    ) -> Result<Vec<u8>, ReadError> {
        let mut out = vec![0; 8];
        if !doubled.is_complete() {
            return Ok(out);
        }
        self.meet(origins);
        let sieve = Sieve { filter, doubled };
        let (mut blocks, mut events, mut scanned) = (0u32, 0u32, 0);
        let before: Vec<u64> = self.tracks.iter().map(|track| track.had).collect();
        while out.len() < bounds.bytes_max.max(9) && events < bounds.events_max && scanned < SCAN_BYTES_MAX {
            let next = match self.next(log, origins, delivered) {
                Ok(next) => next,
                // What comes before the damage is not to wait for it.
                Err(_) if events > 0 => break,
                Err(error) => return Err(error),
            };
            let Some(id) = next else { break };
            scanned += self.tracks[id.at()].pages.front().map_or(0, |page| page.entry.data.len() + 64);
            let packed = match self.pack(log, origins, id, Bounds { events_max: bounds.events_max - events, ..bounds }, &sieve, &mut out) {
                Ok(packed) => packed,
                // It has moved past what is packed: that has to be given.
                Err(_) if events > 0 => break,
                Err(error) => return Err(error),
            };
            events += packed;
            blocks += u32::from(packed > 0);
        }
        // Where it stands now, of those that have moved: what a filter has left out is not to be read again.
        let moved: Vec<(usize, u64)> = self.tracks.iter().enumerate().map(|(at, track)| (at, track.had)).filter(|(at, had)| before[*at] != *had).collect();
        for (at, had) in &moved {
            out.extend_from_slice(&(*at as u16).to_le_bytes());
            out.extend_from_slice(&had.to_le_bytes());
        }
        out[0..4].copy_from_slice(&blocks.to_le_bytes());
        out[4..8].copy_from_slice(&(moved.len() as u32).to_le_bytes());
        Ok(out)
    }

    /// The origin whose entry comes next; `None` at the end of what is delivered.
    fn next<R: EntryReader>(&mut self, log: &R, origins: &[OriginView], delivered: &Clock) -> Result<Option<OriginId>, ReadError> {
        // What was had in part comes first, where it is delivered here.
        for id in self.parts.keys().copied().collect::<Vec<_>>() {
            self.fill(log, origins, id, delivered)?;
            if !self.tracks[id.at()].pages.is_empty() {
                return Ok(Some(id));
            }
        }
        let mut best: Option<(u64, Actor, OriginId)> = None;
        for (at, origin) in origins.iter().enumerate() {
            let id = OriginId(at as u16);
            if self.tracks[at].had >= delivered.get(id) {
                continue;
            }
            self.fill(log, origins, id, delivered)?;
            let Some(page) = self.tracks[at].pages.front() else { continue };
            let ready = page.follows.iter().all(|(of, counter)| self.tracks.get(of.at()).is_some_and(|track| track.had >= *counter));
            let this = (page.hlc, origin.actor, id);
            if ready && best.is_none_or(|best| this < best) {
                best = Some(this);
            }
        }
        Ok(best.map(|(.., id)| id))
    }

    fn fill<R: EntryReader>(&mut self, log: &R, origins: &[OriginView], id: OriginId, delivered: &Clock) -> Result<(), ReadError> {
        let (origin, track) = (&origins[id.at()], &mut self.tracks[id.at()]);
        let (next, last) = (track.had + 1, delivered.get(id));
        if !track.pages.is_empty() || next > last {
            return Ok(());
        }
        if next < origin.first {
            if plants::is(CorePlant::CutsPassedOver) {
                track.had = origin.first - 1;
                return Ok(());
            }
            return Err(compacted(origin, next));
        }
        let unreadable = || ReadError::Unreadable { group: origin.group, index: Index(next), name: origin.name.clone() };
        let entries = page_of(log, origin.group, next, last).ok_or_else(unreadable)?;
        for entry in entries {
            let submissions = entry::unpack_causal(&entry.data).map_err(|_| unreadable())?;
            let head = head_of(&entry, origin.actor).ok_or_else(unreadable)?;
            let hlc = submissions.iter().map(Submission::hlc).max().unwrap_or(0);
            // What it follows is delivered, so that its origin is met.
            let follows = head.follows.iter().filter_map(|(actor, counter)| Some((*self.by_actor.get(actor)?, *counter))).collect();
            let prints = stub::is_stub(&entry.data).then(|| stub::fingerprints(&entry.data, &submissions));
            track.pages.push_back(Page { entry, follows, whole: head.whole, hlc, submissions, prints });
        }
        Ok(())
    }

    fn has_had(&self, Dot { actor, counter, offset }: Dot) -> bool {
        let (had, part) = match self.by_actor.get(&actor) {
            Some(id) => (self.tracks[id.at()].had, self.parts.get(id)),
            None => (self.unmet.get(&actor).copied().unwrap_or(0), self.parts_unmet.get(&actor)),
        };
        counter <= had || counter == had + 1 && part.is_some_and(|part| offset < *part)
    }

    /// Packs what is wanted of the next entry of an origin, and moves on. The number of events.
    fn pack<R: EntryReader>(
        &mut self,
        log: &R,
        origins: &[OriginView],
        id: OriginId,
        bounds: Bounds,
        sieve: &Sieve<'_>,
        out: &mut Vec<u8>,
    ) -> Result<u32, ReadError> {
        let clock = self.clock_of_next(log, origins, id)?;
        let from = self.parts.remove(&id).unwrap_or(0);
        let Some(page) = self.tracks[id.at()].pages.front() else { return Ok(0) };
        let begin = out.len();
        let (counter, incarnation) = (page.entry.index, u64::from(origins[id.at()].actor.incarnation));
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&id.0.to_le_bytes());
        let at_clock = out.len();
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&counter.0.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let mut actors = 0u16;
        for (of, counter) in clock.iter().filter(|(of, _)| *of != id) {
            out.extend_from_slice(&of.0.to_le_bytes());
            out.extend_from_slice(&counter.to_le_bytes());
            actors += 1;
        }
        let (mut offset, mut count, mut stopped) = (0u32, 0u32, None);
        'entry: for submission in &page.submissions {
            for (position, event) in submission.events().enumerate() {
                let here = offset;
                offset += 1;
                if here < from || sieve.filter.is_some_and(|filter| !filter.admits(&event)) {
                    continue;
                }
                let itself = (origins[id.at()].actor, counter.0);
                let had = |dot: Dot| if (dot.actor, dot.counter) == itself { dot.offset < here } else { self.has_had(dot) };
                let print = || page.prints.as_ref().and_then(|prints| prints.get(here as usize).copied());
                if sieve.doubled.stands_in(event.id(), || print().unwrap_or_else(|| event.fingerprint()), had) {
                    continue;
                }
                if count >= bounds.events_max || count > 0 && out.len() >= bounds.bytes_max {
                    stopped = Some(here);
                    break 'entry;
                }
                let item = out.len();
                pack_item(out, submission, position as u64, here, counter, incarnation, event.bytes());
                out[item + ITEM_FLAGS_AT] = u8::from(page.prints.is_some());
                count += 1;
            }
        }
        let events_all: u32 = page.submissions.iter().map(Submission::count).sum();
        let block = (out.len() - begin) as u32;
        out[begin..begin + 4].copy_from_slice(&block.to_le_bytes());
        out[at_clock..at_clock + 2].copy_from_slice(&actors.to_le_bytes());
        out[begin + 16..begin + 20].copy_from_slice(&count.to_le_bytes());
        out[begin + 20..begin + 24].copy_from_slice(&events_all.to_le_bytes());
        if count == 0 {
            out.truncate(begin);
        }
        let track = &mut self.tracks[id.at()];
        match stopped {
            Some(offset) => drop(self.parts.insert(id, offset)),
            None => {
                track.had += 1;
                track.pages.pop_front();
                track.clock = Some(clock);
            }
        }
        Ok(count)
    }

    /// All that the next entry of an origin follows.
    fn clock_of_next<R: EntryReader>(&mut self, log: &R, origins: &[OriginView], id: OriginId) -> Result<Clock, ReadError> {
        let (origin, track) = (&origins[id.at()], &self.tracks[id.at()]);
        let Some(page) = track.pages.front() else { return Ok(Clock::default()) };
        let mut clock = match (&track.clock, page.whole) {
            (_, true) => Clock::default(),
            (Some(clock), _) => clock.clone(),
            (None, false) => {
                // Not from the beginning on: the entries since the last that named everything say it together.
                let first = whole_before(track.had + 1);
                if first < origin.first {
                    // It was read before the log was cut.
                    return Err(compacted(origin, track.had + 1));
                }
                let (mut clock, mut next) = (Clock::default(), first);
                while next <= track.had {
                    let unreadable = || ReadError::Unreadable { group: origin.group, index: Index(next), name: origin.name.clone() };
                    let entries = page_of(log, origin.group, next, track.had).ok_or_else(unreadable)?;
                    for entry in &entries {
                        let head = head_of(entry, origin.actor).ok_or_else(unreadable)?;
                        for (actor, counter) in &head.follows {
                            if let Some(of) = self.by_actor.get(actor) {
                                clock.raise(*of, *counter);
                            }
                        }
                    }
                    next += entries.len() as u64;
                }
                clock
            }
        };
        page.follows.iter().for_each(|(of, counter)| clock.raise(*of, *counter));
        Ok(clock)
    }

    /// Where it stands, as `Place::encode` has it.
    pub fn place(&self, origins: &[OriginView]) -> Place {
        let met = self.tracks.iter().enumerate().filter(|(_, track)| track.had > 0);
        let met = met.map(|(at, track)| (origins[at].actor, track.had));
        let had = met.chain(self.unmet.iter().map(|(actor, had)| (*actor, *had))).collect();
        let parts = self.parts.iter().map(|(id, offset)| (origins[id.at()].actor, *offset));
        Place { had, parts: parts.chain(self.parts_unmet.iter().map(|(actor, offset)| (*actor, *offset))).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes_le::u32_at;
    use crate::event::{RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
    use crate::ids::{MemberId, Term};
    use crate::causal::head::Head;
    use std::collections::BTreeSet;

    const BOUNDS: Bounds = Bounds { bytes_max: 1 << 20, events_max: 100 };

    fn actor(member: u64) -> Actor {
        Actor { member: MemberId(member), incarnation: 0 }
    }

    /// Entries by group and index; those that are lost make any read over them fail.
    #[derive(Clone, Default)]
    struct Disk {
        entries: BTreeMap<(GroupId, u64), LogEntry>,
        lost: BTreeSet<(GroupId, u64)>,
    }

    impl Disk {
        fn add(&mut self, member: u64, counter: u64, whole: bool, follows: Vec<(Actor, u64)>, events: u32) {
            let record: Vec<u8> = (RECORD_HEADER_BYTES as u32).to_le_bytes().into_iter().chain([0; RECORD_HEADER_BYTES - 4]).collect();
            let body = record.repeat(events as usize);
            let mut bytes = vec![1, 1, 1, 1];
            bytes.extend_from_slice(&((SUBMISSION_HEADER_BYTES + 1 + body.len()) as u32).to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&events.to_le_bytes());
            bytes.resize(SUBMISSION_HEADER_BYTES, 0);
            bytes.push(b'a');
            bytes.extend_from_slice(&body);
            let submission = Submission::parse_causal(bytes.into()).expect("it is well packed");
            let context = Head { actor: actor(member), whole, follows, holders: None }.encode().into();
            let entry = LogEntry { index: Index(counter), term: Term(1), kind: 0, data: entry::pack(&[submission]).into(), context };
            self.entries.insert((GroupId(member as u32), counter), entry);
        }
    }

    impl EntryReader for Disk {
        fn entries(&self, group: GroupId, low: Index, high: Index, _: u64) -> Result<Vec<LogEntry>, String> {
            match self.lost.range((group, low.0)..(group, high.0)).next() {
                Some(_) => Err("damaged".to_string()),
                None => Ok(self.entries.range((group, low.0)..(group, high.0)).map(|(_, entry)| entry.clone()).collect()),
            }
        }
    }

    fn origins(members: u64) -> Vec<OriginView> {
        let view = |member| OriginView { actor: actor(member), name: member.to_string(), group: GroupId(member as u32), first: 1 };
        (1..=members).map(view).collect()
    }

    fn delivered(counters: &[u64]) -> Clock {
        let mut clock = Clock::default();
        (0..).zip(counters).for_each(|(at, counter)| clock.set(OriginId(at), *counter));
        clock
    }

    /// Blocks, and events of the first.
    fn counts(packed: &[u8]) -> (u32, u32) {
        (u32_at(packed, 0), u32_at(packed, 24))
    }

    #[test]
    fn parts_wait_for_their_entries() {
        let mut disk = Disk::default();
        disk.add(1, 1, true, Vec::new(), 3);
        disk.add(2, 1, true, Vec::new(), 3);
        let (origins, place) = (origins(2), Place { had: BTreeMap::new(), parts: [(actor(1), 1)].into() });
        let mut reader = Reader::new(place);
        let one = Bounds { events_max: 1, ..BOUNDS };
        let packed = reader.read(&disk, &origins, &delivered(&[0, 1]), &Doubled::none(), one, None).expect("it is read");
        assert_eq!(counts(&packed), (1, 1));
        let place = reader.place(&origins);
        assert_eq!(place, Place { had: BTreeMap::new(), parts: [(actor(1), 1), (actor(2), 1)].into() });
        assert_eq!(Place::decode(&place.encode()), Ok(place));
        let last = |counter| Place { had: [(actor(1), counter)].into(), parts: [(actor(1), 0)].into() };
        assert!(Place::decode(&last(u64::MAX).encode()).is_err(), "a part of what is behind the last that there can be");
        assert!(!last(u64::MAX - 1).is_within(&origins, &Clock::default()));
        let packed = reader.read(&disk, &origins, &delivered(&[1, 1]), &Doubled::none(), BOUNDS, None).expect("it is read");
        assert_eq!(counts(&packed), (2, 2));
        assert_eq!(reader.place(&origins), Place { had: [(actor(1), 1), (actor(2), 1)].into(), parts: BTreeMap::new() });
    }

    #[test]
    fn damage_is_named_where_it_is_and_takes_nothing_that_is_packed() {
        let mut disk = Disk::default();
        (1..=4).for_each(|counter| disk.add(1, counter, counter == 1, Vec::new(), 1));
        // Of the first origin's fourth entry the clock is to be looked up; the second origin's entry comes before it.
        disk.add(2, 1, true, Vec::new(), 1);
        disk.lost.insert((GroupId(1), 2));
        let origins = origins(2);
        let mut reader = Reader::new(Place { had: [(actor(1), 3)].into(), parts: BTreeMap::new() });
        let all = delivered(&[4, 1]);
        let unreadable = |read: Result<Vec<u8>, ReadError>| matches!(read, Err(ReadError::Unreadable { index: Index(2), .. }));
        assert!(unreadable(reader.read(&disk, &origins, &all, &Doubled::none(), BOUNDS, None)));
        disk.add(1, 4, false, vec![(actor(2), 1)], 1);
        let mut reader = Reader::new(Place { had: [(actor(1), 3)].into(), parts: BTreeMap::new() });
        let packed = reader.read(&disk, &origins, &all, &Doubled::none(), BOUNDS, None).expect("what comes before is read");
        assert_eq!(counts(&packed), (1, 1));
        assert!(unreadable(reader.read(&disk, &origins, &all, &Doubled::none(), BOUNDS, None)));
        disk.lost.clear();
        let packed = reader.read(&disk, &origins, &all, &Doubled::none(), BOUNDS, None).expect("it is back");
        assert_eq!(counts(&packed), (1, 1));
        assert_eq!(reader.place(&origins).had, [(actor(1), 4), (actor(2), 1)].into());
    }
}
