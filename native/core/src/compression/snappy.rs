//! Snappy's block format, by the crate `snap`.

use super::{Algorithm, Codec, CompressionError};
use snap::raw::{decompress_len, max_compress_len, Decoder, Encoder};

pub struct Snappy {
    encoder: Encoder,
    decoder: Decoder,
}

impl Default for Snappy {
    fn default() -> Self {
        Self { encoder: Encoder::new(), decoder: Decoder::new() }
    }
}

fn damaged(what: &'static str) -> CompressionError {
    CompressionError::Damaged { codec: Codec::Snappy, what }
}

impl Algorithm for Snappy {
    fn packed_bytes_max(&self, raw_bytes: usize) -> usize {
        max_compress_len(raw_bytes)
    }

    fn pack(&mut self, _level: i32, raw: &[u8], out: &mut [u8]) -> usize {
        self.encoder.compress(raw, out).expect("the room is what was asked for")
    }

    fn told_bytes(&self, packed: &[u8]) -> Result<Option<u64>, CompressionError> {
        // The crate takes no bytes for no content; every content has a header.
        if packed.is_empty() {
            return Err(damaged("no header"));
        }
        decompress_len(packed).map(|bytes| Some(bytes as u64)).map_err(|_| damaged("its header"))
    }

    fn unpack_into(&mut self, packed: &[u8], out: &mut [u8]) -> Result<(), CompressionError> {
        if self.told_bytes(packed)? != Some(out.len() as u64) {
            return Err(damaged("not as long as was expected"));
        }
        match self.decoder.decompress(packed, out) {
            Ok(length) if length == out.len() => Ok(()),
            _ => Err(damaged("its content")),
        }
    }

    fn unpack_untold(&mut self, _packed: &[u8], _bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
        Err(damaged("no header"))
    }
}
