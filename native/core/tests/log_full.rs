//! A full disk is an answer: nothing is half written, the reserve makes room for what must still be written, and the log
//! goes on by itself when there is space.

use crate::log_support::disk::SimDisk;
use crate::log_support::{hard_state, mark, open, options, run, wanted, Model, GROUP, SEGMENT};
use std::sync::Arc;
use vexfs_core::log::{Log, LogError, LogOptions, Recovery};

const RESERVE: u64 = 3 * SEGMENT;

fn open_with_reserve(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovery), LogError> {
    let options = LogOptions { reserve_bytes: RESERVE, spare_segments: 0, ..options() };
    Log::open(Arc::new(disk.clone()), options, wanted())
}

fn has_reserve(disk: &SimDisk) -> bool {
    disk.names().iter().any(|name| name == "RESERVE")
}

/// Appends until the disk is full; the error.
fn fill(log: &mut Log<SimDisk>, model: &mut Model) -> LogError {
    loop {
        let next = model.last(GROUP) + 1;
        let ops = [run(next, next, 1, 2500), hard_state(GROUP, 1, 1, next)];
        match log.append(&ops) {
            Ok(_) => model.apply(&ops),
            Err(error) => return error,
        }
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    for seed in 0..20 {
        let (disk, mut model) = (SimDisk::default(), Model::default());
        let (mut log, _) = open_with_reserve(&disk).unwrap();
        assert!(log.has_reserve() && has_reserve(&disk));
        disk.leave_room(Some(2 * SEGMENT as usize + seed * 4096));
        let error = fill(&mut log, &mut model);
        assert!(matches!(error, LogError::Full { .. }) && error.code() == "DISK_FULL" && !error.is_damage(), "{error}");
        assert!(!log.has_reserve() && !has_reserve(&disk), "the reserve is for this");
        let again = fill(&mut log, &mut model);
        assert!(matches!(again, LogError::Full { .. }) || model.last(GROUP) > 0, "{again}");
        assert!(disk.names().iter().all(|name| !name.ends_with(".new")), "{:?}", disk.names());
        model.assert_reads(&log.reader(), 5000);
        let (other, recovery) = open_with_reserve(&disk.after_process_end()).unwrap();
        assert!(model.equals(&recovery, &other.reader()));
        // Space comes back.
        disk.leave_room(None);
        assert!(log.restore_reserve().unwrap() && log.has_reserve() && has_reserve(&disk));
        let next = model.last(GROUP) + 1;
        log.append(&[run(next, next + 9, 1, 2500)]).unwrap();
        model.apply(&[run(next, next + 9, 1, 2500)]);
        log.seal_and_close().unwrap();
        let (log, recovery) = open_with_reserve(&disk.after_power_loss(seed as u64)).unwrap();
        assert!(model.equals(&recovery, &log.reader()) && log.has_reserve());
    }
}

#[test]
fn a_reserve_that_does_not_fit_is_made_later() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    disk.leave_room(Some(2 * SEGMENT as usize));
    let (mut log, _) = open_with_reserve(&disk).unwrap();
    assert!(!log.has_reserve() && !log.restore_reserve().unwrap());
    assert!(disk.names().iter().all(|name| !name.starts_with("RESERVE")));
    assert!(matches!(log.spare_pool().fill(&mut || {}), Ok(false)));
    assert!(matches!(fill(&mut log, &mut model), LogError::Full { .. }));
    disk.leave_room(None);
    assert!(log.restore_reserve().unwrap());
    // Of another size, unfinished or not wanted: made anew, or gone.
    drop(log);
    disk.overwrite("RESERVE", &[0; 100]);
    disk.overwrite("RESERVE.new", &[0; 100]);
    assert!(open_with_reserve(&disk).unwrap().0.has_reserve());
    assert_eq!(disk.read("RESERVE").len() as u64, RESERVE);
    let (log, _) = open(&disk).unwrap();
    assert!(!log.has_reserve() && !has_reserve(&disk));
}

#[test]
fn a_full_disk_keeps_spares_from_being_made_and_nothing_else() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    disk.leave_room(Some(1000));
    assert!(matches!(log.spare_pool().fill(&mut || {}), Err(LogError::Full { .. })));
    let ops = [run(1, 1, 1, 10)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    model.assert_reads(&log.reader(), 1);
    assert!(matches!(fill(&mut log, &mut model), LogError::Full { .. }));
}

#[test]
fn votes_and_snapshot_marks_go_on_and_make_room() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open_with_reserve(&disk).unwrap();
    disk.leave_room(Some(3 * SEGMENT as usize));
    assert!(matches!(fill(&mut log, &mut model), LogError::Full { .. }));
    for term in 2..8 {
        let ops = [hard_state(GROUP, term, 7, model.last(GROUP))];
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    let last = model.last(GROUP);
    let ops = [mark(GROUP, last, 1, last + 1, 1)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    assert!(log.release().unwrap().segments >= 3);
    let next = model.last(GROUP) + 1;
    let ops = [run(next, next + 4, 8, 2500)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    let (log, recovery) = open(&disk.after_power_loss(3)).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
}

#[test]
fn an_open_that_has_to_remember_a_cut_takes_the_reserve_for_it() {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open_with_reserve(&disk).unwrap();
    let ops = [run(1, 3, 1, 2500)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    drop(log);
    let name = disk.segments().remove(0);
    let mut bytes = disk.read(&name);
    bytes[4 * 4096 + 7] = 9;
    disk.overwrite(&name, &bytes);
    disk.leave_room(Some(0));
    let (log, recovery) = open_with_reserve(&disk).unwrap();
    assert!(recovery.unsettled && recovery.torn_bytes > 0 && model.equals(&recovery, &log.reader()));
    assert!(disk.names().iter().any(|name| name == "UNSETTLED"));
    assert!(log.has_reserve() == has_reserve(&disk));
}
