//! The index at the end of a sealed segment, and the trailer that finds it (docs/formats.md, "Footer").

use super::batch::{BatchHeader, BatchKind, BATCH_HEADER_BYTES};
use super::disk::{read_full, DiskFile};
use super::index::{Run, SegmentGroup, SegmentIndex};
use super::record::{decode_hard_state, decode_mark, hard_state_words, mark_words};
use super::layout::{checksum, round_up, SegmentHeader, BLOCK, BLOCK_BYTES};
use super::LogError;
use crate::bytes_le::{u32_at, u64_at};
use crate::ids::GroupId;

const TRAILER_MAGIC: &[u8; 4] = b"VXT1";
const TRAILER_BYTES: usize = 32;
const GROUP_BYTES: usize = 64;
const GROUP_HAS_HARD_STATE: u32 = 1;
const GROUP_TRUNCATES: u32 = 2;
const GROUP_HAS_MARK: u32 = 4;
const GROUP_IS_CARRIED: u32 = 8;
/// Flags of this release. A footer with others is passed over, and its segment scanned.
const GROUP_FLAGS: u32 = 15;
const MARK_BYTES: usize = 32;
const CARRIED_BYTES: usize = 16;

pub(super) struct Footer {
    /// Offset of the footer: where the segment's batches end.
    pub offset: u64,
    /// Number of the batch after the segment's last.
    pub next_batch: u64,
    /// What `next_batch` was when the segment began.
    pub first_batch: u64,
    pub index: SegmentIndex,
}

/// Bytes of the sealed end of a segment, trailer included.
pub(super) fn sealed_bytes(index: &SegmentIndex) -> u64 {
    let body: usize = 8 + index.groups.values().map(group_bytes).sum::<usize>();
    round_up((BATCH_HEADER_BYTES + body) as u64, BLOCK_BYTES) + BLOCK_BYTES
}

fn group_bytes(group: &SegmentGroup) -> usize {
    let fixed = GROUP_BYTES
        + if group.mark.is_some() { MARK_BYTES } else { 0 }
        + if group.carried.is_some() { CARRIED_BYTES } else { 0 };
    fixed + group.runs.len() * 24 + group.terms.len() * 16 + group.points.len() * 16
}

fn encode_body(header: &SegmentHeader, index: &SegmentIndex) -> Vec<u8> {
    let mut body = Vec::with_capacity(sealed_bytes(index) as usize);
    let word = |body: &mut Vec<u8>, value: u64| body.extend_from_slice(&value.to_le_bytes());
    word(&mut body, header.first_batch);
    for (id, group) in &index.groups {
        let state = group.hard_state.unwrap_or_default();
        let flags = if group.hard_state.is_some() { GROUP_HAS_HARD_STATE } else { 0 }
            | if group.truncated_from.is_some() { GROUP_TRUNCATES } else { 0 }
            | if group.mark.is_some() { GROUP_HAS_MARK } else { 0 }
            | if group.carried.is_some() { GROUP_IS_CARRIED } else { 0 };
        let counts = [group.runs.len(), group.terms.len(), group.points.len(), group.mean_bytes() as usize];
        body.extend_from_slice(&id.0.to_le_bytes());
        body.extend_from_slice(&flags.to_le_bytes());
        word(&mut body, group.truncated_from.unwrap_or(0));
        hard_state_words(&state).iter().for_each(|value| word(&mut body, *value));
        counts.iter().for_each(|count| body.extend_from_slice(&(*count as u32).to_le_bytes()));
        word(&mut body, 0);
        group.mark.iter().flat_map(mark_words).for_each(|value| word(&mut body, value));
        group.carried.iter().flat_map(|(last, term)| [*last, *term]).for_each(|value| word(&mut body, value));
        for run in &group.runs {
            [run.first, run.last, run.offset].iter().for_each(|value| word(&mut body, *value));
        }
        for (index, value) in group.terms.iter().chain(&group.points) {
            word(&mut body, *index);
            word(&mut body, *value);
        }
    }
    body
}

/// The body of a footer at `offset`.
fn decode_body(body: &[u8], groups: u32, offset: u64) -> Option<(u64, SegmentIndex)> {
    let mut index = SegmentIndex::default();
    let first_batch = u64_at(body.get(..8)?, 0);
    let mut rest = &body[8..];
    let mut take = |bytes: usize| -> Option<&[u8]> {
        let (taken, after) = rest.split_at_checked(bytes)?;
        rest = after;
        Some(taken)
    };
    let pair = |bytes: &[u8]| (u64_at(bytes, 0), u64_at(bytes, 8));
    for _ in 0..groups {
        let fixed = take(GROUP_BYTES)?;
        let flags = u32_at(fixed, 4);
        if flags & !GROUP_FLAGS != 0 {
            return None;
        }
        let counts = [40, 44, 48].map(|at| u32_at(fixed, at) as usize);
        let group = index.group(GroupId(u32_at(fixed, 0)));
        group.truncated_from = (flags & GROUP_TRUNCATES != 0).then(|| u64_at(fixed, 8));
        group.hard_state = (flags & GROUP_HAS_HARD_STATE != 0).then(|| decode_hard_state(fixed, 16));
        if flags & GROUP_HAS_MARK != 0 {
            group.mark = Some(decode_mark(take(MARK_BYTES)?, 0));
        }
        if flags & GROUP_IS_CARRIED != 0 {
            group.carried = Some(pair(take(CARRIED_BYTES)?));
        }
        let runs = take(counts[0].checked_mul(24)?)?;
        group.runs = runs
            .chunks_exact(24)
            .map(|run| Run { first: u64_at(run, 0), last: u64_at(run, 8), offset: u64_at(run, 16) })
            .collect();
        let ascend = group.runs.windows(2).all(|pair| pair[0].last < pair[1].first);
        if !ascend || group.runs.iter().any(|run| run.first == 0 || run.first > run.last) {
            return None;
        }
        group.terms = take(counts[1].checked_mul(16)?)?.chunks_exact(16).map(pair).collect();
        group.break_run();
        group.points = take(counts[2].checked_mul(16)?)?.chunks_exact(16).map(pair).collect();
        group.written = group.runs.iter().map(|run| run.last - run.first + 1).sum();
        group.written_bytes = group.written.saturating_mul(u64::from(u32_at(fixed, 52)));
    }
    // Footers of the first release do not have the means: one of all entries is better than none.
    let written: u64 = index.groups.values().map(|group| group.written).sum();
    let mean = offset / written.max(1);
    index.groups.values_mut().filter(|group| group.written_bytes == 0).for_each(|group| group.written_bytes = group.written * mean);
    rest.is_empty().then_some((first_batch, index))
}

/// Writes the sealed end behind the last batch; it counts once the file is synced. Where the segment has no room left
/// for it, the file grows: the trailer is always the file's last block.
pub(super) fn write<F: DiskFile>(
    file: &F,
    header: &SegmentHeader,
    end: u64,
    next_batch: u64,
    incarnation: u64,
    index: &SegmentIndex,
) -> Result<(), LogError> {
    let name = header.name();
    let body = encode_body(header, index);
    let batch = BatchHeader {
        kind: BatchKind::Footer,
        number: next_batch,
        incarnation,
        length: u32::try_from(body.len()).unwrap_or(u32::MAX),
        count: index.groups.len() as u32,
        body_crc: checksum(header.salt, end, &[&body]),
    };
    let mut bytes = batch.encode(header.salt, end).to_vec();
    bytes.extend_from_slice(&body);
    bytes.resize(batch.padded_bytes() as usize, 0);
    let length = file.len().map_err(LogError::io("read", &name))?;
    let trailer_at = (length / BLOCK_BYTES * BLOCK_BYTES).max(end + bytes.len() as u64 + BLOCK_BYTES) - BLOCK_BYTES;
    let trailer = encode_trailer(header.salt, trailer_at, end, next_batch);
    file.write_at(&bytes, end).map_err(LogError::space("write", &name))?;
    file.write_at(&trailer, trailer_at).map_err(LogError::space("write", &name))
}

fn encode_trailer(salt: u64, at: u64, footer: u64, next_batch: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..4].copy_from_slice(TRAILER_MAGIC);
    block[8..16].copy_from_slice(&footer.to_le_bytes());
    block[16..24].copy_from_slice(&next_batch.to_le_bytes());
    let crc = checksum(salt, at, &[&block[8..TRAILER_BYTES]]);
    block[4..8].copy_from_slice(&crc.to_le_bytes());
    block
}

/// Footer offset and next batch number from a file's last block; `None` where it holds no trailer of this use.
pub(super) fn read_trailer<F: DiskFile>(file: &F, header: &SegmentHeader) -> Result<Option<(u64, u64)>, LogError> {
    let name = header.name();
    let length = file.len().map_err(LogError::io("read", &name))?;
    let Some(at) = (length / BLOCK_BYTES).checked_sub(1).map(|blocks| blocks * BLOCK_BYTES) else {
        return Ok(None);
    };
    let mut block = [0; TRAILER_BYTES];
    let read = read_full(file, &mut block, at).map_err(LogError::io("read", &name))?;
    let whole = read == TRAILER_BYTES
        && &block[..4] == TRAILER_MAGIC
        && u32_at(&block, 4) == checksum(header.salt, at, &[&block[8..]]);
    Ok(whole.then(|| (u64_at(&block, 8), u64_at(&block, 16))))
}

/// Checks and reads the body behind a footer's header.
pub(super) fn decode(header: &SegmentHeader, offset: u64, batch: &BatchHeader, body: &[u8]) -> Option<Footer> {
    if batch.body_crc != checksum(header.salt, offset, &[body]) {
        return None;
    }
    let (first_batch, index) = decode_body(body, batch.count, offset)?;
    Some(Footer { offset, next_batch: batch.number, first_batch, index })
}

/// The footer of a sealed segment; `None` where it is missing or damaged, and the segment has to be scanned.
pub(super) fn read<F: DiskFile>(file: &F, header: &SegmentHeader) -> Result<Option<Footer>, LogError> {
    let name = header.name();
    let Some((offset, next_batch)) = read_trailer(file, header)? else {
        return Ok(None);
    };
    let mut start = [0; BATCH_HEADER_BYTES];
    let read = read_full(file, &mut start, offset).map_err(LogError::io("read", &name))?;
    let batch = BatchHeader::decode(&start[..read], header.salt, offset);
    let Some(batch) = batch.filter(|batch| batch.kind == BatchKind::Footer && batch.number == next_batch) else {
        return Ok(None);
    };
    let mut body = vec![0; batch.length as usize];
    let read = read_full(file, &mut body, offset + BATCH_HEADER_BYTES as u64).map_err(LogError::io("read", &name))?;
    let footer = decode(header, offset, &batch, &body[..read]);
    Ok(footer.filter(|footer| footer.first_batch == header.first_batch))
}
