//! A snapshot on its way to this member: it is pulled piece by piece, from where an earlier attempt broke off, and costs no
//! memory but the pieces in flight. Messages and jobs are the owner's.

use super::keeper::SnapshotKey;
use super::{SnapshotInfo, SnapshotMeta};
use crate::event::Malformed;
use crate::ids::{GroupId, Index, MemberId, NUMBER_MAX};
use crate::packed::Unpack;

/// Bytes in one piece.
pub const PIECE_BYTES: u32 = 256 * 1024;
/// Bytes asked for and not yet stored at most: enough to keep a line busy, little enough to keep in memory.
const PIECES_IN_FLIGHT: u64 = 4 * PIECE_BYTES as u64;

pub fn put_key(out: &mut Vec<u8>, key: &SnapshotKey) {
    out.extend_from_slice(&key.index.0.to_le_bytes());
    out.extend_from_slice(&key.digest.to_le_bytes());
}

pub fn key_of(group: GroupId, fields: &mut Unpack<'_>) -> Result<SnapshotKey, Malformed> {
    Ok(SnapshotKey { group, index: Index(fields.u64()?), digest: fields.u64()? })
}

pub struct Transfer {
    pub key: SnapshotKey,
    pub bytes: u64,
    pub from: MemberId,
    /// Contiguously here, contiguously arrived, asked for: stored <= arrived <= asked.
    stored: u64,
    arrived: u64,
    asked: u64,
    pub idle_ticks: usize,
    /// The job that finds out what is here, or the one that checks all of it, is under way.
    pub busy: bool,
}

/// What comes next when a part is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Ask,
    /// All of it is here.
    Restore,
}

/// What a piece is to whom it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Wanted,
    /// Not the next one of this.
    Other,
    /// There is no more of it at the other end.
    Gone,
}

impl Transfer {
    /// How much of it is here already is to be found out.
    pub fn new(key: SnapshotKey, bytes: u64, from: MemberId) -> Self {
        Self { key, bytes, from, stored: 0, arrived: 0, asked: 0, idle_ticks: 0, busy: true }
    }

    /// So much of the file is in its place.
    pub fn stored(&mut self, stored: u64) -> Next {
        if self.busy {
            // What an earlier attempt left.
            self.busy = false;
            let stored = if stored > self.bytes { 0 } else { stored };
            (self.stored, self.arrived, self.asked) = (stored, stored, stored);
        } else {
            self.stored = self.stored.max(stored);
        }
        match self.stored < self.bytes {
            true => Next::Ask,
            false => Next::Restore,
        }
    }

    /// Offset and length of the next piece to ask for, while more may be in flight.
    pub fn ask(&mut self) -> Option<(u64, u32)> {
        if self.asked >= self.bytes || self.asked >= self.stored + PIECES_IN_FLIGHT {
            return None;
        }
        let (offset, length) = (self.asked, u64::from(PIECE_BYTES).min(self.bytes - self.asked) as u32);
        self.asked += u64::from(length);
        Some((offset, length))
    }

    pub fn piece(&mut self, from: MemberId, key: &SnapshotKey, offset: u64, length: usize) -> Piece {
        if self.key != *key || self.from != from || self.arrived != offset {
            return Piece::Other;
        }
        if length == 0 || offset + length as u64 > self.bytes {
            return Piece::Gone;
        }
        self.idle_ticks = 0;
        self.arrived += length as u64;
        Piece::Wanted
    }

    /// A piece, or the word for it, may be lost with a connection.
    pub fn again(&mut self) {
        (self.arrived, self.asked) = (self.stored, self.stored);
    }
}

/// What a member can be given.
pub struct Offer {
    /// Raft's; 0 for states of the causal lane.
    pub term: u64,
    pub info: SnapshotInfo,
}

impl Offer {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(&self.info.bytes.to_le_bytes());
        out.extend_from_slice(&self.info.digest.to_le_bytes());
        self.info.meta.encode(out);
    }

    pub fn decode(fields: &mut Unpack<'_>) -> Result<Self, Malformed> {
        let (term, bytes, digest) = (fields.u64()?, fields.u64()?, fields.u64()?);
        if term > NUMBER_MAX {
            return Err(Malformed { at: 0, what: "a term that cannot be" });
        }
        Ok(Self { term, info: SnapshotInfo { meta: SnapshotMeta::decode(fields)?, bytes, digest } })
    }
}
