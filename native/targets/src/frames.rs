//! Streams of frames as they come from a connection, in pieces of any size: frames as they should be, packed ones, and
//! bytes of chance, struck here and there.

use crate::allocations::peak_of;
use crate::strikes::{number, some_bytes, strike};
use arbitrary::{Result, Unstructured};
use vexfs_core::compression::{Codec, Coder};
use vexfs_core::ids::GroupId;
use vexfs_core::peer::frame::{build, Assembler, Frame, FrameError, FrameKind, FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use vexfs_core::peer::packed::{self, FRAMES_MAX, PACKED};

/// A frame that is announced has its room at once; what is unpacked is at most so many times as long, in one copy; and
/// what is known of each frame counts.
const RATIO_MAX: usize = 100;
const WORK_BYTES: usize = 256 * 1024;
/// What a frame takes beside its bytes, while a list of them grows.
const FRAME_KNOWN_BYTES: usize = 3 * std::mem::size_of::<Frame>();

pub fn run(bytes: &[u8]) {
    let mut from = Unstructured::new(bytes);
    let Ok(cut) = from.choose(&[usize::MAX, 1, 3, 16, 17, 100]).copied() else { return };
    let Ok(stream) = stream(&mut from) else { return };
    let (whole, peak) = peak_of(|| assemble(&stream, usize::MAX));
    let packed = stream.windows(2).filter(|pair| pair[0] == PACKED).count().min(stream.len() / FRAME_HEADER_BYTES);
    let known = FRAME_KNOWN_BYTES * (stream.len() / FRAME_HEADER_BYTES + packed * FRAMES_MAX);
    let bound = FRAME_BYTES_MAX + (RATIO_MAX + 3) * stream.len() + WORK_BYTES + known.min(FRAME_KNOWN_BYTES * RATIO_MAX * stream.len() / FRAME_HEADER_BYTES);
    assert!(peak <= bound, "{peak} bytes for {}, of which {packed} may be packed frames", stream.len());
    let pieces = assemble(&stream, cut);
    assert_eq!(whole.1, pieces.1, "the pieces make no difference");
    assert_eq!(told(&whole.0), told(&pieces.0), "the pieces make no difference");
    // What was read is what was written, as far as nothing was packed.
    let mut written = Vec::new();
    for frame in &whole.0 {
        let again = build(frame.kind, frame.group, frame.body.len(), |out| out.extend_from_slice(&frame.body));
        assert_eq!(told(&assemble(&again, usize::MAX).0), told(std::slice::from_ref(frame)));
        written.extend(again);
    }
    if packed == 0 {
        assert_eq!(written[..], stream[..written.len()]);
        assert!(whole.1.is_some() || stream.len() - written.len() < FRAME_BYTES_MAX);
    }
}

fn told(frames: &[Frame]) -> Vec<(FrameKind, GroupId, &[u8])> {
    frames.iter().map(|frame| (frame.kind, frame.group, &frame.body[..])).collect()
}

fn assemble(stream: &[u8], cut: usize) -> (Vec<Frame>, Option<FrameError>) {
    let (mut assembler, mut frames) = (Assembler::default(), Vec::new());
    for piece in stream.chunks(cut.min(stream.len().max(1))) {
        if let Err(error) = assembler.push(piece, &mut frames) {
            return (frames, Some(error));
        }
    }
    (frames, None)
}

fn stream(from: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut stream = Vec::new();
    for _ in 0..8 {
        if from.is_empty() {
            break;
        }
        let piece = match from.int_in_range(0..=7u8)? {
            0 => some_bytes(from)?,
            1 | 2 => packed_frame(from)?,
            3 => {
                let mut frame = if from.arbitrary()? { plain_frame(from)? } else { packed_frame(from)? };
                strike(from, &mut frame)?;
                if from.arbitrary()? {
                    seal(&mut frame, from.arbitrary()?);
                }
                frame
            }
            _ => plain_frame(from)?,
        };
        stream.extend(piece);
    }
    Ok(stream)
}

/// The checksum as it has to be, and the length too if that is wanted.
pub fn seal(frame: &mut [u8], length_too: bool) {
    if frame.len() < FRAME_HEADER_BYTES {
        return;
    }
    if length_too {
        let length = frame.len() as u32;
        frame[0..4].copy_from_slice(&length.to_le_bytes());
    }
    let check = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&check.to_le_bytes());
}

fn plain_frame(from: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let body = some_bytes(from)?;
    let mut frame = build(FrameKind::Raft, GroupId(number(from)? as u32), body.len(), |out| out.extend_from_slice(&body));
    frame[8] = from.int_in_range(0..=32)?;
    seal(&mut frame, false);
    Ok(frame)
}

fn packed_frame(from: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let codec = *from.choose(&Codec::ALL)?;
    let (mut frames, times) = (Vec::new(), *from.choose(&[1, 1, 1, 40, 5_000])?);
    for _ in 0..from.int_in_range(1..=3u8)? {
        frames.push(plain_frame(from)?);
    }
    let frames: Vec<Vec<u8>> = (0..times).flat_map(|_| frames.iter().cloned()).collect();
    if from.ratio(3u8, 4u8)? {
        return Ok(packed::pack(&mut Coder::default(), codec, 1, &frames).unwrap_or_else(|| frames.concat()));
    }
    // With a content and lengths as nobody packs them.
    let mut content = Coder::default().pack(codec, 1, &frames.concat());
    strike(from, &mut content)?;
    let (raw, packed) = (number(from)? as u32, if from.arbitrary()? { content.len() as u32 } else { number(from)? as u32 });
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    frame[8..10].copy_from_slice(&[PACKED, from.int_in_range(0..=4)?]);
    frame.extend_from_slice(&raw.to_le_bytes());
    frame.extend_from_slice(&packed.to_le_bytes());
    frame.extend(content);
    seal(&mut frame, true);
    Ok(frame)
}
