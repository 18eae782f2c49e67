//! Torn tails are cut off, damage is named, and neither is ever taken for the other where they can be told apart.

use crate::log_support::damage::assert_repairable;
use crate::log_support::disk::SimDisk;
use crate::log_support::{entries, entry, hard_state, mark, open, options, payload, run, truncate, wanted, Model, GROUP};
use std::sync::Arc;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{scan, Log, LogError, LogReader, LostRange, Op, ScanItem, ScannedRecord};

const BLOCK: usize = 4096;

fn scanned(disk: &SimDisk) -> (Vec<ScanItem>, Option<LogError>) {
    let mut items = Vec::new();
    let summary = scan(disk, &mut |item| items.push(item)).unwrap();
    (items, summary.damage)
}

/// A log of these batches, one after another, not closed.
fn written(batches: &[Vec<Op>]) -> (SimDisk, Model) {
    let (disk, mut model) = (SimDisk::default(), Model::default());
    let (mut log, _) = open(&disk).unwrap();
    for ops in batches {
        log.append(ops).unwrap();
        model.apply(ops);
    }
    (disk, model)
}

/// Seven sealed segments and a newest one with several batches.
fn several_segments() -> (SimDisk, Model) {
    let other = GroupId(9);
    let batches: Vec<Vec<Op>> = (0..16)
        .map(|i| {
            let low = 1 + i * 3;
            vec![
                run(low, low + 2, 1 + i / 4, 1500),
                hard_state(GROUP, 1 + i / 4, 5, low),
                entries(other, vec![entry(i + 1, 1, payload(i, 9, 90))]),
            ]
        })
        .collect();
    let (disk, model) = written(&batches);
    assert_eq!(disk.segments().len(), 8);
    (disk, model)
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 0x10;
}

#[test]
fn a_torn_last_batch_is_cut_off_wherever_it_is_torn() {
    let before = vec![vec![run(1, 3, 1, 200)], vec![hard_state(GROUP, 2, 7, 2), run(4, 4, 2, 50)]];
    let (disk, model) = written(&before);
    let segment = disk.segments().remove(0);
    let last = vec![run(5, 9, 2, 1100), hard_state(GROUP, 3, 1, 5)];
    let whole = model.after(&last);
    let (mut log, _) = open(&disk).unwrap();
    log.append(&last).unwrap();
    let image = disk.read(&segment);
    let records: usize = 5 * (40 + 1104) + 40;
    let (start, end) = (3 * BLOCK, 3 * BLOCK + 48 + records);
    assert!(image[end - 8] != 0 && image[end..].iter().all(|byte| *byte == 0));
    for at in start..end + 16 {
        for manner in ["cut", "zero", "garbage"] {
            let mut bytes = image.clone();
            match manner {
                "cut" => bytes.truncate(at),
                "zero" => bytes[at..].fill(0),
                _ => bytes[at..end + 16].iter_mut().enumerate().for_each(|(i, byte)| *byte ^= (i * 37 + 1) as u8 | 1),
            }
            let torn = bytes.iter().skip(start).rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
            let intact = bytes.len() >= end && bytes[start..end] == image[start..end];
            let disk = disk.copy();
            disk.overwrite(&segment, &bytes);
            let go_on = at % 10 == 0;
            let at = format!("{manner} at {at}");
            let (mut log, recovery) = open(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
            // Where the file was cut, the batch is whole only with its padding or without need of it.
            let expected = if intact { &whole } else { &model };
            assert!(expected.equals(&recovery, &log.reader()), "{at}");
            assert_eq!(recovery.torn_bytes, if intact { 0 } else { torn }, "{at}");
            // The log goes on, and nothing torn comes back.
            if go_on {
                let next = vec![run(expected.last(GROUP) + 1, expected.last(GROUP) + 1, 9, 10)];
                log.append(&next).unwrap();
                let (log, recovery) = open(&disk.after_power_loss(1)).unwrap();
                assert!(expected.after(&next).equals(&recovery, &log.reader()), "{at}, gone on");
                assert_eq!(recovery.torn_bytes, 0);
            }
        }
    }
}

#[test]
fn a_byte_flipped_in_any_record_of_a_sealed_segment_is_noticed() {
    let (disk, model) = several_segments();
    let segment = disk.segments().remove(1);
    let (items, damage) = scanned(&disk);
    assert!(damage.is_none());
    let image = disk.read(&segment);
    let mut entries_hit = 0;
    for item in items.iter().filter(|item| item.segment == segment) {
        for within in [0, 4, 8, 9, 12, 16, 17, 38, 39] {
            let mut bytes = image.clone();
            flip(&mut bytes, item.offset as usize + within);
            let disk = disk.copy();
            disk.overwrite(&segment, &bytes);
            let at = format!("{:?} byte {within}", item.offset);
            let (seen, damage) = scanned(&disk);
            assert!(matches!(damage, Some(LogError::Damaged { .. })), "{at}: scan");
            assert!(seen.len() < items.len());
            // Opening goes by footers; reading notices.
            let (log, _) = open(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
            if let ScannedRecord::Entry { group, entry } = &item.record {
                entries_hit += 1;
                let read = log.reader().entries(*group, entry.index, Index(entry.index.0 + 1), 0);
                assert!(matches!(read, Err(LogError::Damaged { .. })), "{at}: {read:?}");
            }
            // Without the footer, opening reads the batches and notices.
            let length = bytes.len();
            bytes[length - BLOCK..].fill(0);
            disk.overwrite(&segment, &bytes);
            let recovery = assert_repairable(&disk, &model, &at);
            assert!(recovery.lost_batches == 1 && !recovery.unsettled && !recovery.damaged.is_empty(), "{at}");
        }
    }
    assert!(entries_hit > 50);
}

#[test]
fn damage_before_the_last_batch_of_the_newest_segment_is_not_a_torn_tail() {
    let (disk, model) = several_segments();
    let segment = disk.segments().pop().unwrap();
    let (items, _) = scanned(&disk);
    let newest: Vec<&ScanItem> = items.iter().filter(|item| item.segment == segment).collect();
    let last_batch = newest.last().unwrap().offset / BLOCK as u64 * BLOCK as u64 - BLOCK as u64;
    let image = disk.read(&segment);
    // Padding is left out: nothing depends on it.
    let holds = |item: &ScanItem, at: usize| {
        let length = match &item.record {
            ScannedRecord::Entry { entry, .. } => 40 + entry.data.len(),
            ScannedRecord::Truncate { .. } => 24,
            ScannedRecord::HardState { .. } => 40,
            ScannedRecord::Carry { .. } => 96,
            other => unreachable!("{other:?}"),
        };
        (item.offset as usize..item.offset as usize + length).contains(&at)
    };
    let mut hit = 0;
    for at in (BLOCK..last_batch as usize).step_by(5) {
        if !newest.iter().any(|item| holds(item, at)) {
            continue;
        }
        hit += 1;
        for (manner, length) in [("flip", 1), ("lost block", BLOCK)] {
            let mut bytes = image.clone();
            match length {
                1 => flip(&mut bytes, at),
                _ => bytes[at / BLOCK * BLOCK..][..BLOCK].fill(0),
            }
            let disk = disk.copy();
            disk.overwrite(&segment, &bytes);
            let Some(LogError::Damaged { segment: named, offset, .. }) = scan(&disk, &mut |_| {}).unwrap().damage else {
                panic!("{manner} at {at} was not noticed")
            };
            assert!(named == segment && offset as usize <= at && offset % BLOCK as u64 == 0);
            let (_, seen) = LogReader::open(Arc::new(disk.clone())).unwrap();
            let recovery = assert_repairable(&disk, &model, &format!("{manner} at {at}"));
            assert!(recovery.lost_batches == 1 && !recovery.damaged.is_empty() && recovery.torn_bytes == 0);
            assert_eq!((seen.damaged, seen.groups), (recovery.damaged, recovery.groups));
        }
    }
    assert!(hit > 500);
}

#[test]
fn damage_names_what_is_lost() {
    let (disk, _) = written(&[vec![run(1, 2, 1, 10)], vec![run(3, 5, 1, 10)], vec![run(6, 6, 1, 10)]]);
    let segment = disk.segments().remove(0);
    let mut bytes = disk.read(&segment);
    flip(&mut bytes, 2 * BLOCK + 90);
    disk.overwrite(&segment, &bytes);
    let error = scan(&disk, &mut |_| {}).unwrap().damage.unwrap();
    assert!(error.is_damage() && error.code() == "LOG_DAMAGED");
    let (log, recovery) = open(&disk).unwrap();
    let lost = LostRange { group: GROUP, first: Index(3), last: Index(5), next_term: Some(Term(1)), gap: false };
    assert_eq!(recovery.damaged, [lost]);
    let read = |low, high| log.reader().entries(GROUP, Index(low), Index(high), u64::MAX);
    assert_eq!((read(1, 7).unwrap().len(), read(6, 7).unwrap().len()), (2, 1), "what is before and behind it is there");
    let Err(LogError::Damaged { lost: read, .. }) = read(4, 7) else { panic!("read what is lost") };
    assert_eq!(read, [LostRange { first: Index(4), ..lost }]);
    let expected = "00000000000000000001.seg is damaged at byte 8192: a batch is not readable, though later ones are \
                    (lost: group 0 indexes 3 to 5)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn missing_and_foreign_segments_are_named() {
    let (disk, model) = several_segments();
    let names = disk.segments();
    for (i, name) in names.iter().enumerate() {
        let disk = disk.copy();
        disk.delete(name);
        if i + 1 == names.len() {
            let Err(LogError::MissingSegment { segment }) = open(&disk) else { panic!("{name} was not missed") };
            assert_eq!(segment, *name);
        } else {
            let recovery = assert_repairable(&disk.copy(), &model, name);
            assert!(recovery.lost_batches > 0 && !recovery.unsettled && recovery.damaged.len() == 2, "{name}");
            // A header that is not readable takes its segment with it.
            let headless = disk.copy();
            let bytes = vec![0xee; 100_000];
            headless.overwrite(name, &bytes);
            assert_eq!(assert_repairable(&headless, &model, name).damaged, recovery.damaged);
        }
        assert!(matches!(scan(&disk, &mut |_| {}).unwrap().damage, Some(LogError::MissingSegment { .. })));
    }
    // The same place in another directory's log.
    let stranger = SimDisk::default();
    let other = vexfs_core::log::Wanted { fresh_directory_id: [8; 16], ..wanted() };
    let (mut log, _) = Log::open(Arc::new(stranger.clone()), options(), other).unwrap();
    log.append(&[run(1, 20, 1, 1500)]).unwrap();
    let copy = disk.copy();
    copy.overwrite(&names[0], &stranger.read(&stranger.segments()[0]));
    assert!(matches!(open(&copy), Err(LogError::ForeignSegment { .. })));
    // A segment under another's name, and one from nowhere.
    let copy = disk.copy();
    copy.overwrite(&names[1], &disk.read(&names[2]));
    assert!(matches!(open(&copy), Err(LogError::ForeignSegment { .. })));
    let copy = disk.copy();
    copy.overwrite("00000000000000000077.seg", &disk.read(&names[2]));
    assert!(matches!(open(&copy), Err(LogError::UnexpectedSegment { .. })));
}

#[test]
fn an_older_copy_of_a_segment_is_noticed() {
    let (disk, mut model) = written(&[vec![run(1, 1, 1, 10)]]);
    let name = disk.segments().remove(0);
    let backup = disk.read(&name);
    let (mut log, _) = open(&disk).unwrap();
    for i in 2..12 {
        log.append(&[run(i, i, 1, 10)]).unwrap();
        model.apply(&[run(i, i, 1, 10)]);
    }
    assert!(disk.segments().len() > 1);
    drop(log);
    disk.overwrite(&name, &backup);
    let recovery = assert_repairable(&disk, &model, &name);
    assert!(recovery.lost_batches > 0 && recovery.damaged[0].first == Index(2));
}

/// Nothing but the batch numbers shows it where the lost batches hold no entries.
#[test]
fn an_older_copy_that_lacks_only_votes_is_noticed() {
    let (disk, mut model) = written(&[vec![run(1, 1, 1, 10)]]);
    let name = disk.segments().remove(0);
    let backup = disk.read(&name);
    let (mut log, _) = open(&disk).unwrap();
    for term in 2..12 {
        log.append(&[hard_state(GROUP, term, 3, 1)]).unwrap();
        model.apply(&[hard_state(GROUP, term, 3, 1)]);
    }
    assert!(disk.segments().len() > 1);
    drop(log);
    disk.overwrite(&name, &backup);
    let recovery = assert_repairable(&disk, &model, &name);
    // The segment after it says what the newest vote is.
    assert!(recovery.lost_batches > 0 && recovery.damaged.is_empty() && !recovery.unsettled);
}

/// A copied directory that went on by itself has segments of the same directory, place and batch numbers.
#[test]
fn a_segment_of_another_history_is_refused() {
    let (disk, _) = written(&[vec![run(1, 1, 1, 10)]]);
    let histories = [1, 2].map(|salt_seed| {
        let disk = disk.copy();
        let wanted = vexfs_core::log::Wanted { salt_seed, ..wanted() };
        let (mut log, _) = Log::open(Arc::new(disk.clone()), options(), wanted).unwrap();
        for i in 2..20 {
            log.append(&[run(i, i, 1, 10)]).unwrap();
        }
        disk
    });
    let segments = histories[0].segments();
    assert!(segments.len() > 2);
    for segment in &segments[1..] {
        let disk = histories[0].copy();
        disk.overwrite(segment, &histories[1].read(segment));
        assert!(matches!(open(&disk), Err(LogError::ForeignSegment { .. })), "{segment}");
    }
}

#[test]
fn one_superblock_copy_is_enough_and_none_is_refused() {
    let (disk, model) = several_segments();
    for copy in ["superblock.0", "superblock.1"] {
        let disk = disk.copy();
        let mut bytes = disk.read(copy);
        flip(&mut bytes, 40);
        disk.overwrite(copy, &bytes);
        let (log, recovery) = open(&disk).unwrap();
        assert!(model.equals(&recovery, &log.reader()));
        assert_eq!(recovery.identity.incarnation, 2, "an incarnation came twice");
    }
    disk.delete("superblock.0");
    disk.delete("superblock.1");
    assert!(matches!(open(&disk), Err(LogError::SuperblockLost)));
    assert!(matches!(scan(&disk, &mut |_| {}), Err(LogError::SuperblockLost)));
}

#[test]
fn a_footer_that_is_damaged_or_missing_is_replaced_by_a_scan() {
    let (disk, model) = several_segments();
    for segment in &disk.segments()[..3] {
        let mut bytes = disk.read(segment);
        let length = bytes.len();
        let footer = u64::from_le_bytes(bytes[length - BLOCK + 8..length - BLOCK + 16].try_into().unwrap()) as usize;
        for at in [footer + 2, footer + 30, footer + 60, length - BLOCK + 5, length - BLOCK + 9] {
            flip(&mut bytes, at);
            disk.overwrite(segment, &bytes);
            let (log, recovery) = open(&disk.copy()).unwrap_or_else(|error| panic!("{segment} at {at}: {error}"));
            assert!(model.equals(&recovery, &log.reader()));
            flip(&mut bytes, at);
        }
        flip(&mut bytes, footer + 30); // Stays damaged: with the next segments all are.
        disk.overwrite(segment, &bytes);
    }
}

/// A truncation was lost, and what replaced the entries with it; a snapshot that was marked since has another term there.
#[test]
fn a_snapshot_marked_since_shows_what_was_replaced() {
    let batches = [vec![run(1, 5, 1, 10), hard_state(GROUP, 1, 2, 4)], vec![truncate(GROUP, 5), run(5, 8, 2, 10)], vec![mark(GROUP, 8, 2, 1, 0)]];
    let (disk, _) = written(&batches);
    let segment = disk.segments().remove(0);
    let mut bytes = disk.read(&segment);
    flip(&mut bytes, 2 * BLOCK + 90);
    disk.overwrite(&segment, &bytes);
    let (_, recovery) = open(&disk).unwrap();
    let lost = LostRange { group: GROUP, first: Index(5), last: Index(8), next_term: None, gap: false };
    assert_eq!(recovery.damaged, [lost]);
}

/// An entry of an old leader, a snapshot in its place, and what that is of, which others had; the batch with the cut between
/// them is lost. One segment holds both.
#[test]
fn a_log_opens_that_has_lost_the_cut_in_front_of_a_repair() {
    let entries: Vec<_> = (1..=2).map(|index| entry(index, 4, payload(index, 4, 60))).collect();
    let batches = [
        vec![run(1, 3, 3, 60), hard_state(GROUP, 3, 1, 0)],
        vec![truncate(GROUP, 1), mark(GROUP, 2, 4, 1, 0), hard_state(GROUP, 4, 1, 2)],
        vec![Op::Repair { group: GROUP, entries: entries.clone() }],
    ];
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    for ops in &batches {
        log.append(ops).unwrap();
    }
    drop(log);
    let segment = disk.segments().remove(0);
    let mut bytes = disk.read(&segment);
    flip(&mut bytes, 2 * BLOCK + 60);
    disk.overwrite(&segment, &bytes);
    let (log, recovery) = open(&disk).unwrap();
    assert!(recovery.unsettled && recovery.lost_batches == 1);
    let reader = log.reader();
    assert_eq!(reader.entries(GROUP, Index(1), Index(3), u64::MAX).unwrap(), entries);
    assert_eq!(reader.last_index(GROUP), Index(2));
}

#[test]
fn what_a_recycled_file_held_never_comes_back() {
    let (disk, mut model) = several_segments();
    // A spare that still has all of a sealed segment, as if its zeros had never reached the disk.
    let old = disk.segments().remove(0);
    disk.overwrite("spare-900", &disk.read(&old));
    let (mut log, _) = open(&disk).unwrap();
    let segments = log.reader().stats().segments;
    while log.reader().stats().segments == segments {
        let next = vec![run(model.last(GROUP) + 1, model.last(GROUP) + 1, 9, 100)];
        log.append(&next).unwrap();
        model.apply(&next);
    }
    assert!(disk.read(disk.segments().last().unwrap())[2 * BLOCK..] == disk.read(&old)[2 * BLOCK..]);
    drop(log);
    let (mut log, recovery) = open(&disk.after_power_loss(3)).unwrap();
    assert!(model.equals(&recovery, &log.reader()));
    assert!(recovery.torn_bytes > 0, "what is behind the end is not known to be nothing");
    let next = vec![truncate(GROUP, 40), run(40, 41, 10, 100)];
    log.append(&next).unwrap();
    model.apply(&next);
    let (items, damage) = scanned(&disk);
    assert!(damage.is_none() && items.iter().all(|item| item.segment != "spare-900"));
}

#[test]
fn a_misdirected_block_is_not_taken_for_a_batch() {
    let (disk, model) = written(&[vec![run(1, 1, 1, 10)], vec![run(2, 2, 1, 10)]]);
    let segment = disk.segments().remove(0);
    let mut bytes = disk.read(&segment);
    let block: Vec<u8> = bytes[2 * BLOCK..3 * BLOCK].to_vec();
    bytes[3 * BLOCK..4 * BLOCK].copy_from_slice(&block);
    disk.overwrite(&segment, &bytes);
    let (log, recovery) = open(&disk).unwrap();
    assert!(model.equals(&recovery, &log.reader()) && recovery.torn_bytes > 0);
}
