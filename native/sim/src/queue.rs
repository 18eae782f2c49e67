//! What happens next: events by virtual time, and among equal times in the order they were planned.

use std::cmp::{Ordering, Reverse};
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
    /// What a process had sent that has ended arrives.
    Late { number: u32 },
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
    LanePublisher { number: u8 },
    LaneReader { number: u8 },
    LaneSession { number: u8 },
    StateKeeper { number: u8 },
    Operator,
    RuleSetter,
    /// The healing is looked at.
    Look,
}

/// Ordered by time and number alone, which no two share.
struct Planned {
    key: u128,
    event: Event,
}

impl Planned {
    fn at_us(&self) -> u64 {
        (self.key >> 64) as u64
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

#[derive(Default)]
pub struct Events {
    heap: BinaryHeap<Reverse<Planned>>,
    planned: u64,
}

impl Events {
    pub fn at(&mut self, at_us: u64, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse(Planned { key: u128::from(at_us) << 64 | u128::from(self.planned), event }));
    }

    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|Reverse(planned)| (planned.at_us(), planned.event))
    }

    pub fn next_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(planned)| planned.at_us())
    }
}
