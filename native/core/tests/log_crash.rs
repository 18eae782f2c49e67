//! Power lost, and processes ended, at every single step: what was acknowledged is there, what was not is there whole
//! or not at all, and the log goes on.

use crate::log_support::disk::SimDisk;
use crate::log_support::steps;
use crate::log_support::{entries, entry, hard_state, open, payload, Model};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::atomic::{AtomicUsize, Ordering};
use vexfs_core::ids::GroupId;
use vexfs_core::log::{scan, Op};

/// Segments released and entries relocated, over all lives.
static FREED: AtomicUsize = AtomicUsize::new(0);
static MOVED: AtomicUsize = AtomicUsize::new(0);

/// A batch that Raft could write after what `model` holds.
fn batch(model: &Model, random: &mut ChaCha8Rng) -> Vec<Op> {
    let mut next = model.clone();
    let mut ops = Vec::new();
    for _ in 0..1 + random.next_u32() % 3 {
        let group = GroupId(random.next_u32() % 3);
        let last = next.last(group);
        let term = 1 + random.next_u32() as u64 % 5;
        let part = random.next_u64() % 256;
        let op = match random.next_u32() % 11 {
            0 if last > 0 => steps::cut(&next, group, part),
            8 | 9 => steps::snapshot(&next, group, part, random.next_u64() % 4),
            10 if part < 128 && ops.is_empty() => steps::repair(&next, group, part, 1 + random.next_u64() % 4),
            10 => {
                let mut install = steps::install(&next, group, random.next_u64() % 9, term);
                next.apply(&install[..1]);
                ops.push(install.remove(0));
                install.remove(0)
            }
            1 | 2 => hard_state(group, term, random.next_u64(), random.next_u64() % (last + 2)),
            _ => {
                let count = 1 + random.next_u64() % 4;
                let length = [0, 40, 700, 3000, 9000][random.next_u32() as usize % 5];
                entries(group, (last + 1..=last + count).map(|i| entry(i, term, payload(i, term, length))).collect())
            }
        };
        next.apply(std::slice::from_ref(&op));
        ops.push(op);
    }
    ops
}

/// Opens, appends batches, sometimes closes, until `batches` are done or the disk crashes. Checks what the open found
/// against what the earlier life left: `model`, or `model` and the batch under way.
fn live(disk: &SimDisk, model: &mut Model, under_way: &mut Option<Vec<Op>>, batches: usize, seed: u64, at: &str) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut log, recovery) = match open(disk) {
        Ok(opened) => opened,
        Err(error) => return assert!(disk.crashed(), "{at}: {error}"),
    };
    if let Some(ops) = under_way.take() {
        let whole = model.after(&ops);
        if whole.equals(&recovery, &log.reader()) {
            *model = whole;
        }
    }
    assert!(model.equals(&recovery, &log.reader()), "{at}: {:?}\nmodel {}", recovery.groups, model.outline());
    for _ in 0..batches {
        if random.next_u32() % 4 == 0 && log.spare_pool().fill(&mut || {}).is_err() {
            break;
        }
        // Neither changes what the log holds.
        let freed = match random.next_u32() % 4 {
            0 => log.release().map(|released| FREED.fetch_add(released.segments, Ordering::Relaxed)),
            1 => log.relocate(random.next_u64() % 4000, if random.next_u64() % 2 == 0 { 0 } else { u64::MAX }).map(|moved| MOVED.fetch_add(moved.entries, Ordering::Relaxed)),
            _ => Ok(0),
        };
        if let Err(error) = freed {
            return assert!(disk.crashed(), "{at}: {error}");
        }
        let ops = batch(model, &mut random);
        match log.append(&ops) {
            Ok(_) => model.apply(&ops),
            Err(error) => {
                assert!(disk.crashed(), "{at}: {error}");
                assert!(log.append(&ops).is_err());
                *under_way = Some(ops);
                return;
            }
        }
    }
    if random.next_u32() % 2 == 0 {
        let _ = log.seal_and_close();
    }
}

/// Lives with a crash after `steps` steps each, until one life is too short to reach its crash.
fn crash_at_every_step(power: bool, seeds: u64) {
    let mut crashes = 0;
    for seed in 0..seeds {
        let mut steps = 0;
        loop {
            let at = format!("seed {seed} step {steps}");
            let mut disk = SimDisk::default();
            let (mut model, mut under_way) = (Model::default(), None);
            // A life without a fault, so that the crash also strikes in an open that has something to recover.
            if seed % 2 == 1 {
                live(&disk, &mut model, &mut under_way, 6, seed, &at);
                disk = disk.after_process_end();
            }
            disk.crash_after(steps);
            live(&disk, &mut model, &mut under_way, 10, seed + 100, &at);
            let reached = disk.crashed();
            for round in 0..2 {
                let end = seed * 1000 + steps * 10 + round;
                disk = if power { disk.after_power_loss(end) } else { disk.after_process_end() };
                // What an open has found is durable when it returns, even if the process before left it in a cache.
                live(&disk, &mut model, &mut under_way, round as usize, end, &at);
                assert!(under_way.is_none(), "{at}");
                disk = disk.after_power_loss(end + 7);
            }
            let (log, recovery) = open(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
            assert!(model.equals(&recovery, &log.reader()), "{at}: after the last round");
            let summary = scan(&disk, &mut |_| {}).unwrap();
            assert!(summary.damage.is_none() && summary.torn_bytes == 0, "{at}: {:?}", summary.damage);
            if !reached {
                break;
            }
            crashes += 1;
            steps += 1;
        }
    }
    assert!(crashes > 100, "only {crashes} crashes");
    let (freed, moved) = (FREED.load(Ordering::Relaxed), MOVED.load(Ordering::Relaxed));
    assert!(freed > 100 && moved > 100, "only {freed} segments released and {moved} entries moved");
}

#[test]
fn power_loss_at_every_step_keeps_what_was_acknowledged() {
    crash_at_every_step(true, 24);
}

#[test]
fn process_end_at_every_step_keeps_what_was_acknowledged() {
    crash_at_every_step(false, 8);
}

#[test]
fn crash_in_crash_recovery() {
    for seed in 0..300 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut disk = SimDisk::default();
        let (mut model, mut under_way) = (Model::default(), None);
        for round in 0..12 {
            let end = random.next_u64();
            disk = if end % 3 > 0 { disk.after_power_loss(end) } else { disk.after_process_end() };
            disk.crash_after(random.next_u64() % 60);
            live(&disk, &mut model, &mut under_way, 20, end, &format!("seed {seed} round {round}"));
        }
    }
}

/// Two opens in a row that do not get to their end, at every pair of steps: the superblock is never lost.
#[test]
fn two_crashed_opens_leave_a_superblock() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[hard_state(GroupId(0), 3, 4, 0)]).unwrap();
    let model = Model::default().after(&[hard_state(GroupId(0), 3, 4, 0)]);
    for (first, second, seed) in (0..10).flat_map(|a| (0..10).flat_map(move |b| (0..256).map(move |c| (a, b, c)))) {
        let mut disk = disk.after_process_end();
        // The first life ends with the power, or only with its process.
        disk.crash_after(first);
        let _ = open(&disk);
        disk = if seed % 2 == 0 { disk.after_power_loss(seed) } else { disk.after_process_end() };
        disk.crash_after(second);
        let _ = open(&disk);
        disk = disk.after_power_loss(seed + 1000);
        let at = format!("{first} and {second} steps, seed {seed}");
        let (log, recovery) = open(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(model.equals(&recovery, &log.reader()), "{at}");
    }
}

#[test]
fn a_failed_sync_ends_the_log_and_the_cache_is_not_believed() {
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    let mut model = Model::default();
    let first = vec![entries(GroupId(0), vec![entry(1, 1, "kept")])];
    log.append(&first).unwrap();
    model.apply(&first);
    disk.fail_next_sync();
    let lost = vec![entries(GroupId(0), vec![entry(2, 1, "lost")])];
    assert!(matches!(log.append(&lost), Err(vexfs_core::log::LogError::Io { .. })));
    assert!(matches!(log.append(&lost), Err(vexfs_core::log::LogError::Poisoned)));
    assert!(matches!(log.seal_and_close(), Err(vexfs_core::log::LogError::Poisoned)));
    let (log, recovery) = open(&disk.after_process_end()).unwrap();
    assert!(model.recovered_as(&recovery), "what only the cache had was taken for durable");
    model.assert_reads(&log.reader(), 1);
}

/// An open that cuts says so, however often it does not get to its end, and until it is told that the others have settled
/// it. So does one that finds lost batches, although later opens find the newest vote again.
#[test]
fn what_a_cut_has_lost_is_remembered_at_every_step() {
    let written = |batches: u64| {
        let disk = SimDisk::default();
        let (mut log, recovery) = open(&disk).unwrap();
        assert!(!recovery.unsettled);
        for i in 1..=batches {
            log.append(&[entries(GroupId(0), vec![entry(i, 1, payload(i, 1, 900))])]).unwrap();
        }
        disk
    };
    // Bytes of a batch in the last place; and a bad batch before two good ones.
    let damaged = [(3, 3), (4, 2)].map(|(batches, block)| {
        let disk = written(batches);
        let name = disk.segments().remove(0);
        let mut bytes = disk.read(&name);
        bytes[block * 4096 + 100] ^= 1;
        disk.overwrite(&name, &bytes);
        disk
    });
    for (i, disk) in damaged.iter().enumerate() {
        let mut step = 0;
        loop {
            let first = disk.copy();
            first.crash_after(step);
            let opened = open(&first).map(|(_, recovery)| recovery.unsettled).ok();
            assert!(opened.is_none_or(|unsettled| unsettled));
            for seed in 0..20 {
                let next = if seed == 0 { first.after_process_end() } else { first.after_power_loss(seed) };
                let (log, recovery) = open(&next).unwrap();
                assert!(recovery.unsettled, "kind {i}, step {step}, seed {seed}");
                let last = recovery.groups[&GroupId(0)].last_index.0;
                assert_eq!(last, [2, 4][i]);
                drop(log);
                let (log, recovery) = open(&next.after_power_loss(seed)).unwrap();
                assert!(recovery.unsettled && recovery.torn_bytes == 0);
                log.clear_unsettled().unwrap();
                log.clear_unsettled().unwrap();
            }
            if !first.crashed() {
                break;
            }
            step += 1;
        }
        assert!(step > 6);
        let (mut log, _) = open(disk).unwrap();
        log.clear_unsettled().unwrap();
        log.append(&[hard_state(GroupId(0), 1, 1, 1)]).unwrap();
        drop(log);
        assert!(!open(&disk.after_power_loss(1)).unwrap().1.unsettled, "settled for good");
    }
}
