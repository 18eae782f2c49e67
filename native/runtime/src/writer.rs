//! The log thread: everything queued since the last write goes to disk as one batch with one fdatasync; between
//! batches, what no group needs any more is given back.

use crate::disk::FileDisk;
use crate::queue::Queue;
use crate::shared::{Input, Shared};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vexfs_core::log::{Log, LogError};
use vexfs_core::member::batch::{size, Batch};
use vexfs_core::ordered::effects::Write;

/// Bytes in one batch at most; what is over waits for the next.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Between two attempts to write to a full disk.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// Live bytes of quiet groups moved at a time, so that the segments they hold back can go.
const RELOCATE_BYTES: u64 = 1024 * 1024;

pub struct Writer {
    pub log: Log<FileDisk>,
    pub writes: Queue<Write>,
    pub done: Queue<Input>,
    pub shared: std::sync::Arc<Shared>,
    pub stopping: std::sync::Arc<AtomicBool>,
    /// A mark was written in the last batch, or entries were moved after it. Until there is a later batch they could be
    /// lost with a torn tail, and what was there before must still be found.
    pub release_due: bool,
}

impl Writer {
    /// Runs until the queue is closed; then closes the log, so that the next open finds it sealed.
    pub fn run(mut self) {
        let mut queued = Vec::new();
        let mut batch = Batch::default();
        let mut unsettled = !self.shared.settled.load(Ordering::SeqCst);
        while self.writes.take(&mut queued, None) {
            let mut rest = queued.drain(..).peekable();
            while let Some(first) = rest.next() {
                batch.add(first);
                while let Some(next) = rest.next_if(|next| batch.bytes + size(&next.ops) <= BATCH_BYTES) {
                    batch.add(next);
                }
                unsettled |= batch.forgets;
                if let Err(error) = self.write(&mut batch) {
                    // A failed write or fdatasync ends the node (rule L4): nothing more is written, nothing acknowledged.
                    let _ = self.done.send(Input::DiskFailed { reason: error.to_string() });
                    return;
                }
            }
            if unsettled && self.shared.settled.load(Ordering::SeqCst) {
                // What cannot be removed now stays, and costs a settling at the next start.
                unsettled = self.log.clear_unsettled().is_err();
            }
        }
        if let Err(error) = self.log.seal_and_close() {
            let _ = self.done.send(Input::DiskFailed { reason: error.to_string() });
        }
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        let began = Instant::now();
        while let Err(error) = self.append(batch) {
            let waits = matches!(error, LogError::Full { .. }) && !self.stopping.load(Ordering::Relaxed);
            if !waits {
                return Err(error);
            }
            // Nothing was written: it waits until there is room, as for a disk that is stalled, and is told.
            self.shared.disk_full.store(true, Ordering::SeqCst);
            std::thread::sleep(FULL_RETRY);
        }
        if self.shared.disk_full.swap(false, Ordering::SeqCst) {
            self.log.restore_reserve()?;
        } else {
            self.shared.sync_times.note(began.elapsed());
        }
        let finished = batch.finish();
        let due = std::mem::replace(&mut self.release_due, !finished.marks.is_empty());
        let _ = self.done.send(Input::Finished(finished));
        if due {
            let given = self.log.give_back(RELOCATE_BYTES)?;
            self.release_due |= given.again;
            for range in given.unreadable {
                let _ = self.done.send(Input::Unreadable { group: range.group, index: range.first });
            }
        }
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        if batch.forgets {
            self.log.set_unsettled()?;
        }
        self.log.append(&batch.ops).map(drop)
    }
}
