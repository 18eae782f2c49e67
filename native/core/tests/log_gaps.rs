//! Logs whose journals have gaps: snapshots that came in the place of entries, in front of which the journal stays. Random
//! lives of two groups against a plain model; then with damage, where what recovery calls settled must be what was.

mod log_support;

use log_support::damage::strike;
use log_support::disk::SimDisk;
use log_support::{entries, entry, hard_state, mark, open, payload, truncate};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::log::{GroupRecovery, Log, LogEntry, LogError, Op, Recovery};

const LIVES: u64 = 600;
const DAMAGED_LIVES: u64 = 1_000;

fn made(index: u64, term: u64) -> LogEntry {
    let bytes = [9, 60, 900, 3000][((index * 7 + term) % 4) as usize];
    entry(index, term, payload(index, term, bytes))
}

/// What a group is, gaps and all.
#[derive(Clone, Debug, Default)]
struct Model {
    first: u64,
    prior_term: u64,
    mark: Option<(u64, u64)>,
    /// Of all entries from index 1 on, those that are gone too.
    terms: Vec<u64>,
    gaps: BTreeSet<u64>,
    /// Term, vote and commit.
    hard_state: (u64, u64, u64),
}

impl Model {
    fn last(&self) -> u64 {
        self.terms.len() as u64
    }

    fn term(&self, index: u64) -> u64 {
        index.checked_sub(1).map_or(0, |at| self.terms[at as usize])
    }

    fn commit(&self) -> u64 {
        self.hard_state.2.max(self.marked())
    }

    fn marked(&self) -> u64 {
        self.mark.map_or(0, |mark| mark.0)
    }
}

struct Life {
    random: ChaCha8Rng,
    groups: BTreeMap<u32, Model>,
    term: u64,
    done: Vec<String>,
}

impl Life {
    fn below(&mut self, limit: u64) -> u64 {
        self.random.next_u64() % limit.max(1)
    }

    fn model(&mut self, id: u32) -> &mut Model {
        self.groups.entry(id).or_insert_with(|| Model { first: 1, ..Model::default() })
    }

    fn state(&mut self, id: u32, term: u64, commit: u64) -> Op {
        let vote = term * 3 + u64::from(id);
        self.model(id).hard_state = (term, vote, commit);
        hard_state(GroupId(id), term, vote, commit)
    }

    fn append(&mut self, id: u32, count: u64, term: u64) -> Op {
        let model = self.model(id);
        let low = model.last() + 1;
        model.terms.extend((0..count).map(|_| term));
        entries(GroupId(id), (low..low + count).map(|index| made(index, term)).collect())
    }

    fn cut(&mut self, id: u32, from: u64) -> Op {
        let model = self.model(id);
        model.terms.truncate(from as usize - 1);
        model.gaps.retain(|index| *index < from);
        truncate(GroupId(id), from)
    }

    fn mark(&mut self, id: u32, index: u64, first: u64) -> Op {
        let model = self.model(id);
        let (term, prior) = (model.term(index), if first == model.first { model.prior_term } else { model.term(first - 1) });
        (model.first, model.prior_term, model.mark) = (first, prior, Some((index, term)));
        model.gaps.retain(|index| *index >= first);
        mark(GroupId(id), index, term, first, prior)
    }

    /// A new leader replaces what is not committed, or adds to it.
    fn replace(&mut self, id: u32) -> Vec<Op> {
        self.term += 1;
        let (term, count) = (self.term, 1 + self.below(5));
        let model = self.model(id).clone();
        let low = (model.commit() + 1).max(model.first).min(model.last() + 1);
        let low = low + self.below(model.last() + 2 - low);
        let cut = (low <= model.last()).then(|| self.cut(id, low));
        cut.into_iter().chain([self.append(id, count, term), self.state(id, term, model.commit())]).collect()
    }

    /// The member's own snapshot.
    fn compact(&mut self, id: u32) -> Vec<Op> {
        let model = self.model(id).clone();
        if model.commit() == 0 {
            return Vec::new();
        }
        let low = model.marked().max(1);
        let index = low + self.below(model.commit() + 1 - low);
        let first = model.first + self.below(index + 2 - model.first);
        // A member knows no term of an entry that it does not have.
        let first = if first > 1 && model.gaps.contains(&(first - 1)) { model.first } else { first };
        match model.gaps.contains(&index) && model.marked() != index {
            true => Vec::new(),
            false => vec![self.mark(id, index, first)],
        }
    }

    /// A snapshot of a leader's comes in the place of what is behind `kept`.
    fn install(&mut self, id: u32) -> Vec<Op> {
        let model = self.model(id).clone();
        let committed = model.commit().min(model.last());
        let low = model.marked().max(model.first - 1);
        let kept = low + self.below(committed + 1 - low.min(committed));
        let kept = kept.min(model.last()).max(low);
        self.term += 1;
        let index = (kept + 1 + self.below(12)).max(model.commit() + 1);
        let cut = (model.last() > kept).then(|| self.cut(id, kept + 1));
        let (newest, pick) = (self.term, self.random.next_u64());
        let after = self.model(id);
        after.terms.extend((kept + 1..=committed).map(|index| model.term(index)));
        let before = after.terms.last().copied().unwrap_or(1).max(1);
        while after.last() < index {
            let term = if after.last() + 1 == index { newest } else { before + (newest - before) / 2 };
            after.terms.push(term);
        }
        after.gaps.extend(kept + 1..=index);
        let first = match pick % 4 {
            0 => index + 1,
            1 => kept + 1,
            2 => after.first,
            _ => after.first + (pick >> 8) % (kept + 2 - after.first),
        };
        let known = [index + 1, kept + 1, 1].contains(&first) || !after.gaps.contains(&(first - 1));
        let first = if known { first } else { after.first };
        let mark = self.mark(id, index, first);
        let state = (self.below(2) == 0).then(|| self.state(id, newest, index));
        cut.into_iter().chain([mark]).chain(state).collect()
    }

    /// Others have what is missing.
    fn repair(&mut self, id: u32) -> Vec<Op> {
        let (nth, count) = (self.random.next_u64() as usize, 1 + self.below(6));
        let model = self.model(id);
        let Some(first) = model.gaps.iter().nth(nth % model.gaps.len().max(1)).copied() else { return Vec::new() };
        let list: Vec<u64> = (first..first + count).take_while(|index| model.gaps.contains(index)).collect();
        model.gaps.retain(|index| !list.contains(index));
        vec![Op::Repair { group: GroupId(id), entries: list.iter().map(|index| made(*index, model.term(*index))).collect() }]
    }

    fn batch(&mut self) -> Vec<Op> {
        let id = self.below(2) as u32;
        let (kind, model) = (self.below(14), self.model(id).clone());
        match kind {
            0..=2 => self.replace(id),
            3 | 4 => {
                let more = self.below(model.last() + 1 - model.commit().min(model.last()));
                vec![self.state(id, model.hard_state.0.max(1), (model.commit() + more).min(model.last()))]
            }
            5 | 6 => self.compact(id),
            7 | 8 => self.install(id),
            9 | 10 => self.repair(id),
            _ => {
                let goes_on = model.last() > 0 && model.term(model.last()) == model.hard_state.0;
                self.term += u64::from(!goes_on);
                let (term, count) = (if goes_on { model.hard_state.0 } else { self.term }, 1 + self.below(5));
                vec![self.append(id, count, term), self.state(id, term, model.commit())]
            }
        }
    }

    /// A life on a disk; panics with what was done where the log, open or recovered, is not as the model.
    fn live(seed: u64) -> (SimDisk, Self) {
        let random = ChaCha8Rng::seed_from_u64(seed);
        let mut life = Self { random, groups: BTreeMap::new(), term: 1, done: Vec::new() };
        let disk = SimDisk::default();
        let (mut log, _) = open(&disk).expect("it is new");
        for step in 0..10 + life.below(50) {
            let ops = life.batch();
            life.done.push(format!("{step}: {}", ops.iter().map(outline).collect::<Vec<_>>().join(", ")));
            if !ops.is_empty() {
                log.append(&ops).expect("the disk is sound");
            }
            life.check(seed, &log, None);
            match life.below(10) {
                0 => drop(log.release().expect("the disk is sound")),
                1 => assert!(matches!(log.relocate(2000, u64::MAX), Ok(_) | Err(LogError::Damaged { .. }))),
                2 | 3 => {
                    if life.below(2) == 0 {
                        log.seal_and_close().expect("the disk is sound");
                    }
                    let (opened, recovery) = open(&disk).expect("the disk is sound");
                    log = opened;
                    life.done.push("opened".to_string());
                    assert!(recovery.lost_batches == 0 && !recovery.unsettled);
                    life.check(seed, &log, Some(&recovery));
                }
                _ => {}
            }
        }
        (disk, life)
    }

    fn check(&self, seed: u64, log: &Log<SimDisk>, recovery: Option<&Recovery>) {
        for (id, model) in &self.groups {
            let wrong = differs(GroupId(*id), model, log).or_else(|| recovery.and_then(|recovery| recovers_otherwise(GroupId(*id), model, recovery)));
            if let Some(what) = wrong {
                panic!("seed {seed}: group {id}: {what}; it is {model:?}\n{}", self.done.join("\n"));
            }
        }
    }
}

fn outline(op: &Op) -> String {
    let range = |entries: &[LogEntry]| format!("{} to {}", entries[0].index.0, entries[entries.len() - 1].index.0);
    match op {
        Op::Entries { group, entries } => format!("{group:?} entries {} in {}", range(entries), entries[0].term.0),
        Op::Repair { group, entries } => format!("{group:?} repair {}", range(entries)),
        other => format!("{other:?}"),
    }
}

/// In what an open log is not as the model.
fn differs(group: GroupId, model: &Model, log: &Log<SimDisk>) -> Option<String> {
    let reader = log.reader();
    let bounds = (reader.first_index(group).0, reader.last_index(group).0);
    if bounds != (model.first, model.last().max(model.first - 1)) {
        return Some(format!("goes from {} to {}", bounds.0, bounds.1));
    }
    (model.first..=model.last()).find_map(|index| {
        let read = reader.entries(group, Index(index), Index(index + 1), 0);
        match (&read, model.gaps.contains(&index)) {
            (Err(LogError::Damaged { .. }), true) => None,
            (Ok(found), false) if found[..] == [made(index, model.term(index))] => {
                let term = reader.term(group, Index(index)).ok().map(|term| term.0);
                (term != Some(model.term(index))).then(|| format!("entry {index} has the term {term:?}"))
            }
            _ => Some(format!("entry {index} is {read:?}")),
        }
    })
}

/// In what a recovery is not as the model.
fn recovers_otherwise(group: GroupId, model: &Model, recovery: &Recovery) -> Option<String> {
    let Some(found) = recovery.groups.get(&group) else { return (model.last() > 0).then(|| "it is not found".to_string()) };
    let commit = model.hard_state.2.min(model.last());
    let state = (found.hard_state.term.0, found.hard_state.vote.0, found.hard_state.commit.0);
    let is_same = is_where_it_was(found, model) && state == (model.hard_state.0, model.hard_state.1, commit);
    let lost = || recovery.damaged.iter().filter(|range| range.group == group);
    let lost_all: BTreeSet<u64> = lost().flat_map(|range| range.first.0..=range.last.0).collect();
    let follows = |range: &vexfs_core::log::LostRange| range.next_term.is_none_or(|term| term.0 == model.term(range.last.0 + 1));
    let known = |index: &u64| !model.gaps.contains(index) || *index == model.marked();
    let term_at = |index: u64| found.terms[..found.terms.partition_point(|(at, _)| at.0 <= index)].last().map(|(_, term)| term.0);
    let mut indexes = (model.first..=model.last()).filter(known);
    let same_terms = indexes.all(|index| term_at(index) == Some(model.term(index)));
    let same = is_same && same_terms && lost_all == model.gaps && lost().all(|range| range.gap && follows(range));
    (!same).then(|| format!("it is recovered as {found:?}, without {:?}", lost().collect::<Vec<_>>()))
}

fn is_where_it_was(found: &GroupRecovery, model: &Model) -> bool {
    let snapshot = found.snapshot.map(|(index, term)| (index.0, term.0));
    (found.first_index.0, found.prior_term.0, found.last_index.0, snapshot) == (model.first, model.prior_term, model.last(), model.mark)
}

#[test]
fn journals_with_gaps_are_read_and_recovered() {
    for seed in 0..LIVES {
        Life::live(seed);
    }
}

/// Where batches were lost the log is unsettled, or nothing that it holds is other than it was, and what it lacks is named.
#[test]
fn damage_to_journals_with_gaps_is_never_taken_for_what_was_written() {
    let mut settled = 0;
    for seed in 100_000..100_000 + DAMAGED_LIVES {
        let (disk, life) = Life::live(seed);
        let mut random = ChaCha8Rng::seed_from_u64(seed + 1_000_000);
        let done: Vec<String> = (0..1 + seed % 4).map(|_| strike(&disk, &mut random)).collect();
        let (mut log, recovery) = open(&disk).expect("what is damaged is no error");
        let wrong = |what: String| panic!("seed {seed} {done:?}: {what}\n{}", life.done.join("\n"));
        let (reader, mut repairs) = (log.reader(), Vec::new());
        for (id, model) in &life.groups {
            let group = GroupId(*id);
            let Some(found) = recovery.groups.get(&group) else {
                assert!(recovery.unsettled || model.last() == 0, "seed {seed}: group {id} is gone");
                continue;
            };
            let as_was = recovery.unsettled || is_where_it_was(found, model) && found.hard_state.vote.0 == model.hard_state.1;
            if !as_was || found.hard_state.commit.0 > model.commit() || found.snapshot.is_some_and(|(index, _)| index > found.last_index) {
                wrong(format!("group {id}: {found:?} of {model:?}"));
            }
            // Of an unsettled log what was committed is sure.
            let snapshot = found.snapshot.map_or(0, |(index, _)| index.0);
            let sure = if recovery.unsettled { found.hard_state.commit.0.max(snapshot) } else { u64::MAX };
            for index in model.first.max(found.first_index.0)..=found.last_index.0.min(model.last()) {
                let whole = made(index, model.term(index));
                match reader.entries(group, Index(index), Index(index + 1), 0) {
                    Ok(read) if read[0] == whole || index > sure => {}
                    Err(LogError::Damaged { lost, .. }) if lost.iter().any(|range| range.group == group && (range.first.0..=range.last.0).contains(&index)) => {
                        repairs.push(Op::Repair { group, entries: vec![whole] });
                    }
                    read => wrong(format!("group {id}: entry {index} is {read:?}")),
                }
            }
        }
        if recovery.unsettled {
            continue;
        }
        settled += 1;
        if !repairs.is_empty() {
            log.append(&repairs).expect("the disk is sound");
        }
        drop(log);
        let (log, recovery) = open(&disk).expect("it is repaired");
        let mut whole = Life { random, groups: life.groups.clone(), term: 0, done: life.done.clone() };
        whole.groups.values_mut().for_each(|model| model.gaps.clear());
        whole.check(seed, &log, Some(&recovery));
    }
    assert!(settled > DAMAGED_LIVES / 20, "only {settled} logs were settled");
}
