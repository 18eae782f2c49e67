//! A member whose last batch was torn (rule L2; Alagappan et al. 2018, protocol-aware recovery): it may have acknowledged
//! what it has lost, so that its vote could help a log to leadership which lacks a committed entry.
//!
//! Until its log is known to reach as far as a leader's that was elected without it, it neither votes nor stands. Where no
//! such leader can come, because too many were torn at once, all members being there decides: what is on none of their
//! disks is lost anyway. Then it votes, so that a whole log wins if there is one, and later stands too.

use crate::ids::MemberId;
use std::collections::BTreeSet;

/// Election timeouts, with all members linked and nobody leading, after which a torn member votes, and then stands.
const VOTES_AFTER: usize = 2;
const STANDS_AFTER: usize = 6;

/// Invariant: `waited_ticks` counts the last ticks without a break with all of `others` linked and no leader known.
pub struct Settling {
    others: BTreeSet<MemberId>,
    linked: BTreeSet<MemberId>,
    election_ticks: usize,
    waited_ticks: usize,
}

impl Settling {
    pub fn new(others: BTreeSet<MemberId>, election_ticks: usize) -> Self {
        Self { others, linked: BTreeSet::new(), election_ticks, waited_ticks: 0 }
    }

    pub fn link(&mut self, member: MemberId, up: bool) {
        if !up {
            self.linked.remove(&member);
        } else if self.others.contains(&member) {
            self.linked.insert(member);
        }
    }

    pub fn tick(&mut self, led: bool) {
        let waits = !led && self.linked == self.others;
        self.waited_ticks = if waits { self.waited_ticks + 1 } else { 0 };
    }

    pub fn votes(&self) -> bool {
        self.waited_ticks >= VOTES_AFTER * self.election_ticks
    }

    pub fn stands(&self) -> bool {
        self.waited_ticks >= STANDS_AFTER * self.election_ticks
    }
}
