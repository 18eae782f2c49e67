//! Submissions and event records as a publisher packs them (docs/formats.md).

use bytes::Bytes;
use vexfs_core::event::{Submission, SubmissionKind, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
use vexfs_core::ids::{EventId, GroupId, MemberId, RequestId, SessionId};

pub const GROUP: GroupId = GroupId(7);

/// What a submission says, before it is bytes.
#[derive(Clone, Debug)]
pub struct Draft {
    pub kind: SubmissionKind,
    pub level: u8,
    pub session: SessionId,
    pub first_sequence: u64,
    pub acknowledged: u64,
    pub events: Vec<EventId>,
}

impl Draft {
    pub fn events(events: Vec<EventId>) -> Self {
        Self { kind: SubmissionKind::Events, level: 2, session: SessionId::NONE, first_sequence: 0, acknowledged: 0, events }
    }

    pub fn fence(id: EventId) -> Self {
        Self { kind: SubmissionKind::Fence, ..Self::events(vec![id]) }
    }

    pub fn in_session(self, session: SessionId, first_sequence: u64, acknowledged: u64) -> Self {
        Self { session, first_sequence, acknowledged, ..self }
    }

    pub fn stamped(&self, origin: &str, request: RequestId, hlc: u64) -> Submission {
        let (count, body) = match self.kind {
            SubmissionKind::Fence => (0, self.events[0].0.to_be_bytes().to_vec()),
            _ => (self.events.len() as u32, self.events.iter().flat_map(|id| record(*id)).collect()),
        };
        let mut bytes = vec![1, self.kind as u8, self.level, origin.len() as u8];
        let length = SUBMISSION_HEADER_BYTES + origin.len() + body.len();
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
        bytes.extend_from_slice(&GROUP.0.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&self.session.0.to_be_bytes());
        bytes.extend_from_slice(&self.first_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.acknowledged.to_le_bytes());
        bytes.extend_from_slice(&[0; 24]);
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(&body);
        vexfs_core::event::stamp(&mut bytes, MemberId::of(origin), request, hlc);
        Submission::parse(Bytes::from(bytes)).expect("a draft is well formed")
    }
}

/// An event whose bytes follow from its id alone, so that a retry repeats them.
pub fn record(id: EventId) -> Vec<u8> {
    let (path, payload) = (format!("/d/{:x}", id.0 % 97), vec![id.0 as u8; (id.0 % 40) as usize]);
    let mut bytes = vec![0; RECORD_HEADER_BYTES];
    bytes[0..4].copy_from_slice(&((RECORD_HEADER_BYTES + path.len() + payload.len()) as u32).to_le_bytes());
    bytes[4..6].copy_from_slice(&0x0102u16.to_le_bytes());
    (bytes[6], bytes[7]) = (3, 1);
    bytes[16..20].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes[20..22].copy_from_slice(&(path.len() as u16).to_le_bytes());
    bytes[24..40].copy_from_slice(&id.0.to_be_bytes());
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}
