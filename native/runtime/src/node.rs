//! An open node: its threads, and the doors through which JavaScript's two threads reach them.
//!
//! Stop order: the network detaches first, then `close` ends intake, drains the protocol thread, lets the log thread
//! finish what is queued and joins both. `close` may be called twice, and from any thread but its own.

use crate::background::{fill_spares, keep_snapshots, panic_text, spawn, yield_processor};
use crate::disk::{DiskError, FileDisk, Mode};
use crate::links::Outbox;
use crate::packer;
use crate::protocol::{self, Ended, Protocol};
use crate::queue::{Closing, Queue};
use crate::shared::{GroupShared, Input, LaneShared, Shared};
use crate::writer::{upkeep, Writer};
use parking_lot::{Mutex, RwLock};
use std::cell::{OnceCell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::followed::Delivered;
use vexfs_core::causal::reader::{Bounds, ReadError, Reader};
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::clock::{HybridClock, AHEAD_MS_MAX};
use vexfs_core::ends;
use vexfs_core::event::{self, Submission};
use vexfs_core::filter::Filter;
use vexfs_core::ids::{EventId, GroupId, Index, MemberId};
use vexfs_core::journal::{self, JournalError, Window};
use vexfs_core::log::{Identity, LogReader};
use vexfs_core::member::FIRST_GROUP;
use vexfs_core::member::open::{self as member_open, MemberConfig};
use vexfs_core::membership::Membership;
use vexfs_core::peer::choice::{self, Offer};
use vexfs_core::peer::frame::FrameError;
use vexfs_core::peer::round_trips::RoundTrips;
use vexfs_core::snapshot::states::States;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Member(#[from] member_open::OpenError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    Full,
    Closed,
    /// There is no such group here.
    UnknownGroup,
    /// This member has applied something else than a majority, and keeps out of the group.
    Diverged,
    /// The clock here is so far ahead of most others' that everybody's would follow what is stamped by it, for good.
    ClockAhead,
}

#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub data_dir: PathBuf,
    pub member: MemberConfig,
    /// Members to be dialled, in slot order.
    pub peers: Vec<String>,
    pub pending_bytes_max: usize,
    pub peer_bytes_max: usize,
    /// How frames to other members are packed.
    pub compression: choice::Mode,
    /// Bytes that nobody needs and that older entries may hold back in the log.
    pub held_back_bytes_max: u64,
}

/// What recovery found, for the status.
#[derive(Clone, Debug)]
pub struct Opened {
    pub identity: Identity,
    pub torn_bytes: u64,
    /// What the log's files took: superblock, footers, the newest segment.
    pub log_time: Duration,
    /// What the groups took: their snapshots.
    pub state_time: Duration,
}

pub struct Node {
    shared: Arc<Shared>,
    inputs: Queue<Input>,
    /// Gone after `close`: it holds the directory, and the node itself may live on in a handle for a while.
    reader: RwLock<Option<LogReader<FileDisk>>>,
    disk: Mutex<Option<Arc<FileDisk>>>,
    opened: Opened,
    pending_bytes_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: Arc<AtomicBool>,
}

/// How long a reader that meets damage waits for its repair, and how often it looks.
const REPAIR_WAIT: Duration = Duration::from_millis(500);
const REPAIR_POLL: Duration = Duration::from_millis(2);
/// Of what another member reads: stubs of the causal lane, and rules of replication.
const KNOWS_STUBS: u8 = 0x80;

/// A milliseconds setting in ticks, at least one.
pub fn ticks(ms: u64) -> usize {
    (ms / protocol::TICK.as_millis() as u64).max(1) as usize
}

impl Node {
    /// Opens the directory, recovers, starts the threads. Resolves without a quorum.
    pub fn open(config: NodeConfig) -> Result<Arc<Node>, OpenError> {
        let disk = Arc::new(FileDisk::open(&config.data_dir, Mode::ReadWrite)?);
        let began = Instant::now();
        let recovered = member_open::recover(disk.clone(), &config.member)?;
        let log_time = began.elapsed();
        let mut member = member_open::start(&recovered, &config.member)?;
        let state_time = began.elapsed() - log_time;
        let member_open::Recovered { log, keeper, recovery, .. } = recovered;
        let opened = Opened { identity: recovery.identity, torn_bytes: recovery.torn_bytes, log_time, state_time };
        let reader = log.reader();
        let peers = config.peers.iter().map(|peer| MemberId::of(peer)).collect();
        let groups = member.groups().map(|(id, group)| (id, GroupShared::new(group))).collect();
        let table = member.group(FIRST_GROUP).map_or(Membership::default(), |group| group.machine().membership().clone());
        let table_told = table.version;
        let (origins, delivered) = member.take_lane_news();
        let lane = LaneShared {
            delivered: Arc::new(delivered.unwrap_or_default()),
            gone: Arc::default(),
            origins: Arc::new(origins.unwrap_or_default()),
            doubled: member.lane().doubled().clone(),
            recent: member.lane().recent().clone(),
            actor: Arc::from(""),
        };
        let shared = Arc::new(Shared::new(Outbox::new(peers, config.peer_bytes_max, config.compression), groups, lane, table));
        *shared.lane_states.found.lock() = member.take_states();
        shared.lane_states.lacking.store(member.lane().lacks_states(), Ordering::Relaxed);
        // Bounded by what fills them: requests by the bytes that may wait, frames by what peers may have in flight,
        // writes and jobs by both.
        let inputs: Queue<Input> = Queue::default();
        let (writes, jobs) = (Queue::default(), Queue::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let pool = log.spare_pool();
        let held_back_max = config.held_back_bytes_max;
        let mut threads = Vec::new();
        threads.push(spawn("vexfs-log", {
            let (writes, done, stopping) = (writes.clone(), inputs.clone(), stopping.clone());
            let writer = Writer { log, writes, done: done.clone(), shared: shared.clone(), stopping, upkeep: upkeep(held_back_max) };
            move || {
                if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                    let _ = done.send(Input::DiskFailed { reason: "the log thread panicked".to_string() });
                }
            }
        })?);
        threads.push(spawn("vexfs-spare", {
            let stopping = stopping.clone();
            move || fill_spares(&pool, &stopping)
        })?);
        threads.push(spawn("vexfs-snapshot", {
            let (jobs, done) = (jobs.clone(), inputs.clone());
            move || {
                yield_processor();
                keep_snapshots(&keeper, &jobs, &done);
            }
        })?);
        threads.push(spawn("vexfs-pack", {
            let shared = shared.clone();
            move || packer::run(&shared.outbox)
        })?);
        let protocol = Protocol {
            member,
            shared: shared.clone(),
            node_id: config.member.node_id.clone(),
            life: member_open::life_of(&config.member),
            writes: Closing(writes),
            jobs: Closing(jobs),
            clock: HybridClock::default(),
            snapshots_asked: Vec::new(),
            table_told,
            lane_told: Instant::now(),
            round_trips: RoundTrips::default(),
            probed: Instant::now(),
            know_stubs: Default::default(),
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

    fn check_clock(&self) -> Result<(), NotTaken> {
        match self.shared.clock_ahead_ms.load(Ordering::Relaxed) > AHEAD_MS_MAX {
            true => Err(NotTaken::ClockAhead),
            false => Ok(()),
        }
    }

    /// Takes a packed submission, unless too many bytes wait already.
    pub fn submit(&self, request: u32, bytes: &[u8], applied_quorum: u32) -> Result<(), NotTaken> {
        self.check_clock()?;
        let waiting = self.shared.pending_bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes.len() > self.pending_bytes_max {
            return Err(NotTaken::Full);
        }
        if let Some(group) = event::group_of(bytes) {
            self.check(group)?;
        }
        // Counted here at once, by the protocol thread exactly: a burst between two of its loops is bounded too.
        self.shared.pending_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        self.send(Input::Submit { request, bytes: bytes.to_vec(), applied_quorum })
    }

    /// Takes packed events for the causal lane, unless too many bytes wait already.
    pub fn publish(&self, request: u32, bytes: &[u8]) -> Result<(), NotTaken> {
        self.check_clock()?;
        let waiting = self.shared.pending_bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes.len() > self.pending_bytes_max {
            return Err(NotTaken::Full);
        }
        self.shared.pending_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        self.send(Input::Publish { request, bytes: bytes.to_vec() })
    }

    /// Packed deliveries of the causal lane from where a reader stands (see `vexfs_core::causal::reader`); none after
    /// `close`. Waits a little for the repair of what it cannot read.
    pub fn read_causal(&self, reader: &mut Reader, bounds: Bounds, filter: Option<&Filter>) -> Result<Vec<u8>, ReadError> {
        let Some(log) = self.reader.read().clone() else { return Ok(vec![0; 8]) };
        let mut waited = Duration::ZERO;
        loop {
            let LaneShared { delivered, origins, doubled, recent, .. } = self.shared.lane.read().clone();
            match reader.read(&recent.over(&log), &origins, &delivered, &doubled, bounds, filter) {
                Err(ReadError::Unreadable { group, index, .. }) if waited < REPAIR_WAIT => {
                    let _ = self.send(Input::Unreadable { group, index });
                    std::thread::sleep(REPAIR_POLL);
                    waited += REPAIR_POLL;
                }
                read => return read,
            }
        }
    }

    /// Has states kept that the application has made of the causal lane.
    pub fn keep_states(&self, states: States) -> Result<(), NotTaken> {
        self.send(Input::KeepStates(Arc::new(states)))
    }

    /// Whether there is a group of that number, in which this member has its say.
    fn check(&self, group: GroupId) -> Result<(), NotTaken> {
        let shared = self.shared.groups.get(&group).ok_or(NotTaken::UnknownGroup)?;
        match shared.diverged.load(Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(NotTaken::Diverged),
        }
    }

    /// Sends what concerns one group.
    fn send_to(&self, group: GroupId, input: Input) -> Result<(), NotTaken> {
        self.check(group)?;
        self.send(input)
    }

    pub fn barrier(&self, request: u32, group: GroupId) -> Result<(), NotTaken> {
        self.send_to(group, Input::Barrier { request, group })
    }

    pub fn withdraw(&self, request: u32, group: GroupId) -> Result<(), NotTaken> {
        if group == FIRST_ORIGIN {
            return self.send(Input::Withdraw { request, group });
        }
        match self.check(group) {
            // It was taken before, and nothing else would end it.
            Ok(()) | Err(NotTaken::Diverged) => self.send(Input::Withdraw { request, group }),
            refused => refused,
        }
    }

    pub fn find(&self, request: u32, group: GroupId, id: EventId) -> Result<(), NotTaken> {
        match group {
            FIRST_ORIGIN => self.send(Input::Find { request, group, id }),
            _ => self.send_to(group, Input::Find { request, group, id }),
        }
    }

    /// Hands in a packed member command (docs/formats.md, "Member commands").
    pub fn change_members(&self, request: u32, command: &[u8]) -> Result<(), NotTaken> {
        self.check(FIRST_GROUP)?;
        self.send(Input::Members { request, command: command.to_vec() })
    }

    /// Hands in a packed table of rules (docs/formats.md, "Rules of replication").
    pub fn set_rules(&self, request: u32, rules: &[u8]) -> Result<(), NotTaken> {
        self.check(FIRST_GROUP)?;
        self.send(Input::Rules { request, rules: rules.to_vec() })
    }

    /// Has an entry of the causal lane fetched that is not held here.
    pub fn fetch(&self, actor: Actor, counter: u64) -> Result<(), NotTaken> {
        self.send(Input::Fetch { actor, counter })
    }

    pub fn take_snapshot(&self, request: u32, group: GroupId) -> Result<(), NotTaken> {
        self.send_to(group, Input::TakeSnapshot { request, group })
    }

    pub fn transfer_leadership(&self, group: GroupId, to: &str) -> Result<(), NotTaken> {
        self.send_to(group, Input::Transfer { group, to: MemberId::of(to) })
    }

    /// Asks every group that is led here to be led elsewhere.
    pub fn hand_over(&self) -> Result<(), NotTaken> {
        self.send(Input::HandOver)
    }

    /// The network's slot of a peer, a new one if it was not known.
    pub fn add_peer(&self, node_id: &str) -> u32 {
        self.shared.outbox.add(MemberId::of(node_id))
    }

    /// Packed deliveries from the applied prefix (see `vexfs_core::journal::read`); none after `close`. Index 0 stands
    /// for the journal's first entry. They end in front of what follows something that was not delivered in the causal
    /// lane, and that is fetched from then on. Errors: `Compacted` for a later place that is before it.
    pub fn read_journal(&self, group: GroupId, window: Window, filter: Option<&Filter>) -> Result<Vec<u8>, JournalError> {
        self.read_window(group, window, filter, true)
    }

    /// As `read_journal`, of one place, whether or not what it follows was delivered here.
    pub fn read_place(&self, group: GroupId, index: Index, offset: u32) -> Result<Vec<u8>, JournalError> {
        self.read_window(group, Window { index, offset, bytes_max: 1, events_max: 1 }, None, false)
    }

    fn read_window(&self, group: GroupId, window: Window, filter: Option<&Filter>, in_order: bool) -> Result<Vec<u8>, JournalError> {
        let (reader, shared) = (self.reader.read().clone(), self.shared.groups.get(&group));
        let (Some(reader), Some(shared)) = (reader, shared) else {
            let mut none = vec![0; journal::DELIVERIES_HEADER_BYTES];
            none[..8].copy_from_slice(&window.index.0.to_le_bytes());
            none[8..12].copy_from_slice(&window.offset.to_le_bytes());
            return Ok(none);
        };
        let applied = Index(shared.applied.load(Ordering::SeqCst));
        let suppressed = |index| shared.suppressed.read().of(index);
        let first = || Index(shared.first.load(Ordering::SeqCst));
        let begins = first();
        if window.index > Index(0) && window.index < begins {
            return Err(JournalError::Compacted { index: window.index, first: begins });
        }
        let diverged = shared.diverged.load(Ordering::SeqCst);
        if diverged > 0 {
            return Err(JournalError::Diverged { first: Index(diverged) });
        }
        let window = Window { index: window.index.max(begins), ..window };
        // Looked at once: what is delivered meanwhile is found by the next read.
        let delivered = OnceCell::new();
        let wanted = RefCell::new(Vec::new());
        let held_up = |submission: &Submission| {
            let delivered = delivered.get_or_init(|| {
                let LaneShared { origins, delivered, gone, .. } = self.shared.lane.read().clone();
                Delivered::of(&origins, &delivered, &gone)
            });
            *wanted.borrow_mut() = if in_order { delivered.lacks(submission) } else { Vec::new() };
            !wanted.borrow().is_empty()
        };
        let mut waited = Duration::ZERO;
        loop {
            let index = match journal::read(&reader, group, applied, &suppressed, window, filter, &held_up) {
                Err(JournalError::Unreadable { index, .. }) if waited < REPAIR_WAIT => index,
                // It may have gone while it was read.
                Err(_) if window.index < first() => {
                    return Err(JournalError::Compacted { index: window.index, first: first() });
                }
                read => {
                    if !wanted.borrow().is_empty() {
                        let _ = self.send(Input::Want(wanted.take()));
                    }
                    return read;
                }
            };
            // Damage: other members have it, and are asked; that takes as long as a publish.
            let _ = self.send(Input::Unreadable { group, index });
            std::thread::sleep(REPAIR_POLL);
            waited += REPAIR_POLL;
        }
    }

    /// `reads`: the compressions that the other side reads, see `Offer::of_bits`, and `KNOWS_STUBS`.
    pub fn link_up(&self, slot: u32, channel: u8, reads: u8) {
        if let (Some(channel), Some(member)) = (protocol::channel_of(channel), self.shared.outbox.member(slot)) {
            self.shared.outbox.set_up(slot, channel, true, Offer::of_bits(reads));
            let _ = self.send(Input::LinkUp { member, channel, knows_stubs: reads & KNOWS_STUBS != 0 });
        }
    }

    pub fn link_down(&self, slot: u32, channel: u8) {
        if let (Some(channel), Some(member)) = (protocol::channel_of(channel), self.shared.outbox.member(slot)) {
            self.shared.outbox.set_up(slot, channel, false, Offer::default());
            let _ = self.send(Input::LinkDown { member, channel });
        }
    }

    /// The socket takes no more for now: so many bytes wait in it.
    pub fn link_blocked(&self, slot: u32, channel: u8, waiting_bytes: usize) {
        if let Some(channel) = protocol::channel_of(channel) {
            self.shared.outbox.set_blocked(slot, channel, waiting_bytes);
        }
    }

    pub fn link_drained(&self, slot: u32, channel: u8) {
        if let Some(channel) = protocol::channel_of(channel) {
            self.shared.outbox.set_drained(slot, channel);
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
        self.reader.read().as_ref().map_or(Default::default(), LogReader::stats)
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
        self.shared.outbox.jobs.close();
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
