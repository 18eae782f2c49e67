//! Packed frames: what goes in comes out, and what a peer may do with them to harm.

use crate::crdt_support::allocations::peak_of;
use proptest::prelude::*;
use std::path::PathBuf;
use vexfs_core::compression::{Codec, Coder, CompressionError};
use vexfs_core::ids::GroupId;
use vexfs_core::peer::frame::{build, Assembler, Frame, FrameError, FrameKind, FRAME_BYTES_MAX};
use vexfs_core::peer::packed::{pack, FRAMES_MAX, PACKED};

fn frame(number: u32, length: usize) -> Vec<u8> {
    build(FrameKind::Forward, GroupId(number), length, |out| out.extend((0..length).map(|at| (at % 61) as u8)))
}

fn arrive(stream: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    Assembler::default().push(stream, &mut frames).map(|()| frames)
}

/// A frame around a body of any kind, its checksum right.
fn framed(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = build(FrameKind::Forward, GroupId(0), body.len(), |out| out.extend_from_slice(body));
    frame[8..10].copy_from_slice(&[kind, flags]);
    let check = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&check.to_le_bytes());
    frame
}

fn packed_as(codec: Codec, raw_bytes: usize, packed: &[u8]) -> Vec<u8> {
    let lengths = [(raw_bytes as u32).to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat();
    framed(PACKED, codec as u8, &[&lengths[..], packed].concat())
}

proptest! {
    #[test]
    fn packed_frames_survive_any_cutting(lengths in proptest::collection::vec(0usize..3_000, 1..12), codec in proptest::sample::select(Codec::ALL.to_vec()), cut in 1usize..997) {
        let frames: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(at, length)| frame(at as u32, *length)).collect();
        let packed = pack(&mut Coder::default(), codec, 3, &frames);
        let left = packed.unwrap_or_else(|| frames.concat());
        // Plain ones before and behind them.
        let stream = [frame(98, 10), left, frame(99, 10)].concat();
        let (mut assembler, mut arrived) = (Assembler::default(), Vec::new());
        for chunk in stream.chunks(cut) {
            assembler.push(chunk, &mut arrived).unwrap();
        }
        let groups: Vec<u32> = arrived.iter().map(|frame| frame.group.0).collect();
        prop_assert_eq!(groups, [vec![98], (0..frames.len() as u32).collect(), vec![99]].concat());
        for (frame, arrived) in frames.iter().zip(&arrived[1..]) {
            prop_assert_eq!(&frame[16..], arrived.body.as_ref());
        }
    }

    /// Also where the outer checksum says that all is well: those of the frames inside do not.
    #[test]
    fn a_flipped_bit_never_passes(codec in proptest::sample::select(Codec::ALL.to_vec()), bit in any::<proptest::sample::Index>()) {
        let frames = [frame(1, 2_000), frame(2, 500)];
        let packed = pack(&mut Coder::default(), codec, 3, &frames).unwrap();
        let length = u32::from_le_bytes(packed[20..24].try_into().unwrap()) as usize;
        let mut content = packed[24..24 + length].to_vec();
        let at = bit.index(content.len() * 8);
        content[at / 8] ^= 1 << (at % 8);
        let raw_bytes = frames.concat().len();
        if let Ok(arrived) = arrive(&packed_as(codec, raw_bytes, &content)) {
            // Bits that stand for nothing: the frames are what they were.
            let bodies: Vec<&[u8]> = arrived.iter().map(|frame| frame.body.as_ref()).collect();
            prop_assert_eq!(bodies, [&frames[0][16..], &frames[1][16..]]);
        }
    }

    #[test]
    fn garbage_is_an_error(kind in 0u8..4, garbage in proptest::collection::vec(any::<u8>(), 0..300), raw_bytes in 0usize..40_000) {
        let (body, lengths) = (framed(PACKED, kind, &garbage), Codec::of_number(kind).map(|codec| packed_as(codec, raw_bytes, &garbage)));
        prop_assert!(arrive(&body).is_err());
        if let Ok(frame) = lengths {
            // No bytes in no frames: nothing was said, and nothing is wrong.
            prop_assert!(arrive(&frame).map_or(true, |frames| frames.is_empty()));
        }
    }
}

#[test]
fn a_bomb_is_an_error_and_takes_little() {
    let zeros = vec![0u8; 64 << 20];
    let mut coder = Coder::default();
    for codec in Codec::ALL {
        let packed = coder.pack(codec, 3, &zeros);
        // It says how much it is: more than a frame holds, or more than such a frame may hold.
        let honest = packed_as(codec, zeros.len(), &packed);
        let bytes_max = FRAME_BYTES_MAX.min(honest.len() * 100);
        // It says less.
        let liar = packed_as(codec, 100_000, &packed);
        for (bomb, error) in [(honest, FrameError::Packed(CompressionError::TooLarge { bytes_max })), (liar, FrameError::Packed(CompressionError::TooLarge { bytes_max: 100_000 }))] {
            let length = bomb.len();
            let (arrived, peak) = peak_of(|| arrive(&bomb));
            assert_eq!(arrived.unwrap_err(), error, "{codec:?}");
            assert!(peak < 2 * length + (1 << 20), "{codec:?}: {length} bytes took {peak}");
        }
    }
    // Within a frame's size, but far more than it is long.
    let packed = coder.pack(Codec::Zstd, 3, &zeros[..8 << 20]);
    assert!(packed.len() * 100 < 8 << 20);
    let (arrived, peak) = peak_of(|| arrive(&packed_as(Codec::Zstd, 8 << 20, &packed)));
    assert!(matches!(arrived, Err(FrameError::Packed(CompressionError::TooLarge { .. }))));
    assert!(peak < 1 << 20, "{peak}");
}

#[test]
fn contents_that_shrink_to_nothing_are_sent_as_long_as_they_may_be() {
    let frames = [frame(1, 0), build(FrameKind::Forward, GroupId(2), 4 << 20, |out| out.resize(16 + (4 << 20), 0))];
    for codec in Codec::ALL {
        let packed = pack(&mut Coder::default(), codec, 3, &frames).unwrap();
        assert!(packed.len() * 100 >= frames.concat().len() && packed.len() < frames.concat().len() / 20, "{codec:?}: {}", packed.len());
        assert_eq!(arrive(&packed).unwrap().len(), 2);
    }
}

/// What is known of a frame takes more than its sixteen bytes.
#[test]
fn a_packed_frame_has_no_more_frames_than_a_run() {
    let mut coder = Coder::default();
    for codec in Codec::ALL {
        let most = frame(1, 0).repeat(FRAMES_MAX);
        let mut around = |raw: &[u8]| {
            let content = coder.pack(codec, 3, raw);
            let lengths = [(raw.len() as u32).to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
            framed(PACKED, codec as u8, &[&lengths[..], &content, &vec![0; raw.len() / 100]].concat())
        };
        assert_eq!(arrive(&around(&most)).unwrap().len(), FRAMES_MAX);
        let packed = around(&frame(1, 0).repeat(FRAMES_MAX * 16 - 1));
        let (arrived, peak) = peak_of(|| arrive(&packed));
        assert_eq!(arrived.unwrap_err(), FrameError::PackedCount, "{codec:?}");
        assert!(peak < 40 << 20, "{codec:?}: {} bytes took {peak}", packed.len());
    }
    assert_eq!(pack(&mut coder, Codec::Lz4, 3, &vec![frame(1, 0); FRAMES_MAX + 1]), None);
}

#[test]
fn what_does_not_get_shorter_is_not_packed() {
    let noise = |length: usize| -> Vec<u8> { (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (at >> 3) as u8).collect() };
    let mut coder = Coder::default();
    let incompressible = coder.pack(Codec::Zstd, 3, &noise(20_000));
    for codec in Codec::ALL {
        assert_eq!(pack(&mut coder, codec, 3, &[frame(1, 0)]), None);
        assert_eq!(pack(&mut coder, codec, 3, &[build(FrameKind::Forward, GroupId(1), 0, |out| out.extend_from_slice(&incompressible[..256]))]), None);
        assert_eq!(pack(&mut coder, codec, 3, &[]), None);
    }
}

#[test]
fn frames_in_frames_are_those_that_there_are() {
    let mut coder = Coder::default();
    let whole = frame(1, 400);
    let cases: [(&str, Vec<u8>, FrameError); 6] = [
        ("one packed twice", pack(&mut coder, Codec::Lz4, 3, &[frame(1, 5_000)]).unwrap(), FrameError::Kind(PACKED)),
        ("of an unknown kind", framed(77, 0, &[]), FrameError::Kind(77)),
        ("cut off", whole[..300].to_vec(), FrameError::PackedLengths),
        ("cut off within its length", [&whole[..], &[1, 2]].concat(), FrameError::PackedLengths),
        ("damaged", [&whole[..399], &[255], &whole[400..]].concat(), FrameError::Checksum),
        ("shorter than one is", vec![3, 0, 0, 0, 0], FrameError::Length(3)),
    ];
    for (what, content, error) in cases {
        let packed = coder.pack(Codec::Lz4, 3, &content);
        assert_eq!(arrive(&packed_as(Codec::Lz4, content.len(), &packed)).unwrap_err(), error, "{what}");
    }
    let packed = coder.pack(Codec::Lz4, 3, &whole);
    let good = packed_as(Codec::Lz4, whole.len(), &packed);
    assert_eq!(arrive(&good).unwrap().len(), 1);
    assert_eq!(arrive(&packed_as(Codec::Lz4, whole.len() + 1, &packed)).unwrap_err(), FrameError::PackedLengths);
    assert_eq!(arrive(&packed_as(Codec::Lz4, whole.len() - 1, &packed)).unwrap_err(), FrameError::Packed(CompressionError::TooLarge { bytes_max: whole.len() - 1 }));
    assert_eq!(arrive(&framed(PACKED, 9, &good[16..])).unwrap_err(), FrameError::Packed(CompressionError::UnknownCodec(9)));
    assert_eq!(arrive(&framed(PACKED, 1, &good[16..23])).unwrap_err(), FrameError::PackedLengths);
    // Only packed frames have flags.
    assert_eq!(arrive(&framed(FrameKind::Forward as u8, 1, &[])).unwrap_err(), FrameError::Reserved);
}

/// Byte for byte as docs/formats.md has it. Zstd's bytes may differ from one release of it to the next, and are only read.
#[test]
fn golden_packed_frames() {
    let frames = [frame(7, 600), frame(8, 40)];
    for codec in Codec::ALL {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden-core/frame-packed-{}.bin", codec.name()));
        let made = pack(&mut Coder::default(), codec, 3, &frames).unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read(&path).expect("the golden file");
        if codec != Codec::Zstd {
            assert_eq!(kept, made, "{codec:?} is written differently now");
        }
        assert_eq!(kept[8..12], [PACKED, codec as u8, 0, 0]);
        assert_eq!(u32::from_le_bytes(kept[0..4].try_into().unwrap()) as usize, kept.len());
        assert_eq!(u32::from_le_bytes(kept[16..20].try_into().unwrap()), 672, "raw bytes");
        assert_eq!(u32::from_le_bytes(kept[20..24].try_into().unwrap()) as usize, kept.len() - 24, "packed bytes");
        let arrived = arrive(&kept).unwrap();
        assert_eq!(arrived.iter().map(|frame| (frame.group.0, frame.body.len())).collect::<Vec<_>>(), [(7, 600), (8, 40)]);
        assert_eq!(arrived[0].body.as_ref(), &frames[0][16..]);
    }
}
