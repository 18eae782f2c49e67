//! Over a line that is slow or long a member of the causal lane asks and tells as often as an answer can have come.

use crate::lane_support::Cluster;
use std::collections::BTreeMap;
use vexfs_core::ids::MemberId;
use vexfs_core::peer::frame::FrameKind;
use vexfs_core::peer::round_trips::BulkLine;

const WAY_TICKS: u64 = 150;

/// Two members, as far from each other as that; `known`: they have measured it.
fn far(known: bool) -> Cluster {
    let mut cluster = Cluster::of(&["a", "w"]);
    cluster.tick(20);
    cluster.way_ticks = WAY_TICKS;
    for name in ["a", "w"] {
        let others = ["a", "w"].iter().filter(|other| known && **other != name);
        // What was asked before they were so far was answered.
        let line = BulkLine { distance: 2 * WAY_TICKS, answered_ago: Some(2 * WAY_TICKS), is_stuck: false };
        let lines: BTreeMap<MemberId, BulkLine> = others.map(|other| (MemberId::of(other), line)).collect();
        cluster.lane(name).measured(&lines);
    }
    cluster
}

/// How often `a` asks for the one entry that it lacks.
fn pulls(known: bool) -> usize {
    let mut cluster = far(known);
    cluster.leave("a");
    cluster.publish("w", 1);
    cluster.come("a");
    cluster.tick(8 * WAY_TICKS as usize);
    assert_eq!(cluster.delivered("a", "w"), 1);
    cluster.sent(FrameKind::Pull)
}

/// It would come twice, and take the line up for as long again.
#[test]
fn what_is_on_its_way_is_not_asked_for_again() {
    assert!(pulls(false) > 1, "it has asked again before there could be an answer");
    assert_eq!(pulls(true), 1);
}

/// What `w` tells and is told of its disk in ten round trips, while something comes to it in each tick.
fn tellings(known: bool) -> usize {
    let mut cluster = far(known);
    cluster.sent(FrameKind::Held);
    for id in 0..20 * WAY_TICKS {
        cluster.publish_at("w", 1 + id, "", 0);
        cluster.tick(1);
    }
    cluster.sent(FrameKind::Held)
}

#[test]
fn who_is_far_is_told_once_in_a_round_trip() {
    let (often, seldom) = (tellings(false), tellings(true));
    assert!(often > 1_000, "each fifth tick, either way: {often}");
    assert!((18..=24).contains(&seldom), "{seldom}");
}

/// How often `a` asks `w` for what it lacks where the first answer is lost, by what it measures of their line meanwhile.
fn asked_again(line: BulkLine) -> usize {
    let mut cluster = far(true);
    cluster.leave("a");
    cluster.publish("w", 1);
    cluster.come("a");
    while cluster.sent(FrameKind::Pull) == 0 {
        cluster.tick(1);
    }
    cluster.lose_what_is_on_its_way();
    for _ in 0..12 {
        cluster.lane("a").measured(&[(MemberId::of("w"), line)].into());
        cluster.tick(WAY_TICKS as usize);
    }
    cluster.sent(FrameKind::Pull)
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again_once_that_is_sure() {
    let line = BulkLine { distance: 2 * WAY_TICKS, answered_ago: Some(12 * WAY_TICKS), is_stuck: false };
    assert_eq!(asked_again(line), 0, "it may still come");
    assert!(asked_again(BulkLine { answered_ago: Some(0), ..line }) > 0, "what was asked later is answered");
    assert!(asked_again(BulkLine { is_stuck: true, ..line }) > 0, "another one may have it");
    assert!(asked_again(BulkLine { answered_ago: None, ..line }) > 0, "nothing is known of the line");
}

/// Before the line is known to be slow the same is asked for twice. Each answer but the first ended a later question, and
/// brought nothing: so that was asked again, for ever.
#[test]
fn an_answer_that_comes_late_ends_no_later_question() {
    let mut cluster = far(false);
    cluster.leave("a");
    (1..=5).for_each(|id| cluster.publish_large("w", id, 700 << 10));
    cluster.come("a");
    cluster.tick(2 * WAY_TICKS as usize);
    let line = BulkLine { distance: 2 * WAY_TICKS, answered_ago: Some(2 * WAY_TICKS), is_stuck: false };
    for _ in 0..120 {
        cluster.lane("a").measured(&[(MemberId::of("w"), line)].into());
        cluster.tick(20);
    }
    assert_eq!(cluster.delivered("a", "w"), 5);
    assert_eq!(cluster.sent(FrameKind::Pull), 2 + 4);
}
