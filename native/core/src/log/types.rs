//! What goes into the log and what comes out of opening it.

use super::error::LostRange;
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
    /// Size of the file that is given back to the file system when it is full, in bytes; 0 for none.
    pub reserve_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024, spare_segments: 1, reserve_bytes: 8 * 1024 * 1024 }
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

/// What a durable snapshot of a group covers, and from where on its log is still wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The snapshot covers everything up to it.
    pub index: Index,
    pub term: Term,
    /// Entries below it are not needed here any more. At most `index + 1`.
    pub first: Index,
    /// Term of entry `first - 1`, which Raft asks for when it compares logs; 0 where `first` is 1.
    pub prior_term: Term,
}

/// One change to one group. A batch of them is durable as a whole or not at all.
#[derive(Clone, Debug)]
pub enum Op {
    /// `from` and all entries after it are gone.
    Truncate { group: GroupId, from: Index },
    /// Must continue the group's log without a gap.
    Entries { group: GroupId, entries: Vec<LogEntry> },
    HardState { group: GroupId, state: HardState },
    /// Entries below `mark.first` go. A log that ends before `mark.first - 1` becomes empty and goes on at
    /// `mark.first`: so a received snapshot is installed, after a `Truncate` where a conflicting tail has to go.
    Mark { group: GroupId, mark: SnapshotMark },
    /// Gives entries that damage has made unreadable a new home. They lie without a gap in what the log holds; neither
    /// its first nor its last index changes.
    Repair { group: GroupId, entries: Vec<LogEntry> },
    /// What `Log::relocate` writes: as `Repair`, for entries that are only moved.
    Relocate { group: GroupId, entries: Vec<LogEntry> },
}

impl Op {
    pub fn group(&self) -> GroupId {
        match self {
            Self::Truncate { group, .. }
            | Self::Entries { group, .. }
            | Self::HardState { group, .. }
            | Self::Mark { group, .. }
            | Self::Repair { group, .. }
            | Self::Relocate { group, .. } => *group,
        }
    }
}

/// A group as recovery found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRecovery {
    /// Its `commit` is clamped to `last_index`: a commit mark may be on disk before an entry that was truncated or
    /// torn, and Raft refuses to start with a commit beyond its log. Behind lost batches it is clamped further, to what
    /// is surely the group's log.
    pub hard_state: HardState,
    /// 1, or what the last snapshot mark says.
    pub first_index: Index,
    /// Term of entry `first_index - 1`; 0 where `first_index` is 1.
    pub prior_term: Term,
    /// Index and term that the last snapshot mark covers.
    pub snapshot: Option<(Index, Term)>,
    /// `first_index - 1` for an empty log.
    pub last_index: Index,
    /// First index of each run of equal terms, ascending; begins with entry `first_index - 1` unless that is 0. Within a
    /// lost range the terms are those of the entry before, where nothing better is known.
    pub terms: Vec<(Index, Term)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub identity: Identity,
    pub groups: BTreeMap<GroupId, GroupRecovery>,
    /// Bytes of a torn last batch that were cut off.
    pub torn_bytes: u64,
    /// Rule L2: neither vote nor acknowledge until a majority's logs have settled what this log may have forgotten. Set
    /// by a torn tail, and by lost batches that may have held a group's newest vote or entries; remembered over restarts
    /// until `clear_unsettled`.
    pub unsettled: bool,
    /// Entries that the log must have had and that no readable batch holds. They read as `Damaged` until `Op::Repair`
    /// brings them back. What lies in a sealed segment behind a whole footer shows only when it is read.
    pub damaged: Vec<LostRange>,
    /// Batches that recovery found unreadable in front of readable ones.
    pub lost_batches: u64,
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
    /// Of them, in segments that are full, those that no group needs: older entries that one does need hold them back.
    /// What batches are padded with counts.
    pub held_back_bytes: u64,
}

/// What `Log::release` has given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleaseStats {
    pub segments: usize,
    /// Of them, kept as spares to be.
    pub recycled: usize,
    /// Bytes that were in use in them.
    pub bytes: u64,
}

/// What `Log::relocate` has moved; nothing where the oldest segment is not worth it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelocateStats {
    pub entries: usize,
    /// Data and context of the entries.
    pub bytes: u64,
    /// True when the oldest segment holds nothing live any more, so that `Log::release` can drop it.
    pub freed: bool,
}

/// What `Log::tidy` has done and leaves to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// There may be more to move.
    pub moved: bool,
    /// The oldest segment can go, but after another batch only: what was moved would be lost with a torn tail.
    pub freed: bool,
    /// What was to be moved, and needs repair first.
    pub unreadable: Vec<LostRange>,
}

/// How much of the oldest segments one group keeps from being dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    pub group: GroupId,
    pub entries: u64,
    /// Estimated from the mean size of the group's records in each segment.
    pub bytes: u64,
}
