//! LZ4's frame format (its `doc/lz4_Frame_format.md`) around the blocks of the crate `lz4_flex`, whose own frames make
//! their buffers and tables anew each time. Written are independent blocks without checksums, behind the size of the
//! content. Read is one frame with any of its options but a dictionary; checksums are checked.

use super::{Algorithm, Codec, CompressionError};
use crate::bytes_le::{u32_at, u64_at};
use lz4_flex::block::{compress_into_with_table, decompress_into, decompress_into_with_dict, get_maximum_output_size, CompressTable, DecompressError};
use xxhash_rust::xxh32::{xxh32, Xxh32};

const MAGIC: u32 = 0x184D_2204;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
const RESERVED: u8 = 0b0000_0010;
const DICTIONARY: u8 = 0b0000_0001;

/// Of a frame with the size of its content.
const HEADER_BYTES: usize = 15;
const BLOCK_HEADER_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 4;
/// Of a block's size: it is stored as it was.
const STORED: u32 = 1 << 31;
/// How far back matches reach.
const WINDOW_BYTES: usize = 64 * 1024;
/// Largest blocks, and their numbers in a header.
const BLOCKS: [(u8, usize); 4] = [(4, 64 << 10), (5, 256 << 10), (6, 1 << 20), (7, 4 << 20)];
/// Shorter blocks are packed with a table of half the size, which is cleared in half the time.
const SMALL_BYTES: usize = u16::MAX as usize;

pub struct Lz4 {
    small: CompressTable,
    large: Option<CompressTable>,
}

impl Default for Lz4 {
    fn default() -> Self {
        Self { small: CompressTable::small(), large: None }
    }
}

fn damaged(what: &'static str) -> CompressionError {
    CompressionError::Damaged { codec: Codec::Lz4, what }
}

struct Header {
    flags: u8,
    content_bytes: Option<u64>,
    block_bytes_max: usize,
    /// Where the first block is.
    end: usize,
}

impl Header {
    fn read(packed: &[u8]) -> Result<Self, CompressionError> {
        if packed.len() < 7 || u32_at(packed, 0) != MAGIC {
            return Err(damaged("no frame"));
        }
        let (flags, blocks) = (packed[4], packed[5]);
        if flags & 0b1100_0000 != VERSION || flags & RESERVED != 0 || blocks & 0b1000_1111 != 0 {
            return Err(damaged("a header of another version"));
        }
        if flags & DICTIONARY != 0 {
            return Err(damaged("it needs a dictionary"));
        }
        let number = blocks >> 4;
        let (_, block_bytes_max) = BLOCKS.into_iter().find(|(of, _)| *of == number).ok_or(damaged("unknown size of blocks"))?;
        let checked = if flags & CONTENT_SIZE == 0 { 6 } else { 14 };
        if packed.len() <= checked {
            return Err(damaged("the header is cut off"));
        }
        if packed[checked] != header_checksum(&packed[4..checked]) {
            return Err(damaged("the checksum of the header"));
        }
        let content_bytes = (flags & CONTENT_SIZE != 0).then(|| u64_at(packed, 6));
        Ok(Self { flags, content_bytes, block_bytes_max, end: checked + 1 })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor, 0) >> 8) as u8
}

struct Block<'a> {
    stored: bool,
    bytes: &'a [u8],
}

/// The block at `at`, which moves behind it; None at the frame's end.
fn next_block<'a>(packed: &'a [u8], header: &Header, at: &mut usize) -> Result<Option<Block<'a>>, CompressionError> {
    let mut take = |length: usize| {
        let taken = packed.get(*at..*at + length).ok_or(damaged("it is cut off"))?;
        *at += length;
        Ok(taken)
    };
    let size = u32_at(take(BLOCK_HEADER_BYTES)?, 0);
    if size == 0 {
        return Ok(None);
    }
    let length = (size & !STORED) as usize;
    if length > header.block_bytes_max {
        return Err(damaged("a block larger than the header says"));
    }
    let bytes = take(length)?;
    if header.has(BLOCK_CHECKSUMS) && u32_at(take(CHECKSUM_BYTES)?, 0) != xxh32(bytes, 0) {
        return Err(damaged("the checksum of a block"));
    }
    Ok(Some(Block { stored: size & STORED != 0, bytes }))
}

enum Stop {
    /// There is more content than room.
    Short,
    Wrong(CompressionError),
}

/// Unpacks the frame's content into `out`; answers its length.
fn unpack_frame(packed: &[u8], header: &Header, out: &mut [u8]) -> Result<usize, Stop> {
    let mut at = header.end;
    let mut length = 0;
    while let Some(block) = next_block(packed, header, &mut at).map_err(Stop::Wrong)? {
        let (before, room) = out.split_at_mut(length);
        let short = room.len() < header.block_bytes_max;
        let room_bytes = room.len().min(header.block_bytes_max);
        let room = &mut room[..room_bytes];
        length += if block.stored {
            let place = room.get_mut(..block.bytes.len()).ok_or(Stop::Short)?;
            place.copy_from_slice(block.bytes);
            block.bytes.len()
        } else {
            let window = &before[before.len().saturating_sub(WINDOW_BYTES)..];
            let unpacked = match header.has(INDEPENDENT) || window.is_empty() {
                true => decompress_into(block.bytes, room),
                false => decompress_into_with_dict(block.bytes, room, window),
            };
            unpacked.map_err(|error| match error {
                DecompressError::OutputTooSmall { .. } if short => Stop::Short,
                _ => Stop::Wrong(damaged("its content")),
            })?
        };
    }
    if header.has(CONTENT_CHECKSUM) {
        let mut hash = Xxh32::new(0);
        hash.update(&out[..length]);
        let told = packed.get(at..at + CHECKSUM_BYTES).ok_or(Stop::Wrong(damaged("it is cut off")))?;
        if u32_at(told, 0) != hash.digest() {
            return Err(Stop::Wrong(damaged("the checksum of its content")));
        }
        at += CHECKSUM_BYTES;
    }
    if at != packed.len() {
        return Err(Stop::Wrong(damaged("bytes after the frame")));
    }
    Ok(length)
}

impl Algorithm for Lz4 {
    fn packed_bytes_max(&self, raw_bytes: usize) -> usize {
        let (_, block_bytes_max) = blocks_for(raw_bytes);
        let headers = (raw_bytes / block_bytes_max + 2) * BLOCK_HEADER_BYTES;
        HEADER_BYTES + headers + get_maximum_output_size(raw_bytes)
    }

    fn pack(&mut self, _level: i32, raw: &[u8], out: &mut [u8]) -> usize {
        let (number, block_bytes_max) = blocks_for(raw.len());
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = VERSION | INDEPENDENT | CONTENT_SIZE;
        out[5] = number << 4;
        out[6..14].copy_from_slice(&(raw.len() as u64).to_le_bytes());
        out[14] = header_checksum(&out[4..14]);
        let mut at = HEADER_BYTES;
        for block in raw.chunks(block_bytes_max) {
            let table = match block.len() < SMALL_BYTES {
                true => &mut self.small,
                false => self.large.get_or_insert_with(CompressTable::large),
            };
            let place = &mut out[at + BLOCK_HEADER_BYTES..];
            let packed = compress_into_with_table(block, place, table).expect("the room is what was asked for");
            let size = if packed < block.len() {
                packed as u32
            } else {
                place[..block.len()].copy_from_slice(block);
                block.len() as u32 | STORED
            };
            out[at..at + BLOCK_HEADER_BYTES].copy_from_slice(&size.to_le_bytes());
            at += BLOCK_HEADER_BYTES + (size & !STORED) as usize;
        }
        out[at..at + BLOCK_HEADER_BYTES].fill(0);
        at + BLOCK_HEADER_BYTES
    }

    fn told_bytes(&self, packed: &[u8]) -> Result<Option<u64>, CompressionError> {
        Ok(Header::read(packed)?.content_bytes)
    }

    fn unpack_into(&mut self, packed: &[u8], out: &mut [u8]) -> Result<(), CompressionError> {
        let header = Header::read(packed)?;
        match unpack_frame(packed, &header, out) {
            Ok(length) if length == out.len() => Ok(()),
            Ok(_) | Err(Stop::Short) => Err(damaged("not as long as was expected")),
            Err(Stop::Wrong(error)) => Err(error),
        }
    }

    fn unpack_untold(&mut self, packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
        let header = Header::read(packed)?;
        let mut at = header.end;
        let mut most = 0usize;
        while let Some(block) = next_block(packed, &header, &mut at)? {
            most = most.saturating_add(if block.stored { block.bytes.len() } else { header.block_bytes_max });
        }
        let mut content = vec![0; most.min(bytes_max)];
        match unpack_frame(packed, &header, &mut content) {
            Ok(length) => {
                content.truncate(length);
                content.shrink_to_fit();
                Ok(content)
            }
            Err(Stop::Short) => Err(CompressionError::TooLarge { bytes_max }),
            Err(Stop::Wrong(error)) => Err(error),
        }
    }
}

/// The smallest blocks that take it all in one; the largest where none do.
fn blocks_for(raw_bytes: usize) -> (u8, usize) {
    BLOCKS.into_iter().find(|(_, most)| *most >= raw_bytes).unwrap_or(BLOCKS[3])
}
