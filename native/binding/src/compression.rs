//! Packing and unpacking bytes. Each thread keeps what its calls need: those of JavaScript, and those of libuv's pool.

use crate::registry::coded;
use napi::bindgen_prelude::{AsyncTask, Buffer, BufferSlice, Env, Result, Task, Uint8Array};
use napi_derive::napi;
use std::cell::RefCell;
use vexfs_core::compression::{Codec, Coder, CompressionError, LEVELS, RAW_BYTES_MAX};

thread_local! {
    static CODER: RefCell<Coder> = RefCell::default();
}

fn with_coder<T>(work: impl FnOnce(&mut Coder) -> std::result::Result<T, CompressionError>) -> Result<T> {
    CODER.with_borrow_mut(work).map_err(refused)
}

fn refused(error: CompressionError) -> napi::Error {
    let code = match error {
        CompressionError::Damaged { .. } => "COMPRESSION_DAMAGED",
        CompressionError::TooLarge { .. } => "COMPRESSION_TOO_LARGE",
        CompressionError::UnknownCodec(_) => "COMPRESSION_UNKNOWN",
    };
    coded(code, error)
}

/// What is asked for, checked: a codec, a level that it may have, and no more bytes than are packed at once.
fn checked(codec: u8, level: i32, raw_bytes: usize) -> std::result::Result<(Codec, i32), CompressionError> {
    if raw_bytes > RAW_BYTES_MAX {
        return Err(CompressionError::TooLarge { bytes_max: RAW_BYTES_MAX });
    }
    Ok((Codec::of_number(codec)?, level.clamp(*LEVELS.start(), *LEVELS.end())))
}

/// Packs into the beginning of `out`, which must not overlap `raw`. Answers the packed size, or the room that is
/// missing something of, below zero, and nothing was done.
#[napi]
pub fn compress_into(codec: u8, level: i32, raw: &[u8], mut out: BufferSlice<'_>) -> Result<i64> {
    with_coder(|coder| {
        let (codec, level) = checked(codec, level, raw.len())?;
        let room = coder.packed_bytes_max(codec, raw.len());
        if out.len() < room {
            return Ok(-(room as i64));
        }
        Ok(coder.pack_into(codec, level, raw, &mut out) as i64)
    })
}

#[napi]
pub fn compress(codec: u8, level: i32, raw: &[u8]) -> Result<Buffer> {
    let packed = with_coder(|coder| {
        let (codec, level) = checked(codec, level, raw.len())?;
        Ok(coder.pack(codec, level, raw))
    })?;
    Ok(packed.into())
}

/// Unpacks into the beginning of `out`, which must not overlap `packed`. Answers how much came out; where nothing was
/// done, -1 if the content does not tell its size, else -1 less the size that it tells, which is more than `out` has.
#[napi]
pub fn decompress_into(codec: u8, packed: &[u8], bytes_max: u32, mut out: BufferSlice<'_>) -> Result<i64> {
    with_coder(|coder| {
        let codec = Codec::of_number(codec)?;
        let Some(bytes) = coder.told_bytes(codec, packed, bytes_max as usize)? else { return Ok(-1) };
        let Some(place) = out.get_mut(..bytes) else { return Ok(-1 - bytes as i64) };
        coder.unpack_into(codec, packed, place)?;
        Ok(bytes as i64)
    })
}

#[napi]
pub fn decompress(codec: u8, packed: &[u8], bytes_max: u32) -> Result<Buffer> {
    Ok(with_coder(|coder| coder.unpack(Codec::of_number(codec)?, packed, bytes_max as usize))?.into())
}

pub struct CompressTask {
    codec: u8,
    level: i32,
    raw: Uint8Array,
}

#[napi]
impl Task for CompressTask {
    type Output = Vec<u8>;
    type JsValue = Buffer;

    fn compute(&mut self) -> Result<Vec<u8>> {
        with_coder(|coder| {
            let (codec, level) = checked(self.codec, self.level, self.raw.len())?;
            Ok(coder.pack(codec, level, &self.raw))
        })
    }

    fn resolve(&mut self, _env: Env, packed: Vec<u8>) -> Result<Buffer> {
        Ok(packed.into())
    }
}

/// Packs on libuv's pool; the bytes must not be changed until it is done.
#[napi(ts_return_type = "Promise<Buffer>")]
pub fn compress_apart(codec: u8, level: i32, raw: Uint8Array) -> AsyncTask<CompressTask> {
    AsyncTask::new(CompressTask { codec, level, raw })
}

pub struct DecompressTask {
    codec: u8,
    packed: Uint8Array,
    bytes_max: u32,
}

#[napi]
impl Task for DecompressTask {
    type Output = Vec<u8>;
    type JsValue = Buffer;

    fn compute(&mut self) -> Result<Vec<u8>> {
        with_coder(|coder| coder.unpack(Codec::of_number(self.codec)?, &self.packed, self.bytes_max as usize))
    }

    fn resolve(&mut self, _env: Env, raw: Vec<u8>) -> Result<Buffer> {
        Ok(raw.into())
    }
}

/// Unpacks on libuv's pool; the bytes must not be changed until it is done.
#[napi(ts_return_type = "Promise<Buffer>")]
pub fn decompress_apart(codec: u8, packed: Uint8Array, bytes_max: u32) -> AsyncTask<DecompressTask> {
    AsyncTask::new(DecompressTask { codec, packed, bytes_max })
}
