//! The durable log (docs/formats.md, "Log files"; rules L1 to L7 of the design).
//!
//! All groups of a member share one sequence of segment files. Everything queued becomes one batch: one write, one
//! fdatasync, padded to whole blocks so that an acknowledged block is never written again. Sealed segments end with an
//! index footer, so that opening reads footers and scans at most the newest segment. Two superblock copies name the
//! segments there must be, so that a missing one is noticed, the newest included.
//!
//! Each segment begins by saying what every group is; the oldest are dropped when snapshot marks, truncations and
//! relocations have left nothing live in them. What damage has taken is named at the open, or when it is read, and comes
//! back through repair records in the newest segment.
//!
//! A failed write or fdatasync poisons the log for good: what a cache answers after it proves nothing about the disk. A
//! full disk is met before a batch is written, and is an answer.
//!
//! Left out on purpose: files and locks (the `Disk` port), threads (`SparePool` is called from one that the owner
//! runs), randomness (salts come from the caller), when to restore the reserve and what is idle (`Upkeep` is told by the
//! owner), fetching what is lost from other members, and snapshots themselves.

mod batch;
mod bookmarks;
mod cache;
mod check;
mod disk;
mod error;
mod footer;
mod group;
mod index;
mod layout;
mod maker;
mod open;
mod reader;
mod record;
mod recover;
mod recovered;
mod release;
mod reserve;
mod scan;
mod segment_scan;
mod spare;
mod state;
mod stretch;
mod superblock;
mod terms;
mod types;
mod unsettled;
mod upkeep;
mod walk;
mod writer;

pub use disk::{Disk, DiskFile};
pub use error::{LogError, LostRange};
pub use layout::BLOCK_BYTES;
pub use reader::LogReader;
pub use record::ENTRY_BYTES_MAX;
pub use scan::{plan, scan, PlannedSegment, ScanItem, ScanPlan, ScanSummary, ScannedRecord, SegmentBytes};
pub use spare::SparePool;
pub use superblock::NAME_BYTES_MAX;
pub use record::Carried;
pub use types::{
    AppendStats, GroupRecovery, HardState, Identity, LogEntry, LogOptions, LogStats, Op, Pin, Recovery, ReleaseStats,
    RelocateStats, SnapshotMark, Tidied, Wanted,
};
pub use unsettled::clear_unsettled;
pub use upkeep::{Upkeep, UpkeepLimits};
pub use writer::{Log, BATCH_BYTES_MAX};
