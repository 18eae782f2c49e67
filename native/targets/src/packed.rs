//! Packed bytes: of anybody, and of our own packer with something done to them.

use crate::allocations::peak_of;
use crate::strikes::{some_bytes, strike};
use arbitrary::{Result, Unstructured};
use vexfs_core::compression::{Codec, Coder};

const BYTES_MAX: usize = 1 << 20;
/// What unpacking needs besides the content: tables, and for content that does not tell its size room that doubles.
const WORK_BYTES: usize = 256 * 1024;

pub fn run(bytes: &[u8]) {
    let _ = play(&mut Unstructured::new(bytes));
}

fn play(from: &mut Unstructured<'_>) -> Result<()> {
    let codec = *from.choose(&Codec::ALL)?;
    let bytes_max = [BYTES_MAX, 0, 1, 100, 70_000][from.choose_index(5)?];
    match from.int_in_range(0..=3u8)? {
        0 => {
            // What repeats, as packers like it.
            let (piece, times) = (some_bytes(from)?, from.int_in_range(1..=2_000usize)?);
            let raw = piece.repeat(times);
            let level = from.int_in_range(1..=6)?;
            let mut packed = Coder::default().pack(codec, level, &raw);
            assert_eq!(Coder::default().unpack(codec, &packed, raw.len()).as_deref(), Ok(&raw[..]));
            if !raw.is_empty() {
                assert!(Coder::default().unpack(codec, &packed, raw.len() - 1).is_err(), "more than was allowed");
            }
            strike(from, &mut packed)?;
            unpack(codec, &packed, bytes_max);
        }
        _ => unpack(codec, from.bytes(from.len())?, bytes_max),
    }
    Ok(())
}

fn unpack(codec: Codec, packed: &[u8], bytes_max: usize) {
    let mut coder = Coder::default();
    let (unpacked, peak) = peak_of(|| coder.unpack(codec, packed, bytes_max));
    assert!(peak <= 3 * bytes_max + packed.len() + WORK_BYTES, "{peak} bytes for {} that may come to {bytes_max}", packed.len());
    let Ok(content) = unpacked else { return };
    assert!(content.len() <= bytes_max);
    // Whatever was unpacked before, the same bytes come to the same.
    assert_eq!(coder.unpack(codec, packed, content.len()).as_ref(), Ok(&content));
    let again = coder.pack(codec, 1, &content);
    assert_eq!(coder.unpack(codec, &again, content.len()).as_ref(), Ok(&content));
}
