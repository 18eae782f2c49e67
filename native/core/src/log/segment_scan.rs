//! Reading every batch of a segment, and judging the first that is not whole (rules L1, L2).
//!
//! Only one batch is ever under way: the next is written after the one before was synced. So a batch that is not whole
//! is a torn tail only if nothing later was written, and the rest of the segment is read to find out. Anything later,
//! be it one batch header or a seal, shows that the bad batch had been acknowledged: that is damage.

use super::batch::{fold_crc, BatchHeader, BatchKind, BATCH_HEADER_BYTES};
use super::disk::DiskFile;
use super::error::LostRange;
use super::footer;
use super::index::SegmentIndex;
use super::layout::{SegmentHeader, BLOCK, BLOCK_BYTES};
use super::record::{decode, stated_length, stride, BadRecord, RecordRef};
use super::walk::Window;
use super::LogError;
use crate::ids::Index;
use std::ops::Range;

const SCAN_READ_BYTES: usize = 1024 * 1024;
static ZERO_BLOCK: [u8; BLOCK] = [0; BLOCK];

pub(super) struct SegmentScan {
    pub index: SegmentIndex,
    /// Number of the batch that comes after the last whole one.
    pub next_batch: u64,
    /// Where that batch goes.
    pub end: u64,
    /// Bytes of a last batch that is not whole; 0 when what follows `end` is nothing, or an unfinished seal.
    pub torn_bytes: u64,
    /// What is not zero behind `end`, in whole blocks.
    pub dirty: Vec<Range<u64>>,
    /// Highest incarnation in a batch.
    pub incarnation: u64,
}

struct Scanner<'a, F> {
    header: &'a SegmentHeader,
    name: String,
    file: &'a F,
    window: Window<'a, F>,
    scan: SegmentScan,
}

/// Scans a segment. `next_batch` is what the segment after it begins with, `None` for the newest. `visit` sees each
/// record of whole batches with its offset, in order.
pub(super) fn scan_segment<F: DiskFile>(
    file: &F,
    header: &SegmentHeader,
    next_batch: Option<u64>,
    visit: &mut dyn FnMut(u64, &RecordRef<'_>),
) -> Result<SegmentScan, LogError> {
    let scan = SegmentScan {
        index: SegmentIndex::default(),
        next_batch: header.first_batch,
        end: BLOCK_BYTES,
        torn_bytes: 0,
        dirty: Vec::new(),
        incarnation: header.incarnation,
    };
    let window = Window::new(file, SCAN_READ_BYTES);
    let mut scanner = Scanner { header, name: header.name(), file, window, scan };
    while let Some(length) = scanner.batch(visit)? {
        scanner.scan.end += length;
        scanner.scan.next_batch += 1;
    }
    scanner.judge()?;
    let (found, end) = (scanner.scan.next_batch, scanner.scan.end);
    match next_batch {
        Some(next) if found != next => {
            Err(LogError::damaged(&scanner.name, end, "its last batches are missing or not readable"))
        }
        _ => Ok(scanner.scan),
    }
}

impl<F: DiskFile> Scanner<'_, F> {
    /// Reads the batch at `end`; its padded length, or `None` where there is no whole one.
    fn batch(&mut self, visit: &mut dyn FnMut(u64, &RecordRef<'_>)) -> Result<Option<u64>, LogError> {
        let (at, salt) = (self.scan.end, self.header.salt);
        let io = |error| LogError::io("read", &self.name)(error);
        let start = self.window.get(at, BATCH_HEADER_BYTES).map_err(io)?;
        let Some(batch) = BatchHeader::decode(start, salt, at) else {
            return Ok(None);
        };
        if batch.number != self.scan.next_batch {
            return Err(LogError::damaged(&self.name, at, "a batch does not follow the one before it"));
        }
        if batch.kind == BatchKind::Footer {
            return Ok(None);
        }
        let body = self.window.get(at + BATCH_HEADER_BYTES as u64, batch.length as usize).map_err(io)?;
        if body.len() < batch.length as usize {
            return Ok(None);
        }
        let Some(records) = records(body, &batch, salt, at, &self.name)? else {
            return Ok(None);
        };
        for (offset, record) in &records {
            if !apply(&mut self.scan.index, *offset, record) {
                return Err(LogError::damaged(&self.name, *offset, "an entry does not follow the one before it"));
            }
            visit(*offset, record);
        }
        self.scan.incarnation = self.scan.incarnation.max(batch.incarnation);
        Ok(Some(batch.padded_bytes()))
    }

    /// Reads on behind the last whole batch, and tells a torn tail from damage.
    fn judge(&mut self) -> Result<(), LogError> {
        let (end, expected, salt) = (self.scan.end, self.scan.next_batch, self.header.salt);
        let io = |error| LogError::io("read", &self.name)(error);
        let mut sealed = false;
        match footer::read_trailer(self.file, self.header)? {
            Some(trailer) if trailer == (end, expected) => sealed = true,
            Some(_) => return Err(LogError::damaged(&self.name, end, "a batch before the segment's seal is not readable")),
            None => {}
        }
        let (mut at, mut last_byte) = (end, end);
        loop {
            let block = self.window.get(at, BLOCK).map_err(io)?;
            if block.is_empty() {
                break;
            }
            if *block != ZERO_BLOCK[..block.len()] {
                let zeros = block.iter().rev().take_while(|byte| **byte == 0).count();
                last_byte = at + (block.len() - zeros) as u64;
                match self.scan.dirty.last_mut() {
                    Some(range) if range.end == at => range.end = at + BLOCK_BYTES,
                    _ => self.scan.dirty.push(at..at + BLOCK_BYTES),
                }
                let later = BatchHeader::decode(block, salt, at);
                if at == end {
                    sealed |= later.is_some_and(|batch| batch.kind == BatchKind::Footer);
                } else if let Some(later) = later {
                    return Err(self.damage_before(at, &later));
                }
            }
            at += BLOCK_BYTES;
        }
        self.scan.torn_bytes = if sealed { 0 } else { last_byte - end };
        Ok(())
    }

    /// The error for a bad batch at `end` in front of a later one at `at`, with what can be said about the loss.
    fn damage_before(&mut self, at: u64, later: &BatchHeader) -> LogError {
        let mut lost: Vec<LostRange> = Vec::new();
        let body = self.window.get(at + BATCH_HEADER_BYTES as u64, later.length as usize).unwrap_or_default();
        let found = records(body, later, self.header.salt, at, &self.name);
        for (_, record) in found.ok().flatten().unwrap_or_default() {
            let RecordRef::Entry { group, index, .. } = record else { continue };
            let known = self.scan.index.groups.get(&group).and_then(|part| part.last());
            let Some(known) = known.filter(|_| lost.iter().all(|range| range.group != group)) else { continue };
            if known + 1 < index.0 {
                lost.push(LostRange { group, first: Index(known + 1), last: Index(index.0 - 1) });
            }
        }
        let reason = "a batch is not readable, though later ones are";
        LogError::Damaged { segment: self.name.clone(), offset: self.scan.end, reason, lost }
    }
}

type Records<'a> = Vec<(u64, RecordRef<'a>)>;

/// A batch's records with their offsets; `None` unless every one is whole and the batch is made of exactly these.
fn records<'a>(
    body: &'a [u8],
    batch: &BatchHeader,
    salt: u64,
    batch_at: u64,
    name: &str,
) -> Result<Option<Records<'a>>, LogError> {
    let body_at = batch_at + BATCH_HEADER_BYTES as u64;
    let mut records = Vec::with_capacity((batch.count as usize).min(body.len() / 16));
    let (mut at, mut body_crc) = (0, 0);
    while at < body.len() {
        let rest = &body[at..];
        let Some(bytes) = stated_length(rest).and_then(|length| rest.get(..length)) else {
            return Ok(None);
        };
        let offset = body_at + at as u64;
        match decode(bytes, salt, offset) {
            Ok((record, crc)) => {
                records.push((offset, record));
                body_crc = fold_crc(body_crc, crc);
            }
            Err(BadRecord::Broken(_)) => return Ok(None),
            Err(BadRecord::UnknownKind(kind)) => {
                return Err(LogError::UnsupportedRecord { segment: name.to_owned(), offset, kind })
            }
        }
        at += stride(bytes.len()) as usize;
    }
    let whole = records.len() == batch.count as usize && body_crc == batch.body_crc && at == batch.length as usize;
    Ok(whole.then_some(records))
}

/// Adds a record to the segment's index; false where it contradicts what is there.
fn apply(index: &mut SegmentIndex, offset: u64, record: &RecordRef<'_>) -> bool {
    match record {
        RecordRef::Entry { group, index: at, term, .. } => {
            let part = index.group(*group);
            if part.last().is_some_and(|last| at.0 != last + 1) {
                return false;
            }
            part.push(*at, *term, offset);
        }
        RecordRef::Truncate { group, from } => index.group(*group).truncate(from.0),
        RecordRef::HardState { group, state } => index.group(*group).hard_state = Some(*state),
    }
    true
}
