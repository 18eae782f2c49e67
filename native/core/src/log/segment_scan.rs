//! Reading every batch of a segment, and judging those that are not whole (rules L1, L2).
//!
//! Only one batch is ever under way: the next is written after the one before was synced. So a batch that is not whole
//! is a torn tail only if nothing later was written, and the rest of the segment is read to find out. Anything later,
//! be it one batch header or a seal, shows that the bad batch had been acknowledged: it is lost, and reading goes on
//! behind it.

use super::batch::{fold_crc, BatchHeader, BatchKind, BATCH_HEADER_BYTES};
use super::disk::DiskFile;
use super::error::LostRange;
use super::footer;
use super::index::SegmentIndex;
use super::layout::{SegmentHeader, BLOCK, BLOCK_BYTES};
use super::record::{check, read, stated_length, stride, BadRecord, Manner, RecordRef};
use super::walk::Window;
use super::LogError;
use crate::ids::Index;
use std::ops::Range;

const SCAN_READ_BYTES: usize = 1024 * 1024;
static ZERO_BLOCK: [u8; BLOCK] = [0; BLOCK];

/// What to do about a batch that is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnLoss {
    /// End with an error that names it.
    Refuse,
    PassOver,
}

/// Batches without a loss between them.
pub(super) struct Part {
    /// Batches that are lost in front of it.
    pub lost_before: u64,
    pub index: SegmentIndex,
}

pub(super) struct SegmentScan {
    /// At least one.
    pub parts: Vec<Part>,
    /// Batches lost at the end of a sealed segment.
    pub lost_after: u64,
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

impl SegmentScan {
    pub fn lost_batches(&self) -> u64 {
        self.lost_after + self.parts.iter().map(|part| part.lost_before).sum::<u64>()
    }

    /// The segment's index as a whole.
    pub fn index(&self, name: &str) -> Result<SegmentIndex, LogError> {
        let mut whole = SegmentIndex::default();
        for (id, later) in self.parts.iter().flat_map(|part| &part.index.groups) {
            if !whole.group(*id).follow(later) {
                return Err(LogError::damaged(name, 0, "two of its records are of one entry"));
            }
        }
        Ok(whole)
    }
}

struct Scanner<'a, F> {
    header: &'a SegmentHeader,
    name: String,
    file: &'a F,
    window: Window<'a, F>,
    scan: SegmentScan,
    /// Of the part under way.
    lost_before: u64,
    index: SegmentIndex,
}

/// Scans a segment. `next_batch` is what the segment after it begins with, `None` where that is not known. `visit` sees
/// each record of whole batches with its offset, in order.
pub(super) fn scan_segment<F: DiskFile>(
    file: &F,
    header: &SegmentHeader,
    next_batch: Option<u64>,
    on_loss: OnLoss,
    visit: &mut dyn FnMut(u64, &RecordRef<'_>),
) -> Result<SegmentScan, LogError> {
    let scan = SegmentScan {
        parts: Vec::new(),
        lost_after: 0,
        next_batch: header.first_batch,
        end: BLOCK_BYTES,
        torn_bytes: 0,
        dirty: Vec::new(),
        incarnation: header.incarnation,
    };
    let window = Window::new(file, SCAN_READ_BYTES);
    let index = SegmentIndex::default();
    let mut scanner = Scanner { header, name: header.name(), file, window, scan, lost_before: 0, index };
    loop {
        while let Some(length) = scanner.batch(visit)? {
            scanner.scan.end += length;
            scanner.scan.next_batch += 1;
        }
        let Some((at, number)) = scanner.judge()? else { break };
        if on_loss == OnLoss::Refuse {
            return Err(scanner.damage_before(at));
        }
        scanner.end_part(number - scanner.scan.next_batch);
        (scanner.scan.end, scanner.scan.next_batch) = (at, number);
    }
    scanner.end_part(0);
    let Scanner { mut scan, name, .. } = scanner;
    tell_cuts(&mut scan.parts);
    match next_batch {
        Some(next) if scan.next_batch < next && on_loss == OnLoss::PassOver => scan.lost_after = next - scan.next_batch,
        Some(next) if scan.next_batch != next => {
            return Err(LogError::damaged(&name, scan.end, "its last batches are missing or not readable"))
        }
        _ => {}
    }
    Ok(scan)
}

impl<F: DiskFile> Scanner<'_, F> {
    fn end_part(&mut self, lost: u64) {
        let part = Part { lost_before: self.lost_before, index: std::mem::take(&mut self.index) };
        self.scan.parts.push(part);
        self.lost_before = lost;
    }

    /// Reads the batch at `end`; its padded length, or `None` where there is no whole one.
    fn batch(&mut self, visit: &mut dyn FnMut(u64, &RecordRef<'_>)) -> Result<Option<u64>, LogError> {
        let (at, salt) = (self.scan.end, self.header.salt);
        let io = |error| LogError::io("read", &self.name)(error);
        let start = self.window.get(at, BATCH_HEADER_BYTES).map_err(io)?;
        let Some(batch) = BatchHeader::decode(start, salt, at) else {
            return Ok(None);
        };
        if batch.number != self.scan.next_batch || batch.kind == BatchKind::Footer {
            return Ok(None);
        }
        let body_at = at + BATCH_HEADER_BYTES as u64;
        let body = self.window.get(body_at, batch.length as usize).map_err(io)?;
        if !is_whole(body, &batch, salt, body_at) {
            return Ok(None);
        }
        for (offset, bytes) in records(body, body_at) {
            let record = match read(bytes) {
                Ok(record) => record,
                Err(BadRecord::Broken(reason)) => return Err(LogError::damaged(&self.name, offset, reason)),
                Err(BadRecord::UnknownKind(kind)) => {
                    return Err(LogError::UnsupportedRecord { segment: self.name.clone(), offset, kind })
                }
            };
            if !apply(&mut self.index, self.lost_before > 0, offset, &record) {
                return Err(LogError::damaged(&self.name, offset, "an entry does not follow the one before it"));
            }
            visit(offset, &record);
        }
        self.scan.incarnation = self.scan.incarnation.max(batch.incarnation);
        Ok(Some(batch.padded_bytes()))
    }

    /// Reads on behind the last whole batch. Where anything later was written: its offset and number; reading goes on
    /// there. Else what follows is a torn tail, an unfinished seal or nothing.
    fn judge(&mut self) -> Result<Option<(u64, u64)>, LogError> {
        let (end, expected, salt) = (self.scan.end, self.scan.next_batch, self.header.salt);
        let io = |error| LogError::io("read", &self.name)(error);
        let contradicts = |at| Err(LogError::damaged(&self.name, at, "a batch does not follow the one before it"));
        let trailer = footer::read_trailer(self.file, self.header)?;
        let mut sealed = trailer == Some((end, expected));
        let (mut at, mut last_byte) = (end, end);
        self.scan.dirty.clear();
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
                if let Some(later) = BatchHeader::decode(block, salt, at) {
                    match (later.number == expected, later.kind) {
                        (true, kind) if at == end => sealed |= kind == BatchKind::Footer,
                        (false, BatchKind::Footer) if at == end => return contradicts(at),
                        _ if later.number > expected => return Ok(Some((at, later.number))),
                        _ => return contradicts(at),
                    }
                }
            }
            at += BLOCK_BYTES;
        }
        match trailer {
            Some((footer, next)) if next > expected && footer > end => return Ok(Some((footer, next))),
            Some(other) if other != (end, expected) => return contradicts(end),
            _ => {}
        }
        self.scan.torn_bytes = if sealed { 0 } else { last_byte - end };
        Ok(None)
    }

    /// The error for a bad batch at `end` in front of something later at `at`, with what can be said about the loss.
    fn damage_before(&mut self, at: u64) -> LogError {
        let mut lost: Vec<LostRange> = Vec::new();
        let body_at = at + BATCH_HEADER_BYTES as u64;
        let start = self.window.get(at, BATCH_HEADER_BYTES).unwrap_or_default();
        let later = BatchHeader::decode(start, self.header.salt, at).filter(|batch| batch.kind == BatchKind::Records);
        let length = later.as_ref().map_or(0, |batch| batch.length as usize);
        let body = self.window.get(body_at, length).unwrap_or_default();
        let whole = later.is_some_and(|batch| is_whole(body, &batch, self.header.salt, body_at));
        for (_, bytes) in records(body, body_at).take_while(|_| whole) {
            let Ok(RecordRef::Entry { manner: Manner::Append, group, index, term, .. }) = read(bytes) else { continue };
            let known = self.index.groups.get(&group).and_then(|part| part.next);
            let Some(known) = known.filter(|_| lost.iter().all(|range| range.group != group)) else { continue };
            if known < index.0 {
                lost.push(LostRange { group, first: Index(known), last: Index(index.0 - 1), next_term: Some(term), gap: false });
            }
        }
        let reason = "a batch is not readable, though later ones are";
        LogError::Damaged { segment: self.name.clone(), offset: self.scan.end, reason, lost }
    }
}

/// A writer puts no second live record of an entry into a segment: where a later part has one, lost batches had cut the log
/// in front of it.
fn tell_cuts(parts: &mut [Part]) {
    let mut whole = SegmentIndex::default();
    for (id, later) in parts.iter_mut().flat_map(|part| &mut part.index.groups) {
        let known = whole.group(*id);
        if let Some(from) = known.meets(later) {
            later.truncated_from = Some(later.truncated_from.map_or(from, |own| own.min(from)));
        }
        known.follow(later);
    }
}

/// A batch's records with their offsets, as far as their stated lengths lead.
pub(super) fn records(body: &[u8], body_at: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = body.get(at..).filter(|rest| rest.len() >= 4)?;
        let bytes = rest.get(..stated_length(rest)?)?;
        let offset = body_at + at as u64;
        at += stride(bytes.len()) as usize;
        Some((offset, bytes))
    })
}

/// Whether every record is whole, and the batch is made of exactly these.
fn is_whole(body: &[u8], batch: &BatchHeader, salt: u64, body_at: u64) -> bool {
    let (mut count, mut end, mut body_crc) = (0, 0, 0);
    for (offset, bytes) in records(body, body_at) {
        let Ok(crc) = check(bytes, salt, offset) else { return false };
        body_crc = fold_crc(body_crc, crc);
        count += 1;
        end = offset - body_at + stride(bytes.len());
    }
    body.len() == batch.length as usize && count == batch.count && body_crc == batch.body_crc && end == body.len() as u64
}

/// Adds a record to the index; false where it contradicts what is there. Behind lost batches, a group's first entry
/// shows where the log was truncated, if it was.
fn apply(index: &mut SegmentIndex, after_loss: bool, offset: u64, record: &RecordRef<'_>) -> bool {
    match record {
        RecordRef::Entry { manner, group, index: at, term, data, context, .. } => {
            let part = index.group(*group);
            part.note_record(data.len() + context.len());
            if *manner != Manner::Append {
                return part.place(*at, *term, offset);
            }
            match part.next {
                Some(next) if next != at.0 => return false,
                None if after_loss => part.truncate(at.0),
                _ => {}
            }
            part.push(*at, *term, offset);
        }
        RecordRef::Truncate { group, from } => index.group(*group).truncate(from.0),
        RecordRef::HardState { group, state } => index.group(*group).hard_state = Some(*state),
        RecordRef::Mark { group, mark } => index.group(*group).mark(*mark),
        RecordRef::Carry { group, carried } => index.group(*group).carry(carried),
    }
    true
}
