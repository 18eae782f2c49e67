//! The snapshot file: header, compressed chunks of blocks, trailer.
//!
//! ```text
//! header   "VXSNAP01"  u32 CRC of what follows  u32 length of meta  meta
//! chunk    "VXSC"  u32 CRC of what follows  u32 raw bytes  u32 packed bytes  u64 number  zstd data
//! trailer  "VXST"  u32 CRC of what follows  u64 chunks  u64 raw bytes  u64 XXH3 of all before the trailer
//! ```
//! A chunk holds whole blocks: u16 tag, u16 reserved, u32 length, and the block.

use super::{SnapshotError, SnapshotInfo, SnapshotMeta};
use crate::event::Malformed;
use crate::log::DiskFile;
use crate::machine::image::{MachineImage, Restore};
use crate::machine::{Machine, MachineLimits};
use crate::packed::Unpack;
use std::cell::Cell;
use xxhash_rust::xxh3::Xxh3;
use zstd::bulk::{Compressor, Decompressor};

const MAGIC: &[u8; 6] = b"VXSNAP";
const VERSION: u16 = 1;
const CHUNK_MAGIC: &[u8; 4] = b"VXSC";
const TRAILER_MAGIC: &[u8; 4] = b"VXST";
const HEADER_BYTES: usize = 16;
const CHUNK_HEADER_BYTES: usize = 24;
const TRAILER_BYTES: usize = 32;
const BLOCK_HEADER_BYTES: usize = 8;
/// A chunk is closed when it holds this much.
const CHUNK_RAW_BYTES: usize = 512 * 1024;
/// No chunk of ours is larger: what claims to be is damage, not a reason to allocate.
const CHUNK_RAW_BYTES_MAX: usize = 4 * 1024 * 1024;
const META_BYTES_MAX: usize = 64 * 1024;
/// Places are hashes and ids: higher levels cost time and gain next to nothing.
const LEVEL: i32 = 1;

thread_local! {
    /// What compresses and unpacks, for the next snapshot: making either asks the processor what it is, which takes a
    /// virtual machine longer than a small snapshot does.
    static PACKER: Cell<Option<Compressor<'static>>> = const { Cell::new(None) };
    static UNPACKER: Cell<Option<Decompressor<'static>>> = const { Cell::new(None) };
}

struct Writer<'a, F> {
    file: &'a F,
    name: &'a str,
    at: u64,
    digest: Xxh3,
    raw: Vec<u8>,
    raw_total: u64,
    chunks: u64,
    packer: Compressor<'static>,
    pace: &'a mut dyn FnMut(),
}

impl<F: DiskFile> Writer<'_, F> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_at(bytes, self.at).map_err(SnapshotError::io("write", self.name))?;
        self.digest.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn block(&mut self, tag: u16, block: &[u8]) -> Result<(), SnapshotError> {
        if !self.raw.is_empty() && self.raw.len() + block.len() > CHUNK_RAW_BYTES {
            self.chunk()?;
        }
        self.raw.extend_from_slice(&tag.to_le_bytes());
        self.raw.extend_from_slice(&[0; 2]);
        self.raw.extend_from_slice(&(block.len() as u32).to_le_bytes());
        self.raw.extend_from_slice(block);
        Ok(())
    }

    fn chunk(&mut self) -> Result<(), SnapshotError> {
        let raw = std::mem::take(&mut self.raw);
        let packed = self.packer.compress(&raw).map_err(SnapshotError::io("compress", self.name))?;
        let mut bytes = Vec::with_capacity(CHUNK_HEADER_BYTES + packed.len());
        bytes.extend_from_slice(CHUNK_MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.chunks.to_le_bytes());
        bytes.extend_from_slice(&packed);
        seal(&mut bytes);
        self.put(&bytes)?;
        (self.chunks, self.raw_total) = (self.chunks + 1, self.raw_total + raw.len() as u64);
        self.raw = raw;
        self.raw.clear();
        (self.pace)();
        Ok(())
    }
}

/// Fills the CRC at 4 over everything from 8 on.
fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Takes a block with its tag.
type Put<'a> = &'a mut dyn FnMut(u16, &[u8]) -> Result<(), SnapshotError>;

/// Writes and syncs a snapshot of `image`; `pace` is called after each chunk and may sleep.
pub fn write<F: DiskFile>(
    file: &F,
    name: &str,
    meta: &SnapshotMeta,
    image: &MachineImage,
    pace: &mut dyn FnMut(),
) -> Result<SnapshotInfo, SnapshotError> {
    write_blocks(file, name, meta, pace, |put| image.encode(put))
}

/// As `write`, of whatever blocks `encode` puts; none is larger than half a MiB.
pub fn write_blocks<F: DiskFile>(
    file: &F,
    name: &str,
    meta: &SnapshotMeta,
    pace: &mut dyn FnMut(),
    encode: impl FnOnce(Put<'_>) -> Result<(), SnapshotError>,
) -> Result<SnapshotInfo, SnapshotError> {
    let packer = PACKER.take().map_or_else(|| Compressor::new(LEVEL), Ok).map_err(SnapshotError::io("compress", name))?;
    let digest = Xxh3::new();
    let mut writer =
        Writer { file, name, at: 0, digest, raw: Vec::new(), raw_total: 0, chunks: 0, packer, pace };
    let mut body = Vec::new();
    meta.encode(&mut body);
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    let mut tail = (body.len() as u32).to_le_bytes().to_vec();
    tail.extend_from_slice(&body);
    header.extend_from_slice(&crc32c::crc32c(&tail).to_le_bytes());
    header.extend_from_slice(&tail);
    writer.put(&header)?;
    encode(&mut |tag, block| writer.block(tag, block))?;
    if !writer.raw.is_empty() {
        writer.chunk()?;
    }
    let digest = writer.digest.digest();
    let mut trailer = TRAILER_MAGIC.to_vec();
    trailer.extend_from_slice(&[0; 4]);
    for field in [writer.chunks, writer.raw_total, digest] {
        trailer.extend_from_slice(&field.to_le_bytes());
    }
    seal(&mut trailer);
    writer.put(&trailer)?;
    let bytes = writer.at;
    PACKER.set(Some(writer.packer));
    file.sync_data().map_err(SnapshotError::io("sync", name))?;
    Ok(SnapshotInfo { meta: meta.clone(), bytes, digest })
}

struct Reader<'a, F> {
    file: &'a F,
    name: &'a str,
    at: u64,
    digest: Xxh3,
}

impl<F: DiskFile> Reader<'_, F> {
    fn damaged(&self, what: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { file: self.name.to_string(), offset: self.at, what: what.into() }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let read = self.file.read_at(&mut bytes[filled..], self.at + filled as u64);
            match read.map_err(SnapshotError::io("read", self.name))? {
                0 => return Err(self.damaged("the file ends here")),
                count => filled += count,
            }
        }
        self.at += length as u64;
        Ok(bytes)
    }

    fn meta(&mut self) -> Result<SnapshotMeta, SnapshotError> {
        let head = self.take(HEADER_BYTES)?;
        let version = u16::from_le_bytes([head[6], head[7]]);
        if &head[..6] != MAGIC {
            return Err(self.damaged("this is not a snapshot"));
        }
        if version != VERSION {
            let file = self.name.to_string();
            return Err(SnapshotError::UnsupportedVersion { file, version, supported: VERSION });
        }
        let length = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
        if length > META_BYTES_MAX {
            return Err(self.damaged("the header is too long"));
        }
        let body = self.take(length)?;
        let crc = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        if crc32c::crc32c_append(crc32c::crc32c(&head[12..]), &body) != crc {
            return Err(self.damaged("the header's checksum does not match"));
        }
        self.digest.update(&head);
        self.digest.update(&body);
        let mut fields = Unpack::new(&body);
        let meta = SnapshotMeta::decode(&mut fields).and_then(|meta| fields.end().map(|()| meta));
        meta.map_err(|error| self.damaged(error.to_string()))
    }
}

/// The header alone.
pub fn read_meta<F: DiskFile>(file: &F, name: &str) -> Result<SnapshotMeta, SnapshotError> {
    Reader { file, name, at: 0, digest: Xxh3::new() }.meta()
}

/// Reads all of it, checks every byte and makes the machine anew.
pub fn read<F: DiskFile>(
    file: &F,
    name: &str,
    limits: MachineLimits,
    key: u64,
) -> Result<(SnapshotInfo, Machine), SnapshotError> {
    let mut restore = Restore::new(limits, key);
    let info = read_blocks(file, name, |tag, block| restore.block(tag, block))?;
    let damaged = |what: String| SnapshotError::Damaged { file: name.to_string(), offset: info.bytes, what };
    let machine = restore.finish().map_err(|error| damaged(error.to_string()))?;
    if machine.applied() != info.meta.index {
        return Err(damaged("the state is of another index than the header says".to_string()));
    }
    Ok((info, machine))
}

/// Reads all of it, checks every byte and gives each block to `take`.
pub fn read_blocks<F: DiskFile>(
    file: &F,
    name: &str,
    mut take: impl FnMut(u16, &[u8]) -> Result<(), Malformed>,
) -> Result<SnapshotInfo, SnapshotError> {
    let mut reader = Reader { file, name, at: 0, digest: Xxh3::new() };
    let meta = reader.meta()?;
    let mut unpacker = UNPACKER.take().map_or_else(Decompressor::new, Ok).map_err(SnapshotError::io("unpack", name))?;
    let (mut chunks, mut raw_total) = (0u64, 0u64);
    loop {
        let head = reader.take(CHUNK_HEADER_BYTES)?;
        let u32_of = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[..4] == TRAILER_MAGIC {
            let rest = reader.take(TRAILER_BYTES - CHUNK_HEADER_BYTES)?;
            let mut fields = Unpack::new(&head[8..]);
            let mut next = || fields.u64().unwrap_or(0);
            let stated = (next(), next());
            let digest = u64::from_le_bytes(rest.as_slice().try_into().unwrap_or_default());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&head[8..]), &rest);
            if crc != u32_of(4) || stated != (chunks, raw_total) || digest != reader.digest.digest() {
                return Err(reader.damaged("the trailer does not match what was read"));
            }
            let mut beyond = [0];
            if file.read_at(&mut beyond, reader.at).map_err(SnapshotError::io("read", name))? > 0 {
                return Err(reader.damaged("something follows the trailer"));
            }
            UNPACKER.set(Some(unpacker));
            return Ok(SnapshotInfo { meta, bytes: reader.at, digest });
        }
        if &head[..4] != CHUNK_MAGIC {
            return Err(reader.damaged("neither a chunk nor the trailer is here"));
        }
        let (raw_bytes, packed_bytes) = (u32_of(8) as usize, u32_of(12) as usize);
        if raw_bytes > CHUNK_RAW_BYTES_MAX || packed_bytes > CHUNK_RAW_BYTES_MAX {
            return Err(reader.damaged("a chunk is too large"));
        }
        let packed = reader.take(packed_bytes)?;
        if crc32c::crc32c_append(crc32c::crc32c(&head[8..]), &packed) != u32_of(4) {
            return Err(reader.damaged("a chunk's checksum does not match"));
        }
        reader.digest.update(&head);
        reader.digest.update(&packed);
        let raw = unpacker.decompress(&packed, raw_bytes).map_err(SnapshotError::io("unpack", name))?;
        if raw.len() != raw_bytes {
            return Err(reader.damaged("a chunk unpacks to another length"));
        }
        blocks(&raw, &mut take).map_err(|error| reader.damaged(error.to_string()))?;
        (chunks, raw_total) = (chunks + 1, raw_total + raw_bytes as u64);
    }
}

fn blocks(raw: &[u8], take: &mut impl FnMut(u16, &[u8]) -> Result<(), Malformed>) -> Result<(), Malformed> {
    let mut fields = Unpack::new(raw);
    while !fields.is_empty() {
        let (tag, _reserved) = (fields.u16()?, fields.u16()?);
        let length = fields.u32()? as usize;
        take(tag, fields.bytes(length)?)?;
    }
    Ok(())
}

const _: () = assert!(CHUNK_RAW_BYTES + BLOCK_HEADER_BYTES < CHUNK_RAW_BYTES_MAX);
