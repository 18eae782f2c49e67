//! Records: what batches are made of (docs/formats.md, "Records").

use super::layout::{checksum, round_up};
use super::types::{HardState, LogEntry, SnapshotMark};
use crate::bytes_le::{u32_at, u64_at};
use crate::ids::{GroupId, Index, MemberId, Term};
use crate::plants::{self, CorePlant};
use bytes::Bytes;

/// Largest record. Below the number that a batch header's magic makes, so that the two cannot be confused.
const RECORD_BYTES_MAX: usize = 1 << 29;
pub(super) const RECORD_PREFIX_BYTES: usize = 16;
pub(super) const ENTRY_HEADER_BYTES: usize = 40;
const TRUNCATE_BYTES: usize = 24;
const HARD_STATE_BYTES: usize = 40;
pub(super) const RECORD_ALIGN: u64 = 8;
/// Data and context of one entry, together.
pub const ENTRY_BYTES_MAX: usize = 256 * 1024 * 1024;

const KIND_ENTRY: u8 = 1;
const KIND_TRUNCATE: u8 = 2;
const KIND_HARD_STATE: u8 = 3;
const KIND_REPAIR: u8 = 4;
const KIND_RELOCATE: u8 = 5;
const KIND_MARK: u8 = 6;
const KIND_CARRY: u8 = 7;
const MARK_BYTES: usize = 48;
const CARRY_BYTES: usize = 96;
const CARRY_HAS_HARD_STATE: u64 = 1;
const CARRY_HAS_MARK: u64 = 2;

/// In which manner an entry came to where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Manner {
    Append = KIND_ENTRY,
    Repair = KIND_REPAIR,
    Relocate = KIND_RELOCATE,
}

/// A group as it was when a segment began, so that earlier segments are not needed to know it. `last_term` is 0 where
/// the last entry is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub hard_state: Option<HardState>,
    pub mark: Option<SnapshotMark>,
    pub last: Index,
    pub last_term: Term,
}

/// A record in place. Invariant: its checksum matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RecordRef<'a> {
    Entry { manner: Manner, group: GroupId, index: Index, term: Term, kind: u8, data: &'a [u8], context: &'a [u8] },
    Truncate { group: GroupId, from: Index },
    HardState { group: GroupId, state: HardState },
    Mark { group: GroupId, mark: SnapshotMark },
    Carry { group: GroupId, carried: Carried },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadRecord {
    Broken(&'static str),
    /// Intact, but of a kind that a later release has brought.
    UnknownKind(u8),
}

/// The record's length as stated at its start; `None` if no record can have it.
pub(super) fn stated_length(start: &[u8]) -> Option<usize> {
    let length = u32_at(start, 0) as usize;
    (RECORD_PREFIX_BYTES..RECORD_BYTES_MAX).contains(&length).then_some(length)
}

/// Distance from one record to the next.
pub(super) fn stride(length: usize) -> u64 {
    round_up(length as u64, RECORD_ALIGN)
}

/// Checks and reads one record; `bytes` is exactly as long as it states.
pub(super) fn decode(bytes: &[u8], salt: u64, offset: u64) -> Result<RecordRef<'_>, BadRecord> {
    check(bytes, salt, offset)?;
    read(bytes)
}

/// The record's checksum, which the batch covers, where it matches.
pub(super) fn check(bytes: &[u8], salt: u64, offset: u64) -> Result<u32, BadRecord> {
    if bytes.len() < RECORD_PREFIX_BYTES {
        return Err(BadRecord::Broken("a record is too short"));
    }
    let crc = u32_at(bytes, 4);
    if crc != checksum(salt, offset, &[&bytes[..4], &bytes[8..]]) {
        return Err(BadRecord::Broken("a record's checksum does not match"));
    }
    Ok(crc)
}

/// Reads a record that was checked.
pub(super) fn read(bytes: &[u8]) -> Result<RecordRef<'_>, BadRecord> {
    let group = GroupId(u32_at(bytes, 12));
    let word = |at| u64_at(bytes, at);
    Ok(match (bytes[8], bytes.len()) {
        (kind @ (KIND_ENTRY | KIND_REPAIR | KIND_RELOCATE), length) if length >= ENTRY_HEADER_BYTES => {
            let manner = match kind {
                KIND_REPAIR => Manner::Repair,
                KIND_RELOCATE => Manner::Relocate,
                _ => Manner::Append,
            };
            let body = &bytes[ENTRY_HEADER_BYTES..];
            let data = u32_at(bytes, 32) as usize;
            if data > body.len() {
                return Err(BadRecord::Broken("an entry's data is longer than its record"));
            }
            if word(16) == 0 {
                return Err(BadRecord::Broken("an entry has index 0"));
            }
            let (data, context) = body.split_at(data);
            RecordRef::Entry { manner, group, index: Index(word(16)), term: Term(word(24)), kind: bytes[9], data, context }
        }
        (KIND_TRUNCATE, TRUNCATE_BYTES) if word(16) > 0 => RecordRef::Truncate { group, from: Index(word(16)) },
        (KIND_HARD_STATE, HARD_STATE_BYTES) => {
            let group = if plants::is(CorePlant::RecordsMixedUp) { GroupId(0) } else { group };
            RecordRef::HardState { group, state: decode_hard_state(bytes, 16) }
        }
        (KIND_MARK, MARK_BYTES) if word(32) > 0 => RecordRef::Mark { group, mark: decode_mark(bytes, 16) },
        (KIND_CARRY, CARRY_BYTES) if word(16) & CARRY_HAS_MARK == 0 || word(80) > 0 => {
            let hard_state = (word(16) & CARRY_HAS_HARD_STATE != 0).then(|| decode_hard_state(bytes, 40));
            let mark = (word(16) & CARRY_HAS_MARK != 0).then(|| decode_mark(bytes, 64));
            let carried = Carried { hard_state, mark, last: Index(word(24)), last_term: Term(word(32)) };
            RecordRef::Carry { group, carried }
        }
        (KIND_ENTRY..=KIND_CARRY, _) => return Err(BadRecord::Broken("a record is not made as its kind is")),
        (kind, _) => return Err(BadRecord::UnknownKind(kind)),
    })
}

pub(super) fn decode_hard_state(bytes: &[u8], at: usize) -> HardState {
    let [term, vote, commit] = [0, 8, 16].map(|from| u64_at(bytes, at + from));
    HardState { term: Term(term), vote: MemberId(vote), commit: Index(commit) }
}

pub(super) fn decode_mark(bytes: &[u8], at: usize) -> SnapshotMark {
    let [index, term, first, prior] = [0, 8, 16, 24].map(|from| u64_at(bytes, at + from));
    SnapshotMark { index: Index(index), term: Term(term), first: Index(first), prior_term: Term(prior) }
}

/// A hard state as the three numbers that are stored.
pub(super) fn hard_state_words(state: &HardState) -> [u64; 3] {
    [state.term.0, state.vote.0, state.commit.0]
}

/// A mark as the four numbers that are stored.
pub(super) fn mark_words(mark: &SnapshotMark) -> [u64; 4] {
    [mark.index.0, mark.term.0, mark.first.0, mark.prior_term.0]
}

/// Room an entry takes in a batch, alignment included.
pub(super) fn entry_bytes(entry: &LogEntry) -> u64 {
    stride(ENTRY_HEADER_BYTES + entry.data.len() + entry.context.len())
}

pub(super) const TRUNCATE_STRIDE: u64 = TRUNCATE_BYTES as u64;
pub(super) const HARD_STATE_STRIDE: u64 = HARD_STATE_BYTES as u64;
pub(super) const MARK_STRIDE: u64 = MARK_BYTES as u64;
pub(super) const CARRY_STRIDE: u64 = CARRY_BYTES as u64;

/// The fixed part of a record, checksum still 0.
fn prefix(length: usize, kind: u8, entry_kind: u8, group: GroupId) -> [u8; RECORD_PREFIX_BYTES] {
    let mut bytes = [0; RECORD_PREFIX_BYTES];
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[8] = kind;
    bytes[9] = entry_kind;
    bytes[12..].copy_from_slice(&group.0.to_le_bytes());
    bytes
}

fn seal(bytes: &mut [u8], tail: &[&[u8]], salt: u64, offset: u64) -> u32 {
    let mut parts: [&[u8]; 4] = [&[]; 4];
    parts[0] = &bytes[..4];
    parts[1] = &bytes[8..];
    parts[2..2 + tail.len()].copy_from_slice(tail);
    let crc = checksum(salt, offset, &parts);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// An entry's header, its checksum over `data` and `context` included, which the caller puts behind it.
pub(super) fn encode_entry(
    manner: Manner,
    group: GroupId,
    entry: &LogEntry,
    salt: u64,
    offset: u64,
) -> ([u8; ENTRY_HEADER_BYTES], u32) {
    let length = ENTRY_HEADER_BYTES + entry.data.len() + entry.context.len();
    let mut bytes = [0; ENTRY_HEADER_BYTES];
    bytes[..RECORD_PREFIX_BYTES].copy_from_slice(&prefix(length, manner as u8, entry.kind, group));
    bytes[16..24].copy_from_slice(&entry.index.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&entry.term.0.to_le_bytes());
    bytes[32..36].copy_from_slice(&(entry.data.len() as u32).to_le_bytes());
    let crc = seal(&mut bytes, &[&entry.data, &entry.context], salt, offset);
    (bytes, crc)
}

/// A record that is made of numbers only.
fn encode_words<const BYTES: usize>(
    kind: u8,
    group: GroupId,
    words: &[u64],
    salt: u64,
    offset: u64,
) -> ([u8; BYTES], u32) {
    debug_assert_eq!(RECORD_PREFIX_BYTES + words.len() * 8, BYTES);
    let mut bytes = [0; BYTES];
    bytes[..RECORD_PREFIX_BYTES].copy_from_slice(&prefix(BYTES, kind, 0, group));
    for (place, word) in bytes[RECORD_PREFIX_BYTES..].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let crc = seal(&mut bytes, &[], salt, offset);
    (bytes, crc)
}

pub(super) fn encode_truncate(group: GroupId, from: Index, salt: u64, offset: u64) -> ([u8; TRUNCATE_BYTES], u32) {
    encode_words(KIND_TRUNCATE, group, &[from.0], salt, offset)
}

pub(super) fn encode_hard_state(
    group: GroupId,
    state: &HardState,
    salt: u64,
    offset: u64,
) -> ([u8; HARD_STATE_BYTES], u32) {
    encode_words(KIND_HARD_STATE, group, &hard_state_words(state), salt, offset)
}

pub(super) fn encode_mark(group: GroupId, mark: &SnapshotMark, salt: u64, offset: u64) -> ([u8; MARK_BYTES], u32) {
    encode_words(KIND_MARK, group, &mark_words(mark), salt, offset)
}

pub(super) fn encode_carried(group: GroupId, carried: &Carried, salt: u64, offset: u64) -> ([u8; CARRY_BYTES], u32) {
    let flags = if carried.hard_state.is_some() { CARRY_HAS_HARD_STATE } else { 0 }
        | if carried.mark.is_some() { CARRY_HAS_MARK } else { 0 };
    let mut words = [0; 10];
    words[..3].copy_from_slice(&[flags, carried.last.0, carried.last_term.0]);
    words[3..6].copy_from_slice(&hard_state_words(&carried.hard_state.unwrap_or_default()));
    words[6..].copy_from_slice(&mark_words(&carried.mark.unwrap_or_default()));
    encode_words(KIND_CARRY, group, &words, salt, offset)
}

/// An owned entry from its parts in a buffer.
pub(super) fn owned_entry(index: Index, term: Term, kind: u8, data: &[u8], context: &[u8]) -> LogEntry {
    LogEntry { index, term, kind, data: Bytes::copy_from_slice(data), context: Bytes::copy_from_slice(context) }
}
