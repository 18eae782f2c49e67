//! Frames between members (docs/formats.md, "Peer connections"): built here, taken apart here, checked in between.

use crate::bytes_le::{u16_at, u32_at};
use crate::compression::{Coder, CompressionError};
use crate::ids::GroupId;
use crate::peer::packed::{self, FRAMES_MAX, PACKED};
use bytes::{Bytes, BytesMut};
use thiserror::Error;

pub const FRAME_HEADER_BYTES: usize = 16;
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Connections of a pair of members: small messages that keep the cluster alive never queue behind large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    Urgent = 0,
    Bulk = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Raft = 1,
    Forward = 2,
    ForwardRefused = 3,
    AppliedQuery = 4,
    AppliedAnswer = 5,
    SnapshotOffer = 6,
    SnapshotPull = 7,
    SnapshotPiece = 8,
    /// The leader is asked to hand leadership to the member named.
    Transfer = 9,
    /// A member command was not proposed.
    Declined = 10,
    /// The receiver was removed from the cluster.
    Removed = 11,
    /// A member with a torn log asks what term the receiver is in.
    TermQuery = 12,
    TermAnswer = 13,
    /// A member that has lost entries asks for them.
    RepairQuery = 14,
    RepairAnswer = 15,
    /// The running hash of what the sender has applied.
    HashReport = 16,
    /// The receiver is asked for its hashes between two entries.
    HashQuery = 17,
    HashAnswer = 18,
    /// How the sender stands: what it has promised, and how far its log goes.
    Standing = 19,
    /// What was known of that.
    StandingAnswer = 20,
    /// Of the causal lane: entries of an origin.
    Entries = 21,
    /// What of every origin the sender has on disk.
    Held = 22,
    /// Entries of an origin are asked for.
    Pull = 23,
    /// What the receiver has of the sender's own origins is asked for.
    OriginQuery = 24,
    OriginAnswer = 25,
    /// States that cover what has gone of origins' logs are asked for.
    StatesQuery = 26,
    /// Entries of origins' logs are asked for: who has them says so.
    HeldQuery = 27,
    HeldAnswer = 28,
    /// Of no group: how long it takes there and back.
    Probe = 30,
    ProbeAnswer = 31,
}

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: FrameKind,
    pub group: GroupId,
    pub body: Bytes,
}

/// Bytes that no member of this version sends: the connection they came on is to be closed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("frame of {0} bytes, allowed are 16 to 16,777,216")]
    Length(usize),
    #[error("frame checksum does not match")]
    Checksum,
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error("reserved frame bits are set")]
    Reserved,
    #[error("packed frames: {0}")]
    Packed(CompressionError),
    #[error("packed frames that are not as long as they say")]
    PackedLengths,
    #[error("more than 65,536 frames packed in one")]
    PackedCount,
}

/// A frame around the body that `write` appends.
pub fn build(kind: FrameKind, group: GroupId, body_hint: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + body_hint);
    frame.extend_from_slice(&[0; 8]);
    frame.extend_from_slice(&[kind as u8, 0, 0, 0]);
    frame.extend_from_slice(&group.0.to_le_bytes());
    write(&mut frame);
    let length = frame.len() as u32;
    let check = crc32c::crc32c(&frame[8..]);
    frame[0..4].copy_from_slice(&length.to_le_bytes());
    frame[4..8].copy_from_slice(&check.to_le_bytes());
    frame
}

/// Puts the frames of one connection together from the pieces they arrive in. Memory: at most one frame and a piece,
/// and what was packed in it.
#[derive(Default)]
pub struct Assembler {
    partial: BytesMut,
    /// Made by the first packed frame.
    coder: Option<Box<Coder>>,
    /// See `take_unpacked`.
    unpacked: (u64, u64),
}

impl Assembler {
    /// Appends every frame that `chunk` completes to `frames`. After an error the assembler is of no further use.
    pub fn push(&mut self, chunk: &[u8], frames: &mut Vec<Frame>) -> Result<(), FrameError> {
        self.partial.extend_from_slice(chunk);
        while let Some(length) = first_length(&self.partial)? {
            if self.partial.len() < length {
                // One growth for a large frame instead of a doubling chain.
                self.partial.reserve(length - self.partial.len());
                break;
            }
            let frame = self.partial.split_to(length).freeze();
            check(&frame)?;
            match frame[8] {
                PACKED => self.unpack(&frame, frames)?,
                _ => frames.push(open(frame)?),
            }
        }
        Ok(())
    }

    /// Bytes of frames that came packed since it was last asked, and the bytes that came for them.
    pub fn take_unpacked(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.unpacked)
    }

    fn unpack(&mut self, packed: &Bytes, frames: &mut Vec<Frame>) -> Result<(), FrameError> {
        let mut content = packed::unpack(self.coder.get_or_insert_default(), packed)?;
        self.unpacked.0 += content.len() as u64;
        self.unpacked.1 += packed.len() as u64;
        let most = frames.len() + FRAMES_MAX;
        while !content.is_empty() {
            if frames.len() == most {
                return Err(FrameError::PackedCount);
            }
            let length = first_length(&content)?.filter(|length| *length <= content.len()).ok_or(FrameError::PackedLengths)?;
            let frame = content.split_to(length);
            check(&frame)?;
            // None is packed twice: its kind is none of those that are opened.
            frames.push(open(frame)?);
        }
        Ok(())
    }
}

/// Of the frame that begins here; None while too little of it is there.
fn first_length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    if bytes.len() < 4 {
        return Ok(None);
    }
    let length = u32_at(bytes, 0) as usize;
    if !(FRAME_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&length) {
        return Err(FrameError::Length(length));
    }
    Ok(Some(length))
}

fn check(frame: &[u8]) -> Result<(), FrameError> {
    if crc32c::crc32c(&frame[8..]) != u32_at(frame, 4) {
        return Err(FrameError::Checksum);
    }
    if u16_at(frame, 10) != 0 || (frame[8] != PACKED && frame[9] != 0) {
        return Err(FrameError::Reserved);
    }
    Ok(())
}

fn open(frame: Bytes) -> Result<Frame, FrameError> {
    let kind = match frame[8] {
        1 => FrameKind::Raft,
        2 => FrameKind::Forward,
        3 => FrameKind::ForwardRefused,
        4 => FrameKind::AppliedQuery,
        5 => FrameKind::AppliedAnswer,
        6 => FrameKind::SnapshotOffer,
        7 => FrameKind::SnapshotPull,
        8 => FrameKind::SnapshotPiece,
        9 => FrameKind::Transfer,
        10 => FrameKind::Declined,
        11 => FrameKind::Removed,
        12 => FrameKind::TermQuery,
        13 => FrameKind::TermAnswer,
        14 => FrameKind::RepairQuery,
        15 => FrameKind::RepairAnswer,
        16 => FrameKind::HashReport,
        17 => FrameKind::HashQuery,
        18 => FrameKind::HashAnswer,
        19 => FrameKind::Standing,
        20 => FrameKind::StandingAnswer,
        21 => FrameKind::Entries,
        22 => FrameKind::Held,
        23 => FrameKind::Pull,
        24 => FrameKind::OriginQuery,
        25 => FrameKind::OriginAnswer,
        26 => FrameKind::StatesQuery,
        27 => FrameKind::HeldQuery,
        28 => FrameKind::HeldAnswer,
        30 => FrameKind::Probe,
        31 => FrameKind::ProbeAnswer,
        other => return Err(FrameError::Kind(other)),
    };
    Ok(Frame { kind, group: GroupId(u32_at(&frame, 12)), body: frame.slice(FRAME_HEADER_BYTES..) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_cutting(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8), cut in 1usize..97) {
            let stream: Vec<u8> = bodies.iter()
                .flat_map(|body| build(FrameKind::Forward, GroupId(3), body.len(), |out| out.extend_from_slice(body)))
                .collect();
            let (mut assembler, mut frames) = (Assembler::default(), Vec::new());
            for chunk in stream.chunks(cut) {
                assembler.push(chunk, &mut frames).unwrap();
            }
            prop_assert_eq!(frames.len(), bodies.len());
            for (frame, body) in frames.iter().zip(&bodies) {
                prop_assert_eq!(frame.body.as_ref(), body.as_slice());
                prop_assert_eq!(frame.group, GroupId(3));
            }
        }

        #[test]
        fn a_flipped_bit_never_passes(body in proptest::collection::vec(any::<u8>(), 0..200), bit in 0usize..1600) {
            let mut frame = build(FrameKind::Raft, GroupId(0), body.len(), |out| out.extend_from_slice(&body));
            let bit = bit % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            let mut frames = Vec::new();
            let result = Assembler::default().push(&frame, &mut frames);
            prop_assert!(result.is_err() || frames.is_empty());
        }

        #[test]
        fn garbage_is_an_error_or_waits(garbage in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut frames = Vec::new();
            let _ = Assembler::default().push(&garbage, &mut frames);
            prop_assert!(frames.is_empty());
        }
    }
}
