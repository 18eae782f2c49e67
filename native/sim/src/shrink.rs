//! A failing history made smaller: fewer faults, less time, fewer members, groups and clients, while the same invariant fails.
//!
//! Faults are reduced by delta debugging (Zeller and Hildebrandt 2002, "Simplifying and Isolating Failure-Inducing
//! Input", algorithm ddmin). Every step is a run of its own, so that what comes out is known to fail.

use crate::run::{run, Report};
use crate::setup::{Changes, Setup};
use crate::summary::invariant;
use std::collections::BTreeSet;

/// What shrinking has come to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub invariant: String,
    pub before: Changes,
    pub after: Changes,
    /// Of `after`.
    pub report: Report,
    pub runs: u64,
    /// It was stopped before nothing more could be left out.
    pub stopped: bool,
}

/// `None`: the seed does not fail. `stop` is asked before each run; `progress` learns of each.
pub fn shrink(seed: u64, changes: &Changes, stop: &dyn Fn() -> bool, progress: &dyn Fn(&Changes, u64)) -> Option<Shrunk> {
    let report = run(seed, changes);
    let invariant = invariant(report.violations.first()?).to_string();
    // From here on the numbers of the faults are said.
    let numbers = Setup::new(seed, changes).faults.iter().map(|fault| fault.number).collect();
    let before = Changes { keep: Some(numbers), ..changes.clone() };
    let mut search = Search { seed, invariant, best: before.clone(), report, runs: 1, stop, progress, stopped: false };
    let mut size = (usize::MAX, u64::MAX, usize::MAX);
    // A change in one place may let something else go: again until nothing does.
    while !search.stopped && search.size() < size {
        size = search.size();
        search.time();
        search.faults();
        search.clients();
        search.members();
        search.groups();
    }
    let Search { invariant, best, report, runs, stopped, .. } = search;
    Some(Shrunk { invariant, before, after: best, report, runs, stopped })
}

struct Search<'a> {
    seed: u64,
    invariant: String,
    best: Changes,
    report: Report,
    runs: u64,
    stop: &'a dyn Fn() -> bool,
    progress: &'a dyn Fn(&Changes, u64),
    stopped: bool,
}

impl Search<'_> {
    fn setup(&self) -> Setup {
        Setup::new(self.seed, &self.best)
    }

    /// Faults, milliseconds, members, groups and clients.
    fn size(&self) -> (usize, u64, usize) {
        let setup = self.setup();
        let people = setup.members + setup.groups as usize + setup.publishers + setup.subscribers + setup.consumers + setup.causal;
        (setup.faults.len(), setup.until_us / 1_000, people)
    }

    /// Keeps a candidate if the same invariant fails.
    fn attempt(&mut self, candidate: Changes) -> bool {
        self.stopped |= (self.stop)();
        if self.stopped || candidate == self.best {
            return false;
        }
        self.runs += 1;
        let report = run(self.seed, &candidate);
        let fails = report.violations.iter().any(|what| invariant(what) == self.invariant);
        if fails {
            (self.best, self.report) = (candidate, report);
        }
        (self.progress)(&self.best, self.runs);
        fails
    }

    /// Faults and clients stop earlier: right after the violation, or by halves for what shows after the healing.
    fn time(&mut self) {
        let seen_ms = self.report.virtual_us / 1_000 + 1;
        if seen_ms < self.setup().until_us / 1_000 {
            self.attempt(Changes { until_ms: Some(seen_ms), ..self.best.clone() });
        }
        loop {
            let until_ms = self.setup().until_us / 1_000;
            let shorter = [until_ms / 2, until_ms * 3 / 4, until_ms * 9 / 10];
            let better = |search: &mut Self, ms: u64| ms > 0 && search.attempt(Changes { until_ms: Some(ms), ..search.best.clone() });
            if !shorter.into_iter().any(|ms| better(self, ms)) {
                return;
            }
        }
    }

    fn faults(&mut self) {
        let numbers: Vec<u32> = self.setup().faults.iter().map(|fault| fault.number).collect();
        if numbers.len() != self.best.keep.as_ref().map_or(0, BTreeSet::len) {
            // What lies after the end never strikes.
            self.attempt(Changes { keep: Some(numbers.iter().copied().collect()), ..self.best.clone() });
        }
        ddmin(&numbers, &mut |kept| {
            self.attempt(Changes { keep: Some(kept.iter().copied().collect()), ..self.best.clone() })
        });
    }

    fn clients(&mut self) {
        type Place = fn(&mut Changes) -> &mut Option<usize>;
        let setup = self.setup();
        let places: [(usize, Place); 4] = [
            (setup.causal, |changes| &mut changes.causal),
            (setup.consumers, |changes| &mut changes.consumers),
            (setup.subscribers, |changes| &mut changes.subscribers),
            (setup.publishers, |changes| &mut changes.publishers),
        ];
        for (count, place) in places {
            let fewer = |search: &mut Self, fewer: usize| {
                let mut candidate = search.best.clone();
                *place(&mut candidate) = Some(fewer);
                search.attempt(candidate)
            };
            let _ = (0..count).any(|count| fewer(self, count));
        }
    }

    fn members(&mut self) {
        let setup = self.setup();
        // The founders alone first, without those whom an operator may add.
        let fewer = (1..=setup.founders).filter(|count| *count < setup.members);
        let _ = fewer.into_iter().any(|count| self.attempt(Changes { members: Some(count), ..self.best.clone() }));
    }

    fn groups(&mut self) {
        let _ = (1..self.setup().groups as usize).any(|count| self.attempt(Changes { groups: Some(count), ..self.best.clone() }));
    }
}

/// The smallest part of `all` that still fails, as far as leaving out one more part of any size finds it; of what comes
/// out no single one can be left out.
pub fn ddmin(all: &[u32], fails: &mut dyn FnMut(&[u32]) -> bool) -> Vec<u32> {
    let (mut kept, mut parts) = (all.to_vec(), 2);
    if !kept.is_empty() && fails(&[]) {
        return Vec::new();
    }
    while kept.len() >= 2 {
        let size = kept.len().div_ceil(parts);
        let chunks: Vec<Vec<u32>> = kept.chunks(size).map(<[u32]>::to_vec).collect();
        let rests = |left_out: usize| -> Vec<u32> {
            chunks.iter().enumerate().filter(|(at, _)| *at != left_out).flat_map(|(_, chunk)| chunk.iter().copied()).collect()
        };
        if let Some(one) = chunks.iter().find(|chunk| chunk.len() < kept.len() && fails(chunk)) {
            (kept, parts) = (one.clone(), 2);
        } else if let Some(rest) = (0..chunks.len()).map(rests).find(|rest| chunks.len() > 2 && fails(rest)) {
            (kept, parts) = (rest, (parts - 1).max(2));
        } else if parts >= kept.len() {
            break;
        } else {
            parts = (parts * 2).min(kept.len());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::ddmin;

    #[test]
    fn what_matters_is_left() {
        for wanted in [vec![], vec![7], vec![3, 17], vec![0, 1, 2, 99], (40..60).collect::<Vec<u32>>()] {
            let all: Vec<u32> = (0..100).collect();
            let mut asked = 0;
            let kept = ddmin(&all, &mut |kept| {
                asked += 1;
                wanted.iter().all(|one| kept.contains(one))
            });
            assert_eq!(kept, wanted);
            assert!(asked < 1_000, "{asked}");
        }
    }

    #[test]
    fn nothing_more_can_be_left_out() {
        // Not monotone: an odd number of those that matter fails.
        let mut fails = |kept: &[u32]| kept.iter().filter(|one| **one % 10 == 3).count() % 2 == 1;
        let all: Vec<u32> = (0..50).collect();
        let kept = ddmin(&all, &mut fails);
        assert!(fails(&kept));
        for at in 0..kept.len() {
            let mut less = kept.clone();
            less.remove(at);
            assert!(!fails(&less), "{kept:?} without {at}");
        }
    }
}
