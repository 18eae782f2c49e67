//! Read leases (rule R12; Ongaro 2014, section 6.4.1; opt-in): after a round of heartbeats that a majority answered, a
//! leader answers barriers by itself for a while, since nobody who answered votes for another within an election timeout.
//!
//! - It counts from when the round was sent, on the caller's clock, which must run while the machine is suspended.
//! - It ends with the term, with a change of members, and with the first attempt to hand leadership over, since an order
//!   to stand at once may arrive at any later time.
//! - A member that restarts has forgotten whom it answered: it votes for nobody until that is over.
//!
//! What others owe is the engine's check of quorum: a follower that has heard of a leader within the least election timeout
//! refuses votes; however far members are apart, it never counts faster than what is configured (`pace`). Nothing on this
//! side may make it forget that leader earlier: a closed connection does, without leases.

use super::Group;
use crate::ids::Term;
use crate::ordered::store::EntryReader;

#[derive(Default)]
pub(super) struct Lease {
    /// 0 without leases.
    length_us: u64,
    term: Term,
    until_us: u64,
    /// Rounds sent before this do not count.
    since_us: u64,
    /// Leadership was offered to another in this term.
    offered: bool,
}

impl Lease {
    pub fn new(length_us: u64) -> Self {
        Self { length_us, ..Self::default() }
    }

    pub fn is_on(&self) -> bool {
        self.length_us > 0
    }

    /// A leader's round that was sent at `sent_us` was answered by a majority.
    pub fn extend(&mut self, term: Term, sent_us: u64) {
        if self.term != term {
            (self.term, self.until_us, self.offered) = (term, 0, false);
        }
        if sent_us >= self.since_us && !self.offered {
            self.until_us = self.until_us.max(sent_us + self.length_us);
        }
    }

    /// Another member is told to stand for election.
    pub fn offer(&mut self, term: Term) {
        (self.term, self.until_us, self.offered) = (term, 0, true);
    }

    /// Other majorities count from now on.
    pub fn end(&mut self, now_us: u64) {
        (self.until_us, self.since_us) = (0, now_us + 1);
    }

    pub fn holds(&self, term: Term, now_us: u64) -> bool {
        self.is_on() && self.term == term && now_us < self.until_us
    }
}

impl<R: EntryReader> Group<R> {
    /// Whether a lease lets this leader answer barriers without asking anybody.
    pub(super) fn may_answer_reads(&self, now_us: u64) -> bool {
        let raft = &self.raw.raft;
        let committed_own = raft.raft_log.term(raft.raft_log.committed) == Ok(raft.term);
        self.leads() && committed_own && self.lease.holds(Term(raft.term), now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_sending_and_ends_with_its_reasons() {
        let mut lease = Lease::new(100);
        lease.extend(Term(1), 1_000);
        assert!(lease.holds(Term(1), 1_099) && !lease.holds(Term(1), 1_100) && !lease.holds(Term(2), 1_050));
        lease.end(1_050);
        lease.extend(Term(1), 1_040);
        assert!(!lease.holds(Term(1), 1_060), "a round before the change of members does not count");
        lease.extend(Term(1), 1_060);
        assert!(lease.holds(Term(1), 1_061));
        lease.offer(Term(1));
        lease.extend(Term(1), 1_070);
        assert!(!lease.holds(Term(1), 1_071), "whoever was told to stand may stand at any time in this term");
        lease.extend(Term(2), 1_080);
        assert!(lease.holds(Term(2), 1_081));
        assert!(!Lease::new(0).holds(Term(0), 0));
    }
}
