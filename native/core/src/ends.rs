//! Ends of requests, packed for the way across (docs/formats.md, "Packed ends").

use crate::ids::{GroupId, Index};
use crate::machine::{EventOutcome, Outcome};
use crate::ordered::effects::{Completion, End, KeptEntry, KeptEvent};
use crate::packed::put_text;
use crate::replication::RulesRefused;

const HEADER_BYTES: usize = 56;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Accepted = 1,
    Mixed = 2,
    Withdrawn = 3,
    Barrier = 4,
    Fence = 5,
    Consumer = 6,
    ConsumerFenced = 7,
    ConsumersFull = 8,
    Place = 9,
    Applied = 10,
    Failed = 11,
    Refused = 12,
    MembersChanged = 13,
    MembersRefused = 14,
    TableChanged = 15,
    SnapshotTaken = 16,
    SnapshotFailed = 17,
    Kept = 18,
    KeptInPart = 19,
    RulesSet = 20,
    RulesRefused = 21,
}

#[derive(Default)]
struct Header {
    request: u32,
    latency_us: u32,
    index: u64,
    term: u64,
    hlc: u64,
    first_offset: u32,
    count: u32,
    durable_members: u32,
    applied_members: u16,
}

fn record(out: &mut Vec<u8>, kind: Kind, header: &Header, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind as u8, 0]);
    out.extend_from_slice(&header.applied_members.to_le_bytes());
    out.extend_from_slice(&header.request.to_le_bytes());
    out.extend_from_slice(&header.latency_us.to_le_bytes());
    out.extend_from_slice(&header.index.to_le_bytes());
    out.extend_from_slice(&header.term.to_le_bytes());
    out.extend_from_slice(&header.hlc.to_le_bytes());
    out.extend_from_slice(&header.first_offset.to_le_bytes());
    out.extend_from_slice(&header.count.to_le_bytes());
    out.extend_from_slice(&header.durable_members.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    debug_assert_eq!(out.len() - start, HEADER_BYTES);
    body(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn event_outcome(out: &mut Vec<u8>, outcome: EventOutcome) {
    let (code, index, offset) = match outcome {
        EventOutcome::Accepted { offset } => (0u8, Index(0), offset),
        EventOutcome::Duplicate { index, offset } => (1, index, offset),
        EventOutcome::IdReused { index, offset } => (2, index, offset),
        EventOutcome::Fenced => (3, Index(0), 0),
        EventOutcome::SessionExpired => (4, Index(0), 0),
        EventOutcome::Early => (5, Index(0), 0),
        EventOutcome::Forgotten => (6, Index(0), 0),
    };
    out.extend_from_slice(&[code, 0, 0, 0]);
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&index.0.to_le_bytes());
}

fn clock_of(out: &mut Vec<u8>, actor: &str, clock: &[(String, u64)]) {
    put_text(out, actor);
    for (actor, counter) in clock {
        out.extend_from_slice(&counter.to_le_bytes());
        put_text(out, actor);
    }
}

/// As `event_outcome`; then the stamp, and whose entry it is: empty for the one of the request.
fn kept_event(out: &mut Vec<u8>, event: &KeptEvent) {
    let (outcome, hlc, actor) = match event {
        KeptEvent::New { offset, hlc } => (EventOutcome::Accepted { offset: *offset }, *hlc, ""),
        KeptEvent::Duplicate { actor, counter, offset } => (EventOutcome::Duplicate { index: *counter, offset: *offset }, 0, actor.as_str()),
        KeptEvent::IdReused { actor, counter, offset } => (EventOutcome::IdReused { index: *counter, offset: *offset }, 0, actor.as_str()),
    };
    event_outcome(out, outcome);
    out.extend_from_slice(&hlc.to_le_bytes());
    put_text(out, actor);
}

/// Appends one completion.
pub fn completion(out: &mut Vec<u8>, completion: &Completion) {
    let mut header = Header {
        // The upper half is the life, which the other side knows.
        request: completion.request.0 as u32,
        latency_us: completion.latency_us.min(u64::from(u32::MAX)) as u32,
        ..Default::default()
    };
    match &completion.end {
        End::Applied { index, term, outcome, hlc, durable_members, applied_members } => {
            (header.index, header.term, header.hlc) = (index.0, term.0, *hlc);
            header.durable_members = *durable_members;
            header.applied_members = *applied_members as u16;
            applied(out, header, outcome);
        }
        End::Barrier { applied } => {
            header.index = applied.0;
            record(out, Kind::Barrier, &header, |_| {});
        }
        End::Withdrawn => record(out, Kind::Withdrawn, &header, |_| {}),
        End::Kept { actor, incarnation, counter, offset, hlc, clock } => {
            (header.index, header.term, header.hlc) = (counter.0, u64::from(*incarnation), *hlc);
            (header.first_offset, header.count, header.durable_members) = (*offset, clock.len() as u32, 1);
            record(out, Kind::Kept, &header, |out| clock_of(out, actor, clock));
        }
        End::KeptInPart { entry, events } => kept_in_part(out, header, entry.as_ref(), events),
        End::Declined(refused) => {
            header.count = *refused as u32;
            record(out, Kind::MembersRefused, &header, |_| {});
        }
    }
}

fn kept_in_part(out: &mut Vec<u8>, mut header: Header, entry: Option<&KeptEntry>, events: &[KeptEvent]) {
    let (actor, clock) = entry.map_or(("", [].as_slice()), |entry| (entry.actor.as_str(), entry.clock.as_slice()));
    if let Some(entry) = entry {
        (header.index, header.term) = (entry.counter.0, u64::from(entry.incarnation));
    }
    (header.first_offset, header.count, header.durable_members) = (events.len() as u32, clock.len() as u32, 1);
    record(out, Kind::KeptInPart, &header, |out| {
        clock_of(out, actor, clock);
        events.iter().for_each(|event| kept_event(out, event));
    });
}

fn applied(out: &mut Vec<u8>, mut header: Header, outcome: &Outcome) {
    match outcome {
        Outcome::Accepted { first_offset, count } => {
            (header.first_offset, header.count) = (*first_offset, *count);
            record(out, Kind::Accepted, &header, |_| {});
        }
        Outcome::Mixed(list) => {
            header.count = list.len() as u32;
            record(out, Kind::Mixed, &header, |out| list.iter().for_each(|one| event_outcome(out, *one)));
        }
        Outcome::Skipped => record(out, Kind::Withdrawn, &header, |_| {}),
        Outcome::Fence { found, certain } => {
            if let Some(place) = found {
                (header.index, header.first_offset) = (place.index.0, place.offset);
            }
            // count: 2 committed, 1 absent for good, 0 nothing proved.
            header.count = if found.is_some() { 2 } else { u32::from(*certain) };
            record(out, Kind::Fence, &header, |_| {});
        }
        Outcome::Consumer(consumer) => record(out, Kind::Consumer, &header, |out| {
            out.extend_from_slice(&consumer.epoch.to_le_bytes());
            out.extend_from_slice(&consumer.acknowledged.index.0.to_le_bytes());
            out.extend_from_slice(&consumer.claimed.index.0.to_le_bytes());
            out.extend_from_slice(&consumer.acknowledged.offset.to_le_bytes());
            out.extend_from_slice(&consumer.claimed.offset.to_le_bytes());
        }),
        Outcome::ConsumerFenced { epoch } => {
            record(out, Kind::ConsumerFenced, &header, |out| out.extend_from_slice(&epoch.to_le_bytes()));
        }
        Outcome::ConsumersFull => record(out, Kind::ConsumersFull, &header, |_| {}),
        Outcome::MembersChanged => record(out, Kind::MembersChanged, &header, |_| {}),
        Outcome::MembersRefused(refused) => {
            header.count = *refused as u32;
            record(out, Kind::MembersRefused, &header, |_| {});
        }
        Outcome::RulesSet => record(out, Kind::RulesSet, &header, |_| {}),
        Outcome::RulesRefused(refused) => {
            header.count = *refused as u32;
            record(out, Kind::RulesRefused, &header, |_| {});
        }
    }
}

/// Where an event id stands, for a reader that knows only the id; index 0: not in the window.
pub fn place(out: &mut Vec<u8>, request: u32, found: Option<(Index, u32, u64)>) {
    let (index, offset, term) = found.unwrap_or_default();
    let header = Header { request, index: index.0, first_offset: offset, term, ..Default::default() };
    record(out, Kind::Place, &header, |_| {});
}

/// The same of an event of the causal lane.
pub fn kept_place(out: &mut Vec<u8>, request: u32, found: Option<&KeptEvent>) {
    match found {
        Some(event) => kept_in_part(out, Header { request, ..Default::default() }, None, std::slice::from_ref(event)),
        None => place(out, request, None),
    }
}

/// A group's journal has grown to here.
pub fn journal_grown(out: &mut Vec<u8>, group: GroupId, applied: Index) {
    record(out, Kind::Applied, &Header { index: applied.0, count: group.0, ..Default::default() }, |_| {});
}

/// The member table has another version.
pub fn table_changed(out: &mut Vec<u8>, version: Index) {
    record(out, Kind::TableChanged, &Header { index: version.0, ..Default::default() }, |_| {});
}

pub fn snapshot_taken(out: &mut Vec<u8>, request: u32, index: Index) {
    record(out, Kind::SnapshotTaken, &Header { request, index: index.0, ..Default::default() }, |_| {});
}

pub fn snapshot_failed(out: &mut Vec<u8>, request: u32, reason: &str) {
    let header = Header { request, ..Default::default() };
    record(out, Kind::SnapshotFailed, &header, |out| out.extend_from_slice(reason.as_bytes()));
}

/// The node has ended, and why: `code` is one of the public error codes.
pub fn failed(out: &mut Vec<u8>, code: &str, reason: &str) {
    let header = Header { first_offset: code.len() as u32, ..Default::default() };
    record(out, Kind::Failed, &header, |out| {
        out.extend_from_slice(code.as_bytes());
        out.extend_from_slice(reason.as_bytes());
    });
}

/// A request that was taken back; `clean` (count 1): no leader has seen it and none will.
pub fn withdrawn(out: &mut Vec<u8>, request: u32, clean: bool) {
    record(out, Kind::Withdrawn, &Header { request, count: u32::from(clean), ..Default::default() }, |_| {});
}

/// Rules of replication that were not handed in.
pub fn rules_refused(out: &mut Vec<u8>, request: u32, refused: RulesRefused) {
    record(out, Kind::RulesRefused, &Header { request, count: refused as u32, ..Default::default() }, |_| {});
}

/// A request that was not understood.
pub fn refused(out: &mut Vec<u8>, request: u32, reason: &str) {
    record(out, Kind::Refused, &Header { request, ..Default::default() }, |out| out.extend_from_slice(reason.as_bytes()));
}
