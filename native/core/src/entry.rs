//! The `data` of an ordered entry: one packed batch of submissions (docs/formats.md, "Ordered entry").

use crate::bytes_le::{u32_at, u64_at};
use crate::event::{Malformed, Submission, SUBMISSION_HEADER_BYTES};
use crate::stub;
use bytes::Bytes;

pub const ENTRY_VERSION: u8 = 1;
const ENTRY_BATCH: u8 = 1;
pub(crate) const ENTRY_HEADER_BYTES: usize = 8;

/// Packs submissions into one entry; the only copy between a publisher's buffer and the log.
pub fn pack(submissions: &[Submission]) -> Vec<u8> {
    let size = submissions.iter().map(|s| s.bytes().len()).sum::<usize>();
    let mut data = Vec::with_capacity(ENTRY_HEADER_BYTES + size);
    data.extend_from_slice(&[ENTRY_VERSION, ENTRY_BATCH, 0, 0]);
    data.extend_from_slice(&(submissions.len() as u32).to_le_bytes());
    for submission in submissions {
        data.extend_from_slice(submission.bytes());
    }
    data
}

/// Opens an entry. Empty data (a new leader's first entry) holds no submissions.
pub fn unpack(data: &Bytes) -> Result<Vec<Submission>, Malformed> {
    match data.is_empty() {
        true => Ok(Vec::new()),
        false => unpack_whole(data, Submission::parse),
    }
}

/// Opens an entry of an origin's log; of a stub the events are heads alone.
pub fn unpack_causal(data: &Bytes) -> Result<Vec<Submission>, Malformed> {
    if !stub::is_stub(data) {
        return unpack_whole(data, Submission::parse_causal);
    }
    let (submissions, end) = unpack_with(data, stub::ENTRY_STUB, Submission::parse_causal)?;
    stub::check_tail(&submissions, &data[end..])?;
    Ok(submissions)
}

fn unpack_whole(data: &Bytes, parse: impl Fn(Bytes) -> Result<Submission, Malformed>) -> Result<Vec<Submission>, Malformed> {
    let (submissions, end) = unpack_with(data, ENTRY_BATCH, parse)?;
    match end == data.len() {
        true => Ok(submissions),
        false => Err(Malformed { at: end, what: "bytes after the last submission" }),
    }
}

/// How many events an entry has, and the stamp of its last; as far as it can be read.
pub fn count(data: &[u8]) -> (u64, u64) {
    let (mut at, mut events, mut hlc) = (ENTRY_HEADER_BYTES, 0, 0);
    let mut left = if data.len() < ENTRY_HEADER_BYTES { 0 } else { u32_at(data, 4) };
    while left > 0 && at + SUBMISSION_HEADER_BYTES <= data.len() {
        left -= 1;
        let (length, count) = (u32_at(data, at + 4) as usize, u64::from(u32_at(data, at + 12)));
        events += count;
        hlc = hlc.max(u64_at(data, at + 64).saturating_add(count.saturating_sub(1)));
        at += length.max(SUBMISSION_HEADER_BYTES);
    }
    (events, hlc)
}

/// Submissions, and where they end.
fn unpack_with(data: &Bytes, kind: u8, parse: impl Fn(Bytes) -> Result<Submission, Malformed>) -> Result<(Vec<Submission>, usize), Malformed> {
    if data.len() < ENTRY_HEADER_BYTES || data[0] != ENTRY_VERSION || data[1] != kind {
        return Err(Malformed { at: 0, what: "unknown entry version or kind" });
    }
    let count = u32_at(data, 4) as usize;
    if count > data.len() / SUBMISSION_HEADER_BYTES {
        return Err(Malformed { at: 4, what: "more submissions than would fit" });
    }
    let mut submissions = Vec::with_capacity(count);
    let mut at = ENTRY_HEADER_BYTES;
    for _ in 0..count {
        let length = if at + SUBMISSION_HEADER_BYTES > data.len() { 0 } else { u32_at(data, at + 4) as usize };
        if length < SUBMISSION_HEADER_BYTES || at + length > data.len() {
            return Err(Malformed { at, what: "submission length out of range" });
        }
        let submission = parse(data.slice(at..at + length))
            .map_err(|error| Malformed { at: at + error.at, what: error.what })?;
        submissions.push(submission);
        at += length;
    }
    Ok((submissions, at))
}
