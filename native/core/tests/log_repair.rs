//! Any life that Raft can give a log, then damage anywhere: what is read is never false, what is lost is named, and
//! after a repair it is there again. Where that cannot be known, the log says that it is not settled.

use crate::log_support::damage::{assert_repairable, strike};
use crate::log_support::disk::SimDisk;
use crate::log_support::{entries, entry, hard_state, mark, open, payload, truncate, Model};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vexfs_core::ids::GroupId;
use vexfs_core::log::{LogEntry, Op};

/// Histories as Raft makes them: an entry is one for its index and term, terms ascend, what is committed stays.
struct Life {
    random: ChaCha8Rng,
    model: Model,
    term: u64,
}

impl Life {
    fn below(&mut self, limit: u64) -> u64 {
        self.random.next_u64() % limit.max(1)
    }

    fn fresh(&mut self, low: u64, term: u64) -> Vec<LogEntry> {
        let count = 1 + self.below(5);
        let length = |index: u64| [9, 60, 900, 3000][((index * 7 + term) % 4) as usize];
        (low..low + count).map(|index| entry(index, term, payload(index, term, length(index)))).collect()
    }

    fn state(group: GroupId, term: u64, commit: u64) -> Op {
        hard_state(group, term, term * 3 + u64::from(group.0), commit)
    }

    fn batch(&mut self) -> Vec<Op> {
        let group = GroupId(self.below(3) as u32);
        let state = self.model.group(group);
        let (first, last) = (state.first(), state.last());
        let commit = state.hard_state.commit.0;
        let term = state.hard_state.term.0.max(1);
        match self.below(12) {
            // A new leader, whose log agrees up to somewhere behind the commit.
            0..=2 => {
                self.term += 1;
                let low = (commit + 1).max(first) + self.below(last + 2 - (commit + 1).max(first).min(last + 1));
                let made = self.fresh(low.min(last + 1), self.term);
                let mut ops = Vec::new();
                ops.extend((low <= last).then(|| truncate(group, low)));
                ops.push(entries(group, made));
                ops.push(Self::state(group, self.term, commit));
                ops
            }
            3 | 4 => vec![Self::state(group, term, commit + self.below(last + 1 - commit.min(last)))],
            5 if commit >= first => {
                let index = first.max(state.mark.index.0) + self.below(commit + 1 - first.max(state.mark.index.0));
                let kept = first + self.below(index + 2 - first);
                vec![mark(group, index, state.term(index), kept, if kept == 1 { 0 } else { state.term(kept - 1) })]
            }
            6 if self.below(4) == 0 => {
                self.term += 1;
                let index = last + 1 + self.below(4);
                let (install, term) = (mark(group, index, self.term, index + 1, self.term), self.term);
                vec![truncate(group, index + 1), install, Self::state(group, term, index)]
            }
            _ => {
                let at = if last < first { state.mark.prior_term.0 } else { state.term(last) };
                let term = if at == term { term } else { self.term += 1; self.term };
                vec![entries(group, self.fresh(last + 1, term)), Self::state(group, term, commit)]
            }
        }
    }
}

fn lived(seed: u64) -> (SimDisk, Model) {
    let mut life = Life { random: ChaCha8Rng::seed_from_u64(seed), model: Model::default(), term: 1 };
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..10 + life.below(50) {
        let ops = life.batch();
        log.append(&ops).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        life.model.apply(&ops);
        match life.below(10) {
            0 => drop(log.release().unwrap()),
            1 => drop(log.relocate(2000, u64::MAX).unwrap()),
            2 if life.below(3) == 0 => {
                if life.below(2) == 0 {
                    log.seal_and_close().unwrap();
                }
                log = open(&disk).unwrap().0;
            }
            _ => {}
        }
    }
    (disk, life.model)
}

#[test]
fn damage_of_any_life_is_named_and_repaired() {
    let (mut lossy, mut unsettled, mut ranges) = (0, 0, 0);
    for seed in 0..800 {
        let (disk, model) = lived(seed);
        let mut random = ChaCha8Rng::seed_from_u64(seed + 1_000_000);
        let done: Vec<String> = (0..1 + seed % 4).map(|_| strike(&disk, &mut random)).collect();
        let recovery = assert_repairable(&disk, &model, &format!("seed {seed}: {done:?}"));
        lossy += u64::from(recovery.lost_batches > 0);
        unsettled += u64::from(recovery.unsettled);
        ranges += recovery.damaged.len();
    }
    assert!(lossy > 200 && unsettled > 50 && ranges > 200, "{lossy} lossy, {unsettled} unsettled, {ranges} ranges");
}
