//! Work that can wait, each on a thread of its own: spare segments and snapshots.

use crate::disk::FileDisk;
use crate::queue::Queue;
use crate::shared::Input;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use vexfs_core::log::SparePool;
use vexfs_core::snapshot::keeper::{Job, Keeper};

/// Rest after each MiB of a spare segment, so that the appends' own writes are not kept waiting: a long one, and a short
/// one when the log might run out of spares.
const SPARE_PACE: Duration = Duration::from_millis(8);
const SPARE_PACE_URGENT: Duration = Duration::from_millis(1);
/// How often the spares are counted: a segment lasts several times this long at full speed.
const SPARE_POLL: Duration = Duration::from_millis(50);
/// Rest after each chunk of a snapshot, for the same reason.
const SNAPSHOT_PACE: Duration = Duration::from_millis(2);

/// Of threads whose work can wait: about a tenth of a processor where all of it is wanted, and all of it where it is not.
#[cfg(target_os = "linux")]
const BACKGROUND_NICE: i32 = 10;

/// Lets this thread run where the others do not want to: a snapshot is compressed for as long as a publish takes many
/// times over. Where the system does not know such a thing for threads, they are equal.
pub fn yield_processor() {
    #[cfg(target_os = "linux")]
    // SAFETY: no memory is passed. On Linux the thread itself is meant; a refusal changes nothing.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, BACKGROUND_NICE);
    }
}

pub fn fill_spares(pool: &SparePool<FileDisk>, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Relaxed) {
        // A spare that cannot be made (a full disk, say) is not an error yet: the writer will meet it.
        let pace = if pool.ready() == 0 { SPARE_PACE_URGENT } else { SPARE_PACE };
        let filled = pool.fill(&mut || std::thread::sleep(pace)).unwrap_or(false);
        if !filled {
            std::thread::park_timeout(SPARE_POLL);
        }
    }
}

pub fn keep_snapshots(keeper: &Keeper<FileDisk>, jobs: &Queue<Job>, done: &Queue<Input>) {
    let mut queued = Vec::new();
    while jobs.take(&mut queued, None) {
        for job in queued.drain(..) {
            let result = keeper.carry_out(job, &mut || std::thread::sleep(SNAPSHOT_PACE));
            let _ = done.send(Input::JobDone(result));
        }
    }
}

pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_string()).spawn(run)
}

pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a thread panicked".to_string())
}
