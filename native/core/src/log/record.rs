//! Records: what batches are made of (docs/formats.md, "Records").

use super::layout::{checksum, round_up};
use super::types::{HardState, LogEntry};
use crate::bytes_le::{u32_at, u64_at};
use crate::ids::{GroupId, Index, MemberId, Term};
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
// 4 repair, 5 relocate and 6 snapshot mark are reserved: this release refuses to open a log that has them.

/// A record in place. Invariant: its checksum matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RecordRef<'a> {
    Entry { group: GroupId, index: Index, term: Term, kind: u8, data: &'a [u8], context: &'a [u8] },
    Truncate { group: GroupId, from: Index },
    HardState { group: GroupId, state: HardState },
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

/// Checks and reads one record; `bytes` is exactly as long as it states. Also its checksum, which the batch covers.
pub(super) fn decode(bytes: &[u8], salt: u64, offset: u64) -> Result<(RecordRef<'_>, u32), BadRecord> {
    if bytes.len() < RECORD_PREFIX_BYTES {
        return Err(BadRecord::Broken("a record is too short"));
    }
    let crc = u32_at(bytes, 4);
    if crc != checksum(salt, offset, &[&bytes[..4], &bytes[8..]]) {
        return Err(BadRecord::Broken("a record's checksum does not match"));
    }
    let group = GroupId(u32_at(bytes, 12));
    let record = match (bytes[8], bytes.len()) {
        (KIND_ENTRY, length) if length >= ENTRY_HEADER_BYTES => {
            let body = &bytes[ENTRY_HEADER_BYTES..];
            let data = u32_at(bytes, 32) as usize;
            if data > body.len() {
                return Err(BadRecord::Broken("an entry's data is longer than its record"));
            }
            let (data, context) = body.split_at(data);
            let (index, term) = (Index(u64_at(bytes, 16)), Term(u64_at(bytes, 24)));
            RecordRef::Entry { group, index, term, kind: bytes[9], data, context }
        }
        (KIND_TRUNCATE, TRUNCATE_BYTES) => RecordRef::Truncate { group, from: Index(u64_at(bytes, 16)) },
        (KIND_HARD_STATE, HARD_STATE_BYTES) => RecordRef::HardState {
            group,
            state: HardState {
                term: Term(u64_at(bytes, 16)),
                vote: MemberId(u64_at(bytes, 24)),
                commit: Index(u64_at(bytes, 32)),
            },
        },
        (KIND_ENTRY | KIND_TRUNCATE | KIND_HARD_STATE, _) => {
            return Err(BadRecord::Broken("a record's length does not fit its kind"))
        }
        (kind, _) => return Err(BadRecord::UnknownKind(kind)),
    };
    Ok((record, crc))
}

/// Room an entry takes in a batch, alignment included.
pub(super) fn entry_bytes(entry: &LogEntry) -> u64 {
    stride(ENTRY_HEADER_BYTES + entry.data.len() + entry.context.len())
}

pub(super) const TRUNCATE_STRIDE: u64 = TRUNCATE_BYTES as u64;
pub(super) const HARD_STATE_STRIDE: u64 = HARD_STATE_BYTES as u64;

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
pub(super) fn encode_entry(group: GroupId, entry: &LogEntry, salt: u64, offset: u64) -> ([u8; ENTRY_HEADER_BYTES], u32) {
    let length = ENTRY_HEADER_BYTES + entry.data.len() + entry.context.len();
    let mut bytes = [0; ENTRY_HEADER_BYTES];
    bytes[..RECORD_PREFIX_BYTES].copy_from_slice(&prefix(length, KIND_ENTRY, entry.kind, group));
    bytes[16..24].copy_from_slice(&entry.index.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&entry.term.0.to_le_bytes());
    bytes[32..36].copy_from_slice(&(entry.data.len() as u32).to_le_bytes());
    let crc = seal(&mut bytes, &[&entry.data, &entry.context], salt, offset);
    (bytes, crc)
}

pub(super) fn encode_truncate(group: GroupId, from: Index, salt: u64, offset: u64) -> ([u8; TRUNCATE_BYTES], u32) {
    let mut bytes = [0; TRUNCATE_BYTES];
    bytes[..RECORD_PREFIX_BYTES].copy_from_slice(&prefix(TRUNCATE_BYTES, KIND_TRUNCATE, 0, group));
    bytes[16..].copy_from_slice(&from.0.to_le_bytes());
    let crc = seal(&mut bytes, &[], salt, offset);
    (bytes, crc)
}

pub(super) fn encode_hard_state(
    group: GroupId,
    state: &HardState,
    salt: u64,
    offset: u64,
) -> ([u8; HARD_STATE_BYTES], u32) {
    let mut bytes = [0; HARD_STATE_BYTES];
    bytes[..RECORD_PREFIX_BYTES].copy_from_slice(&prefix(HARD_STATE_BYTES, KIND_HARD_STATE, 0, group));
    bytes[16..24].copy_from_slice(&state.term.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&state.vote.0.to_le_bytes());
    bytes[32..].copy_from_slice(&state.commit.0.to_le_bytes());
    let crc = seal(&mut bytes, &[], salt, offset);
    (bytes, crc)
}

/// An owned entry from its parts in a buffer.
pub(super) fn owned_entry(index: Index, term: Term, kind: u8, data: &[u8], context: &[u8]) -> LogEntry {
    LogEntry { index, term, kind, data: Bytes::copy_from_slice(data), context: Bytes::copy_from_slice(context) }
}
