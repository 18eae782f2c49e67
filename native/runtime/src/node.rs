//! An open node: its threads, and the doors through which JavaScript's two threads reach them.
//!
//! Stop order: the network detaches first, then `close` ends intake, drains the protocol thread, lets the log thread
//! finish what is queued and joins both. `close` may be called twice, and from any thread but its own.

use crate::disk::{DiskError, FileDisk, Mode};
use crate::ends;
use crate::links::Outbox;
use crate::protocol::{self, Ended, Protocol};
use crate::shared::{DurableEntries, Input, Shared};
use crate::writer;
use crate::queue::{Closing, Queue};
use parking_lot::{Mutex, RwLock};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;
use vexfs_core::clock::HybridClock;
use vexfs_core::filter::Filter;
use vexfs_core::ids::{EventId, GroupId, Index, MemberId};
use vexfs_core::journal::{self, JournalError, Window};
use vexfs_core::log::{clear_unsettled, HardState, Identity, Log, LogError, LogOptions, Wanted};
use vexfs_core::machine::MachineLimits;
use vexfs_core::ordered::{Group, GroupConfig, GroupError};
use vexfs_core::peer::frame::FrameError;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("node ids {0:?} and {1:?} have the same raft id; rename one")]
    MemberIdCollision(String, String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    Full,
    Closed,
}

#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub data_dir: PathBuf,
    pub cluster_id: String,
    pub node_id: String,
    /// Other members, in slot order.
    pub peers: Vec<String>,
    pub election_timeout_ms: (u64, u64),
    pub heartbeat_interval_ms: u64,
    pub inflight_messages: usize,
    pub pending_bytes_max: usize,
    pub peer_bytes_max: usize,
    pub limits: MachineLimits,
    pub log: LogOptions,
    pub seed: u64,
    /// Random; becomes the directory's id when it is new.
    pub fresh_directory_id: [u8; 16],
}

/// What recovery found, for the status.
#[derive(Clone, Debug)]
pub struct Opened {
    pub identity: Identity,
    pub torn_bytes: u64,
}

pub struct Node {
    shared: Arc<Shared>,
    inputs: Queue<Input>,
    /// Gone after `close`: it holds the directory, and the node itself may live on in a handle for a while.
    reader: RwLock<Option<DurableEntries>>,
    disk: Mutex<Option<Arc<FileDisk>>>,
    opened: Opened,
    pending_bytes_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: Arc<AtomicBool>,
}

const GROUP: GroupId = GroupId(0);
/// Rest after each MiB of a spare segment, so that the appends' own writes are not kept waiting: a long one, and a short
/// one when the log might run out of spares.
const SPARE_PACE: Duration = Duration::from_millis(8);
const SPARE_PACE_URGENT: Duration = Duration::from_millis(1);
/// How often the spares are counted: a segment lasts several times this long at full speed.
const SPARE_POLL: Duration = Duration::from_millis(50);

impl Node {
    /// Opens the directory, recovers, starts the threads. Resolves without a quorum.
    pub fn open(config: NodeConfig) -> Result<Arc<Node>, OpenError> {
        let me = MemberId::of(&config.node_id);
        let members = members(&config)?;
        let disk = Arc::new(FileDisk::open(&config.data_dir, Mode::ReadWrite)?);
        let wanted = Wanted {
            cluster_id: config.cluster_id.clone(),
            node_id: config.node_id.clone(),
            fresh_directory_id: config.fresh_directory_id,
            salt_seed: config.seed,
        };
        let (log, recovery) = Log::open(disk.clone(), config.log.clone(), wanted)?;
        if !recovery.damaged.is_empty() {
            // A group that has lost entries cannot take part before it has got them back.
            let (segment, reason) = ("the log".to_string(), "entries are lost");
            return Err(LogError::Damaged { segment, offset: 0, reason, lost: recovery.damaged }.into());
        }
        let reader = DurableEntries(log.reader());
        let found = recovery.groups.get(&GROUP);
        let hard = found.map_or(HardState::default(), |group| group.hard_state);
        let last = found.map_or(Index(0), |group| group.last_index);
        let terms = found.map_or(Vec::new(), |group| group.terms.clone());
        let opened = Opened { identity: recovery.identity.clone(), torn_bytes: recovery.torn_bytes };
        let tick = protocol::TICK.as_millis() as u64;
        let ticks = |ms: u64| ((ms / tick).max(1)) as usize;
        let (low, high) = (ticks(config.election_timeout_ms.0).max(2), ticks(config.election_timeout_ms.1));
        let mut group = Group::new(
            GroupConfig {
                group: GROUP,
                me,
                incarnation: opened.identity.incarnation,
                voters: members,
                election_ticks: (low, high.max(low + 1)),
                heartbeat_ticks: ticks(config.heartbeat_interval_ms).min(low - 1),
                inflight_messages: config.inflight_messages,
                intake_bytes_max: config.pending_bytes_max,
                limits: config.limits,
                seed: config.seed,
            },
            hard,
            last,
            terms,
            reader.clone(),
        )?;
        if recovery.unsettled {
            group.torn();
        }
        let peers = config.peers.iter().map(|peer| MemberId::of(peer)).collect();
        let shared = Arc::new(Shared::new(Outbox::new(peers, config.peer_bytes_max), group.status()));
        // Bounded by what fills them: requests by the bytes that may wait, frames by what peers may have in flight,
        // writes by both.
        let inputs: Queue<Input> = Queue::default();
        let writes = Queue::default();
        let stopping = Arc::new(AtomicBool::new(false));
        let pool = log.spare_pool();
        let mut threads = Vec::new();
        threads.push(spawn("vexfs-log", {
            let (shared, done, queue) = (shared.clone(), inputs.clone(), writes.clone());
            move || {
                let run = || writer::run(log, &queue, &done, &shared.sync_times);
                if catch_unwind(AssertUnwindSafe(run)).is_err() {
                    let _ = done.send(Input::DiskFailed { reason: "the log thread panicked".to_string() });
                }
            }
        })?);
        threads.push(spawn("vexfs-spare", {
            let (stopping, shared, disk) = (stopping.clone(), shared.clone(), disk.clone());
            move || {
                let mut unsettled = recovery.unsettled;
                while !stopping.load(Ordering::Relaxed) {
                    // A spare that cannot be made (a full disk, say) is not an error yet: the writer will meet it.
                    let pace = if pool.ready() == 0 { SPARE_PACE_URGENT } else { SPARE_PACE };
                    let filled = pool.fill(&mut || std::thread::sleep(pace)).unwrap_or(false);
                    if unsettled && shared.settled.load(Ordering::SeqCst) {
                        // What cannot be removed now stays, and costs a settling at the next start.
                        unsettled = clear_unsettled(&*disk).is_err();
                    }
                    if !filled {
                        std::thread::park_timeout(SPARE_POLL);
                    }
                }
            }
        })?);
        let protocol = Protocol {
            group,
            shared: shared.clone(),
            me,
            incarnation: opened.identity.incarnation,
            writes: Closing(writes),
            clock: HybridClock::default(),
            began: Instant::now(),
        };
        threads.push(spawn("vexfs-protocol", {
            let (shared, inputs) = (shared.clone(), inputs.clone());
            move || {
                let ended = catch_unwind(AssertUnwindSafe(|| protocol.run(&inputs)));
                shared.ended.store(true, Ordering::SeqCst);
                inputs.close();
                // A panic ends the node, not the process (rule R14).
                let (code, reason) = match ended {
                    Ok(Ended::Closed) => ("CLOSED", "the node was closed".to_string()),
                    Ok(Ended::Failed { code, reason }) => (code, reason),
                    Err(panic) => ("NODE_FAILED", panic_text(panic.as_ref())),
                };
                shared.app.put(|out| ends::failed(out, code, &reason));
            }
        })?);
        Ok(Arc::new(Node {
            shared,
            inputs,
            reader: RwLock::new(Some(reader)),
            disk: Mutex::new(Some(disk)),
            opened,
            pending_bytes_max: config.pending_bytes_max,
            threads: Mutex::new(threads),
            stopping,
        }))
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    fn send(&self, input: Input) -> Result<(), NotTaken> {
        if self.shared.ended.load(Ordering::SeqCst) {
            return Err(NotTaken::Closed);
        }
        self.inputs.send(input).map_err(|_| NotTaken::Closed)
    }

    /// Takes a packed submission, unless too many bytes wait already.
    pub fn submit(&self, request: u32, bytes: &[u8], applied_quorum: u32) -> Result<(), NotTaken> {
        let waiting = self.shared.pending_bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes.len() > self.pending_bytes_max {
            return Err(NotTaken::Full);
        }
        // Counted here at once, by the protocol thread exactly: a burst between two of its loops is bounded too.
        self.shared.pending_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        self.send(Input::Submit { request, bytes: bytes.to_vec(), applied_quorum })
    }

    pub fn barrier(&self, request: u32) -> Result<(), NotTaken> {
        self.send(Input::Barrier { request })
    }

    pub fn withdraw(&self, request: u32) -> Result<(), NotTaken> {
        self.send(Input::Withdraw { request })
    }

    pub fn find(&self, request: u32, id: EventId) -> Result<(), NotTaken> {
        self.send(Input::Find { request, id })
    }

    /// Packed deliveries from the applied prefix (see `vexfs_core::journal::read`); none after `close`.
    pub fn read_journal(&self, window: Window, filter: Option<&Filter>) -> Result<Vec<u8>, JournalError> {
        let Some(reader) = self.reader.read().clone() else {
            let mut none = vec![0; journal::DELIVERIES_HEADER_BYTES];
            none[..8].copy_from_slice(&window.index.0.to_le_bytes());
            none[8..12].copy_from_slice(&window.offset.to_le_bytes());
            return Ok(none);
        };
        let applied = Index(self.shared.applied.load(Ordering::SeqCst));
        let suppressed = |index| self.shared.suppressed.read().of(index).to_vec();
        journal::read(&reader, GROUP, applied, &suppressed, window, filter)
    }

    pub fn link_up(&self, slot: u32, channel: u8) {
        if let (Some(channel), Some(member)) = (protocol::channel_of(channel), self.shared.outbox.member(slot)) {
            self.shared.outbox.set_up(slot, channel, true);
            let _ = self.send(Input::LinkUp { member });
        }
    }

    pub fn link_down(&self, slot: u32, channel: u8) {
        if let (Some(channel), Some(member)) = (protocol::channel_of(channel), self.shared.outbox.member(slot)) {
            self.shared.outbox.set_up(slot, channel, false);
            let _ = self.send(Input::LinkDown { member });
        }
    }

    pub fn link_blocked(&self, slot: u32, channel: u8, blocked: bool) {
        if let Some(channel) = protocol::channel_of(channel) {
            self.shared.outbox.set_blocked(slot, channel, blocked);
        }
    }

    pub fn inbound_open(&self, connection: u32, node_id: &str) {
        self.shared.inbox.open(connection, MemberId::of(node_id));
    }

    pub fn inbound_data(&self, connection: u32, chunk: &[u8]) -> Result<(), FrameError> {
        match self.shared.inbox.data(connection, chunk) {
            Ok(Some((from, frames))) if !frames.is_empty() => {
                let _ = self.send(Input::Frames { from, frames });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.shared.note_refused(&error.to_string());
                Err(error)
            }
        }
    }

    pub fn inbound_closed(&self, connection: u32) {
        self.shared.inbox.close(connection);
    }

    pub fn log_stats(&self) -> vexfs_core::log::LogStats {
        self.reader.read().as_ref().map_or(Default::default(), |reader| reader.0.stats())
    }

    /// For tests of rule R14: the next fdatasync takes this much longer.
    pub fn hold_sync(&self, ms: u64) {
        if let Some(disk) = self.disk.lock().as_ref() {
            disk.faults().hold_sync(ms);
        }
    }

    /// Ends the node: what is queued is finished, then the threads are joined and the directory is free. Blocks.
    pub fn close(&self) {
        let _ = self.inputs.send(Input::Close);
        self.stopping.store(true, Ordering::SeqCst);
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            thread.thread().unpark();
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
        self.disk.lock().take();
        self.reader.write().take();
    }
}

fn members(config: &NodeConfig) -> Result<Vec<MemberId>, OpenError> {
    let mut named: Vec<(MemberId, &String)> =
        std::iter::once(&config.node_id).chain(&config.peers).map(|id| (MemberId::of(id), id)).collect();
    named.sort();
    if let Some(pair) = named.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(OpenError::MemberIdCollision(pair[0].1.clone(), pair[1].1.clone()));
    }
    Ok(named.into_iter().map(|(id, _)| id).collect())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_string()).spawn(run)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a thread panicked".to_string())
}
