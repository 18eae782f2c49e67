//! A checker that cannot fail proves nothing: each known bug is caught, by the invariant it breaks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use vexfs_sim::faults::kinds::FaultKind;
use vexfs_sim::hunt::cores;
use vexfs_sim::plants::{Plant, PlantRow, PLANTS};
use vexfs_sim::run::run;
use vexfs_sim::setup::Changes;
use vexfs_sim::summary::invariant;

/// Seeds after which a plant must have been caught.
const SEEDS: u64 = 1_500;

#[test]
fn every_planted_bug_is_caught() {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                while let Some(row) = PLANTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = hunt(row);
                    rows.lock().expect("nobody panics").push((row.name, found));
                }
            });
        }
    });
    let rows = rows.into_inner().expect("nobody panics");
    let place = |name: &str| PLANTS.iter().position(|row| row.name == name);
    let mut found: Vec<_> = rows.iter().collect();
    found.sort_by_key(|(name, _)| place(name));
    println!("{:<24} {:<28} seeds", "planted", "caught by");
    for (name, result) in &found {
        if let Ok((by, seeds)) = result {
            println!("{name:<24} {by:<28} {seeds:>5}");
        }
    }
    let missed: Vec<&String> = found.iter().filter_map(|(_, result)| result.as_ref().err()).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    assert_eq!(found.len(), PLANTS.len());
}

/// Where to look: in the histories of everybody, except for what these show too rarely (one in a thousand).
fn changes(plant: Plant) -> Changes {
    let planted = Changes::planted(plant);
    match plant {
        // Two candidates of one term, and a restart between their questions: splits and restarts, and nothing else.
        Plant::VoteForgotten => Changes {
            members: Some(3),
            only: vec![FaultKind::CleanRestart, FaultKind::Partition],
            publishers: Some(0),
            subscribers: Some(0),
            consumers: Some(0),
            ..planted
        },
        // An answer of a member that has another entry there: damage among those who were parted.
        Plant::RepairFromStaleMember | Plant::RepairUnanchored => {
            Changes { members: Some(5), only: vec![FaultKind::Partition, FaultKind::DamagedMiddle], ..planted }
        }
        // A wrong answer while a journal is filled.
        Plant::GapUnhashed => Changes { only: vec![FaultKind::GarbledAnswer, FaultKind::DamagedMiddle, FaultKind::Partition], ..planted },
        // The older state in a majority with whoever lacks what it had acknowledged.
        Plant::PutBackVotes => Changes { members: Some(3), only: vec![FaultKind::RolledBack, FaultKind::Partition], ..planted },
        // The same, with nothing at all.
        // What another group owes the log, in the batch behind.
        Plant::MarkGoesEarly => Changes { groups: Some(3), ..planted },
        Plant::EmptiedVotes => Changes { members: Some(3), only: vec![FaultKind::Emptied, FaultKind::ProcessEnd], ..planted },
        // What a majority has had, lost disk by disk before it could come back.
        Plant::NothingGivenUp => Changes { members: Some(3), only: vec![FaultKind::Emptied], ..planted },
        // Both files of a member whose logs have been cut.
        Plant::StatesOfNothing => Changes { only: vec![FaultKind::DamagedStates, FaultKind::PowerLoss], ..planted },
        // What a member had acknowledged behind its older snapshot.
        Plant::OlderStateEndsLog => Changes { members: Some(3), only: vec![FaultKind::DamagedSnapshot, FaultKind::Partition], ..planted },
        // Between two copies of a directory, an event that is still on its way.
        Plant::EarlierLivesHeard => Changes { members: Some(3), only: vec![FaultKind::RolledBack], ..planted },
        // What is appended shows as well that the leader is there.
        Plant::NearestFollowed => Changes { publishers: Some(0), subscribers: Some(0), consumers: Some(0), ..planted },
        // Readers of the member that differs would see it first, and end the run.
        Plant::StatesPart | Plant::NobodyIsolates => Changes { subscribers: Some(0), consumers: Some(0), ..planted },
        _ => planted,
    }
}

/// Members that deal with a difference as they should break no rule about that, whatever else happens to them.
#[test]
fn a_difference_is_dealt_with() {
    let changes = changes(Plant::StatesPart);
    let mut dealt = 0;
    for seed in 0..300 {
        let report = run(seed, &changes);
        let names: Vec<&str> = report.violations.iter().map(|what| invariant(what)).collect();
        assert!(!names.contains(&"minority_is_isolated"), "seed {seed}: {:?}", report.violations);
        // It never is as the others are again.
        dealt += usize::from(names.contains(&"healing"));
    }
    assert!(dealt > 50, "only {dealt} histories went on to their ends");
}

/// By which invariant, after how many seeds.
fn hunt(row: &PlantRow) -> Result<(String, u64), String> {
    let (changes, mut others) = (changes(row.plant), Vec::new());
    for seed in 0..SEEDS {
        let report = run(seed, &changes);
        let mut names = report.violations.iter().map(|what| invariant(what));
        if let Some(name) = names.find(|name| row.caught_by.contains(name)) {
            return Ok((name.to_string(), seed + 1));
        }
        others.extend(report.violations);
    }
    Err(format!("{} is not caught by {:?} within {SEEDS} seeds; others: {:?}", row.name, row.caught_by, others.first()))
}
