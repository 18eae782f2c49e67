//! What the threads of an open node share: the protocol thread's inputs, and what it tells the doors.

use crate::links::{Inbox, Outbox};
use crate::times::SyncTimes;
use crate::wake::Mailbox;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;
use vexfs_core::causal::actor::{Actor, Clock};
use vexfs_core::causal::ids::Doubled;
use vexfs_core::causal::recent::Recent;
use vexfs_core::causal::{LaneStatus, OriginView};
use vexfs_core::ids::{EventId, GroupId, Index, MemberId};
use vexfs_core::journal::Suppressed;
use vexfs_core::member::batch::Finished;
use vexfs_core::membership::Membership;
use vexfs_core::ordered::status::GroupStatus;
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::ordered::Group;
use vexfs_core::peer::frame::{Channel, Frame};
use vexfs_core::peer::round_trips::RoundTrip;
use vexfs_core::replication::Agreed;
use vexfs_core::snapshot::keeper::Done;
use vexfs_core::snapshot::states::States;

/// What reaches the protocol thread.
pub enum Input {
    Submit { request: u32, bytes: Vec<u8>, applied_quorum: u32 },
    /// Events for the causal lane.
    Publish { request: u32, bytes: Vec<u8> },
    Barrier { request: u32, group: GroupId },
    Withdraw { request: u32, group: GroupId },
    Find { request: u32, group: GroupId, id: EventId },
    Members { request: u32, command: Vec<u8> },
    Rules { request: u32, rules: Vec<u8> },
    /// An entry of the causal lane is to be had whole.
    Fetch { actor: Actor, counter: u64 },
    TakeSnapshot { request: u32, group: GroupId },
    Transfer { group: GroupId, to: MemberId },
    HandOver,
    /// States of the causal lane, to be kept.
    KeepStates(Arc<States>),
    /// A reader of a journal waits for these to be delivered in the causal lane.
    Want(Vec<(Actor, u64)>),
    /// A reader of the journal has met damage.
    Unreadable { group: GroupId, index: Index },
    Frames { from: MemberId, frames: Vec<Frame> },
    LinkUp { member: MemberId, channel: Channel, knows_stubs: bool },
    LinkDown { member: MemberId, channel: Channel },
    Finished(Finished),
    JobDone(Done),
    DiskFailed { reason: String },
    Close,
}

/// What the doors see of one group.
pub struct GroupShared {
    /// How far the journal goes; raised after `suppressed` has what the new part needs.
    pub applied: AtomicU64,
    /// Where it begins.
    pub first: AtomicU64,
    /// First entry at which this member differs from a majority; 0 while it does not.
    pub diverged: AtomicU64,
    pub suppressed: RwLock<Suppressed>,
    pub status: Mutex<GroupStatus>,
}

impl GroupShared {
    pub fn new<R: EntryReader>(group: &Group<R>) -> Self {
        let status = group.status();
        Self {
            // Nothing after the snapshot is applied yet; what is before it can be read at once.
            applied: AtomicU64::new(status.applied.0),
            first: AtomicU64::new(status.first.0),
            diverged: AtomicU64::new(0),
            suppressed: RwLock::new(group.machine().passed_over().clone()),
            status: Mutex::new(status),
        }
    }
}

/// What readers see of the causal lane. Every origin that `delivered` counts is in `origins`.
#[derive(Clone)]
pub struct LaneShared {
    pub delivered: Arc<Clock>,
    /// Of what readers of the ordered lane have waited for, what nobody has any more.
    pub gone: Arc<Clock>,
    pub origins: Arc<Vec<OriginView>>,
    /// Events that stand in more than one place.
    pub doubled: Arc<Doubled>,
    /// The entries that came last.
    pub recent: Arc<Recent>,
    /// Who writes here; empty while that is not decided.
    pub actor: Arc<str>,
}

/// States that the application makes of the causal lane (see `vexfs_core::snapshot::states`).
#[derive(Default)]
pub struct LaneStates {
    /// For the application to take in.
    pub found: Mutex<Option<Arc<States>>>,
    /// Newer ones are to be kept.
    pub wanted: AtomicBool,
    /// Some of the logs have gone that no states here cover.
    pub lacking: AtomicBool,
}

/// What both sides of the doors see.
pub struct Shared {
    /// Ends of requests, for the application's thread.
    pub app: Mailbox,
    /// Frames, for the network's thread.
    pub outbox: Outbox,
    pub inbox: Inbox,
    pub groups: BTreeMap<GroupId, GroupShared>,
    pub lane: RwLock<LaneShared>,
    pub lane_status: Mutex<LaneStatus>,
    pub lane_states: LaneStates,
    /// The members as agreed on, as of what is applied here.
    pub table: Mutex<Membership>,
    /// The rules of replication, likewise.
    pub rules: Mutex<Agreed>,
    /// Somebody waits for the journals to grow.
    pub watched: AtomicBool,
    /// And for the causal lane to.
    pub lane_watched: AtomicBool,
    pub pending_bytes: AtomicUsize,
    pub refused_frames: AtomicU64,
    pub last_refusal: Mutex<Option<String>>,
    pub sync_times: SyncTimes,
    /// As of the last questions.
    pub round_trips: Mutex<BTreeMap<(MemberId, Channel), RoundTrip>>,
    /// By how much the clock here is ahead of those of most other members.
    pub clock_ahead_ms: AtomicU64,
    /// The disk has no room: writes wait until it has.
    pub disk_full: AtomicBool,
    /// This member leads some group.
    pub leads: AtomicBool,
    /// The protocol thread has ended: nothing is taken any more.
    pub ended: AtomicBool,
}

impl Shared {
    pub fn new(outbox: Outbox, groups: BTreeMap<GroupId, GroupShared>, lane: LaneShared, table: Membership) -> Self {
        Self {
            app: Mailbox::default(),
            outbox,
            inbox: Inbox::default(),
            groups,
            lane: RwLock::new(lane),
            lane_status: Mutex::default(),
            lane_states: LaneStates::default(),
            table: Mutex::new(table),
            rules: Mutex::default(),
            watched: AtomicBool::new(false),
            lane_watched: AtomicBool::new(false),
            pending_bytes: AtomicUsize::new(0),
            refused_frames: AtomicU64::new(0),
            last_refusal: Mutex::new(None),
            sync_times: SyncTimes::default(),
            round_trips: Mutex::default(),
            clock_ahead_ms: AtomicU64::new(0),
            disk_full: AtomicBool::new(false),
            leads: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    pub fn note_refused(&self, why: &str) {
        self.refused_frames.fetch_add(1, Ordering::Relaxed);
        *self.last_refusal.lock() = Some(why.to_string());
    }
}
