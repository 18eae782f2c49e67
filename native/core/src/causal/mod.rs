//! The causal lane: every member writes a log of its own, which the others follow; what happened before is delivered
//! before (Birman, Schiper, Stephenson, "Lightweight causal and atomic group multicast", TOCS 1991; the logs as in
//! Ladin et al., "Providing high availability using lazy replication", TOCS 1992).
//!
//! An entry is on disk here before it is acknowledged or leaves (rules R1, R7). What others have sent is on disk before it
//! is delivered, so that nothing that was delivered is ever taken back. Everything that a member has delivered happened
//! before what it writes next; an entry names what of that is new since the entry before it.
//!
//! Inputs and effects are as those of `ordered::Group`.

pub mod actor;
mod continuity;
mod cut;
mod delivery;
pub mod followed;
mod gossip;
pub mod head;
pub mod ids;
mod intake;
pub mod message;
mod open;
mod origin;
mod peer;
mod place;
pub mod reader;
mod receive;
pub mod recent;
mod replicated;
mod selective;
mod stability;
mod states;
pub mod tally;

use crate::ids::{GroupId, Index, MemberId};
use crate::log::Op;
use crate::membership::{Membership, Role};
use crate::ordered::conf::Conf;
use crate::ordered::effects::{Effects, Purpose, Write};
use crate::ordered::store::EntryReader;
use actor::{Actor, Clock, OriginId};
use continuity::{Continuity, Verdict};
use followed::Followed;
use ids::Ids;
use intake::{Intake, Unsent};
use origin::Origin;
use crate::peer::round_trips::BulkLine;
use peer::{Line, Peer};
use recent::Recent;
use selective::Selective;
use crate::snapshot::keeper::Job;
use states::Kept;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tally::Retention;

/// Groups of the log from here on are the origins' of the causal lane, numbered as they are met.
pub const FIRST_ORIGIN: GroupId = GroupId(1 << 31);

/// Origins that a member keeps a log of. What others beyond them write is not taken, nor is what follows it (docs/limits.md).
pub const ORIGINS_MAX: usize = 4_096;

/// Of these, places that only this member's own actors take: whatever others do, it can write.
pub const OWN_ORIGINS_MIN: usize = 64;

/// Entries after which one names all that it follows. The simulator's histories are short.
const WHOLE_EVERY: u64 = if cfg!(feature = "plants") { 8 } else { 64 };

pub fn is_origin(group: GroupId) -> bool {
    group >= FIRST_ORIGIN
}

#[derive(Clone, Debug)]
pub struct LaneConfig {
    pub me: MemberId,
    pub node_id: String,
    /// Tells this process from all others of this member.
    pub life: u64,
    /// By lot: what the next actor of this member is called if the last one cannot go on. Not 0.
    pub fresh_incarnation: u32,
    /// The log may have forgotten what was acknowledged (rule L2).
    pub unsettled: bool,
    /// Ticks after the open in which publishes wait for the other members to say that the last actor may go on.
    pub continuity_ticks: u64,
    /// Ticks between two tellings of what is on disk here.
    pub gossip_ticks: u64,
    /// Ticks that a missing entry has to come by itself.
    pub fetch_ticks: u64,
    /// Entries of an origin that wait in memory for what they follow.
    pub buffer_entries: usize,
    /// Last events whose ids are known.
    pub window_events: usize,
    /// What the origins' logs keep.
    pub retention: Retention,
    /// States are made of the logs: nothing goes that those do not cover which are kept (`Lane::keep_states`).
    pub has_states: bool,
}

/// Takes the first of a queue if it is as wanted.
fn pop_if<T>(queue: &mut VecDeque<T>, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
    queue.front().is_some_and(wanted).then(|| queue.pop_front()).flatten()
}

/// What a write covers, once it is on disk.
struct Writing {
    number: u64,
    bytes: usize,
    /// Last entry of an origin.
    ends: Vec<(OriginId, u64)>,
    /// Lost entries that it brings back, and wanted ones, and whether as stubs.
    repairs: Vec<(OriginId, u64, bool)>,
    /// Logs that begin behind these from then on, though they had not all of it.
    begun: Vec<(OriginId, u64)>,
}

impl Writing {
    fn new(number: u64) -> Self {
        Self { number, bytes: 0, ends: Vec::new(), repairs: Vec::new(), begun: Vec::new() }
    }
}

pub struct Lane<R> {
    config: LaneConfig,
    reader: R,
    recent: Arc<Recent>,
    table: Membership,
    origins: Vec<Origin>,
    by_actor: BTreeMap<Actor, OriginId>,
    next_group: u32,
    /// Who writes here; `None` until it is sure who may.
    me: Option<OriginId>,
    continuity: Continuity,
    /// Own actors with a lower number do not go on, whatever the others say.
    given_up: Option<GroupId>,
    /// The write that says so, until it is on disk.
    giving_up: Option<u64>,
    renewals: u32,
    intake: Intake,
    ids: Ids,
    /// What the last own entry follows, with everything before it; `None` where that is not known.
    covered: Option<Clock>,
    unsent: Unsent,
    /// Tick of the last push.
    pushed_at: u64,
    peers: BTreeMap<MemberId, Peer>,
    /// To the members, as far as they are measured.
    lines: BTreeMap<MemberId, Line>,
    /// Of each origin the last entry that anybody held some seconds ago, and lately (see `tick_held`).
    held_before: Clock,
    held_lately: Clock,
    ops: Vec<Op>,
    /// Of what is in `ops`.
    writing: Writing,
    /// Somebody here waits for what is in `ops`.
    urgent: bool,
    /// Tick of the last write.
    wrote_at: u64,
    writes: VecDeque<Writing>,
    /// Of all writes that are not on disk.
    writing_bytes: usize,
    /// States that are made of the logs; `None` where none are.
    states: Option<Kept>,
    jobs: Vec<Job>,
    /// What came before what was taken for delivered, until it is delivered.
    bases: Vec<Vec<(OriginId, u64)>>,
    delivered: Clock,
    delivered_moved: bool,
    /// Tick at which that was so last.
    moved_at: u64,
    /// What was delivered when requests were last looked at that wait for it.
    arrived: Clock,
    followed: Followed,
    selective: Selective,
    /// All that was delivered here at some time, since when a majority has it on disk (see `majority_has`).
    replicated: Clock,
    /// Of which configuration's voters.
    replicated_in: Conf,
    /// Origins have been met since the readers were told.
    origins_moved: bool,
    hlc: u64,
    ticks: u64,
    frames: Vec<(MemberId, crate::peer::frame::Channel, Vec<u8>)>,
}

/// What readers and the status see of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginView {
    pub actor: Actor,
    pub name: String,
    pub group: GroupId,
    pub first: u64,
}

/// The lane as the status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneStatus {
    /// Who writes here; empty while that is not decided.
    pub actor: String,
    /// Of each origin: name, then the last entry delivered, on disk, and known of.
    pub origins: Vec<(String, u64, u64, u64)>,
    /// Of origins that go no further here: the entry that is missing, and that no member that is connected has.
    pub lacking: Vec<(String, u64)>,
    /// Requests that are not answered.
    pub pending: usize,
}

impl<R: EntryReader> Lane<R> {
    pub fn tick(&mut self) {
        self.ticks += 1;
        self.scan_ids();
        self.tick_gossip();
        self.tick_followed();
        self.tick_held();
        if self.ids.is_complete() {
            self.tick_stubs();
            self.tick_pulls();
            self.tick_cuts();
            self.tick_states();
        }
    }

    /// Members as group 0 has agreed on them.
    pub fn set_table(&mut self, table: &Membership) {
        if table.version == self.table.version && self.table.is_empty() == table.is_empty() {
            return;
        }
        self.table.clone_from(table);
        self.replicated = Clock::default();
        self.peers.retain(|id, _| table.role(*id).is_none_or(|role| role != Role::Removed));
        for (id, _) in table.iter().filter(|(id, member)| *id != self.config.me && member.role != Role::Removed) {
            self.peers.entry(id).or_default();
        }
        self.origins_moved = true;
    }

    pub fn link_up(&mut self, member: MemberId) {
        let peer = self.peers.entry(member).or_default();
        (peer.up, peer.told, peer.told_at, peer.sent, peer.asked_at) = (true, None, None, None, None);
        peer.waits_for = Clock::default();
    }

    pub fn link_down(&mut self, member: MemberId) {
        if let Some(peer) = self.peers.get_mut(&member) {
            peer.up = false;
            peer.waits_for = Clock::default();
        }
        for origin in &mut self.origins {
            origin.pulling.take_if(|pulling| pulling.from == member);
        }
    }

    /// How far the members are now.
    pub fn measured(&mut self, lines: &BTreeMap<MemberId, BulkLine>) {
        let answered = |line: &BulkLine| line.answered_ago.map(|ago| self.ticks.saturating_sub(ago));
        let line = |line: &BulkLine| Line { distance: line.distance, answered: answered(line), is_stuck: line.is_stuck };
        self.lines = lines.iter().map(|(member, found)| (*member, line(found))).collect();
    }

    /// Frames to a member were dropped: it may miss any of them.
    pub fn overflowed(&mut self, member: MemberId) {
        if let Some(peer) = self.peers.get_mut(&member) {
            (peer.told, peer.sent, peer.asked_at) = (None, None, None);
        }
        let pulls = self.origins.iter_mut().filter_map(|origin| origin.pulling.as_mut());
        pulls.filter(|pulling| pulling.from == member).for_each(|pulling| pulling.may_be_lost = true);
    }

    /// A write is on disk, and all before it.
    pub fn persisted(&mut self, number: u64) {
        while let Some(done) = pop_if(&mut self.writes, |writing| writing.number <= number) {
            self.writing_bytes -= done.bytes;
            self.giving_up.take_if(|number| *number <= done.number);
            for (origin, last) in done.ends {
                let origin = &mut self.origins[origin.at()];
                origin.written = origin.written.max(last);
            }
            for (origin, last) in done.begun {
                self.begun(origin, last);
            }
            for (origin, counter, is_stub) in done.repairs {
                self.note_mended(origin, counter, is_stub);
            }
        }
    }

    /// Whether the mark of a log that may have forgotten something may go, as far as this lane goes.
    pub fn is_settled_on_disk(&self) -> bool {
        self.giving_up.is_none()
    }

    /// Whether something is to be sent.
    pub fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Does what the inputs since the last call have made possible.
    pub fn flush(&mut self, now_us: u64, effects: &mut Effects) {
        self.decide();
        self.write_intake();
        self.deliver();
        if self.delivered_moved {
            self.moved_at = self.ticks;
        }
        self.answer(now_us, effects);
        self.push();
        self.tell_who_waits();
        effects.frames.append(&mut self.frames);
        effects.jobs.append(&mut self.jobs);
        // What others have written goes to disk once a tick, or along with what somebody here waits for: each sync takes
        // as long as the one before, however little it brings.
        let due = self.urgent || self.writes.is_empty() && self.ticks > self.wrote_at;
        if due && !self.ops.is_empty() {
            (self.urgent, self.wrote_at) = (false, self.ticks);
            let ops = std::mem::take(&mut self.ops);
            let number = self.writing.number;
            let next = Writing::new(number + 1);
            self.writing_bytes += self.writing.bytes;
            self.writes.push_back(std::mem::replace(&mut self.writing, next));
            effects.writes.push(Write { group: FIRST_ORIGIN, number, ops, purpose: Purpose::Usual });
        }
    }

    /// Settles who writes here, once that can be known.
    fn decide(&mut self) {
        // Until the logs are looked through, damage may show.
        if self.me.is_some() || self.table.is_empty() || !self.ids.is_complete() || !self.is_closed() {
            return;
        }
        let me = self.config.me;
        let mine = self.origins.iter().filter(|origin| origin.actor.member == me && origin.last > 0);
        let mine = mine.max_by_key(|origin| origin.group);
        let given_up = self.given_up.is_some_and(|group| mine.is_none_or(|origin| origin.group < group));
        let (actor, last) = mine.map_or((Actor { member: me, incarnation: 0 }, 0), |origin| (origin.actor, origin.last));
        let own = |actor| self.by_actor.get(&actor).map_or(0, |origin| self.origins[origin.at()].last);
        let damaged = self.by_actor.get(&actor).is_some_and(|origin| !self.origins[origin.at()].lost.is_empty());
        let judged = match self.config.unsettled || given_up || damaged {
            true => Verdict::BeginAnew,
            false => self.continuity.judge(me, &self.table, actor, last, &own),
        };
        // Of what damage holds up here, nobody may have what is lacking; and what comes next would seem to follow less.
        let held_up = self.by_actor.get(&actor).is_some_and(|origin| self.origins[origin.at()].delivered < last);
        let judged = if judged == Verdict::GoOn && held_up { Verdict::Wait } else { judged };
        let judged = if crate::plants::is(crate::plants::CorePlant::OriginGoesOn) { Verdict::GoOn } else { judged };
        match judged {
            // While nobody publishes there is no hurry.
            Verdict::Wait if self.ticks < self.config.continuity_ticks || self.intake.len() == 0 => {}
            Verdict::GoOn => {
                self.me = self.own_origin(actor);
                self.origins_moved = true;
                let members: Vec<MemberId> = self.peers.keys().copied().collect();
                members.into_iter().for_each(|member| self.resume_pushing(member));
            }
            Verdict::Wait | Verdict::BeginAnew => self.begin_anew(),
        }
    }

    /// Writes as another actor from now on.
    fn begin_anew(&mut self) {
        let incarnation = self.config.fresh_incarnation.wrapping_add(self.renewals.wrapping_mul(0x9E37_79B9)).max(1);
        self.renewals += 1;
        // What proves that another actor cannot go on may be gone by the next start: this log may have all of it by then.
        self.give_up();
        self.me = self.own_origin(Actor { member: self.config.me, incarnation });
        self.origins_moved = true;
        self.covered = None;
        self.unsent.clear();
        self.peers.values_mut().for_each(|peer| peer.sent = Some(0));
    }

    /// The origin of an actor that others speak of, met now for the first time or not; `None` when there are too many.
    fn origin_of(&mut self, actor: Actor) -> Option<OriginId> {
        let is_new = !self.by_actor.contains_key(&actor);
        let kept = if actor.member == self.config.me { 0 } else { OWN_ORIGINS_MIN };
        if is_new && self.origins.len() + kept >= ORIGINS_MAX {
            return None;
        }
        let id = self.own_origin(actor)?;
        if is_new && actor.member == self.config.me {
            // It was written here, and lost: the others may not have had all of it.
            self.give_up();
        }
        Some(id)
    }

    /// The origin of an actor that begins or goes on here; `None` when there are too many.
    fn own_origin(&mut self, actor: Actor) -> Option<OriginId> {
        if let Some(id) = self.by_actor.get(&actor) {
            return Some(*id);
        }
        if self.origins.len() >= ORIGINS_MAX {
            return None;
        }
        let group = GroupId(self.next_group);
        self.next_group += 1;
        Some(self.add_origin(Origin::new(actor, group)))
    }

    fn add_origin(&mut self, origin: Origin) -> OriginId {
        let id = OriginId(self.origins.len() as u16);
        self.by_actor.insert(origin.actor, id);
        self.origins.push(origin);
        self.origins_moved = true;
        id
    }

    fn name_of(&self, actor: Actor) -> String {
        let unknown = || format!("{:016x}", actor.member.0);
        let node_id = match actor.member == self.config.me {
            true => self.config.node_id.clone(),
            false => self.table.get(actor.member).map_or_else(unknown, |member| member.name.clone()),
        };
        actor.name(&node_id)
    }

    /// Members as this lane knows of them.
    pub fn table(&self) -> &Membership {
        &self.table
    }

    /// A reader has met damage.
    pub fn unreadable(&mut self, group: GroupId, index: Index) {
        if let Some(origin) = self.origins.iter_mut().find(|origin| origin.group == group) {
            if (origin.first..=origin.last).contains(&index.0) {
                origin.lost.insert(index.0, index.0);
                origin.pulling = None;
                // This member may have been one of the majority.
                self.replicated = Clock::default();
            }
        }
    }

    /// What was delivered, when that has changed since the last call; not before it is known after an open.
    pub fn take_delivered(&mut self) -> Option<&Clock> {
        (self.ids.is_complete() && std::mem::take(&mut self.delivered_moved)).then_some(&self.delivered)
    }

    pub fn delivered(&self) -> &Clock {
        &self.delivered
    }

    /// The origins in order of their numbers, when there are others since the last call.
    pub fn take_origins(&mut self) -> Option<Vec<OriginView>> {
        std::mem::take(&mut self.origins_moved).then(|| self.origins().collect())
    }

    pub fn origins(&self) -> impl Iterator<Item = OriginView> + '_ {
        self.origins.iter().map(|origin| OriginView {
            actor: origin.actor,
            name: self.name_of(origin.actor),
            group: origin.group,
            first: origin.first,
        })
    }

    /// The entries that came last, for readers.
    pub fn recent(&self) -> &Arc<Recent> {
        &self.recent
    }

    /// What is on disk here, readable and whole.
    pub fn held(&self) -> impl Iterator<Item = (Actor, u64)> + '_ {
        self.origins.iter().map(|origin| (origin.actor, origin.held()))
    }

    /// Who writes here, as clocks spell it; empty while that is not decided.
    pub fn actor_name(&self) -> String {
        self.actor().map_or(String::new(), |actor| self.name_of(actor))
    }

    pub fn actor(&self) -> Option<Actor> {
        self.me.map(|me| self.origins[me.at()].actor)
    }

    pub fn pending_bytes(&self) -> usize {
        self.intake.bytes()
    }

    /// Entries of one origin that wait in memory for what they follow, at most.
    pub fn buffered(&self) -> usize {
        self.origins.iter().map(|origin| origin.waiting.len()).max().unwrap_or(0)
    }

    pub fn hlc(&self) -> u64 {
        self.hlc
    }

    pub fn status(&self) -> LaneStatus {
        let mut status = LaneStatus { actor: self.actor_name(), lacking: self.lacking_entries().collect(), ..LaneStatus::default() };
        self.note_progress(&mut status);
        status
    }

    /// Brings a status of this lane up to date in what moves with each event.
    pub fn note_progress(&self, status: &mut LaneStatus) {
        status.pending = self.intake.len();
        for (at, origin) in self.origins.iter().enumerate() {
            if at == status.origins.len() {
                status.origins.push((self.name_of(origin.actor), 0, 0, 0));
            }
            let (_, delivered, held, known) = &mut status.origins[at];
            (*delivered, *held, *known) = (origin.delivered, origin.held(), origin.known.max(origin.last));
        }
    }
}
