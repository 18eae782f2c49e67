//! The program as it is called: exit statuses, what repeats, and how a hunt is ended.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use vexfs_sim::faults::kinds::KINDS;
use vexfs_sim::plants::PLANTS;

fn sim(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vexfs-sim")).args(line.split_whitespace()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints text")
}

#[test]
fn bad_usage_is_a_sentence_and_status_2() {
    for line in ["", "--seed", "--seed 1 --plant nothing", "--nothing", "--seeds 2 --diagram a.svg"] {
        let out = sim(line);
        assert_eq!(out.status.code(), Some(2), "{line}");
        assert!(text(&out.stderr).starts_with("USAGE: ") && out.stdout.is_empty(), "{line}: {}", text(&out.stderr));
    }
    let out = sim("--seed 1 --until-ms 500 --quiet --diagram /nowhere/at/all.svg");
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).starts_with("OUTPUT_FAILED: /nowhere/at/all.svg cannot be written"), "{}", text(&out.stderr));
}

#[test]
fn a_replay_repeats_but_for_wall_lines() {
    let printed = || {
        let out = sim("--seed 1 --until-ms 3000");
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
        text(&out.stdout)
    };
    let (one, other) = (printed(), printed());
    let kept = |text: &str| text.lines().filter(|line| !line.starts_with("wall")).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(kept(&one), kept(&other));
    assert_eq!(one.lines().filter(|line| line.starts_with("wall")).count(), 1);
    assert!(one.contains("is Leader in term") && one.contains("every invariant held"));
}

#[test]
fn a_violation_is_status_1_with_the_line_that_replays_it() {
    let out = sim("--seeds 40 --plant skipped-tail");
    let printed = text(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{printed}");
    let replay = printed.lines().find_map(|line| line.trim().strip_prefix("replay: npm run sim -- ")).expect("a seed fails");
    let out = sim(&format!("{replay} --quiet"));
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("VIOLATION recovery_is_faithful"), "{}", text(&out.stdout));
    let out = sim(&format!("{replay} --shrink"));
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("recovery_is_faithful still fails"), "{}", text(&out.stdout));
}

#[test]
fn what_is_listed_is_what_there_is() {
    let out = sim("--list");
    assert_eq!(out.status.code(), Some(0));
    let listed = text(&out.stdout);
    for name in KINDS.iter().map(|row| row.name).chain(PLANTS.iter().map(|row| row.name)) {
        assert!(listed.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}");
    }
    assert_eq!(listed.matches("not drawn: ").count(), KINDS.iter().filter(|row| row.off.is_some()).count());
    assert_eq!(sim("--help").status.code(), Some(0));
}

#[test]
fn a_signal_ends_a_hunt_with_its_summary() {
    let mut hunt = Command::new(env!("CARGO_BIN_EXE_vexfs-sim"))
        .args(["--minutes", "30", "--plant", "skipped-tail", "--threads", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut out = BufReader::new(hunt.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.starts_with("FAILED") {
        line.clear();
        assert_ne!(out.read_line(&mut line).expect("it can be read"), 0, "it fails some time");
    }
    let asked = unsafe { libc::kill(hunt.id() as libc::pid_t, libc::SIGTERM) };
    assert_eq!(asked, 0);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("it can be read");
    assert_eq!(hunt.wait().expect("it ends").code(), Some(1));
    for name in ["runs", "simulated", "states", "faults", "failed", "wall"] {
        assert!(rest.lines().any(|line| line.starts_with(name)), "{name}: {rest}");
    }
}
