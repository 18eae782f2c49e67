//! The log thread: everything queued since the last write goes to disk as one batch with one fdatasync.

use crate::disk::FileDisk;
use crate::node::Input;
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use vexfs_core::log::{Log, Op};
use vexfs_core::ordered::effects::Write;

/// Bytes in one batch at most; what is over waits for the next.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Durations of the last writes, for the status: a ring of microseconds.
#[derive(Default)]
pub struct SyncTimes {
    ring: Mutex<(Vec<u32>, usize)>,
}

impl SyncTimes {
    const KEPT: usize = 1024;

    fn note(&self, took: Duration) {
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

/// Runs until the sender is gone; then closes the log, so that the next open finds it sealed.
pub fn run(mut log: Log<FileDisk>, writes: &Receiver<Write>, done: &Sender<Input>, times: &SyncTimes) {
    while let Ok(first) = writes.recv() {
        let mut number = first.number;
        let mut bytes = size(&first.ops);
        let mut ops = first.ops;
        while bytes < BATCH_BYTES {
            let Ok(next) = writes.try_recv() else { break };
            number = number.max(next.number);
            bytes += size(&next.ops);
            ops.extend(next.ops);
        }
        let began = Instant::now();
        let input = match log.append(&ops) {
            Ok(_) => Input::Persisted { number },
            // A failed write or fdatasync ends the node (rule L4): nothing more is written, and nothing acknowledged.
            Err(error) => {
                let _ = done.send(Input::DiskFailed { reason: error.to_string() });
                return;
            }
        };
        times.note(began.elapsed());
        if done.send(input).is_err() {
            break;
        }
    }
    if let Err(error) = log.seal_and_close() {
        let _ = done.send(Input::DiskFailed { reason: error.to_string() });
    }
}

fn size(ops: &[Op]) -> usize {
    ops.iter()
        .map(|op| match op {
            Op::Entries { entries, .. } => entries.iter().map(|entry| entry.data.len() + 64).sum(),
            _ => 64,
        })
        .sum()
}
