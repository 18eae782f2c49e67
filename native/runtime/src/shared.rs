//! What the threads of an open node share: the protocol thread's inputs, and what it tells the doors.

use crate::disk::FileDisk;
use crate::links::{Inbox, Outbox};
use crate::times::SyncTimes;
use crate::wake::Mailbox;
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use vexfs_core::ids::{EventId, GroupId, Index, MemberId};
use vexfs_core::journal::Suppressed;
use vexfs_core::log::{LogEntry, LogReader};
use vexfs_core::ordered::status::GroupStatus;
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::peer::frame::Frame;

/// What reaches the protocol thread.
pub enum Input {
    Submit { request: u32, bytes: Vec<u8>, applied_quorum: u32 },
    Barrier { request: u32 },
    Withdraw { request: u32 },
    Find { request: u32, id: EventId },
    Frames { from: MemberId, frames: Vec<Frame> },
    LinkUp { member: MemberId },
    LinkDown { member: MemberId },
    Persisted { number: u64 },
    DiskFailed { reason: String },
    Close,
}

/// What both sides of the doors see.
pub struct Shared {
    /// Ends of requests, for the application's thread.
    pub app: Mailbox,
    /// Frames, for the network's thread.
    pub outbox: Outbox,
    pub inbox: Inbox,
    /// How far the journal goes; raised after `suppressed` has what the new part needs.
    pub applied: AtomicU64,
    pub suppressed: RwLock<Suppressed>,
    /// Somebody waits for the journal to grow.
    pub watched: AtomicBool,
    pub pending_bytes: AtomicUsize,
    pub status: Mutex<GroupStatus>,
    pub refused_frames: AtomicU64,
    pub last_refusal: Mutex<Option<String>>,
    pub sync_times: SyncTimes,
    /// No torn tail waits for the others' word.
    pub settled: AtomicBool,
    /// The protocol thread has ended: nothing is taken any more.
    pub ended: AtomicBool,
}

impl Shared {
    pub fn new(outbox: Outbox, status: GroupStatus) -> Self {
        Self {
            app: Mailbox::default(),
            outbox,
            inbox: Inbox::default(),
            applied: AtomicU64::new(0),
            suppressed: RwLock::default(),
            watched: AtomicBool::new(false),
            pending_bytes: AtomicUsize::new(0),
            status: Mutex::new(status),
            refused_frames: AtomicU64::new(0),
            last_refusal: Mutex::new(None),
            sync_times: SyncTimes::default(),
            settled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    pub fn note_refused(&self, why: &str) {
        self.refused_frames.fetch_add(1, Ordering::Relaxed);
        *self.last_refusal.lock() = Some(why.to_string());
    }
}

/// The log's reader as the core wants it.
#[derive(Clone)]
pub struct DurableEntries(pub LogReader<FileDisk>);

impl EntryReader for DurableEntries {
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String> {
        self.0.entries(group, low, high, bytes_max).map_err(|error| error.to_string())
    }
}
