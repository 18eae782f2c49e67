//! A journal with a gap in front of a snapshot, of which a part was filled: `log verify` reads what is there and names
//! what is not. A snapshot that no mark names says nothing.

use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{Disk, LogEntry, LogOptions, Op, SnapshotMark};
use vexfs_core::machine::{Machine, MachineLimits};
use vexfs_core::member::open::{recover, CausalConfig, MemberConfig, Recovered};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::snapshot::keeper::Keeper;
use vexfs_core::snapshot::SnapshotMeta;
use vexfs_runtime::disk::{FileDisk, Mode};
use vexfs_runtime::offline::survey;

const GROUP: GroupId = GroupId(0);
const TERM: Term = Term(3);

fn config() -> MemberConfig {
    MemberConfig {
        cluster_id: "test".into(),
        node_id: "a".into(),
        founders: vec![("a".into(), String::new())],
        joins: false,
        groups: 1,
        election_ticks: (10, 20),
        heartbeat_ticks: 2,
        profile: Profile::Lan,
        inflight_messages: 16,
        intake_bytes_max: 1 << 20,
        limits: MachineLimits::default(),
        snapshots: SnapshotPolicy::default(),
        read_lease_us: 0,
        causal: CausalConfig::default(),
        log: LogOptions { segment_bytes: 1 << 20, spare_segments: 0, reserve_bytes: 0 },
        seed: 1,
        fresh_directory_id: [7; 16],
    }
}

fn entries(from: u64, to: u64) -> Vec<LogEntry> {
    let entry = |index| LogEntry { index: Index(index), term: TERM, kind: 0, data: Bytes::new(), context: Bytes::new() };
    (from..=to).map(entry).collect()
}

fn snapshot<D: Disk>(keeper: &Keeper<D>, machine: &mut Machine, index: u64, term: Term) {
    while machine.applied().0 < index {
        machine.apply(Index(machine.applied().0 + 1), term, &Bytes::new()).unwrap();
    }
    let meta = SnapshotMeta { cluster_id: "test".into(), group: GROUP, index: Index(index), term, conf: Conf::of_voters(vec![MemberId(1)]) };
    keeper.write(&meta, &machine.image(), &mut || {}).unwrap();
}

/// Entries 2 to 9, a gap up to the snapshot at 40 that is filled up to 19, entries 41 to 43.
fn gapped(dir: &Path) -> Machine {
    let disk = Arc::new(FileDisk::open(dir, Mode::ReadWrite).unwrap());
    let Recovered { mut log, keeper, .. } = recover(disk, &config()).unwrap();
    let mut machine = keeper.load(GROUP, Index(1), 0).unwrap().1;
    snapshot(&keeper, &mut machine, 40, TERM);
    let mark = SnapshotMark { index: Index(40), term: TERM, first: Index(2), prior_term: Term(1) };
    log.append(&[Op::Entries { group: GROUP, entries: entries(2, 9) }, Op::Mark { group: GROUP, mark }]).unwrap();
    log.append(&[Op::Repair { group: GROUP, entries: entries(10, 19) }, Op::Entries { group: GROUP, entries: entries(41, 43) }]).unwrap();
    // A recovery that was cut off has left a snapshot of its own.
    let mut other = keeper.load(GROUP, Index(40), 0).unwrap().1;
    snapshot(&keeper, &mut other, 44, Term(9));
    log.seal_and_close().unwrap();
    for index in 41..=43 {
        machine.apply(Index(index), TERM, &Bytes::new()).unwrap();
    }
    machine
}

#[test]
fn a_gap_is_named_and_what_is_around_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let machine = gapped(dir.path());
    // Until a commit mark covers them, entries are in no run.
    {
        let disk = Arc::new(FileDisk::open(dir.path(), Mode::ReadWrite).unwrap());
        let Recovered { mut log, .. } = recover(disk, &config()).unwrap();
        let state = vexfs_core::log::HardState { term: TERM, commit: Index(43), ..Default::default() };
        log.append(&[Op::HardState { group: GROUP, state }]).unwrap();
        log.seal_and_close().unwrap();
    }
    let survey = survey(dir.path(), 1000, &[]).unwrap();
    assert!(survey.log.damage.is_none());
    let group = &survey.groups[&GROUP];
    assert_eq!(group.summary.gaps, [(Index(20), Index(40))]);
    let runs: Vec<_> = group.runs.iter().map(|run| (run.first.0, run.rows.len())).collect();
    assert_eq!(runs, [(2, 18), (41, 3)]);
    assert_eq!((group.summary.first, group.summary.last, group.summary.commit), (Index(2), Index(43), Index(43)));
    assert_eq!(group.summary.apply_hash, machine.hash());
}
