//! Batches: the unit that is written, synced and recovered as a whole (docs/formats.md, "Batches").

use super::layout::{checksum, round_up, BLOCK_BYTES};
use super::record::{self, encode_carried, encode_entry, encode_hard_state, encode_mark, encode_truncate, Carried, Manner};
use super::types::{LogEntry, Op};
use crate::bytes_le::{u32_at, u64_at};
use crate::ids::GroupId;
use crate::plants::{self, CorePlant};
use bytes::Bytes;
use crc32c::crc32c_append;
use std::io::IoSlice;

/// As a little-endian number above every record's length.
const BATCH_MAGIC: &[u8; 4] = b"VXB1";
pub(super) const BATCH_HEADER_BYTES: usize = 48;
/// Data at least this long goes to the write as it is, instead of being copied into the batch's buffer.
const COPY_BYTES_MAX: usize = 64 * 1024;
/// A buffer that one large batch has grown beyond this is given back.
const BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BatchKind {
    Records = 1,
    /// Not a batch of records but the segment's index; its number is that of the batch which would have come.
    Footer = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub kind: BatchKind,
    /// Grows by one from batch to batch, across segments and opens.
    pub number: u64,
    /// Of the open that wrote it.
    pub incarnation: u64,
    /// Bytes that follow the header, padding excluded.
    pub length: u32,
    /// Records; groups in a footer.
    pub count: u32,
    /// CRC-32C of the records' checksums in order; of the body in a footer.
    pub body_crc: u32,
}

impl BatchHeader {
    pub fn encode(&self, salt: u64, offset: u64) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[..4].copy_from_slice(BATCH_MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.count.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[36] = self.kind as u8;
        let crc = checksum(salt, offset, &[&bytes[8..]]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` unless the bytes are a header written at `offset` of this use of the segment.
    pub fn decode(bytes: &[u8], salt: u64, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        if &bytes[..4] != BATCH_MAGIC || u32_at(bytes, 4) != checksum(salt, offset, &[&bytes[8..]]) {
            return None;
        }
        let kind = match bytes[36] {
            1 => BatchKind::Records,
            2 => BatchKind::Footer,
            _ => return None,
        };
        Some(Self {
            kind,
            number: u64_at(bytes, 8),
            incarnation: u64_at(bytes, 16),
            length: u32_at(bytes, 24),
            count: u32_at(bytes, 28),
            body_crc: u32_at(bytes, 32),
        })
    }

    /// Bytes from this header to where the next one is.
    pub fn padded_bytes(&self) -> u64 {
        padded(self.length as u64)
    }
}

fn padded(body_bytes: u64) -> u64 {
    let unit = if plants::is(CorePlant::BlocksShared) { 64 } else { BLOCK_BYTES };
    round_up(BATCH_HEADER_BYTES as u64 + body_bytes, unit)
}

impl Op {
    /// Bytes of its records, without the batch around them.
    pub(super) fn record_bytes(&self) -> u64 {
        match self {
            Self::Truncate { .. } => record::TRUNCATE_STRIDE,
            Self::HardState { .. } => record::HARD_STATE_STRIDE,
            Self::Mark { .. } => record::MARK_STRIDE,
            Self::Entries { entries, .. } | Self::Repair { entries, .. } | Self::Relocate { entries, .. } => {
                entries.iter().map(record::entry_bytes).sum()
            }
        }
    }
}

/// Bytes that a batch of these operations takes in a segment.
pub(super) fn batch_bytes(ops: &[Op]) -> u64 {
    padded(ops.iter().map(Op::record_bytes).sum())
}

/// Bytes that a batch grows by, at most, when it carries so many groups besides.
pub(super) fn carried_bytes(groups: usize) -> u64 {
    round_up(groups as u64 * record::CARRY_STRIDE, BLOCK_BYTES)
}

/// Builds one batch. The buffer is kept from batch to batch; large data is only referred to.
#[derive(Default)]
pub(super) struct BatchBuffer {
    bytes: Vec<u8>,
    /// Data that belongs in front of the buffer's byte at this position.
    large: Vec<(usize, Bytes)>,
    large_bytes: usize,
    salt: u64,
    start: u64,
    count: u32,
    body_crc: u32,
}

impl BatchBuffer {
    pub fn begin(&mut self, salt: u64, start: u64) {
        self.clear();
        self.bytes.resize(BATCH_HEADER_BYTES, 0);
        (self.salt, self.start) = (salt, start);
        (self.count, self.body_crc) = (0, 0);
    }

    /// Drops what refers to the callers' data.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_BYTES_KEPT);
        self.large.clear();
        self.large_bytes = 0;
    }

    /// Offset in the segment of what comes next.
    fn offset(&self) -> u64 {
        self.start + (self.bytes.len() + self.large_bytes) as u64
    }

    /// Adds what a segment's first batch says about a group.
    pub fn push_carried(&mut self, group: GroupId, carried: &Carried) {
        let (bytes, crc) = encode_carried(group, carried, self.salt, self.offset());
        self.push_record(&bytes, crc);
    }

    /// Adds an operation's records; `placed` learns the offset of each entry.
    pub fn push(&mut self, op: &Op, placed: impl FnMut(u64)) {
        match op {
            Op::Truncate { group, from } => {
                let (bytes, crc) = encode_truncate(*group, *from, self.salt, self.offset());
                self.push_record(&bytes, crc);
            }
            Op::HardState { group, state } => {
                let (bytes, crc) = encode_hard_state(*group, state, self.salt, self.offset());
                self.push_record(&bytes, crc);
            }
            Op::Mark { group, mark } => {
                let (bytes, crc) = encode_mark(*group, mark, self.salt, self.offset());
                self.push_record(&bytes, crc);
            }
            Op::Entries { group, entries } => self.push_entries(Manner::Append, *group, entries, placed),
            Op::Repair { group, entries } => self.push_entries(Manner::Repair, *group, entries, placed),
            Op::Relocate { group, entries } => self.push_entries(Manner::Relocate, *group, entries, placed),
        }
    }

    fn push_entries(&mut self, manner: Manner, group: GroupId, entries: &[LogEntry], mut placed: impl FnMut(u64)) {
        for entry in entries {
            let offset = self.offset();
            let (header, crc) = encode_entry(manner, group, entry, self.salt, offset);
            self.bytes.extend_from_slice(&header);
            self.push_data(&entry.data);
            self.push_data(&entry.context);
            let pad = record::entry_bytes(entry) - (self.offset() - offset);
            self.bytes.resize(self.bytes.len() + pad as usize, 0);
            self.added(crc);
            placed(offset);
        }
    }

    fn push_record(&mut self, bytes: &[u8], crc: u32) {
        self.bytes.extend_from_slice(bytes);
        self.added(crc);
    }

    fn push_data(&mut self, data: &Bytes) {
        if data.len() < COPY_BYTES_MAX {
            self.bytes.extend_from_slice(data);
        } else {
            self.large.push((self.bytes.len(), data.clone()));
            self.large_bytes += data.len();
        }
    }

    fn added(&mut self, crc: u32) {
        self.body_crc = crc32c_append(self.body_crc, &crc.to_le_bytes());
        self.count += 1;
    }

    /// Completes header and padding; the bytes the batch takes.
    pub fn finish(&mut self, number: u64, incarnation: u64) -> u64 {
        let length = (self.bytes.len() + self.large_bytes - BATCH_HEADER_BYTES) as u64;
        let (count, body_crc) = (self.count, self.body_crc);
        // The writer refuses batches that would not fit a u32.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let header = BatchHeader { kind: BatchKind::Records, number, incarnation, length, count, body_crc };
        self.bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(self.salt, self.start));
        let padded = header.padded_bytes();
        self.bytes.resize(padded as usize - self.large_bytes, 0);
        padded
    }

    /// The batch in pieces, in order.
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.large.len() * 2 + 1);
        let mut from = 0;
        for (position, data) in &self.large {
            if from < *position {
                slices.push(IoSlice::new(&self.bytes[from..*position]));
            }
            slices.push(IoSlice::new(data));
            from = *position;
        }
        slices.push(IoSlice::new(&self.bytes[from..]));
        slices
    }
}

/// Folds one more record's checksum into a batch's.
pub(super) fn fold_crc(body_crc: u32, record_crc: u32) -> u32 {
    crc32c_append(body_crc, &record_crc.to_le_bytes())
}
