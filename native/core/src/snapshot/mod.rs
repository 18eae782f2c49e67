//! Snapshots: a group's replicated state at one index, as a file (docs/formats.md, "Snapshot files"; rule L5).
//!
//! A snapshot is written from an image while the group goes on, is complete before it gets its name, and counts from
//! the moment a mark in the log names it. It is sent as the file is, so that a transfer can be taken up where it broke
//! off, and is believed only when all of it has been read back and checked.
//!
//! Left out: when to take one and whom to send it (`ordered::snapshots`), threads, and the mark (`log`).

pub mod file;
pub mod keeper;
pub mod states;
pub mod transfer;

use crate::causal::FIRST_ORIGIN;
use crate::event::Malformed;
use crate::ids::{GroupId, Index, Term, NUMBER_MAX};
use crate::ordered::conf::Conf;
use crate::packed::{put_text, Unpack};
use std::io;
use thiserror::Error;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    pub cluster_id: String,
    pub group: GroupId,
    pub index: Index,
    pub term: Term,
    /// The group's configuration at `index`.
    pub conf: Conf,
}

/// A finished snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    pub meta: SnapshotMeta,
    /// Length of the file.
    pub bytes: u64,
    /// XXH3 of the file up to its trailer.
    pub digest: u64,
}

#[derive(Debug, Error)]
pub enum SnapshotError {
    #[error("{action} {file}: {source}")]
    Io { action: &'static str, file: String, source: io::Error },
    #[error("{file} at byte {offset}: {what}")]
    Damaged { file: String, offset: u64, what: String },
    #[error("{file} has format version {version}; this release reads {supported}")]
    UnsupportedVersion { file: String, version: u16, supported: u16 },
    #[error("{file} belongs to cluster {found:?}, not {expected:?}")]
    WrongCluster { file: String, found: String, expected: String },
}

impl SnapshotError {
    /// For `map_err`: what was done to which file.
    pub fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_string();
        move |source| Self::Io { action, file, source }
    }

    /// Whether there was no room: the same may succeed later.
    pub fn is_full(&self) -> bool {
        let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Io { source, .. } if full(source.kind()))
    }
}

impl SnapshotMeta {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.group.0.to_le_bytes());
        out.extend_from_slice(&self.index.0.to_le_bytes());
        out.extend_from_slice(&self.term.0.to_le_bytes());
        put_text(out, &self.cluster_id);
        self.conf.encode(out);
    }

    pub fn decode(fields: &mut Unpack<'_>) -> Result<Self, Malformed> {
        let (group, index, term) = (GroupId(fields.u32()?), Index(fields.u64()?), Term(fields.u64()?));
        let cluster_id = fields.text()?.to_string();
        let conf = Conf::decode(fields)?;
        if index.0 == 0 || index.0 > NUMBER_MAX || term.0 > NUMBER_MAX {
            return Err(Malformed { at: 4, what: "a snapshot of an index or a term that cannot be" });
        }
        // States of the causal lane have no members. Raft takes a term of 0 for that of entries which it does not have.
        if group != FIRST_ORIGIN && (term.0 == 0 || !conf.is_sound()) {
            return Err(Malformed { at: fields.at(), what: "a snapshot without a term, or of a configuration that no group can be in" });
        }
        Ok(Self { cluster_id, group, index, term, conf })
    }
}
