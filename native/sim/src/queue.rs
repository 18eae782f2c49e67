//! What happens next: events by virtual time, and among equal times in the order they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One direction and channel between two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    pub from: u8,
    pub to: u8,
    pub channel: u8,
}

/// `life` counts the starts of a member: what was planned for an earlier one is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Tick { node: u8, life: u32 },
    /// The first frame of a lane has arrived.
    Arrive(Lane),
    /// A batch is on disk.
    Written { node: u8, life: u32, batch: u32 },
    Flush { node: u8, life: u32 },
    /// A job on snapshot files is done.
    Job { node: u8, life: u32 },
    /// A dialler tries again.
    Dial { from: u8, to: u8 },
    Start { node: u8 },
    Resume { node: u8 },
    /// A full disk has room again.
    Room { node: u8 },
    Fault { number: u32 },
    Publisher { number: u8 },
    Subscriber { number: u8 },
    Consumer { number: u8 },
    Operator,
    /// The healing is looked at.
    Look,
}

#[derive(Default)]
pub struct Events {
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
}

impl Events {
    pub fn at(&mut self, at_us: u64, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse((at_us, self.planned, event)));
    }

    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|Reverse((at_us, _, event))| (at_us, event))
    }

    pub fn next_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at_us, ..))| *at_us)
    }
}
