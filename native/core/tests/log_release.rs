//! Snapshot marks, compaction, dropped segments and relocation, case by case. What they must survive is in `log_crash`,
//! any order of them in `log_model`.

use crate::log_support::disk::SimDisk;
use crate::log_support::{entries, entry, hard_state, mark, open, payload, run, steps, truncate, Model, GROUP};
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{scan, Log, LogError, LogReader, LostRange, Op, Upkeep, UpkeepLimits};

const QUIET: GroupId = GroupId(7);

/// Appends one block of group 0 at a time until `segments` are there.
fn fill(log: &mut Log<SimDisk>, model: &mut Model, segments: usize) {
    while log.reader().stats().segments < segments {
        let next = model.last(GROUP) + 1;
        let ops = [run(next, next, 1, 3000), hard_state(GROUP, 1, 2, next)];
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
}

fn snapshot_all(model: &Model, kept: u64) -> Op {
    let last = model.last(GROUP);
    mark(GROUP, last, 1, last + 1 - kept, 1)
}

#[test]
fn a_mark_drops_what_is_below_its_first() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    for ops in [vec![run(1, 20, 1, 300)], vec![run(21, 30, 2, 300)], vec![mark(GROUP, 25, 2, 16, 1)]] {
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    let reader = log.reader();
    model.assert_reads(&reader, 700);
    let Err(LogError::Compacted { index, first, .. }) = reader.entries(GROUP, Index(3), Index(20), 0) else { panic!() };
    assert_eq!((index, first), (Index(3), Index(16)));
    assert!(matches!(reader.term(GROUP, Index(14)), Err(LogError::Compacted { .. })));
    let (_, recovery) = open(&disk).unwrap();
    let group = &recovery.groups[&GROUP];
    assert_eq!((group.first_index, group.prior_term, group.snapshot), (Index(16), Term(1), Some((Index(25), Term(2)))));
    assert_eq!(group.terms, [(Index(15), Term(1)), (Index(21), Term(2))]);
}

#[test]
fn a_received_snapshot_empties_a_log_that_is_behind_it() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    let behind = vec![run(1, 9, 1, 10)];
    // One behind the snapshot, and one that conflicts with it.
    for (ops, last) in [(vec![truncate(GROUP, 51), mark(GROUP, 50, 3, 51, 3)], 50), (vec![run(51, 70, 4, 10)], 70),
        (vec![truncate(GROUP, 61), mark(GROUP, 60, 5, 61, 5)], 60), (vec![run(61, 62, 6, 10)], 62)] {
        if last == 50 {
            log.append(&behind).unwrap();
            model.apply(&behind);
        }
        log.append(&ops).unwrap();
        model.apply(&ops);
        assert_eq!(log.reader().last_index(GROUP), Index(last));
        let (reader, recovery) = LogReader::open(Arc::new(disk.clone())).unwrap();
        assert!(model.equals(&recovery, &reader), "{recovery:?}");
        assert_eq!(log.reader().term(GROUP, Index(last)).unwrap().0, model.group(GROUP).term(last));
    }
    let error = log.append(&[run(50, 50, 7, 1)]).unwrap_err();
    assert!(matches!(error, LogError::NotContiguous { expected: Index(63), .. }), "{error}");
}

#[test]
fn a_mark_never_goes_back_nor_does_a_truncation_pass_it() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    for ops in [vec![run(1, 20, 1, 10)], vec![mark(GROUP, 12, 1, 8, 1)]] {
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    let before = disk.steps();
    for op in steps::refused_marks(&model, GROUP) {
        let error = log.append(&[run(21, 21, 1, 1), op]).unwrap_err();
        assert!(matches!(error, LogError::MarkRefused { index: Index(12), first: Index(8), .. }), "{error}");
    }
    for from in [7, 8, 12] {
        let error = log.append(&[truncate(GROUP, from)]).unwrap_err();
        assert!(matches!(error, LogError::Compacted { index, first: Index(13), .. } if index == Index(from)), "{error}");
    }
    assert_eq!(disk.steps(), before);
    log.append(&[mark(GROUP, 12, 1, 8, 1), truncate(GROUP, 13)]).unwrap();
    assert_eq!((log.reader().first_index(GROUP), log.reader().last_index(GROUP)), (Index(8), Index(12)));
}

#[test]
fn release_drops_and_recycles_the_oldest_segments() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    fill(&mut log, &mut model, 5);
    assert_eq!(log.release().unwrap().segments, 0, "all of it is live");
    let ops = [snapshot_all(&model, 6)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    let (before, steps) = (log.reader().stats(), disk.steps());
    let released = log.release().unwrap();
    assert!(released.segments >= 2 && released.recycled == 1 && disk.steps() > steps);
    let after = log.reader().stats();
    assert_eq!(before.segments - after.segments, released.segments);
    assert_eq!(before.log_bytes - after.log_bytes, released.bytes);
    assert_eq!(disk.segments().len(), after.segments);
    assert_eq!(log.release().unwrap(), Default::default());
    model.assert_reads(&log.reader(), 1);
    // A used file stands by as a spare only when it is zero again.
    assert_eq!(log.spare_pool().ready(), 0);
    assert!(log.spare_pool().fill(&mut || {}).unwrap() && log.spare_pool().ready() == 1);
    let spare = disk.names().into_iter().find(|name| name.starts_with("spare-")).unwrap();
    assert!(disk.read(&spare).iter().all(|byte| *byte == 0));
    fill(&mut log, &mut model, after.segments + 2);
    drop(log);
    let (log, recovery) = open(&disk.after_power_loss(5)).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
    assert!(scan(&disk, &mut |_| {}).unwrap().damage.is_none());
}

#[test]
fn quiet_groups_states_and_marks_do_not_pin_segments() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    let quiet = vec![
        entries(QUIET, vec![entry(1, 4, "x")]),
        hard_state(QUIET, 4, 9, 1),
        mark(QUIET, 1, 4, 2, 4),
        hard_state(GroupId(8), 3, 2, 0),
    ];
    log.append(&quiet).unwrap();
    model.apply(&quiet);
    fill(&mut log, &mut model, 4);
    let ops = [snapshot_all(&model, 0)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    log.release().unwrap();
    assert_eq!(disk.segments().len(), 1);
    log.seal_and_close().unwrap();
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()), "{recovery:?}");
    assert_eq!(recovery.groups[&GroupId(8)].hard_state.term, Term(3));
}

#[test]
fn a_reader_of_a_dropped_segment_is_told_so() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    fill(&mut log, &mut model, 4);
    let reader = log.reader();
    assert_eq!(reader.entries(GROUP, Index(1), Index(3), u64::MAX).unwrap().len(), 2);
    log.append(&[snapshot_all(&model, 2)]).unwrap();
    log.release().unwrap();
    assert!(matches!(reader.entries(GROUP, Index(1), Index(3), u64::MAX), Err(LogError::Compacted { .. })));
    // A reader by itself, of an earlier state, finds the file gone or zeroed: never other entries.
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    fill(&mut log, &mut model, 4);
    let (stale, _) = LogReader::open(Arc::new(disk.clone())).unwrap();
    stale.entries(GROUP, Index(1), Index(2), 0).unwrap();
    log.append(&[snapshot_all(&model, 0)]).unwrap();
    log.release().unwrap();
    log.spare_pool().fill(&mut || {}).unwrap();
    fill(&mut log, &mut model, 4);
    assert!(stale.entries(GROUP, Index(1), Index(2), 0).is_err());
    assert!(stale.entries(GROUP, Index(8), Index(9), 0).is_err());
}

#[test]
fn what_an_interrupted_release_leaves_is_removed() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    fill(&mut log, &mut model, 4);
    let first = disk.segments().remove(0);
    let bytes = disk.read(&first);
    let ops = [snapshot_all(&model, 0)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    log.release().unwrap();
    drop(log);
    disk.overwrite(&first, &bytes);
    let (reader, recovery) = LogReader::open(Arc::new(disk.clone())).unwrap();
    assert!(model.equals(&recovery, &reader));
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()) && !disk.names().contains(&first));
}

#[test]
fn a_quiet_groups_entries_are_moved_out_of_the_way() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    let quiet: Vec<_> = (1..=5).map(|i| entry(i, 2, payload(i, 2, 60))).collect();
    let ops = [entries(QUIET, quiet), hard_state(QUIET, 2, 1, 5)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    fill(&mut log, &mut model, 3);
    assert_eq!(log.relocate(1000, u64::MAX).unwrap(), Default::default(), "most of the oldest segment is live");
    let ops = [snapshot_all(&model, 1)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    assert_eq!(log.release().unwrap().segments, 0, "the quiet group pins it");
    let pins = log.pins(1);
    assert_eq!((pins.len(), pins[0].group, pins[0].entries, pins[0].bytes), (1, QUIET, 5, 5 * 104));
    let moved = log.relocate(130, u64::MAX).unwrap();
    assert_eq!((moved.entries, moved.bytes, moved.freed), (3, 180, false));
    model.assert_reads(&log.reader(), 100);
    let moved = log.relocate(1000, u64::MAX).unwrap();
    assert_eq!((moved.entries, moved.freed), (2, true));
    assert!(log.release().unwrap().segments >= 1);
    assert_eq!(disk.segments().len(), 1);
    let ops = [truncate(QUIET, 4), entries(QUIET, vec![entry(4, 3, "new")])];
    log.append(&ops).unwrap();
    model.apply(&ops);
    model.assert_reads(&log.reader(), 100);
    log.seal_and_close().unwrap();
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
}

/// What is to be moved and cannot be read is named; once it was repaired it is moved, and its old home goes only behind
/// another batch, as a torn tail would take what was moved.
#[test]
fn damage_in_the_way_is_named_and_stops_nothing() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    let quiet: Vec<_> = (1..=5).map(|i| entry(i, 2, payload(i, 2, 60))).collect();
    let ops = [entries(QUIET, quiet.clone())];
    log.append(&ops).unwrap();
    model.apply(&ops);
    fill(&mut log, &mut model, 3);
    let ops = [snapshot_all(&model, 1)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    let (oldest, third) = (disk.segments().remove(0), &quiet[2]);
    let mut bytes = disk.read(&oldest);
    let at = bytes.windows(third.data.len()).position(|window| window == third.data).expect("it is there");
    bytes[at] ^= 1;
    disk.overwrite(&oldest, &bytes);

    let tidied = log.tidy(1000, u64::MAX).unwrap();
    assert!(!tidied.moved && !tidied.freed);
    let [lost] = tidied.unreadable[..] else { panic!("{tidied:?}") };
    assert_eq!((lost.group, lost.first, lost.last), (QUIET, Index(3), Index(5)), "all that its batch has from there on");
    let ops = [Op::Repair { group: QUIET, entries: quiet[2..].to_vec() }];
    log.append(&ops).unwrap();
    assert!(log.tidy(1000, u64::MAX).unwrap().freed);
    assert!(disk.segments().contains(&oldest), "its entries are in the last batch alone");
    let next = model.last(GROUP) + 1;
    let ops = [run(next, next, 1, 10)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    log.release().unwrap();
    assert!(!disk.segments().contains(&oldest));
    model.assert_reads(&log.reader(), 100);
}

/// Nothing was tried again before the next snapshot of any group, however much was held back until then.
#[test]
fn what_was_in_the_way_of_moving_is_tried_again_when_it_has_gone() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    let quiet = vec![entry(1, 2, payload(1, 2, 60))];
    log.append(&[entries(QUIET, quiet.clone())]).unwrap();
    fill(&mut log, &mut model, 4);
    let (oldest, lost) = (disk.segments().remove(0), &quiet[0].data);
    let mut bytes = disk.read(&oldest);
    let at = bytes.windows(lost.len()).position(|window| window == lost).expect("it is there");
    bytes[at] ^= 1;
    disk.overwrite(&oldest, &bytes);

    let mut upkeep = Upkeep::new(UpkeepLimits { held_back_bytes_max: 4_000, move_bytes_max: 4_000, move_bytes_min: 1_000 });
    let mut step = |log: &mut Log<SimDisk>, ops: &[Op], marked: bool| {
        let written = log.append(ops).unwrap();
        upkeep.after_batch(log, written, marked).unwrap()
    };
    let (mark, next) = (snapshot_all(&model, 1), model.last(GROUP) + 1);
    let unreadable = [step(&mut log, &[mark], true), step(&mut log, &[run(next, next, 1, 10)], false)].concat();
    assert!(!unreadable.is_empty());
    step(&mut log, &[Op::Repair { group: QUIET, entries: quiet }], false);
    // It may go behind another batch; one of nothing is none.
    step(&mut log, &[], false);
    assert!(disk.segments().contains(&oldest));
    for next in next + 1..next + 4 {
        step(&mut log, &[run(next, next, 1, 10)], false);
    }
    assert!(!disk.segments().contains(&oldest));
}

/// A mark, then a batch that begins a segment: what the mark says is still to be found when that batch is damaged.
#[test]
fn a_segment_outlives_the_first_batch_of_the_next() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    let mut upkeep = Upkeep::new(UpkeepLimits { held_back_bytes_max: u64::MAX, move_bytes_max: 1, move_bytes_min: 1 });
    let mut step = |log: &mut Log<SimDisk>, ops: &[Op], marked: bool| {
        let written = log.append(ops).unwrap();
        upkeep.after_batch(log, written, marked).unwrap();
        written.rolled
    };
    let state = hard_state(GROUP, 3, 2, 50);
    assert!(!step(&mut log, &[truncate(GROUP, 51), mark(GROUP, 50, 3, 51, 3), state], true));
    let marked = disk.segments();
    assert!(step(&mut log, &[run(51, 90, 3, 3000)], false));

    let damaged = disk.copy();
    let newest = damaged.segments().pop().unwrap();
    let mut bytes = damaged.read(&newest);
    bytes[30_000] ^= 1;
    damaged.overwrite(&newest, &bytes);
    let (_, recovery) = open(&damaged).unwrap();
    let found = &recovery.groups[&GROUP];
    assert!(recovery.unsettled);
    assert_eq!((found.snapshot, found.hard_state.term), (Some((Index(50), Term(3))), Term(3)));

    assert!(!step(&mut log, &[run(91, 91, 3, 10)], false));
    assert!(!disk.segments().contains(&marked[0]), "it goes once the next has a second batch");
}

/// Segments after a group that fills most of the oldest ones has gone quiet, and a busy one has written and let go of many.
fn segments_beside_a_quiet_group(held_back_max: u64) -> usize {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    while log.reader().stats().segments < 3 {
        let next = model.last(QUIET) + 1;
        let ops = [entries(QUIET, vec![entry(next, 2, payload(next, 2, 3000))]), hard_state(QUIET, 2, 1, next)];
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    let mut most = 0;
    for _ in 0..20 {
        let segments = log.reader().stats().segments + 1;
        fill(&mut log, &mut model, segments);
        let ops = [snapshot_all(&model, 1)];
        log.append(&ops).unwrap();
        model.apply(&ops);
        log.release().unwrap();
        while log.relocate(4_000, held_back_max).unwrap().entries > 0 {
            log.release().unwrap();
        }
        most = most.max(log.reader().stats().segments);
    }
    model.assert_reads(&log.reader(), 100);
    log.seal_and_close().unwrap();
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
    most
}

#[test]
fn what_is_held_back_is_bounded_whoever_holds_it() {
    assert!(segments_beside_a_quiet_group(0) <= 5);
    assert!(segments_beside_a_quiet_group(u64::MAX) >= 20, "nothing is moved of segments that are mostly live");
}

#[test]
fn repairs_keep_to_what_the_log_holds() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    for ops in [vec![run(1, 20, 1, 500)], vec![mark(GROUP, 5, 1, 4, 1)]] {
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    let repair = |low: u64, high: u64| Op::Repair {
        group: GROUP,
        entries: (low..=high).map(|i| entry(i, 1, payload(i, 1, 500))).collect(),
    };
    let before = disk.steps();
    for (low, high) in [(3, 5), (19, 21), (21, 21)] {
        let error = log.append(&[repair(low, high)]).unwrap_err();
        assert!(matches!(error, LogError::OutOfRange { .. }), "{error}");
    }
    let twice = log.append(&[repair(4, 6), repair(6, 7)]).unwrap_err();
    assert!(matches!(twice, LogError::WrittenTwice { index: Index(6), .. }), "{twice}");
    let mut gap = vec![entry(5, 1, ""), entry(7, 1, "")];
    let error = log.append(&[Op::Repair { group: GROUP, entries: std::mem::take(&mut gap) }]).unwrap_err();
    assert!(matches!(error, LogError::NotContiguous { .. }), "{error}");
    assert_eq!(disk.steps(), before);
    // Twice over, at both ends and in between; the segment in which they are is left for it.
    for (low, high) in [(4, 4), (20, 20), (8, 12), (10, 14), (4, 20)] {
        log.append(&[repair(low, high)]).unwrap();
        model.assert_reads(&log.reader(), 2000);
        let (reader, recovery) = LogReader::open(Arc::new(disk.clone())).unwrap();
        assert!(model.equals(&recovery, &reader), "{low} to {high}: {recovery:?}");
    }
    let ops = [truncate(GROUP, 10), run(10, 11, 3, 5)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
}

/// A snapshot that comes in the place of entries leaves a gap, which is one at every open until its entries are there.
#[test]
fn a_snapshot_ahead_of_the_log_leaves_a_gap() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[run(1, 7, 1, 10)]).unwrap();
    log.append(&[truncate(GROUP, 6), mark(GROUP, 9, 3, 2, 1)]).unwrap();
    let gap = |first: u64, last: u64, next: Option<u64>| LostRange {
        group: GROUP,
        first: Index(first),
        last: Index(last),
        next_term: next.map(Term),
        gap: true,
    };
    let opened = |log: Log<SimDisk>| {
        drop(log);
        let (log, recovery) = open(&disk).unwrap();
        (log, recovery.damaged, recovery.groups[&GROUP].clone())
    };
    let (mut log, lost, found) = opened(log);
    assert_eq!((lost, found.last_index), (vec![gap(6, 9, None)], Index(9)));
    log.append(&[run(10, 12, 3, 10)]).unwrap();
    assert_eq!(log.reader().term(GROUP, Index(10)).unwrap(), Term(3));
    let (mut log, lost, found) = opened(log);
    assert_eq!((lost, found.last_index), (vec![gap(6, 9, Some(3))], Index(12)));
    for (low, high, left) in [(6, 7, Some((8, 9))), (8, 9, None)] {
        let Op::Entries { group, entries } = run(low, high, 2, 10) else { unreachable!() };
        log.append(&[Op::Repair { group, entries }]).unwrap();
        let (reopened, lost, found) = opened(log);
        assert_eq!(lost, left.map(|(first, last)| gap(first, last, Some(3))).into_iter().collect::<Vec<_>>());
        assert_eq!((found.first_index, found.prior_term, found.snapshot), (Index(2), Term(1), Some((Index(9), Term(3)))));
        log = reopened;
    }
    let read = log.reader().entries(GROUP, Index(2), Index(13), u64::MAX).unwrap();
    assert!(read.iter().map(|entry| (entry.index.0, entry.term.0)).eq([(2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (7, 2), (8, 2), (9, 2), (10, 3), (11, 3), (12, 3)]));
}
