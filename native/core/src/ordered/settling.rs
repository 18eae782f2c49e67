//! A member whose last batch was torn (rule L2; Alagappan et al. 2018, protocol-aware recovery): it may have acknowledged
//! what it has lost, so that its vote could help a log to leadership which lacks a committed entry; and what it has lost
//! may have been a vote, so that it does not know what term it is in.
//!
//! First the terms: whom a lost vote went to is one of the others, and had its own term on disk before it asked. So once
//! all of them have said what terms they are in, none of these is voted in any more; until then nothing is acknowledged,
//! not even a heartbeat, since a deposed leader could count it. Then the log:
//!
//! Until its log is known to reach as far as a leader's that was elected without it, it neither votes nor stands. Where no
//! such leader can come, because too many were torn at once, all logs decide: what is on none of the disks is lost anyway.
//! Each member's request for votes tells how far its log goes. A torn member that has heard all of them on the present
//! connections votes for a log that none is ahead of, and later stands, which tells of its own log, but takes votes only
//! if none is ahead of that. Connections alone prove nothing: a paused member with a whole log is connected too.

use crate::ids::{Index, MemberId};
use raft::eraftpb::{Message, MessageType};
use std::collections::{BTreeMap, BTreeSet};

/// Election timeouts, with all members linked and nobody leading, after which a torn member stands.
const STANDS_AFTER: usize = 6;

/// A log as raft compares it: term and index of its last entry.
type End = (u64, u64);

/// Invariant: `waited_ticks` counts the last ticks without a break with all of `others` linked and no leader known.
pub struct Settling {
    others: BTreeSet<MemberId>,
    /// Not known to be a voter: it has a configuration that says so, or none at all. Nobody counts on it but who says so.
    learner: bool,
    /// Members that have said that they do not count on it.
    count_not: BTreeSet<MemberId>,
    /// Where `others` were told by a member that has applied more; zero: they are of the own log.
    as_of: Index,
    /// Voters of the own log that are none any more: what they say does not count.
    left_out: BTreeSet<MemberId>,
    linked: BTreeSet<MemberId>,
    /// Own term and log of the members that have asked for votes since their connection came up.
    heard: BTreeMap<MemberId, (u64, End)>,
    /// Terms the others have said they are in.
    terms: BTreeMap<MemberId, u64>,
    /// The leader and term whose append this log went on from.
    followed: Option<(MemberId, u64)>,
    /// Ticks since then.
    followed_ticks: usize,
    /// Ticks since a leader was heard of.
    silent_ticks: usize,
    election_ticks: usize,
    waited_ticks: usize,
}

impl Settling {
    pub fn new(others: BTreeSet<MemberId>, election_ticks: usize) -> Self {
        Self {
            others,
            learner: false,
            count_not: BTreeSet::new(),
            as_of: Index(0),
            left_out: BTreeSet::new(),
            linked: BTreeSet::new(),
            heard: BTreeMap::new(),
            terms: BTreeMap::new(),
            followed: None,
            followed_ticks: 0,
            silent_ticks: 0,
            election_ticks,
            waited_ticks: 0,
        }
    }

    /// Of a member that is no voter as far as it knows: one that joins, or a voter that has lost everything. The first one
    /// that says it is a voter makes it a torn one.
    pub fn of_a_learner(election_ticks: usize) -> Self {
        Self { learner: true, ..Self::new(BTreeSet::new(), election_ticks) }
    }

    pub fn is_learner(&self) -> bool {
        self.learner
    }

    /// A member has said that this one is no voter, or that it has no configuration, nor a log, itself.
    pub fn counts_not(&mut self, member: MemberId, term: u64, empty: bool) {
        if empty {
            self.heard.entry(member).or_insert((term, (0, 0)));
        }
        self.count_not.insert(member);
    }

    /// Whether what this member tells another one can do no harm.
    pub fn speaks_to(&self, member: MemberId) -> bool {
        self.knows_terms() || self.learner && self.count_not.contains(&member)
    }

    /// Members to be asked what term they are in, and who the voters are; again and again, since the latter may change.
    pub fn asks(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.others.iter().copied()
    }

    /// Notes a member's term; the highest of all once the last of them has told.
    pub fn told(&mut self, member: MemberId, term: u64) -> Option<u64> {
        if !self.others.contains(&member) || self.knows_terms() {
            return None;
        }
        self.terms.insert(member, term);
        self.knows_terms().then(|| self.terms.values().copied().max().unwrap_or(0))
    }

    /// The voters have changed since this log ends. One that was left out may never come back to say its term; it need
    /// not: nobody else listens to it, so that together with the lost vote of this member it is no majority.
    pub fn others_are(&mut self, as_of: Index, others: BTreeSet<MemberId>) {
        if !self.is_news(as_of) {
            return;
        }
        (self.as_of, self.learner) = (as_of, false);
        self.left_out.extend(self.others.difference(&others));
        self.left_out.retain(|member| !others.contains(member));
        self.others = others;
        let others = &self.others;
        self.terms.retain(|member, _| others.contains(member));
        self.heard.retain(|member, _| others.contains(member));
    }

    /// Whether who the others are was not known as of there yet.
    pub fn is_news(&self, as_of: Index) -> bool {
        as_of > self.as_of
    }

    pub fn left_out(&self, member: MemberId) -> bool {
        self.left_out.contains(&member)
    }

    pub fn knows_terms(&self) -> bool {
        !self.learner && self.terms.len() == self.others.len()
    }

    /// A leader's message came; `goes_on`: an append that this log goes on from.
    pub fn led(&mut self, leader: MemberId, term: u64, goes_on: bool) {
        self.silent_ticks = 0;
        if goes_on {
            (self.followed, self.followed_ticks) = (Some((leader, term)), 0);
        }
    }

    /// Whether this leader has not been shown yet that this log goes on to its own.
    pub fn must_tell(&self, leader: MemberId, term: u64) -> bool {
        self.followed != Some((leader, term))
    }

    /// Whether the leader that is believed in has been silent for an election timeout: the engine's own clock stands
    /// still while its member may not stand for election.
    pub fn is_silent(&self) -> bool {
        self.silent_ticks >= self.election_ticks
    }

    pub fn link(&mut self, member: MemberId, up: bool) {
        if !up {
            // It may come back with less.
            self.linked.remove(&member);
            self.heard.remove(&member);
            self.count_not.remove(&member);
        } else {
            self.linked.insert(member);
        }
    }

    pub fn tick(&mut self, led: bool) {
        self.silent_ticks = if led { self.silent_ticks + 1 } else { 0 };
        // What was to settle it may be lost, and a leader without anything new says nothing more of its own.
        self.followed_ticks += 1;
        self.followed = self.followed.filter(|_| self.followed_ticks < self.election_ticks);
        let waits = !led && !self.learner && self.linked.is_superset(&self.others);
        self.waited_ticks = if waits { self.waited_ticks + 1 } else { 0 };
    }

    /// Notes a request for votes, and answers whether it may have this member's. A candidate's term must be new to all
    /// others: the torn write may have been a vote, and whom it was given to is one of them.
    pub fn votes(&mut self, from: MemberId, request: &Message) -> bool {
        let asks_first = request.get_msg_type() == MessageType::MsgRequestPreVote;
        let own_term = request.term - u64::from(asks_first);
        let end = (request.log_term, request.index);
        self.heard.insert(from, (own_term, end));
        let mut others = self.heard.iter().filter(|(member, _)| **member != from);
        self.heard_all() && others.all(|(_, (term, other))| *term < request.term && *other <= end)
    }

    /// Whether a log that ends there may lead with the votes of others.
    pub fn takes_votes(&self, end: End) -> bool {
        self.heard_all() && self.heard.values().all(|(_, other)| *other <= end)
    }

    fn heard_all(&self) -> bool {
        !self.learner && self.others.iter().all(|member| self.heard.contains_key(member))
    }

    pub fn stands(&self) -> bool {
        self.waited_ticks >= STANDS_AFTER * self.election_ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_has_nothing_new_is_told_again() {
        let leader = MemberId(2);
        let mut settling = Settling::new([leader, MemberId(3)].into(), 4);
        assert!(settling.must_tell(leader, 7));
        settling.led(leader, 7, true);
        for _ in 0..3 {
            settling.tick(true);
            settling.led(leader, 7, false);
            assert!(!settling.must_tell(leader, 7));
        }
        settling.tick(true);
        assert!(settling.must_tell(leader, 7));
    }
}
