//! What clients and members were seen to do, for the invariants to judge.

use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::ids::{EventId, Index, RequestId, SessionId, Term};

#[derive(Clone, Debug)]
pub enum Asked {
    Events { events: Vec<EventId>, session: SessionId },
    Fence { id: EventId },
    /// Highest index anybody was answered with before this was asked.
    Barrier { after: Index },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Ended,
    /// The member that took it has ended.
    Lost,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub node: usize,
    pub asked: Asked,
    pub applied_quorum: u32,
    pub state: State,
    /// `withdraw` has said that no leader saw it.
    pub withdrawn: bool,
    /// Given up by its client: nobody waits for its end.
    pub unattended: bool,
}

/// Where an event stands: index, offset.
pub type Placed = (Index, u32);

#[derive(Default)]
pub struct History {
    pub requests: BTreeMap<(usize, RequestId), Request>,
    /// First answer to each accepted event.
    pub places: BTreeMap<EventId, Placed>,
    /// Events of acknowledged publishes, with their terms.
    pub acknowledged: BTreeMap<EventId, (Placed, Term)>,
    pub fenced_off: BTreeSet<EventId>,
    pub withdrawn: BTreeSet<EventId>,
    pub by_sequence: BTreeMap<(SessionId, u64), EventId>,
    pub highest_answered: Index,
    /// Committed entries: term and data's hash, from index 1.
    pub committed: Vec<Term>,
    pub leaders: BTreeMap<Term, usize>,
    pub hash_at: BTreeMap<Index, u64>,
    /// (index, term) of every entry ever written: hash of its data, term of the entry before.
    pub written: BTreeMap<(Index, Term), (u64, Term)>,
    /// What went wrong, by the invariant's name.
    pub violations: Vec<String>,
    pub completions: u64,
    pub elections: u64,
    pub trace: u64,
}

impl History {
    pub fn violate(&mut self, invariant: &str, what: String) {
        if self.violations.len() < 8 {
            self.violations.push(format!("{invariant}: {what}"));
        }
    }

    /// Folds a fact into the trace, which is equal for equal seeds.
    pub fn note(&mut self, fact: &[u64]) {
        for number in fact {
            self.trace = (self.trace ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        }
    }

    pub fn open(&self) -> usize {
        self.requests.values().filter(|request| request.state == State::Open && !request.unattended).count()
    }
}
