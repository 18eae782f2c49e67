//! Reading entries back, from any thread, while the log is being written.

use super::batch::{BatchHeader, BATCH_HEADER_BYTES};
use super::cache::CachedSegment;
use super::disk::{Disk, DiskFile};
use super::error::LostRange;
use super::footer;
use super::group::Extent;
use super::index::SegmentIndex;
use super::layout::{round_up, segment_name, SegmentHeader, BLOCK_BYTES};
use super::record::{decode, owned_entry, stated_length, stride, BadRecord, RecordRef};
use super::open::recovery;
use super::recover::{read_superblock, recover, Access};
use super::segment_scan::{records, scan_segment, OnLoss};
use super::state::Shared;
use super::types::{LogEntry, LogStats, Recovery};
use super::walk::Window;
use super::LogError;
use crate::ids::{GroupId, Index, Term};
use std::sync::Arc;

const READ_BYTES_MIN: u64 = 64 * 1024;
const READ_BYTES_MAX: u64 = 1024 * 1024;

/// Sees what is on disk: a batch appears when its sync is done, as a whole. Clones share everything.
pub struct LogReader<D: Disk> {
    shared: Arc<Shared<D>>,
}

impl<D: Disk> Clone for LogReader<D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

/// A stretch of one group's entries that lie one after another in one segment.
struct Stretch {
    first: u64,
    last: u64,
    /// Index and offset of a record at or before `first`.
    start: (u64, u64),
    /// Later records of it that are known: what lies before them and is other groups' need not be walked.
    jumps: Vec<(u64, u64)>,
}

impl<D: Disk> LogReader<D> {
    pub(super) fn new(shared: Arc<Shared<D>>) -> Self {
        Self { shared }
    }

    /// Opens a log only for reading: not a byte is changed, a torn tail is passed over and reported, so are lost batches.
    /// Whoever calls sees to it that nobody writes.
    pub fn open(disk: Arc<D>) -> Result<(Self, Recovery), LogError> {
        let (superblock, names) = read_superblock(&*disk)?;
        let (state, tail) = recover(&*disk, &superblock, &names, Access::Read)?;
        let recovery = recovery(&state, tail.as_ref(), superblock.identity, &names);
        Ok((Self::new(Arc::new(Shared::new(disk, state))), recovery))
    }

    /// Entries `low` up to, not including, `high`, as many as have `max_bytes` of data and context together, but at
    /// least one. Every byte read is checked. Where an entry cannot be read the answer ends before it; if it is the
    /// first, the error is `Damaged` and names what is lost with it. `Compacted` below the group's first index.
    pub fn entries(&self, group: GroupId, low: Index, high: Index, max_bytes: u64) -> Result<Vec<LogEntry>, LogError> {
        let mut found = Collected { entries: Vec::new(), bytes: 0, max_bytes };
        loop {
            let from = Index(low.0.saturating_add(found.entries.len() as u64));
            let read = self.collect(group, from, high, &mut found);
            match read {
                // The segment was dropped meanwhile: its entries are compacted, or have a new home.
                Ok(Collecting::Dropped) => {}
                Ok(Collecting::Done) => return Ok(found.entries),
                Err(_) if !found.entries.is_empty() => return Ok(found.entries),
                Err(error) => return Err(error),
            }
        }
    }

    fn collect(
        &self,
        group: GroupId,
        low: Index,
        high: Index,
        found: &mut Collected,
    ) -> Result<Collecting, LogError> {
        let state = self.shared.read();
        let (first, last) = state.bounds(group);
        if low.0 < first && low.0 > 0 {
            return Err(LogError::Compacted { group, index: low, first: Index(first) });
        }
        if low.0 == 0 || low > high || high.0 > last + 1 {
            return Err(LogError::OutOfRange { group, low, high, first: Index(first), last: Index(last) });
        }
        if low == high {
            return Ok(Collecting::Done);
        }
        let extents = state.groups.get(&group).map(|group| group.extents(low.0, high.0 - 1).collect());
        let extents: Vec<Extent> = extents.unwrap_or_default();
        let active = state.active.as_ref().map(|active| {
            let held = extents.iter().filter(|extent| extent.segment == Some(active.header.sequence));
            let stretches = held.flat_map(|held| stretches(&active.index, group, held.first, held.last)).collect();
            (active.file.clone(), active.header.clone(), stretches)
        });
        drop(state);
        let mut stretches_of_active: Vec<Stretch> = Vec::new();
        let mut newest = None;
        if let Some((file, header, stretches)) = active {
            stretches_of_active = stretches;
            newest = Some((file, header));
        }
        for extent in extents {
            let Some(sequence) = extent.segment else {
                return Err(self.shared.read().lost(group, extent.first, extent.last));
            };
            let goes_on = match &newest {
                Some((file, header)) if header.sequence == sequence => {
                    let held = stretches_of_active.iter().filter(|stretch| extent.contains(stretch.first));
                    read_stretches(&**file, header, group, held, found)
                }
                _ => match self.read_sealed(sequence, group, &extent, found) {
                    Err(_) if self.header(sequence).is_none() => return Ok(Collecting::Dropped),
                    read => read,
                },
            };
            if !goes_on.map_err(|error| self.with_next_term(error))? {
                break;
            }
        }
        Ok(Collecting::Done)
    }

    fn read_sealed(
        &self,
        sequence: u64,
        group: GroupId,
        extent: &Extent,
        found: &mut Collected,
    ) -> Result<bool, LogError> {
        let missing = || LogError::MissingSegment { segment: segment_name(sequence) };
        let header = self.header(sequence).ok_or_else(missing)?;
        let segment = self.sealed(sequence, &header)?;
        let stretches = stretches(&segment.index, group, extent.first, extent.last);
        read_stretches(&segment.file, &header, group, stretches.iter(), found)
    }

    /// Completes the error of a read with what the log knows about what follows the loss.
    fn with_next_term(&self, error: LogError) -> LogError {
        match error {
            LogError::Damaged { segment, offset, reason, mut lost } => {
                let state = self.shared.read();
                for range in &mut lost {
                    if let Some(group) = state.groups.get(&range.group) {
                        *range = group.lost_range(range.group, range.first.0, range.last.0);
                    }
                }
                LogError::Damaged { segment, offset, reason, lost }
            }
            other => other,
        }
    }

    /// 1 for an empty or unknown group.
    pub fn first_index(&self, group: GroupId) -> Index {
        Index(self.shared.read().bounds(group).0)
    }

    /// `first_index - 1` for an empty group, 0 for an unknown one.
    pub fn last_index(&self, group: GroupId) -> Index {
        Index(self.shared.read().bounds(group).1)
    }

    /// Term of an entry, or of the one before the first. `Compacted` below that, `Damaged` where the entry is lost.
    pub fn term(&self, group: GroupId, index: Index) -> Result<Term, LogError> {
        self.shared.read().term(group, index)
    }

    pub fn stats(&self) -> LogStats {
        self.shared.read().stats()
    }

    /// `None` for a segment that was dropped.
    fn header(&self, sequence: u64) -> Option<SegmentHeader> {
        self.shared.read().sealed.get(&sequence).map(|segment| segment.header.clone())
    }

    /// File and index of a sealed segment, from the cache or its footer.
    fn sealed(&self, sequence: u64, header: &SegmentHeader) -> Result<Arc<CachedSegment<D::File>>, LogError> {
        if let Some(cached) = self.shared.cache().get(sequence) {
            return Ok(cached);
        }
        let name = segment_name(sequence);
        let file = self.shared.disk.open(&name).map_err(LogError::io("open", &name))?;
        let pinned = self.shared.read().sealed.get(&sequence).and_then(|segment| segment.pinned.clone());
        let index = match pinned {
            Some(index) => index,
            None => Arc::new(match footer::read(&file, header)? {
                Some(footer) => footer.index,
                // It was there when the log was opened; what it indexed still is.
                None => scan_segment(&file, header, None, OnLoss::PassOver, &mut |_, _| {})?.index(&name)?,
            }),
        };
        let segment = Arc::new(CachedSegment { file, index });
        self.shared.cache().put(sequence, segment.clone());
        Ok(segment)
    }
}

enum Collecting {
    Done,
    /// A segment that held entries is gone.
    Dropped,
}

fn stretches(index: &SegmentIndex, group: GroupId, low: u64, high: u64) -> Vec<Stretch> {
    let Some(part) = index.groups.get(&group) else { return Vec::new() };
    let parts = part.parts(low, high).into_iter();
    let stretch = |(first, last)| {
        let points = &part.points[part.points.partition_point(|(index, _)| *index <= first)..];
        let jumps = points[..points.partition_point(|(index, _)| *index <= last)].to_vec();
        Some(Stretch { first, last, start: part.nearest(first)?, jumps })
    };
    parts.filter_map(stretch).collect()
}

struct Collected {
    entries: Vec<LogEntry>,
    bytes: u64,
    max_bytes: u64,
}

impl Collected {
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

fn read_stretches<'a, F: DiskFile>(
    file: &F,
    header: &SegmentHeader,
    group: GroupId,
    stretches: impl Iterator<Item = &'a Stretch>,
    found: &mut Collected,
) -> Result<bool, LogError> {
    for stretch in stretches {
        if !read_stretch(file, header, group, stretch, found)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Walks the records of a stretch; false when the limit was reached.
fn read_stretch<F: DiskFile>(
    file: &F,
    header: &SegmentHeader,
    group: GroupId,
    stretch: &Stretch,
    found: &mut Collected,
) -> Result<bool, LogError> {
    let name = header.name();
    let read_bytes = found.max_bytes.saturating_add(READ_BYTES_MIN).min(READ_BYTES_MAX) as usize;
    let mut window = Window::new(file, read_bytes);
    let (mut next, mut at) = stretch.start;
    let mut jumps = stretch.jumps.iter().peekable();
    while next <= stretch.last {
        while let Some((index, offset)) = jumps.next_if(|(index, _)| *index <= next) {
            at = if *index == next { *offset } else { at };
        }
        let damaged = |reason| {
            let last = lost_up_to(file, header, group, stretch, next, at);
            let lost = LostRange { group, first: Index(next.max(stretch.first)), last: Index(last), next_term: None };
            LogError::Damaged { segment: name.clone(), offset: at, reason, lost: vec![lost] }
        };
        let io = |error| LogError::io("read", &name)(error);
        let start = window.get(at, BATCH_HEADER_BYTES).map_err(io)?;
        if at % BLOCK_BYTES == 0 && BatchHeader::decode(start, header.salt, at).is_some() {
            at += BATCH_HEADER_BYTES as u64;
            continue;
        }
        let Some(length) = stated_length(start) else {
            // Padding is zero up to the next batch; entries that the index promises are never behind anything else.
            let padding = at % BLOCK_BYTES != 0 && start.len() >= 4 && start[..4] == [0; 4];
            if !padding {
                return Err(damaged("neither a record nor a batch is here"));
            }
            at = round_up(at, BLOCK_BYTES);
            continue;
        };
        let bytes = window.get(at, length).map_err(io)?;
        if bytes.len() < length {
            return Err(damaged("a record goes beyond the end of the file"));
        }
        let record = match decode(bytes, header.salt, at) {
            Ok(record) => record,
            Err(BadRecord::Broken(reason)) => return Err(damaged(reason)),
            Err(BadRecord::UnknownKind(kind)) => {
                return Err(LogError::UnsupportedRecord { segment: name, offset: at, kind })
            }
        };
        if let RecordRef::Entry { group: of, index, term, kind, data, context, .. } = record {
            if of == group {
                if index.0 != next {
                    return Err(damaged("an entry does not follow the one before it"));
                }
                if next >= stretch.first && !found.take(owned_entry(index, term, kind, data, context)) {
                    return Ok(false);
                }
                next += 1;
            }
        }
        at += stride(length);
    }
    Ok(true)
}

/// Last index that is lost with the bad record at `at`: all up to the first entry of a later batch.
fn lost_up_to<F: DiskFile>(
    file: &F,
    header: &SegmentHeader,
    group: GroupId,
    stretch: &Stretch,
    next: u64,
    at: u64,
) -> u64 {
    let mut window = Window::new(file, READ_BYTES_MIN as usize);
    let known = stretch.jumps.iter().find(|(index, offset)| *index > next && *offset > at);
    let mut block_at = round_up(at + 1, BLOCK_BYTES);
    // A point is no further away than this, if there are entries so far.
    while known.is_none_or(|(_, offset)| block_at < *offset) {
        let Ok(start) = window.get(block_at, BATCH_HEADER_BYTES) else { break };
        if start.is_empty() {
            break;
        }
        let Some(batch) = BatchHeader::decode(start, header.salt, block_at) else {
            block_at += BLOCK_BYTES;
            continue;
        };
        let body_at = block_at + BATCH_HEADER_BYTES as u64;
        let body = window.get(body_at, batch.length as usize).unwrap_or_default();
        let first = records(body, body_at).find_map(|(offset, bytes)| match decode(bytes, header.salt, offset) {
            Ok(RecordRef::Entry { group: of, index, .. }) if of == group && index.0 > next => Some(index.0),
            _ => None,
        });
        if let Some(first) = first {
            return stretch.last.min(first - 1);
        }
        block_at += batch.padded_bytes();
    }
    known.map_or(stretch.last, |(index, _)| stretch.last.min(index - 1))
}
