//! `recover` on a disk that loses power, its process or its room at every step: the directory is as it was, or begins
//! again whole. What it takes for the voters that may go on without it.

#[path = "../../core/tests/log_support/disk.rs"]
#[allow(dead_code)] // A part of it is used here.
mod disk;

use bytes::Bytes;
use disk::SimDisk;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{GroupRecovery, HardState, LogEntry, LogOptions, Op, SnapshotMark};
use vexfs_core::machine::{Machine, MachineLimits};
use vexfs_core::member::open::{recover, CausalConfig, MemberConfig, Recovered};
use vexfs_core::membership::Role;
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::reconcile::{encode, Change};
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::snapshot::SnapshotMeta;
use vexfs_runtime::recover::{look_on, Recover, RecoverError};

const GROUPS: u32 = 3;

fn log_options() -> LogOptions {
    LogOptions { segment_bytes: 16 * 4096, spare_segments: 0, reserve_bytes: 0 }
}

fn config(founders: &[&str]) -> MemberConfig {
    MemberConfig {
        cluster_id: "test".into(),
        node_id: "a".into(),
        founders: founders.iter().map(|id| (id.to_string(), String::new())).collect(),
        joins: false,
        groups: GROUPS,
        election_ticks: (10, 20),
        heartbeat_ticks: 2,
        profile: Profile::Lan,
        inflight_messages: 16,
        intake_bytes_max: 1 << 20,
        limits: MachineLimits::default(),
        snapshots: SnapshotPolicy::default(),
        read_lease_us: 0,
        causal: CausalConfig::default(),
        log: log_options(),
        seed: 1,
        fresh_directory_id: [7; 16],
    }
}

fn recovery() -> Recover {
    let (cluster_id, node_id) = ("test".to_owned(), "a".to_owned());
    Recover { cluster_id, node_id, limits: MachineLimits::default(), seed: 9, log: log_options() }
}

fn entry(index: u64, term: u64, change: Option<&[(MemberId, Change)]>) -> LogEntry {
    let context = change.map_or(Bytes::new(), |change| encode(change, !change.is_empty()).into());
    LogEntry { index: Index(index), term: Term(term), kind: if change.is_some() { 2 } else { 0 }, data: Bytes::new(), context }
}

/// A member of three: group 0 has entries behind its snapshot, the others end with theirs.
fn founded() -> SimDisk {
    let disk = SimDisk::default();
    let Recovered { mut log, .. } = recover(Arc::new(disk.clone()), &config(&["a", "b", "c"])).unwrap();
    let (group, state) = (GroupId(0), HardState { term: Term(3), vote: MemberId::of("b"), commit: Index(3) });
    let entries = (2..=4).map(|index| entry(index, 3, None)).collect();
    log.append(&[Op::Entries { group, entries }, Op::HardState { group, state }]).unwrap();
    log.seal_and_close().unwrap();
    disk
}

#[derive(Debug, PartialEq)]
struct Group {
    found: GroupRecovery,
    conf: Conf,
    hash: u64,
    members: BTreeMap<String, Role>,
}

#[derive(Debug, PartialEq)]
struct State {
    groups: BTreeMap<GroupId, Group>,
    unsettled: bool,
}

/// What a start of the directory reads.
fn read(disk: &SimDisk, at: &str) -> State {
    let Recovered { recovery, keeper, .. } = recover(Arc::new(disk.copy()), &config(&["a", "b", "c"])).unwrap();
    assert!(recovery.damaged.is_empty(), "{at}: {:?}", recovery.damaged);
    let groups = recovery.groups.iter().map(|(group, found)| {
        let index = found.snapshot.unwrap().0;
        let (info, machine): (_, Machine) = keeper.load(*group, index, 0).unwrap_or_else(|error| panic!("{at}: {error}"));
        let SnapshotMeta { conf, .. } = info.meta;
        let members = machine.membership().iter().map(|(_, member)| (member.name.clone(), member.role)).collect();
        (*group, Group { found: found.clone(), conf, hash: machine.hash(), members })
    });
    State { groups: groups.collect(), unsettled: recovery.unsettled }
}

#[test]
fn an_attempt_that_is_cut_off_has_changed_nothing() {
    for unsettled in [false, true] {
        let disk = founded();
        if unsettled {
            disk.overwrite("UNSETTLED", b"");
        }
        let whole = disk.copy();
        let before = read(&disk, "before");
        recovery().carry_out_on(Arc::new(whole.clone())).unwrap();
        let after = read(&whole, "after");
        let alone = Conf::of_voters(vec![MemberId::of("a")]);
        for Group { found, conf, .. } in after.groups.values() {
            assert_eq!((conf, found.snapshot.unwrap().0), (&alone, found.last_index));
        }
        assert_eq!(after.groups.values().map(|group| group.found.last_index.0).collect::<Vec<_>>(), [5, 2, 2]);
        let roles = [("a", Role::Voter), ("b", Role::Removed), ("c", Role::Removed)].map(|(name, role)| (name.into(), role));
        assert_eq!(after.groups[&GroupId(0)].members, roles.into());

        let (mut cut_off, mut begun_again) = (0, 0);
        for step in 0.. {
            let struck = disk.copy();
            struck.crash_after(step);
            let ended = recovery().carry_out_on(Arc::new(struck.clone()));
            if !struck.crashed() {
                ended.unwrap();
                break;
            }
            let lives = (0..8).map(|seed| (struck.after_power_loss(seed), format!("power lost at step {step}, seed {seed}")));
            for (left, at) in lives.chain([(struck.after_process_end(), format!("process ended at step {step}"))]) {
                let found = read(&left, &at);
                if found.groups == before.groups {
                    cut_off += 1;
                    // A torn batch, be it of this attempt, may have been anything.
                    assert!(found.unsettled || !unsettled, "{at}");
                } else {
                    begun_again += 1;
                    assert_eq!(found.groups, after.groups, "{at}");
                    continue;
                }
                // Done again, it is done.
                recovery().carry_out_on(Arc::new(left.clone())).unwrap_or_else(|error| panic!("{at}: {error}"));
                assert_eq!(read(&left, &at), after, "{at}");
            }
        }
        assert!(cut_off > 100 && begun_again > 10, "{cut_off} {begun_again}");
    }
}

#[test]
fn a_disk_that_becomes_full_leaves_the_directory_as_it_was() {
    let disk = founded();
    let before = read(&disk, "before");
    let mut refused = 0;
    for room in (0..).step_by(100) {
        let full = disk.copy();
        full.leave_room(Some(room));
        match recovery().carry_out_on(Arc::new(full.clone())) {
            Ok(_) => break,
            Err(error) => {
                let at = format!("{room} bytes: {error}");
                refused += 1;
                full.leave_room(None);
                assert_eq!(read(&full, &at), before, "{at}");
                assert_eq!(full.names().iter().filter(|name| name.contains(".snap")).count(), GROUPS as usize, "{at}");
            }
        }
    }
    assert!(refused > 3, "{refused}");
}

/// Group 1 gets a snapshot from another member, and some entries behind it.
fn install(disk: &SimDisk, snapshot: u64, last: u64) {
    let Recovered { mut log, keeper, .. } = recover(Arc::new(disk.clone()), &config(&["a", "b", "c"])).unwrap();
    let group = GroupId(1);
    let mut machine = keeper.load(group, Index(1), 0).unwrap().1;
    for index in 2..=snapshot {
        machine.apply(Index(index), Term(3), &Bytes::new()).unwrap();
    }
    let conf = Conf::of_voters(["a", "b", "c"].map(MemberId::of).into());
    let meta = SnapshotMeta { cluster_id: "test".into(), group, index: Index(snapshot), term: Term(3), conf };
    keeper.write(&meta, &machine.image(), &mut || {}).unwrap();
    // As a received snapshot is installed: the journal is to begin where it did, and what is between is a gap.
    let mark = SnapshotMark { index: Index(snapshot), term: Term(3), first: Index(2), prior_term: Term(1) };
    let entries = (snapshot + 1..=last).map(|index| entry(index, 3, None)).collect();
    log.append(&[Op::Mark { group, mark }, Op::Entries { group, entries }]).unwrap();
    log.seal_and_close().unwrap();
}

#[test]
fn what_the_journal_lacks_in_front_of_a_snapshot_is_no_loss_of_state() {
    let disk = founded();
    install(&disk, 40, 43);
    let looked = look_on(Arc::new(disk.clone()), MachineLimits::default()).unwrap();
    let held: Vec<_> = looked.groups.iter().map(|held| (held.snapshot.0, held.last.0)).collect();
    assert_eq!(held, [(1, 4), (40, 43), (1, 1)]);
    let recovered = recovery().carry_out_on(Arc::new(disk.clone())).unwrap();
    assert_eq!(recovered.into_iter().map(|(_, index)| index.0).collect::<Vec<_>>(), [5, 44, 2]);
    let Recovered { recovery, .. } = recover(Arc::new(disk), &config(&["a"])).unwrap();
    let gaps: Vec<_> = recovery.damaged.iter().map(|lost| (lost.group.0, lost.first.0, lost.last.0, lost.gap)).collect();
    assert_eq!(gaps, [(1, 2, 40, true)]);
}

#[test]
fn what_is_lost_behind_a_snapshot_is_refused() {
    let disk = founded();
    let refused = |disk: &SimDisk| match recovery().carry_out_on(Arc::new(disk.clone())) {
        Err(RecoverError::Lost { group, first }) => (group.0, first.0),
        other => panic!("{:?}", other.map_err(|error| error.to_string())),
    };
    let Recovered { mut log, .. } = recover(Arc::new(disk.clone()), &config(&["a"])).unwrap();
    let mut append = |index| log.append(&[Op::Entries { group: GroupId(0), entries: vec![entry(index, 3, None)] }]).unwrap();
    append(5);
    let segment = disk.segments().pop().unwrap();
    let before = disk.read(&segment);
    append(6);
    let batch = disk.read(&segment).iter().zip(&before).position(|(now, before)| now != before).unwrap();
    append(7);
    let mut bytes = disk.read(&segment);
    bytes[batch] ^= 1;
    disk.overwrite(&segment, &bytes);
    drop(log);
    assert_eq!(refused(&disk), (0, 6));
}

#[test]
fn voters_of_every_configuration_that_may_be_in_force_are_asked() {
    let quorums = |disk: &SimDisk| {
        let looked = look_on(Arc::new(disk.clone()), MachineLimits::default()).unwrap();
        let name = |id: &MemberId| ["a", "b", "c", "d", "e"].into_iter().find(|name| MemberId::of(name) == *id).unwrap();
        let set = |set: &Vec<MemberId>| set.iter().map(name).collect::<BTreeSet<_>>().into_iter().collect::<String>();
        let named: BTreeSet<Vec<String>> = looked.quorums.iter().map(|sets| sets.iter().map(set).collect()).collect();
        Vec::from_iter(named)
    };
    let disk = founded();
    assert_eq!(quorums(&disk), [["abc"]]);
    let Recovered { mut log, .. } = recover(Arc::new(disk.clone()), &config(&["a"])).unwrap();
    let id = MemberId::of;
    let mut write = |group: u32, index: u64, change: Option<&[(MemberId, Change)]>, commit: u64| {
        let group = GroupId(group);
        let state = HardState { term: Term(3), vote: MemberId(0), commit: Index(commit) };
        log.append(&[Op::Entries { group, entries: vec![entry(index, 3, change)] }, Op::HardState { group, state }]).unwrap();
    };
    // Nothing says that the joint configuration was entered.
    let swap = [(id("d"), Change::Voter), (id("c"), Change::Remove)];
    write(1, 2, Some(&swap), 1);
    assert_eq!(quorums(&disk), [vec!["abc"], vec!["abd", "abc"]]);
    write(1, 3, None, 2);
    assert_eq!(quorums(&disk), [vec!["abc"], vec!["abd", "abc"]]);
    // Nothing says that it was left.
    write(1, 4, Some(&[]), 3);
    assert_eq!(quorums(&disk), [vec!["abc"], vec!["abd"], vec!["abd", "abc"]]);
    // Group 2 lags: the table and group 0 still have everybody.
    write(1, 5, None, 4);
    assert_eq!(quorums(&disk), [vec!["abc"], vec!["abd"]]);
}
