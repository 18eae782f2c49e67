//! Zstd, by the crate `zstd`: contexts are made once and used again.

use super::{Algorithm, Codec, CompressionError};
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{compress_bound, find_frame_compressed_size, get_frame_content_size, CCtx, CParameter, DCtx};

/// Where unpacking begins when nobody tells how much comes out.
const GUESS_BYTES: usize = 64 * 1024;
const GUESS_RATIO: usize = 4;

#[derive(Default)]
pub struct Zstd {
    /// With the level that it is set to.
    packer: Option<(CCtx<'static>, i32)>,
    unpacker: Option<DCtx<'static>>,
}

fn damaged(what: &'static str) -> CompressionError {
    CompressionError::Damaged { codec: Codec::Zstd, what }
}

impl Zstd {
    fn unpacker(&mut self) -> &mut DCtx<'static> {
        self.unpacker.get_or_insert_with(DCtx::create)
    }
}

impl Algorithm for Zstd {
    fn packed_bytes_max(&self, raw_bytes: usize) -> usize {
        compress_bound(raw_bytes)
    }

    fn pack(&mut self, level: i32, raw: &[u8], out: &mut [u8]) -> usize {
        let (packer, set) = self.packer.get_or_insert_with(|| (CCtx::create(), 0));
        if *set != level {
            packer.set_parameter(CParameter::CompressionLevel(level)).expect("a level that there is");
            *set = level;
        }
        packer.compress2(out, raw).expect("the room is what was asked for")
    }

    /// Of all frames, one after another.
    fn told_bytes(&self, mut packed: &[u8]) -> Result<Option<u64>, CompressionError> {
        if packed.is_empty() {
            return Err(damaged("no frame"));
        }
        let mut told = 0u64;
        while !packed.is_empty() {
            let Some(bytes) = get_frame_content_size(packed).map_err(|_| damaged("its header"))? else { return Ok(None) };
            // What is beyond all bounds is refused by whoever has set them.
            told = told.saturating_add(bytes);
            let length = find_frame_compressed_size(packed).map_err(|_| damaged("a frame is cut off"))?;
            packed = &packed[length..];
        }
        Ok(Some(told))
    }

    fn unpack_into(&mut self, packed: &[u8], out: &mut [u8]) -> Result<(), CompressionError> {
        match self.unpacker().decompress(out, packed) {
            Ok(length) if length == out.len() => Ok(()),
            Ok(_) => Err(damaged("not as long as was expected")),
            Err(_) => Err(damaged("its content")),
        }
    }

    /// All in one go into a buffer that doubles: a stream would take the window that its header asks for.
    fn unpack_untold(&mut self, packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
        let mut room = GUESS_BYTES.max(packed.len().saturating_mul(GUESS_RATIO)).min(bytes_max);
        loop {
            let mut content = Vec::with_capacity(room);
            match self.unpacker().decompress(&mut content, packed) {
                // The allocator may have given more than was asked for.
                Ok(length) if length <= bytes_max => return Ok(content),
                Ok(_) => return Err(CompressionError::TooLarge { bytes_max }),
                Err(error) if !is_short(error) => return Err(damaged("its content")),
                Err(_) if room == bytes_max => return Err(CompressionError::TooLarge { bytes_max }),
                Err(_) => room = room.saturating_mul(2).min(bytes_max),
            }
        }
    }
}

/// The buffer was too small.
fn is_short(error: usize) -> bool {
    0usize.wrapping_sub(error) == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize
}
