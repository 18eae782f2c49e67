//! Damage on real files: a byte flipped in each record of a middle segment of one member of three, one at a time. The member
//! starts, gets back what it has lost, and its journal is that of the others (rule L2).

mod support;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use support::{submission, Cluster, NAMES};
use vexfs_core::log::{scan, ScannedRecord};
use vexfs_core::machine::MachineLimits;
use vexfs_core::ordered::status::Role;
use vexfs_runtime::disk::{FileDisk, Mode};

/// Offsets of the entries' records in the segment in the middle, and its file.
fn middle(dir: &Path) -> (PathBuf, Vec<u64>) {
    let disk = FileDisk::open(dir, Mode::ReadOnly).unwrap();
    let mut records = Vec::new();
    let summary = scan(&disk, &mut |item| records.push(item)).unwrap();
    assert!(summary.damage.is_none(), "{:?}", summary.damage);
    let segments: Vec<&String> = records.iter().map(|item| &item.segment).collect::<BTreeSet<_>>().into_iter().collect();
    assert!(segments.len() >= 4, "{segments:?}");
    let segment = segments[segments.len() / 2].clone();
    let here = records.iter().filter(|item| item.segment == segment);
    let offsets = here.filter(|item| matches!(item.record, ScannedRecord::Entry { .. })).map(|item| item.offset).collect();
    (dir.join(segment), offsets)
}

fn flip(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], at).unwrap();
    file.sync_all().unwrap();
}

/// `snapshot_entries`: so often a snapshot is taken; what it covers only readers of the journal miss.
fn every_record_comes_back(snapshot_entries: u64) {
    let cluster = Cluster::new(snapshot_entries, |_| MachineLimits::default());
    cluster.wait("a leader", || NAMES.iter().any(|name| cluster.status(name).role == Role::Leader));
    let events = 240;
    for id in 0..events {
        cluster.node("b").submit(id as u32 + 1, &submission("b", id + 1, 700), 1).unwrap();
        cluster.wait("it is applied", || cluster.status("b").events > id as u64);
    }
    cluster.wait_agreed("all have all of it", events as u64);
    let whole = cluster.journal("b");
    assert_eq!(cluster.journal("a"), whole);
    cluster.stop("a");
    let (file, offsets) = middle(&cluster.dir.path().join("a"));
    assert!(offsets.len() > 10, "{} records in {}", offsets.len(), file.display());
    for (at, offset) in offsets.iter().enumerate() {
        // In the term, then in what follows it.
        flip(&file, offset + [24, 40, 90][at % 3]);
        cluster.start("a");
        cluster.wait_agreed(&format!("after damage at byte {offset}"), events as u64);
        assert!(cluster.journal("a") == whole, "the journal after damage at byte {offset}");
        // The journal may be whole a moment before the status says so.
        cluster.wait("it is counted", || cluster.status("a").repaired > 0);
        assert_eq!(cluster.status("a").repaired, 1, "byte {offset}");
        cluster.stop("a");
    }
    cluster.start("a");
    cluster.wait_agreed("whole again", events as u64);
    assert!(cluster.journal("a") == whole);
    assert_eq!(cluster.status("a").repaired, 0);
}

#[test]
fn every_record_that_raft_needs_comes_back() {
    every_record_comes_back(100_000);
}

#[test]
fn every_record_that_readers_need_comes_back() {
    every_record_comes_back(200);
}
