//! What every codec owes: the round trip, and that nothing from outside makes it panic or take more than it may.

use proptest::prelude::*;
use vexfs_core::compression::{Codec, Coder, CompressionError, LEVELS, LEVEL_DEFAULT};

/// Runs, repetitions and noise, as events have them.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        (any::<u8>(), 0usize..5_000).prop_map(|(byte, length)| vec![byte; length]),
        ("[a-e]{1,12}", 1usize..400).prop_map(|(word, times)| word.repeat(times).into_bytes()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn codecs() -> impl Strategy<Value = Codec> {
    proptest::sample::select(Codec::ALL.to_vec())
}

/// A text with some repetition, of any length.
fn text(length: usize) -> Vec<u8> {
    (0..).flat_map(|line: u32| format!("{line} {:x} the quick brown fox\n", line.wrapping_mul(2_654_435_761)).into_bytes()).take(length).collect()
}

/// Bytes without a pattern.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

proptest! {
    #[test]
    fn what_was_packed_comes_out(codec in codecs(), content in contents(), level in LEVELS) {
        let mut coder = Coder::default();
        let packed = coder.pack(codec, level, &content);
        prop_assert_eq!(coder.told_bytes(codec, &packed, content.len()).unwrap(), Some(content.len()));
        prop_assert_eq!(coder.unpack(codec, &packed, content.len()).unwrap(), content);
    }

    /// A part of what was packed is never taken for all of it.
    #[test]
    fn what_is_cut_off_is_refused(codec in codecs(), content in contents(), cut in any::<proptest::sample::Index>()) {
        let mut coder = Coder::default();
        let packed = coder.pack(codec, LEVEL_DEFAULT, &content);
        let part = &packed[..cut.index(packed.len())];
        let unpacked = coder.unpack(codec, part, content.len());
        prop_assert!(unpacked.is_err(), "{:?}", unpacked);
    }

    #[test]
    fn flipped_bits_stay_within_the_bound(codec in codecs(), content in contents(), bits in proptest::collection::vec(any::<proptest::sample::Index>(), 1..4), less in 0usize..64) {
        let mut coder = Coder::default();
        let mut packed = coder.pack(codec, LEVEL_DEFAULT, &content);
        for bit in bits {
            let bit = bit.index(packed.len() * 8);
            packed[bit / 8] ^= 1 << (bit % 8);
        }
        let bytes_max = content.len().saturating_sub(less);
        if let Ok(unpacked) = coder.unpack(codec, &packed, bytes_max) {
            prop_assert!(unpacked.len() <= bytes_max);
        }
        // What comes after damage is not harmed by it.
        let packed = coder.pack(codec, LEVEL_DEFAULT, &content);
        prop_assert_eq!(coder.unpack(codec, &packed, content.len()).unwrap(), content);
    }

    #[test]
    fn garbage_stays_within_the_bound(codec in codecs(), garbage in proptest::collection::vec(any::<u8>(), 0..300), bytes_max in 0usize..10_000) {
        let mut coder = Coder::default();
        // Half of them begin as their codec does, so that more than the first bytes are looked at.
        for head in [&[][..], &[0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82], &[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38]] {
            if let Ok(unpacked) = coder.unpack(codec, &[head, &garbage].concat(), bytes_max) {
                prop_assert!(unpacked.len() <= bytes_max);
            }
        }
    }

    #[test]
    fn one_byte_less_than_comes_out_is_too_little(codec in codecs(), content in contents()) {
        prop_assume!(!content.is_empty());
        let mut coder = Coder::default();
        let packed = coder.pack(codec, LEVEL_DEFAULT, &content);
        let bytes_max = content.len() - 1;
        prop_assert_eq!(coder.unpack(codec, &packed, bytes_max), Err(CompressionError::TooLarge { bytes_max }));
    }
}

#[test]
fn sizes_around_the_edges_of_blocks_come_out() {
    let mut coder = Coder::default();
    for codec in Codec::ALL {
        for length in [0, 1, 12, 13, 14, 65_534, 65_535, 65_536, 65_537, 262_144, 262_145, 1 << 20, (1 << 20) + 1, 4 << 20, (4 << 20) + 1, (9 << 20) + 5] {
            for content in [text(length), noise(length), vec![0; length]] {
                let packed = coder.pack(codec, 1, &content);
                assert!(packed.len() <= coder.packed_bytes_max(codec, length));
                assert!(coder.unpack(codec, &packed, length).unwrap() == content, "{codec:?} of {length}");
            }
        }
    }
}

#[test]
fn what_does_not_get_smaller_hardly_grows() {
    let mut coder = Coder::default();
    let content = noise(300_000);
    for codec in Codec::ALL {
        let packed = coder.pack(codec, LEVEL_DEFAULT, &content);
        assert!(packed.len() < content.len() + content.len() / 1_000 + 64, "{codec:?}: {}", packed.len());
    }
}

/// What was used before leaves nothing behind.
#[test]
fn levels_may_change_from_call_to_call() {
    let mut coder = Coder::default();
    let content = text(100_000);
    let sizes: Vec<usize> = [1, 9, 1].into_iter().map(|level| coder.pack(Codec::Zstd, level, &content).len()).collect();
    assert_ne!(sizes[1], sizes[0]);
    assert_eq!(sizes[2], sizes[0]);
}

#[test]
fn numbers_are_those_of_the_format() {
    assert_eq!(Codec::ALL.map(|codec| (codec as u8, codec.name())), [(1, "lz4"), (2, "zstd"), (3, "snappy")]);
    for codec in Codec::ALL {
        assert_eq!(Codec::of_number(codec as u8), Ok(codec));
    }
    for number in [0, 4, 255] {
        assert_eq!(Codec::of_number(number), Err(CompressionError::UnknownCodec(number)));
    }
}
