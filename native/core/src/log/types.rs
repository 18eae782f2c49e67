//! What goes into the log and what comes out of opening it.

use crate::ids::{GroupId, Index, MemberId, Term};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Whose log a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster_id: String,
    pub node_id: String,
    /// Random id of this directory, given at its creation.
    pub directory: [u8; 16],
    /// Counts writable opens from 1; on disk before the open returns, so no two opens ever share one.
    pub incarnation: u64,
}

/// Who opens a log, and the randomness an open needs.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub cluster_id: String,
    pub node_id: String,
    /// Becomes the directory's id if the directory is new.
    pub fresh_directory_id: [u8; 16],
    /// Unpredictable; the salts of the segments that this open creates come from it.
    pub salt_seed: u64,
}

#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of a segment file in bytes, rounded up to whole blocks. A larger batch gets a segment of its own size.
    pub segment_bytes: u64,
    /// Zero-filled files kept ready by `SparePool::fill`.
    pub spare_segments: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024, spare_segments: 1 }
    }
}

/// One Raft entry. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub index: Index,
    pub term: Term,
    /// Raft's entry type number.
    pub kind: u8,
    pub data: Bytes,
    pub context: Bytes,
}

/// What Raft must not forget besides its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    pub term: Term,
    /// 0 for none.
    pub vote: MemberId,
    pub commit: Index,
}

/// One change to one group. A batch of them is durable as a whole or not at all.
#[derive(Clone, Debug)]
pub enum Op {
    /// `from` and all entries after it are gone.
    Truncate { group: GroupId, from: Index },
    /// Must continue the group's log without a gap.
    Entries { group: GroupId, entries: Vec<LogEntry> },
    HardState { group: GroupId, state: HardState },
}

/// A group as recovery found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRecovery {
    /// Its `commit` is clamped to `last_index`: a commit mark may be on disk before an entry that was truncated or
    /// torn, and Raft refuses to start with a commit beyond its log.
    pub hard_state: HardState,
    /// Always 1 until logs are compacted.
    pub first_index: Index,
    /// 0 for an empty log.
    pub last_index: Index,
    /// First index of each run of equal terms, ascending.
    pub terms: Vec<(Index, Term)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub identity: Identity,
    pub groups: BTreeMap<GroupId, GroupRecovery>,
    /// Bytes of a torn last batch that were cut off. Not zero means rule L2: neither vote nor acknowledge until a
    /// majority's logs have settled whether that batch had been acknowledged.
    pub torn_bytes: u64,
    /// Bytes in use, over all segments.
    pub log_bytes: u64,
    pub segments: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendStats {
    /// Bytes written for this batch, padding included.
    pub bytes: u64,
    /// Number of the batch; 0 when there was nothing to write.
    pub batch: u64,
    /// True when a new segment was begun for it.
    pub rolled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes in use, over all segments.
    pub log_bytes: u64,
    pub segments: usize,
}
