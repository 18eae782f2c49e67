//! Between the protocol thread and the peer network: frames out, bounded by bytes a link; bytes in, put together.

use crate::packer::{Job, Packed};
use crate::queue::Queue;
use crate::wake::Waker;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use vexfs_core::ids::MemberId;
use vexfs_core::peer::choice::{Choice, Method, Mode, Offer};
use vexfs_core::peer::frame::{Assembler, Channel, Frame, FrameError, FrameKind};

/// Bytes handed to the network in one call at most, so that its loop keeps turning.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Frames packed together, in bytes, but for a longer one by itself: what is behind them waits for as long as packing takes.
const RUN_BYTES: usize = 1024 * 1024;

type Frames = Vec<Vec<u8>>;

/// What has gone out on one channel to a member since the start, over all its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub connections: u64,
    pub frames: u64,
    pub bytes: u64,
    /// Runs of frames that went to the network in one piece.
    pub batches: u64,
    /// Frames that a link which was full or down did not take.
    pub dropped: u64,
}

/// One channel to a member, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    pub member: MemberId,
    pub channel: Channel,
    pub up: bool,
    /// The network takes no more before the other side has read.
    pub blocked: bool,
    /// Bytes that wait for the network; what it holds itself is not among them.
    pub waiting_bytes: usize,
    pub sent: Sent,
}

/// What has come from a member since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub frames: u64,
    pub bytes: u64,
}

struct Link {
    /// Number of its connection: what was packed for another is dropped.
    life: u64,
    up: bool,
    blocked: bool,
    /// When it was blocked, and how many bytes waited in the socket then.
    blocked_at: Option<(Instant, usize)>,
    frames: VecDeque<Vec<u8>>,
    /// The first frames are with the packer.
    packing: bool,
    /// They are back, and go before all others.
    ready: Frames,
    /// Of all of them.
    bytes: usize,
    sent: Sent,
    choice: Choice,
}

impl Link {
    fn new(life: u64, up: bool, mode: Mode, offer: Offer) -> Self {
        let choice = Choice::new(mode, offer);
        Self { life, up, blocked: false, blocked_at: None, frames: VecDeque::new(), packing: false, ready: Vec::new(), bytes: 0, sent: Sent::default(), choice }
    }

    fn has_some(&self) -> bool {
        !self.ready.is_empty() || (!self.packing && !self.frames.is_empty())
    }

    /// What may leave now, in order, and the run behind it that is to be packed before anything else leaves.
    fn next(&mut self, channel: Channel, now_us: u64) -> (Frames, Option<(Method, Frames)>) {
        let mut out = std::mem::take(&mut self.ready);
        let mut run = None;
        if channel == Channel::Urgent && !self.packing {
            out.extend(self.frames.drain(..));
        }
        while !self.packing && !self.frames.is_empty() {
            let as_it_is = self.frames.iter().take_while(|frame| is_packed_already(frame)).count();
            out.extend(self.frames.drain(..as_it_is));
            let (length, bytes) = first_run(&self.frames);
            let method = self.choice.method(bytes, now_us);
            let taken = self.frames.drain(..length);
            match method {
                Some(method) => {
                    run = Some((method, taken.collect()));
                    self.packing = true;
                }
                None => out.extend(taken),
            }
        }
        self.bytes -= out.iter().map(Vec::len).sum::<usize>();
        (out, run)
    }
}

/// Pieces of snapshots, which are files of packed blocks.
fn is_packed_already(frame: &[u8]) -> bool {
    frame[8] == FrameKind::SnapshotPiece as u8
}

/// How many frames make up the next run, and their bytes.
fn first_run(frames: &VecDeque<Vec<u8>>) -> (usize, usize) {
    let (mut length, mut bytes) = (0, 0);
    for frame in frames {
        if is_packed_already(frame) || (length > 0 && bytes + frame.len() > RUN_BYTES) {
            break;
        }
        length += 1;
        bytes += frame.len();
    }
    (length, bytes)
}

/// A peer's place, for as long as the node is open.
struct Slot {
    member: MemberId,
    channels: [Link; 2],
}

/// Outbound side. Slots are given out in the order in which peers become known.
pub struct Outbox {
    slots: Mutex<Vec<Slot>>,
    bytes_max: usize,
    mode: Mode,
    opened: Instant,
    lives: AtomicU64,
    /// For the thread that packs.
    pub jobs: Queue<Job>,
    pub waker: Waker,
    /// Of frames that were packed: their bytes, and the bytes that left for them.
    pub raw_bytes: AtomicU64,
    pub packed_bytes: AtomicU64,
}

impl Outbox {
    pub fn new(peers: Vec<MemberId>, bytes_max: usize, mode: Mode) -> Self {
        let outbox = Self {
            slots: Mutex::default(),
            bytes_max,
            mode,
            opened: Instant::now(),
            lives: AtomicU64::new(0),
            jobs: Queue::default(),
            waker: Waker::default(),
            raw_bytes: AtomicU64::new(0),
            packed_bytes: AtomicU64::new(0),
        };
        for peer in peers {
            outbox.add(peer);
        }
        outbox
    }

    fn link(&self, up: bool, offer: Offer) -> Link {
        Link::new(self.lives.fetch_add(1, Ordering::Relaxed), up, self.mode, offer)
    }

    fn now_us(&self) -> u64 {
        self.opened.elapsed().as_micros() as u64
    }

    pub fn member(&self, slot: u32) -> Option<MemberId> {
        self.slots.lock().get(slot as usize).map(|slot| slot.member)
    }

    /// The slot of a peer; a new one if it was not known.
    pub fn add(&self, member: MemberId) -> u32 {
        let mut slots = self.slots.lock();
        let at = slots.iter().position(|slot| slot.member == member).unwrap_or_else(|| {
            let channels = [(); 2].map(|()| self.link(false, Offer::default()));
            slots.push(Slot { member, channels });
            slots.len() - 1
        });
        at as u32
    }

    /// Queues frames in order; what a link that is down or full cannot take is dropped, as a network may.
    /// Answers the members whose link was full: raft has to know that a stream to them has a hole.
    pub fn push(&self, frames: impl IntoIterator<Item = (MemberId, Channel, Vec<u8>)>) -> Vec<MemberId> {
        let mut full = Vec::new();
        let mut queued = false;
        let mut slots = self.slots.lock();
        for (member, channel, frame) in frames {
            let Some(slot) = slots.iter_mut().find(|slot| slot.member == member) else { continue };
            let link = &mut slot.channels[channel as usize];
            if !link.up || link.bytes + frame.len() > self.bytes_max {
                link.sent.dropped += 1;
                if link.up && !full.contains(&member) {
                    full.push(member);
                }
                continue;
            }
            link.bytes += frame.len();
            link.frames.push_back(frame);
            queued |= !link.blocked && link.has_some();
        }
        drop(slots);
        if queued {
            self.waker.wake();
        }
        full
    }

    /// Everything that may be written now (docs/formats.md, "Outbound batches"), urgent first.
    pub fn take(&self) -> Vec<u8> {
        self.waker.fetched();
        let now_us = self.now_us();
        let mut runs = Vec::new();
        let mut total = 0;
        let mut more = false;
        // Frames are taken under the lock and copied after it: the protocol thread never waits for a copy.
        let mut slots = self.slots.lock();
        for channel in [Channel::Urgent, Channel::Bulk] {
            for (slot, peer) in slots.iter_mut().enumerate() {
                let link = &mut peer.channels[channel as usize];
                if link.blocked || !link.has_some() {
                    continue;
                }
                if total >= BATCH_BYTES {
                    more = true;
                    continue;
                }
                let (frames, run) = link.next(channel, now_us);
                if let Some((method, frames)) = run {
                    // Closed: the node is at its end, and nothing more leaves.
                    let _ = self.jobs.send(Job { slot, channel, life: link.life, method, frames });
                }
                let bytes = frames.iter().map(Vec::len).sum::<usize>();
                if bytes > 0 {
                    link.sent.batches += 1;
                    link.sent.frames += frames.len() as u64;
                    link.sent.bytes += bytes as u64;
                    total += 8 + bytes;
                    runs.push((channel, slot, bytes, frames));
                }
            }
        }
        drop(slots);
        if more {
            self.waker.wake();
        }
        let mut batch = Vec::with_capacity(total);
        for (channel, slot, bytes, frames) in runs {
            batch.extend_from_slice(&[channel as u8, 0]);
            batch.extend_from_slice(&(slot as u16).to_le_bytes());
            batch.extend_from_slice(&(bytes as u32).to_le_bytes());
            for frame in frames {
                batch.extend_from_slice(&frame);
            }
        }
        batch
    }

    /// Takes back what a job has become.
    pub fn packed(&self, packed: Packed) {
        let Packed { slot, channel, life, method, frames, raw_bytes, took_us } = packed;
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let mut slots = self.slots.lock();
        let Some(link) = slots.get_mut(slot).map(|peer| &mut peer.channels[channel as usize]) else { return };
        if link.life != life {
            return;
        }
        link.choice.packed(method, raw_bytes, bytes, took_us);
        link.packing = false;
        link.bytes = link.bytes - raw_bytes + bytes;
        link.ready = frames;
        let free = !link.blocked;
        drop(slots);
        if bytes < raw_bytes {
            self.raw_bytes.fetch_add(raw_bytes as u64, Ordering::Relaxed);
            self.packed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        if free {
            self.waker.wake();
        }
    }

    /// The link's new state, and what the other side reads; answers whether it exists.
    pub fn set_up(&self, slot: u32, channel: Channel, up: bool, offer: Offer) -> bool {
        let mut slots = self.slots.lock();
        let Some(peer) = slots.get_mut(slot as usize) else { return false };
        // What was queued for the old connection may have been half sent: the new one starts clean.
        let fresh = self.link(up, offer);
        let link = &mut peer.channels[channel as usize];
        let sent = Sent { connections: link.sent.connections + u64::from(up), ..link.sent };
        *link = Link { sent, ..fresh };
        true
    }

    /// The socket takes no more at once, and so many bytes wait in it.
    pub fn set_blocked(&self, slot: u32, channel: Channel, waiting_bytes: usize) {
        if let Some(peer) = self.slots.lock().get_mut(slot as usize) {
            let link = &mut peer.channels[channel as usize];
            link.blocked = true;
            link.blocked_at = Some((Instant::now(), waiting_bytes));
        }
    }

    /// It has taken all of them.
    pub fn set_drained(&self, slot: u32, channel: Channel) {
        let now_us = self.now_us();
        if let Some(peer) = self.slots.lock().get_mut(slot as usize) {
            let link = &mut peer.channels[channel as usize];
            link.blocked = false;
            if let Some((since, bytes)) = link.blocked_at.take() {
                link.choice.drained(bytes, since.elapsed().as_micros() as f64, now_us);
            }
        }
        self.waker.wake();
    }

    /// Both channels of every member that is, or was, dialled.
    pub fn links(&self) -> Vec<LinkState> {
        let slots = self.slots.lock();
        let of = |slot: &Slot, channel: Channel| {
            let Link { up, blocked, bytes, sent, .. } = slot.channels[channel as usize];
            LinkState { member: slot.member, channel, up, blocked, waiting_bytes: bytes, sent }
        };
        slots.iter().flat_map(|slot| [Channel::Urgent, Channel::Bulk].map(|channel| of(slot, channel))).collect()
    }

    /// Frames that no link took.
    pub fn dropped_frames(&self) -> u64 {
        self.slots.lock().iter().flat_map(|slot| &slot.channels).map(|link| link.sent.dropped).sum()
    }

    /// Bytes waiting on all links.
    pub fn bytes(&self) -> usize {
        self.slots.lock().iter().flat_map(|slot| &slot.channels).map(|link| link.bytes).sum()
    }
}

/// Inbound side: one assembler a connection.
#[derive(Default)]
pub struct Inbox {
    connections: Mutex<HashMap<u32, (MemberId, Assembler)>>,
    received: Mutex<HashMap<MemberId, Received>>,
    /// Of frames that came packed: their bytes, and the bytes that came for them.
    pub raw_bytes: AtomicU64,
    pub packed_bytes: AtomicU64,
}

impl Inbox {
    pub fn open(&self, connection: u32, member: MemberId) {
        self.connections.lock().insert(connection, (member, Assembler::default()));
    }

    pub fn close(&self, connection: u32) {
        self.connections.lock().remove(&connection);
    }

    /// Frames that `chunk` completes. After an error the connection is forgotten; an unknown one gives nothing.
    pub fn data(&self, connection: u32, chunk: &[u8]) -> Result<Option<(MemberId, Vec<Frame>)>, FrameError> {
        let mut connections = self.connections.lock();
        let Some((member, assembler)) = connections.get_mut(&connection) else { return Ok(None) };
        let mut frames = Vec::new();
        let pushed = assembler.push(chunk, &mut frames);
        let (raw, packed) = assembler.take_unpacked();
        self.raw_bytes.fetch_add(raw, Ordering::Relaxed);
        self.packed_bytes.fetch_add(packed, Ordering::Relaxed);
        match pushed {
            Ok(()) => {
                let member = *member;
                drop(connections);
                let mut received = self.received.lock();
                let received = received.entry(member).or_default();
                received.frames += frames.len() as u64;
                received.bytes += chunk.len() as u64;
                Ok(Some((member, frames)))
            }
            Err(error) => {
                connections.remove(&connection);
                Err(error)
            }
        }
    }

    /// By member.
    pub fn received(&self) -> HashMap<MemberId, Received> {
        self.received.lock().clone()
    }
}
