//! Whether the members have applied the same (rules R3 and R13 rest on it; always on). Each keeps the running hash of what
//! it applied, entry by entry; a few times a second all tell each other theirs. The hash covers all before it, so that one
//! comparison covers everything, and where two differ the first entry at which they do is found by halving.
//!
//! The members then say what they had at that entry. Whoever differs from a majority of the voters *isolates* itself;
//! without a majority nobody can tell who is right, and all say so.
//!
//! *Consistency* is the share of (event, member) pairs that agreed within a second of being applied here, over the last
//! minute. A member that is away agrees with nobody.
//!
//! Left out: what to do about a member that differs (an operator replaces it, or starts it again from what its disk
//! holds), and frames (`checking`).

use crate::ids::{Index, MemberId};
use crate::ordered::conf::Conf;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Entries whose hashes are kept.
const HASHES: usize = 64 * 1024;
/// Ticks between two reports.
pub const REPORT_TICKS: u64 = 20;
/// Ticks after which a report is said again though nothing was applied since: the one before may have been lost.
const REPEAT_TICKS: u64 = 500;
/// Ticks within which a member has to agree.
const AGREE_TICKS: u64 = 100;
const MINUTE_TICKS: u64 = 6_000;
/// Ticks after which a question counts as lost.
const ASK_TICKS: u64 = 50;
/// Hashes in one answer at most.
pub const ANSWER_HASHES: u64 = 256;
/// Reports of one member that wait until as much is applied here.
const EARLY_REPORTS: usize = 16;

/// Events applied between two reports.
struct Bucket {
    at: u64,
    through: Index,
    events: u64,
    agreed: BTreeSet<MemberId>,
}

/// What another member was last heard to have.
#[derive(Default)]
struct Peer {
    agreed: Index,
    early: VecDeque<(Index, u64)>,
}

/// Looking for the first difference from a member: different at `high`, and equal at `low` or, not `verified`, unknown.
struct Search {
    with: MemberId,
    low: u64,
    high: u64,
    verified: bool,
    asked_at: u64,
    in_vain: u32,
}

/// A difference from one member, and what all had at an entry from which on it shows.
struct Found {
    first: Index,
    exact: bool,
    /// The first difference, or, for those who do not keep what they had there, a later entry.
    judged: Index,
    /// What this member had then; not yet, where it has not applied as much.
    own: Option<u64>,
    said: BTreeMap<MemberId, u64>,
    asked_at: u64,
}

impl Found {
    /// Moves the judgement to an entry that everybody keeps.
    fn judge_at(&mut self, index: Index) {
        (self.judged, self.own) = (index, None);
        self.said.clear();
    }

    /// Those that differ from what a majority of the voters has.
    fn minority(&self, me: MemberId, voters: &[MemberId]) -> Vec<MemberId> {
        let of = |member: &MemberId| if *member == me { self.own } else { self.said.get(member).copied() };
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        voters.iter().filter_map(of).for_each(|hash| *counts.entry(hash).or_default() += 1);
        let Some((right, _)) = counts.into_iter().find(|(_, count)| 2 * count > voters.len()) else { return Vec::new() };
        let everybody = self.said.keys().copied().chain([me]);
        everybody.filter(|member| of(member).is_some_and(|hash| hash != right)).collect()
    }
}

/// Members that have not applied the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// First entry at which they differ; where `exact` is not set, it may be an earlier one that is not kept any more.
    pub first: Index,
    pub exact: bool,
    /// Those that differ from a majority of the voters; empty where there is no majority that agrees.
    pub minority: Vec<MemberId>,
}

/// Hashes `from`, `from + stride` and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    pub from: Index,
    pub stride: u64,
    pub hashes: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Say {
    Report { to: MemberId, index: Index, hash: u64 },
    Ask { to: MemberId, low: Index, high: Index },
}

#[derive(Default)]
pub struct Agreement {
    /// Index of the first of `hashes`, which are contiguous.
    first: u64,
    hashes: VecDeque<u64>,
    reported: Index,
    reported_at: u64,
    events: u64,
    /// Who compares, as of which configuration: asked for every tick.
    others: (Option<Arc<Conf>>, Arc<BTreeSet<MemberId>>),
    peers: BTreeMap<MemberId, Peer>,
    buckets: VecDeque<Bucket>,
    /// Pairs that agreed and all pairs, by the tick they were judged at.
    minute: VecDeque<(u64, u64, u64)>,
    search: Option<Search>,
    /// By the member that was seen to differ.
    found: BTreeMap<MemberId, Found>,
    /// Differences found since the start.
    pub divergences: u64,
}

impl Agreement {
    /// What is applied at the start, or with a snapshot.
    pub fn begin(&mut self, index: Index, hash: u64, events: u64) {
        self.first = index.0;
        self.hashes = VecDeque::from([hash]);
        self.events = events;
        self.buckets.clear();
        // What was compared is not what this member has now; what still differs is found again.
        self.search = None;
        self.found.clear();
    }

    /// The other members of a configuration.
    pub fn others(&mut self, conf: &Arc<Conf>, me: MemberId) -> Arc<BTreeSet<MemberId>> {
        if !self.others.0.as_ref().is_some_and(|known| Arc::ptr_eq(known, conf)) {
            let mut others = conf.members();
            others.remove(&me);
            self.others = (Some(conf.clone()), Arc::new(others));
        }
        self.others.1.clone()
    }

    /// An entry was applied.
    pub fn note(&mut self, index: Index, hash: u64) {
        debug_assert_eq!(index.0, self.first + self.hashes.len() as u64, "entries are applied one after another");
        self.hashes.push_back(hash);
        if self.hashes.len() > HASHES {
            self.hashes.pop_front();
            self.first += 1;
        }
    }

    fn applied(&self) -> u64 {
        self.first + self.hashes.len() as u64 - 1
    }

    pub fn hash_at(&self, index: u64) -> Option<u64> {
        self.hashes.get(index.checked_sub(self.first)? as usize).copied()
    }

    /// Whether this tick has anything to do; most have not.
    pub fn is_due(&self, ticks: u64) -> bool {
        let judged = self.buckets.front().is_some_and(|bucket| ticks > bucket.at + AGREE_TICKS);
        ticks % REPORT_TICKS == 0 || judged || self.search.is_some() || !self.found.is_empty()
    }

    /// What to say now. `ticks` counts all ticks, `events` what was applied in all.
    pub fn tick(&mut self, ticks: u64, events: u64, others: &BTreeSet<MemberId>) -> Vec<Say> {
        let mut say = Vec::new();
        if self.hashes.is_empty() {
            return say;
        }
        self.peers.retain(|member, _| others.contains(member));
        self.found.retain(|member, _| others.contains(member));
        if ticks % REPORT_TICKS == 0 {
            self.report(ticks, events, others, &mut say);
        }
        self.judge(ticks, others);
        if let Some(search) = self.search.as_mut().filter(|search| ticks >= search.asked_at + ASK_TICKS) {
            search.asked_at = ticks;
            search.in_vain += 1;
            say.push(Say::Ask { to: search.with, low: Index(search.low + 1), high: Index(search.high) });
        }
        for found in self.found.values_mut().filter(|found| ticks >= found.asked_at + ASK_TICKS) {
            found.asked_at = ticks;
            found.said.retain(|member, _| others.contains(member));
            let unheard = others.iter().filter(|member| !found.said.contains_key(*member));
            say.extend(unheard.map(|to| Say::Ask { to: *to, low: found.judged, high: found.judged }));
        }
        self.look_up_own();
        if self.search.as_ref().is_some_and(|search| search.in_vain > 3) {
            self.settle_search(false, ticks);
        }
        say
    }

    fn report(&mut self, ticks: u64, events: u64, others: &BTreeSet<MemberId>, say: &mut Vec<Say>) {
        let applied = Index(self.applied());
        let more = events.saturating_sub(self.events);
        self.events = events;
        if more > 0 {
            self.buckets.push_back(Bucket { at: ticks, through: applied, events: more, agreed: BTreeSet::new() });
            // What others told before it was applied here.
            for (member, peer) in &self.peers {
                if let Some(bucket) = self.buckets.back_mut().filter(|bucket| peer.agreed >= bucket.through) {
                    bucket.agreed.insert(*member);
                }
            }
        }
        let due = applied != self.reported || ticks >= self.reported_at + REPEAT_TICKS;
        if let (true, Some(hash)) = (due, self.hashes.back()) {
            (self.reported, self.reported_at) = (applied, ticks);
            say.extend(others.iter().map(|to| Say::Report { to: *to, index: applied, hash: *hash }));
        }
    }

    /// Counts the pairs whose time is over.
    fn judge(&mut self, ticks: u64, others: &BTreeSet<MemberId>) {
        while self.buckets.front().is_some_and(|bucket| ticks > bucket.at + AGREE_TICKS) {
            let Some(bucket) = self.buckets.pop_front() else { break };
            let agreed = 1 + bucket.agreed.iter().filter(|member| others.contains(member)).count() as u64;
            self.minute.push_back((ticks, bucket.events * agreed, bucket.events * (1 + others.len() as u64)));
        }
        while self.minute.front().is_some_and(|(at, _, _)| ticks > at + MINUTE_TICKS) {
            self.minute.pop_front();
        }
    }

    /// (Event, member) pairs of the last minute: those that agreed in time, and all.
    pub fn pairs(&self) -> (u64, u64) {
        self.minute.iter().fold((0, 0), |(agreed, all), one| (agreed + one.1, all + one.2))
    }

    /// Another member's hash at an index.
    pub fn told(&mut self, from: MemberId, index: Index, hash: u64, ticks: u64) {
        let applied = self.applied();
        let peer = self.peers.entry(from).or_default();
        if index.0 > applied {
            if peer.early.len() >= EARLY_REPORTS {
                peer.early.pop_front();
            }
            peer.early.push_back((index, hash));
            return;
        }
        match self.hash_at(index.0) {
            Some(own) if own == hash => self.agrees(from, index),
            Some(_) => self.differs(from, index, ticks),
            // Too long ago to be compared: a later report will tell.
            None => {}
        }
    }

    /// Reports that came before as much was applied here.
    pub fn catch_up(&mut self, ticks: u64) {
        if self.hashes.is_empty() {
            return;
        }
        let applied = self.applied();
        let mut due = Vec::new();
        for (member, peer) in &mut self.peers {
            peer.early.retain(|(index, hash)| {
                let early = index.0 > applied;
                if !early {
                    due.push((*member, *index, *hash));
                }
                early
            });
        }
        due.into_iter().for_each(|(member, index, hash)| self.told(member, index, hash, ticks));
    }

    fn agrees(&mut self, from: MemberId, index: Index) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.agreed = peer.agreed.max(index);
        }
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.through <= index) {
            bucket.agreed.insert(from);
        }
        // The hash runs: what is equal here was equal before, or is so again after a new start.
        self.found.retain(|member, found| *member != from || found.judged > index);
        for found in self.found.values_mut().filter(|found| found.judged <= index) {
            if let Some(own) = found.own {
                found.said.insert(from, own);
            }
        }
    }

    /// Own hashes that are judged, kept for as long as the difference lasts.
    fn look_up_own(&mut self) {
        let (first, hashes) = (self.first, &self.hashes);
        for found in self.found.values_mut().filter(|found| found.own.is_none()) {
            found.own = found.judged.0.checked_sub(first).and_then(|at| hashes.get(at as usize).copied());
        }
    }

    fn differs(&mut self, from: MemberId, index: Index, ticks: u64) {
        if self.found.contains_key(&from) || self.search.is_some() {
            return;
        }
        let agreed = self.peers.get(&from).map_or(0, |peer| peer.agreed.0);
        let (low, verified) = (agreed.max(self.first - 1), agreed > 0 && agreed + 1 >= self.first);
        let asked_at = ticks.saturating_sub(ASK_TICKS);
        self.search = Some(Search { with: from, low, high: index.0, verified, asked_at, in_vain: 0 });
        self.divergences += 1;
        if low + 1 >= index.0 {
            self.settle_search(verified, ticks);
        }
    }

    /// The first difference is as near as it can be found.
    fn settle_search(&mut self, exact: bool, ticks: u64) {
        let Some(search) = self.search.take() else { return };
        let first = Index(search.high);
        let asked_at = ticks.saturating_sub(ASK_TICKS);
        self.found.insert(search.with, Found { first, exact, judged: first, own: None, said: BTreeMap::new(), asked_at });
        self.look_up_own();
    }

    /// Own hashes from `low` to `high`, thinned out to an answer's size, the last one included.
    pub fn between(&self, low: Index, high: Index) -> Hashes {
        let low = low.0.max(self.first);
        let high = if self.hashes.is_empty() { 0 } else { high.0.min(self.applied()) };
        let stride = (high + 1).saturating_sub(low).div_ceil(ANSWER_HASHES).max(1);
        let hashes = (low..=high).step_by(stride as usize).filter_map(|index| self.hash_at(index)).collect();
        Hashes { from: Index(low), stride, hashes }
    }

    /// Another member's hashes, as it was asked for them.
    pub fn answered(&mut self, from: MemberId, answer: &Hashes, ticks: u64) {
        // Whoever answers may name any numbers.
        let place = |at: u64| answer.from.0.checked_add(answer.stride.max(1).checked_mul(at)?);
        let told: Vec<(u64, u64)> = (0..).zip(&answer.hashes).map_while(|(at, hash)| Some((place(at)?, *hash))).collect();
        self.take_verdicts(from, answer);
        let compared: Vec<(u64, bool)> =
            told.iter().filter_map(|(index, hash)| Some((*index, self.hash_at(*index)? == *hash))).collect();
        let Some(search) = self.search.as_mut().filter(|search| search.with == from) else { return };
        for (index, same) in compared {
            match same {
                true if index < search.high && index >= search.low => (search.low, search.verified) = (index, true),
                false if index > search.low => search.high = search.high.min(index),
                _ => {}
            }
        }
        // The next question at once.
        search.asked_at = ticks.saturating_sub(ASK_TICKS);
        let (low, high, verified, gone) = (search.low, search.high, search.verified, answer.from.0 > search.low + 1);
        if low + 1 >= high {
            self.settle_search(verified, ticks);
        } else if gone && answer.from.0 >= high {
            self.settle_search(false, ticks);
        }
    }

    /// What another member had at entries that are judged. One that does not keep as much has the judgement moved to the
    /// first entry that it does keep.
    fn take_verdicts(&mut self, from: MemberId, answer: &Hashes) {
        let mut asked = false;
        for found in self.found.values_mut().filter(|found| found.judged == answer.from) {
            asked = true;
            if let Some(hash) = answer.hashes.first() {
                found.said.insert(from, *hash);
            }
        }
        if asked || !answer.hashes.is_empty() {
            return;
        }
        for found in self.found.values_mut().filter(|found| found.judged < answer.from && !found.said.contains_key(&from)) {
            found.judge_at(answer.from);
        }
        self.look_up_own();
    }

    /// What is known of differences. `voters` have a say in who is right.
    pub fn divergence(&self, me: MemberId, voters: &[MemberId]) -> Option<Divergence> {
        let earliest = self.found.values().min_by_key(|found| found.first)?;
        let wrong: BTreeSet<MemberId> = self.found.values().flat_map(|found| found.minority(me, voters)).collect();
        Some(Divergence { first: earliest.first, exact: earliest.exact, minority: wrong.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests;
