//! The log thread: everything queued since the last write goes to disk as one batch with one fdatasync.

use crate::disk::FileDisk;
use crate::shared::Input;
use crate::times::SyncTimes;
use crossbeam_channel::{Receiver, Sender};
use std::time::Instant;
use vexfs_core::log::{Log, Op};
use vexfs_core::ordered::effects::Write;

/// Bytes in one batch at most; what is over waits for the next.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

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
