//! Submissions, ordered entries, frames and raft messages of version 1, byte for byte as docs/formats.md has them.
//! `UPDATE_GOLDEN=1` writes the files anew: a difference is a change of format, and needs a new version.

use crate::support::submissions::{Draft, GROUP};
use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};
use std::path::PathBuf;
use vexfs_core::entry;
use vexfs_core::event::{Submission, SubmissionKind};
use vexfs_core::ids::{EventId, MemberId, RequestId, SessionId};
use vexfs_core::peer::frame::{build, Assembler, FrameKind};
use vexfs_core::peer::raft_message;

const ID: u128 = 0x0192_3456_789A_7BCD_8EF0_1234_5678_9A05;

/// The file's bytes, compared with what this version writes.
fn golden(name: &str, made: &[u8]) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-core").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, made).expect("golden files can be written");
    }
    let kept = std::fs::read(&path).expect("the golden file");
    assert_eq!(kept, made, "{name} is written differently now");
    Bytes::from(kept)
}

/// Takes bytes from the front, so that a test reads in the order of the document and ends with nothing left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        head
    }

    /// A little-endian integer of `count` bytes.
    fn le(&mut self, count: usize) -> u64 {
        self.take(count).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

fn submission() -> Submission {
    let mut draft = Draft::events(vec![EventId(ID), EventId(ID + 1)]).in_session(SessionId(0xABCD << 64 | 0x1234), 41, 39);
    draft.level = 3;
    draft.stamped("node-a", RequestId(6 << 32 | 77), 0x0011_2233_4455_0006)
}

fn read_submission(mut bytes: Reader<'_>) {
    let whole = bytes.0.len() as u64;
    assert_eq!(bytes.take(4), [1, 1, 3, 6], "version, kind, level, origin length");
    assert_eq!(bytes.le(4), whole);
    assert_eq!(bytes.le(4), 7, "group");
    assert_eq!(bytes.le(4), 2, "count");
    assert_eq!(bytes.take(16), (0xABCD_u128 << 64 | 0x1234).to_be_bytes());
    assert_eq!((bytes.le(8), bytes.le(8)), (41, 39), "first sequence, acknowledged");
    assert_eq!(bytes.le(8), MemberId::of("node-a").0);
    assert_eq!(bytes.le(8), 6 << 32 | 77);
    assert_eq!(bytes.le(8), 0x0011_2233_4455_0006);
    assert_eq!(bytes.take(6), b"node-a");
    for id in [ID, ID + 1] {
        let path = format!("/d/{:x}", id % 97);
        let payload = (id % 40) as usize;
        assert_eq!(bytes.le(4), (56 + path.len() + payload) as u64);
        assert_eq!(bytes.le(2), 0x0102, "type code");
        assert_eq!(bytes.take(2), [3, 1], "priority, presence");
        assert_eq!((bytes.le(4), bytes.le(4)), (0, 0), "flags, metadata length");
        assert_eq!(bytes.le(4), payload as u64);
        assert_eq!((bytes.le(2), bytes.le(2)), (path.len() as u64, 0));
        assert_eq!(bytes.take(16), id.to_be_bytes());
        assert_eq!((bytes.le(8), bytes.le(4), bytes.le(4)), (0, 0, 0), "sourceId, context length, reserved");
        assert_eq!(bytes.take(path.len()), path.as_bytes());
        assert!(bytes.take(payload).iter().all(|byte| *byte == id as u8));
    }
    assert!(bytes.0.is_empty());
}

#[test]
fn submission_version_1() {
    let bytes = golden("submission.bin", submission().bytes());
    read_submission(Reader(&bytes));
    let read = Submission::parse(bytes).expect("version 1 is read");
    assert_eq!((read.kind(), read.group(), read.count(), read.first_sequence()), (SubmissionKind::Events, GROUP, 2, 41));
    assert_eq!(read.events().map(|event| event.id().0).collect::<Vec<_>>(), [ID, ID + 1]);
}

#[test]
fn member_ids_are_hashes_of_node_ids() {
    // No table of ids travels: a change here would rename every member of every cluster.
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-core/member-ids.txt");
    let made: String = ["a", "b", "node-a", "naïve"].iter().map(|id| format!("{id} {:016x}\n", MemberId::of(id).0)).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).expect("golden files can be written");
    }
    assert_eq!(std::fs::read_to_string(&path).expect("the golden file"), made);
}

#[test]
fn ordered_entry_version_1() {
    let fence = Draft::fence(EventId(ID)).stamped("b", RequestId(9), 5);
    let skip = submission().skipped();
    let bytes = golden("entry.bin", &entry::pack(&[submission(), fence, skip]));
    let mut reader = Reader(&bytes);
    assert_eq!(reader.take(4), [1, 1, 0, 0], "version, kind, reserved");
    assert_eq!(reader.le(4), 3);
    let length = u32::from_le_bytes(reader.0[4..8].try_into().expect("four bytes")) as usize;
    read_submission(Reader(reader.take(length)));
    let mut fence = Reader(reader.take(72 + 1 + 16));
    assert_eq!(fence.take(4), [1, 3, 2, 1]);
    fence.take(72 - 4);
    assert_eq!((fence.take(1), fence.take(16)), (&b"b"[..], &ID.to_be_bytes()[..]));
    let mut skip = Reader(reader.take(72 + 6));
    assert_eq!(skip.take(4), [1, 2, 3, 6]);
    assert_eq!((skip.le(4), skip.le(4), skip.le(4)), (78, 7, 2));
    assert!(reader.0.is_empty());
    let kinds: Vec<_> = entry::unpack(&bytes).expect("version 1 is read").iter().map(Submission::kind).collect();
    assert_eq!(kinds, [SubmissionKind::Events, SubmissionKind::Fence, SubmissionKind::Skip]);
    assert!(entry::unpack(&Bytes::new()).is_ok_and(|none| none.is_empty()));
}

fn append() -> Message {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgAppend);
    (message.to, message.from, message.term, message.log_term, message.index) = (0x22, 0x11, 9, 8, 40);
    (message.commit, message.commit_term, message.reject_hint, message.priority) = (39, 8, 3, 2);
    message.context = Bytes::from_static(b"ctx");
    let entries: Vec<Entry> = [(8, &b""[..]), (9, b"data")]
        .into_iter()
        .zip(41..)
        .map(|((term, data), index)| Entry { term, index, data: Bytes::copy_from_slice(data), ..Default::default() })
        .collect();
    message.set_entries(entries.into());
    message
}

#[test]
fn raft_message_in_a_frame_version_1() {
    let made = build(FrameKind::Raft, GROUP, 0, |out| assert!(raft_message::encode(&append(), out)));
    let bytes = golden("frame.bin", &made);
    let mut reader = Reader(&bytes);
    assert_eq!(reader.le(4), bytes.len() as u64);
    assert_eq!(reader.le(4), u64::from(crc32c::crc32c(&bytes[8..])));
    assert_eq!(reader.take(4), [1, 0, 0, 0], "kind, flags, reserved");
    assert_eq!(reader.le(4), 7, "group");
    assert_eq!(reader.take(4), [1, 3, 0, 0], "version, type, flags, reserved");
    let fields: Vec<u64> = (0..10).map(|_| reader.le(8)).collect();
    assert_eq!(fields, [0x22, 0x11, 9, 8, 40, 39, 8, 3, 0, 2]);
    assert_eq!((reader.le(4), reader.le(4)), (3, 2), "context length, entry count");
    assert_eq!(reader.take(3), b"ctx");
    for (term, index, data) in [(8, 41, &b""[..]), (9, 42, b"data")] {
        assert_eq!((reader.le(8), reader.le(8)), (term, index));
        assert_eq!((reader.le(4), reader.le(4)), (data.len() as u64, 0), "data length, context length");
        assert_eq!(reader.take(8), [0; 8], "type, reserved");
        assert_eq!(reader.take(data.len()), data);
    }
    assert!(reader.0.is_empty());

    let mut frames = Vec::new();
    Assembler::default().push(&bytes, &mut frames).expect("version 1 is read");
    assert_eq!(raft_message::decode(&frames[0].body), Ok(append()));
}

/// The other kinds carry either nothing or one index.
#[test]
fn small_frames_version_1() {
    let kinds = [FrameKind::Forward, FrameKind::ForwardRefused, FrameKind::AppliedQuery, FrameKind::AppliedAnswer];
    let made: Vec<u8> = kinds
        .into_iter()
        .flat_map(|kind| {
            build(kind, GROUP, 0, |out| match kind {
                FrameKind::Forward => out.extend_from_slice(submission().bytes()),
                FrameKind::ForwardRefused => {}
                _ => out.extend_from_slice(&300u64.to_le_bytes()),
            })
        })
        .collect();
    let bytes = golden("frames.bin", &made);
    let mut reader = Reader(&bytes);
    let forwarded = submission().bytes().len();
    for (kind, body) in [(2, forwarded), (3, 0), (4, 8), (5, 8)] {
        assert_eq!(reader.le(4) as usize, 16 + body);
        assert_eq!(reader.le(4), u64::from(crc32c::crc32c(&reader.0[..8 + body])));
        assert_eq!(reader.take(8), [kind, 0, 0, 0, 7, 0, 0, 0]);
        let body = reader.take(body);
        match kind {
            2 => read_submission(Reader(body)),
            3 => {}
            _ => assert_eq!(body, [44, 1, 0, 0, 0, 0, 0, 0]),
        }
    }
    assert!(reader.0.is_empty());
}
