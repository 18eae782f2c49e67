//! Frames packed together (docs/formats.md, "Packed frames"): whole frames, one after another, as the content of one.

use super::frame::{FrameError, FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use crate::bytes_le::u32_at;
use crate::compression::{Codec, Coder, CompressionError};
use bytes::Bytes;

/// Kind of such a frame.
pub const PACKED: u8 = 29;
const LENGTHS_BYTES: usize = 8;
/// What comes out is at most so many times as long as the frame: nobody fills a member's memory for less.
const RATIO_MAX: usize = 100;
/// Frames in one at most: what is known of each takes memory beside its bytes, and the shortest have 16. A run has no more.
pub const FRAMES_MAX: usize = 65_536;

/// One frame with these in it, or None where that is not shorter.
pub fn pack(coder: &mut Coder, codec: Codec, level: i32, frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    let raw = frames.concat();
    if raw.len() > FRAME_BYTES_MAX || frames.len() > FRAMES_MAX {
        return None;
    }
    let content = FRAME_HEADER_BYTES + LENGTHS_BYTES;
    let mut frame = vec![0; content + coder.packed_bytes_max(codec, raw.len())];
    let packed = coder.pack_into(codec, level, &raw, &mut frame[content..]);
    let length = (content + packed).max(raw.len().div_ceil(RATIO_MAX));
    if length >= raw.len() {
        return None;
    }
    frame.truncate(content + packed);
    frame.resize(length, 0);
    frame[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    frame[8..10].copy_from_slice(&[PACKED, codec as u8]);
    frame[16..20].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    frame[20..24].copy_from_slice(&(packed as u32).to_le_bytes());
    let check = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&check.to_le_bytes());
    Some(frame)
}

/// What is in a packed frame, whose checksum was looked at.
pub fn unpack(coder: &mut Coder, frame: &[u8]) -> Result<Bytes, FrameError> {
    let codec = Codec::of_number(frame[9]).map_err(FrameError::Packed)?;
    let content = frame.get(FRAME_HEADER_BYTES + LENGTHS_BYTES..).ok_or(FrameError::PackedLengths)?;
    let (raw_bytes, packed_bytes) = (u32_at(frame, 16) as usize, u32_at(frame, 20) as usize);
    let bytes_max = FRAME_BYTES_MAX.min(frame.len().saturating_mul(RATIO_MAX));
    if raw_bytes > bytes_max {
        return Err(FrameError::Packed(CompressionError::TooLarge { bytes_max }));
    }
    let packed = content.get(..packed_bytes).ok_or(FrameError::PackedLengths)?;
    if coder.told_bytes(codec, packed, raw_bytes).map_err(FrameError::Packed)? != Some(raw_bytes) {
        return Err(FrameError::PackedLengths);
    }
    let mut raw = vec![0; raw_bytes];
    coder.unpack_into(codec, packed, &mut raw).map_err(FrameError::Packed)?;
    Ok(raw.into())
}
