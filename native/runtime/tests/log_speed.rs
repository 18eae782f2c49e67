//! How fast a log is scanned, as `log verify` does it. Ignored by default: it needs a release build and a quiet machine.
//! `cargo test --release -p vexfs-runtime --test log_speed -- --ignored --nocapture`

use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{scan, Log, LogEntry, LogOptions, LogReader, Op, Wanted};
use vexfs_runtime::disk::{FileDisk, Mode};

const LOG_BYTES: usize = 256 << 20;
const BATCH_BYTES: usize = 1 << 20;
const FLOOR_MB_PER_SECOND: f64 = 500.0;

#[test]
#[ignore = "a measurement"]
fn a_scan_reads_half_a_gigabyte_a_second() {
    for length in [256, 1024, 4096, 65_536] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FileDisk::open(dir.path(), Mode::ReadWrite).unwrap());
        let wanted =
            Wanted { cluster_id: "test".into(), node_id: "a".into(), fresh_directory_id: [1; 16], salt_seed: 42 };
        let (mut log, _) = Log::open(disk.clone(), LogOptions::default(), wanted).unwrap();
        let data: Bytes = (0..length).map(|i| (i * 31) as u8).collect::<Vec<_>>().into();
        let per_batch = (BATCH_BYTES / length) as u64;
        for batch in 0..(LOG_BYTES / BATCH_BYTES) as u64 {
            let entry = |i| LogEntry {
                index: Index(1 + batch * per_batch + i),
                term: Term(1),
                kind: 0,
                data: data.clone(),
                context: Bytes::new(),
            };
            log.append(&[Op::Entries { group: GroupId(0), entries: (0..per_batch).map(entry).collect() }]).unwrap();
        }
        drop(log);
        let mut best = 0.0_f64;
        for _ in 0..4 {
            let (began, mut entries) = (Instant::now(), 0_u64);
            let summary = scan(&*disk, &mut |_| entries += 1).unwrap();
            assert!(summary.damage.is_none() && entries > 0);
            best = best.max(summary.bytes as f64 / 1e6 / began.elapsed().as_secs_f64());
        }
        let (began, last) = (Instant::now(), Index(1 + per_batch * (LOG_BYTES / BATCH_BYTES) as u64));
        let (reader, _) = LogReader::open(disk.clone()).unwrap();
        let opened = began.elapsed();
        let (began, mut low) = (Instant::now(), Index(1));
        while low < last {
            low.0 += reader.entries(GroupId(0), low, last, 1 << 20).unwrap().len() as u64;
        }
        let read = LOG_BYTES as f64 / 1e6 / began.elapsed().as_secs_f64();
        println!("{length} B: scan {best:.0} MB/s, reader {read:.0} MB/s, opened in {opened:?}");
        assert!(best >= FLOOR_MB_PER_SECOND, "{length} B entries: {best:.0} MB/s");
    }
}
