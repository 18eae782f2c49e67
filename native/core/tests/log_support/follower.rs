//! A group of a follower whose leaders' logs branch: what its log must hold, and what it writes, made up at random.
//!
//! What Raft promises is kept (Ongaro, Ousterhout 2014, section 5): an entry is one for its index and term, terms ascend
//! along a log, every later leader has what is committed. What it does not promise is made use of: an entry may be replaced
//! by one of a lower term, and come back.

use super::{entries, entry, hard_state, mark, payload, truncate};
use rand_chacha::rand_core::RngCore;
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use vexfs_core::ids::GroupId;
use vexfs_core::log::{LogEntry, Op};

/// So many leaders' logs may still be gone on with.
const LEADERS_MAX: usize = 5;

pub fn below(random: &mut ChaCha8Rng, limit: u64) -> u64 {
    random.next_u64() % limit.max(1)
}

/// The one entry that there is for an index and a term.
pub fn made(index: u64, term: u64) -> LogEntry {
    thread_local! {
        // Everything is read after every step: making the bytes each time would take longer than the log does.
        static MADE: RefCell<HashMap<(u64, u64), LogEntry>> = RefCell::default();
    }
    let bytes = [9, 60, 900, 3000, 5000][((index * 7 + term) % 5) as usize];
    let make = || entry(index, term, payload(index, term, bytes));
    MADE.with_borrow_mut(|made| made.entry((index, term)).or_insert_with(make).clone())
}

#[derive(Clone, Debug)]
pub struct Follower {
    pub group: GroupId,
    pub first: u64,
    pub prior_term: u64,
    /// Index and term.
    pub mark: Option<(u64, u64)>,
    /// Of all entries from index 1 on, those that are compacted or missing too.
    pub terms: Vec<u64>,
    /// From `first` on: a snapshot has come in their place, or damage has taken them.
    pub missing: BTreeSet<u64>,
    /// Term, vote and commit as last written.
    pub hard_state: (u64, u64, u64),
    /// Terms of the entries of the last leaders. The last one leads, in `leader_term`.
    leaders: Vec<Vec<u64>>,
    leader_term: u64,
    /// What every later leader has. Invariant: the last of `leaders` begins with it, and it reaches up to `committed`.
    sure: Vec<u64>,
}

impl Follower {
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            first: 1,
            prior_term: 0,
            mark: None,
            terms: Vec::new(),
            missing: BTreeSet::new(),
            hard_state: (0, 0, 0),
            leaders: vec![Vec::new()],
            leader_term: 1,
            sure: Vec::new(),
        }
    }

    pub fn last(&self) -> u64 {
        self.terms.len() as u64
    }

    pub fn term(&self, index: u64) -> u64 {
        index.checked_sub(1).map_or(0, |at| self.terms[at as usize])
    }

    pub fn marked(&self) -> u64 {
        self.mark.map_or(0, |mark| mark.0)
    }

    /// Known here to be committed.
    pub fn committed(&self) -> u64 {
        self.hard_state.2.max(self.marked())
    }

    pub fn is_untouched(&self) -> bool {
        self.terms.is_empty() && self.hard_state.0 == 0
    }

    pub fn made(&self, indexes: impl IntoIterator<Item = u64>) -> Vec<LogEntry> {
        indexes.into_iter().map(|index| made(index, self.term(index))).collect()
    }

    /// What it writes next.
    pub fn batch(&mut self, random: &mut ChaCha8Rng) -> Vec<Op> {
        // What an acknowledgement had covered is back, or cut by a leader, before anything else is written.
        let lost = self.missing.iter().find(|index| **index > self.committed()).copied();
        match (lost, below(random, 20)) {
            (Some(_), 0..=4) => Vec::new(),
            (Some(from), 5..=9) => vec![self.cut(from)],
            (Some(_), _) => self.repair(random),
            (None, 13..) if !self.missing.is_empty() => self.repair(random),
            (None, 0) => {
                self.elect(random);
                vec![self.state(self.hard_state.2)]
            }
            (None, 1..=3) => {
                self.elect(random);
                self.follow(random)
            }
            (None, 4..=6 | 15..) => self.follow(random),
            (None, 8..=9 | 14) => self.commit(random).into_iter().collect(),
            (None, 10..=12) => self.compact(random),
            (None, 7 | 13) => self.install(random),
        }
    }

    fn leader(&mut self) -> &mut Vec<u64> {
        self.leaders.last_mut().expect("one leads from the first on")
    }

    /// Entries that this log and the leader's begin with.
    fn agreed(&mut self) -> u64 {
        let terms = std::mem::take(&mut self.terms);
        let agreed = terms.iter().zip(self.leader().iter()).take_while(|(own, leaders)| own == leaders).count();
        self.terms = terms;
        agreed as u64
    }

    /// A new leader goes on with the log of one before it or with ours, as far as it had that.
    fn elect(&mut self, random: &mut ChaCha8Rng) {
        self.leader_term += 1 + below(random, 2);
        let fit: Vec<_> = self.leaders.iter().chain([&self.terms]).filter(|log| log.starts_with(&self.sure)).collect();
        let mut log = fit[below(random, fit.len() as u64) as usize].clone();
        if below(random, 2) == 0 {
            log.truncate(self.sure.len() + below(random, (log.len() - self.sure.len()) as u64 + 1) as usize);
        }
        log.extend((0..1 + below(random, 6)).map(|_| self.leader_term));
        self.leaders.push(log);
        self.leaders.drain(..self.leaders.len().saturating_sub(LEADERS_MAX));
    }

    /// Term and vote as they are now.
    fn state(&mut self, commit: u64) -> Op {
        // In every fourth term it has no vote: it learned of the term from its leader.
        let vote = if self.leader_term % 4 == 0 { 0 } else { self.leader_term * 3 + u64::from(self.group.0) };
        self.hard_state = (self.leader_term, vote, commit);
        hard_state(self.group, self.leader_term, vote, commit)
    }

    /// A term is written no later than what it brings.
    fn state_if_due(&mut self, random: &mut ChaCha8Rng, commit: u64) -> Option<Op> {
        (self.hard_state.0 != self.leader_term || below(random, 2) == 0).then(|| self.state(commit))
    }

    /// Takes some of what the leader has, in the place of what it has not.
    fn follow(&mut self, random: &mut ChaCha8Rng) -> Vec<Op> {
        let (agreed, count) = (self.agreed(), 1 + below(random, 6));
        let term = self.leader_term;
        if agreed == self.leader().len() as u64 {
            self.leader().extend((0..count).map(|_| term));
        }
        let leader = self.leader().clone();
        let to = if below(random, 3) == 0 { leader.len() as u64 } else { (agreed + count).min(leader.len() as u64) };
        let cut = (agreed < self.last()).then(|| self.cut(agreed + 1));
        self.terms.extend(&leader[agreed as usize..to as usize]);
        let taken = entries(self.group, self.made(agreed + 1..=to));
        let state = self.state_if_due(random, self.hard_state.2);
        cut.into_iter().chain([taken]).chain(state).collect()
    }

    fn cut(&mut self, from: u64) -> Op {
        assert!(from > self.committed(), "what is committed stays");
        self.terms.truncate(from as usize - 1);
        self.missing.retain(|index| *index < from);
        truncate(self.group, from)
    }

    /// The leader's commit, as far as it has come; what it commits may be of older terms than its own.
    fn commit(&mut self, random: &mut ChaCha8Rng) -> Option<Op> {
        let (low, high) = (self.hard_state.2, self.agreed());
        (low <= high).then(|| {
            let commit = low + below(random, high + 1 - low);
            self.is_sure(commit);
            self.state(commit)
        })
    }

    /// A leader commits what is older only with an entry of its own term (section 5.4.2), which is then sure as well.
    fn is_sure(&mut self, commit: u64) {
        let term = self.leader_term;
        let leader = self.leader();
        if commit > 0 && leader.last() != Some(&term) {
            leader.push(term);
        }
        let own = leader.iter().position(|other| *other == term).map_or(0, |at| at + 1);
        let sure = leader[..own.max(commit as usize)].to_vec();
        if commit as usize > self.sure.len() {
            self.sure = sure;
        }
    }

    /// Its own snapshot, now and then of what is only now known to be committed.
    fn compact(&mut self, random: &mut ChaCha8Rng) -> Vec<Op> {
        let state = if below(random, 3) == 0 { self.commit(random) } else { None };
        let (low, high) = (self.marked().max(1), self.committed().min(self.last()));
        let index = low + below(random, (high + 1).saturating_sub(low));
        let fits = low <= high && (!self.missing.contains(&index) || index == self.marked());
        let mark = fits.then(|| {
            let first = if below(random, 2) == 0 { self.first } else { self.first + below(random, index + 2 - self.first) };
            self.set_mark(index, first)
        });
        state.into_iter().chain(mark).collect()
    }

    /// A leader's snapshot comes in the place of what is behind `kept`, which may have been committed here.
    fn install(&mut self, random: &mut ChaCha8Rng) -> Vec<Op> {
        if below(random, 2) == 0 {
            self.elect(random);
        }
        let (term, committed) = (self.leader_term, self.committed());
        let length = committed + 1 + below(random, 12);
        let leader = self.leader();
        leader.resize(leader.len().max(length as usize), term);
        let index = committed + 1 + below(random, leader.len() as u64 - committed);
        self.is_sure(index);
        let (low, high) = (self.marked().max(self.first - 1), committed.min(self.last()));
        let kept = if below(random, 4) == 0 { low + below(random, high + 1 - low) } else { high };
        let cut = (self.last() > kept).then(|| truncate(self.group, kept + 1));
        self.missing.retain(|missing| *missing <= kept);
        self.missing.extend(kept + 1..=index);
        self.terms = self.leader()[..index as usize].to_vec();
        let first = match below(random, 4) {
            0 => index + 1,
            1 => kept + 1,
            2 => self.first,
            _ => self.first + below(random, kept + 2 - self.first),
        };
        let mark = self.set_mark(index, first);
        let commit = if below(random, 2) == 0 { index } else { self.hard_state.2 };
        let state = self.state_if_due(random, commit);
        cut.into_iter().chain([mark]).chain(state).collect()
    }

    fn set_mark(&mut self, index: u64, first: u64) -> Op {
        // A member knows no term of an entry that it does not have, unless a snapshot ends or begins there.
        let prior = first - 1;
        let is_known = [0, index, self.marked()].contains(&prior) || !self.missing.contains(&prior);
        if is_known && first != self.first {
            (self.first, self.prior_term) = (first, self.term(prior));
        }
        self.mark = Some((index, self.term(index)));
        self.missing.retain(|missing| *missing >= self.first);
        mark(self.group, index, self.term(index), self.first, self.prior_term)
    }

    /// Others have some of what is missing.
    fn repair(&mut self, random: &mut ChaCha8Rng) -> Vec<Op> {
        let (nth, count) = (below(random, self.missing.len() as u64), 1 + below(random, 8));
        let Some(low) = self.missing.iter().nth(nth as usize).copied() else { return Vec::new() };
        let found: Vec<u64> = (low..low + count).take_while(|index| self.missing.contains(index)).collect();
        self.missing.retain(|index| !found.contains(index));
        vec![Op::Repair { group: self.group, entries: self.made(found) }]
    }

    /// Others have all of it.
    pub fn repair_all(&mut self) -> Vec<Op> {
        let missing: Vec<u64> = std::mem::take(&mut self.missing).into_iter().collect();
        let runs = missing.chunk_by(|low, high| low + 1 == *high);
        runs.map(|run| Op::Repair { group: self.group, entries: self.made(run.iter().copied()) }).collect()
    }
}
