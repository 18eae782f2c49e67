//! What raft reads of its log: terms and bounds in memory, recent entries in a cache, the rest from the durable log.
//!
//! The cache is not an option: with asynchronous persistence raft reads entries back before they are durable.
//! Invariant: every entry after `durable` is in the cache; what is at or below it can be read from the log.

use super::conf::Conf;
use crate::ids::{GroupId, Index, MemberId, Term};
use crate::log::{Disk, GroupRecovery, HardState, LogEntry, LogReader};
use crate::machine::Beginning;
use crate::snapshot::SnapshotInfo;
use raft::eraftpb::{ConfState, Entry, EntryType, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use std::cell::Cell;
use std::collections::VecDeque;

/// Durable entries of a group, by position. Implemented by the log's reader and by the simulated one.
pub trait EntryReader: Clone {
    /// Entries `[low, high)`, at least one, then as many as fit `bytes_max`.
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String>;
}

impl<D: Disk> EntryReader for LogReader<D> {
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String> {
        LogReader::entries(self, group, low, high, bytes_max).map_err(|error| error.to_string())
    }
}

/// Entries kept for followers that are nearly up to date, in bytes.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

pub struct Store<R> {
    group: GroupId,
    reader: R,
    hard_state: raft::eraftpb::HardState,
    conf_state: ConfState,
    /// The newest snapshot that a mark names, or is about to.
    snapshot: Option<SnapshotInfo>,
    /// A member needs a newer snapshot than there is.
    wanted: Cell<bool>,
    /// Invariant: first <= last + 1, and the term of entry first - 1 is known.
    first: u64,
    last: u64,
    durable: u64,
    /// First index of each run of entries with one term, ascending; covers first - 1 too, unless that is 0.
    terms: VecDeque<(Index, Term)>,
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    /// Raft sees nothing before it: terms of lost entries there are not known. 0 for no such limit.
    floor: u64,
    /// Set when the log could not give what raft asked for: what raft made of it must not be used.
    failed: Cell<Option<Index>>,
    /// As `failed`, for an entry that a snapshot covers: raft sends that instead.
    hole: Cell<Option<Index>>,
}

impl<R: EntryReader> Store<R> {
    /// `conf` is the configuration at the snapshot's index, or where the log begins.
    pub fn new(
        group: GroupId,
        reader: R,
        found: &GroupRecovery,
        snapshot: Option<SnapshotInfo>,
        conf: &Conf,
    ) -> Self {
        let mut hard_state = raft::eraftpb::HardState::default();
        let hard = found.hard_state;
        // The log may have lost an unsynced tail that the commit mark already covered only if nobody was told of it;
        // and what a snapshot holds was committed, whatever the mark says.
        let covered = snapshot.as_ref().map_or(0, |info| info.meta.index.0);
        let commit = hard.commit.0.min(found.last_index.0).max(covered);
        let term = hard.term.max(snapshot.as_ref().map_or(Term(0), |info| info.meta.term));
        (hard_state.term, hard_state.vote, hard_state.commit) = (term.0, hard.vote.0, commit);
        if term != hard.term {
            hard_state.vote = 0;
        }
        Self {
            group,
            reader,
            hard_state,
            conf_state: conf.to_raft(),
            snapshot,
            wanted: Cell::new(false),
            first: found.first_index.0.max(1),
            last: found.last_index.0,
            durable: found.last_index.0,
            terms: found.terms.iter().copied().collect(),
            cache: VecDeque::new(),
            cache_bytes: 0,
            floor: 0,
            failed: Cell::new(None),
            hole: Cell::new(None),
        }
    }

    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// Hides from raft what is before `floor`.
    pub fn set_floor(&mut self, floor: Index) {
        self.floor = floor.0;
    }

    pub fn floor(&self) -> Index {
        Index(self.floor)
    }

    /// The log as a start would find it. Right while all of it is durable.
    pub fn found(&self, commit: Index) -> GroupRecovery {
        let hard = &self.hard_state;
        GroupRecovery {
            hard_state: HardState { term: Term(hard.term), vote: MemberId(hard.vote), commit },
            first_index: Index(self.first),
            prior_term: self.term_of(Index(self.first - 1)).unwrap_or_default(),
            snapshot: self.snapshot.as_ref().map(|info| (info.meta.index, info.meta.term)),
            last_index: Index(self.last),
            terms: self.terms.iter().copied().collect(),
        }
    }

    /// Lost entries are back, whose terms were not known.
    pub fn repaired(&mut self, entries: &[LogEntry]) {
        let mut found = self.found(Index(0));
        found.repaired(entries);
        self.terms = found.terms.into();
    }

    /// Entries `[low, high)` for another member, as many as can be read and fit.
    pub fn readable(&self, low: Index, high: Index, bytes_max: u64) -> Vec<LogEntry> {
        let cache_first = self.cache_first();
        if low >= high {
            Vec::new()
        } else if low.0 >= cache_first {
            let mut bytes = 0;
            let fits = |entry: &&Entry| {
                let first = bytes == 0;
                bytes += entry.data.len() as u64 + 16;
                first || bytes <= bytes_max
            };
            let cached = self.cache.range((low.0 - cache_first) as usize..(high.0 - cache_first) as usize);
            cached.take_while(fits).map(entry_from_raft).collect()
        } else {
            self.reader.entries(self.group, low, high.min(Index(cache_first)), bytes_max).unwrap_or_default()
        }
    }

    pub fn durable(&self) -> Index {
        Index(self.durable)
    }

    pub fn set_conf(&mut self, conf: ConfState) {
        self.conf_state = conf;
    }

    pub fn snapshot_info(&self) -> Option<&SnapshotInfo> {
        self.snapshot.as_ref()
    }

    /// A snapshot was written; entries before `first` are no longer needed here.
    pub fn compacted(&mut self, info: SnapshotInfo, first: Index) {
        self.snapshot = Some(info);
        self.wanted.set(false);
        self.cut_before(first);
    }

    fn cut_before(&mut self, first: Index) {
        if first.0 <= self.first || first.0 > self.last + 1 {
            return;
        }
        let prior = Index(first.0 - 1);
        while self.terms.get(1).is_some_and(|(index, _)| *index <= prior) {
            self.terms.pop_front();
        }
        if let Some(run) = self.terms.front_mut() {
            run.0 = run.0.max(prior);
        }
        self.first = first.0;
        while self.cache.front().is_some_and(|entry| entry.index < first.0) {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |entry| entry.data.len());
        }
    }

    /// A received snapshot takes the place of the log behind `last`; what is there in front of it is hidden from raft.
    pub fn replaced(&mut self, info: SnapshotInfo, Beginning { first, prior_term, .. }: Beginning, last: Index) {
        let (index, term) = (info.meta.index, info.meta.term);
        let prior = Index(first.0 - 1);
        let runs = self.terms.iter().filter(|(from, _)| (first..=last).contains(from)).copied();
        let at_first = self.term_of(first).filter(|_| first <= last).map(|term| (first, term));
        let terms = [Some((prior, prior_term)).filter(|_| prior.0 > 0), at_first].into_iter().flatten();
        let mut terms: VecDeque<_> = terms.chain(runs).chain([(index, term)]).collect();
        let mut before = None;
        terms.retain(|(_, term)| before.replace(*term) != Some(*term));
        self.terms = terms;
        (self.first, self.last, self.durable, self.floor) = (first.0, index.0, index.0, index.0 + 1);
        self.cache.clear();
        self.cache_bytes = 0;
        self.conf_state = info.meta.conf.to_raft();
        self.snapshot = Some(info);
        self.wanted.set(false);
    }

    /// Whether a member waits for a newer snapshot than there is.
    pub fn snapshot_wanted(&self) -> bool {
        self.wanted.get()
    }

    pub fn first(&self) -> Index {
        Index(self.first)
    }

    /// Term of the entry before the first.
    pub fn prior_term(&self) -> Term {
        self.term_of(Index(self.first - 1)).unwrap_or_default()
    }

    /// Takes what raft wants persisted into the cache, before it is on disk. Answers where the log has to be cut
    /// first, if it has to.
    pub fn append(&mut self, entries: &[Entry]) -> Option<Index> {
        let first = entries.first()?.index;
        assert!(first <= self.last + 1, "raft appends without gaps: {first} after {}", self.last);
        let cut = first <= self.last;
        if cut {
            while self.cache.back().is_some_and(|entry| entry.index >= first) {
                self.cache_bytes -= self.cache.pop_back().map_or(0, |entry| entry.data.len());
            }
            while self.terms.back().is_some_and(|(index, _)| index.0 >= first) {
                self.terms.pop_back();
            }
            self.durable = self.durable.min(first - 1);
        }
        for entry in entries {
            if self.terms.back().is_none_or(|(_, term)| term.0 != entry.term) {
                self.terms.push_back((Index(entry.index), Term(entry.term)));
            }
            self.cache_bytes += entry.data.len();
            self.cache.push_back(entry.clone());
            self.last = entry.index;
        }
        cut.then_some(Index(first))
    }

    pub fn set_hard_state(&mut self, hard_state: raft::eraftpb::HardState) {
        self.hard_state = hard_state;
    }

    /// Everything up to `index` can be read from the log now; the cache may let go of it.
    pub fn made_durable(&mut self, index: Index) {
        self.durable = self.durable.max(index.0.min(self.last));
        while self.cache_bytes > CACHE_BYTES && self.cache.front().is_some_and(|entry| entry.index <= self.durable) {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |entry| entry.data.len());
        }
    }

    pub fn last(&self) -> Index {
        Index(self.last)
    }

    pub fn term_of(&self, index: Index) -> Option<Term> {
        if index.0 == 0 {
            return Some(Term(0));
        }
        if index.0 > self.last || index.0 + 1 < self.first {
            return None;
        }
        let run = self.terms.partition_point(|(first, _)| *first <= index);
        run.checked_sub(1).map(|run| self.terms[run].1)
    }

    /// Index that the durable log could not give.
    pub fn failed(&self) -> Option<Index> {
        self.failed.get()
    }

    /// Entry that is lost to followers and readers, but not to raft; once.
    pub fn take_hole(&self) -> Option<Index> {
        self.hole.take()
    }

    fn raft_first(&self) -> u64 {
        self.first.max(self.floor)
    }

    fn cache_first(&self) -> u64 {
        self.cache.front().map_or(self.last + 1, |entry| entry.index)
    }

    fn durable_entries(&self, low: u64, high: u64, bytes_max: u64) -> raft::Result<Vec<Entry>> {
        match self.reader.entries(self.group, Index(low), Index(high), bytes_max) {
            Ok(entries) => Ok(entries.into_iter().map(entry_to_raft).collect()),
            Err(_) => {
                let covered = self.snapshot.as_ref().is_some_and(|info| low <= info.meta.index.0);
                if covered {
                    self.hole.set(Some(Index(low)));
                    return Err(raft::Error::Store(StorageError::Compacted));
                }
                // Raft panics on an error here and takes an empty answer for a short one: the group looks at `failed`
                // before anything is made of it.
                let readable = |at: &u64| self.reader.entries(self.group, Index(*at), Index(at + 1), 1).is_ok();
                self.failed.set(Some(Index((low..high).find(|at| !readable(at)).unwrap_or(low))));
                Ok(Vec::new())
            }
        }
    }
}

/// The log's entry as raft knows it.
pub fn entry_to_raft(entry: LogEntry) -> Entry {
    let mut out = Entry::default();
    (out.index, out.term, out.data, out.context) = (entry.index.0, entry.term.0, entry.data, entry.context);
    out.set_entry_type(match entry.kind {
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => EntryType::EntryNormal,
    });
    out
}

/// Raft's entry as the log keeps it; the data is shared, not copied.
pub fn entry_from_raft(entry: &Entry) -> LogEntry {
    LogEntry {
        index: Index(entry.index),
        term: Term(entry.term),
        kind: entry.get_entry_type() as u8,
        data: entry.data.clone(),
        context: entry.context.clone(),
    }
}

impl<R: EntryReader> Storage for Store<R> {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        if low < self.raft_first() {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let cache_first = self.cache_first();
        if low < cache_first {
            // One source an answer: what the log gives first may be all that fits; raft asks again for the rest.
            return self.durable_entries(low, high.min(cache_first), bytes_max);
        }
        let mut out = Vec::new();
        let mut bytes = 0;
        for entry in self.cache.range((low - cache_first) as usize..(high - cache_first) as usize) {
            bytes += entry.data.len() as u64 + 16;
            if bytes > bytes_max && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let below = index + 1 < self.raft_first();
        let missing = if index < self.raft_first() { StorageError::Compacted } else { StorageError::Unavailable };
        self.term_of(Index(index)).filter(|_| !below).map(|term| term.0).ok_or(raft::Error::Store(missing))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.raft_first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    /// The newest snapshot, if it is new enough and knows the member it is for: a member takes none that it is not in.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let fits = |info: &&SnapshotInfo| {
            let index = info.meta.index.0;
            index >= request_index && index + 1 >= self.first && info.meta.conf.contains(MemberId(to))
        };
        let Some(info) = self.snapshot.as_ref().filter(fits) else {
            self.wanted.set(true);
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        };
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (info.meta.index.0, info.meta.term.0);
        metadata.set_conf_state(info.meta.conf.to_raft());
        Ok(snapshot)
    }
}
