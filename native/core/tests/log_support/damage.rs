//! What an open of a damaged log owes: nothing false, everything that is lost named, and everything back after a repair.

use super::disk::SimDisk;
use super::{open, Model};
use rand_chacha::rand_core::RngCore;
use rand_chacha::ChaCha8Rng;
use vexfs_core::ids::Index;
use vexfs_core::log::{Log, LogError, LogReader, Op, Recovery};

const BLOCK: usize = 4096;

/// Does some damage; never to the header of the newest segment nor to the superblock.
pub fn strike(disk: &SimDisk, random: &mut ChaCha8Rng) -> String {
    let names = disk.segments();
    let mut below = |limit: usize| (random.next_u64() % limit.max(1) as u64) as usize;
    let segment = names[below(names.len())].clone();
    let newest = Some(&segment) == names.last();
    let mut bytes = disk.read(&segment);
    let blocks = bytes.len() / BLOCK;
    let kind = below(8);
    match kind {
        0 if !newest => disk.delete(&segment),
        1 if !newest => bytes[..BLOCK].fill(3),
        // The trailer, so that the rest is scanned.
        2 | 3 => bytes[(blocks - 1) * BLOCK..].fill(0),
        // A last batch that is all zeros looks as if it had never been written, so not in the newest.
        4 if !newest => {
            let block = 1 + below(blocks - 1);
            bytes[block * BLOCK..(block + 1) * BLOCK].fill(0);
        }
        _ => {
            let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0).max(BLOCK);
            let at = BLOCK + below(written + 1 - BLOCK);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << below(8);
            }
        }
    }
    if kind != 0 || newest {
        disk.overwrite(&segment, &bytes);
    }
    format!("{kind} to {segment}")
}

/// Every entry reads as the model has it, or as `Damaged`; those that do, by group and index. Where the log is unsettled
/// only what is committed is sure, and the end may be missing.
fn unreadable(reader: &LogReader<SimDisk>, recovery: &Recovery, model: &Model, at: &str) -> Vec<Op> {
    let mut repairs = Vec::new();
    for (id, group) in &model.groups {
        let Some(found) = recovery.groups.get(id) else {
            assert!(recovery.unsettled, "{at}: group {id} is not there");
            continue;
        };
        assert!(found.hard_state.commit <= group.hard_state.commit, "{at}: {found:?}\n{}", model.outline());
        let sure = if recovery.unsettled { found.hard_state.commit.0 } else { u64::MAX };
        assert!(recovery.unsettled || found.last_index.0 == group.last(), "{at}: {recovery:?}\n{}", model.outline());
        assert!(recovery.unsettled || found.hard_state.vote == group.hard_state.vote, "{at}: {found:?}");
        assert!(recovery.unsettled || found.first_index.0 == group.first(), "{at}: {found:?}");
        for index in group.first().max(found.first_index.0)..=found.last_index.0.min(group.last()) {
            match reader.entries(*id, Index(index), Index(index + 1), 0) {
                Ok(read) => {
                    assert!(index > sure || read[0] == *group.entry(index), "{at}: group {id} index {index} is false");
                    let term = reader.term(*id, Index(index)).unwrap();
                    assert_eq!(term, read[0].term, "{at}: group {id} index {index}");
                }
                Err(LogError::Damaged { lost, .. }) => {
                    let names = lost.iter().any(|range| range.group == *id && (range.first.0..=range.last.0).contains(&index));
                    assert!(names, "{at}: {index} is not in {lost:?}");
                    repairs.push(Op::Repair { group: *id, entries: vec![group.entry(index).clone()] });
                }
                Err(error) => panic!("{at}: {error}"),
            }
        }
    }
    repairs
}

/// Opens a damaged log, brings back what it has lost, and opens it again. What the first open has found.
pub fn assert_repairable(disk: &SimDisk, model: &Model, at: &str) -> Recovery {
    let (mut log, recovery) = open(disk).unwrap_or_else(|error| panic!("{at}: {error}"));
    let repairs = unreadable(&log.reader(), &recovery, model, at);
    for range in &recovery.damaged {
        let named = |op: &&Op| matches!(op, Op::Repair { group, entries } if *group == range.group && entries[0].index >= range.first && entries[0].index <= range.last);
        let group = model.group(range.group);
        let expected = (range.first.0.max(group.first())..=range.last.0.min(group.last())).count();
        assert_eq!(repairs.iter().filter(named).count(), expected, "{at}: {range:?}");
        let next = range.last.0 + 1;
        if let Some(term) = range.next_term {
            assert_eq!(log.reader().term(range.group, Index(next)).unwrap(), term, "{at}");
        }
    }
    if !repairs.is_empty() {
        log.append(&repairs).unwrap();
    }
    if !recovery.unsettled {
        model.assert_reads(&log.reader(), 10_000);
        drop(log);
        let (log, again) = open(disk).unwrap_or_else(|error| panic!("{at}: again: {error}"));
        assert!(!again.unsettled && model.equals(&again, &log.reader()), "{at}: again {again:?}\n{}", model.outline());
    } else {
        drop(log);
        let (log, again) = open(disk).unwrap_or_else(|error| panic!("{at}: again: {error}"));
        assert!(again.unsettled, "{at}");
        let still = unreadable(&log.reader(), &again, model, at);
        assert!(still.is_empty(), "{at}: {still:?}\nfirst {recovery:?}\nagain {again:?}\n{}", model.outline());
        settle(log, model, at);
    }
    recovery
}

/// Does what a leader would do to a member whose log ends early.
fn settle(mut log: Log<SimDisk>, model: &Model, at: &str) {
    let reader = log.reader();
    let mut ops = Vec::new();
    for (id, group) in &model.groups {
        let agrees = |index: u64| reader.term(*id, Index(index)).is_ok_and(|term| term == group.entry(index).term);
        let agreed = (group.first()..=group.last()).take_while(|index| agrees(*index)).count() as u64;
        let from = Index(group.first() + agreed);
        ops.push(Op::Truncate { group: *id, from });
        ops.extend((group.mark.first.0 > 0).then_some(Op::Mark { group: *id, mark: group.mark }));
        ops.push(Op::Entries { group: *id, entries: group.entries[agreed as usize..].to_vec() });
        ops.push(Op::HardState { group: *id, state: group.hard_state });
    }
    log.append(&ops).unwrap_or_else(|error| panic!("{at}: {error}"));
    log.clear_unsettled().unwrap();
    model.assert_reads(&log.reader(), 10_000);
}

/// Changes a bit at the head of some block of the newest segment, where recovery has the least to go by. Batches begin with
/// blocks: a small one is hit as often as a large one.
pub fn strike_newest(disk: &SimDisk, random: &mut ChaCha8Rng) -> String {
    let segment = disk.segments().pop().expect("an open log has one");
    let mut bytes = disk.read(&segment);
    let blocks = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) / BLOCK;
    let block = 1 + random.next_u64() as usize % blocks.max(1);
    let at = block * BLOCK + random.next_u64() as usize % 80;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << (random.next_u64() % 8);
        disk.overwrite(&segment, &bytes);
    }
    format!("at byte {at} of {segment}")
}

/// Takes the end of what was last written, as a crash in the midst of it does. Nothing where the newest segment is empty.
pub fn tear(disk: &SimDisk, random: &mut ChaCha8Rng) -> Option<String> {
    let segment = disk.segments().pop()?;
    let mut bytes = disk.read(&segment);
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let torn = (1 + random.next_u64() as usize % 40).min(written.saturating_sub(BLOCK));
    bytes[written - torn..written].fill(0);
    disk.overwrite(&segment, &bytes);
    (torn > 0).then(|| format!("{torn} bytes torn from {segment}"))
}
