//! The files of format version 1, byte for byte as docs/formats.md has them. `UPDATE_GOLDEN=1` writes them anew: a
//! difference is a change of format, and needs a new version.

mod log_support;

use crc32c::{crc32c, crc32c_append};
use log_support::disk::SimDisk;
use log_support::{entry, hard_state, truncate, wanted, Model, GROUP};
use std::path::PathBuf;
use std::sync::Arc;
use vexfs_core::ids::GroupId;
use vexfs_core::log::{scan, Log, LogOptions, LogReader, Op};

const FILES: [&str; 3] = ["superblock.0", "superblock.1", "00000000000000000001.seg"];
const BLOCK: usize = 4096;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log").join(name)
}

fn batches() -> Vec<Vec<Op>> {
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

fn made() -> (SimDisk, Model) {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let options = LogOptions { segment_bytes: 6 * BLOCK as u64, spare_segments: 0, reserve_bytes: 0 };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options, wanted()).unwrap();
    for ops in batches() {
        log.append(&ops).unwrap();
        model.apply(&ops);
    }
    log.seal_and_close().unwrap();
    (disk, model)
}

#[test]
fn the_writer_makes_the_golden_files() {
    let (disk, _) = made();
    for name in FILES {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden("")).unwrap();
            std::fs::write(golden(name), disk.read(name)).unwrap();
        }
        assert!(std::fs::read(golden(name)).unwrap() == disk.read(name), "{name} differs");
    }
}

#[test]
fn the_golden_files_are_read() {
    let disk = SimDisk::default();
    FILES.iter().for_each(|name| disk.overwrite(name, &std::fs::read(golden(name)).unwrap()));
    let (_, model) = made();
    let (reader, recovery) = LogReader::open(Arc::new(disk.clone())).unwrap();
    assert!(model.equals(&recovery, &reader));
    let summary = scan(&disk, &mut |_| {}).unwrap();
    assert_eq!((summary.segments, summary.torn_bytes, summary.damage.is_none()), (1, 0, true));
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
    let block = std::fs::read(golden("superblock.1")).unwrap();
    assert_eq!((&block[..8], block.len()), (&b"VXLOGSUP"[..], BLOCK));
    assert_eq!(u32_at(&block, 8), 1);
    assert_eq!(u32_at(&block, 12), crc32c_append(crc32c(&block[..12]), &block[16..]));
    assert_eq!(block[16..32], [7; 16]);
    let words: Vec<u64> = (0..4).map(|i| u64_at(&block, 32 + i * 8)).collect();
    assert_eq!(words, [2, 1, 1, 1], "generation, incarnation, oldest, newest");
    assert_eq!((u32_at(&block, 72), &block[80..85]), (4 | 1 << 16, &b"testa"[..]));

    let file = std::fs::read(golden(FILES[2])).unwrap();
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
