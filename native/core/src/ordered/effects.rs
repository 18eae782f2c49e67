//! What a group asks of its caller after each flush.

use crate::causal::actor::Actor;
use crate::ids::{GroupId, Index, MemberId, RequestId, Term};
use crate::journal::PassedOver;
use crate::log::Op;
use crate::membership::MemberRefused;
use crate::machine::Outcome;
use crate::peer::frame::Channel;
use crate::snapshot::keeper::Job;
use std::sync::Arc;

/// A write the log owes: once all of it is on disk, `Group::persisted(number)`.
#[derive(Debug)]
pub struct Write {
    pub group: GroupId,
    pub number: u64,
    pub ops: Vec<Op>,
    pub purpose: Purpose,
}

/// What a write is for, where its caller has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    Usual,
    /// Repairs damage: once it is on disk, `Group::repaired`.
    Repair,
    /// As `Repair`, and takes away what the member may have acknowledged: the log's mark of being unsettled is made
    /// durable before it.
    Forget,
    /// Nothing is written but that mark: the member has learnt that it has forgotten what it acknowledged.
    Doubt,
    /// Nothing is written; that mark goes, since the others have settled every group.
    Settled,
}

impl Purpose {
    /// Whether the log's mark of being unsettled comes first.
    pub fn unsettles(self) -> bool {
        matches!(self, Self::Forget | Self::Doubt)
    }

    pub fn repairs(self) -> bool {
        matches!(self, Self::Repair | Self::Forget)
    }
}

/// The end of one request.
#[derive(Debug)]
pub struct Completion {
    pub group: GroupId,
    pub request: RequestId,
    pub end: End,
    pub latency_us: u64,
}

#[derive(Debug)]
pub enum End {
    Applied {
        index: Index,
        term: Term,
        outcome: Outcome,
        /// Hybrid logical clock of the submission's first event.
        hlc: u64,
        /// Voters known to have it on disk.
        durable_members: u32,
        /// Voters known to have applied it.
        applied_members: u32,
    },
    /// A barrier: everything up to here is applied.
    Barrier { applied: Index },
    /// Taken back before any leader saw it.
    Withdrawn,
    /// Of the causal lane: on disk and delivered here.
    Kept {
        /// As clocks spell it.
        actor: String,
        incarnation: u32,
        counter: Index,
        /// Of its first event among those of the entry.
        offset: u32,
        hlc: u64,
        /// The entry and all that it follows.
        clock: Arc<Vec<(String, u64)>>,
    },
    /// Of the causal lane, where not every event is new: what each came to. Those that are new are in the entry that
    /// `entry` names as `Kept` does; what they are told by is on disk and delivered here, too.
    KeptInPart { entry: Option<KeptEntry>, events: Vec<KeptEvent> },
    /// A member command that the leader did not propose; nothing was changed.
    Declined(MemberRefused),
}

/// The entry that a publish of the causal lane has come into, as clocks spell it.
#[derive(Clone, Debug)]
pub struct KeptEntry {
    pub actor: String,
    pub incarnation: u32,
    pub counter: Index,
    pub clock: Arc<Vec<(String, u64)>>,
}

/// What an event that was published to the causal lane has come to.
#[derive(Clone, Debug)]
pub enum KeptEvent {
    New { offset: u32, hlc: u64 },
    /// It was written before; there it stands.
    Duplicate { actor: String, counter: Index, offset: u32 },
    /// Its id belongs to another event, which stands there.
    IdReused { actor: String, counter: Index, offset: u32 },
}

/// Filled by `Group::flush`; the caller empties it. Order within each list is to be kept.
#[derive(Default)]
pub struct Effects {
    pub frames: Vec<(MemberId, Channel, Vec<u8>)>,
    pub writes: Vec<Write>,
    pub completions: Vec<Completion>,
    /// Entries were applied: subscribers have something to read.
    pub applied: bool,
    /// Events among them that readers of the journal pass over: (index, offset).
    pub suppressed: Vec<PassedOver>,
    /// What applied events follow in the causal lane.
    pub follows: Vec<(Actor, u64)>,
    /// Work on snapshot files; the result goes to `Group::job_done`.
    pub jobs: Vec<Job>,
    /// The journal begins here now: nothing before it can be read any more.
    pub journal_first: Option<Index>,
}
