//! Between the protocol thread and the peer network: frames out, bounded by bytes a link; bytes in, put together.

use crate::wake::Waker;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use vexfs_core::ids::MemberId;
use vexfs_core::peer::frame::{Assembler, Channel, Frame, FrameError};

/// Bytes handed to the network in one call at most, so that its loop keeps turning.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

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

#[derive(Default)]
struct Link {
    up: bool,
    blocked: bool,
    frames: Vec<Vec<u8>>,
    bytes: usize,
    sent: Sent,
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
    pub waker: Waker,
    pub dropped_frames: AtomicU64,
}

impl Outbox {
    pub fn new(peers: Vec<MemberId>, bytes_max: usize) -> Self {
        let slots = peers.into_iter().map(|member| Slot { member, channels: Default::default() }).collect();
        Self { slots: Mutex::new(slots), bytes_max, waker: Waker::default(), dropped_frames: AtomicU64::new(0) }
    }

    pub fn member(&self, slot: u32) -> Option<MemberId> {
        self.slots.lock().get(slot as usize).map(|slot| slot.member)
    }

    /// The slot of a peer; a new one if it was not known.
    pub fn add(&self, member: MemberId) -> u32 {
        let mut slots = self.slots.lock();
        let at = slots.iter().position(|slot| slot.member == member).unwrap_or_else(|| {
            slots.push(Slot { member, channels: Default::default() });
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
                self.dropped_frames.fetch_add(1, Ordering::Relaxed);
                link.sent.dropped += 1;
                if link.up && !full.contains(&member) {
                    full.push(member);
                }
                continue;
            }
            link.bytes += frame.len();
            link.frames.push(frame);
            queued |= !link.blocked;
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
        let mut runs = Vec::new();
        let mut total = 0;
        let mut more = false;
        // Frames are taken under the lock and copied after it: the protocol thread never waits for a copy.
        let mut slots = self.slots.lock();
        for channel in [Channel::Urgent, Channel::Bulk] {
            for (slot, peer) in slots.iter_mut().enumerate() {
                let link = &mut peer.channels[channel as usize];
                if link.blocked || link.frames.is_empty() {
                    continue;
                }
                if total >= BATCH_BYTES {
                    more = true;
                    continue;
                }
                let bytes = std::mem::take(&mut link.bytes);
                link.sent.batches += 1;
                link.sent.frames += link.frames.len() as u64;
                link.sent.bytes += bytes as u64;
                total += 8 + bytes;
                runs.push((channel, slot, bytes, std::mem::take(&mut link.frames)));
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

    /// The link's new state; answers whether it exists.
    pub fn set_up(&self, slot: u32, channel: Channel, up: bool) -> bool {
        let mut slots = self.slots.lock();
        let Some(peer) = slots.get_mut(slot as usize) else { return false };
        // What was queued for the old connection may have been half sent: the new one starts clean.
        let link = &mut peer.channels[channel as usize];
        link.sent.connections += u64::from(up);
        *link = Link { up, sent: link.sent, ..Default::default() };
        true
    }

    pub fn set_blocked(&self, slot: u32, channel: Channel, blocked: bool) {
        if let Some(peer) = self.slots.lock().get_mut(slot as usize) {
            peer.channels[channel as usize].blocked = blocked;
        }
        if !blocked {
            self.waker.wake();
        }
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
        match assembler.push(chunk, &mut frames) {
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
