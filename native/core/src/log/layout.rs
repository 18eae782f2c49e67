//! File names, the block size, checksums and the segment header (docs/formats.md, "Log files").

use crate::plants::{self, CorePlant};
use super::disk::{read_full, DiskFile};
use super::LogError;
use crate::bytes_le::{u16_at, u32_at, u64_at};
use crc32c::{crc32c, crc32c_append};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Writes begin and end at multiples of this, so that no acknowledged byte shares a block with a later write.
pub const BLOCK_BYTES: u64 = 4096;
pub(super) const BLOCK: usize = BLOCK_BYTES as usize;

pub(super) const FORMAT_VERSION: u16 = 1;
pub(super) const SEGMENT_SUFFIX: &str = ".seg";
pub(super) const SPARE_PREFIX: &str = "spare-";
/// A file of which no content counts yet; found at an open, it is removed.
pub(super) const UNFINISHED_SUFFIX: &str = ".new";

const SEGMENT_MAGIC: &[u8; 8] = b"VXLOGSEG";
const SEGMENT_HEADER_BYTES: usize = 96;

pub(super) fn round_up(bytes: u64, unit: u64) -> u64 {
    bytes.div_ceil(unit) * unit
}

pub(super) fn segment_name(sequence: u64) -> String {
    format!("{sequence:020}{SEGMENT_SUFFIX}")
}

/// The sequence in a segment's file name; `None` for any other file.
pub(super) fn segment_sequence(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// CRC-32C of a structure at `offset` of the segment with `salt`: bytes that were written for another use of the file,
/// or for another place in it, do not match.
pub(super) fn checksum(salt: u64, offset: u64, parts: &[&[u8]]) -> u32 {
    let mut place = [0; 16];
    let (salt, offset) = if plants::is(CorePlant::StaleRecycled) { (0, 0) } else { (salt, offset) };
    place[..8].copy_from_slice(&salt.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    parts.iter().fold(crc32c(&place), |crc, part| crc32c_append(crc, part))
}

pub(super) fn segment_salt(seed: u64, sequence: u64, incarnation: u64) -> u64 {
    let mut use_of_file = [0; 16];
    use_of_file[..8].copy_from_slice(&sequence.to_le_bytes());
    use_of_file[8..].copy_from_slice(&incarnation.to_le_bytes());
    xxh3_64_with_seed(&use_of_file, seed)
}

/// First block of a segment. Written once, before the file gets its segment name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub directory: [u8; 16],
    pub sequence: u64,
    /// Unique to this use of the file; every checksum in the segment covers it.
    pub salt: u64,
    /// Salt of the segment before, 0 for the first: a segment from another history does not fit in.
    pub previous_salt: u64,
    /// Number of the segment's first batch.
    pub first_batch: u64,
    /// Length of the file in bytes, as created.
    pub capacity: u64,
    pub incarnation: u64,
}

impl SegmentHeader {
    pub fn name(&self) -> String {
        segment_name(self.sequence)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..8].copy_from_slice(SEGMENT_MAGIC);
        block[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[16..32].copy_from_slice(&self.directory);
        let words = [
            self.sequence,
            self.salt,
            self.previous_salt,
            self.first_batch,
            self.capacity,
            self.incarnation,
            BLOCK_BYTES,
        ];
        for (i, word) in words.iter().enumerate() {
            block[32 + i * 8..40 + i * 8].copy_from_slice(&word.to_le_bytes());
        }
        let crc = header_crc(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads the header of the file that has the name of segment `sequence`.
    pub fn read<F: DiskFile>(file: &F, sequence: u64) -> Result<Self, LogError> {
        let name = segment_name(sequence);
        let mut block = vec![0; BLOCK];
        let read = read_full(file, &mut block, 0).map_err(LogError::io("read", &name))?;
        if read < BLOCK || &block[..8] != SEGMENT_MAGIC || u32_at(&block, 12) != header_crc(&block) {
            return Err(LogError::damaged(&name, 0, "the segment header is not readable"));
        }
        let version = u16_at(&block, 8);
        if version != FORMAT_VERSION {
            return Err(LogError::UnsupportedVersion { file: name, version, supported: FORMAT_VERSION });
        }
        let mut directory = [0; 16];
        directory.copy_from_slice(&block[16..32]);
        let header = Self {
            directory,
            sequence: u64_at(&block, 32),
            salt: u64_at(&block, 40),
            previous_salt: u64_at(&block, 48),
            first_batch: u64_at(&block, 56),
            capacity: u64_at(&block, 64),
            incarnation: u64_at(&block, 72),
        };
        if header.sequence != sequence {
            return Err(LogError::ForeignSegment { segment: name, reason: "its header has another sequence" });
        }
        Ok(header)
    }
}

fn header_crc(block: &[u8]) -> u32 {
    crc32c_append(crc32c(&block[..12]), &block[16..SEGMENT_HEADER_BYTES])
}
