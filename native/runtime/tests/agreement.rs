//! A member that applies something else than the others: all name it and the first entry, and it keeps out of everything
//! (the always-on consistency checker).

mod support;

use support::{submission, Cluster, GROUP, NAMES};
use vexfs_core::ids::{EventId, Index, MemberId};
use vexfs_core::journal::{JournalError, Window};
use vexfs_core::machine::MachineLimits;
use vexfs_core::ordered::status::Role;
use vexfs_runtime::node::NotTaken;

/// Member c forgets event ids after three events: what is a repeat to the others is new to it.
fn limits(name: &str) -> MachineLimits {
    let window_events = if name == "c" { 3 } else { 1_000 };
    MachineLimits { window_events, ..MachineLimits::default() }
}

fn publish(cluster: &Cluster, request: u32, id: u128) {
    // One entry each.
    let before = cluster.status("b").applied;
    cluster.node("b").submit(request, &submission("b", id, 10), 1).unwrap();
    cluster.wait("it is applied", || {
        let status = cluster.status("b");
        status.pending == 0 && status.applied > before && status.applied == status.last
    });
}

#[test]
fn a_member_that_differs_is_named_and_isolates_itself() {
    let mut cluster = Cluster::new(100_000, limits);
    cluster.wait("a leader", || NAMES.iter().any(|name| cluster.status(name).role == Role::Leader));
    for id in 1..=20 {
        publish(&cluster, id, u128::from(id));
    }
    cluster.wait_agreed("no difference yet", 20);
    cluster.wait("pairs that agree", || NAMES.iter().all(|name| cluster.status(name).pairs > 0));
    for name in NAMES {
        let status = cluster.status(name);
        assert!(status.divergence.is_none() && status.consistency_percentage() == 100.0, "{status:?}");
    }
    // The place of the repeat is the first difference.
    publish(&cluster, 21, 1);
    let first = cluster.status("b").last;
    for id in 22..=60 {
        publish(&cluster, id, u128::from(id));
    }
    cluster.wait("c isolates itself", || cluster.status("c").isolated.is_some());
    cluster.wait("all name it", || NAMES.iter().all(|name| cluster.status(name).divergence.as_ref().is_some_and(|found| !found.minority.is_empty())));
    for name in NAMES {
        let status = cluster.status(name);
        let found = status.divergence.clone().unwrap();
        // A change of leader in between leaves an entry that all apply alike.
        assert!(found.exact && found.minority == [MemberId::of("c")], "{name}: {found:?}");
        assert!(found.first <= first && found.first > Index(20), "{name}: {found:?}, the repeat is at {first}");
        assert!(status.divergences == 1 || name == "c", "{name}: {}", status.divergences);
        assert_eq!(status.isolated, (name == "c").then_some(found.first));
    }
    cluster.wait("the share has fallen", || cluster.status("b").consistency_percentage() < 100.0);
    let window = Window { index: Index(0), offset: 0, bytes_max: 1_000, events_max: 10 };
    assert!(matches!(cluster.node("c").read_journal(GROUP, window, None), Err(JournalError::Diverged { .. })));
    // The others go on without it.
    publish(&cluster, 61, 61);
    cluster.wait("a has it too", || cluster.status("a").applied == cluster.status("b").applied);
    assert!(cluster.status("c").applied < cluster.status("b").applied);
    // It takes nothing on, and says why.
    let c = cluster.node("c");
    assert!(matches!(c.submit(1, &submission("c", 99, 10), 1), Err(NotTaken::Diverged)));
    assert!(matches!(c.barrier(2, GROUP), Err(NotTaken::Diverged)));
    assert!(matches!(c.find(3, GROUP, EventId(1)), Err(NotTaken::Diverged)));
    assert!(matches!(c.take_snapshot(4, GROUP), Err(NotTaken::Diverged)));
    drop(c);
    // Started again as the others are, it makes its state from its log: it is one of them, and nobody speaks of it any more.
    cluster.stop("c");
    cluster.set_limits(|_| limits("a"));
    cluster.start("c");
    cluster.wait("c has all of it", || cluster.status("c").applied >= first);
    publish(&cluster, 62, 62);
    cluster.wait_agreed("all are equal", 61);
    cluster.wait("the alarm is over", || NAMES.iter().all(|name| cluster.status(name).divergence.is_none()));
    assert!(cluster.status("c").isolated.is_none());
    assert_eq!(cluster.journal("c"), cluster.journal("a"));
}
