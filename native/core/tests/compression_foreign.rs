//! What others pack, with what we do not write, and what is packed to harm: how much memory unpacking takes.

use crate::crdt_support::allocations::peak_of;
use lz4_flex::block::{compress, compress_with_dict};
use vexfs_core::compression::{Codec, Coder, CompressionError, LEVEL_DEFAULT};
use xxhash_rust::xxh32::xxh32;
use zstd::stream::Encoder;

const BOMB_BYTES: usize = 256 << 20;
const BYTES_MAX: usize = 1 << 20;
/// Beside what comes out: what codecs work with.
const OVERHEAD_BYTES: usize = 512 << 10;

fn text(length: usize) -> Vec<u8> {
    (0..).flat_map(|line: u32| format!("{line} {:x} the quick brown fox\n", line.wrapping_mul(2_654_435_761)).into_bytes()).take(length).collect()
}

const CONTENT_CHECKSUM: u8 = 4;
const CONTENT_SIZE: u8 = 8;
const BLOCK_CHECKSUMS: u8 = 16;
const INDEPENDENT: u8 = 32;

/// An LZ4 frame as its specification has it, with blocks of 64 KiB.
fn lz4_frame(content: &[u8], options: u8) -> Vec<u8> {
    let mut frame = vec![0x04, 0x22, 0x4D, 0x18, 0x40 | options, 4 << 4];
    if options & CONTENT_SIZE != 0 {
        frame.extend_from_slice(&(content.len() as u64).to_le_bytes());
    }
    let check = (xxh32(&frame[4..], 0) >> 8) as u8;
    frame.push(check);
    for start in (0..content.len()).step_by(65_536) {
        let block = &content[start..(start + 65_536).min(content.len())];
        let packed = match options & INDEPENDENT {
            0 => compress_with_dict(block, &content[start.saturating_sub(65_536)..start]),
            _ => compress(block),
        };
        frame.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        frame.extend_from_slice(&packed);
        if options & BLOCK_CHECKSUMS != 0 {
            frame.extend_from_slice(&xxh32(&packed, 0).to_le_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    if options & CONTENT_CHECKSUM != 0 {
        frame.extend_from_slice(&xxh32(content, 0).to_le_bytes());
    }
    frame
}

#[test]
fn lz4_frames_with_all_options_are_read() {
    let mut coder = Coder::default();
    for length in [0, 100, 65_536, 200_000] {
        let content = text(length);
        for options in (0..16).map(|bits| (bits & 7) << 2 | (bits & 8) << 2) {
            let frame = lz4_frame(&content, options);
            assert!(coder.unpack(Codec::Lz4, &frame, length).as_ref() == Ok(&content), "options {options:b}, {length} bytes");
            if length > 0 {
                let bytes_max = length - 1;
                assert_eq!(coder.unpack(Codec::Lz4, &frame, bytes_max), Err(CompressionError::TooLarge { bytes_max }), "options {options:b}");
            }
        }
    }
}

#[test]
fn checksums_of_lz4_frames_are_looked_at() {
    let mut coder = Coder::default();
    let content = vec![7; 1000];
    for (option, what) in [(BLOCK_CHECKSUMS, "the checksum of a block"), (CONTENT_CHECKSUM, "the checksum of its content")] {
        let mut frame = lz4_frame(&content, INDEPENDENT | option);
        // The first byte that stands for itself: the block is well-formed with any other.
        frame[12] ^= 1;
        assert_eq!(coder.unpack(Codec::Lz4, &frame, 1000), Err(CompressionError::Damaged { codec: Codec::Lz4, what }));
        frame[12] ^= 1;
        assert_eq!(coder.unpack(Codec::Lz4, &frame, 1000).as_ref(), Ok(&content));
    }
    let mut frame = lz4_frame(&content, INDEPENDENT | CONTENT_SIZE);
    frame[6] ^= 1;
    assert_eq!(coder.unpack(Codec::Lz4, &frame, 1000), Err(CompressionError::Damaged { codec: Codec::Lz4, what: "the checksum of the header" }));
    frame[6] ^= 1;
    frame.push(0);
    assert_eq!(coder.unpack(Codec::Lz4, &frame, 1000), Err(CompressionError::Damaged { codec: Codec::Lz4, what: "bytes after the frame" }));
}

/// As a stream writes it, which does not know how long it will be.
fn zstd_stream(content: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
    for part in content.chunks(100_000) {
        std::io::Write::write_all(&mut encoder, part).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn zstd_frames_that_do_not_tell_their_size_and_several_are_read() {
    let mut coder = Coder::default();
    for length in [1, 100_000, 3_000_000] {
        let content = text(length);
        let told = coder.pack(Codec::Zstd, LEVEL_DEFAULT, &content);
        let untold = zstd_stream(&content);
        assert_eq!(coder.told_bytes(Codec::Zstd, &untold, 0), Ok(None));
        assert!(coder.unpack(Codec::Zstd, &untold, length).as_ref() == Ok(&content));
        let twice = [content.clone(), content].concat();
        for frames in [[&told[..], &told], [&told, &untold], [&untold, &told]] {
            assert!(coder.unpack(Codec::Zstd, &frames.concat(), 2 * length).as_ref() == Ok(&twice));
            let bytes_max = 2 * length - 1;
            assert_eq!(coder.unpack(Codec::Zstd, &frames.concat(), bytes_max), Err(CompressionError::TooLarge { bytes_max }));
        }
    }
}

fn assert_bounded(bomb: &[u8], codec: Codec) {
    let mut coder = Coder::default();
    let (unpacked, peak) = peak_of(|| coder.unpack(codec, bomb, BYTES_MAX));
    assert_eq!(unpacked, Err(CompressionError::TooLarge { bytes_max: BYTES_MAX }), "{codec:?}");
    assert!(peak <= BYTES_MAX + OVERHEAD_BYTES, "{codec:?} took {peak} bytes");
}

#[test]
fn bombs_take_no_more_than_they_may() {
    let zeros = vec![0; BOMB_BYTES];
    let mut coder = Coder::default();
    for codec in Codec::ALL {
        let (bomb, _) = peak_of(|| coder.pack(codec, LEVEL_DEFAULT, &zeros));
        assert_bounded(&bomb, codec);
    }
    // Those that do not tell what is in them.
    assert_bounded(&zstd_stream(&zeros), Codec::Zstd);
    assert_bounded(&lz4_frame(&zeros, INDEPENDENT), Codec::Lz4);
    assert_bounded(&lz4_frame(&zeros, 0), Codec::Lz4);
}

/// The headers say less than comes out, or more.
#[test]
fn bombs_that_lie_take_no_more_than_they_say() {
    let mut coder = Coder::default();
    let zeros = vec![0; 2 << 20];
    for told in [0u64, 1000, 1 << 20, 1 << 40, u64::MAX] {
        let mut lz4 = coder.pack(Codec::Lz4, LEVEL_DEFAULT, &zeros);
        lz4[6..14].copy_from_slice(&told.to_le_bytes());
        lz4[14] = (xxh32(&lz4[4..14], 0) >> 8) as u8;
        let mut zstd = coder.pack(Codec::Zstd, LEVEL_DEFAULT, &zeros);
        // A header of one segment with a size of four bytes becomes one of eight.
        assert_eq!(zstd[4] & 0b1110_0000, 0b1010_0000);
        zstd[4] |= 0b1100_0000;
        zstd.splice(5..9, told.to_le_bytes());
        for (codec, bomb) in [(Codec::Lz4, &lz4), (Codec::Zstd, &zstd)] {
            let mut fresh = Coder::default();
            let (unpacked, peak) = peak_of(|| fresh.unpack(codec, bomb, BYTES_MAX));
            assert!(unpacked.is_err(), "{codec:?} that says {told}");
            assert!(peak <= BYTES_MAX + OVERHEAD_BYTES, "{codec:?} that says {told} took {peak} bytes");
        }
    }
    // Snappy: a length of 1 MiB, and nothing behind it.
    let (unpacked, peak) = peak_of(|| coder.unpack(Codec::Snappy, &[0x80, 0x80, 0x40], BYTES_MAX));
    assert!(matches!(unpacked, Err(CompressionError::Damaged { codec: Codec::Snappy, .. })));
    assert!(peak <= BYTES_MAX + OVERHEAD_BYTES);
}
