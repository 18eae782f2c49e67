//! A group that has gone quiet does not pin the log of a busy one beside it (rule L6).

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::submission;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::journal::{Window, DELIVERIES_HEADER_BYTES};
use vexfs_core::log::LogOptions;
use vexfs_core::machine::MachineLimits;
use vexfs_core::member::open::{CausalConfig, MemberConfig};
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::peer::choice::Mode;
use vexfs_runtime::node::{Node, NodeConfig};
use vexfs_runtime::offline;

const BUSY: GroupId = GroupId(0);
const QUIET: GroupId = GroupId(1);
const SEGMENT: u64 = 64 * 1024;
const HELD_BACK_MAX: u64 = 4 * SEGMENT;
/// For what the slowest machine needs: no figure of it decides.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(dir: &Path) -> Arc<Node> {
    let config = NodeConfig {
        data_dir: dir.join("a"),
        member: MemberConfig {
            cluster_id: "quota".to_string(),
            node_id: "a".to_string(),
            founders: vec![("a".to_string(), String::new())],
            joins: false,
            groups: 2,
            election_ticks: (15, 30),
            heartbeat_ticks: 5,
            profile: Profile::Lan,
            inflight_messages: 64,
            intake_bytes_max: 8 << 20,
            limits: MachineLimits { window_events: 100, ..MachineLimits::default() },
            snapshots: SnapshotPolicy { entries: 20, keep_entries: 0, retain_bytes: Some(1), ..SnapshotPolicy::default() },
            read_lease_us: 0,
            causal: CausalConfig::default(),
            log: LogOptions { segment_bytes: SEGMENT, spare_segments: 1, reserve_bytes: 0 },
            seed: 1,
            fresh_directory_id: [1; 16],
        },
        peers: Vec::new(),
        pending_bytes_max: 8 << 20,
        peer_bytes_max: 8 << 20,
        compression: Mode::None,
        held_back_bytes_max: HELD_BACK_MAX,
    };
    Node::open(config).unwrap()
}

fn wait(what: &str, reached: impl Fn() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One entry of its own.
fn publish(node: &Node, group: GroupId, id: u32, payload: usize) {
    let mut bytes = submission("a", u128::from(group.0) << 64 | u128::from(id), payload);
    bytes[8..12].copy_from_slice(&group.0.to_le_bytes());
    let events = || node.shared().groups[&group].status.lock().events;
    let before = events();
    node.submit(id, &bytes, 1).unwrap();
    wait("it is applied", || events() > before);
}

fn journal(node: &Node, group: GroupId) -> Vec<u8> {
    let window = Window { index: Index(0), offset: 0, bytes_max: 1 << 20, events_max: 4_096 };
    node.read_journal(group, window, None).unwrap()[DELIVERIES_HEADER_BYTES..].to_vec()
}

#[test]
fn a_quiet_group_does_not_pin_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    wait("both groups are led here", || node.shared().groups.values().all(|group| group.status.lock().leader.is_some()));
    // Most of the oldest segment, and too little for a snapshot of its own.
    (1..=10).for_each(|id| publish(&node, QUIET, id, 5_000));
    let quiet = journal(&node, QUIET);
    assert!(quiet.len() > 50_000);
    (1..=1_500).for_each(|id| publish(&node, BUSY, id, 5_000));
    // It wrote over a hundred segments; twice the bound is where moving does not wait for a quiet moment any more. Snapshots
    // are written beside the publishes, as fast as the machine lets them.
    wait("the log is small again", || node.log_stats().log_bytes < 2 * HELD_BACK_MAX + 8 * SEGMENT);
    assert_eq!(journal(&node, QUIET), quiet, "it was moved, and is as it was");
    node.close();
    // What is read offline finds the moved entries in their places, and the busy group's journal from its snapshot on.
    let survey = offline::survey(&dir.path().join("a"), 100, &[]).unwrap();
    assert!(survey.log.damage.is_none());
    let summary = |group| &survey.groups[&group].summary;
    assert_eq!((summary(QUIET).first, summary(QUIET).events), (Index(2), 10));
    assert!(summary(BUSY).first > Index(1_000) && summary(BUSY).last >= Index(1_501));
    let node = open(dir.path());
    wait("the quiet group is applied again", || node.shared().groups[&QUIET].status.lock().events == 10);
    assert_eq!(journal(&node, QUIET), quiet);
    node.close();
}
