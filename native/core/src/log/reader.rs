//! Reading entries back, from any thread, while the log is being written.

use super::cache::CachedSegment;
use super::disk::Disk;
use super::footer;
use super::group::Extent;
use super::layout::{segment_name, SegmentHeader};
use super::open::recovery;
use super::recover::{read_superblock, recover, Access};
use super::segment_scan::{scan_segment, OnLoss};
use super::state::Shared;
use super::stretch::{stretches, Collected, Stretch};
use super::types::{LogEntry, LogStats, Recovery};
use super::LogError;
use crate::ids::{GroupId, Index, Term};
use std::sync::Arc;

/// Sees what is on disk: a batch appears when its sync is done, as a whole. Clones share everything.
pub struct LogReader<D: Disk> {
    shared: Arc<Shared<D>>,
}

impl<D: Disk> Clone for LogReader<D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
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
        let mut found = Collected::new(max_bytes);
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
        let cuts = state.cuts;
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
                    let held = stretches_of_active.iter_mut().filter(|stretch| extent.contains(stretch.first));
                    self.read_on(&**file, header, group, held, cuts, found)
                }
                _ => match self.read_sealed(sequence, group, &extent, cuts, found) {
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
        cuts: u64,
        found: &mut Collected,
    ) -> Result<bool, LogError> {
        let missing = || LogError::MissingSegment { segment: segment_name(sequence) };
        let header = self.header(sequence).ok_or_else(missing)?;
        let segment = self.sealed(sequence, &header)?;
        let mut stretches = stretches(&segment.index, group, extent.first, extent.last);
        self.read_on(&segment.file, &header, group, stretches.iter_mut(), cuts, found)
    }

    /// Reads stretches of one segment, from where a read before has ended if that is nearer than what the index says.
    /// False when the limit was reached.
    fn read_on<'a>(
        &self,
        file: &D::File,
        header: &SegmentHeader,
        group: GroupId,
        held: impl Iterator<Item = &'a mut Stretch>,
        cuts: u64,
        found: &mut Collected,
    ) -> Result<bool, LogError> {
        for stretch in held {
            let sequence = header.sequence;
            stretch.start = self.shared.bookmarks().nearest(cuts, sequence, group, stretch.first, stretch.start);
            found.last = None;
            let read = stretch.read(file, header, group, found);
            if let Some(last) = found.last {
                self.shared.bookmarks().moved(cuts, sequence, group, stretch.start, last);
            }
            if !read? {
                return Ok(false);
            }
        }
        Ok(true)
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
