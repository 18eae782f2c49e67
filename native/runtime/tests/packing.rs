//! Frames on their way to other members, packed and not: the order, what is urgent, what the other side reads, the bound.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vexfs_core::compression::Codec;
use vexfs_core::ids::{GroupId, MemberId};
use vexfs_core::peer::choice::{Mode, Offer};
use vexfs_core::peer::frame::{build, Channel, FrameKind};
use vexfs_runtime::links::{Inbox, Outbox};
use vexfs_runtime::packer;

const READS_ALL: u8 = 0b1110;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// An outbox with one peer, and its packing thread where there is to be one.
struct Sender {
    outbox: Arc<Outbox>,
    packer: Option<std::thread::JoinHandle<()>>,
    inbox: Inbox,
}

impl Sender {
    fn new(mode: Mode, reads: u8, packs: bool) -> Self {
        let outbox = Arc::new(Outbox::new(vec![MemberId(7)], 64 * MIB, mode));
        let packer = packs.then(|| {
            let outbox = outbox.clone();
            std::thread::spawn(move || packer::run(&outbox))
        });
        let sender = Self { outbox, packer, inbox: Inbox::default() };
        sender.connect(reads);
        sender
    }

    fn connect(&self, reads: u8) {
        for (number, channel) in [Channel::Urgent, Channel::Bulk].into_iter().enumerate() {
            self.outbox.set_up(0, channel, true, Offer::of_bits(reads));
            self.inbox.open(number as u32, MemberId(1));
        }
    }

    fn push(&self, channel: Channel, number: u32, length: usize) {
        let frame = build(FrameKind::Forward, GroupId(number), length, |out| out.extend((0..length).map(|at| (at % 61) as u8)));
        self.push_frame(channel, frame);
    }

    fn push_frame(&self, channel: Channel, frame: Vec<u8>) {
        assert!(self.outbox.push([(MemberId(7), channel, frame)]).is_empty());
    }

    /// Numbers of the frames that arrive by one batch, and the bytes of each channel.
    fn carry(&self) -> (Vec<u32>, [usize; 2]) {
        let batch = self.outbox.take();
        let (mut numbers, mut bytes, mut at) = (Vec::new(), [0; 2], 0);
        while at < batch.len() {
            let (channel, length) = (batch[at], u32::from_le_bytes(batch[at + 4..at + 8].try_into().unwrap()) as usize);
            let (_, frames) = self.inbox.data(channel.into(), &batch[at + 8..at + 8 + length]).unwrap().unwrap();
            numbers.extend(frames.iter().map(|frame| frame.group.0));
            bytes[channel as usize] += length;
            at += 8 + length;
        }
        (numbers, bytes)
    }

    /// As `carry`, until so many have arrived.
    fn carry_all(&self, count: usize) -> (Vec<u32>, usize) {
        let (mut all, mut bulk_bytes, until) = (Vec::new(), 0, Instant::now() + Duration::from_secs(60));
        while all.len() < count {
            assert!(Instant::now() < until, "{} of {count} have arrived", all.len());
            let (numbers, bytes) = self.carry();
            all.extend(numbers);
            bulk_bytes += bytes[1];
            std::thread::yield_now();
        }
        (all, bulk_bytes)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.outbox.jobs.close();
        drop(self.packer.take().map(std::thread::JoinHandle::join));
    }
}

fn numbers(count: u32) -> Vec<u32> {
    (0..count).collect()
}

#[test]
fn packed_frames_arrive_in_order_and_are_counted() {
    for codec in Codec::ALL {
        let sender = Sender::new(Mode::Only(codec), READS_ALL, true);
        for number in 0..300 {
            sender.push(Channel::Bulk, number, if number % 50 == 7 { 3 * MIB } else { 10 * KIB });
        }
        let raw = sender.outbox.bytes();
        let (arrived, left) = sender.carry_all(300);
        assert_eq!(arrived, numbers(300), "{codec:?}");
        assert!(left < raw / 4, "{codec:?}: {left} of {raw}");
        assert_eq!(sender.outbox.bytes(), 0);
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed) as usize;
        assert_eq!((count(&sender.outbox.raw_bytes), count(&sender.outbox.packed_bytes)), (raw, left));
        assert_eq!((count(&sender.inbox.raw_bytes), count(&sender.inbox.packed_bytes)), (raw, left));
    }
}

/// Nobody packs here, so that what waits for packing waits for good.
#[test]
fn what_is_urgent_waits_for_no_packing() {
    let sender = Sender::new(Mode::Only(Codec::Zstd), READS_ALL, false);
    sender.push(Channel::Bulk, 1, 100 * KIB);
    sender.push(Channel::Urgent, 2, 100 * KIB);
    let (arrived, bytes) = sender.carry();
    assert_eq!((arrived, bytes), (vec![2], [100 * KIB + 16, 0]), "urgent frames are not packed");
    sender.push(Channel::Bulk, 3, 10);
    sender.push(Channel::Urgent, 4, 10);
    assert_eq!(sender.carry().0, [4], "what is behind a run that is being packed stays behind it");
}

#[test]
fn what_is_short_leaves_at_once_as_it_is() {
    let sender = Sender::new(Mode::Only(Codec::Zstd), READS_ALL, false);
    sender.push(Channel::Bulk, 1, 400);
    assert_eq!(sender.carry(), (vec![1], [0, 416]));
}

#[test]
fn nothing_is_packed_for_who_does_not_read_it() {
    // 2: Zstd's bit is not among them; 0: a member of an older release.
    for reads in [0b0010, 0] {
        let sender = Sender::new(Mode::Only(Codec::Zstd), reads, false);
        sender.push(Channel::Bulk, 1, 100 * KIB);
        assert_eq!(sender.carry(), (vec![1], [0, 100 * KIB + 16]));
    }
    let sender = Sender::new(Mode::None, READS_ALL, false);
    sender.push(Channel::Bulk, 1, 100 * KIB);
    assert_eq!(sender.carry().0, [1]);
}

#[test]
fn pieces_of_snapshots_leave_as_they_are_and_in_their_place() {
    let sender = Sender::new(Mode::Only(Codec::Lz4), READS_ALL, true);
    let piece = |number: u32| build(FrameKind::SnapshotPiece, GroupId(number), 50 * KIB, |out| out.resize(16 + 50 * KIB, 0));
    sender.push_frame(Channel::Bulk, piece(0));
    sender.push(Channel::Bulk, 1, 50 * KIB);
    sender.push_frame(Channel::Bulk, piece(2));
    sender.push_frame(Channel::Bulk, piece(3));
    sender.push(Channel::Bulk, 4, 50 * KIB);
    let (arrived, left) = sender.carry_all(5);
    assert_eq!(arrived, numbers(5));
    assert!((150 * KIB..160 * KIB).contains(&left), "{left}");
}

#[test]
fn with_auto_a_line_that_keeps_nobody_waiting_carries_frames_as_they_are() {
    let sender = Sender::new(Mode::Auto, READS_ALL, true);
    sender.push(Channel::Bulk, 0, MIB);
    assert_eq!(sender.carry(), (vec![0], [0, MIB + 16]));
    // It takes a second for 100 KiB, or longer: no clock is needed to see that packing pays.
    sender.outbox.set_blocked(0, Channel::Bulk, 1);
    std::thread::sleep(Duration::from_millis(20));
    sender.push(Channel::Bulk, 1, MIB);
    assert_eq!(sender.carry().0, [0; 0], "a blocked link holds what comes");
    sender.outbox.set_drained(0, Channel::Bulk);
    let (arrived, left) = sender.carry_all(1);
    assert_eq!(arrived, [1]);
    assert!(left < MIB / 10, "{left}");
    // A new connection is not known yet.
    sender.connect(READS_ALL);
    sender.push(Channel::Bulk, 2, MIB);
    assert_eq!(sender.carry(), (vec![2], [0, MIB + 16]));
}

#[test]
fn what_was_packed_for_a_lost_connection_goes_with_it() {
    let sender = Sender::new(Mode::Only(Codec::Lz4), READS_ALL, false);
    sender.push(Channel::Bulk, 1, 100 * KIB);
    assert_eq!(sender.carry().0, [0; 0]);
    sender.outbox.set_up(0, Channel::Bulk, false, Offer::default());
    sender.connect(READS_ALL);
    sender.push(Channel::Bulk, 2, 100 * KIB);
    // Now somebody packs.
    let outbox = sender.outbox.clone();
    let packer = std::thread::spawn(move || packer::run(&outbox));
    assert_eq!(sender.carry_all(1).0, [2]);
    assert_eq!(sender.outbox.bytes(), 0);
    sender.outbox.jobs.close();
    packer.join().unwrap();
    assert_eq!(sender.carry().0, [0; 0]);
}

/// What is with the packer counts as waiting.
#[test]
fn a_link_that_is_full_takes_no_more_while_its_frames_are_packed() {
    let outbox = Outbox::new(vec![MemberId(7)], MIB, Mode::Only(Codec::Lz4));
    outbox.set_up(0, Channel::Bulk, true, Offer::of_bits(READS_ALL));
    let frame = |length: usize| [(MemberId(7), Channel::Bulk, build(FrameKind::Forward, GroupId(0), length, |out| out.resize(16 + length, 0)))];
    assert!(outbox.push(frame(900 * KIB)).is_empty());
    assert!(outbox.take().is_empty());
    assert_eq!(outbox.bytes(), 900 * KIB + 16);
    assert_eq!(outbox.push(frame(200 * KIB)), [MemberId(7)]);
}
