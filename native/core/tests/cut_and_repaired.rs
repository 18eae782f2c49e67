//! A log whose lost batch had cut entries that were repaired behind it, in the same segment.

mod log_support;

use log_support::disk::SimDisk;
use log_support::{hard_state, mark, open, payload, run, truncate, GROUP};
use log_support::{entry};
use vexfs_core::log::Op;
use vexfs_core::ids::Index;

/// An entry of an old leader, a snapshot in its place, and what it is of, which others had. Found in seed 212309 of
/// tests/sceptic_lives.rs.
#[test]
fn a_log_opens_that_has_lost_the_cut_in_front_of_a_repair() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[run(1, 3, 3, 60), hard_state(GROUP, 3, 1, 0)]).unwrap();
    log.append(&[truncate(GROUP, 1), mark(GROUP, 2, 4, 1, 0), hard_state(GROUP, 4, 1, 2)]).unwrap();
    let entries = (1..=2).map(|index| entry(index, 4, payload(index, 4, 60))).collect::<Vec<_>>();
    log.append(&[Op::Repair { group: GROUP, entries: entries.clone() }]).unwrap();
    drop(log);
    let name = disk.segments().pop().unwrap();
    let mut bytes = disk.read(&name);
    bytes[2 * 4096 + 60] ^= 1;
    disk.overwrite(&name, &bytes);
    let (log, recovery) = open(&disk).unwrap();
    assert!(recovery.unsettled && recovery.lost_batches == 1);
    let reader = log.reader();
    assert_eq!(reader.entries(GROUP, Index(1), Index(3), u64::MAX).unwrap(), entries);
    assert_eq!(reader.last_index(GROUP), Index(2));
}
