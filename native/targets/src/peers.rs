//! What the other two members send: honest answers, and anything else that can be put into a frame.

use crate::disk::{MemoryDisk, MemoryFile};
use crate::frames::seal;
use crate::lane::{actors, Given};
use crate::members::Sent;
use crate::state::LIMITS;
use crate::strikes::{number, some_bytes, strike};
use crate::submissions::{submission, Shape};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::entry;
use vexfs_core::event::Submission;
use vexfs_core::ids::{GroupId, Index, MemberId, Term, NUMBER_MAX};
use vexfs_core::log::{LogEntry, LogReader};
use vexfs_core::machine::Machine;
use vexfs_core::membership::{MemberCommand, Membership};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::reconcile::{self, Change};
use vexfs_core::ordered::repair::words::{Answer, Query};
use vexfs_core::ordered::status::GroupStatus;
use vexfs_core::packed::Unpack;
use vexfs_core::peer::frame::{build, Assembler, Frame, FrameKind};
use vexfs_core::peer::raft_message;
use vexfs_core::snapshot::states::{self, States};
use vexfs_core::snapshot::transfer::{key_of, put_key, Offer};
use vexfs_core::snapshot::{file, SnapshotError, SnapshotInfo, SnapshotMeta};

pub const ME: &str = "a";
pub const OTHERS: [&str; 2] = ["b", "c"];
/// Frames of the member that are remembered.
const SENT_MAX: usize = 32;

/// How the member stands.
pub struct View<'a> {
    pub status: &'a GroupStatus,
    pub life: u64,
    pub log: LogReader<MemoryDisk>,
    pub group: GroupId,
}

#[derive(Default)]
pub struct Peers {
    sent: Vec<(MemberId, Vec<u8>)>,
    /// A snapshot that was offered, of the group it is of.
    offered: Vec<(GroupId, SnapshotInfo, Vec<u8>)>,
    given: Given,
}

type ToMember = (MemberId, Vec<u8>);

impl Peers {
    pub fn sent(&mut self, frames: impl Iterator<Item = Sent>) {
        self.sent.extend(frames.map(|(to, _, frame)| (to, frame)));
        let from = self.sent.len().saturating_sub(SENT_MAX);
        self.sent.drain(..from);
    }

    pub fn links_down(&mut self) {
        self.sent.clear();
    }

    /// What members that keep the rules answer to what this one has sent.
    pub fn answers(&mut self, from: &mut Unstructured<'_>, view: &View<'_>) -> Result<Vec<ToMember>> {
        let only = if from.ratio(1u8, 4u8)? { Some(MemberId::of(from.choose(&OTHERS)?)) } else { None };
        Ok(self.answers_of(only, view))
    }

    /// Those of one of them, or of all.
    pub fn answers_of(&mut self, only: Option<MemberId>, view: &View<'_>) -> Vec<ToMember> {
        let (asked, kept) = std::mem::take(&mut self.sent).into_iter().partition(|(to, _)| only.is_none_or(|only| only == *to));
        self.sent = kept;
        let asked: Vec<(MemberId, Vec<u8>)> = asked;
        asked.iter().filter_map(|(to, bytes)| Some((*to, self.answer(*to, &opened(bytes)?, view)?))).collect()
    }

    fn answer(&self, me: MemberId, frame: &Frame, view: &View<'_>) -> Option<Vec<u8>> {
        let said = |kind, write: &dyn Fn(&mut Vec<u8>)| Some(build(kind, frame.group, 64, write));
        match frame.kind {
            FrameKind::Raft => answer_raft(me, frame),
            FrameKind::AppliedQuery => said(FrameKind::AppliedAnswer, &|out| out.extend_from_slice(&frame.body)),
            FrameKind::TermQuery => said(FrameKind::TermAnswer, &|out| {
                out.extend_from_slice(&view.status.term.0.to_le_bytes());
                out.extend_from_slice(&view.status.applied.0.to_le_bytes());
                view.status.conf.encode(out);
            }),
            FrameKind::Standing => said(FrameKind::StandingAnswer, &|out| {
                out.extend_from_slice(&[frame.body[0], 0]);
                out.extend_from_slice(&[0; 32]);
            }),
            FrameKind::HashReport => said(FrameKind::HashReport, &|out| out.extend_from_slice(&frame.body)),
            FrameKind::OriginQuery => said(FrameKind::OriginAnswer, &|out| {
                out.extend_from_slice(&frame.body);
                out.extend_from_slice(&1u64.to_le_bytes());
            }),
            FrameKind::SnapshotPull => {
                let mut fields = Unpack::new(&frame.body);
                let key = key_of(frame.group, &mut fields).ok()?;
                let (offset, length) = (fields.u64().ok()?, fields.u32().ok()? as usize);
                let (.., bytes) = self.offered.iter().find(|(group, info, _)| *group == frame.group && info.key() == key)?;
                let piece = bytes.get(offset as usize..)?;
                said(FrameKind::SnapshotPiece, &|out| {
                    put_key(out, &key);
                    out.extend_from_slice(&offset.to_le_bytes());
                    out.extend_from_slice(&piece[..piece.len().min(length)]);
                })
            }
            FrameKind::Pull => {
                let body = self.given.answer(&frame.body, view)?;
                said(FrameKind::Entries, &|out| out.extend_from_slice(&body))
            }
            _ => None,
        }
    }

    /// Anything that can be put into a frame.
    pub fn frame(&mut self, from: &mut Unstructured<'_>, view: &View<'_>) -> Result<ToMember> {
        let name = *from.choose(&OTHERS)?;
        let me = if from.ratio(31u8, 32u8)? { MemberId::of(name) } else { MemberId(number(from)?) };
        let mut frame = match from.int_in_range(0..=15u8)? {
            0..=5 => raft_frame(from, me, view)?,
            6 => forward(from, name, view)?,
            7..=9 => self.given.frame(from, name, view)?,
            10 | 11 => self.offer(from, view)?,
            12 => repair_frame(from, view)?,
            13 | 14 => other_frame(from, view)?,
            _ => match self.sent.is_empty() {
                // What the member has sent itself, to whomever.
                false => from.choose(&self.sent)?.1.clone(),
                true => some_frame(from, view)?,
            },
        };
        if from.ratio(1u8, 8u8)? {
            strike(from, &mut frame)?;
            seal(&mut frame, true);
        }
        Ok((me, frame))
    }

    /// What a leader sends a member that joins: its word, and the offer of a snapshot in which that one learns.
    pub fn teaches(&mut self, view: &View<'_>) -> Vec<ToMember> {
        let (leader, out) = (MemberId::of(OTHERS[0]), MemoryFile::default());
        let mut word = Message::default();
        word.set_msg_type(MessageType::MsgHeartbeat);
        (word.from, word.to, word.term) = (leader.0, MemberId::of(ME).0, 1);
        let Ok(info) = written(&out, view.group, (2, 1), learning(), true) else { return Vec::new() };
        let offer = Offer { term: 1, info: info.clone() };
        self.offered.push((view.group, info, out.content()));
        let offered = build(FrameKind::SnapshotOffer, view.group, 64, |out| offer.encode(out));
        vec![(leader, raft_frame_of(view.group, &word)), (leader, offered)]
    }

    fn offer(&mut self, from: &mut Unstructured<'_>, view: &View<'_>) -> Result<Vec<u8>> {
        let of_states = from.ratio(1u8, 3u8)?;
        let out = MemoryFile::default();
        let (group, written) = if of_states {
            let states = States { place: actors(from, view)?, list: vec![(some_bytes(from)?.into(), some_bytes(from)?.into())] };
            (FIRST_ORIGIN, states::write(&out, "o", &states::meta("c", from.int_in_range(1..=3)?), &states, &mut || {}))
        } else {
            let index = near(from, view.status.commit.0)?;
            let term = near(from, view.status.term.0)?;
            let learns = from.ratio(1u8, 4u8)?;
            let conf = if learns { learning() } else { some_conf(from)? };
            (view.group, written(&out, view.group, (index, term), conf, learns))
        };
        let Ok(info) = written else { return some_frame(from, view) };
        let mut info_told = info.clone();
        if from.ratio(1u8, 8u8)? {
            info_told.bytes = number(from)?;
        }
        let offer = Offer { term: near(from, view.status.term.0)?, info: info_told };
        self.offered.push((group, info, out.content()));
        Ok(build(FrameKind::SnapshotOffer, group, 64, |out| offer.encode(out)))
    }
}

/// The other two vote, and this one learns.
fn learning() -> Conf {
    Conf { learners: vec![MemberId::of(ME)], ..Conf::of_voters(OTHERS.map(MemberId::of).to_vec()) }
}

fn written(out: &MemoryFile, group: GroupId, (index, term): (u64, u64), conf: Conf, learns: bool) -> std::result::Result<SnapshotInfo, SnapshotError> {
    let meta = SnapshotMeta { cluster_id: "c".to_string(), group, index: Index(index), term: Term(term), conf };
    let machine = Machine::founded(LIMITS, 1, table(learns), Index(index));
    file::write(out, "o", &meta, &machine.image(), &mut || {})
}

/// The members that a snapshot has; of those that learn, this one.
fn table(learns: bool) -> Membership {
    let named = |name: &str| (name.to_string(), String::new());
    if !learns {
        return Membership::founded(&[ME, OTHERS[0], OTHERS[1]].map(named));
    }
    let mut table = Membership::founded(&OTHERS.map(named));
    assert_eq!(table.apply(&MemberCommand::Add { name: ME.to_string(), address: String::new() }, Index(1)), Ok(()));
    table
}

fn opened(bytes: &[u8]) -> Option<Frame> {
    let mut frames = Vec::new();
    Assembler::default().push(bytes, &mut frames).ok()?;
    frames.pop()
}

/// A number close to another, or any.
pub fn near(from: &mut Unstructured<'_>, other: u64) -> Result<u64> {
    match from.int_in_range(0..=15u8)? {
        15 => number(from),
        by @ 0..=9 => Ok(other.saturating_add(u64::from(by % 4))),
        by => Ok(other.saturating_sub(u64::from(by - 9))),
    }
}

fn answer_raft(me: MemberId, frame: &Frame) -> Option<Vec<u8>> {
    let asked = raft_message::decode(&frame.body).ok()?;
    let mut answer = Message::default();
    (answer.from, answer.to, answer.term) = (me.0, asked.from, asked.term);
    answer.set_msg_type(match asked.get_msg_type() {
        MessageType::MsgRequestVote => MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVote => MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgAppend => MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeat => MessageType::MsgHeartbeatResponse,
        _ => return None,
    });
    answer.index = asked.index.saturating_add(asked.entries.len() as u64);
    answer.context = asked.context.clone();
    Some(raft_frame_of(frame.group, &answer))
}

fn raft_frame_of(group: GroupId, message: &Message) -> Vec<u8> {
    build(FrameKind::Raft, group, 128, |out| {
        let _ = raft_message::encode(message, out);
    })
}

fn raft_frame(from: &mut Unstructured<'_>, me: MemberId, view: &View<'_>) -> Result<Vec<u8>> {
    const KINDS: [MessageType; 16] = [
        MessageType::MsgAppend,
        MessageType::MsgAppend,
        MessageType::MsgAppend,
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgTransferLeader,
        MessageType::MsgTimeoutNow,
        MessageType::MsgReadIndex,
        MessageType::MsgReadIndexResp,
    ];
    let status = view.status;
    let mut message = Message::default();
    let kind = *from.choose(&KINDS)?;
    message.set_msg_type(kind);
    (message.from, message.to) = (me.0, MemberId::of(ME).0);
    message.term = near(from, status.term.0)?;
    let of_end = |from: &mut Unstructured<'_>| Ok(if from.arbitrary()? { status.last.0 } else { status.commit.0 });
    let end = of_end(from)?;
    message.index = near(from, end)?;
    // As the member has it, mostly: else every append ends there.
    let known = view.log.term(view.group, Index(message.index.min(NUMBER_MAX))).map_or(0, |term| term.0);
    message.log_term = if from.ratio(3u8, 4u8)? { known } else { near(from, status.term.0)? };
    let end = of_end(from)?;
    message.commit = near(from, end)?;
    message.commit_term = near(from, 0)?;
    message.reject = from.ratio(1u8, 4u8)?;
    message.reject_hint = near(from, status.last.0)?;
    message.request_snapshot = if from.ratio(1u8, 8u8)? { number(from)? } else { 0 };
    message.priority = number(from)? as i64 & if from.ratio(1u8, 8u8)? { -1 } else { 0 };
    message.context = match from.int_in_range(0..=7u8)? {
        0 => Bytes::from_static(b"regressed"),
        1 => Bytes::from_static(b"CampaignTransfer"),
        2 => some_bytes(from)?.into(),
        _ => Bytes::new(),
    };
    let count = match kind {
        MessageType::MsgAppend => from.int_in_range(0..=3u64)?,
        kind => u64::from(matches!(kind, MessageType::MsgReadIndex | MessageType::MsgReadIndexResp)),
    };
    let mut entries = Vec::new();
    let mut term = message.log_term;
    for at in 1..=count {
        if from.arbitrary()? {
            term = message.term;
        }
        entries.push(raft_entry(from, message.index.wrapping_add(at), term)?);
    }
    message.set_entries(entries.into());
    Ok(raft_frame_of(view.group, &message))
}

fn raft_entry(from: &mut Unstructured<'_>, index: u64, term: u64) -> Result<Entry> {
    let mut entry = Entry { index, term, ..Default::default() };
    match from.int_in_range(0..=7u8)? {
        0 => (entry.data, entry.context) = (some_bytes(from)?.into(), some_bytes(from)?.into()),
        1 | 2 => {
            entry.set_entry_type(if from.ratio(7u8, 8u8)? { EntryType::EntryConfChangeV2 } else { EntryType::EntryConfChange });
            let mut changes = Vec::new();
            for _ in 0..from.int_in_range(0..=2u8)? {
                changes.push((some_member(from)?, *from.choose(&[Change::Voter, Change::Learner, Change::Remove])?));
            }
            entry.context = reconcile::encode(&changes, from.arbitrary()?).into();
            if from.ratio(1u8, 8u8)? {
                entry.context = some_bytes(from)?.into();
            }
        }
        3 => {}
        _ => {
            let mut list = Vec::new();
            for _ in 0..from.int_in_range(1..=2u8)? {
                let origin = *from.choose(&["a", "b"])?;
                list.extend(Submission::parse(submission(from, &Shape { origin, ..Shape::default() })?.into()).ok());
            }
            entry.data = entry::pack(&list).into();
        }
    }
    Ok(entry)
}

pub fn some_member(from: &mut Unstructured<'_>) -> Result<MemberId> {
    Ok(match from.ratio(7u8, 8u8)? {
        true => MemberId::of(from.choose(&["a", "b", "c", "d"])?),
        false => MemberId(number(from)?),
    })
}

fn some_conf(from: &mut Unstructured<'_>) -> Result<Conf> {
    if from.arbitrary()? {
        return Ok(Conf::of_voters(["a", "b", "c"].map(MemberId::of).to_vec()));
    }
    let list = |from: &mut Unstructured<'_>| -> Result<Vec<MemberId>> { (0..from.int_in_range(0..=3u8)?).map(|_| some_member(from)).collect() };
    Ok(Conf { voters: list(from)?, outgoing: list(from)?, learners: list(from)?, learners_next: list(from)? })
}

fn forward(from: &mut Unstructured<'_>, origin: &str, view: &View<'_>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for _ in 0..from.int_in_range(1..=3u8)? {
        body.extend(submission(from, &Shape { origin, ..Shape::default() })?);
    }
    Ok(build(FrameKind::Forward, view.group, body.len(), |out| out.extend(body)))
}

fn repair_frame(from: &mut Unstructured<'_>, view: &View<'_>) -> Result<Vec<u8>> {
    let status = view.status;
    let (first, last) = status.lost.unwrap_or((Index(near(from, status.commit.0)?), Index(near(from, status.last.0)?)));
    let mut body = Vec::new();
    if from.arbitrary()? {
        Query { first, last, takes_snapshot: from.arbitrary()? }.encode(&mut body);
        return Ok(build(FrameKind::RepairQuery, view.group, body.len(), |out| out.extend(body)));
    }
    let mut index = || near(from, status.last.0).map(Index);
    let (commit, log_first, log_last) = (index()?, index()?, index()?);
    let mut term = || near(from, status.term.0).map(Term);
    let (prior_term, last_term, next_term) = (term()?, term()?, term()?);
    let mut entries = Vec::new();
    for at in 0..from.int_in_range(0..=3u64)? {
        let entry = raft_entry(from, first.0.wrapping_add(at), status.term.0)?;
        let kind = entry.get_entry_type() as u8;
        entries.push(LogEntry { index: Index(entry.index), term: Term(entry.term), kind, data: entry.data, context: entry.context });
    }
    let settled = from.arbitrary()?;
    Answer { first, last, commit, log_first, log_last, prior_term, last_term, next_term, settled, entries }.encode(&mut body);
    Ok(build(FrameKind::RepairAnswer, view.group, body.len(), |out| out.extend(body)))
}

/// Numbers, one after another, as most of the others are made of.
fn other_frame(from: &mut Unstructured<'_>, view: &View<'_>) -> Result<Vec<u8>> {
    let status = view.status;
    let mut body = Vec::new();
    let mut put = |from: &mut Unstructured<'_>, other: u64| -> Result<()> {
        body.extend_from_slice(&near(from, other)?.to_le_bytes());
        Ok(())
    };
    let (term, last, commit) = (status.term.0, status.last.0, status.commit.0);
    let kind = match from.int_in_range(0..=9u8)? {
        0 => {
            put(from, last)?;
            FrameKind::AppliedQuery
        }
        1 => {
            put(from, last)?;
            FrameKind::AppliedAnswer
        }
        2 => {
            put(from, term)?;
            put(from, commit)?;
            some_conf(from)?.encode(&mut body);
            FrameKind::TermAnswer
        }
        3 => {
            body.push(from.int_in_range(0..=3)?);
            for other in [term, term, last, last] {
                body.extend_from_slice(&near(from, other)?.to_le_bytes());
            }
            FrameKind::Standing
        }
        4 => {
            body.extend_from_slice(&[from.int_in_range(0..=3)?, from.int_in_range(0..=1)?]);
            for other in [term, term, last, last] {
                body.extend_from_slice(&near(from, other)?.to_le_bytes());
            }
            FrameKind::StandingAnswer
        }
        5 => {
            put(from, commit)?;
            put(from, status.apply_hash)?;
            FrameKind::HashReport
        }
        6 => {
            put(from, commit)?;
            put(from, last)?;
            FrameKind::HashQuery
        }
        7 => {
            put(from, commit)?;
            put(from, 1)?;
            for _ in 0..from.int_in_range(0..=4u8)? {
                put(from, status.apply_hash)?;
            }
            FrameKind::HashAnswer
        }
        8 => {
            body.extend_from_slice(&some_member(from)?.0.to_le_bytes());
            FrameKind::Transfer
        }
        _ => {
            body.extend_from_slice(&(view.life << 32 | 1).to_le_bytes());
            body.push(from.int_in_range(0..=13)?);
            FrameKind::Declined
        }
    };
    Ok(build(kind, view.group, body.len(), |out| out.extend(body)))
}

/// Any kind, any body.
fn some_frame(from: &mut Unstructured<'_>, view: &View<'_>) -> Result<Vec<u8>> {
    let group = if from.arbitrary()? { view.group } else { FIRST_ORIGIN };
    let body = some_bytes(from)?;
    let mut frame = build(FrameKind::Raft, group, body.len(), |out| out.extend(body));
    frame[8] = from.int_in_range(1..=31)?;
    seal(&mut frame, false);
    Ok(frame)
}
