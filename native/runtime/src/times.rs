//! How long the last writes took.

use parking_lot::Mutex;
use std::time::Duration;

/// Durations of the last writes, for the status: a ring of microseconds.
#[derive(Default)]
pub struct SyncTimes {
    ring: Mutex<(Vec<u32>, usize)>,
}

impl SyncTimes {
    const KEPT: usize = 1024;

    pub fn note(&self, took: Duration) {
        let mut ring = self.ring.lock();
        let us = took.as_micros().min(u128::from(u32::MAX)) as u32;
        if ring.0.len() < Self::KEPT {
            ring.0.push(us);
        } else {
            let at = ring.1;
            ring.0[at] = us;
            ring.1 = (at + 1) % Self::KEPT;
        }
    }

    /// Median of the last 1,024 writes, fdatasync included, in microseconds; 0 before the first.
    pub fn median_us(&self) -> u32 {
        let mut sorted = self.ring.lock().0.clone();
        let middle = sorted.len() / 2;
        match sorted.is_empty() {
            true => 0,
            false => *sorted.select_nth_unstable(middle).1,
        }
    }
}
