//! Submissions and event records as a publisher packs them (docs/formats.md).

use bytes::Bytes;
use crate::lane::Past;
use vexfs_core::event::{Submission, SubmissionKind, FOLLOWING_VERSION, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES, SUBMISSION_VERSION};
use vexfs_core::ids::{EventId, GroupId, MemberId, RequestId, SessionId};
use vexfs_core::machine::consumer::Position;

/// What a submission says, before it is bytes.
#[derive(Clone, Debug)]
pub struct Draft {
    pub kind: SubmissionKind,
    /// As submissions spell it: below 2 it is for the causal lane.
    pub level: u8,
    pub group: GroupId,
    pub session: SessionId,
    pub first_sequence: u64,
    pub acknowledged: u64,
    pub events: Vec<EventId>,
    /// What they follow in the causal lane, by actor.
    pub follows: Past,
    /// Of the consumer kinds: name, epoch (or holder) and place.
    pub consumer: Option<(String, u64, Position)>,
}

impl Draft {
    pub fn events(group: GroupId, events: Vec<EventId>) -> Self {
        let kind = SubmissionKind::Events;
        Self { kind, level: 2, group, session: SessionId::NONE, first_sequence: 0, acknowledged: 0, events, follows: Past::new(), consumer: None }
    }

    /// What a packed submission says, but for consumers.
    pub fn of(submission: &Submission) -> Self {
        let events = match submission.kind() {
            SubmissionKind::Fence => vec![submission.fenced()],
            SubmissionKind::Events => submission.events().map(|event| event.id()).collect(),
            _ => Vec::new(),
        };
        let draft = Self { kind: submission.kind(), ..Self::events(submission.group(), events) };
        draft.in_session(submission.session(), submission.first_sequence(), submission.acknowledged_through()).following(submission.follows().collect())
    }

    /// For the causal lane.
    pub fn kept(level: u8, events: Vec<EventId>) -> Self {
        Self { level, ..Self::events(GroupId(0), events) }
    }

    pub fn fence(group: GroupId, id: EventId) -> Self {
        Self { kind: SubmissionKind::Fence, ..Self::events(group, vec![id]) }
    }

    pub fn consumer(group: GroupId, kind: SubmissionKind, name: &str, epoch: u64, place: Position) -> Self {
        Self { kind, consumer: Some((name.to_string(), epoch, place)), ..Self::events(group, Vec::new()) }
    }

    pub fn in_session(self, session: SessionId, first_sequence: u64, acknowledged: u64) -> Self {
        Self { session, first_sequence, acknowledged, ..self }
    }

    pub fn following(self, follows: Past) -> Self {
        Self { follows, ..self }
    }

    pub fn stamped(&self, origin: &str, request: RequestId, hlc: u64) -> Option<Submission> {
        let (count, body) = match (self.kind, &self.consumer) {
            (SubmissionKind::Fence, _) => (0, self.events.first()?.0.to_be_bytes().to_vec()),
            (_, Some((name, epoch, place))) => (0, consumer_body(name, *epoch, *place)),
            _ => (self.events.len() as u32, self.events.iter().map(|id| record(*id)).collect::<Vec<_>>().concat()),
        };
        let follows = packed_follows(&self.follows);
        let mut bytes = vec![if follows.is_empty() { SUBMISSION_VERSION } else { FOLLOWING_VERSION }, self.kind as u8, self.level, origin.len() as u8];
        let length = SUBMISSION_HEADER_BYTES + origin.len() + follows.len() + body.len();
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
        bytes.extend_from_slice(&self.group.0.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&self.session.0.to_be_bytes());
        bytes.extend_from_slice(&self.first_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.acknowledged.to_le_bytes());
        bytes.extend_from_slice(&[0; 24]);
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(&follows);
        bytes.extend_from_slice(&body);
        vexfs_core::event::stamp(&mut bytes, MemberId::of(origin), request, hlc);
        let parse = if self.level < 2 { Submission::parse_causal } else { Submission::parse };
        parse(Bytes::from(bytes)).ok()
    }
}

fn packed_follows(follows: &Past) -> Vec<u8> {
    let mut out = Vec::new();
    if !follows.is_empty() {
        out.extend_from_slice(&(follows.len() as u32).to_le_bytes());
    }
    for (actor, counter) in follows {
        actor.put(&mut out);
        out.extend_from_slice(&counter.to_le_bytes());
    }
    out
}

fn consumer_body(name: &str, epoch: u64, place: Position) -> Vec<u8> {
    let mut body = epoch.to_le_bytes().to_vec();
    body.extend_from_slice(&place.index.0.to_le_bytes());
    body.extend_from_slice(&place.offset.to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(name.as_bytes());
    body
}

/// An event whose bytes follow from its id alone, so that a retry repeats them.
pub fn record(id: EventId) -> Vec<u8> {
    // Some batches are longer than a sector, a few longer than a block.
    let payload = match id.0 >> 64 & 0x3F {
        0 => 5_000,
        1..8 => 700,
        small => small as usize,
    };
    let path = format!("/d/{:x}", (id.0 >> 64) % 97);
    let mut bytes = vec![0; RECORD_HEADER_BYTES];
    bytes[0..4].copy_from_slice(&((RECORD_HEADER_BYTES + path.len() + payload) as u32).to_le_bytes());
    bytes[4..6].copy_from_slice(&0x0102u16.to_le_bytes());
    (bytes[6], bytes[7]) = (3, 1);
    bytes[16..20].copy_from_slice(&(payload as u32).to_le_bytes());
    bytes[20..22].copy_from_slice(&(path.len() as u16).to_le_bytes());
    bytes[24..40].copy_from_slice(&id.0.to_be_bytes());
    bytes.extend_from_slice(path.as_bytes());
    bytes.resize(bytes.len() + payload, (id.0 >> 64) as u8 | 1);
    bytes
}
