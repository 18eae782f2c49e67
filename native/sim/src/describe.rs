//! What members do, in words.

use crate::history::{Asked, ConsumerStep};
use crate::record::Happening;
use crate::world::World;
use bytes::Bytes;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::message::{Entries, Held, KnownOf, Pull};
use vexfs_core::event::Submission;
use vexfs_core::ids::{EventId, GroupId, MemberId, RequestId};
use vexfs_core::log::Op;
use vexfs_core::member::FIRST_GROUP;
use vexfs_core::machine::{EventOutcome, Outcome};
use vexfs_core::ordered::effects::{Completion, End, Write};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::packed::Unpack;
use vexfs_core::peer::frame::{Frame, FrameKind, FRAME_HEADER_BYTES};
use vexfs_core::peer::raft_message;

pub fn node_name(node: usize) -> char {
    (b'a' + node as u8) as char
}

/// A member, and which of its groups where it is not the first.
fn who(node: usize, group: GroupId) -> String {
    let name = node_name(node);
    if group == FIRST_GROUP { name.to_string() } else { format!("{name}/{group}") }
}

fn name(world: &World, id: MemberId) -> String {
    world.members.iter().find(|member| member.id == id).map_or_else(|| "nobody".to_string(), |member| member.name.clone())
}

/// Ids are short here: the number that a publisher counted.
fn short(id: EventId) -> u64 {
    (id.0 >> 64) as u64
}

fn request_name(request: RequestId) -> String {
    format!("#{}.{}", request.0 >> 32, request.0 & 0xFFFF_FFFF)
}

/// A configuration: voters, what a joint one has besides them, learners.
pub fn members(world: &World, conf: &Conf) -> String {
    let names = |ids: &[MemberId]| ids.iter().map(|id| name(world, *id)).collect::<Vec<_>>().join(" ");
    let mut out = format!("voters {}", names(&conf.voters));
    if conf.is_joint() {
        out += &format!(", jointly with {}", names(&conf.outgoing));
    }
    if !conf.learners.is_empty() {
        out += &format!(", learners {}", names(&conf.learners));
    }
    out
}

/// The kinds of frames that have arrived, equal neighbours counted.
pub fn arrived(frames: &[Frame]) -> String {
    let kind = |frame: &Frame| match frame.kind {
        FrameKind::Raft => raft(&frame.body).0.to_string(),
        other => format!("{other:?}"),
    };
    let mut out: Vec<(String, usize)> = Vec::new();
    for name in frames.iter().map(kind) {
        match out.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => out.push((name, 1)),
        }
    }
    let words = out.into_iter().map(|(name, count)| if count > 1 { format!("{count} {name}") } else { name });
    words.collect::<Vec<_>>().join(", ")
}

/// Kind, for colours and filters, and text of a frame.
pub fn frame(bytes: &[u8]) -> (&'static str, String) {
    let group = bytes[12..].first_chunk().map_or(FIRST_GROUP, |group| GroupId(u32::from_le_bytes(*group)));
    let (kind, text) = frame_of_group(bytes);
    (kind, if group == FIRST_GROUP { text } else { format!("{text} of group {group}") })
}

fn frame_of_group(bytes: &[u8]) -> (&'static str, String) {
    let body = Bytes::copy_from_slice(&bytes[FRAME_HEADER_BYTES..]);
    let index = || body.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    match bytes[8] {
        kind if kind == FrameKind::Raft as u8 => raft(&body),
        kind if kind == FrameKind::Forward as u8 => ("Forward", format!("Forward of {}", submissions(&body))),
        kind if kind == FrameKind::ForwardRefused as u8 => ("ForwardRefused", "ForwardRefused".to_string()),
        kind if kind == FrameKind::AppliedQuery as u8 => ("AppliedQuery", format!("AppliedQuery {}", index())),
        kind if kind == FrameKind::AppliedAnswer as u8 => ("AppliedAnswer", format!("AppliedAnswer {}", index())),
        kind if kind == FrameKind::Entries as u8 => ("Entries", entries(&body)),
        kind if kind == FrameKind::Held as u8 => ("Held", held(&body)),
        kind if kind == FrameKind::Pull as u8 => ("Pull", pull(&body)),
        kind if kind == FrameKind::OriginAnswer as u8 => ("OriginAnswer", known(&body)),
        kind if kind == FrameKind::Standing as u8 => ("Standing", format!("Standing{}", standing(&body, 1))),
        kind if kind == FrameKind::StandingAnswer as u8 => ("StandingAnswer", format!("StandingAnswer{}", standing(&body, 2))),
        kind => {
            let name = OTHER_KINDS.iter().find(|(of, _)| *of as u8 == kind).map_or("Unknown", |(_, name)| name);
            (name, format!("{name} of {} bytes", body.len()))
        }
    }
}

fn actor(actor: Actor) -> String {
    let node = (0..26).find(|node| MemberId::of(&node_name(*node).to_string()) == actor.member);
    actor.name(&node.map_or("?".to_string(), |node| node_name(node).to_string()))
}

fn counters(list: &[(Actor, u64)]) -> String {
    list.iter().map(|(of, counter)| format!(" {} {counter}", actor(*of))).collect()
}

fn entries(body: &Bytes) -> String {
    match Entries::decode(body) {
        Ok(entries) => {
            let (last, answer) = (entries.first + entries.list.len() as u64 - 1, if entries.cut { ", an answer: what was asked for is cut" } else if entries.answer { ", an answer" } else { "" });
            format!("Entries {} to {last} of {}{answer}", entries.first, actor(entries.actor))
        }
        Err(error) => error.to_string(),
    }
}

fn held(body: &Bytes) -> String {
    Held::decode(body).map_or_else(|error| error.to_string(), |held| {
        let all = if held.all { " all" } else if held.known { " known" } else { "" };
        format!("Held{all}{} from life {:x}, of {:x}", counters(&held.list), held.from, held.life)
    })
}

fn pull(body: &Bytes) -> String {
    Pull::decode(body).map_or_else(|error| error.to_string(), |pull| format!("Pull {} to {} of {}", pull.first, pull.last, actor(pull.actor)))
}

fn known(body: &Bytes) -> String {
    KnownOf::decode(body).map_or_else(|error| error.to_string(), |known| format!("OriginAnswer{} to life {:x}", counters(&known.list), known.life))
}

/// What follows the `head` bytes of a standing or its answer.
fn standing(body: &Bytes, head: usize) -> String {
    let mut fields = Unpack::new(body);
    let Ok(&[memory, ref doubted @ ..]) = fields.bytes(head) else { return String::new() };
    let [term, last_term, end, last] = std::array::from_fn(|_| fields.u64().unwrap_or(0));
    let memory = ["", " unsettled", " settled"].get(usize::from(memory)).copied().unwrap_or(" in an unknown way");
    let doubted = if doubted == [1] { " doubted" } else { "" };
    format!("{memory}{doubted} term {term} end {end}/{last_term} last {last}")
}

/// Frames that are told by their size alone.
static OTHER_KINDS: [(FrameKind, &str); 19] = [
    (FrameKind::StatesQuery, "StatesQuery"),
    (FrameKind::HeldQuery, "HeldQuery"),
    (FrameKind::HeldAnswer, "HeldAnswer"),
    (FrameKind::OriginQuery, "OriginQuery"),
    (FrameKind::SnapshotOffer, "SnapshotOffer"),
    (FrameKind::SnapshotPull, "SnapshotPull"),
    (FrameKind::SnapshotPiece, "SnapshotPiece"),
    (FrameKind::Transfer, "Transfer"),
    (FrameKind::Declined, "Declined"),
    (FrameKind::Removed, "Removed"),
    (FrameKind::TermQuery, "TermQuery"),
    (FrameKind::TermAnswer, "TermAnswer"),
    (FrameKind::RepairQuery, "RepairQuery"),
    (FrameKind::RepairAnswer, "RepairAnswer"),
    (FrameKind::HashReport, "HashReport"),
    (FrameKind::HashQuery, "HashQuery"),
    (FrameKind::HashAnswer, "HashAnswer"),
    (FrameKind::Probe, "Probe"),
    (FrameKind::ProbeAnswer, "ProbeAnswer"),
];

fn raft(body: &Bytes) -> (&'static str, String) {
    let Ok(message) = raft_message::decode(body) else { return ("Raft", "unreadable".to_string()) };
    let full = format!("{:?}", message.get_msg_type());
    let kind = raft_kind(&full);
    let mut out = format!("{kind} term {}", message.term);
    if message.index > 0 || message.log_term > 0 {
        out += &format!(" at {}/{}", message.index, message.log_term);
    }
    if message.commit > 0 {
        out += &format!(" commit {}", message.commit);
    }
    if message.reject {
        out += &format!(" rejected, hint {}", message.reject_hint);
    }
    let entries: Vec<String> = message
        .entries
        .iter()
        .filter(|entry| entry.index > 0)
        .map(|entry| format!("{}/{} {}", entry.index, entry.term, entry_data(&entry.data)))
        .collect();
    if !entries.is_empty() {
        out += &format!(" entries [{}]", entries.join(", "));
    }
    (kind, out)
}

/// Raft's message types, without their prefix.
pub static RAFT_KINDS: [&str; 11] = [
    "AppendResponse", "Append", "HeartbeatResponse", "Heartbeat", "RequestVoteResponse", "RequestVote",
    "RequestPreVoteResponse", "RequestPreVote", "ReadIndexResp", "ReadIndex", "TimeoutNow",
];

fn raft_kind(full: &str) -> &'static str {
    let bare = full.trim_start_matches("Msg");
    RAFT_KINDS.iter().find(|kind| **kind == bare).copied().unwrap_or("Raft")
}

fn entry_data(data: &Bytes) -> String {
    match vexfs_core::entry::unpack(data) {
        Ok(submissions) if submissions.is_empty() => "empty".to_string(),
        Ok(submissions) => submissions.iter().map(submission).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

fn submissions(body: &Bytes) -> String {
    let (mut at, mut out) = (0, Vec::new());
    while at + 8 <= body.len() {
        let length = body[at + 4..].first_chunk().map_or(body.len(), |bytes| u32::from_le_bytes(*bytes) as usize);
        match Submission::parse(body.slice(at..(at + length).min(body.len()))) {
            Ok(one) => out.push(submission(&one)),
            Err(error) => return error.to_string(),
        }
        at += length.max(1);
    }
    out.join(" ")
}

fn submission(submission: &Submission) -> String {
    let origin = String::from_utf8_lossy(submission.origin_name()).into_owned();
    let request = format!("{origin}{}", request_name(submission.request()));
    let ids: Vec<u64> = submission.events().map(|event| short(event.id())).collect();
    match submission.session().is_none() {
        true => format!("{request}:{:?}{ids:?}", submission.kind()),
        false => format!("{request}:{:?}{ids:?}@{}", submission.kind(), submission.first_sequence()),
    }
}

pub fn write(world: &World, write: &Write) -> String {
    let ops: Vec<String> = write
        .ops
        .iter()
        .map(|op| match op {
            Op::Truncate { from, .. } => format!("truncate from {from}"),
            Op::Entries { entries, .. } => {
                let list: Vec<String> = entries.iter().map(|entry| format!("{}/{}", entry.index, entry.term)).collect();
                format!("entries {}", list.join(" "))
            }
            Op::HardState { state, .. } => {
                format!("term {} vote {} commit {}", state.term, name(world, state.vote), state.commit)
            }
            Op::Mark { mark, .. } => format!("snapshot at {}/{}, log from {}", mark.index, mark.term, mark.first),
            Op::Repair { entries, .. } => format!("repairs {} entries", entries.len()),
            Op::Relocate { entries, .. } => format!("moves {} entries", entries.len()),
        })
        .collect();
    ops.join("; ")
}

pub fn asked(asked: &Asked) -> String {
    match asked {
        Asked::Events { events, session, first_sequence } => {
            let ids: Vec<u64> = events.iter().map(|id| short(*id)).collect();
            match session.is_none() {
                true => format!("publish {ids:?}"),
                false => format!("publish {ids:?} in a session from {first_sequence}"),
            }
        }
        Asked::Fence { id } => format!("fence {}", short(*id)),
        Asked::Barrier => "barrier".to_string(),
        Asked::Members { what } => what.clone(),
        Asked::Kept { events, level, .. } => {
            let ids: Vec<u64> = events.iter().map(|id| short(*id)).collect();
            format!("publish {ids:?} {}", if *level > 0 { "causally" } else { "eventually" })
        }
        Asked::Consumer { client, step } => match step {
            ConsumerStep::Attach => format!("consumer {client} attaches"),
            ConsumerStep::Claim { epoch, through } => format!("consumer {client} claims up to {}.{} in epoch {epoch}", through.index, through.offset),
            ConsumerStep::Acknowledge { epoch, through } => format!("consumer {client} acknowledges {}.{} in epoch {epoch}", through.index, through.offset),
        },
    }
}

pub fn end(completion: &Completion) -> String {
    match &completion.end {
        End::Applied { index, term, outcome, durable_members, applied_members, .. } => format!(
            "{} at {index} of term {term}, durable at {durable_members}, applied at {applied_members}",
            outcome_text(outcome)
        ),
        End::Barrier { applied } => format!("barrier passed at {applied}"),
        End::Kept { actor, counter, .. } => format!("kept as {counter} of {actor}"),
        End::KeptInPart { entry, events } => match entry {
            Some(entry) => format!("kept in part as {} of {}: {events:?}", entry.counter, entry.actor),
            None => format!("kept before: {events:?}"),
        },
        End::Withdrawn => "withdrawn".to_string(),
        End::Declined(refused) => format!("declined: {refused}"),
    }
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { first_offset, count } => format!("accepted {count} from offset {first_offset}"),
        Outcome::Mixed(list) => list
            .iter()
            .map(|one| match one {
                EventOutcome::Accepted { offset } => format!("accepted at offset {offset}"),
                EventOutcome::Duplicate { index, offset } => format!("duplicate of {index}.{offset}"),
                other => format!("{other:?}"),
            })
            .collect::<Vec<_>>()
            .join(", "),
        Outcome::Fence { found: Some(place), .. } => format!("fence finds {}.{}", place.index, place.offset),
        Outcome::Fence { certain, .. } => format!("fence: absent, certain: {certain}"),
        Outcome::Consumer(consumer) => format!(
            "consumer in epoch {}, acknowledged {}.{}, claimed {}.{}",
            consumer.epoch, consumer.acknowledged.index, consumer.acknowledged.offset, consumer.claimed.index, consumer.claimed.offset
        ),
        other => format!("{other:?}"),
    }
}

/// A line of the trace.
pub fn happening(what: &Happening) -> String {
    match what {
        Happening::Start { node } => format!("{} starts", node_name(*node)),
        Happening::Down { node } => format!("{} is down", node_name(*node)),
        Happening::Refused { node, reason } => format!("{} cannot open its directory: {reason}", node_name(*node)),
        Happening::Failed { node, reason } => format!("{} ends: {reason}", node_name(*node)),
        Happening::Resume { node } => format!("{} runs on", node_name(*node)),
        Happening::Role { node, group, role, term } => format!("{} is {role:?} in term {term}", who(*node, *group)),
        Happening::Fault { number, kind, node, other, length_us } => format!(
            "FAULT {number} {} at {} (other {}, {} ms)",
            kind.name(),
            node_name(*node),
            node_name(*other),
            length_us / 1_000
        ),
        Happening::Damage { node, what } => format!("{}'s disk: {what}", node_name(*node)),
        Happening::Frame { from, to, channel, text, arrives_us, .. } => {
            let bulk = if *channel == 1 { " (bulk)" } else { "" };
            let lost = if arrives_us.is_none() { " (no connection)" } else { "" };
            format!("{} -> {}{bulk}: {text}{lost}", node_name(*from), node_name(*to))
        }
        Happening::Arrived { from, to, channel, text, .. } => {
            let bulk = if *channel == 1 { " (bulk)" } else { "" };
            format!("{} <- {}{bulk}: {text}", node_name(*to), node_name(*from))
        }
        Happening::Reset { from, to } => format!("{} -> {} is reset", node_name(*from), node_name(*to)),
        Happening::Snapshot { node, group, index, installed } => {
            let how = if *installed { "installs" } else { "has" };
            format!("{} {how} a snapshot at {index}", who(*node, *group))
        }
        Happening::Members { node, group, text } => format!("{} goes by {text}", who(*node, *group)),
        Happening::Write { node, group, text } => format!("{} writes {text}", who(*node, *group)),
        Happening::Asked { node, group, request, what } => format!("{}{} asks: {what}", who(*node, *group), request_name(*request)),
        Happening::Ended { node, group, request, what } => format!("{}{} ends: {what}", who(*node, *group), request_name(*request)),
        Happening::Calm => "the faults stop".to_string(),
        Happening::Violation { what } => format!("VIOLATION {what}"),
    }
}
