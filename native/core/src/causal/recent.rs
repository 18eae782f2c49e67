//! The entries that came last, in memory: readers and members that keep up are served from here. What was written past the
//! page cache would have to come back from the disk, and an origin's entries from between those of all others.

use crate::ids::{GroupId, Index};
use crate::log::LogEntry;
use crate::ordered::store::EntryReader;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{PoisonError, RwLock};

/// Bytes of entries that are kept, what each takes besides included.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What an entry takes besides its data and context.
const OVERHEAD_BYTES: usize = 256;

/// Of each origin the last entries without a gap. Whoever reads sees to it that what it asks for is on disk.
#[derive(Debug, Default)]
pub struct Recent {
    kept: RwLock<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    logs: BTreeMap<GroupId, VecDeque<LogEntry>>,
    /// Whose the entries are, in the order in which they came.
    order: VecDeque<GroupId>,
    bytes: usize,
}

fn size_of(entry: &LogEntry) -> usize {
    entry.data.len() + entry.context.len() + OVERHEAD_BYTES
}

impl Recent {
    /// Takes note of the next entry of an origin's log; where it does not follow the last one, of nothing before it.
    pub(super) fn push(&self, group: GroupId, entry: &LogEntry) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        let log = kept.logs.entry(group).or_default();
        if log.back().is_some_and(|last| last.index.0 + 1 != entry.index.0) {
            kept.bytes -= log.drain(..).map(|entry| size_of(&entry)).sum::<usize>();
            kept.order.retain(|other| *other != group);
        }
        log.push_back(entry.clone());
        kept.order.push_back(group);
        kept.bytes += size_of(entry);
        while kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            let gone = kept.logs.get_mut(&oldest).and_then(VecDeque::pop_front);
            kept.bytes -= gone.as_ref().map_or(0, size_of);
        }
    }

    /// An entry is another on disk by now: it and what is before it are read from there.
    pub(super) fn forget(&self, group: GroupId, through: Index) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        let Some(log) = kept.logs.get_mut(&group) else { return };
        let gone = log.partition_point(|entry| entry.index <= through);
        kept.bytes -= log.drain(..gone).map(|entry| size_of(&entry)).sum::<usize>();
        let mut left = gone;
        kept.order.retain(|other| {
            let goes = *other == group && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }

    /// Entries `[low, high)`, at least one, then as many as fit; `None` where the first is not here.
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Option<Vec<LogEntry>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let log = kept.logs.get(&group)?;
        let from = low.0.checked_sub(log.front()?.index.0)? as usize;
        let mut bytes = 0;
        let fits = |entry: &&LogEntry| {
            let first = bytes == 0;
            bytes += (entry.data.len() + entry.context.len()) as u64;
            entry.index < high && (first || bytes <= bytes_max)
        };
        let found: Vec<LogEntry> = log.range(from.min(log.len())..).take_while(fits).cloned().collect();
        (!found.is_empty()).then_some(found)
    }

    /// The log as somebody reads it who is nearly up to date.
    pub fn over<'a, R>(&'a self, log: &'a R) -> Over<'a, R> {
        Over { recent: self, log }
    }
}

/// Entries from memory where the first of them is there, else from the log.
pub struct Over<'a, R> {
    recent: &'a Recent,
    log: &'a R,
}

impl<R> Clone for Over<'_, R> {
    fn clone(&self) -> Self {
        Self { recent: self.recent, log: self.log }
    }
}

impl<R: EntryReader> EntryReader for Over<'_, R> {
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String> {
        match self.recent.entries(group, low, high, bytes_max) {
            Some(entries) => Ok(entries),
            None => self.log.entries(group, low, high, bytes_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Term;
    use bytes::Bytes;

    const A: GroupId = GroupId(1);
    const B: GroupId = GroupId(2);

    fn entry(index: u64, bytes: usize) -> LogEntry {
        LogEntry { index: Index(index), term: Term(1), kind: 0, data: Bytes::from(vec![index as u8; bytes]), context: Bytes::new() }
    }

    fn indexes(recent: &Recent, group: GroupId, low: u64, high: u64, bytes_max: u64) -> Option<Vec<u64>> {
        let entries = recent.entries(group, Index(low), Index(high), bytes_max)?;
        Some(entries.iter().map(|entry| entry.index.0).collect())
    }

    #[test]
    fn entries_are_found_from_the_first_that_is_kept_on() {
        let recent = Recent::default();
        (5..9).for_each(|index| recent.push(A, &entry(index, 10)));
        recent.push(B, &entry(1, 10));
        assert_eq!(indexes(&recent, A, 4, 9, 100), None);
        assert_eq!(indexes(&recent, A, 5, 9, 100), Some(vec![5, 6, 7, 8]));
        assert_eq!(indexes(&recent, A, 6, 8, 100), Some(vec![6, 7]));
        assert_eq!(indexes(&recent, A, 6, 9, 20), Some(vec![6, 7]));
        assert_eq!(indexes(&recent, A, 6, 9, 1), Some(vec![6]), "one at least");
        assert_eq!(indexes(&recent, A, 9, 12, 100), None);
        assert_eq!(indexes(&recent, A, 7, 7, 100), None);
        assert_eq!(indexes(&recent, GroupId(3), 1, 2, 100), None);
    }

    #[test]
    fn a_log_that_begins_elsewhere_has_no_gap() {
        let recent = Recent::default();
        [1, 2, 7].iter().for_each(|index| recent.push(A, &entry(*index, 10)));
        assert_eq!(indexes(&recent, A, 1, 8, 100), None);
        assert_eq!(indexes(&recent, A, 7, 8, 100), Some(vec![7]));
        let kept = recent.kept.read().expect("nobody panics");
        assert_eq!((kept.bytes, kept.order.len()), (10 + OVERHEAD_BYTES, 1));
    }

    #[test]
    fn what_is_another_by_now_is_not_read_from_here() {
        let recent = Recent::default();
        (1..=4).for_each(|index| [A, B].iter().for_each(|group| recent.push(*group, &entry(index, 10))));
        recent.forget(A, Index(2));
        assert_eq!((indexes(&recent, A, 2, 5, 100), indexes(&recent, A, 3, 5, 100)), (None, Some(vec![3, 4])));
        assert_eq!(indexes(&recent, B, 1, 5, 100), Some(vec![1, 2, 3, 4]));
        let kept = recent.kept.read().expect("nobody panics");
        assert_eq!((kept.bytes, kept.order.len()), (6 * (10 + OVERHEAD_BYTES), 6));
    }

    #[test]
    fn what_came_first_goes_first_and_memory_is_bounded() {
        let recent = Recent::default();
        let large = BYTES_MAX / 4;
        recent.push(B, &entry(1, large));
        (1..=10).for_each(|index| recent.push(A, &entry(index, large)));
        assert_eq!(indexes(&recent, B, 1, 2, 100), None);
        assert_eq!(indexes(&recent, A, 7, 11, 100), None);
        assert_eq!(indexes(&recent, A, 8, 11, u64::MAX), Some(vec![8, 9, 10]));
        assert!(recent.kept.read().expect("nobody panics").bytes <= BYTES_MAX);
    }
}
