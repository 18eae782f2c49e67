//! What raft reads of its log: terms and bounds in memory, recent entries in a cache, the rest from the durable log.
//!
//! The cache is not an option: with asynchronous persistence raft reads entries back before they are durable.
//! Invariant: every entry after `durable` is in the cache; what is at or below it can be read from the log.

use crate::ids::{GroupId, Index, MemberId, Term};
use crate::log::{HardState, LogEntry};
use raft::eraftpb::{ConfState, Entry, EntryType};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use std::cell::Cell;
use std::collections::VecDeque;

/// Durable entries of a group, by position. Implemented by the log's reader and by the simulated one.
pub trait EntryReader {
    /// Entries `[low, high)`, at least one, then as many as fit `bytes_max`.
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String>;
}

/// Entries kept for followers that are nearly up to date, in bytes.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

pub struct Store<R> {
    group: GroupId,
    reader: R,
    hard_state: raft::eraftpb::HardState,
    conf_state: ConfState,
    last: u64,
    durable: u64,
    /// First index of each run of entries with one term, ascending.
    terms: Vec<(Index, Term)>,
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    /// Set when the log could not give what raft asked for: the node must stop.
    failed: Cell<Option<Index>>,
}

impl<R: EntryReader> Store<R> {
    pub fn new(
        group: GroupId,
        reader: R,
        hard: HardState,
        last: Index,
        terms: Vec<(Index, Term)>,
        voters: &[MemberId],
    ) -> Self {
        let mut hard_state = raft::eraftpb::HardState::default();
        // The log may have lost an unsynced tail that the commit mark already covered only if nobody was told of it.
        (hard_state.term, hard_state.vote, hard_state.commit) = (hard.term.0, hard.vote.0, hard.commit.0.min(last.0));
        let mut conf_state = ConfState::default();
        conf_state.set_voters(voters.iter().map(|id| id.0).collect());
        Self {
            group,
            reader,
            hard_state,
            conf_state,
            last: last.0,
            durable: last.0,
            terms,
            cache: VecDeque::new(),
            cache_bytes: 0,
            failed: Cell::new(None),
        }
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
            while self.terms.last().is_some_and(|(index, _)| index.0 >= first) {
                self.terms.pop();
            }
            self.durable = self.durable.min(first - 1);
        }
        for entry in entries {
            if self.terms.last().is_none_or(|(_, term)| term.0 != entry.term) {
                self.terms.push((Index(entry.index), Term(entry.term)));
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
        if index.0 > self.last {
            return None;
        }
        let run = self.terms.partition_point(|(first, _)| *first <= index);
        run.checked_sub(1).map(|run| self.terms[run].1)
    }

    /// Index that the durable log could not give.
    pub fn failed(&self) -> Option<Index> {
        self.failed.get()
    }

    fn cache_first(&self) -> u64 {
        self.cache.front().map_or(self.last + 1, |entry| entry.index)
    }

    fn durable_entries(&self, low: u64, high: u64, bytes_max: u64) -> raft::Result<Vec<Entry>> {
        match self.reader.entries(self.group, Index(low), Index(high), bytes_max) {
            Ok(entries) => Ok(entries.into_iter().map(entry_to_raft).collect()),
            Err(_) => {
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
        self.term_of(Index(index)).map(|term| term.0).ok_or(raft::Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<raft::eraftpb::Snapshot> {
        // The log is never cut at its front in this version, so that no follower can need one.
        Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
