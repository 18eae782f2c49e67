//! What the log's tests share.

pub mod damage;
pub mod disk;
pub mod follower;
pub mod outline;
pub mod steps;
pub mod verdict;

use bytes::Bytes;
use disk::SimDisk;
use std::collections::BTreeMap;
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{
    GroupRecovery, HardState, Log, LogEntry, LogError, LogOptions, LogReader, Op, Recovery, ScannedRecord, SnapshotMark,
    Wanted,
};

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
    LogOptions { segment_bytes: SEGMENT, spare_segments: 1, reserve_bytes: 0 }
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

pub fn mark(group: GroupId, index: u64, term: u64, first: u64, prior_term: u64) -> Op {
    let mark = SnapshotMark { index: Index(index), term: Term(term), first: Index(first), prior_term: Term(prior_term) };
    Op::Mark { group, mark }
}

/// What a scanned record does, as an operation; `None` for what a segment only says again.
pub fn replayed(record: ScannedRecord) -> Option<Op> {
    let one = |entry| vec![entry];
    Some(match record {
        ScannedRecord::Entry { group, entry } => entries(group, one(entry)),
        ScannedRecord::Truncate { group, from } => Op::Truncate { group, from },
        ScannedRecord::HardState { group, state } => Op::HardState { group, state },
        ScannedRecord::Repair { group, entry } => Op::Repair { group, entries: one(entry) },
        ScannedRecord::Relocate { group, entry } => Op::Relocate { group, entries: one(entry) },
        ScannedRecord::Mark { group, mark } => Op::Mark { group, mark },
        ScannedRecord::Carry { .. } => return None,
    })
}

/// A group of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelGroup {
    pub hard_state: HardState,
    pub mark: SnapshotMark,
    pub entries: Vec<LogEntry>,
}

impl ModelGroup {
    pub fn first(&self) -> u64 {
        self.mark.first.0.max(1)
    }

    pub fn last(&self) -> u64 {
        self.first() - 1 + self.entries.len() as u64
    }

    pub fn entry(&self, index: u64) -> &LogEntry {
        &self.entries[(index - self.first()) as usize]
    }

    /// Term of an entry, or of the one before the first.
    pub fn term(&self, index: u64) -> u64 {
        if index < self.first() { self.mark.prior_term.0 } else { self.entry(index).term.0 }
    }
}

/// What the log must hold, kept beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub groups: BTreeMap<GroupId, ModelGroup>,
}

impl Model {
    pub fn apply(&mut self, ops: &[Op]) {
        // Repairs and relocations change where an entry lies, not what the log holds.
        for op in ops.iter().filter(|op| !matches!(op, Op::Repair { .. } | Op::Relocate { .. })) {
            let group = self.groups.entry(op.group()).or_default();
            match op {
                Op::Truncate { from, .. } => group.entries.truncate((from.0 - group.first()) as usize),
                Op::Entries { entries, .. } => group.entries.extend(entries.iter().cloned()),
                Op::HardState { state, .. } => group.hard_state = *state,
                Op::Mark { mark, .. } => {
                    let dropped = (mark.first.0 - group.first()).min(group.entries.len() as u64);
                    group.entries.drain(..dropped as usize);
                    group.mark = *mark;
                }
                Op::Repair { .. } | Op::Relocate { .. } => {}
            }
        }
    }

    pub fn after(&self, ops: &[Op]) -> Model {
        let mut next = self.clone();
        next.apply(ops);
        next
    }

    pub fn group(&self, group: GroupId) -> ModelGroup {
        self.groups.get(&group).cloned().unwrap_or_default()
    }

    pub fn last(&self, group: GroupId) -> u64 {
        self.groups.get(&group).map_or(0, ModelGroup::last)
    }

    /// Recovery and model say the same.
    pub fn recovered_as(&self, recovery: &Recovery) -> bool {
        let ids = self.groups.keys().chain(recovery.groups.keys());
        ids.into_iter().all(|id| {
            let group = self.group(*id);
            let found = recovery.groups.get(id).cloned().unwrap_or(GroupRecovery { first_index: Index(1), ..Default::default() });
            let mut terms: Vec<(Index, Term)> = Vec::new();
            if group.first() > 1 {
                terms.push((Index(group.first() - 1), group.mark.prior_term));
            }
            for entry in &group.entries {
                if terms.last().is_none_or(|(_, term)| *term != entry.term) {
                    terms.push((entry.index, entry.term));
                }
            }
            let last = Index(group.last());
            let state = HardState { commit: group.hard_state.commit.min(last), ..group.hard_state };
            let snapshot = (group.mark != SnapshotMark::default()).then_some((group.mark.index, group.mark.term));
            let bounds = (found.first_index.0, found.prior_term, found.last_index);
            bounds == (group.first(), group.mark.prior_term, last)
                && found.terms == terms
                && found.hard_state == state
                && found.snapshot == snapshot
        })
    }

    /// What it holds in short, for messages: hard state, mark, and index, term and length of each entry.
    pub fn outline(&self) -> String {
        let group = |(id, group): (&GroupId, &ModelGroup)| {
            let entries: Vec<_> = group.entries.iter().map(|e| (e.index.0, e.term.0, e.data.len())).collect();
            format!("{id}: {:?} {:?} {entries:?}", group.hard_state, group.mark)
        };
        self.groups.iter().map(group).collect::<Vec<_>>().join("\n")
    }

    /// As `recovered_as`, and every entry is the same.
    pub fn equals(&self, recovery: &Recovery, reader: &LogReader<SimDisk>) -> bool {
        self.recovered_as(recovery)
            && recovery.damaged.is_empty()
            && self.groups.iter().all(|(id, group)| {
                let (low, high) = (Index(group.first()), Index(group.last() + 1));
                group.entries.is_empty() || reader.entries(*id, low, high, u64::MAX).unwrap() == group.entries
            })
    }

    /// Reader and model say the same, read through in steps of `max_bytes`.
    pub fn assert_reads(&self, reader: &LogReader<SimDisk>, max_bytes: u64) {
        for (id, group) in &self.groups {
            assert_eq!((reader.first_index(*id).0, reader.last_index(*id).0), (group.first(), group.last()));
            let mut found = Vec::new();
            while found.len() < group.entries.len() {
                let (low, high) = (Index(group.first() + found.len() as u64), Index(group.last() + 1));
                let part = reader.entries(*id, low, high, max_bytes).unwrap();
                assert!(!part.is_empty());
                found.extend(part);
            }
            assert!(found == group.entries, "group {id} differs");
            for entry in &group.entries {
                assert_eq!(reader.term(*id, entry.index).unwrap(), entry.term);
            }
            if group.first() > 1 {
                let below = Index(group.first() - 1);
                assert_eq!(reader.term(*id, below).unwrap(), group.mark.prior_term);
                let read = reader.entries(*id, below, Index(group.first()), 0);
                assert!(matches!(read, Err(LogError::Compacted { .. })), "{read:?}");
            }
        }
    }
}
