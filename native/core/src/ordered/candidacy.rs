//! When this member stands for election: after a timeout drawn anew in every term (Ongaro and Ousterhout 2014, section
//! 5.2), or soon after its connection to the leader has ended and not come back, since a process that dies takes its
//! connections along. Raft's own rule, that whoever counts on a leader answers no candidate (Ongaro 2014, section 4.2.3),
//! keeps a leader whom only one member has lost in office: a majority must have lost it.

use super::Group;
use crate::ids::MemberId;
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};
use raft::StateRole;
use rand_chacha::rand_core::RngCore;

/// Of the least election timeout, how long a lost connection may take to come back before the leader is given up.
const GRACE_SHARE: usize = 10;
const GRACE_TICKS_MIN: usize = 2;
/// Graces for which such a leader's successor is looked for in turns; then as always.
const TURNS: usize = 8;

/// An election timeout, and what it is for.
pub(super) struct Timeout {
    ticks: usize,
    /// Term, leader and role.
    of: Option<(u64, u64, StateRole)>,
}

impl Timeout {
    pub const NONE: Self = Self { ticks: 0, of: None };

    pub fn ticks(&self) -> usize {
        self.ticks
    }
}

/// A leader that this member's connection to has ended.
#[derive(Clone, Copy)]
pub(super) struct Deserted {
    leader: MemberId,
    term: u64,
    since: u64,
    /// How long the connection has to come back, in ticks.
    grace: usize,
}

impl<R: EntryReader> Group<R> {
    /// Raft draws its election timeouts from thread randomness at every reset; ours replace them. When a new one is
    /// due must not depend on what raft drew, or a seed would not repeat itself.
    pub(super) fn draw_timeout(&mut self) {
        let standing = (self.raw.raft.term, self.raw.raft.leader_id, self.raw.raft.state);
        if self.timeout.of != Some(standing) {
            let (min, max) = self.config.election_ticks;
            let ticks = min + (self.rng.next_u64() % (max - min).max(1) as u64) as usize;
            self.timeout = Timeout { ticks, of: Some(standing) };
        }
        self.raw.raft.set_randomized_election_timeout(self.timeout.ticks);
    }

    /// The last of the connections to a member has ended.
    pub fn deserted_by(&mut self, member: MemberId) {
        let follows = self.raw.raft.state == StateRole::Follower && self.raw.raft.leader_id == member.0;
        // Under a lease the leader answers by itself for as long as no other can be elected (rule R12).
        let waits = self.lease.is_on() && !plants::is(CorePlant::LeaseShortened);
        if follows && !waits && self.conf.votes(self.config.me) {
            let grace = (self.pace.least() / GRACE_SHARE).max(GRACE_TICKS_MIN);
            self.deserted = Some(Deserted { leader: member, term: self.raw.raft.term, since: self.ticks, grace });
        }
    }

    /// Gives up a leader whose connection has not come back, and that is not heard of otherwise. Then this member stands
    /// when its turn comes, so that votes do not split; the first waits until the others have noticed as well.
    pub(super) fn tick_desertion(&mut self) {
        let Some(Deserted { leader, term, since, grace }) = self.deserted else { return };
        let ticks = (self.ticks - since) as usize;
        let voters = self.conf.voting_but(leader);
        // Others may know of more than this member does: they are heard first (decision 19).
        let quiet = self.is_quiet();
        let is_there = self.linked.contains(&leader) || self.heard_at > since + 1;
        let raft = &mut self.raw.raft;
        if raft.term != term || is_there || ticks > TURNS * grace {
            self.deserted = None;
        } else if ticks == grace && raft.leader_id == leader.0 {
            raft.become_follower(term, 0);
        } else if let (0, Some(place)) = (raft.leader_id, voters.iter().position(|member| *member == self.config.me)) {
            // Not always the same first: it may be one that cannot win; and not one for all groups.
            let place = (place + term as usize + self.config.group.0 as usize) % voters.len();
            if !quiet && ticks >= 2 * grace && (ticks - 2 * grace) % (voters.len() * grace) == place * grace {
                raft.election_elapsed = self.timeout.ticks;
            }
        }
    }
}
