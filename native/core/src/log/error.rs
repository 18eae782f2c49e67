//! Everything that opening, appending to or reading a log can answer.

use crate::ids::{GroupId, Index, Term};
use std::fmt;
use std::io;
use thiserror::Error;

/// Entries of one group that the log does not have, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRange {
    pub group: GroupId,
    pub first: Index,
    pub last: Index,
    /// Term of our entry right after them, if there is one that can be read.
    pub next_term: Option<Term>,
    /// They were never here: a snapshot came in their place. Else damage has taken them.
    pub gap: bool,
}

impl fmt::Display for LostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {} indexes {} to {}", self.group, self.first, self.last)
    }
}

fn lost_text(lost: &[LostRange]) -> String {
    if lost.is_empty() {
        return String::new();
    }
    let ranges: Vec<String> = lost.iter().map(LostRange::to_string).collect();
    format!(" (lost: {})", ranges.join(", "))
}

#[derive(Debug, Error)]
pub enum LogError {
    #[error("{action} {file}: {source}")]
    Io { action: &'static str, file: String, source: io::Error },
    #[error("the log belongs to {what} {found:?}, not to {expected:?}")]
    IdentityMismatch { what: &'static str, expected: String, found: String },
    #[error("{what} must have 1 to {limit} bytes")]
    BadName { what: &'static str, limit: usize },
    #[error("there is no log in the directory")]
    NoLog,
    /// Both superblock copies are unreadable although there are signs of a log.
    #[error("both superblock copies are missing or damaged, yet the directory is not new")]
    SuperblockLost,
    #[error("{file} has format version {version}, this release reads up to {supported}")]
    UnsupportedVersion { file: String, version: u16, supported: u16 },
    /// A record kind that only a later release knows.
    #[error("{segment} holds a record of kind {kind} at byte {offset}, which this release does not know")]
    UnsupportedRecord { segment: String, offset: u64, kind: u8 },
    #[error("{segment} is missing, though the superblock or its neighbours name it")]
    MissingSegment { segment: String },
    #[error("{segment} lies outside the range of segments that the superblock names")]
    UnexpectedSegment { segment: String },
    #[error("{segment} is not the file that belongs here: {reason}")]
    ForeignSegment { segment: String, reason: &'static str },
    /// Bytes that were once acknowledged cannot be read back. Never answered for a torn tail.
    #[error("{segment} is damaged at byte {offset}: {reason}{}", lost_text(.lost))]
    Damaged { segment: String, offset: u64, reason: &'static str, lost: Vec<LostRange> },
    /// The superblock is older than what lies beside it: parts of the directory come from another time.
    #[error("{segment} was written by open {found} of the directory, the superblock knows of {known}")]
    StaleSuperblock { segment: String, found: u64, known: u64 },
    /// An earlier write or fdatasync failed; only opening the log anew tells what is on disk (rule L4).
    #[error("the log stopped after a failed write")]
    Poisoned,
    /// Nothing was written.
    #[error("entries of group {group} must go on at index {expected}, got {found}")]
    NotContiguous { group: GroupId, expected: Index, found: Index },
    /// Nothing was written.
    #[error("{what} has {bytes} bytes, more than the limit of {limit}")]
    TooLarge { what: &'static str, bytes: u64, limit: u64 },
    /// The entry was there, and a snapshot has taken its place.
    #[error("group {group} begins at index {first}, index {index} is compacted")]
    Compacted { group: GroupId, index: Index, first: Index },
    /// Nothing was written.
    #[error("group {group} has a snapshot mark up to {index} with entries from {first} on, and none goes back or leaves a gap")]
    MarkRefused { group: GroupId, index: Index, first: Index },
    /// Nothing was written.
    #[error("one batch gives index {index} of group {group} two homes")]
    WrittenTwice { group: GroupId, index: Index },
    /// There is no room for another segment. Nothing was written; the same can be tried again.
    #[error("the file system is full: {file} cannot be made")]
    Full { file: String },
    #[error("group {group} has indexes {first} to {last}, asked for {low} up to {high}")]
    OutOfRange { group: GroupId, low: Index, high: Index, first: Index, last: Index },
}

impl LogError {
    /// The stable code under which callers outside see this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::IdentityMismatch { .. } => "DATA_DIR_MISMATCH",
            Self::BadName { .. } => "CONFIG_INVALID",
            Self::NoLog => "NOT_FOUND",
            Self::UnsupportedVersion { .. } | Self::UnsupportedRecord { .. } => "DATA_DIR_UNREADABLE",
            _ if self.is_damage() => "LOG_DAMAGED",
            Self::Full { .. } => "DISK_FULL",
            Self::Io { .. } | Self::Poisoned => "DISK_FAILED",
            _ => "INTERNAL",
        }
    }

    /// True where something that was once on disk is not there any more, or not as it was.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::SuperblockLost
                | Self::MissingSegment { .. }
                | Self::UnexpectedSegment { .. }
                | Self::ForeignSegment { .. }
                | Self::Damaged { .. }
                | Self::StaleSuperblock { .. }
        )
    }

    pub(super) fn io(action: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { action, file, source }
    }

    /// As `io`, where running out of space is an answer and not a failure.
    pub(super) fn space(action: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { file },
            _ => Self::Io { action, file, source },
        }
    }

    pub(super) fn damaged(segment: &str, offset: u64, reason: &'static str) -> Self {
        Self::Damaged { segment: segment.to_owned(), offset, reason, lost: Vec::new() }
    }
}
