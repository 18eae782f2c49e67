//! What ordered events follow, as readers of their journals wait for it (rule R6): it is fetched like anything else that is
//! missing, and given up where nobody has it any more.
//!
//! A majority had it on disk before a leader was handed the event. So it comes, unless more than a minority has lost its
//! disks, was removed, or was left behind by `recover`. Then every member that is left says that it does not have it; waiting
//! for it would hold up the journal for ever (docs/decisions/0026). So it is with what is to be had whole, and of which there
//! are only stubs (docs/decisions/0034).

use super::actor::{Actor, Clock, OriginId};
use super::message::{HeldAnswer, HeldQuery, Pull};
use super::origin::Pulling;
use super::{Lane, OriginView, ORIGINS_MAX};
use crate::event::Submission;
use crate::ids::MemberId;
use crate::membership::Role;
use crate::ordered::store::EntryReader;
use crate::peer::frame::{Channel, FrameKind};
use crate::plants::{self, CorePlant};
use std::collections::{BTreeMap, BTreeSet};

/// Ticks that something is waited for before all members are asked whether they have it, and that they have to answer.
/// The simulator's histories are short.
const PATIENCE_TICKS: u64 = if cfg!(feature = "plants") { 50 } else { 200 };

/// Entries that are asked for at a time of which there may be only stubs.
const ASKED_WHOLE_MAX: usize = 32;

/// Invariant: `gone` of an origin is at most what was waited for.
pub struct Followed {
    /// Of each origin the last entry that a reader waits for, and since which tick one of it is waited for.
    wanted: BTreeMap<OriginId, (u64, u64)>,
    /// Question to all members, the tick at which it was asked, and who has answered. Its number is no other life's.
    round: u64,
    asked_at: u64,
    /// Of each origin the entry that was asked for, as long as nobody has it.
    asked: BTreeMap<OriginId, u64>,
    answered: BTreeSet<MemberId>,
    /// What is to be had whole and was asked for, as long as nobody has it so.
    asked_whole: BTreeSet<(OriginId, u64)>,
    /// Up to where nobody has what was waited for.
    gone: Clock,
    gone_moved: bool,
}

impl Followed {
    pub fn new(life: u64) -> Self {
        Self {
            wanted: BTreeMap::new(),
            round: life,
            asked_at: 0,
            asked: BTreeMap::new(),
            answered: BTreeSet::new(),
            asked_whole: BTreeSet::new(),
            gone: Clock::default(),
            gone_moved: false,
        }
    }
}

impl<R: EntryReader> Lane<R> {
    /// Somebody waits for these entries to be delivered here.
    pub fn want(&mut self, follows: impl IntoIterator<Item = (Actor, u64)>) {
        for (actor, counter) in follows {
            let Some(id) = self.origin_of(actor) else { continue };
            if self.delivered.get(id) >= counter || self.followed.gone.get(id) >= counter {
                continue;
            }
            let ticks = self.ticks;
            // What comes later waits for the same, and puts nothing off.
            let wanted = self.followed.wanted.entry(id).or_insert((counter, ticks));
            wanted.0 = wanted.0.max(counter);
            // Of its own log a member has all there is, or is about to learn that it does not.
            if Some(id) != self.me {
                let origin = &mut self.origins[id.at()];
                origin.known = origin.known.max(counter);
            }
        }
    }

    /// Asks all members for what holds up that which is waited for long: only who has said so since then does not have it.
    pub(super) fn tick_followed(&mut self) {
        let (delivered, ticks) = (&self.delivered, self.ticks);
        self.followed.wanted.retain(|id, (counter, _)| delivered.get(*id) < *counter);
        // As long as an answer may take.
        let farthest = self.lines.iter().filter(|(id, line)| !line.is_stuck && self.peers.get(id).is_some_and(|peer| peer.up)).map(|(_, line)| line.distance).max();
        if ticks < self.followed.asked_at + PATIENCE_TICKS.max(2 * farthest.unwrap_or(0)) {
            return;
        }
        let long: Vec<OriginId> = self.followed.wanted.iter().filter(|(_, (_, since))| ticks >= since + PATIENCE_TICKS).map(|(id, _)| *id).collect();
        let asked: BTreeMap<OriginId, u64> = long.into_iter().filter_map(|id| self.missing_of(id)).collect();
        let asked_whole = self.long_not_whole();
        if asked.is_empty() && asked_whole.is_empty() {
            return;
        }
        let both = asked.iter().map(|(id, counter)| (*id, *counter)).chain(asked_whole.iter().copied());
        let list = both.map(|(id, counter)| (self.origins[id.at()].actor, counter)).collect();
        let followed = &mut self.followed;
        (followed.round, followed.asked_at) = (followed.round.wrapping_add(1), ticks);
        (followed.asked, followed.asked_whole) = (asked, asked_whole);
        followed.answered.clear();
        let query = HeldQuery { from: self.config.life, number: followed.round, list };
        let members: Vec<MemberId> = self.peers.iter().filter(|(_, peer)| peer.up).map(|(id, _)| *id).collect();
        for member in members {
            // Behind the entries that were sent to it before, as its answer is behind those that it has sent: none of them is still
            // on its way when both say that they do not have it. The other channel would overtake them.
            self.send(member, Channel::Bulk, FrameKind::HeldQuery, |out| query.encode(out));
        }
        self.give_up_what_is_gone();
    }

    pub(super) fn receive_held_query(&mut self, from: MemberId, query: HeldQuery) {
        if self.peers.get(&from).is_some_and(|peer| peer.life.is_none_or(|life| life == query.from)) {
            let has = |(actor, counter): &(Actor, u64)| self.by_actor.get(actor).is_some_and(|id| self.has_for(from, *id, *counter));
            let list = query.list.into_iter().filter(has).collect();
            let answer = HeldAnswer { from: self.config.life, number: query.number, table: self.table.version, list };
            self.send(from, Channel::Bulk, FrameKind::HeldAnswer, |out| answer.encode(out));
        }
    }

    pub(super) fn receive_held_answer(&mut self, from: MemberId, answer: &HeldAnswer) {
        let is_its = self.peers.get(&from).is_some_and(|peer| peer.life == Some(answer.from));
        // Who has a newer table may know of a member that is not in this one, and was not asked.
        if !is_its || answer.number != self.followed.round || answer.table > self.table.version {
            return;
        }
        self.followed.answered.insert(from);
        for (actor, counter) in &answer.list {
            let Some(id) = self.by_actor.get(actor).copied() else { continue };
            let followed = &mut self.followed;
            let waits = followed.asked.get(&id) == Some(counter);
            if waits {
                followed.asked.remove(&id);
            }
            if followed.asked_whole.remove(&(id, *counter)) || waits {
                self.pull_from(from, id, *counter);
            }
        }
        self.give_up_what_is_gone();
    }

    /// Whoever has an entry may have lost some in front of it, and so does not tell of it.
    fn pull_from(&mut self, from: MemberId, id: OriginId, first: u64) {
        if plants::is(CorePlant::NothingFetched) {
            return;
        }
        let ticks = self.ticks;
        let origin = &mut self.origins[id.at()];
        let is_wanted = origin.wanted.contains(first);
        if origin.pulling.is_none() && (is_wanted || !origin.has(first)) {
            origin.known = origin.known.max(first);
            origin.pulling = Some(Pulling { from, first, since: ticks, may_be_lost: false });
            let (actor, last) = (origin.actor, if is_wanted { first } else { origin.known });
            let pull = Pull { actor, first, last, form: self.form_of(id, first) };
            self.send(from, Channel::Bulk, FrameKind::Pull, |out| pull.encode(out));
        }
    }

    fn give_up_what_is_gone(&mut self) {
        let me = self.config.me;
        let mut others = self.table.iter().filter(|(id, row)| *id != me && row.role != Role::Removed);
        let said_so = others.all(|(id, _)| self.followed.answered.contains(&id));
        if plants::is(CorePlant::NothingGivenUp) || self.table.is_empty() || !self.ids.is_complete() || !said_so && !plants::is(CorePlant::UnheldUnasked) {
            return;
        }
        for (id, counter) in std::mem::take(&mut self.followed.asked_whole) {
            let origin = &mut self.origins[id.at()];
            origin.unheld.insert(counter, counter);
            origin.in_vain = None;
        }
        if !said_so {
            return;
        }
        let asked_at = self.followed.asked_at;
        let waited: Vec<(OriginId, u64)> = self.followed.wanted.iter().filter(|(_, (_, since))| *since < asked_at).map(|(id, (counter, _))| (*id, *counter)).collect();
        for (id, counter) in waited {
            if self.missing_of(id).is_some_and(|(of, missing)| self.followed.asked.get(&of) == Some(&missing)) {
                self.followed.wanted.remove(&id);
                self.followed.gone.raise(id, counter);
                self.followed.gone_moved = true;
            }
        }
    }

    /// What a voter has had stubs of for long, and what is known elsewhere and does not come here.
    fn long_not_whole(&self) -> BTreeSet<(OriginId, u64)> {
        let is_old = |since: u64| self.ticks >= since + PATIENCE_TICKS;
        let mut list = BTreeSet::new();
        for (at, origin) in self.origins.iter().enumerate() {
            if origin.wanted.is_empty() && origin.stuck.is_none() {
                // As nearly all are, in each tick.
                continue;
            }
            let id = OriginId(at as u16);
            let wanted = origin.wanted.without(&origin.mending);
            let stubs = wanted.iter().filter(|_| is_old(origin.wanted_since) && self.fetches_all());
            let known = self.peers.values().filter(|peer| peer.up).map(|peer| peer.knows(id)).max().unwrap_or(0);
            let missing = origin.missing().filter(|_| origin.stuck.is_some_and(|(_, since)| is_old(since)));
            let missing = missing.map(|(first, last)| (first, last.min(known))).filter(|(first, last)| first <= last);
            let counters = stubs.chain(missing).flat_map(|(first, last)| first..=last).filter(|counter| !origin.unheld.contains(*counter));
            list.extend(counters.take(ASKED_WHOLE_MAX - list.len()).map(|counter| (id, counter)));
        }
        list
    }

    /// What holds up an origin's next entry, itself or something in its past, where that is not here.
    fn missing_of(&self, id: OriginId) -> Option<(OriginId, u64)> {
        let mut at = id;
        // What one waits for is in its past, so that no origin comes twice.
        for _ in 0..self.origins.len() {
            let origin = &self.origins[at.at()];
            let next = origin.delivered + 1;
            if next > origin.ready() {
                return (!origin.has(next)).then_some((at, next));
            }
            (at, _) = *origin.waiting.front()?.iter().find(|(of, counter)| self.delivered.get(*of) < *counter)?;
        }
        None
    }

    /// Entries that readers wait for, by their origins.
    pub fn wanted(&self) -> usize {
        self.followed.wanted.len()
    }

    /// What nobody has any more, when that has changed since the last call.
    pub fn take_gone(&mut self) -> Option<&Clock> {
        std::mem::take(&mut self.followed.gone_moved).then_some(&self.followed.gone)
    }
}

/// What was delivered here, as readers of the ordered lane ask for it.
pub struct Delivered {
    by_actor: BTreeMap<Actor, u64>,
    /// There are more origins than a member keeps logs of.
    full: bool,
}

impl Delivered {
    /// `gone`: what nobody has any more counts as delivered, as what was cut does.
    pub fn of(origins: &[OriginView], delivered: &Clock, gone: &Clock) -> Self {
        let row = |(at, origin): (usize, &OriginView)| {
            let id = OriginId(at as u16);
            (origin.actor, delivered.get(id).max(gone.get(id)))
        };
        Self { by_actor: origins.iter().enumerate().map(row).collect(), full: origins.len() >= ORIGINS_MAX }
    }

    /// What a submission follows that was not delivered.
    pub fn lacks(&self, submission: &Submission) -> Vec<(Actor, u64)> {
        if plants::is(CorePlant::FollowsIgnored) {
            return Vec::new();
        }
        let is_lacking = |(actor, counter): &(Actor, u64)| match self.by_actor.get(actor) {
            Some(known) => known < counter,
            // No log is kept of it: nothing of it can ever be delivered here.
            None => !self.full,
        };
        submission.follows().filter(is_lacking).collect()
    }
}
