//! Our codec for raft messages: peers' bytes never reach the engine's own protobuf decoder (RUSTSEC-2024-0437).
//!
//! Body of a frame of kind 1: u8 version (1), u8 message type, u8 flags (1 reject), u8 reserved, then u64s to, from,
//! term, log term, index, commit, commit term, reject hint, request snapshot, priority, then u32 context length,
//! u32 entry count, the context, and per entry: u64 term, u64 index, u32 data length, u32 context length, u8 type,
//! `[7]` reserved, data, context.

use crate::bytes_le::{u32_at, u64_at};
use crate::ids::NUMBER_MAX;
use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use thiserror::Error;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 92;
const ENTRY_HEADER_BYTES: usize = 32;
const CONTEXT_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("malformed raft message: {0}")]
pub struct MessageError(pub &'static str);

/// Types that travel, with their numbers on the wire (those of raft's eraftpb). Local ones are refused on arrival.
const TRAVELLING: [(u8, MessageType); 12] = [
    (3, MessageType::MsgAppend),
    (4, MessageType::MsgAppendResponse),
    (5, MessageType::MsgRequestVote),
    (6, MessageType::MsgRequestVoteResponse),
    (8, MessageType::MsgHeartbeat),
    (9, MessageType::MsgHeartbeatResponse),
    (13, MessageType::MsgTransferLeader),
    (14, MessageType::MsgTimeoutNow),
    (15, MessageType::MsgReadIndex),
    (16, MessageType::MsgReadIndexResp),
    (17, MessageType::MsgRequestPreVote),
    (18, MessageType::MsgRequestPreVoteResponse),
];

fn type_number(kind: MessageType) -> Option<u8> {
    TRAVELLING.iter().find(|(_, other)| *other == kind).map(|(number, _)| *number)
}

fn type_of(number: u8) -> Option<MessageType> {
    TRAVELLING.iter().find(|(other, _)| *other == number).map(|(_, kind)| *kind)
}

/// Size of the encoding, to reserve once.
pub fn encoded_bytes(message: &Message) -> usize {
    let entries: usize =
        message.entries.iter().map(|entry| ENTRY_HEADER_BYTES + entry.data.len() + entry.context.len()).sum();
    HEADER_BYTES + message.context.len() + entries
}

/// False for a message that does not travel in this version (snapshots, local types): nothing was written.
#[must_use]
pub fn encode(message: &Message, out: &mut Vec<u8>) -> bool {
    let Some(kind) = type_number(message.get_msg_type()) else { return false };
    out.extend_from_slice(&[VERSION, kind, u8::from(message.reject), 0]);
    for field in [
        message.to,
        message.from,
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
        message.request_snapshot,
        message.priority as u64,
    ] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&(message.context.len() as u32).to_le_bytes());
    out.extend_from_slice(&(message.entries.len() as u32).to_le_bytes());
    out.extend_from_slice(&message.context);
    for entry in message.entries.iter() {
        out.extend_from_slice(&entry.term.to_le_bytes());
        out.extend_from_slice(&entry.index.to_le_bytes());
        out.extend_from_slice(&(entry.data.len() as u32).to_le_bytes());
        out.extend_from_slice(&(entry.context.len() as u32).to_le_bytes());
        out.extend_from_slice(&[entry.get_entry_type() as u8, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&entry.data);
        out.extend_from_slice(&entry.context);
    }
    true
}

/// Decodes and checks what can be checked without the receiver's state: shape, sizes, contiguous entries, terms that
/// do not fall. Entry data stays a slice of `body`.
pub fn decode(body: &Bytes) -> Result<Message, MessageError> {
    if body.len() < HEADER_BYTES {
        return Err(MessageError("shorter than its header"));
    }
    if body[0] != VERSION || body[2] > 1 || body[3] != 0 {
        return Err(MessageError("unknown version or flags"));
    }
    let kind = type_of(body[1]).ok_or(MessageError("unknown or local message type"))?;
    let field = |at: usize| u64_at(body, 4 + at * 8);
    let context_bytes = u32_at(body, 84) as usize;
    let count = u32_at(body, 88) as usize;
    if context_bytes > CONTEXT_BYTES_MAX || HEADER_BYTES + context_bytes > body.len() {
        return Err(MessageError("context over its limit"));
    }
    let mut at = HEADER_BYTES + context_bytes;
    if count > (body.len() - at) / ENTRY_HEADER_BYTES {
        return Err(MessageError("more entries than would fit"));
    }
    // Term to request snapshot.
    if (2..9).any(|at| field(at) > NUMBER_MAX) {
        return Err(MessageError("a term or an index that cannot be"));
    }
    let mut message = Message::default();
    message.set_msg_type(kind);
    message.reject = body[2] == 1;
    message.to = field(0);
    message.from = field(1);
    message.term = field(2);
    message.log_term = field(3);
    message.index = field(4);
    message.commit = field(5);
    message.commit_term = field(6);
    message.reject_hint = field(7);
    message.request_snapshot = field(8);
    message.priority = field(9) as i64;
    message.context = body.slice(HEADER_BYTES..HEADER_BYTES + context_bytes);
    let appends = kind == MessageType::MsgAppend;
    let reads = matches!(kind, MessageType::MsgReadIndex | MessageType::MsgReadIndexResp);
    if (reads && count != 1) || (count > 0 && !appends && !reads) {
        return Err(MessageError("wrong number of entries for its type"));
    }
    let mut entries = Vec::with_capacity(count);
    let mut previous = message.log_term;
    for position in 0..count as u64 {
        let entry = decode_entry(body, &mut at)?;
        if appends && Some(entry.index) != message.index.checked_add(1 + position) {
            return Err(MessageError("entries are not contiguous"));
        }
        if appends && (entry.term < previous || entry.term > message.term) {
            return Err(MessageError("entry terms fall or pass the message's"));
        }
        previous = entry.term;
        entries.push(entry);
    }
    if at != body.len() {
        return Err(MessageError("bytes after the last entry"));
    }
    message.set_entries(entries.into());
    Ok(message)
}

fn decode_entry(body: &Bytes, at: &mut usize) -> Result<Entry, MessageError> {
    let header = body.get(*at..*at + ENTRY_HEADER_BYTES).ok_or(MessageError("entry header is cut off"))?;
    let data_bytes = u32_at(header, 16) as usize;
    let context_bytes = u32_at(header, 20) as usize;
    let mut entry = Entry { term: u64_at(header, 0), index: u64_at(header, 8), ..Default::default() };
    entry.set_entry_type(match header[24] {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => return Err(MessageError("unknown entry type")),
    });
    let data = *at + ENTRY_HEADER_BYTES;
    let end = data + data_bytes + context_bytes;
    if end > body.len() {
        return Err(MessageError("entry is cut off"));
    }
    entry.data = body.slice(data..data + data_bytes);
    entry.context = body.slice(data + data_bytes..end);
    *at = end;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn append(entries: Vec<(u8, Vec<u8>)>, commit: u64) -> Message {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.to, message.from, message.term, message.log_term, message.index) = (2, 1, 9, 3, 41);
        message.commit = commit;
        let entries: Vec<Entry> = entries
            .into_iter()
            .zip(42..)
            .map(|((term, data), index)| {
                let mut entry = Entry::default();
                (entry.term, entry.index) = (3 + u64::from(term % 2), index);
                entry.data = data.into();
                entry
            })
            .collect();
        let mut entries = entries;
        entries.sort_by_key(|entry| entry.term);
        for (entry, index) in entries.iter_mut().zip(42..) {
            entry.index = index;
        }
        message.set_entries(entries.into());
        message
    }

    proptest! {
        #[test]
        fn messages_come_back_equal(entries in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..6), commit in 0..=NUMBER_MAX) {
            let message = append(entries, commit);
            let mut bytes = Vec::new();
            prop_assert!(encode(&message, &mut bytes));
            prop_assert_eq!(bytes.len(), encoded_bytes(&message));
            prop_assert_eq!(decode(&Bytes::from(bytes)).unwrap(), message);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..20) {
            if bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[1, kind, 0, 0]);
            }
            let _ = decode(&Bytes::from(bytes));
        }
    }

    #[test]
    fn numbers_that_turn_over_when_they_are_counted_on_from_are_refused() {
        for field in 2..9 {
            let mut bytes = Vec::new();
            assert!(encode(&append(Vec::new(), 0), &mut bytes));
            bytes[4 + field * 8..12 + field * 8].copy_from_slice(&(NUMBER_MAX + 1).to_le_bytes());
            assert_eq!(decode(&Bytes::from(bytes)), Err(MessageError("a term or an index that cannot be")), "field {field}");
        }
    }

    #[test]
    fn local_types_and_snapshots_do_not_travel() {
        for kind in [MessageType::MsgHup, MessageType::MsgPropose, MessageType::MsgSnapshot, MessageType::MsgUnreachable] {
            let mut message = Message::default();
            message.set_msg_type(kind);
            assert!(!encode(&message, &mut Vec::new()));
        }
    }
}
