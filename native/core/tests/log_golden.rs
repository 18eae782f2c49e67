//! The files of format version 1, byte for byte as docs/formats.md has them. `UPDATE_GOLDEN=1` writes them anew: a
//! difference is a change of format, and needs a new version.

use crate::log_support::disk::SimDisk;
use crate::log_support::{entry, hard_state, mark, open, truncate, wanted, Model, GROUP};
use crc32c::{crc32c, crc32c_append};
use std::path::PathBuf;
use std::sync::Arc;
use vexfs_core::ids::GroupId;
use vexfs_core::log::{scan, Log, LogOptions, LogReader, Op};

const FILES: [&str; 4] =
    ["superblock.0", "superblock.1", "00000000000000000001.seg", "00000000000000000002.seg"];
const BLOCK: usize = 4096;
/// The directories of golden files: of the first release, which knew records 1 to 3, and of this one.
const FIRST: &str = "log-1";
const NOW: &str = "log-2";

fn golden(directory: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(directory).join(name)
}

fn first_batches() -> Vec<Vec<Op>> {
    let mut second = entry(2, 1, "two");
    (second.kind, second.context) = (1, "ctx".into());
    vec![
        vec![
            Op::Entries { group: GROUP, entries: vec![entry(1, 1, "one"), second] },
            hard_state(GROUP, 1, 0x1122_3344_5566_7788, 1),
        ],
        vec![truncate(GROUP, 2), Op::Entries { group: GroupId(5), entries: vec![entry(1, 3, "")] }],
    ]
}

/// With a second segment, and records of every kind.
fn batches() -> Vec<Vec<Op>> {
    let mut batches = first_batches();
    let more = vec![entry(2, 2, "2"), entry(3, 2, "3"), entry(4, 2, "4")];
    let quiet = |index: u64, data: &'static str| vec![entry(index, 3, data)];
    batches[1].push(Op::Entries { group: GroupId(5), entries: quiet(2, "q") });
    batches.push(vec![Op::Entries { group: GROUP, entries: more }, mark(GROUP, 4, 2, 3, 2)]);
    batches.push(vec![
        Op::Repair { group: GroupId(5), entries: quiet(1, "") },
        Op::Relocate { group: GroupId(5), entries: quiet(2, "q") },
    ]);
    batches
}

fn model(batches: &[Vec<Op>]) -> Model {
    let mut model = Model::default();
    batches.iter().for_each(|ops| model.apply(ops));
    model
}

#[test]
fn the_writer_makes_the_golden_files() {
    let disk = SimDisk::default();
    let options = LogOptions { segment_bytes: 6 * BLOCK as u64, spare_segments: 0, reserve_bytes: 0 };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options, wanted()).unwrap();
    for ops in batches() {
        log.append(&ops).unwrap();
    }
    log.seal_and_close().unwrap();
    assert_eq!(disk.segments(), FILES[2..]);
    for name in FILES {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden(NOW, "")).unwrap();
            std::fs::write(golden(NOW, name), disk.read(name)).unwrap();
        }
        assert!(std::fs::read(golden(NOW, name)).unwrap() == disk.read(name), "{name} differs");
    }
}

#[test]
fn the_golden_files_are_read() {
    for (directory, files, batches) in [(FIRST, 3, first_batches()), (NOW, 4, batches())] {
        let (disk, model) = (SimDisk::default(), model(&batches));
        FILES[..files].iter().for_each(|name| disk.overwrite(name, &std::fs::read(golden(directory, name)).unwrap()));
        let (reader, recovery) = LogReader::open(Arc::new(disk.clone())).unwrap();
        assert!(model.equals(&recovery, &reader), "{directory}: {recovery:?}");
        let summary = scan(&disk, &mut |_| {}).unwrap();
        assert_eq!((summary.segments, summary.torn_bytes, summary.damage.is_none()), (files - 2, 0, true));
        // And gone on with.
        let (mut log, _) = open(&disk).unwrap();
        let next = vec![Op::Entries { group: GroupId(5), entries: vec![entry(model.last(GroupId(5)) + 1, 9, "next")] }];
        log.append(&next).unwrap();
        model.after(&next).assert_reads(&log.reader(), 1);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The checksum of a structure in a segment, from the document.
fn crc(salt: u64, offset: usize, parts: &[&[u8]]) -> u32 {
    let place = [salt.to_le_bytes(), (offset as u64).to_le_bytes()].concat();
    parts.iter().fold(crc32c(&place), |crc, part| crc32c_append(crc, part))
}

/// Decoded by the document's tables alone, without the log's own code.
#[test]
fn the_golden_files_are_what_the_document_says() {
    let block = std::fs::read(golden(FIRST, "superblock.1")).unwrap();
    assert_eq!((&block[..8], block.len()), (&b"VXLOGSUP"[..], BLOCK));
    assert_eq!(u32_at(&block, 8), 1);
    assert_eq!(u32_at(&block, 12), crc32c_append(crc32c(&block[..12]), &block[16..]));
    assert_eq!(block[16..32], [7; 16]);
    let words: Vec<u64> = (0..4).map(|i| u64_at(&block, 32 + i * 8)).collect();
    assert_eq!(words, [2, 1, 1, 1], "generation, incarnation, oldest, newest");
    assert_eq!((u32_at(&block, 72), &block[80..85]), (4 | 1 << 16, &b"testa"[..]));

    let file = std::fs::read(golden(FIRST, FILES[2])).unwrap();
    assert_eq!((&file[..8], u32_at(&file, 8)), (&b"VXLOGSEG"[..], 1));
    assert_eq!(u32_at(&file, 12), crc32c_append(crc32c(&file[..12]), &file[16..96]));
    let words: Vec<u64> = (0..7).map(|i| u64_at(&file, 32 + i * 8)).collect();
    let salt = u64_at(&block, 64);
    assert_eq!(words, [1, salt, 0, 1, 6 * BLOCK as u64, 1, BLOCK as u64]);

    let batch = |at: usize, number: u64, count: u32, kind: u8| {
        assert_eq!(&file[at..at + 4], b"VXB1");
        assert_eq!(u32_at(&file, at + 4), crc(salt, at, &[&file[at + 8..at + 48]]));
        assert_eq!((u64_at(&file, at + 8), u64_at(&file, at + 16)), (number, 1));
        assert_eq!((u32_at(&file, at + 28), file[at + 36]), (count, kind));
        (u32_at(&file, at + 24) as usize, u32_at(&file, at + 32))
    };
    let record = |at: usize, length: usize, kinds: [u8; 2], group: u32| {
        assert_eq!(u32_at(&file, at) as usize, length);
        assert_eq!(u32_at(&file, at + 4), crc(salt, at, &[&file[at..at + 4], &file[at + 8..at + length]]));
        assert_eq!((file[at + 8], file[at + 9], u32_at(&file, at + 12)), (kinds[0], kinds[1], group));
        file[at + 4..at + 8].to_vec()
    };
    let first = BLOCK + 48;
    let crcs = [
        record(first, 43, [1, 0], 0),
        record(first + 48, 46, [1, 1], 0),
        record(first + 96, 40, [3, 0], 0),
    ];
    assert_eq!(batch(BLOCK, 1, 3, 1), (136, crc32c(&crcs.concat())));
    assert_eq!((u64_at(&file, first + 16), u64_at(&file, first + 24), u32_at(&file, first + 32)), (1, 1, 3));
    assert_eq!(&file[first + 40..first + 43], b"one");
    assert_eq!(&file[first + 48 + 40..first + 48 + 46], b"twoctx");
    let state: Vec<u64> = (0..3).map(|i| u64_at(&file, first + 96 + 16 + i * 8)).collect();
    assert_eq!(state, [1, 0x1122_3344_5566_7788, 1]);
    let second = 2 * BLOCK + 48;
    let crcs = [record(second, 24, [2, 0], 0), record(second + 24, 40, [1, 0], 5)];
    assert_eq!(batch(2 * BLOCK, 2, 2, 1), (64, crc32c(&crcs.concat())));
    assert_eq!(u64_at(&file, second + 16), 2);

    let footer = 3 * BLOCK;
    let (length, body_crc) = batch(footer, 3, 2, 2);
    let body = &file[footer + 48..footer + 48 + length];
    assert_eq!(body_crc, crc(salt, footer, &[body]));
    assert_eq!((u64_at(body, 0), u32_at(body, 8), u32_at(body, 12)), (1, 0, 1), "first batch; group 0 has a state");
    let group: Vec<u64> = (0..4).map(|i| u64_at(body, 16 + i * 8)).collect();
    assert_eq!(group, [0, 1, 0x1122_3344_5566_7788, 1]);
    assert_eq!([48, 52, 56].map(|at| u32_at(body, at)), [1, 1, 1], "runs, terms, points");
    let lists: Vec<u64> = (0..7).map(|i| u64_at(body, 72 + i * 8)).collect();
    assert_eq!(lists, [1, 1, first as u64, 1, 1, 1, first as u64]);
    assert_eq!((u32_at(body, 128), length), (5, 8 + (64 + 56) * 2));

    let trailer = file.len() - BLOCK;
    assert_eq!(&file[trailer..trailer + 4], b"VXT1");
    assert_eq!(u32_at(&file, trailer + 4), crc(salt, trailer, &[&file[trailer + 8..trailer + 32]]));
    assert_eq!((u64_at(&file, trailer + 8), u64_at(&file, trailer + 16)), (footer as u64, 3));
}

/// What this release has added, by the document's tables alone.
#[test]
fn the_later_records_are_what_the_document_says() {
    let file = std::fs::read(golden(NOW, FILES[3])).unwrap();
    let salt = u64_at(&file, 40);
    let record = |at: usize, length: usize, kind: u8, group: u32| -> Vec<u64> {
        assert_eq!(u32_at(&file, at) as usize, length);
        assert_eq!(u32_at(&file, at + 4), crc(salt, at, &[&file[at..at + 4], &file[at + 8..at + length]]));
        assert_eq!((file[at + 8], file[at + 9], u32_at(&file, at + 12)), (kind, 0, group));
        (at + 16..at + length / 8 * 8).step_by(8).map(|at| u64_at(&file, at)).collect()
    };
    let first = BLOCK + 48;
    let vote = 0x1122_3344_5566_7788;
    assert_eq!(record(first, 96, 7, 0), [1, 1, 1, 1, vote, 1, 0, 0, 0, 0], "flags, last, its term, hard state, no mark");
    assert_eq!(record(first + 96, 96, 7, 5), [0, 2, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(record(first + 192 + 3 * 48, 48, 6, 0), [4, 2, 3, 2], "index, term, first, prior term");
    let second = 2 * BLOCK + 48;
    assert_eq!(record(second, 40, 4, 5)[..2], [1, 3]);
    assert_eq!(record(second + 40, 41, 5, 5)[..2], [2, 3]);

    let body = &file[3 * BLOCK + 48..];
    assert_eq!((u64_at(body, 0), u32_at(body, 8), u32_at(body, 12)), (3, 0, 1 | 4 | 8), "hard state, mark, carried");
    assert_eq!([48, 52, 56, 60].map(|at| u32_at(body, at)), [1, 1, 1, 48], "runs, terms, points, mean");
    let words: Vec<u64> = (0..6).map(|i| u64_at(body, 72 + i * 8)).collect();
    assert_eq!(words, [4, 2, 3, 2, 1, 1], "mark, last carried and its term");
    assert_eq!(u64_at(body, 120), 2, "a run may begin below the mark's first");
}
