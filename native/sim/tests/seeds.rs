//! The seeds of every check: 1,600 that are always the same, and, where `SIM_DAY` is set, 400 that are new each day.

use vexfs_sim::hunt::{cores, hunt, Totals};
use vexfs_sim::setup::Changes;
use vexfs_sim::summary;

const FIXED: u64 = 1_600;
const OF_THE_DAY: u64 = 400;

/// Any text is a day; days that differ have other seeds (FNV-1a; the fixed seeds lie far below).
fn first_of(day: &str) -> u64 {
    let hash = day.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    hash >> 16 | 1 << 47
}

fn all_hold(first: u64, count: u64) {
    let changes = Changes::default();
    let totals: Totals = hunt(first, count, &changes, cores(), &|| false, &|_, _| {});
    summary::of_many(&totals).iter().for_each(|line| println!("{line}"));
    assert_eq!(totals.runs, count);
    let failed: Vec<String> = totals
        .failed
        .iter()
        .map(|(seed, what)| format!("{}\n    {}", summary::replay(*seed, &changes), what.join("\n    ")))
        .collect();
    assert!(failed.is_empty(), "{} of {count} seeds failed\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn fixed_seeds_keep_every_promise() {
    all_hold(0, FIXED);
}

#[test]
fn seeds_of_the_day_keep_every_promise() {
    match std::env::var("SIM_DAY") {
        Ok(day) => {
            println!("SIM_DAY={day}: seeds from {}", first_of(&day));
            all_hold(first_of(&day), OF_THE_DAY);
        }
        Err(_) => println!("SIM_DAY is not set: no seeds of the day"),
    }
}

#[test]
fn days_have_seeds_of_their_own() {
    let days: Vec<u64> = (1..=365).map(|day| first_of(&format!("2026-{day:03}"))).collect();
    for (at, one) in days.iter().enumerate() {
        assert!(*one >= FIXED);
        assert!(days[..at].iter().all(|other| one.abs_diff(*other) >= OF_THE_DAY));
    }
}
