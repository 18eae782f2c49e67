//! Nothing is random but the seed: the same seed does the same again, to the last word that is printed.

use vexfs_sim::args::Window;
use vexfs_sim::diagram::{html, svg, Scene};
use vexfs_sim::plants::Plant;
use vexfs_sim::record::Recorder;
use vexfs_sim::replay::replay;
use vexfs_sim::run::run;
use vexfs_sim::setup::Changes;

/// What a replay prints, with a diagram of each kind.
fn printed(seed: u64, changes: &Changes) -> (u64, String) {
    let mut out = Vec::new();
    let (report, recorder) = replay(seed, changes, Some(Window::default()), Recorder::on(), &mut out).expect("a vector takes everything");
    let scene = Scene::of(&report, changes, &recorder);
    let text = String::from_utf8(out).expect("it prints text");
    (report.trace, text + &svg::draw(&scene, Window::default()) + &html::page(&scene, Window::default()))
}

#[test]
fn a_seed_prints_the_same_again() {
    let planted = Changes::planted(Plant::AckBeforeSync);
    let grouped = Changes { groups: Some(3), ..Changes::default() };
    for (seed, changes) in [(1, Changes::default()), (3, grouped), (17, Changes::default()), (0, planted)] {
        // On threads of their own, so that nothing one leaves behind helps the other.
        let [one, other] = [(); 2].map(|()| {
            let changes = changes.clone();
            std::thread::spawn(move || printed(seed, &changes)).join().expect("it ends")
        });
        assert_eq!(one.0, other.0, "seed {seed}");
        assert!(one.1 == other.1, "seed {seed} prints something else the second time");
        assert_ne!(one.0, 0);
    }
}

/// Who records changes nothing of what happens.
#[test]
fn watching_changes_nothing() {
    for seed in 20..30 {
        let changes = Changes::default();
        assert_eq!(run(seed, &changes).trace, printed(seed, &changes).0, "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    let changes = Changes::default();
    let mut traces: Vec<u64> = (0..40).map(|seed| run(seed, &changes).trace).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 40);
}
