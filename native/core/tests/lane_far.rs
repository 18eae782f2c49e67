//! Over a line that is slow or long a member of the causal lane asks and tells as often as an answer can have come.

use crate::lane_support::Cluster;
use std::collections::BTreeMap;
use vexfs_core::ids::MemberId;
use vexfs_core::peer::frame::FrameKind;

const WAY_TICKS: u64 = 150;

/// Two members, as far from each other as that; `known`: they have measured it.
fn far(known: bool) -> Cluster {
    let mut cluster = Cluster::of(&["a", "w"]);
    cluster.tick(20);
    cluster.way_ticks = WAY_TICKS;
    for name in ["a", "w"] {
        let others = ["a", "w"].iter().filter(|other| known && **other != name);
        let distances: BTreeMap<MemberId, u64> = others.map(|other| (MemberId::of(other), 2 * WAY_TICKS)).collect();
        cluster.lane(name).measured(distances);
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

/// Nothing is given up that has an answer coming, and nothing waited for that has none.
#[test]
fn an_answer_that_was_lost_is_asked_for_again() {
    let mut cluster = far(true);
    cluster.leave("a");
    cluster.publish("w", 1);
    cluster.come("a");
    while cluster.sent(FrameKind::Pull) == 0 {
        cluster.tick(1);
    }
    cluster.lose_what_is_on_its_way();
    cluster.tick(12 * WAY_TICKS as usize);
    assert_eq!((cluster.sent(FrameKind::Pull), cluster.delivered("a", "w")), (1, 1));
}
