//! What is left of an entry of the causal lane at a member that knows of it and does not hold it (rule R10): its submissions
//! with the heads and paths of their events, and of all that was left out how long it was and what it hashes to
//! (docs/formats.md, "Stub"). Whoever has the whole entry makes the same stub of it.

use crate::bytes_le::{u32_at, u64_at};
use crate::entry::{self, ENTRY_HEADER_BYTES, ENTRY_VERSION};
use crate::event::{EventRef, Malformed, Submission};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

pub const ENTRY_STUB: u8 = 2;
/// Of each event: u64 fingerprint, u32 bytes of its record, u32 bytes of its payload.
const EVENT_BYTES: usize = 16;
/// u128 hash of the whole data, u32 its length, u32 reserved.
const TRAILER_BYTES: usize = 24;

pub fn is_stub(data: &[u8]) -> bool {
    data.get(1) == Some(&ENTRY_STUB)
}

/// The stub of an entry that is whole, itself of one that is a stub; `None` of what no member can read.
pub fn of(data: &Bytes) -> Option<Bytes> {
    if is_stub(data) {
        return Some(data.clone());
    }
    let submissions = entry::unpack_causal(data).ok()?;
    let heads: Vec<Submission> = submissions.iter().map(Submission::stripped).collect();
    let mut out = entry::pack(&heads);
    out[1] = ENTRY_STUB;
    for event in submissions.iter().flat_map(Submission::events) {
        out.extend_from_slice(&event.fingerprint().to_le_bytes());
        out.extend_from_slice(&(event.bytes().len() as u32).to_le_bytes());
        out.extend_from_slice(&event.payload_bytes().to_le_bytes());
    }
    out.extend_from_slice(&xxh3_128(data).to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    Some(Bytes::from(out))
}

/// What is behind the submissions of a stub: one row of each event, and the trailer.
pub(crate) fn check_tail(submissions: &[Submission], tail: &[u8]) -> Result<(), Malformed> {
    let events: usize = submissions.iter().map(|submission| submission.count() as usize).sum();
    let is_head = |event: EventRef<'_>| event.bytes() == event.stripped().as_slice();
    match tail.len() == events * EVENT_BYTES + TRAILER_BYTES && submissions.iter().flat_map(Submission::events).all(is_head) {
        true => Ok(()),
        false => Err(Malformed { at: 0, what: "a stub with more or less than its events' heads" }),
    }
}

/// What tells the events of an entry from others under their ids, in order.
pub fn fingerprints(data: &[u8], submissions: &[Submission]) -> Vec<u64> {
    let events: usize = submissions.iter().map(|submission| submission.count() as usize).sum();
    let rows = data.len().checked_sub(events * EVENT_BYTES + TRAILER_BYTES).filter(|at| is_stub(data) && *at >= ENTRY_HEADER_BYTES);
    match rows {
        Some(at) => (0..events).map(|event| u64_at(data, at + event * EVENT_BYTES)).collect(),
        None => submissions.iter().flat_map(Submission::events).map(|event| event.fingerprint()).collect(),
    }
}

/// How many bytes the whole entry has, of a stub.
pub fn whole_bytes(data: &[u8]) -> Option<u32> {
    let at = data.len().checked_sub(8).filter(|_| is_stub(data) && data.first() == Some(&ENTRY_VERSION))?;
    Some(u32_at(data, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{presence, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};

    /// An event with a path, metadata, a context and a payload.
    fn record(id: u128, payload: &[u8]) -> Vec<u8> {
        let (path, metadata, context) = ("/a", "{\"m\":1}", "{}");
        let mut record = vec![0; RECORD_HEADER_BYTES];
        let length = RECORD_HEADER_BYTES + path.len() + metadata.len() + context.len() + payload.len();
        record[0..4].copy_from_slice(&(length as u32).to_le_bytes());
        record[7] = presence::PATH | presence::METADATA | presence::CONTEXT;
        record[12..16].copy_from_slice(&(metadata.len() as u32).to_le_bytes());
        record[16..20].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        record[20..22].copy_from_slice(&(path.len() as u16).to_le_bytes());
        record[24..40].copy_from_slice(&id.to_be_bytes());
        record[48..52].copy_from_slice(&(context.len() as u32).to_le_bytes());
        record.extend_from_slice(format!("{path}{metadata}{context}").as_bytes());
        record.extend_from_slice(payload);
        record
    }

    fn entry_of(records: &[Vec<u8>]) -> Bytes {
        let body = records.concat();
        let mut bytes = vec![1, 1, 1, 1];
        bytes.extend_from_slice(&((SUBMISSION_HEADER_BYTES + 1 + body.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&(records.len() as u32).to_le_bytes());
        bytes.resize(SUBMISSION_HEADER_BYTES, 0);
        bytes[64..72].copy_from_slice(&500u64.to_le_bytes());
        bytes.push(b'n');
        bytes.extend_from_slice(&body);
        let submission = Submission::parse_causal(Bytes::from(bytes)).expect("it is well formed");
        Bytes::from(entry::pack(&[submission.clone(), submission]))
    }

    #[test]
    fn a_stub_has_the_heads_and_none_of_the_contents() {
        let whole = entry_of(&[record(1, &[0xAB; 500]), record(2, &[0xCD; 9])]);
        let stub = of(&whole).expect("it is read");
        assert!(is_stub(&stub) && !is_stub(&whole));
        assert_eq!(of(&stub), Some(stub.clone()));
        let (heads, all) = (entry::unpack_causal(&stub).expect("it is read"), entry::unpack_causal(&whole).expect("it is read"));
        let ids = |list: &[Submission]| list.iter().flat_map(|one| one.events().map(|event| (event.id(), event.path().to_vec())).collect::<Vec<_>>()).collect::<Vec<_>>();
        assert_eq!(ids(&heads), ids(&all));
        assert_eq!((heads[1].hlc(), heads[1].count(), entry::count(&stub)), (500, 2, entry::count(&whole)));
        assert_eq!(fingerprints(&stub, &heads), fingerprints(&whole, &all));
        assert_eq!((whole_bytes(&stub), whole_bytes(&whole)), (Some(whole.len() as u32), None));
        let holds = |part: &[u8]| stub.windows(part.len()).any(|window| window == part);
        assert!(!holds(&[0xAB; 4]) && !holds(&[0xCD; 4]) && !holds(b"{\"m\"") && holds(b"/a"));
        assert_ne!(of(&entry_of(&[record(1, &[0xAC; 500]), record(2, &[0xCD; 9])])), Some(stub));
    }

    #[test]
    fn what_is_no_stub_is_refused() {
        let whole = entry_of(&[record(1, &[1; 20])]);
        let stub = of(&whole).expect("it is read");
        for length in 0..stub.len() {
            assert!(entry::unpack_causal(&stub.slice(..length)).is_err());
        }
        // A whole entry that calls itself a stub.
        let mut named = whole.to_vec();
        named[1] = ENTRY_STUB;
        named.extend_from_slice(&stub[stub.len() - 2 * EVENT_BYTES - TRAILER_BYTES..]);
        assert!(entry::unpack_causal(&named.into()).is_err());
        assert!(entry::unpack(&stub).is_err(), "the ordered lane has none");
    }
}
