//! A data directory that was put back to an older state (docs/decisions/0019) has forgotten what its member acknowledged,
//! and its disk is whole: only those who were told can tell.
//!
//! Each member keeps the most that each other one has told it. A member says how it stands when it starts and first on
//! every new connection, and is answered with what is known of it. One that shows less than that settles its log as a torn
//! one does (`settling`); until it knows, whoever knows passes over its votes and acknowledgements.
//!
//! After its start a member neither votes nor acknowledges until all others have answered, or for an election timeout: so
//! whoever knows, and can be reached within that time, is heard first.
//!
//! Left out: what is known is in memory, and gone with a restart of who knew it.

use super::effects::{Effects, Purpose, Write};
use super::receive::{Refused, REGRESSED};
use super::store::EntryReader;
use super::Group;
use crate::ids::{Index, MemberId, Term};
use crate::packed::Unpack;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::plants::{self, CorePlant};
use raft::eraftpb::{Message, MessageType};
use std::collections::{BTreeMap, BTreeSet};

/// As `agreement` counts them too.
const TICK_MS: u64 = 10;

/// What a member has on disk, as it shows it or as others were told. Where the terms of logs are compared, entries that a
/// later leader has replaced do not count; what was applied stays for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub term: u64,
    /// Term and index of the last entry, as raft compares logs: the most it was in this life of the member.
    pub end: (u64, u64),
    /// The log reaches up to here for good.
    pub last: u64,
}

impl Standing {
    fn shows_less_than(&self, known: &Self) -> bool {
        self.term < known.term || self.end < known.end || self.last < known.last
    }

    fn max(&self, other: &Self) -> Self {
        Self { term: self.term.max(other.term), end: self.end.max(other.end), last: self.last.max(other.last) }
    }

    fn min(&self, other: &Self) -> Self {
        Self { term: self.term.min(other.term), end: self.end.min(other.end), last: self.last.min(other.last) }
    }

    fn numbers(&self) -> [u64; 4] {
        [self.term, self.end.0, self.end.1, self.last]
    }

    fn decode(fields: &mut Unpack) -> Result<Self, Refused> {
        Ok(Self { term: fields.u64()?, end: (fields.u64()?, fields.u64()?), last: fields.u64()? })
    }
}

/// How a member stands to what it may have forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum Memory {
    /// It has forgotten nothing, as far as it knows.
    #[default]
    Whole = 0,
    /// It knows that it may have, and waits for the others to settle it.
    Unsettled = 1,
    /// It was settled in this life: what was known of it before does not count any more.
    Settled = 2,
}

/// That a directory was put back, as a member was told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutBack {
    pub known_by: MemberId,
    /// What was known of its log, and what there was; 0 in a group that nobody missed anything of.
    pub known: (Term, Index),
    pub had: (Term, Index),
    /// Milliseconds since it was noticed.
    pub since_ms: u64,
    /// The log is as good as the others' again.
    pub settled: bool,
}

#[derive(Default)]
pub struct Standings {
    /// The most each other member has told.
    known: BTreeMap<MemberId, Standing>,
    /// Members that show less, and do not know it yet.
    doubted: BTreeSet<MemberId>,
    /// Members that have not answered how this one stands.
    unanswered: BTreeSet<MemberId>,
    /// They are to be told, again.
    due: bool,
    memory: Memory,
    /// The most that the end of the log was in this life.
    reach: (u64, u64),
    /// What was noticed of the own directory, and at which tick.
    put_back: Option<(PutBack, u64)>,
    /// The log is to be marked as unsettled.
    mark_due: bool,
    /// Members that have said that they wait to be settled.
    unsettled: BTreeSet<MemberId>,
}

impl Standings {
    pub fn new(others: BTreeSet<MemberId>) -> Self {
        Self { unanswered: others, due: true, ..Self::default() }
    }

    fn note(&mut self, member: MemberId, told: Standing) {
        let known = self.known.entry(member).or_default();
        *known = known.max(&told);
    }

    /// What a member has applied is on its disk.
    pub fn applied(&mut self, member: MemberId, index: Index) {
        self.note(member, Standing { last: index.0, ..Standing::default() });
    }

    pub fn term_of(&self, member: MemberId) -> u64 {
        self.known.get(&member).map_or(0, |known| known.term)
    }

    /// A connection is up: what was said on the one before may be lost.
    pub fn link_up(&mut self, member: MemberId) {
        self.unanswered.insert(member);
        self.due = true;
    }

    /// Members that a connection is up to are told again until they answer.
    pub fn tick(&mut self, linked: &BTreeSet<MemberId>) {
        self.due |= !self.unanswered.is_disjoint(linked);
    }
}

impl<R: EntryReader> Group<R> {
    fn standing(&self) -> Standing {
        let log = &self.raw.raft.raft_log;
        let end = (log.last_term(), log.last_index());
        Standing { term: self.raw.raft.term, end: end.max(self.standings.reach), last: end.1 }
    }

    /// Notes what a member's message says is on its disk.
    pub(super) fn note_told(&mut self, from: MemberId, message: &Message, leads: bool) {
        let log = &self.raw.raft.raft_log;
        let end = match message.get_msg_type() {
            // Their term is one that may come.
            MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse => return,
            MessageType::MsgRequestVote => (message.log_term, message.index),
            MessageType::MsgAppendResponse if leads && !message.reject && message.term == self.raw.raft.term => {
                log.term(message.index).map_or((0, 0), |term| (term, message.index))
            }
            _ => (0, 0),
        };
        self.standings.note(from, Standing { term: message.term, end, last: 0 });
    }

    /// Whether this is not to be believed: more is known of its sender than it shows, and it does not know that yet.
    pub(super) fn passes_over(&mut self, from: MemberId, message: &Message) -> bool {
        let counts = match message.get_msg_type() {
            MessageType::MsgAppendResponse => message.context[..] != *REGRESSED,
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => true,
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => true,
            kind => kind == MessageType::MsgHeartbeatResponse,
        };
        let passed = counts && self.standings.doubted.contains(&from) && !plants::is(CorePlant::PutBackVotes);
        if passed {
            // The answer that said so may be lost.
            self.answer_standing(from, Memory::Whole as u8);
        }
        passed
    }

    /// Whether somebody may still say that the directory was put back.
    pub(super) fn is_quiet(&self) -> bool {
        let unheard = || self.conf.voting_but(self.config.me).iter().any(|member| self.standings.unanswered.contains(member));
        self.ticks < self.pace.least() as u64 && unheard()
    }

    /// Says how this member stands, to those who have not answered.
    pub(super) fn say_standing(&mut self, effects: &mut Effects) {
        let standing = self.standing();
        self.standings.reach = standing.end;
        let memory = match self.standings.memory {
            _ if self.settling.is_some() || self.marked => Memory::Unsettled,
            Memory::Unsettled => Memory::Settled,
            known => known,
        };
        if memory != self.standings.memory {
            self.standings.memory = memory;
            let others = self.conf.members().into_iter().chain(self.linked.iter().copied());
            self.standings.unanswered.extend(others.filter(|member| *member != self.config.me));
            self.standings.due = true;
        }
        if std::mem::take(&mut self.standings.mark_due) {
            self.marked = true;
            effects.writes.push(Write { group: self.config.group, number: 0, ops: Vec::new(), purpose: Purpose::Doubt });
        }
        if std::mem::take(&mut self.unmark_due) {
            effects.writes.push(Write { group: self.config.group, number: 0, ops: Vec::new(), purpose: Purpose::Settled });
        }
        if std::mem::take(&mut self.standings.due) {
            for to in &self.standings.unanswered {
                let frame = self.standing_frame(FrameKind::Standing, &[memory as u8], &standing);
                self.outbox.push((*to, Channel::Urgent, frame));
            }
        }
    }

    fn standing_frame(&self, kind: FrameKind, head: &[u8], standing: &Standing) -> Vec<u8> {
        frame::build(kind, self.config.group, head.len() + 32, |out| {
            out.extend_from_slice(head);
            standing.numbers().iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        })
    }

    /// Another member says how it stands: it is told what is known of it.
    pub(super) fn receive_standing(&mut self, from: MemberId, frame: &Frame) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let (memory, shown) = (fields.u8()?, Standing::decode(&mut fields)?);
        fields.end()?;
        let known = self.standings.known.entry(from).or_default();
        if memory == Memory::Settled as u8 {
            // What it shows may not be on its disk yet: nothing is learnt from it.
            *known = known.min(&shown);
        }
        if plants::is(CorePlant::StandingTrusted) {
            *known = known.max(&shown);
        }
        let doubted = memory == Memory::Whole as u8 && shown.shows_less_than(known);
        if memory == Memory::Unsettled as u8 {
            self.standings.unsettled.insert(from);
        } else {
            self.standings.unsettled.remove(&from);
        }
        if doubted {
            self.standings.doubted.insert(from);
        } else {
            self.standings.doubted.remove(&from);
        }
        self.answer_standing(from, memory);
        Ok(())
    }

    fn answer_standing(&mut self, to: MemberId, memory: u8) {
        let known = self.standings.known.get(&to).copied().unwrap_or_default();
        let doubted = self.standings.doubted.contains(&to);
        let answer = self.standing_frame(FrameKind::StandingAnswer, &[memory, doubted.into()], &known);
        self.outbox.push((to, Channel::Urgent, answer));
    }

    /// Another member says what it knows of this one, and what it was told before.
    pub(super) fn receive_standing_answer(&mut self, from: MemberId, frame: &Frame) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let (memory, doubted, known) = (fields.u8()?, fields.u8()? != 0, Standing::decode(&mut fields)?);
        fields.end()?;
        // What was said late may have been less than what went before it on the other connection: it is said again.
        if doubted {
            self.standings.unanswered.insert(from);
        } else if memory == self.standings.memory as u8 {
            self.standings.unanswered.remove(&from);
        }
        if self.standings.memory == Memory::Whole && self.settling.is_none() && self.standing().shows_less_than(&known) {
            self.put_back(from, known);
        }
        Ok(())
    }

    /// Somebody knows of more than is here.
    pub(super) fn put_back(&mut self, by: MemberId, known: Standing) {
        if plants::is(CorePlant::PutBackNotCompared) {
            return;
        }
        let had = self.standing();
        let log = |end: (u64, u64)| (Term(end.0), Index(end.1));
        let known = log((known.end.0, known.end.1.max(known.last)));
        let noticed = PutBack { known_by: by, known, had: log(had.end), since_ms: 0, settled: false };
        self.standings.put_back.get_or_insert((noticed, self.ticks));
        if self.settling.is_some() || plants::is(CorePlant::PutBackVotes) {
            return;
        }
        // Who else there is, a log that was put back far enough does not know: who says it does.
        let mut others = self.conf.voting_but(self.config.me);
        others.extend(Some(by).filter(|_| others.is_empty()));
        self.settle_with(others);
        self.standings.mark_due = true;
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, 0);
        self.draw_timeout();
    }

    /// Members that have said that they wait to be settled, in this group.
    pub fn unsettled_members(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.standings.unsettled.iter().copied()
    }

    /// Whether the log is marked as unsettled.
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// The mark may go: no group needs it.
    pub fn unmark(&mut self) {
        self.unmark_due = true;
    }

    /// A group needs it again.
    pub fn keep_mark(&mut self) {
        self.unmark_due = false;
    }

    /// Whether the mark is about to go.
    pub fn unmarks(&self) -> bool {
        self.unmark_due
    }

    /// The mark is gone.
    pub fn unmarked(&mut self) {
        self.marked = self.settling.is_some();
    }

    /// As `put_back`, noticed in another group: the directory is one.
    pub fn put_back_elsewhere(&mut self, by: MemberId) {
        if self.standings.put_back.is_none() {
            self.put_back(by, Standing::default());
        }
    }

    /// That the directory was put back, if that was noticed in this life.
    pub fn was_put_back(&self) -> Option<PutBack> {
        let (noticed, at) = self.standings.put_back?;
        Some(PutBack { since_ms: (self.ticks - at) * TICK_MS, settled: self.settling.is_none(), ..noticed })
    }

    /// Whether this member would tell another one, whose log ends there, that it was put back. For the simulator.
    pub fn knows_more_of(&self, member: MemberId, term: Term, last_term: Term, last: Index) -> bool {
        let shown = Standing { term: term.0, end: (last_term.0, last.0), last: last.0 };
        self.standings.known.get(&member).is_some_and(|known| shown.shows_less_than(known))
    }
}
