//! Who holds what (rule R10; docs/decisions/0034): an entry names its holders, by the rules that its writer went by. Voters
//! and the writer hold every entry; a member that does not hold one has its stub in the same place of the same log.
//!
//! A stub is given only for what a majority of the voters holds, so that nobody builds upon what one disk may take away.
//! Who becomes a voter fetches whatever it has stubs of; until then it does not hold it, and says so. What no member has
//! whole any more has its stub everywhere (`unheld`).

use super::actor::{Actor, Clock, OriginId};
use super::head::{Head, Holders};
use super::message::Form;
use super::peer::Peer;
use super::Lane;
use crate::clock::Ranges;
use crate::event::Submission;
use crate::ids::{GroupId, Index, MemberId, Term};
use crate::log::{HardState, Op};
use crate::membership::Role;
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};
use crate::replication::{Agreed, Selection};
use crate::stub;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the log says of a number that stands for no origin: there may be stubs in it.
const HAS_STUBS: HardState = HardState { term: Term(2), vote: MemberId(0), commit: Index(0) };
/// Ticks between two looks at who holds what; what counts is the look before the last.
const HELD_TICKS: u64 = 300;
/// Ranges of one origin's stubs that are known at a time.
const RANGES_MAX: usize = 1_024;

/// What this member knows of selective replication.
#[derive(Default)]
pub struct Selective {
    selection: Arc<Selection>,
    /// There may be stubs in the log, and it says so: it is looked through for them after an open.
    has_stubs: bool,
}

impl<R: EntryReader> Lane<R> {
    /// Rules as group 0 has agreed on them: what is written here from now on goes by them.
    pub fn set_rules(&mut self, agreed: &Agreed) {
        if agreed.version != self.selective.selection.version() {
            self.selective.selection = Arc::new(Selection::of(agreed));
        }
    }

    pub fn rules_version(&self) -> Index {
        self.selective.selection.version()
    }

    pub(super) fn selection(&self) -> Arc<Selection> {
        Arc::clone(&self.selective.selection)
    }

    fn is_learner(&self, member: MemberId) -> bool {
        self.table.role(member) == Some(Role::Learner)
    }

    /// Whether a member is to hold an entry. Who has no say is given what there is.
    pub(super) fn is_due(&self, member: MemberId, head: &Head, data: &Bytes) -> bool {
        if !self.is_learner(member) {
            return true;
        }
        if plants::is(CorePlant::RulesOfTheMoment) && head.actor.member != member {
            return self.holders_now(data).is_none_or(|holders| holders.members.contains(&member));
        }
        head.names(member)
    }

    /// Who would hold an entry that is written now.
    fn holders_now(&self, data: &Bytes) -> Option<Holders> {
        let submissions = crate::entry::unpack_causal(data).ok()?;
        submissions.iter().find_map(|submission: &Submission| self.selective.selection.holders(submission))
    }

    /// Whether an entry that another member gives may stand here as it is: no stub of what is to be held.
    pub(super) fn may_take(&self, id: OriginId, counter: u64, head: &Head, data: &Bytes) -> bool {
        let as_stub = || !self.is_due(self.config.me, head, data) || self.origins[id.at()].unheld.contains(counter);
        !stub::is_stub(data) || head.holders.is_some() && as_stub()
    }

    /// In which form what is asked for is of use.
    pub(super) fn form_of(&self, id: OriginId, counter: u64) -> Form {
        let origin = &self.origins[id.at()];
        // Without rules there are none, and older versions know no forms.
        let votes = !self.is_learner(self.config.me) && (!origin.stubs.is_empty() || self.rules_version() > Index(0));
        match votes || origin.wanted.contains(counter) {
            _ if origin.unheld.contains(counter) => Form::Any,
            true => Form::Whole,
            false => Form::AsDue,
        }
    }

    /// An entry as a member that asks for it is given it: whole, as its stub, or not.
    pub(super) fn given(&self, to: MemberId, (id, counter): (OriginId, u64), form: Form, (data, context): (Bytes, Bytes)) -> Option<(Bytes, Bytes)> {
        if form == Form::Any || !Head::has_holders(&context) {
            return Some((data, context));
        }
        let head = Head::decode(&context).ok()?;
        if form == Form::Whole || self.is_due(to, &head, &data) {
            return (!stub::is_stub(&data)).then_some((data, context));
        }
        // A stub that is here was given for what a majority held.
        let given = stub::is_stub(&data) || self.majority_holds(id, counter) || plants::is(CorePlant::StubsGivenEarly);
        if given { Some((stub::of(&data)?, context)) } else { None }
    }

    fn majority_holds(&self, id: OriginId, counter: u64) -> bool {
        let holds = |member: &MemberId| match *member == self.config.me {
            true => self.origins[id.at()].held() >= counter,
            false => self.peers.get(member).is_some_and(|peer| peer.holds.get(id) >= counter),
        };
        let voters = self.voters();
        2 * voters.iter().filter(|member| holds(member)).count() > voters.len()
    }

    /// Whether this member has an entry as another one needs it.
    pub(super) fn has_for(&self, member: MemberId, id: OriginId, counter: u64) -> bool {
        let origin = &self.origins[id.at()];
        if !origin.has(counter) || !self.selective.has_stubs || counter < origin.first {
            return origin.has(counter);
        }
        let read = self.readable(origin.group, counter, counter, u64::MAX);
        let entry = read.as_ref().and_then(|read| read.first()).filter(|entry| stub::is_stub(&entry.data));
        let head = entry.and_then(|entry| Some((Head::decode(&entry.context).ok()?, &entry.data)));
        head.is_none_or(|(head, data)| !self.is_due(member, &head, data))
    }

    /// Whether an entry is what the stub here stands for.
    pub(super) fn fits_stub(&self, id: OriginId, counter: u64, data: &Bytes) -> bool {
        let read = self.readable(self.origins[id.at()].group, counter, counter, u64::MAX);
        let here = read.as_ref().and_then(|read| read.first()).map(|entry| &entry.data);
        !stub::is_stub(data) && here.is_some_and(|here| stub::of(data).as_ref() == Some(here))
    }

    /// An entry is on its way to disk.
    pub(super) fn note_stub(&mut self, id: OriginId, counter: u64, data: &Bytes) {
        if !stub::is_stub(data) {
            return;
        }
        // In the same write, and so not after it.
        self.note_possible();
        let ticks = self.ticks;
        let origin = &mut self.origins[id.at()];
        origin.wanted_since = ticks;
        if origin.stubs.iter().len() < RANGES_MAX || origin.stubs.contains(counter.saturating_sub(1)) {
            origin.stubs.insert(counter, counter);
        } else {
            origin.looked = origin.looked.min(counter - 1);
        }
    }

    /// Has the log say that there may be stubs in it.
    pub(super) fn note_possible(&mut self) {
        if !std::mem::replace(&mut self.selective.has_stubs, true) {
            let group = GroupId(self.next_group);
            self.next_group += 1;
            self.ops.push(Op::HardState { group, state: HAS_STUBS });
        }
    }

    /// An entry that was lost or wanted is back on disk.
    pub(super) fn note_mended(&mut self, id: OriginId, counter: u64, is_stub: bool) {
        let ticks = self.ticks;
        let origin = &mut self.origins[id.at()];
        let mended = Ranges::of(counter, counter);
        (origin.lost, origin.mending) = (origin.lost.without(&mended), origin.mending.without(&mended));
        if !is_stub {
            (origin.stubs, origin.wanted, origin.unheld) = (origin.stubs.without(&mended), origin.wanted.without(&mended), origin.unheld.without(&mended));
            origin.wanted_since = ticks;
            self.recent.forget(origin.group, Index(counter));
        }
    }

    /// After an open, what a hard state of the log says.
    pub(super) fn note_marker(&mut self, state: &HardState) {
        self.selective.has_stubs |= *state == HAS_STUBS;
    }

    /// Begins to look through the logs that an open has found.
    pub(super) fn begin_looking(&mut self) {
        if self.selective.has_stubs {
            self.origins.iter_mut().for_each(|origin| origin.looked = origin.first.saturating_sub(1));
        }
    }

    /// Looks on for stubs, a page at a time, and has a voter fetch what it knows of.
    pub(super) fn tick_stubs(&mut self) {
        if !self.selective.has_stubs {
            return;
        }
        let next = |origin: &super::Origin| origin.looked < origin.known_here() && origin.stubs.iter().len() < RANGES_MAX;
        if let Some(at) = self.origins.iter().position(next) {
            self.look_on(OriginId(at as u16));
        }
        if self.fetches_all() {
            for origin in &mut self.origins {
                match origin.unheld.is_empty() {
                    true if origin.wanted == origin.stubs => {}
                    true => origin.wanted = origin.stubs.clone(),
                    false => {
                        origin.wanted = origin.stubs.without(&origin.unheld);
                        origin.forget_gone();
                    }
                }
            }
        }
    }

    /// Whether whatever this member has stubs of is to be had whole.
    pub(super) fn fetches_all(&self) -> bool {
        !self.is_learner(self.config.me) && !plants::is(CorePlant::StubsKept)
    }

    /// Members that do not hold what they know of, or what somebody held some seconds ago, or have not said so in this life
    /// of both.
    pub fn fetching(&self) -> BTreeSet<MemberId> {
        let lacks = |peer: &Peer| !peer.has_told || !peer.holds.covers(&self.held_before) || !peer.holds.covers(&peer.knows);
        let others = self.peers.iter().filter(|(_, peer)| lacks(peer)).map(|(id, _)| *id);
        let here = self.held_before.iter().any(|(id, counter)| self.origins[id.at()].held() < counter) || self.origins.iter().any(|origin| origin.held() < origin.known_here());
        others.chain(here.then_some(self.config.me)).collect()
    }

    /// Notes now and then what anybody holds, as it was a while ago.
    pub(super) fn tick_held(&mut self) {
        // More often at first: after a start little is known.
        let every = if self.ticks < 2 * HELD_TICKS { HELD_TICKS / 5 } else { HELD_TICKS };
        if self.ticks % every != 1 {
            return;
        }
        let mut now = Clock::default();
        for (at, origin) in self.origins.iter().enumerate() {
            let id = OriginId(at as u16);
            let most = self.peers.values().filter(|peer| peer.up).map(|peer| peer.holds.get(id)).max();
            now.set(id, origin.held().max(most.unwrap_or(0)));
        }
        self.held_before = match self.ticks {
            1 => now.clone(),
            _ => std::mem::take(&mut self.held_lately),
        };
        self.held_lately = now;
    }

    fn look_on(&mut self, id: OriginId) {
        let origin = &self.origins[id.at()];
        let (group, first, last) = (origin.group, origin.looked.max(origin.first.saturating_sub(1)) + 1, origin.known_here());
        let read = if first <= last { self.readable(group, first, last, super::delivery::PAGE_BYTES) } else { Some(Vec::new()) };
        let Some(entries) = read else {
            // It is noted when it is back.
            self.origins[id.at()].looked = first;
            return self.unreadable(group, Index(first));
        };
        let origin = &mut self.origins[id.at()];
        origin.looked = origin.looked.max(first - 1);
        for entry in entries {
            if stub::is_stub(&entry.data) {
                origin.stubs.insert(entry.index.0, entry.index.0);
            }
            origin.looked = entry.index.0;
        }
        if origin.looked >= origin.last {
            origin.looked = u64::MAX;
        }
    }

    /// Has an entry fetched whole that is known here and not held. False where it is held, or nothing is known of it.
    pub fn fetch(&mut self, actor: Actor, counter: u64) -> bool {
        let Some(id) = self.by_actor.get(&actor).copied() else { return false };
        let origin = &self.origins[id.at()];
        if counter < origin.first || counter > origin.known_here() || origin.unheld.contains(counter) || origin.wanted.iter().len() >= RANGES_MAX {
            return false;
        }
        let read = self.readable(origin.group, counter, counter, u64::MAX);
        let is_stub = read.as_ref().and_then(|read| read.first()).is_some_and(|entry| stub::is_stub(&entry.data));
        if is_stub {
            self.origins[id.at()].wanted.insert(counter, counter);
        }
        is_stub
    }

    /// What was to be fetched and has gone everywhere is not wanted any more where its stub was enough. False for what is
    /// missing here.
    pub(super) fn lets_go(&mut self, id: OriginId, missing: u64, first: u64) -> bool {
        let is_known = self.is_learner(self.config.me) && self.origins[id.at()].wanted.contains(missing);
        if is_known {
            let origin = &mut self.origins[id.at()];
            origin.wanted = origin.wanted.without(&Ranges::of(1, first - 1));
        }
        is_known
    }

    /// What is known here, whole or as stubs.
    pub fn known_here(&self) -> impl Iterator<Item = (Actor, u64)> + '_ {
        self.origins.iter().map(|origin| (origin.actor, origin.known_here()))
    }
}
