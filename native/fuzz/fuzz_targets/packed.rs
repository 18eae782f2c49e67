//! Packed bytes and packed frames of anybody: nothing panics, and nothing is longer than it may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vexfs_core::compression::{Codec, Coder};
use vexfs_core::peer::frame::Assembler;
use vexfs_core::peer::packed::PACKED;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut coder = Coder::default();
    for codec in Codec::ALL {
        if let Ok(content) = coder.unpack(codec, bytes, BYTES_MAX) {
            assert!(content.len() <= BYTES_MAX);
            let packed = coder.pack(codec, 1, &content);
            assert_eq!(coder.unpack(codec, &packed, content.len()).as_ref(), Ok(&content));
        }
        // As a frame whose checksum is right.
        let mut frame = [&[0; 16], bytes].concat();
        let length = frame.len() as u32;
        frame[0..4].copy_from_slice(&length.to_le_bytes());
        frame[8..10].copy_from_slice(&[PACKED, codec as u8]);
        let check = crc32c::crc32c(&frame[8..]);
        frame[4..8].copy_from_slice(&check.to_le_bytes());
        let mut frames = Vec::new();
        let _ = Assembler::default().push(&frame, &mut frames);
    }
});
