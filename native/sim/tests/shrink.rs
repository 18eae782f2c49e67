//! A failing history is reduced, and what comes out fails by the same invariant.

use vexfs_sim::args;
use vexfs_sim::plants::Plant;
use vexfs_sim::run::run;
use vexfs_sim::setup::{Changes, Setup};
use vexfs_sim::shrink::shrink;
use vexfs_sim::summary::{self, invariant};

fn failing(changes: &Changes, faults_at_least: usize) -> u64 {
    let fails = |seed: &u64| Setup::new(*seed, changes).faults.len() >= faults_at_least && !run(*seed, changes).violations.is_empty();
    (0..2_000).find(fails).expect("the planted bug is caught")
}

#[test]
fn a_planted_bug_shrinks_to_what_it_needs() {
    // Both need a fault to show: a power loss after a failed sync, a restart.
    for plant in [Plant::FsyncRetried, Plant::SkippedTail] {
        let changes = Changes::planted(plant);
        let seed = failing(&changes, 10);
        let shrunk = shrink(seed, &changes, &|| false, &|_, _| {}).expect("it fails");
        let (before, after) = (Setup::new(seed, &changes), Setup::new(seed, &shrunk.after));
        let (many, few) = (before.faults.len(), after.faults.len());
        assert!(!shrunk.stopped && (1..=many / 2).contains(&few), "{}: {many} faults, then {few}", plant.name());
        assert!(after.until_us <= before.until_us && after.members <= before.members);
        assert!(after.publishers + after.subscribers + after.consumers <= before.publishers + before.subscribers + before.consumers);
        let kept = shrunk.after.keep.as_ref().expect("faults are named");
        assert!(after.faults.iter().all(|fault| kept.contains(&fault.number)));

        // The line that is printed does it again.
        let line = summary::replay(seed, &shrunk.after);
        let words = line.strip_prefix("npm run sim -- ").expect("it is a command").split_whitespace().map(str::to_string);
        let read = args::parse(words).expect("it is well spelled").changes;
        let again = run(seed, &read);
        assert_eq!(again.trace, shrunk.report.trace);
        assert!(again.violations.iter().any(|what| invariant(what) == shrunk.invariant), "{line}: {:?}", again.violations);

        // None of the faults that are left can be left out.
        for number in kept {
            let mut less = shrunk.after.clone();
            less.keep = Some(kept.iter().copied().filter(|one| one != number).collect());
            let names = run(seed, &less).violations;
            assert!(names.iter().all(|what| invariant(what) != shrunk.invariant), "fault {number} is not needed: {line}");
        }
    }
}

#[test]
fn what_holds_is_not_shrunk() {
    assert!(shrink(1, &Changes { until_ms: Some(2_000), ..Changes::default() }, &|| false, &|_, _| {}).is_none());
}

#[test]
fn it_stops_when_told() {
    let changes = Changes::planted(Plant::SkippedTail);
    let shrunk = shrink(failing(&changes, 1), &changes, &|| true, &|_, _| {}).expect("it fails");
    assert!(shrunk.stopped && shrunk.runs == 1);
    assert!(shrunk.report.violations.iter().any(|what| invariant(what) == shrunk.invariant));
}
