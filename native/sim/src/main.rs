use vexfs_sim::hunt::{hunt, cores};
use vexfs_sim::setup::Changes;
use std::sync::atomic::AtomicBool;
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).filter_map(|x| x.parse().ok()).collect();
    if a.len() == 1 {
        let (report, recorder) = vexfs_sim::run::run_recorded(a[0], &Changes::default(), vexfs_sim::record::Recorder::on());
        for (at, what) in recorder.happenings { println!("{at} {what:?}"); }
        println!("{:?}", report.violations);
        return;
    }
    let t = std::time::Instant::now();
    let totals = hunt(a[0], a[1], &Changes::default(), if a.len() > 2 { a[2] as usize } else { cores() }, &AtomicBool::new(false), &|_| {});
    let w = t.elapsed();
    println!("{} runs {:.1?} virtual {} s ratio {:.0} answers {} deliveries {} elections {} starts {} states {}", totals.runs, w, totals.virtual_us/1_000_000, totals.virtual_us as f64 / w.as_micros() as f64, totals.answers, totals.deliveries, totals.elections, totals.starts, totals.states.len());
    for (n, c) in totals.faults.by_name() { print!("{n} {c}, "); }
    println!();
    for (seed, what) in totals.failed.iter().take(20) { println!("{seed} {what:?}"); }
    println!("failed {}", totals.failed.len());
}
