//! Directories of which parts come from another time: a backup put back, a copy that went on by itself. What the log
//! alone can tell is told; a whole directory of an earlier time looks like itself and is for the other members to notice.

use crate::log_support::damage::assert_repairable;
use crate::log_support::disk::SimDisk;
use crate::log_support::{hard_state, open, run, Model, GROUP};
use vexfs_core::log::LogError;

const COPIES: [&str; 2] = ["superblock.0", "superblock.1"];

fn lived() -> (SimDisk, Model) {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    for i in 1..=3 {
        let ops = [run(i, i, 1, 900), hard_state(GROUP, 1, 2, i)];
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    (disk, model)
}

fn put_back(disk: &SimDisk, backup: &SimDisk, names: &[&str]) {
    names.iter().for_each(|name| disk.overwrite(name, &backup.read(name)));
}

#[test]
fn a_superblock_older_than_the_batches_is_refused() {
    let (disk, mut model) = lived();
    let backup = disk.copy();
    let (mut log, _) = open(&disk).unwrap();
    let ops = [run(4, 4, 1, 10)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    drop(log);
    let restored = disk.copy();
    put_back(&restored, &backup, &COPIES);
    let before = restored.steps();
    let error = open(&restored).err().unwrap();
    let LogError::StaleSuperblock { found, known, .. } = &error else { panic!("{error}") };
    assert_eq!((*found, *known, error.code()), (2, 1, "LOG_DAMAGED"));
    // It got no further than making sure of what it reads.
    assert!(restored.steps() <= before + 4);
    let text = "00000000000000000001.seg was written by open 2 of the directory, the superblock knows of 1";
    assert_eq!(error.to_string(), text);
    // One of the two copies is no matter.
    put_back(&disk, &backup, &COPIES[..1]);
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
}

#[test]
fn a_superblock_older_than_the_segments_is_refused() {
    let (disk, _) = lived();
    let backup = disk.copy();
    let (mut log, _) = open(&disk).unwrap();
    for i in 4..8 {
        log.append(&[run(i, i, 1, 900)]).unwrap();
    }
    drop(log);
    // One segment more could be one whose making was interrupted; its maker's incarnation tells.
    assert_eq!(disk.segments().len(), 2);
    let restored = disk.copy();
    put_back(&restored, &backup, &COPIES);
    assert!(matches!(open(&restored), Err(LogError::StaleSuperblock { found: 2, known: 1, .. })));
    let (mut log, _) = open(&disk).unwrap();
    for i in 8..20 {
        log.append(&[run(i, i, 1, 900)]).unwrap();
    }
    put_back(&disk, &backup, &COPIES);
    assert!(matches!(open(&disk), Err(LogError::UnexpectedSegment { .. })));
}

#[test]
fn segments_older_than_the_superblock_are_noticed() {
    let (disk, mut model) = lived();
    let backup = disk.copy();
    let (mut log, _) = open(&disk).unwrap();
    let ops = [run(4, 4, 1, 900), hard_state(GROUP, 4, 2, 4)];
    log.append(&ops).unwrap();
    model.apply(&ops);
    drop(log);
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()) && disk.segments().len() == 1);
    drop(log);
    // The only segment as it was a batch ago: nothing in it is torn, yet the superblock knows of more.
    let name = disk.segments().remove(0);
    put_back(&disk, &backup, &[name.as_str()]);
    let recovery = assert_repairable(&disk, &model, "put back");
    assert!(recovery.unsettled && recovery.lost_batches == 1 && recovery.torn_bytes == 0);
    assert_eq!(recovery.groups[&GROUP].last_index.0, 3);
}

#[test]
fn a_last_batch_that_the_disk_forgot_is_noticed_by_the_next_open_but_one() {
    let (disk, model) = lived();
    drop(open(&disk).unwrap());
    let name = disk.segments().remove(0);
    let mut bytes = disk.read(&name);
    bytes[3 * 4096..4 * 4096].fill(0);
    disk.overwrite(&name, &bytes);
    let recovery = assert_repairable(&disk, &model, "forgotten");
    assert!(recovery.unsettled && recovery.lost_batches == 1 && recovery.torn_bytes == 0);
}
