//! What clients and members were seen to do, for the invariants to judge.

use crate::lane::{LaneHistory, Past, Seen};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use vexfs_core::ids::{EventId, GroupId, Index, MemberId, RequestId, SessionId, Term};
use vexfs_core::machine::consumer::Position;
use vexfs_core::ordered::conf::Conf;

#[derive(Clone, Debug)]
pub enum Asked {
    Events { events: Vec<EventId>, session: SessionId, first_sequence: u64 },
    Fence { id: EventId },
    Barrier,
    Members { what: String },
    /// A publish to the causal lane, and what its publisher could have had by then where it was.
    Kept { events: Vec<EventId>, level: u8, seen: Seen },
    /// By which client, and what.
    Consumer { client: usize, step: ConsumerStep },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerStep {
    Attach,
    Claim { epoch: u64, through: Position },
    Acknowledge { epoch: u64, through: Position },
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
    pub group: GroupId,
    pub asked: Asked,
    pub applied_quorum: u32,
    pub state: State,
    /// `withdraw` has said that no leader saw it.
    pub withdrawn: bool,
    /// Given up by its client: nobody waits for its end.
    pub unattended: bool,
    /// What its events follow in the causal lane.
    pub follows: Past,
    /// Highest index anybody was answered with before this was asked.
    pub after: Index,
}

/// Where an event stands: index, offset.
pub type Placed = (Index, u32);

/// One event as a reader of the journal gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: EventId,
    pub place: Placed,
    pub session: SessionId,
    pub sequence: u64,
    pub hlc: u64,
}

/// Of the whole run.
#[derive(Default)]
pub struct History {
    groups: Vec<GroupHistory>,
    pub lane: LaneHistory,
    pub requests: BTreeMap<(usize, RequestId), Request>,
    /// What events of the ordered groups follow in the causal lane, as their publishers said.
    pub follows: BTreeMap<EventId, Past>,
    /// The group that each event was published in.
    pub published_in: BTreeMap<EventId, GroupId>,
    /// What went wrong, by the invariant's name.
    pub violations: Vec<String>,
    pub answers: u64,
    pub deliveries: u64,
    pub elections: u64,
    pub starts: u64,
    pub trace: u64,
}

/// Of one group.
#[derive(Default)]
pub struct GroupHistory {
    /// First answer to each accepted event.
    pub places: BTreeMap<EventId, Placed>,
    /// Events of acknowledged publishes, with their places and terms.
    pub acknowledged: BTreeMap<EventId, (Placed, Term)>,
    pub fenced_off: BTreeSet<EventId>,
    pub withdrawn: BTreeSet<EventId>,
    pub by_sequence: BTreeMap<(SessionId, u64), EventId>,
    pub highest_answered: Index,
    /// Terms of committed entries, from index 1.
    pub committed: Vec<Term>,
    /// The term in which somebody first knew that it was.
    pub committed_in: Vec<Term>,
    pub leaders: BTreeMap<Term, usize>,
    pub hash_at: BTreeMap<Index, u64>,
    /// Two members have had different states at one index.
    pub parted: bool,
    /// (index, term) of every entry ever written: hash of its data, term of the entry before.
    pub written: BTreeMap<(Index, Term), (u64, Term)>,
    /// The journal as the first reader of each place saw it.
    pub journal: Vec<Delivery>,
    /// The newest change of members that a leader has proposed.
    pub last_change: Option<(Index, Term)>,
    /// Where nothing is to change it: the leader and its term, once all members know it.
    pub steady: Option<(Option<MemberId>, Term)>,
    /// The configuration at each applied index that was seen.
    pub conf_at: BTreeMap<Index, Arc<Conf>>,
    /// The newest configurations, oldest first.
    pub confs: VecDeque<(Index, Arc<Conf>)>,
    /// Entries before this are in `journal`.
    pub observed: Index,
}

impl History {
    pub fn new(groups: u32) -> Self {
        Self { groups: (0..groups).map(|_| GroupHistory::default()).collect(), ..Self::default() }
    }

    pub fn of(&self, group: GroupId) -> &GroupHistory {
        &self.groups[group.0 as usize]
    }

    pub fn of_mut(&mut self, group: GroupId) -> &mut GroupHistory {
        &mut self.groups[group.0 as usize]
    }

    pub fn violate(&mut self, invariant: &str, what: String) {
        if self.violations.len() < 8 {
            self.violations.push(format!("{invariant}: {what}"));
        }
    }

    /// Folds facts into the trace, which is equal for equal seeds.
    pub fn note(&mut self, facts: &[u64]) {
        for number in facts {
            self.trace = (self.trace ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        }
    }

    /// Requests somebody waits for, by the member that has each.
    pub fn open(&self) -> impl Iterator<Item = usize> + '_ {
        let open = |request: &Request| request.state == State::Open && !request.unattended;
        self.requests.iter().filter(move |(_, request)| open(request)).map(|((node, _), _)| *node)
    }
}

impl GroupHistory {
    /// How many events have places before `index`.
    pub fn ordinal_of(&self, index: Index) -> usize {
        self.journal.partition_point(|one| one.place.0 < index)
    }

    /// The committed term at an index.
    pub fn committed_at(&self, index: Index) -> Option<Term> {
        self.committed.get(index.0.checked_sub(1)? as usize).copied()
    }
}
