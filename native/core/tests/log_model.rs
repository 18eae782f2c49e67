//! Any sequence of batches, opens and closes against a plain model; and the cases that deserve a name.

use crate::log_support::disk::SimDisk;
use crate::log_support::steps;
use crate::log_support::{entries, entry, hard_state, open, options, payload, run, truncate, wanted, Model, GROUP, SEGMENT};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{scan, Log, LogError, LogOptions, LogReader, Op, Wanted};

#[derive(Clone, Debug)]
enum Step {
    Append { group: u32, count: u64, length: usize, state: bool },
    /// In parts of 256 of what there is.
    Truncate { group: u32, part: u64, then: u64 },
    Both { group: u32, other: u32, length: usize },
    Snapshot { group: u32, part: u64, kept: u64 },
    Install { group: u32, ahead: u64 },
    Repair { group: u32, part: u64, count: u64 },
    Release,
    Relocate { bytes: u64 },
    Spare,
    /// What is read next goes on where this has ended.
    Read { bytes: u64 },
    Drop,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![3 => 0..300usize, 1 => 2000..20_000usize, 1 => 60_000..140_000usize];
    prop_oneof![
        8 => (0..3u32, 1..8u64, length, any::<bool>())
            .prop_map(|(group, count, length, state)| Step::Append { group, count, length, state }),
        3 => (0..3u32, 0..256u64, 0..4u64).prop_map(|(group, part, then)| Step::Truncate { group, part, then }),
        2 => (0..3u32, 0..3u32, 0..5000usize).prop_map(|(group, other, length)| Step::Both { group, other, length }),
        3 => (0..3u32, 0..256u64, 0..9u64).prop_map(|(group, part, kept)| Step::Snapshot { group, part, kept }),
        1 => (0..3u32, 0..9u64).prop_map(|(group, ahead)| Step::Install { group, ahead }),
        2 => (0..3u32, 0..256u64, 1..9u64).prop_map(|(group, part, count)| Step::Repair { group, part, count }),
        2 => Just(Step::Release),
        2 => (0..5000u64).prop_map(|bytes| Step::Relocate { bytes }),
        1 => Just(Step::Spare),
        4 => (1..100_000u64).prop_map(|bytes| Step::Read { bytes }),
        1 => Just(Step::Drop),
        1 => Just(Step::Close),
    ]
}

fn fresh(model: &Model, group: u32, count: u64, term: u64, length: usize) -> Op {
    let group = GroupId(group);
    let low = model.last(group) + 1;
    let context = |index: u64| Bytes::from(format!("context {index}"));
    let mut made: Vec<_> = (low..low + count).map(|i| entry(i, term, payload(i, term, length))).collect();
    made.iter_mut().for_each(|entry| (entry.kind, entry.context) = (entry.index.0 as u8 % 3, context(entry.index.0)));
    entries(group, made)
}

fn ops_of(step: &Step, model: &Model, term: u64) -> Option<Vec<Op>> {
    Some(match step {
        Step::Append { group, count, length, state } => {
            let mut ops = vec![fresh(model, *group, *count, term, *length)];
            ops.extend(state.then(|| hard_state(GroupId(*group), term, term + 1, model.last(GroupId(*group)))));
            ops
        }
        Step::Truncate { group, part, then } => {
            let mut ops = vec![steps::cut(model, GroupId(*group), *part)];
            let cut = model.after(&ops);
            ops.extend((*then > 0).then(|| fresh(&cut, *group, *then, term, 33)));
            ops
        }
        Step::Both { group, other, length } => {
            let first = fresh(model, *group, 2, term, *length);
            let mut next = model.after(std::slice::from_ref(&first));
            let cut = truncate(GroupId(*group), next.last(GroupId(*group)));
            next.apply(std::slice::from_ref(&cut));
            let second = fresh(&next, *other, 1, term + 1, 9);
            next.apply(std::slice::from_ref(&second));
            vec![first, cut, second, fresh(&next, *group, 1, term + 1, *length)]
        }
        Step::Snapshot { group, part, kept } => vec![steps::snapshot(model, GroupId(*group), *part, *kept)],
        Step::Install { group, ahead } => steps::install(model, GroupId(*group), *ahead, term),
        Step::Repair { group, part, count } => vec![steps::repair(model, GroupId(*group), *part, *count)],
        Step::Release | Step::Relocate { .. } | Step::Spare | Step::Read { .. } | Step::Drop | Step::Close => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_life_of_a_log_equals_the_model(steps in prop::collection::vec(step(), 1..40), chunk in 1..100_000u64) {
        let disk = SimDisk::default();
        let mut model = Model::default();
        let (mut log, _) = open(&disk).unwrap();
        for (term, step) in steps.iter().enumerate() {
            match (ops_of(step, &model, 1 + term as u64 * 2), step) {
                (Some(ops), _) => {
                    log.append(&ops).unwrap();
                    model.apply(&ops);
                }
                (None, Step::Spare) => drop(log.spare_pool().fill(&mut || {}).unwrap()),
                (None, Step::Read { bytes }) => model.assert_reads(&log.reader(), *bytes),
                (None, Step::Release) => drop(log.release().unwrap()),
                (None, Step::Relocate { bytes }) => drop(log.relocate(*bytes, if bytes % 2 == 0 { 0 } else { u64::MAX }).unwrap()),
                (None, step) => {
                    if matches!(step, Step::Close) {
                        log.seal_and_close().unwrap();
                    }
                    let (reader, seen) = LogReader::open(Arc::new(disk.clone())).unwrap();
                    prop_assert!(model.equals(&seen, &reader));
                    let (opened, recovery) = open(&disk).unwrap();
                    prop_assert!(model.equals(&recovery, &opened.reader()));
                    prop_assert!(recovery.torn_bytes == 0 && !recovery.unsettled && recovery.lost_batches == 0);
                    log = opened;
                }
            }
        }
        model.assert_reads(&log.reader(), chunk);
        drop(log);
        let mut replayed = Model::default();
        let mut items = 0;
        let whole = disk.segments()[0] == "00000000000000000001.seg";
        let summary = scan(&disk, &mut |item| {
            items += 1;
            if whole {
                replayed.apply(crate::log_support::replayed(item.record).as_slice());
            }
        }).unwrap();
        prop_assert!(summary.damage.is_none());
        prop_assert!(!whole || replayed == model);
        let (log, recovery) = open(&disk.after_power_loss(1)).unwrap();
        prop_assert!(model.equals(&recovery, &log.reader()));
    }
}

#[test]
fn another_clusters_or_nodes_directory_is_refused_and_both_are_named() {
    let disk = SimDisk::default();
    open(&disk).unwrap();
    let as_other = |cluster: &str, node: &str| {
        let wanted = Wanted { cluster_id: cluster.to_owned(), node_id: node.to_owned(), ..wanted() };
        Log::open(Arc::new(disk.clone()), options(), wanted).err().unwrap()
    };
    let error = as_other("production", "a");
    assert_eq!(error.to_string(), r#"the log belongs to cluster "test", not to "production""#);
    assert_eq!(error.code(), "DATA_DIR_MISMATCH");
    assert_eq!(as_other("test", "b").to_string(), r#"the log belongs to node "a", not to "b""#);
    assert!(matches!(as_other("", "b"), LogError::IdentityMismatch { .. }));
    let wanted = Wanted { node_id: "x".repeat(256), ..wanted() };
    let fresh = Log::open(Arc::new(SimDisk::default()), options(), wanted);
    assert!(matches!(fresh, Err(LogError::BadName { .. })));
}

#[test]
fn incarnations_count_opens() {
    let disk = SimDisk::default();
    for expected in 1..5 {
        let (log, recovery) = open(&disk).unwrap();
        assert_eq!((recovery.identity.incarnation, recovery.identity.directory), (expected, [7; 16]));
        if expected % 2 == 0 {
            log.seal_and_close().unwrap();
        }
    }
    assert_eq!(scan(&disk, &mut |_| {}).unwrap().identity.incarnation, 4);
}

#[test]
fn an_empty_directory_has_no_log_to_read() {
    assert!(matches!(scan(&SimDisk::default(), &mut |_| {}), Err(LogError::NoLog)));
    assert!(matches!(LogReader::open(Arc::new(SimDisk::default())), Err(LogError::NoLog)));
}

#[test]
fn truncated_entries_stay_gone() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[run(1, 40, 1, 1000)]).unwrap();
    log.append(&[truncate(GROUP, 11)]).unwrap();
    let reader = log.reader();
    assert_eq!(reader.last_index(GROUP), Index(10));
    assert!(matches!(reader.entries(GROUP, Index(10), Index(12), 9), Err(LogError::OutOfRange { .. })));
    assert!(matches!(reader.term(GROUP, Index(11)), Err(LogError::OutOfRange { .. })));
    log.append(&[run(11, 12, 7, 10)]).unwrap();
    let (log, recovery) = open(&disk).unwrap();
    let group = &recovery.groups[&GROUP];
    assert_eq!((group.last_index, group.first_index), (Index(12), Index(1)));
    assert_eq!(group.terms, [(Index(1), Term(1)), (Index(11), Term(7))]);
    let tail = log.reader().entries(GROUP, Index(10), Index(13), u64::MAX).unwrap();
    assert_eq!(tail.iter().map(|entry| entry.term.0).collect::<Vec<_>>(), [1, 7, 7]);
}

#[test]
fn a_truncation_just_before_a_close_is_kept_in_mind() {
    let disk = SimDisk::default();
    let mut model = Model::default();
    for ops in [vec![run(1, 5, 1, 10), truncate(GROUP, 5)], vec![run(5, 6, 2, 20)]] {
        let (mut log, _) = open(&disk).unwrap();
        log.append(&ops).unwrap();
        model.apply(&ops);
        log.seal_and_close().unwrap();
    }
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
}

#[test]
fn a_commit_mark_beyond_the_log_is_clamped() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[run(1, 3, 1, 1), hard_state(GROUP, 1, 0, 50)]).unwrap();
    let (_, recovery) = open(&disk).unwrap();
    assert_eq!(recovery.groups[&GROUP].hard_state.commit, Index(3));
}

#[test]
fn a_refused_batch_changes_nothing() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[run(1, 3, 1, 1)]).unwrap();
    let before = disk.steps();
    for ops in [
        vec![run(5, 5, 1, 1)],
        vec![run(3, 3, 1, 1)],
        vec![run(4, 4, 1, 1), truncate(GROUP, 2), run(4, 4, 1, 1)],
        vec![entries(GroupId(1), vec![entry(2, 1, "")])],
        vec![truncate(GROUP, 0)],
    ] {
        let error = log.append(&ops).unwrap_err();
        assert!(matches!(error, LogError::NotContiguous { .. }), "{error}");
    }
    let large = Bytes::from(vec![0; 256 * 1024 * 1024]);
    let error = log.append(&[entries(GROUP, vec![entry(4, 1, large)])]).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { .. }), "{error}");
    assert_eq!(log.append(&[]).unwrap().bytes, 0);
    assert_eq!(disk.steps(), before);
    assert_eq!(log.append(&[run(4, 4, 1, 1)]).unwrap().batch, 2);
}

#[test]
fn entries_larger_than_a_segment_and_batches_of_many() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    let mut model = Model::default();
    for ops in [
        vec![run(1, 1, 1, 3 * SEGMENT as usize)],
        vec![run(2, 3, 1, SEGMENT as usize)],
        vec![run(4, 2000, 1, 20), run(2001, 2001, 2, 70_000), run(2002, 2002, 2, 5)],
        vec![run(2003, 2003, 2, 8 * 1024 * 1024)],
        vec![run(2004, 2004, 2, 1)],
    ] {
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    model.assert_reads(&log.reader(), 100_000);
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
}

#[test]
fn reads_keep_to_their_limit_but_give_one_entry() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[run(1, 100, 1, 1000)]).unwrap();
    let count = |max| log.reader().entries(GROUP, Index(5), Index(101), max).unwrap().len();
    assert_eq!([count(0), count(999), count(1000), count(2500), count(u64::MAX)], [1, 1, 1, 2, 96]);
    assert!(log.reader().entries(GROUP, Index(5), Index(5), 0).unwrap().is_empty());
    assert!(log.reader().entries(GroupId(4), Index(1), Index(1), 0).unwrap().is_empty());
    assert!(log.reader().entries(GROUP, Index(0), Index(1), 0).is_err());
}

#[test]
fn opening_reads_footers_not_the_log() {
    let (disk, options) = (SimDisk::default(), LogOptions { segment_bytes: 1 << 20, spare_segments: 0, reserve_bytes: 0 });
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options.clone(), wanted()).unwrap();
    for i in 0..40 {
        log.append(&[run(1 + i * 10, 10 + i * 10, 1, 20_000)]).unwrap();
    }
    assert!(log.reader().stats().segments > 6);
    log.seal_and_close().unwrap();
    // Every byte of the batches is destroyed; opening does not notice, for it does not look.
    for segment in disk.segments() {
        let mut bytes = disk.read(&segment);
        let trailer = bytes.len() - 4096;
        let footer = u64::from_le_bytes(bytes[trailer + 8..trailer + 16].try_into().unwrap()) as usize;
        bytes[4096..footer].fill(0xee);
        disk.overwrite(&segment, &bytes);
    }
    let (log, recovery) = Log::open(Arc::new(disk), options, wanted()).unwrap();
    assert_eq!(recovery.groups[&GROUP].last_index, Index(400));
    assert!(matches!(log.reader().entries(GROUP, Index(200), Index(201), 0), Err(LogError::Damaged { .. })));
}

#[test]
fn a_clean_close_does_not_use_up_a_segment() {
    let disk = SimDisk::default();
    for i in 1..20 {
        let (mut log, recovery) = open(&disk).unwrap();
        assert_eq!(recovery.groups.get(&GROUP).map_or(0, |group| group.last_index.0), i - 1);
        log.append(&[run(i, i, 1, 10)]).unwrap();
        log.seal_and_close().unwrap();
    }
    // 20 batches of a block each, five a segment.
    assert!(disk.segments().len() <= 5, "{}", disk.segments().len());
}

#[test]
fn spares_are_used_and_misfits_removed() {
    let disk = SimDisk::default();
    open(&disk).unwrap();
    disk.overwrite("spare-3", &[0; 100]);
    disk.overwrite("spare-4.new", &[1; SEGMENT as usize]);
    let (mut log, _) = open(&disk).unwrap();
    let pool = log.spare_pool();
    assert_eq!(pool.ready(), 0);
    let mut paced = 0;
    assert!(pool.fill(&mut || paced += 1).unwrap() && paced == 1);
    assert!(!pool.fill(&mut || {}).unwrap() && pool.ready() == 1);
    while pool.ready() == 1 {
        let next = log.reader().last_index(GROUP).0 + 1;
        log.append(&[run(next, next, 1, 10)]).unwrap();
    }
    assert!(pool.fill(&mut || {}).unwrap());
    drop(log);
    let (log, _) = open(&disk).unwrap();
    assert_eq!(log.spare_pool().ready(), 1);
}

#[test]
fn a_read_does_not_go_on_where_one_of_cut_entries_has_ended() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[run(1, 20, 1, 50)]).unwrap();
    let reader = log.reader();
    assert_eq!(reader.entries(GROUP, Index(1), Index(21), u64::MAX).unwrap().len(), 20);
    log.append(&[truncate(GROUP, 11), run(11, 25, 2, 50)]).unwrap();
    let terms = |low: u64| -> Vec<u64> {
        reader.entries(GROUP, Index(low), Index(26), u64::MAX).unwrap().iter().map(|entry| entry.term.0).collect()
    };
    assert_eq!(terms(20), [2; 6]);
    assert_eq!(terms(10)[..2], [1, 2]);
    // And on from there, into the next segment.
    log.append(&[run(26, 27, 2, 2 * SEGMENT as usize / 3), run(28, 28, 3, 9)]).unwrap();
    assert_eq!(reader.entries(GROUP, Index(25), Index(29), u64::MAX).unwrap().iter().map(|entry| entry.index.0).collect::<Vec<_>>(), [25, 26, 27, 28]);
}
