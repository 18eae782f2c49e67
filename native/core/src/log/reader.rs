//! Reading entries back, from any thread, while the log is being written.

use super::batch::{BatchHeader, BATCH_HEADER_BYTES};
use super::cache::CachedSegment;
use super::disk::{Disk, DiskFile};
use super::error::LostRange;
use super::footer;
use super::index::SegmentIndex;
use super::layout::{round_up, segment_name, SegmentHeader, BLOCK_BYTES};
use super::record::{decode, owned_entry, stated_length, stride, BadRecord, RecordRef};
use super::recover::{read_superblock, recover, Access};
use super::segment_scan::scan_segment;
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
}

impl<D: Disk> LogReader<D> {
    pub(super) fn new(shared: Arc<Shared<D>>) -> Self {
        Self { shared }
    }

    /// Opens a log only for reading: not a byte is changed, a torn tail is passed over and reported. Whoever calls
    /// sees to it that nobody writes.
    pub fn open(disk: Arc<D>) -> Result<(Self, Recovery), LogError> {
        let (superblock, names) = read_superblock(&*disk)?;
        let (state, tail) = recover(&*disk, &superblock, &names, Access::Read)?;
        let recovery = Recovery {
            identity: superblock.identity,
            groups: state.recovered(),
            torn_bytes: tail.map_or(0, |tail| tail.torn_bytes),
            log_bytes: state.stats().log_bytes,
            segments: state.stats().segments,
        };
        Ok((Self::new(Arc::new(Shared::new(disk, state))), recovery))
    }

    /// Entries `low` up to, not including, `high`, as many as have `max_bytes` of data and context together, but at
    /// least one. Every byte read is checked: `Damaged` names the entries that are lost with a bad one.
    pub fn entries(&self, group: GroupId, low: Index, high: Index, max_bytes: u64) -> Result<Vec<LogEntry>, LogError> {
        let state = self.shared.read();
        let last = state.last_index(group);
        if low.0 == 0 || low > high || high.0 > last + 1 {
            let (first, last) = (Index(1), Index(last));
            return Err(LogError::OutOfRange { group, low, high, first, last });
        }
        if low == high {
            return Ok(Vec::new());
        }
        let last = high.0 - 1;
        let sealed: Vec<(u64, u64, u64)> = state
            .sealed_ranges(group, low.0, last)
            .map(|range| (range.segment, range.first.max(low.0), range.last.min(last)))
            .collect();
        let active = state.active.as_ref().map(|active| {
            let stretches = stretches(&active.index, group, low.0, last);
            (active.file.clone(), active.header.clone(), stretches)
        });
        drop(state);

        let mut found = Collected { entries: Vec::new(), bytes: 0, max_bytes };
        for (sequence, first, last) in sealed {
            let header = self.header(sequence)?;
            let segment = self.sealed(sequence, &header)?;
            for stretch in stretches(&segment.index, group, first, last) {
                if !read_stretch(&segment.file, &header, group, &stretch, &mut found)? {
                    return Ok(found.entries);
                }
            }
        }
        if let Some((file, header, stretches)) = active {
            for stretch in stretches {
                if !read_stretch(&*file, &header, group, &stretch, &mut found)? {
                    break;
                }
            }
        }
        Ok(found.entries)
    }

    /// 0 for an empty or unknown group.
    pub fn last_index(&self, group: GroupId) -> Index {
        Index(self.shared.read().last_index(group))
    }

    pub fn term(&self, group: GroupId, index: Index) -> Result<Term, LogError> {
        let state = self.shared.read();
        state.term(group, index.0).map(Term).ok_or_else(|| {
            let (first, last) = (Index(1), Index(state.last_index(group)));
            LogError::OutOfRange { group, low: index, high: Index(index.0.saturating_add(1)), first, last }
        })
    }

    pub fn stats(&self) -> LogStats {
        self.shared.read().stats()
    }

    fn header(&self, sequence: u64) -> Result<SegmentHeader, LogError> {
        let state = self.shared.read();
        let segment = state.sealed.get(&sequence).map(|segment| segment.header.clone());
        segment.ok_or_else(|| LogError::MissingSegment { segment: segment_name(sequence) })
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
                None => scan_segment(&file, header, None, &mut |_, _| {})?.index,
            }),
        };
        let segment = Arc::new(CachedSegment { file, index });
        self.shared.cache().put(sequence, segment.clone());
        Ok(segment)
    }
}

fn stretches(index: &SegmentIndex, group: GroupId, low: u64, high: u64) -> Vec<Stretch> {
    let Some(part) = index.groups.get(&group) else { return Vec::new() };
    let parts = part.parts(low, high).into_iter();
    parts.filter_map(|(first, last)| Some(Stretch { first, last, start: part.nearest(first)? })).collect()
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
    while next <= stretch.last {
        let lost = || LostRange { group, first: Index(next.max(stretch.first)), last: Index(stretch.last) };
        let damaged = |reason| LogError::Damaged { segment: name.clone(), offset: at, reason, lost: vec![lost()] };
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
            Ok((record, _)) => record,
            Err(BadRecord::Broken(reason)) => return Err(damaged(reason)),
            Err(BadRecord::UnknownKind(kind)) => {
                return Err(LogError::UnsupportedRecord { segment: name, offset: at, kind })
            }
        };
        if let RecordRef::Entry { group: of, index, term, kind, data, context } = record {
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
