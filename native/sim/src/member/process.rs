//! What a member's process does besides its groups: the log thread, the snapshot thread, and its end.

use super::{Member, Writing};
use crate::lane;
use crate::plants::Plant;
use crate::random::Random;
use vexfs_core::log::{LogError, UpkeepLimits};
use vexfs_core::machine::window::IdWindow;
use vexfs_core::member::batch::{Batch, Finished};
use vexfs_core::ordered::effects::Effects;
use vexfs_core::snapshot::keeper::{Done, Job};

/// Bytes in one batch at most, as the runtime's writer has it.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// As the runtime has it, in proportion to segments.
pub const UPKEEP: UpkeepLimits = UpkeepLimits { held_back_bytes_max: 128 * 1024, move_bytes_max: 8 * 1024, move_bytes_min: 512 };

impl Member {
    /// Begins the next batch of everything queued. Its number, if there is one.
    pub fn begin_write(&mut self) -> Option<u32> {
        let running = self.running.as_mut()?;
        if running.writing.is_some() || running.queue.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        let mut rest = std::mem::take(&mut running.queue).into_iter();
        for write in rest.by_ref() {
            batch.add(write);
            if batch.bytes > BATCH_BYTES {
                break;
            }
        }
        running.queue = rest.collect();
        running.writing = Some(Writing { batch });
        self.batches += 1;
        Some(self.batches)
    }

    /// The batch that is under way, as the number `begin_write` gave.
    pub fn is_writing(&self, batch: u32) -> bool {
        self.batches == batch && self.running.as_ref().is_some_and(|running| running.writing.is_some())
    }

    /// Writes and syncs the batch, and gives back what it lets go of. What it means to the groups; an error ends the
    /// process (rule L4), a full disk does not.
    pub fn finish_write(&mut self) -> Result<Finished, LogError> {
        let Some(running) = &mut self.running else { return Ok(Finished::default()) };
        let Some(Writing { mut batch }) = running.writing.take() else { return Ok(Finished::default()) };
        if batch.forgets {
            if let Err(error) = running.log.set_unsettled() {
                running.writing = Some(Writing { batch });
                return Err(error);
            }
        }
        let stats = match running.log.append(&batch.ops) {
            Ok(stats) => stats,
            Err(error @ LogError::Full { .. }) => {
                running.writing = Some(Writing { batch });
                return Err(error);
            }
            Err(error) => {
                self.maybe = Some(batch.ops);
                return Err(error);
            }
        };
        // A batch of nothing is none: the last one on disk is still that before.
        if !batch.is_empty() {
            self.shadow.apply(&batch.ops);
            self.on_disk.extend(lane::dots(&batch.ops));
            self.selected.extend(lane::selected(&batch.ops));
        }
        let settled = batch.settles && running.log.clear_unsettled().is_ok();
        let finished = Finished { settled, ..batch.finish() };
        if stats.rolled {
            // A spare that cannot be made is not an error yet: the next roll will meet it.
            let _ = running.log.spare_pool().fill(&mut || {});
        }
        running.written_bytes += stats.bytes;
        let mut unreadable = running.upkeep.after_batch(&mut running.log, stats, !finished.marks.is_empty())?;
        while running.queue.is_empty() && running.upkeep.is_due(&running.log) {
            unreadable.extend(running.upkeep.while_idle(&mut running.log)?);
        }
        for range in unreadable {
            running.groups.unreadable(range.group, range.first);
        }
        Ok(finished)
    }

    /// Does the next job on snapshot files.
    pub fn do_job(&mut self) -> Option<Done> {
        let running = self.running.as_mut()?;
        running.job_planned = false;
        let mut job = running.jobs.pop_front()?;
        if let (Job::Write { image, .. }, Some(Plant::SuppressionForgotten)) = (&mut job, self.plant) {
            image.window = IdWindow::new(1, 0).image();
        }
        Some(running.keeper.carry_out(job, &mut || {}))
    }

    /// The process ends. A batch that was under way gets through `steps` more of its steps; what of them survives is the
    /// cache's matter, and, where the power is lost, that of chance.
    pub fn end(&mut self, steps: u64, power: Option<&mut Random>) {
        if self.running.as_ref().is_some_and(|running| running.writing.is_some()) {
            self.disk.crash_after(steps);
            // Whether all of it got to the disk or not: nobody hears of it.
            let _ = self.finish_write();
        } else if self.running.as_ref().is_some_and(|running| !running.jobs.is_empty()) {
            self.disk.crash_after(steps);
            drop(self.do_job());
        }
        self.running = None;
        match power {
            Some(random) => self.disk.lose_power(random),
            None => self.disk.end_process(),
        }
    }

    /// An orderly close, after a last flush: what is queued is written, with the commit marks, and the segment is sealed.
    pub fn close(&mut self, now_us: u64) -> Result<(), LogError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let mut effects = Effects::default();
        let ids: Vec<_> = running.groups.groups().map(|(id, _)| id).collect();
        let flushed = ids.iter().all(|id| running.groups.flush(*id, now_us, &mut effects).is_ok());
        if flushed {
            ids.iter().for_each(|id| running.groups.write_commit(*id, &mut effects));
        }
        running.queue.append(&mut effects.writes);
        let mut written = Ok(());
        while written.is_ok() && (self.is_writing(self.batches) || self.begin_write().is_some()) {
            written = self.finish_write().map(drop);
        }
        let sealed = match (written, self.running.take()) {
            (Ok(()), Some(running)) => running.log.seal_and_close(),
            (written, _) => written,
        };
        self.disk.end_process();
        sealed
    }
}
