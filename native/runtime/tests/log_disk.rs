//! The log on real files: ownership of a directory, faults, and a log written and read by several threads.

use bytes::Bytes;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{scan, Log, LogEntry, LogError, LogOptions, LogReader, Op, Wanted};
use vexfs_runtime::disk::{DiskError, FileDisk, Mode};

const GROUP: GroupId = GroupId(0);

fn wanted() -> Wanted {
    Wanted { cluster_id: "test".into(), node_id: "a".into(), fresh_directory_id: [1; 16], salt_seed: 42 }
}

fn options() -> LogOptions {
    LogOptions { segment_bytes: 1 << 20, spare_segments: 1, reserve_bytes: 0 }
}

fn disk(dir: &Path) -> Arc<FileDisk> {
    Arc::new(FileDisk::open(dir, Mode::ReadWrite).unwrap())
}

fn payload(index: u64, length: usize) -> Bytes {
    vec![(index % 251) as u8; length].into()
}

fn run(low: u64, high: u64, length: usize) -> Op {
    let entry = |index| LogEntry {
        index: Index(index),
        term: Term(1),
        kind: 0,
        data: payload(index, length),
        context: Bytes::new(),
    };
    Op::Entries { group: GROUP, entries: (low..=high).map(entry).collect() }
}

#[test]
fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er");
    assert!(matches!(FileDisk::open(&path, Mode::ReadOnly), Err(DiskError::NotFound { .. })));
    let owner = FileDisk::open(&path, Mode::ReadWrite).unwrap();
    for mode in [Mode::ReadWrite, Mode::ReadOnly] {
        // Also by another way to it.
        for other in [path.clone(), dir.path().join("deep/../deep/er/.")] {
            let Err(DiskError::InUse { .. }) = FileDisk::open(&other, mode) else { panic!("opened twice") };
        }
    }
    drop(owner);
    let readers = [FileDisk::open(&path, Mode::ReadOnly).unwrap(), FileDisk::open(&path, Mode::ReadOnly).unwrap()];
    assert!(matches!(FileDisk::open(&path, Mode::ReadWrite), Err(DiskError::InUse { .. })));
    drop(readers);
    FileDisk::open(&path, Mode::ReadWrite).unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(FileDisk::open(&file, Mode::ReadOnly), Err(DiskError::Io { .. })));
}

/// The other side of the next test: this test program run again, as another process.
#[test]
fn child_that_finds_the_directory_in_use() {
    let Some(dir) = std::env::var_os("VEXFS_TEST_LOCKED_DIR") else { return };
    for mode in [Mode::ReadWrite, Mode::ReadOnly] {
        assert!(matches!(FileDisk::open(&dir, mode), Err(DiskError::InUse { .. })));
    }
}

#[test]
fn another_process_finds_the_directory_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let _owner = disk(dir.path());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_finds_the_directory_in_use"])
        .env("VEXFS_TEST_LOCKED_DIR", dir.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

#[test]
fn reading_changes_not_a_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(disk(dir.path()), options(), wanted()).unwrap();
    log.append(&[run(1, 50, 1000)]).unwrap();
    drop(log);
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap(), path))
            .collect();
        files.sort_by(|a, b| a.2.cmp(&b.2));
        files
    };
    let before = files();
    let reader = Arc::new(FileDisk::open(dir.path(), Mode::ReadOnly).unwrap());
    let mut seen = 0;
    assert!(scan(&*reader, &mut |_| seen += 1).unwrap().damage.is_none());
    let (log, recovery) = LogReader::open(reader.clone()).unwrap();
    assert_eq!((seen, recovery.groups[&GROUP].last_index), (50, Index(50)));
    assert_eq!(log.entries(GROUP, Index(7), Index(8), 0).unwrap()[0].data, payload(7, 1000));
    assert!(files() == before);
    // It cannot even try.
    let refused = Log::open(reader, options(), wanted());
    assert!(matches!(refused, Err(LogError::Io { .. })));
    assert!(files() == before);
}

#[test]
fn threads_read_and_prepare_spares_while_one_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(disk(dir.path()), options(), wanted()).unwrap();
    let (pool, reader, done) = (log.spare_pool(), log.reader(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                pool.fill(&mut || {}).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for part in 0..2_u64 {
            let reader = reader.clone();
            scope.spawn(move || {
                let mut reads = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let last = reader.last_index(GROUP).0;
                    if last > 0 {
                        let low = 1 + (reads * 7919 + part * 31) % last;
                        let found = reader.entries(GROUP, Index(low), Index(last + 1), 20_000).unwrap();
                        for (i, entry) in found.iter().enumerate() {
                            assert_eq!(entry.index.0, low + i as u64);
                            assert_eq!(entry.data, payload(entry.index.0, entry.data.len()));
                        }
                        reads += 1;
                    }
                }
                assert!(reads > 10);
            });
        }
        let mut next = 1;
        for i in 0..200 {
            let count = 1 + i % 7;
            let length = if i % 50 == 49 { 300_000 } else { 3000 };
            log.append(&[run(next, next + count - 1, length)]).unwrap();
            next += count;
        }
        done.store(true, Ordering::Relaxed);
    });
    let last = log.reader().last_index(GROUP);
    assert!(log.reader().stats().segments > 3);
    log.seal_and_close().unwrap();
    drop(reader);
    let (log, recovery) = Log::open(disk(dir.path()), options(), wanted()).unwrap();
    assert_eq!((recovery.groups[&GROUP].last_index, recovery.torn_bytes), (last, 0));
    let all = log.reader().entries(GROUP, Index(1), Index(last.0 + 1), u64::MAX).unwrap();
    assert!(all.iter().all(|entry| entry.data == payload(entry.index.0, entry.data.len())));
}

#[test]
fn faults_hold_and_fail_the_next_sync_once() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let faults = disk.faults();
    let (mut log, _) = Log::open(disk.clone(), options(), wanted()).unwrap();
    faults.hold_sync(150);
    let began = Instant::now();
    log.append(&[run(1, 1, 10)]).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(150));
    let began = Instant::now();
    log.append(&[run(2, 2, 10)]).unwrap();
    assert!(began.elapsed() < Duration::from_millis(150) && faults.fired() == 1);
    faults.fail_sync();
    assert!(log.spare_pool().fill(&mut || {}).unwrap(), "the fault is not for work in the background");
    assert!(matches!(log.append(&[run(3, 3, 10)]), Err(LogError::Io { action: "sync", .. })));
    assert!(matches!(log.append(&[run(3, 3, 10)]), Err(LogError::Poisoned)));
    assert_eq!((faults.fired(), log.reader().last_index(GROUP)), (2, Index(2)));
}

#[test]
fn damage_of_real_files_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(disk(dir.path()), options(), wanted()).unwrap();
    (0..3).for_each(|i| {
        log.append(&[run(1 + i * 300, 300 + i * 300, 3000)]).unwrap();
    });
    drop(log);
    let newest = dir.path().join("00000000000000000003.seg");
    let kept = std::fs::read(&newest).unwrap();
    std::fs::remove_file(&newest).unwrap();
    let missing = Log::open(disk(dir.path()), options(), wanted()).err().unwrap();
    assert!(matches!(missing, LogError::MissingSegment { .. }), "{missing}");
    std::fs::write(&newest, kept).unwrap();
    let (log, recovery) = Log::open(disk(dir.path()), options(), wanted()).unwrap();
    assert_eq!((recovery.groups[&GROUP].last_index, log.reader().stats().segments), (Index(900), 3));
}
