//! A checker that cannot fail proves nothing: each known bug is caught, by the invariant it breaks.

use vexfs_sim::plants::PLANTS;
use vexfs_sim::run::run;
use vexfs_sim::setup::Changes;

/// Seeds after which a plant must have been caught.
const SEEDS: u64 = 1_500;

#[test]
fn every_planted_bug_is_caught() {
    let rows = std::thread::scope(|scope| {
        let (even, odd): (Vec<_>, Vec<_>) = PLANTS.iter().enumerate().partition(|(at, _)| at % 2 == 0);
        let workers = [even, odd].map(|share| scope.spawn(move || share.into_iter().map(|(_, row)| hunt(row)).collect::<Vec<_>>()));
        workers.into_iter().flat_map(|worker| worker.join().expect("it ends")).collect::<Vec<_>>()
    });
    let missed: Vec<&String> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    rows.iter().flatten().for_each(|line| println!("{line}"));
    assert!(missed.is_empty(), "{missed:#?}");
}

fn hunt(row: &vexfs_sim::plants::PlantRow) -> Result<String, String> {
    if std::env::var("PLANT").is_ok_and(|name| name != row.name) { return Ok(String::new()); }
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        let report = run(seed, &Changes::planted(row.plant));
        let names: Vec<&str> = report.violations.iter().filter_map(|what| what.split(':').next()).collect();
        if let Some(name) = names.iter().find(|name| row.caught_by.contains(name)) {
            return Ok(format!("{}: by {name} after {} seeds", row.name, seed + 1));
        }
        others.extend(report.violations.iter().map(|what| format!("seed {seed}: {what}")));
    }
    Err(format!("{} is not caught by {:?} within {SEEDS} seeds; others: {:?}", row.name, row.caught_by, others.first()))
}
