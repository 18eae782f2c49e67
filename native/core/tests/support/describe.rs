//! What members do, in words, for transcripts.

use super::world::World;
use bytes::Bytes;
use vexfs_core::event::Submission;
use vexfs_core::ids::MemberId;
use vexfs_core::log::Op;
use vexfs_core::machine::{EventOutcome, Outcome};
use vexfs_core::ordered::effects::{Completion, End, Write};
use vexfs_core::peer::frame::{Channel, FrameKind, FRAME_HEADER_BYTES};
use vexfs_core::peer::raft_message;

pub fn name(world: &World, id: MemberId) -> String {
    world.nodes.iter().find(|node| node.id == id).map_or_else(|| "nobody".to_string(), |node| node.name.clone())
}

pub fn frame(world: &World, from: usize, to: usize, channel: Channel, bytes: &[u8]) -> String {
    let (from, to) = (&world.nodes[from].name, &world.nodes[to].name);
    let body = Bytes::copy_from_slice(&bytes[FRAME_HEADER_BYTES..]);
    let index = || body.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let what = match bytes[8] {
        kind if kind == FrameKind::Raft as u8 => raft(&body),
        kind if kind == FrameKind::Forward as u8 => format!("Forward of {}", submissions(&body)),
        kind if kind == FrameKind::ForwardRefused as u8 => "ForwardRefused".to_string(),
        kind if kind == FrameKind::AppliedQuery as u8 => format!("AppliedQuery {}", index()),
        kind if kind == FrameKind::AppliedAnswer as u8 => format!("AppliedAnswer {}", index()),
        kind if kind == FrameKind::TermQuery as u8 => "TermQuery".to_string(),
        kind if kind == FrameKind::TermAnswer as u8 => format!("TermAnswer {}", index()),
        kind if kind == FrameKind::RepairQuery as u8 => "RepairQuery".to_string(),
        kind if kind == FrameKind::RepairAnswer as u8 => "RepairAnswer".to_string(),
        kind if kind == FrameKind::HashReport as u8 => format!("HashReport of {}", index()),
        kind if kind == FrameKind::HashQuery as u8 => format!("HashQuery from {}", index()),
        kind if kind == FrameKind::HashAnswer as u8 => format!("HashAnswer from {}", index()),
        kind if kind == FrameKind::Standing as u8 => format!("Standing{}", standing(&body, 1)),
        kind if kind == FrameKind::StandingAnswer as u8 => format!("StandingAnswer{}", standing(&body, 2)),
        kind => format!("frame of kind {kind}"),
    };
    let channel = if channel == Channel::Bulk { " (bulk)" } else { "" };
    format!("{from} -> {to}{channel}: {what}")
}

fn standing(body: &Bytes, head: usize) -> String {
    let memory = ["", " unsettled", " settled"][body[0] as usize];
    let doubted = if body[1..head] == [1] { " doubted" } else { "" };
    let number = |at: usize| u64::from_le_bytes(body[head + 8 * at..][..8].try_into().expect("eight bytes"));
    format!("{memory}{doubted}: term {}, end {}/{}, last {}", number(0), number(2), number(1), number(3))
}

fn raft(body: &Bytes) -> String {
    let Ok(message) = raft_message::decode(body) else { return "unreadable".to_string() };
    let mut out = format!("{:?} term {}", message.get_msg_type(), message.term);
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
    out
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
    while at < body.len() {
        let length = body[at + 4..].first_chunk().map_or(body.len(), |bytes| u32::from_le_bytes(*bytes) as usize);
        match Submission::parse(body.slice(at..at + length)) {
            Ok(one) => out.push(submission(&one)),
            Err(error) => return error.to_string(),
        }
        at += length;
    }
    out.join(" ")
}

fn submission(submission: &Submission) -> String {
    let origin = String::from_utf8_lossy(submission.origin_name()).into_owned();
    let request = format!("{origin}#{}", submission.request().0 & 0xFFFF_FFFF);
    let ids: Vec<String> = submission.events().map(|event| event.id().to_string()).collect();
    match submission.session().is_none() {
        true => format!("{request}:{:?}{ids:?}", submission.kind()),
        false => format!("{request}:{:?}{ids:?}@{}", submission.kind(), submission.first_sequence()),
    }
    .replace('"', "")
}

pub fn write(world: &World, node: usize, write: &Write) -> String {
    let ops: Vec<String> = write
        .ops
        .iter()
        .map(|op| match op {
            Op::Truncate { from, .. } => format!("truncate from {from}"),
            Op::Entries { entries, .. } => {
                let list: Vec<String> =
                    entries.iter().map(|entry| format!("{}/{}", entry.index, entry.term)).collect();
                format!("entries {}", list.join(" "))
            }
            Op::HardState { state, .. } => {
                format!("term {} vote {} commit {}", state.term, name(world, state.vote), state.commit)
            }
            Op::Repair { entries, .. } => format!("repairs {} entries", entries.len()),
            Op::Mark { .. } | Op::Relocate { .. } => unreachable!("no group writes these by itself"),
        })
        .collect();
    format!("{} writes {}: {}", world.nodes[node].name, write.number, ops.join("; "))
}

pub fn end(world: &World, node: usize, completion: &Completion) -> String {
    let what = match &completion.end {
        End::Applied { index, term, outcome, durable_members, applied_members, .. } => format!(
            "{} at {index} of term {term}, durable at {durable_members}, applied at {applied_members}",
            outcome_text(outcome)
        ),
        End::Barrier { applied } => format!("barrier passed at {applied}"),
        End::Kept { .. } | End::KeptInPart { .. } => unreachable!("these worlds have no causal lane"),
        End::Withdrawn => "withdrawn".to_string(),
        End::Declined(refused) => format!("declined: {refused}"),
    };
    format!("{}#{} ends: {what}", world.nodes[node].name, completion.request.0 & 0xFFFF_FFFF)
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
        other => format!("{other:?}"),
    }
}
