//! The files of a log, taken apart by docs/formats.md and not by the product's code: the parts that checksums are over,
//! and the checksums as they have to be after something was done to a part.

use std::ops::Range;

const BLOCK: usize = 4096;
const SUPERBLOCK_MAGIC: &[u8] = b"VXLOGSUP";
const SEGMENT_MAGIC: &[u8] = b"VXLOGSEG";
const SEGMENT_HEADER_BYTES: usize = 96;
const BATCH_HEADER_BYTES: usize = 48;
const TRAILER_BYTES: usize = 32;
const FOOTER_KIND: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The superblock: the whole block.
    Superblock,
    SegmentHeader,
    BatchHeader { at: usize },
    /// One of the records of the batch at `batch`.
    Record { at: usize, length: usize, batch: usize },
    FooterBody { at: usize, length: usize, batch: usize },
    Trailer { at: usize },
}

fn u32_at(file: &[u8], at: usize) -> usize {
    file.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
}

fn put_u32(file: &mut [u8], at: usize, number: u32) {
    if let Some(place) = file.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// The parts of a file, in order of their places.
pub fn parts(file: &[u8]) -> Vec<Part> {
    if file.starts_with(SUPERBLOCK_MAGIC) && file.len() >= BLOCK {
        return vec![Part::Superblock];
    }
    if !file.starts_with(SEGMENT_MAGIC) || file.len() < BLOCK {
        return Vec::new();
    }
    let mut parts = vec![Part::SegmentHeader];
    let mut at = BLOCK;
    while file.get(at..at + BATCH_HEADER_BYTES).is_some_and(|header| header.starts_with(b"VXB1")) {
        parts.push(Part::BatchHeader { at });
        let (body, length) = (at + BATCH_HEADER_BYTES, u32_at(file, at + 24));
        if file[at + 36] == FOOTER_KIND {
            parts.push(Part::FooterBody { at: body, length, batch: at });
        } else {
            parts.extend(records(file, body, length).map(|(record, length)| Part::Record { at: record, length, batch: at }));
        }
        at += (BATCH_HEADER_BYTES + length).div_ceil(BLOCK) * BLOCK;
    }
    let trailer = file.len() / BLOCK * BLOCK - BLOCK;
    if file[trailer..].starts_with(b"VXT1") {
        parts.push(Part::Trailer { at: trailer });
    }
    parts
}

/// Places and lengths of the records between `from` and `from + length`.
fn records(file: &[u8], from: usize, length: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let (mut at, end) = (from, (from + length).min(file.len()));
    std::iter::from_fn(move || {
        let length = u32_at(file, at);
        if length < 16 || at + length > end {
            return None;
        }
        let record = (at, length);
        at += length.div_ceil(8) * 8;
        Some(record)
    })
}

/// Where the bytes of a part lie.
pub fn range(part: &Part) -> Range<usize> {
    match *part {
        Part::Superblock => 0..BLOCK,
        Part::SegmentHeader => 0..SEGMENT_HEADER_BYTES,
        Part::BatchHeader { at } => at..at + BATCH_HEADER_BYTES,
        Part::Record { at, length, .. } | Part::FooterBody { at, length, .. } => at..at + length,
        Part::Trailer { at } => at..at + TRAILER_BYTES,
    }
}

/// CRC-32C of a structure in a segment: its salt and its place come first.
fn checksum(file: &[u8], at: usize, parts: &[&[u8]]) -> u32 {
    let salt = file.get(40..48).unwrap_or_default();
    let start = crc32c::crc32c_append(crc32c::crc32c(salt), &(at as u64).to_le_bytes());
    parts.iter().fold(start, |crc, part| crc32c::crc32c_append(crc, part))
}

/// Puts right what covers a part, and what covers that.
pub fn seal(file: &mut [u8], part: &Part) {
    if range(part).end > file.len() {
        return;
    }
    match *part {
        Part::Superblock => {
            let crc = crc32c::crc32c_append(crc32c::crc32c(&file[..12]), &file[16..BLOCK]);
            put_u32(file, 12, crc);
        }
        Part::SegmentHeader => {
            let crc = crc32c::crc32c_append(crc32c::crc32c(&file[..12]), &file[16..SEGMENT_HEADER_BYTES]);
            put_u32(file, 12, crc);
        }
        Part::BatchHeader { at } => {
            let crc = checksum(file, at, &[&file[at + 8..at + BATCH_HEADER_BYTES]]);
            put_u32(file, at + 4, crc);
        }
        Part::Record { at, batch, .. } => {
            // Its length may be another one now.
            let length = u32_at(file, at);
            if length >= 16 && at + length <= file.len() {
                let crc = checksum(file, at, &[&file[at..at + 4], &file[at + 8..at + length]]);
                put_u32(file, at + 4, crc);
            }
            let body: Vec<(usize, usize)> = records(file, batch + BATCH_HEADER_BYTES, u32_at(file, batch + 24)).collect();
            let crc = body.iter().fold(0, |crc, (at, _)| crc32c::crc32c_append(crc, &file[at + 4..at + 8]));
            put_u32(file, batch + 32, crc);
            put_u32(file, batch + 28, body.len() as u32);
            seal(file, &Part::BatchHeader { at: batch });
        }
        Part::FooterBody { at, length, batch } => {
            let crc = checksum(file, batch, &[&file[at..at + length]]);
            put_u32(file, batch + 32, crc);
            seal(file, &Part::BatchHeader { at: batch });
        }
        Part::Trailer { at } => {
            let crc = checksum(file, at, &[&file[at + 8..at + TRAILER_BYTES]]);
            put_u32(file, at + 4, crc);
        }
    }
}
