//! Many seeds, on all cores: each run is one thread's, and two runs share nothing.

use crate::faults::counts::Counts;
use crate::run::{run, Report};
use crate::setup::Changes;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

/// Sums over runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub runs: u64,
    pub virtual_us: u64,
    pub answers: u64,
    pub deliveries: u64,
    pub elections: u64,
    pub starts: u64,
    pub faults: Counts,
    pub states: BTreeSet<u64>,
    /// Seeds that broke something, in ascending order, with what they broke.
    pub failed: Vec<(u64, Vec<String>)>,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.virtual_us += report.virtual_us;
        self.answers += report.answers;
        self.deliveries += report.deliveries;
        self.elections += report.elections;
        self.starts += report.starts;
        self.faults.add(&report.faults);
        self.states.extend(&report.states);
        if !report.violations.is_empty() {
            self.failed.push((report.seed, report.violations.clone()));
            self.failed.sort();
        }
    }
}

/// Runs `count` seeds from `first` on, until `stop` says so. `after` is called after each run, on any thread.
pub fn hunt(
    first: u64,
    count: u64,
    changes: &Changes,
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
    after: &(dyn Fn(&Report, &Totals) + Sync),
) -> Totals {
    let (next, totals) = (AtomicU64::new(0), Mutex::new(Totals::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count || stop() {
                    return;
                }
                let report = run(first.wrapping_add(at), changes);
                if let Ok(mut totals) = totals.lock() {
                    totals.add(&report);
                    after(&report, &totals);
                }
            });
        }
    });
    totals.into_inner().unwrap_or_default()
}

/// Cores to run on.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}
