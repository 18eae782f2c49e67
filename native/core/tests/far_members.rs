//! Elections of members that are far apart: what gets slower, and what does not.

use crate::support::world::World;
use std::collections::BTreeMap;
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::status::Role;

/// A leader `a` of three who are so many ticks from each other, there and back.
fn three(seed: u64, round_trip: usize) -> World {
    let mut world = World::with(seed, 3, Profile::Wan);
    world.elect(0);
    world.settle();
    let distances: BTreeMap<_, _> = world.voters().into_iter().map(|id| (id, round_trip)).collect();
    for node in 0..3 {
        (0..100).for_each(|_| world.group(node).measured(&distances));
    }
    assert!(world.history.violations.is_empty());
    world
}

/// A tick of one member, of which nothing arrives anywhere.
fn tick_alone(world: &mut World, node: usize) -> Role {
    world.tick(node);
    world.flush(node);
    for other in (0..3).filter(|other| *other != node) {
        world.network.lose(node, other);
    }
    world.group(node).status().role
}

#[test]
fn heartbeats_leave_as_often_as_is_configured() {
    let mut world = three(1, 15);
    assert!(world.group(0).status().election_ticks.0 >= 110);
    world.lines = Some(Vec::new());
    for _ in 0..100 {
        tick_alone(&mut world, 0);
    }
    let beats = world.lines.iter().flatten().filter(|line| line.contains("a -> b: MsgHeartbeat ")).count();
    assert_eq!(beats, 100 / 5);
}

#[test]
fn a_leader_looks_for_its_majority_as_seldom_as_others_stand() {
    let mut world = three(1, 15);
    let (least, _) = world.group(0).status().election_ticks;
    let ticks = (1..).find(|_| tick_alone(&mut world, 0) != Role::Leader).unwrap();
    assert!((least..=2 * least).contains(&ticks), "{ticks}, the least timeout is {least}");
}

#[test]
fn a_follower_waits_for_as_long_as_it_says() {
    for seed in 1..20 {
        let mut world = three(seed, 15);
        // A heartbeat arrives, and nothing after it.
        (0..5).for_each(|_| world.tick(0));
        world.settle();
        let (least, most) = world.group(1).status().election_ticks;
        let ticks = (1..).find(|_| tick_alone(&mut world, 1) == Role::Candidate).unwrap();
        assert!((least..=most).contains(&ticks), "{ticks}, timeouts are {least} to {most}");
    }
}

#[test]
fn a_leader_that_has_left_is_not_waited_for() {
    let mut world = three(1, 15);
    let (least, _) = world.group(1).status().election_ticks;
    world.crash(0, 0);
    let stands = |world: &mut World| (1..=2).any(|node| tick_alone(world, node) == Role::Candidate);
    let ticks = (1..).find(|_| stands(&mut world)).unwrap();
    // Two tenths, and as many as there are turns.
    assert!((least / 10..=least / 2).contains(&ticks), "{ticks}, the least timeout is {least}");
}
