//! Walking the records of one group in one segment, from one that is known to those that are wanted.

use super::batch::{BatchHeader, BATCH_HEADER_BYTES};
use super::disk::DiskFile;
use super::error::LostRange;
use super::index::SegmentIndex;
use super::layout::{round_up, SegmentHeader, BLOCK_BYTES};
use super::record::{decode, owned_entry, stated_length, stride, BadRecord, RecordRef};
use super::segment_scan::records;
use super::types::LogEntry;
use super::walk::Window;
use super::LogError;
use crate::ids::{GroupId, Index};

const READ_BYTES_MIN: u64 = 64 * 1024;
const READ_BYTES_MAX: u64 = 1024 * 1024;

/// A stretch of one group's entries that lie one after another in one segment.
pub(super) struct Stretch {
    pub first: u64,
    last: u64,
    /// Index and offset of a record at or before `first`.
    pub start: (u64, u64),
    /// Later records of it that are known: what lies before them and is other groups' need not be walked.
    jumps: Vec<(u64, u64)>,
}

pub(super) fn stretches(index: &SegmentIndex, group: GroupId, low: u64, high: u64) -> Vec<Stretch> {
    let Some(part) = index.groups.get(&group) else { return Vec::new() };
    let parts = part.parts(low, high).into_iter();
    let stretch = |(first, last)| {
        let points = &part.points[part.points.partition_point(|(index, _)| *index <= first)..];
        let jumps = points[..points.partition_point(|(index, _)| *index <= last)].to_vec();
        Some(Stretch { first, last, start: part.nearest(first)?, jumps })
    };
    parts.filter_map(stretch).collect()
}

/// What a read has found so far.
pub(super) struct Collected {
    pub entries: Vec<LogEntry>,
    bytes: u64,
    max_bytes: u64,
    /// Index and offset of the newest.
    pub last: Option<(u64, u64)>,
}

impl Collected {
    pub fn new(max_bytes: u64) -> Self {
        Self { entries: Vec::new(), bytes: 0, max_bytes, last: None }
    }

    /// False when the entry would go over the limit and is not the first.
    fn take(&mut self, entry: LogEntry) -> bool {
        self.bytes += (entry.data.len() + entry.context.len()) as u64;
        if self.bytes > self.max_bytes && !self.entries.is_empty() {
            return false;
        }
        self.entries.push(entry);
        true
    }
}

impl Stretch {
    /// False when the limit was reached.
    pub fn read<F: DiskFile>(&self, file: &F, header: &SegmentHeader, group: GroupId, found: &mut Collected) -> Result<bool, LogError> {
        Walk { file, header, group, stretch: self }.read(found)
    }
}

/// What cannot be read, and why.
enum Bad {
    Record(&'static str),
    Error(LogError),
}

struct Walk<'a, F> {
    file: &'a F,
    header: &'a SegmentHeader,
    group: GroupId,
    stretch: &'a Stretch,
}

impl<F: DiskFile> Walk<'_, F> {
    /// False when the limit was reached.
    fn read(&self, found: &mut Collected) -> Result<bool, LogError> {
        let stretch = self.stretch;
        let read_bytes = found.max_bytes.saturating_add(READ_BYTES_MIN).min(READ_BYTES_MAX) as usize;
        let mut window = Window::new(self.file, read_bytes);
        let (mut next, mut at) = stretch.start;
        let mut jumps = stretch.jumps.iter().peekable();
        while next <= stretch.last {
            while let Some((index, offset)) = jumps.next_if(|(index, _)| *index <= next) {
                at = if *index == next { *offset } else { at };
            }
            let reason = match self.step(&mut window, next, at, found) {
                Ok(Step::On(to)) => {
                    at = to;
                    continue;
                }
                Ok(Step::Entry(to)) => {
                    (next, at) = (next + 1, to);
                    continue;
                }
                Ok(Step::Full) => return Ok(false),
                Err(Bad::Error(error)) => return Err(error),
                Err(Bad::Record(reason)) => reason,
            };
            let resume = self.resume(next, at);
            match resume {
                // The way there was damaged, not what is wanted.
                Some(resume) if resume.0 <= stretch.first => (next, at) = resume,
                _ => {
                    let last = resume.map_or(stretch.last, |(index, _)| stretch.last.min(index - 1));
                    let first = Index(next.max(stretch.first));
                    let lost = LostRange { group: self.group, first, last: Index(last), next_term: None, gap: false };
                    return Err(LogError::Damaged { segment: self.header.name(), offset: at, reason, lost: vec![lost] });
                }
            }
        }
        Ok(true)
    }

    /// Reads what is at `at`.
    fn step(&self, window: &mut Window<'_, F>, next: u64, at: u64, found: &mut Collected) -> Result<Step, Bad> {
        let io = |error| Bad::Error(LogError::io("read", self.header.name())(error));
        let start = window.get(at, BATCH_HEADER_BYTES).map_err(io)?;
        if at % BLOCK_BYTES == 0 && BatchHeader::decode(start, self.header.salt, at).is_some() {
            return Ok(Step::On(at + BATCH_HEADER_BYTES as u64));
        }
        if start.len() < 4 {
            return Err(Bad::Record("the file ends before it"));
        }
        let Some(length) = stated_length(start) else {
            // Padding is zero up to the next batch; entries that the index promises are never behind anything else.
            return match at % BLOCK_BYTES != 0 && start[..4] == [0; 4] {
                true => Ok(Step::On(round_up(at, BLOCK_BYTES))),
                false => Err(Bad::Record("neither a record nor a batch is here")),
            };
        };
        let bytes = window.get(at, length).map_err(io)?;
        if bytes.len() < length {
            return Err(Bad::Record("a record goes beyond the end of the file"));
        }
        let after = at + stride(length);
        match decode(bytes, self.header.salt, at) {
            Ok(RecordRef::Entry { group, index, term, kind, data, context, .. }) if group == self.group => {
                if index.0 != next {
                    return Err(Bad::Record("an entry does not follow the one before it"));
                }
                if next >= self.stretch.first {
                    if !found.take(owned_entry(index, term, kind, data, context)) {
                        return Ok(Step::Full);
                    }
                    found.last = Some((next, at));
                }
                Ok(Step::Entry(after))
            }
            Ok(_) => Ok(Step::On(after)),
            Err(BadRecord::Broken(reason)) => Err(Bad::Record(reason)),
            Err(BadRecord::UnknownKind(kind)) => {
                Err(Bad::Error(LogError::UnsupportedRecord { segment: self.header.name(), offset: at, kind }))
            }
        }
    }

    /// Index and offset of the next entry that can be read in a later batch than that of the bad record at `at`.
    fn resume(&self, next: u64, at: u64) -> Option<(u64, u64)> {
        let (group, salt) = (self.group, self.header.salt);
        let mut window = Window::new(self.file, READ_BYTES_MIN as usize);
        let known = self.stretch.jumps.iter().find(|(index, offset)| *index > next && *offset > at).copied();
        let mut block_at = round_up(at + 1, BLOCK_BYTES);
        while known.is_none_or(|(_, offset)| block_at < offset) {
            let start = window.get(block_at, BATCH_HEADER_BYTES).ok()?;
            if start.is_empty() {
                break;
            }
            let Some(batch) = BatchHeader::decode(start, salt, block_at) else {
                block_at += BLOCK_BYTES;
                continue;
            };
            let body_at = block_at + BATCH_HEADER_BYTES as u64;
            let body = window.get(body_at, batch.length as usize).ok()?;
            let first = records(body, body_at).find_map(|(offset, bytes)| match decode(bytes, salt, offset) {
                Ok(RecordRef::Entry { group: of, index, .. }) if of == group && index.0 > next => Some((index.0, offset)),
                _ => None,
            });
            if first.is_some() {
                return first.filter(|(index, _)| *index <= self.stretch.last);
            }
            block_at += batch.padded_bytes();
        }
        known
    }
}

/// What a step has met, and where the next record is.
enum Step {
    On(u64),
    Entry(u64),
    Full,
}
