//! The log thread: everything queued since the last write goes to disk as one batch with one fdatasync; between
//! batches, what no group needs any more is given back.

use crate::disk::FileDisk;
use crate::queue::Queue;
use crate::shared::{Input, Shared};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vexfs_core::log::{AppendStats, Log, LogError, LostRange, Upkeep, UpkeepLimits};
use vexfs_core::member::batch::{size, Batch, Finished};
use vexfs_core::ordered::effects::Write;

/// Bytes in one batch at most; what is over waits for the next.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Between two attempts to write to a full disk.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// Live bytes moved at a time, so that the segments they hold back can go, at most and at least.
const MOVE_BYTES: (u64, u64) = (1024 * 1024, 64 * 1024);

pub fn upkeep(held_back_bytes_max: u64) -> Upkeep {
    Upkeep::new(UpkeepLimits { held_back_bytes_max, move_bytes_max: MOVE_BYTES.0, move_bytes_min: MOVE_BYTES.1 })
}

pub struct Writer {
    pub log: Log<FileDisk>,
    pub writes: Queue<Write>,
    pub done: Queue<Input>,
    pub shared: std::sync::Arc<Shared>,
    pub stopping: std::sync::Arc<AtomicBool>,
    pub upkeep: Upkeep,
}

impl Writer {
    /// Runs until the queue is closed; then closes the log, so that the next open finds it sealed.
    pub fn run(mut self) {
        let mut queued = Vec::new();
        let mut batch = Batch::default();
        while self.writes.take(&mut queued, None) {
            let mut rest = queued.drain(..).peekable();
            while let Some(first) = rest.next() {
                batch.add(first);
                while let Some(next) = rest.next_if(|next| batch.bytes + size(&next.ops) <= BATCH_BYTES) {
                    batch.add(next);
                }
                if let Err(error) = self.write(&mut batch) {
                    // A failed write or fdatasync ends the node (rule L4): nothing more is written, nothing acknowledged.
                    let _ = self.done.send(Input::DiskFailed { reason: error.to_string() });
                    return;
                }
            }
            if let Err(error) = self.tidy_while_idle() {
                let _ = self.done.send(Input::DiskFailed { reason: error.to_string() });
                return;
            }
        }
        if let Err(error) = self.log.seal_and_close() {
            let _ = self.done.send(Input::DiskFailed { reason: error.to_string() });
        }
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        let began = Instant::now();
        let stats = loop {
            match self.append(batch) {
                // Nothing was written: it waits until there is room, as for a disk that is stalled, and is told.
                Err(LogError::Full { .. }) if !self.stopping.load(Ordering::Relaxed) => {
                    self.shared.disk_full.store(true, Ordering::SeqCst);
                    std::thread::sleep(FULL_RETRY);
                }
                appended => break appended?,
            }
        };
        if self.shared.disk_full.swap(false, Ordering::SeqCst) {
            self.log.restore_reserve()?;
        } else {
            self.shared.sync_times.note(began.elapsed());
        }
        // A mark that cannot be removed now is asked away again, or costs a settling at the next start.
        let settled = batch.settles && self.log.clear_unsettled().is_ok();
        let finished = Finished { settled, ..batch.finish() };
        let marked = !finished.marks.is_empty();
        let _ = self.done.send(Input::Finished(finished));
        let lost = self.upkeep.after_batch(&mut self.log, stats, marked)?;
        self.ask_for(lost);
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> Result<AppendStats, LogError> {
        if batch.forgets {
            self.log.set_unsettled()?;
        }
        self.log.append(&batch.ops)
    }

    /// Raft's writes go first (rule L6): what is in the way of segments that could go is moved while nothing waits.
    fn tidy_while_idle(&mut self) -> Result<(), LogError> {
        let idle = |writer: &Self| writer.writes.is_empty() && !writer.stopping.load(Ordering::Relaxed);
        while idle(self) && self.upkeep.is_due(&self.log) {
            let lost = self.upkeep.while_idle(&mut self.log)?;
            self.ask_for(lost);
        }
        Ok(())
    }

    /// Other members have what could not be moved: it is moved another time.
    fn ask_for(&self, lost: Vec<LostRange>) {
        for LostRange { group, first: index, .. } in lost {
            let _ = self.done.send(Input::Unreadable { group, index });
        }
    }
}
