//! The log thread: everything queued since the last write goes to disk as one batch with one fdatasync.

use crate::disk::FileDisk;
use crate::shared::Input;
use crate::times::SyncTimes;
use crate::queue::Queue;
use std::time::Instant;
use vexfs_core::log::{Log, Op};
use vexfs_core::ordered::effects::Write;

/// Bytes in one batch at most; what is over waits for the next.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Runs until the queue is closed; then closes the log, so that the next open finds it sealed.
pub fn run(mut log: Log<FileDisk>, writes: &Queue<Write>, done: &Queue<Input>, times: &SyncTimes) {
    let mut queued = Vec::new();
    while writes.take(&mut queued, None) {
        let mut rest = queued.drain(..).peekable();
        while let Some(first) = rest.next() {
            let mut number = first.number;
            let mut bytes = size(&first.ops);
            let mut ops = first.ops;
            while let Some(next) = rest.next_if(|next| bytes + size(&next.ops) <= BATCH_BYTES) {
                number = number.max(next.number);
                bytes += size(&next.ops);
                ops.extend(next.ops);
            }
            let began = Instant::now();
            if let Err(error) = log.append(&ops) {
                // A failed write or fdatasync ends the node (rule L4): nothing more is written, nothing acknowledged.
                let _ = done.send(Input::DiskFailed { reason: error.to_string() });
                return;
            }
            times.note(began.elapsed());
            let _ = done.send(Input::Persisted { number });
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
