//! Directories that were founded, and whose first batch a crash has torn: whether all of them or some, the cluster begins.

mod support;

use std::path::Path;
use std::sync::Arc;
use support::{config, Cluster, GROUP, NAMES};
use vexfs_core::machine::MachineLimits;
use vexfs_core::member::open::recover;
use vexfs_runtime::disk::{FileDisk, Mode};

/// Bytes of a segment's header.
const HEADER_BYTES: usize = 4096;

fn limits(_: &str) -> MachineLimits {
    MachineLimits::default()
}

/// Founds a directory anew, and tears what it begins with.
fn found_torn(dir: &Path, name: &str) {
    let config = config(dir, name, 1_000, limits(name));
    std::fs::remove_dir_all(&config.data_dir).unwrap();
    let disk = FileDisk::open(&config.data_dir, Mode::ReadWrite).unwrap();
    drop(recover(Arc::new(disk), &config.member).unwrap());
    let mut segments: Vec<_> = std::fs::read_dir(&config.data_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    bytes[HEADER_BYTES + 100..].fill(0);
    std::fs::write(&segments[0], bytes).unwrap();
}

fn begins(torn: &[&str]) {
    let cluster = Cluster::new(1_000, limits);
    NAMES.iter().for_each(|name| cluster.stop(name));
    for name in NAMES {
        match torn.contains(&name) {
            true => found_torn(cluster.dir.path(), name),
            false => std::fs::remove_dir_all(cluster.dir.path().join(name)).unwrap(),
        }
    }
    NAMES.iter().for_each(|name| cluster.start(name));
    cluster.wait_agreed("they begin", 0);
    assert!(cluster.node("a").shared().groups[&GROUP].status.lock().leader.is_some());
    // And once more, now that the mark of being unsettled has gone or not.
    NAMES.iter().for_each(|name| cluster.stop(name));
    NAMES.iter().for_each(|name| cluster.start(name));
    cluster.wait_agreed("they go on", 0);
}

#[test]
fn founders_of_which_some_were_torn_begin() {
    begins(&["b"]);
    begins(&["a", "c"]);
}

#[test]
fn founders_that_were_all_torn_begin() {
    begins(&NAMES);
}

#[test]
fn one_that_was_to_join_founds_nothing_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "a", 1_000, limits("a"));
    for joins in [true, false] {
        config.member.joins = joins;
        let disk = FileDisk::open(&config.data_dir, Mode::ReadWrite).unwrap();
        let recovered = recover(Arc::new(disk), &config.member).unwrap();
        assert!(recovered.recovery.groups.is_empty() && recovered.recovery.unsettled, "joins: {joins}");
    }
}
