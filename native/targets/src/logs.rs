//! Logs on a disk: written as the product writes them, then struck, anywhere or in a part whose checksums are put right
//! afterwards. A log is refused, or opened; an open for reading changes nothing; what is read back is what was written
//! wherever no checksum was forged; and a log that was opened goes on.

use crate::allocations::peak_of;
use crate::disk::MemoryDisk;
use crate::log_files::{parts, range, seal, Part};
use crate::strikes::{number, some_bytes};
use arbitrary::{Result, Unstructured};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{self, HardState, Log, LogEntry, LogOptions, LogReader, Op, Recovery, SnapshotMark, Wanted};

/// What a log takes in memory while it is opened: what is read at once, and so many times what the disk holds.
const WORK_BYTES: usize = 8 * 1024 * 1024;
const TIMES: usize = 8;
/// Entries read back of one group: a forged log may say that it has any number.
const READ_MAX: u64 = 64;

type Files = BTreeMap<String, Vec<u8>>;
type Written = BTreeSet<(GroupId, u64, u64, Vec<u8>)>;

pub fn run(bytes: &[u8]) {
    let _ = play(&mut Unstructured::new(bytes));
}

fn wanted() -> Wanted {
    Wanted { cluster_id: "c".to_string(), node_id: "n".to_string(), fresh_directory_id: [7; 16], salt_seed: 9 }
}

fn open(files: &Files) -> (MemoryDisk, std::result::Result<(Log<MemoryDisk>, Recovery), log::LogError>) {
    let disk = MemoryDisk::of(files);
    let options = LogOptions { segment_bytes: 16 * 1024, spare_segments: 0, reserve_bytes: 0 };
    let opened = Log::open(Arc::new(disk.clone()), options, wanted());
    (disk, opened)
}

fn play(from: &mut Unstructured<'_>) -> Result<()> {
    let (mut files, mut written) = (Files::new(), Written::new());
    for _ in 0..from.int_in_range(1..=2u8)? {
        files = live(from, &files, &mut written)?;
    }
    let mut forged = false;
    for _ in 0..from.int_in_range(0..=3u8)? {
        forged |= strike(from, &mut files)?;
    }
    judge(&files, &written, forged);
    Ok(())
}

/// A life of the log: some batches, and an end with a seal or without one.
fn live(from: &mut Unstructured<'_>, files: &Files, written: &mut Written) -> Result<Files> {
    let (disk, opened) = open(files);
    let Ok((mut log, _)) = opened else { return Ok(files.clone()) };
    for _ in 0..from.int_in_range(1..=6u8)? {
        let mut ops = Vec::new();
        for _ in 0..from.int_in_range(1..=3u8)? {
            ops.push(op(from, &log.reader(), &ops)?);
        }
        if log.append(&ops).is_ok() {
            for op in &ops {
                let Op::Entries { group, entries } = op else { continue };
                written.extend(entries.iter().map(|entry| (*group, entry.index.0, entry.term.0, entry.data.to_vec())));
            }
        }
    }
    if from.arbitrary()? {
        let _ = log.seal_and_close();
    }
    Ok(disk.content())
}

fn op(from: &mut Unstructured<'_>, reader: &LogReader<MemoryDisk>, before: &[Op]) -> Result<Op> {
    let group = GroupId(from.int_in_range(0..=1)?);
    // What the batch says of the group already.
    let last = before.iter().fold(reader.last_index(group).0, |last, op| match op {
        Op::Entries { group: of, entries } if *of == group => entries.last().map_or(last, |entry| entry.index.0),
        Op::Truncate { group: of, from } if *of == group => last.min(from.0 - 1),
        _ => last,
    });
    Ok(match from.int_in_range(0..=9u8)? {
        0 => Op::Truncate { group, from: Index(last.saturating_sub(from.int_in_range(0..=2)?).max(1)) },
        1 => Op::HardState { group, state: HardState { term: Term(from.arbitrary::<u8>()?.into()), vote: MemberId(3), commit: Index(last) } },
        2 => {
            let index = last.saturating_sub(from.int_in_range(0..=2)?).max(1);
            let first = index.saturating_sub(from.int_in_range(0..=2)?).max(1);
            Op::Mark { group, mark: SnapshotMark { index: Index(index), term: Term(1), first: Index(first), prior_term: Term(u64::from(first > 1)) } }
        }
        _ => {
            let (count, times) = (from.int_in_range(1..=3u64)?, *from.choose(&[1, 1, 1, 20, 2_000])?);
            let data = some_bytes(from)?.repeat(times);
            let entries = (1..=count).map(|at| LogEntry {
                index: Index(last + at),
                term: Term(1 + u64::from(times > 1)),
                kind: 0,
                data: data.clone().into(),
                context: vec![at as u8; at as usize].into(),
            });
            Op::Entries { group, entries: entries.collect() }
        }
    })
}

/// Whether what was done has checksums that are right.
fn strike(from: &mut Unstructured<'_>, files: &mut Files) -> Result<bool> {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = from.choose(&names)?;
    let Some(file) = files.get_mut(name) else { return Ok(false) };
    match from.int_in_range(0..=7u8)? {
        0 => {
            files.remove(name);
        }
        1 => file.truncate(from.choose_index(file.len() + 1)?),
        2 => {
            let (at, bit) = (from.choose_index(file.len() + 1)?, from.int_in_range(0..=7u8)?);
            file.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
        }
        _ => {
            let parts = parts(file);
            if parts.is_empty() {
                return Ok(false);
            }
            let part = from.choose(&parts)?.clone();
            return forge(from, file, &part);
        }
    }
    Ok(false)
}

fn forge(from: &mut Unstructured<'_>, file: &mut [u8], part: &Part) -> Result<bool> {
    let place = range(part);
    if place.end > file.len() {
        return Ok(false);
    }
    for _ in 0..from.int_in_range(1..=2u8)? {
        let at = place.start + from.choose_index(place.len().min(160))?;
        let width = [1, 2, 4, 8][from.choose_index(4)?].min(place.end - at);
        let number = number(from)?.to_le_bytes();
        file[at..at + width].copy_from_slice(&number[..width]);
    }
    let sealed = from.ratio(7u8, 8u8)?;
    if sealed {
        seal(file, part);
    }
    Ok(sealed)
}

fn judge(files: &Files, written: &Written, forged: bool) {
    let bytes: usize = files.values().map(Vec::len).sum();
    // Only to be read: as `log verify` and `log dump` do.
    let disk = MemoryDisk::of(files);
    let bound = WORK_BYTES + TIMES * bytes;
    let (_, peak) = peak_of(|| log::scan(&disk, &mut |_| {}));
    assert!(peak <= bound, "{peak} bytes to scan {bytes}");
    let (reading, peak) = peak_of(|| LogReader::open(Arc::new(disk.clone())));
    assert!(peak <= bound, "{peak} bytes to read {bytes}");
    if let Ok((reader, recovery)) = &reading {
        read_back(reader, recovery, written, forged);
    }
    assert!(disk.content() == *files, "who only reads changes nothing");
    let ((disk, opened), peak) = peak_of(|| open(files));
    assert!(peak <= bound + 2 * bytes, "{peak} bytes to open {bytes}");
    let Ok((mut log, recovery)) = opened else { return };
    read_back(&log.reader(), &recovery, written, forged);
    // It goes on, and what it takes is there after the next open.
    let mut noted = Vec::new();
    for group in [GroupId(0), GroupId(1)] {
        let index = Index(log.reader().last_index(group).0.saturating_add(1));
        let entry = LogEntry { index, term: Term(u64::MAX), kind: 0, data: vec![1, 2, 3].into(), context: Vec::new().into() };
        if index.0 < u64::MAX && log.append(&[Op::Entries { group, entries: vec![entry.clone()] }]).is_ok() {
            noted.push((group, entry));
        }
    }
    drop(log);
    let (_, again) = open(&disk.content());
    match again {
        Ok((log, _)) => {
            for (group, entry) in noted {
                let found = log.reader().entries(group, entry.index, Index(entry.index.0 + 1), u64::MAX);
                // Behind forged numbers it may lie where nobody looks.
                assert!(forged || found.ok() == Some(vec![entry]), "what was acknowledged is there");
            }
        }
        Err(error) => assert!(forged, "what was opened can be opened again: {error}"),
    }
}

fn read_back(reader: &LogReader<MemoryDisk>, recovery: &Recovery, written: &Written, forged: bool) {
    for (group, found) in &recovery.groups {
        let end = found.last_index.0.min(found.first_index.0.saturating_add(READ_MAX));
        let mut index = found.first_index.0;
        while index <= end {
            let read = reader.entries(*group, Index(index), Index(end.saturating_add(1)), 1 << 20);
            if let Ok(entries) = &read {
                assert!(!entries.is_empty(), "at least one");
                for (entry, at) in entries.iter().zip(index..) {
                    assert_eq!(entry.index.0, at);
                    let known = written.contains(&(*group, at, entry.term.0, entry.data.to_vec()));
                    assert!(known || forged, "entry {at} of group {group} is none that was written");
                }
            }
            index += read.map_or(1, |entries| entries.len() as u64);
        }
        if !forged {
            assert!(found.hard_state.commit <= found.last_index);
        }
    }
}
