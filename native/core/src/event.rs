//! Event records and submissions, read in place (docs/formats.md, "Event record" and "Submission").

use crate::bytes_le::{u16_at, u32_at, u64_at, uuid_at};
use crate::causal::actor::Actor;
use crate::causal::head::DEPENDENCIES_MAX;
use crate::ids::{EventId, GroupId, MemberId, RequestId, SessionId};
use crate::membership::MemberCommand;
use crate::packed::Unpack;
use crate::replication::Rules;
use bytes::{Bytes, BytesMut};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

pub const RECORD_HEADER_BYTES: usize = 56;
pub const SUBMISSION_HEADER_BYTES: usize = 72;
pub const SUBMISSION_VERSION: u8 = 1;
/// Events of the ordered lane that say what they follow in the causal one.
pub const FOLLOWING_VERSION: u8 = 2;
const FOLLOWS_HEADER_BYTES: usize = 4;
const FOLLOWED_BYTES: usize = Actor::BYTES + 8;
/// Largest submission taken: the batch limit and room for headers.
pub const SUBMISSION_BYTES_MAX: usize = 8 * 1024 * 1024 + 192 * 1024;
pub const PATH_BYTES_MAX: usize = 4096;
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
pub const CONSUMER_NAME_BYTES_MAX: usize = 256;

/// Presence bits of an event record.
pub mod presence {
    pub const PATH: u8 = 1;
    pub const TO: u8 = 2;
    pub const METADATA: u8 = 4;
    pub const SOURCE_ID: u8 = 8;
    pub const CONTEXT: u8 = 16;
}

/// Why bytes are not a submission; `at` is the byte offset within it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("malformed submission at byte {at}: {what}")]
pub struct Malformed {
    pub at: usize,
    pub what: &'static str,
}

fn malformed<T>(at: usize, what: &'static str) -> Result<T, Malformed> {
    Err(Malformed { at, what })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SubmissionKind {
    Events = 1,
    Skip = 2,
    Fence = 3,
    ConsumerAttach = 4,
    ConsumerClaim = 5,
    ConsumerAcknowledge = 6,
    Members = 7,
    Rules = 8,
}

impl SubmissionKind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Events,
            2 => Self::Skip,
            3 => Self::Fence,
            4 => Self::ConsumerAttach,
            5 => Self::ConsumerClaim,
            6 => Self::ConsumerAcknowledge,
            7 => Self::Members,
            8 => Self::Rules,
            _ => return None,
        })
    }
}

/// One event record, checked. Invariant: every accessor stays within `bytes`.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    bytes: &'a [u8],
}

impl<'a> EventRef<'a> {
    /// Takes the record at the start of `bytes`; what follows it is left.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < RECORD_HEADER_BYTES {
            return malformed(0, "shorter than an event header");
        }
        let length = u32_at(bytes, 0) as usize;
        if length < RECORD_HEADER_BYTES || length > bytes.len() {
            return malformed(0, "event length out of range");
        }
        let (path, to) = (u16_at(bytes, 20) as usize, u16_at(bytes, 22) as usize);
        let (metadata, payload) = (u32_at(bytes, 12) as usize, u32_at(bytes, 16) as usize);
        let context = u32_at(bytes, 48) as usize;
        if path > PATH_BYTES_MAX || to > PATH_BYTES_MAX {
            return malformed(20, "path over its limit");
        }
        if payload > PAYLOAD_BYTES_MAX {
            return malformed(16, "payload over its limit");
        }
        // Every part is below 2^32, so that the sum cannot overflow a usize of 64 bits.
        if RECORD_HEADER_BYTES + path + to + metadata + context + payload != length {
            return malformed(0, "parts do not add up to the event length");
        }
        Ok(Self { bytes: &bytes[..length] })
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn code(&self) -> u16 {
        u16_at(self.bytes, 4)
    }

    pub fn id(&self) -> EventId {
        EventId(uuid_at(self.bytes, 24))
    }

    pub fn priority(&self) -> u8 {
        self.bytes[6]
    }

    pub fn payload_bytes(&self) -> u32 {
        u32_at(self.bytes, 16)
    }

    /// The record without metadata, context and payload.
    pub fn stripped(&self) -> Vec<u8> {
        let end = RECORD_HEADER_BYTES + usize::from(u16_at(self.bytes, 20)) + usize::from(u16_at(self.bytes, 22));
        let mut record = self.bytes[..end].to_vec();
        record[0..4].copy_from_slice(&(end as u32).to_le_bytes());
        record[7] &= !(presence::METADATA | presence::CONTEXT);
        [12, 16, 48].into_iter().for_each(|at| record[at..at + 4].fill(0));
        record
    }

    pub fn path(&self) -> &'a [u8] {
        let length = u16_at(self.bytes, 20) as usize;
        &self.bytes[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length]
    }

    pub fn to(&self) -> &'a [u8] {
        let start = RECORD_HEADER_BYTES + u16_at(self.bytes, 20) as usize;
        &self.bytes[start..start + u16_at(self.bytes, 22) as usize]
    }

    /// Tells two events of one id apart (`EVENT_ID_REUSED`); equal records have equal fingerprints on every member.
    pub fn fingerprint(&self) -> u64 {
        xxh3_64(self.bytes)
    }
}

/// The record at the start of a buffer that `EventRef::parse` accepted before, without checking it again.
pub fn records(body: &[u8]) -> impl Iterator<Item = EventRef<'_>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0) as usize;
        if length < RECORD_HEADER_BYTES || length > rest.len() {
            return None;
        }
        let (record, after) = rest.split_at(length);
        rest = after;
        Some(EventRef { bytes: record })
    })
}

/// One submission, checked down to each of its records.
#[derive(Clone, Debug)]
pub struct Submission {
    bytes: Bytes,
    kind: SubmissionKind,
}

/// The consumer kinds' body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerCommand {
    pub epoch: u64,
    pub index: u64,
    pub offset: u32,
    pub name: String,
}

impl Submission {
    /// Checks everything a peer or a publisher could get wrong. `bytes` must be one whole submission to the ordered lane.
    pub fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        Self::parse_of(bytes, 2..=4, "level is not one of the ordered lane")
    }

    /// As `parse`, of events for the causal lane.
    pub fn parse_causal(bytes: Bytes) -> Result<Self, Malformed> {
        let submission = Self::parse_of(bytes, 0..=1, "level is not one of the causal lane")?;
        match submission.kind {
            SubmissionKind::Events if submission.bytes[0] == SUBMISSION_VERSION => Ok(submission),
            _ => malformed(1, "the causal lane takes events alone, whose entries say what they follow"),
        }
    }

    fn parse_of(bytes: Bytes, levels: std::ops::RangeInclusive<u8>, other: &'static str) -> Result<Self, Malformed> {
        if bytes.len() < SUBMISSION_HEADER_BYTES {
            return malformed(0, "shorter than a submission header");
        }
        if bytes.len() > SUBMISSION_BYTES_MAX {
            return malformed(4, "submission over its limit");
        }
        let Some(kind) = SubmissionKind::of(bytes[1]) else {
            return malformed(1, "unknown submission kind");
        };
        let is_known = match bytes[0] {
            FOLLOWING_VERSION => kind == SubmissionKind::Events,
            version => version == SUBMISSION_VERSION,
        };
        if !is_known {
            return malformed(0, "unknown submission version");
        }
        if !levels.contains(&bytes[2]) {
            return malformed(2, other);
        }
        if u32_at(&bytes, 4) as usize != bytes.len() {
            return malformed(4, "length does not match");
        }
        let name_bytes = bytes[3] as usize;
        if !(1..=64).contains(&name_bytes) || SUBMISSION_HEADER_BYTES + name_bytes > bytes.len() {
            return malformed(3, "origin name out of range");
        }
        if std::str::from_utf8(&bytes[SUBMISSION_HEADER_BYTES..SUBMISSION_HEADER_BYTES + name_bytes]).is_err() {
            return malformed(SUBMISSION_HEADER_BYTES, "origin name is not UTF-8");
        }
        let submission = Self { bytes, kind };
        submission.check_follows()?;
        submission.check_body()?;
        Ok(submission)
    }

    /// Each actor once, in ascending order, so that equal clocks are equal bytes.
    fn check_follows(&self) -> Result<(), Malformed> {
        let at = self.follows_at();
        if self.bytes[0] != FOLLOWING_VERSION {
            return Ok(());
        }
        if self.bytes.len() < at + FOLLOWS_HEADER_BYTES {
            return malformed(at, "what the events follow is cut off");
        }
        let (count, reserved) = (usize::from(u16_at(&self.bytes, at)), u16_at(&self.bytes, at + 2));
        if !(1..=DEPENDENCIES_MAX).contains(&count) || reserved != 0 {
            return malformed(at, "more than events may follow, or nothing");
        }
        if self.bytes.len() < at + FOLLOWS_HEADER_BYTES + count * FOLLOWED_BYTES {
            return malformed(at, "what the events follow is cut off");
        }
        let mut before: Option<Actor> = None;
        for (actor, counter) in self.follows() {
            if counter == 0 || before.replace(actor).is_some_and(|before| before >= actor) {
                return malformed(at, "actors out of order, or without an entry");
            }
        }
        Ok(())
    }

    fn check_body(&self) -> Result<(), Malformed> {
        let body = self.body();
        let at = self.bytes.len() - body.len();
        let count = self.count();
        let in_session = !self.session().is_none();
        if in_session && (self.first_sequence() == 0 || self.first_sequence().checked_add(count as u64).is_none()) {
            return malformed(32, "sequence out of range");
        }
        match self.kind {
            SubmissionKind::Events => {
                let mut rest = body;
                for _ in 0..count {
                    let record = EventRef::parse(rest)
                        .map_err(|error| Malformed { at: self.bytes.len() - rest.len() + error.at, what: error.what })?;
                    rest = &rest[record.bytes().len()..];
                }
                if count == 0 || count > 65_535 || !rest.is_empty() {
                    return malformed(12, "count does not match the events");
                }
            }
            SubmissionKind::Skip if body.is_empty() && in_session && (1..=65_535).contains(&count) => {}
            SubmissionKind::Skip => return malformed(at, "a skip has a session, a count and no body"),
            SubmissionKind::Fence if body.len() == 16 => {}
            SubmissionKind::Fence => return malformed(at, "a fence holds one event id"),
            SubmissionKind::ConsumerAttach | SubmissionKind::ConsumerClaim | SubmissionKind::ConsumerAcknowledge => {
                let name = body.len().saturating_sub(24);
                if !(1..=CONSUMER_NAME_BYTES_MAX).contains(&name) || std::str::from_utf8(&body[24..]).is_err() {
                    return malformed(at, "consumer name out of range");
                }
            }
            SubmissionKind::Members => drop(MemberCommand::decode(body)?),
            SubmissionKind::Rules => drop(self.rules()?),
        }
        Ok(())
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn kind(&self) -> SubmissionKind {
        self.kind
    }

    pub fn level(&self) -> u8 {
        self.bytes[2]
    }

    pub fn group(&self) -> GroupId {
        GroupId(u32_at(&self.bytes, 8))
    }

    pub fn count(&self) -> u32 {
        u32_at(&self.bytes, 12)
    }

    pub fn session(&self) -> SessionId {
        SessionId(uuid_at(&self.bytes, 16))
    }

    pub fn first_sequence(&self) -> u64 {
        u64_at(&self.bytes, 32)
    }

    pub fn acknowledged_through(&self) -> u64 {
        u64_at(&self.bytes, 40)
    }

    pub fn origin(&self) -> MemberId {
        MemberId(u64_at(&self.bytes, 48))
    }

    pub fn request(&self) -> RequestId {
        RequestId(u64_at(&self.bytes, 56))
    }

    pub fn hlc(&self) -> u64 {
        u64_at(&self.bytes, 64)
    }

    pub fn origin_name(&self) -> &[u8] {
        &self.bytes[SUBMISSION_HEADER_BYTES..SUBMISSION_HEADER_BYTES + self.bytes[3] as usize]
    }

    fn follows_at(&self) -> usize {
        SUBMISSION_HEADER_BYTES + self.bytes[3] as usize
    }

    fn body_at(&self) -> usize {
        let at = self.follows_at();
        match self.bytes[0] {
            FOLLOWING_VERSION => at + FOLLOWS_HEADER_BYTES + usize::from(u16_at(&self.bytes, at)) * FOLLOWED_BYTES,
            _ => at,
        }
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_at()..]
    }

    /// What the events follow in the causal lane (rule R6): of each actor the last entry.
    pub fn follows(&self) -> impl Iterator<Item = (Actor, u64)> + '_ {
        let named = match self.bytes[0] {
            FOLLOWING_VERSION => &self.bytes[self.follows_at() + FOLLOWS_HEADER_BYTES..self.body_at()],
            _ => &[],
        };
        named.chunks_exact(FOLLOWED_BYTES).map(|row| {
            let actor = Actor { member: MemberId(u64_at(row, 0)), incarnation: u32_at(row, 8) };
            (actor, u64_at(row, 12))
        })
    }

    pub fn follows_something(&self) -> bool {
        self.bytes[0] == FOLLOWING_VERSION
    }

    pub fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        records(self.body())
    }

    /// Of a fence: the id it closes.
    pub fn fenced(&self) -> EventId {
        EventId(uuid_at(self.body(), 0))
    }

    /// Of a consumer kind: its command.
    pub fn consumer(&self) -> ConsumerCommand {
        let body = self.body();
        ConsumerCommand {
            epoch: u64_at(body, 0),
            index: u64_at(body, 8),
            offset: u32_at(body, 16),
            name: String::from_utf8_lossy(body.get(24..).unwrap_or_default()).into_owned(),
        }
    }

    /// Of a member command.
    pub fn members(&self) -> Result<MemberCommand, Malformed> {
        MemberCommand::decode(self.body())
    }

    /// The table of rules that is asked for.
    pub fn rules(&self) -> Result<Rules, Malformed> {
        let mut fields = Unpack::new(self.body());
        let rules = Rules::decode(&mut fields)?;
        fields.end()?;
        Ok(rules)
    }

    /// The same submission with those of its events alone that are wanted, by their position; at least one.
    pub fn only(&self, wanted: impl Fn(usize) -> bool) -> Submission {
        self.with(self.events().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, event)| event.bytes().to_vec()))
    }

    /// The same submission with the heads of its events.
    pub fn stripped(&self) -> Submission {
        self.with(self.events().map(|event| event.stripped()))
    }

    fn with(&self, records: impl Iterator<Item = Vec<u8>>) -> Submission {
        let mut bytes = BytesMut::from(&self.bytes[..self.body_at()]);
        let mut count = 0u32;
        for record in records {
            bytes.extend_from_slice(&record);
            count += 1;
        }
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[12..16].copy_from_slice(&count.to_le_bytes());
        Submission { bytes: bytes.freeze(), kind: self.kind }
    }

    /// The same submission with its events left out, its sequences still used up: what becomes of a cancelled
    /// publish that no leader has seen, so that the session's later ones are not left waiting for it.
    pub fn skipped(&self) -> Submission {
        let header = self.follows_at();
        let mut bytes = BytesMut::from(&self.bytes[..header]);
        (bytes[0], bytes[1]) = (SUBMISSION_VERSION, SubmissionKind::Skip as u8);
        bytes[4..8].copy_from_slice(&(header as u32).to_le_bytes());
        Submission { bytes: bytes.freeze(), kind: SubmissionKind::Skip }
    }
}

/// A member command as the submission that carries it, to be stamped.
pub fn member_submission(origin: &str, command: &[u8]) -> Vec<u8> {
    command_submission(SubmissionKind::Members, origin, command)
}

/// The same of a table of rules.
pub fn rules_submission(origin: &str, rules: &[u8]) -> Vec<u8> {
    command_submission(SubmissionKind::Rules, origin, rules)
}

fn command_submission(kind: SubmissionKind, origin: &str, command: &[u8]) -> Vec<u8> {
    let length = SUBMISSION_HEADER_BYTES + origin.len() + command.len();
    let mut bytes = vec![SUBMISSION_VERSION, kind as u8, 4, origin.len() as u8];
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.resize(SUBMISSION_HEADER_BYTES, 0);
    bytes.extend_from_slice(origin.as_bytes());
    bytes.extend_from_slice(command);
    bytes
}

/// The group that a packed submission is for, unless it is too short to be one.
pub fn group_of(bytes: &[u8]) -> Option<GroupId> {
    (bytes.len() >= SUBMISSION_HEADER_BYTES).then(|| GroupId(u32_at(bytes, 8)))
}

/// Writes what only the core knows into a packed submission: where it came from, and when.
pub fn stamp(bytes: &mut [u8], origin: MemberId, request: RequestId, hlc: u64) {
    if bytes.len() >= SUBMISSION_HEADER_BYTES {
        bytes[48..56].copy_from_slice(&origin.0.to_le_bytes());
        bytes[56..64].copy_from_slice(&request.0.to_le_bytes());
        bytes[64..72].copy_from_slice(&hlc.to_le_bytes());
    }
}
