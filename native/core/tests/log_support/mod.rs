//! What the log's tests share.

#![allow(dead_code)] // Each test file uses a part of it.

pub mod disk;

use bytes::Bytes;
use disk::SimDisk;
use std::collections::BTreeMap;
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{HardState, Log, LogEntry, LogError, LogOptions, LogReader, Op, Recovery, Wanted};

pub const GROUP: GroupId = GroupId(0);

/// Four blocks of batches and a footer.
pub const SEGMENT: u64 = 8 * 4096;

pub fn wanted() -> Wanted {
    Wanted {
        cluster_id: "test".to_owned(),
        node_id: "a".to_owned(),
        fresh_directory_id: [7; 16],
        salt_seed: 0x5eed,
    }
}

pub fn options() -> LogOptions {
    LogOptions { segment_bytes: SEGMENT, spare_segments: 1 }
}

pub fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovery), LogError> {
    Log::open(Arc::new(disk.clone()), options(), wanted())
}

pub fn entry(index: u64, term: u64, data: impl Into<Bytes>) -> LogEntry {
    LogEntry { index: Index(index), term: Term(term), kind: 0, data: data.into(), context: Bytes::new() }
}

pub fn entries(group: GroupId, entries: Vec<LogEntry>) -> Op {
    Op::Entries { group, entries }
}

pub fn truncate(group: GroupId, from: u64) -> Op {
    Op::Truncate { group, from: Index(from) }
}

pub fn hard_state(group: GroupId, term: u64, vote: u64, commit: u64) -> Op {
    let state = HardState { term: Term(term), vote: MemberId(vote), commit: Index(commit) };
    Op::HardState { group, state }
}

/// Bytes that tell entries apart.
pub fn payload(index: u64, term: u64, length: usize) -> Bytes {
    let seed = index.wrapping_mul(31).wrapping_add(term.wrapping_mul(17)) as usize;
    (0..length).map(|i| (seed + i * 7) as u8 | 1).collect::<Vec<u8>>().into()
}

/// Entries of one term, ready to append.
pub fn run(low: u64, high: u64, term: u64, length: usize) -> Op {
    entries(GROUP, (low..=high).map(|index| entry(index, term, payload(index, term, length))).collect())
}

/// What the log must hold, kept beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub groups: BTreeMap<GroupId, (HardState, Vec<LogEntry>)>,
}

impl Model {
    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Truncate { group, from } => {
                    self.groups.entry(*group).or_default().1.truncate(from.0 as usize - 1);
                }
                Op::Entries { group, entries } => {
                    self.groups.entry(*group).or_default().1.extend(entries.iter().cloned());
                }
                Op::HardState { group, state } => self.groups.entry(*group).or_default().0 = *state,
            }
        }
    }

    pub fn after(&self, ops: &[Op]) -> Model {
        let mut next = self.clone();
        next.apply(ops);
        next
    }

    pub fn last(&self, group: GroupId) -> u64 {
        self.groups.get(&group).map_or(0, |(_, entries)| entries.len() as u64)
    }

    /// Recovery and model say the same.
    pub fn recovered_as(&self, recovery: &Recovery) -> bool {
        let empty = (HardState::default(), Vec::new());
        let ids = self.groups.keys().chain(recovery.groups.keys());
        ids.into_iter().all(|id| {
            let (state, entries) = self.groups.get(id).unwrap_or(&empty);
            let found = recovery.groups.get(id).cloned().unwrap_or_default();
            let mut terms: Vec<(Index, Term)> = Vec::new();
            for entry in entries {
                if terms.last().is_none_or(|(_, term)| *term != entry.term) {
                    terms.push((entry.index, entry.term));
                }
            }
            let last = Index(entries.len() as u64);
            let state = HardState { commit: state.commit.min(last), ..*state };
            found.last_index == last && found.terms == terms && found.hard_state == state
        })
    }

    /// What it holds in short, for messages: hard state, and index, term and length of each entry.
    pub fn outline(&self) -> String {
        let group = |(id, (state, entries)): (&GroupId, &(HardState, Vec<LogEntry>))| {
            let entries: Vec<_> = entries.iter().map(|e| (e.index.0, e.term.0, e.data.len())).collect();
            format!("{id}: {state:?} {entries:?}")
        };
        self.groups.iter().map(group).collect::<Vec<_>>().join("\n")
    }

    /// As `recovered_as`, and every entry is the same.
    pub fn equals(&self, recovery: &Recovery, reader: &LogReader<SimDisk>) -> bool {
        self.recovered_as(recovery)
            && self.groups.iter().all(|(id, (_, expected))| {
                let high = Index(expected.len() as u64 + 1);
                expected.is_empty() || reader.entries(*id, Index(1), high, u64::MAX).unwrap() == *expected
            })
    }

    /// Reader and model say the same, read through in steps of `max_bytes`.
    pub fn assert_reads(&self, reader: &LogReader<SimDisk>, max_bytes: u64) {
        for (id, (_, expected)) in &self.groups {
            assert_eq!(reader.last_index(*id), Index(expected.len() as u64));
            let mut found = Vec::new();
            while found.len() < expected.len() {
                let (low, high) = (Index(found.len() as u64 + 1), Index(expected.len() as u64 + 1));
                let part = reader.entries(*id, low, high, max_bytes).unwrap();
                assert!(!part.is_empty());
                found.extend(part);
            }
            assert!(found == *expected, "group {id} differs");
            for entry in expected {
                assert_eq!(reader.term(*id, entry.index).unwrap(), entry.term);
            }
        }
    }
}
