//! Getting lost entries back from the other members (rule L2; Alagappan et al. 2018, protocol-aware recovery): whom to ask,
//! what to make of the answers, and when to give up.
//!
//! Ranges are asked for one piece at a time, from one member at a time, in rounds: every member is asked once, those that
//! do not answer in time count as having what was lost. What a round may end with:
//! - a majority that never had the range: it cannot have been committed, and is cut off;
//! - everybody was asked, again and again, and nobody has what follows it here: so that cannot have been committed;
//! - everybody was asked, again and again, and every log ends before it: it is on none of the disks, and gone;
//! - everybody was asked twice, and all have lost or never had what may have been committed: the member halts;
//! - else another round, since others may come up, or commit.
//!
//! *Grave* ranges are those Raft needs; it stands still until they are back. Others are covered by a snapshot: only
//! readers of the journal miss them, and nobody waits.
//!
//! Left out: the log and the frames themselves (`repairing`).

pub mod hashes;
pub mod judge;
pub mod words;

use crate::ids::{Index, MemberId, Term};
use crate::log::LogEntry;
use crate::ordered::conf::Conf;
use judge::{judge, Verdict};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use words::Answer;

/// Ticks after which a question counts as lost, where members are near.
pub const ANSWER_TICKS: u32 = 25;
/// Ticks between two rounds that brought nothing: for what Raft waits for, and for what only readers miss.
const REST_TICKS: u32 = 20;
const LONG_REST_TICKS: u32 = 1_000;
/// Between two pieces of a gap, of a MiB each: it may be long, and is read by the thread that leads.
const GAP_REST_TICKS: u32 = 5;
/// Full rounds without a proof after which nobody is going to have one.
const ROUNDS_IN_VAIN: u32 = 5;

/// Entries that cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub first: Index,
    pub last: Index,
    /// Term of our entry after them; `None` where the log ends with them.
    pub next_term: Option<Term>,
    /// Their terms, where the log still knows: first index of each run.
    pub terms: Vec<(Index, Term)>,
    pub weight: Weight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Raft stands still until they are back.
    Grave,
    /// Readers of the journal miss them.
    Light,
    /// As `Light`, of a journal that has never had them, or that nobody else keeps any more: readers begin behind them
    /// until they are here.
    Gap,
}

impl Lost {
    fn is_grave(&self) -> bool {
        self.weight == Weight::Grave
    }

    pub fn term_of(&self, index: Index) -> Option<Term> {
        let run = self.terms.partition_point(|(first, _)| *first <= index);
        run.checked_sub(1).map(|run| self.terms[run].1)
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    Ask { to: MemberId, first: Index, last: Index, takes_snapshot: bool },
    /// Not committed, however the damage reads: the log is to be cut here. It may have been acknowledged.
    Forget { from: Index },
    /// Nobody has it.
    Halt { index: Index },
}

/// What to write after an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Mend {
    Restore(Vec<LogEntry>),
    /// Proven never to have been committed.
    Cut(Index),
}

/// Invariant: `lost` is ascending within the grave ranges, which come first, and within the others.
#[derive(Default)]
pub struct Repair {
    lost: VecDeque<Lost>,
    others: BTreeSet<MemberId>,
    linked: BTreeSet<MemberId>,
    asked: Option<(MemberId, u32)>,
    /// What members said of the first range in this round; `None` for those that said nothing.
    said: BTreeMap<MemberId, Option<Verdict>>,
    /// Who had something last.
    giver: Option<MemberId>,
    rest_ticks: u32,
    /// Full rounds in a row, over the same range, that came to nothing.
    in_vain: u32,
    /// A write that was asked for is not on disk yet.
    writing: bool,
    /// Entries that came back.
    pub restored: u64,
    /// Answers that were not what the running hash says was applied.
    pub refused: u64,
}

impl Repair {
    pub fn is_idle(&self) -> bool {
        self.lost.is_empty()
    }

    pub fn has_grave(&self) -> bool {
        self.lost.front().is_some_and(Lost::is_grave)
    }

    /// Last entry of the last gap.
    pub fn gap_end(&self) -> Option<Index> {
        self.lost.iter().filter(|lost| lost.weight == Weight::Gap).map(|lost| lost.last).max()
    }

    /// The range being asked for.
    pub fn front(&self) -> Option<&Lost> {
        self.lost.front()
    }

    pub fn contains(&self, index: Index) -> bool {
        self.lost.iter().any(|lost| (lost.first..=lost.last).contains(&index))
    }

    /// Last entry of the range that `index` lies in, where Raft does not wait for it.
    pub fn missed_through(&self, index: Index) -> Option<Index> {
        self.lost.iter().find(|lost| !lost.is_grave() && (lost.first..=lost.last).contains(&index)).map(|lost| lost.last)
    }

    /// The other members of the configuration, who have to answer before anything is given up, and whoever is connected.
    pub fn set_others(&mut self, others: BTreeSet<MemberId>, linked: &BTreeSet<MemberId>) {
        (self.others, self.linked) = (others, linked.clone());
    }

    pub fn add(&mut self, lost: Lost) {
        if self.contains(lost.first) {
            return;
        }
        let at = self.lost.partition_point(|other| (!other.is_grave(), other.first) < (!lost.is_grave(), lost.first));
        self.lost.insert(at, lost);
        self.begin();
    }

    /// Another range, or part of one, is at the front.
    fn begin(&mut self) {
        self.asked = None;
        self.said.clear();
        (self.rest_ticks, self.in_vain) = (0, 0);
    }

    /// `answer_ticks`: how long an answer may take.
    pub fn tick(&mut self, answer_ticks: u32) {
        self.rest_ticks = self.rest_ticks.saturating_sub(1);
        if let Some((member, ticks)) = &mut self.asked {
            *ticks += 1;
            if *ticks >= answer_ticks {
                self.said.insert(*member, None);
                self.giver = self.giver.filter(|giver| giver != member);
                self.asked = None;
            }
        }
    }

    /// `commit`: up to here this log was committed. `conf` decides what a majority is, if that is known for the range; `me`
    /// counts as having had it all.
    pub fn next(&mut self, me: MemberId, conf: Option<&Conf>, commit: Index) -> Step {
        let Some(lost) = self.lost.front() else { return Step::Nothing };
        if self.writing || self.asked.is_some() || self.rest_ticks > 0 {
            return Step::Nothing;
        }
        let unasked = |member: &&MemberId| !self.said.contains_key(*member) && **member != me;
        let all = || self.others.iter().chain(&self.linked);
        let (first, last, takes_snapshot) = (lost.first, lost.last, lost.is_grave());
        let to = self.giver.iter().find(unasked).or_else(|| all().find(unasked)).copied();
        if let Some(to) = to {
            self.asked = Some((to, 0));
            return Step::Ask { to, first, last, takes_snapshot };
        }
        self.end_round(me, conf, commit)
    }

    fn end_round(&mut self, me: MemberId, conf: Option<&Conf>, commit: Index) -> Step {
        let said = std::mem::take(&mut self.said);
        let Some(lost) = self.lost.front().cloned() else { return Step::Nothing };
        if !lost.is_grave() {
            let begins = said.values().flatten().filter_map(|verdict| match verdict {
                Verdict::Compacted(first) => Some(*first),
                _ => None,
            });
            if let Some(first) = begins.min().filter(|first| (lost.first.0 + 1..=lost.last.0).contains(&first.0)) {
                // What nobody keeps any more is not to stand before what somebody has.
                self.lost[0] = Lost { last: Index(first.0 - 1), next_term: None, ..lost.clone() };
                self.lost.push_front(Lost { first, ..lost });
                self.begin();
                return Step::Nothing;
            }
            let gone = |member: &MemberId| matches!(said.get(member), Some(Some(Verdict::Compacted(first))) if *first > lost.last);
            if !self.others.is_empty() && self.others.iter().all(gone) {
                // Retention has taken it everywhere else: readers are not to wait for it.
                self.lost[0].weight = Weight::Gap;
            }
            // Others of its kind have their turn.
            self.lost.rotate_left(1);
            self.begin();
            self.rest_ticks = LONG_REST_TICKS;
            return Step::Nothing;
        }
        let of = |member: &MemberId| said.get(member).and_then(Option::as_ref);
        let lacks = |voters: &[MemberId]| {
            let count = voters.iter().filter(|member| **member != me && of(member) == Some(&Verdict::Lacks)).count();
            voters.is_empty() || count > voters.len() - (voters.len() / 2 + 1)
        };
        let uncommitted = lost.first > commit;
        let full = self.others.iter().all(|member| of(member).is_some());
        let none = |gone: &[Verdict]| full && self.others.iter().all(|member| of(member).is_some_and(|one| gone.contains(one)));
        self.in_vain = if full { self.in_vain + 1 } else { 0 };
        self.rest_ticks = REST_TICKS;
        let settled = conf.is_some_and(|conf| !conf.voters.is_empty() && lacks(&conf.voters) && lacks(&conf.outgoing));
        if uncommitted && settled {
            return self.forget(lost.first);
        }
        // On none of the disks: gone, whoever had it (as decision 9 has it where all logs were torn).
        let gone = uncommitted && none(&[Verdict::Lacks, Verdict::Forgot]) && !self.others.is_empty();
        if gone {
            return if self.in_vain >= ROUNDS_IN_VAIN { self.forget(lost.first) } else { Step::Nothing };
        }
        if none(&[Verdict::Lacks, Verdict::Damaged, Verdict::Forgot]) && (self.in_vain > 1 || self.others.is_empty()) {
            return Step::Halt { index: lost.first };
        }
        let unproven = none(&[Verdict::Lacks, Verdict::Unproven]) && self.in_vain >= ROUNDS_IN_VAIN;
        match lost.next_term {
            // Whoever had this log's next entry would have proven the range: it is on no other disk.
            Some(_) if unproven && lost.last >= commit => self.forget(Index(lost.last.0 + 1)),
            None if unproven && uncommitted => self.forget(lost.first),
            _ => Step::Nothing,
        }
    }

    fn forget(&mut self, from: Index) -> Step {
        self.writing = true;
        Step::Forget { from }
    }

    /// What was to be written is on disk, or cannot be written at this time.
    pub fn written(&mut self) {
        self.writing = false;
    }

    /// An answer to the question under way; any other is passed over. `prior_term`: of our entry in front of the range.
    pub fn answered(&mut self, from: MemberId, answer: Answer, commit: Index, prior_term: Option<Term>) -> Option<Mend> {
        let lost = self.lost.front()?;
        let expected = self.asked.is_some_and(|(asked, _)| asked == from);
        if !expected || self.writing || (answer.first, answer.last) != (lost.first, lost.last) {
            return None;
        }
        self.asked = None;
        let verdict = judge(lost, commit, prior_term, &answer);
        match verdict {
            Verdict::Take(count) => {
                self.giver = Some(from);
                self.writing = true;
                Some(Mend::Restore(answer.entries.into_iter().take(count).collect()))
            }
            Verdict::Stale(index) if lost.is_grave() => {
                self.writing = true;
                Some(Mend::Cut(index))
            }
            other => {
                self.giver = self.giver.filter(|giver| *giver != from);
                self.said.insert(from, Some(other));
                None
            }
        }
    }

    /// What this member gave last is not what was applied.
    pub fn refused(&mut self, from: MemberId) {
        self.writing = false;
        self.giver = None;
        self.refused += 1;
        self.said.insert(from, Some(Verdict::Damaged));
    }

    /// These entries are on disk again.
    pub fn restored(&mut self, first: Index, through: Index) {
        self.restored += (through.0 + 1).saturating_sub(first.0);
        self.lost.retain_mut(|lost| {
            if (first..=through).contains(&lost.first) {
                lost.first = Index(through.0 + 1);
            }
            lost.first <= lost.last
        });
        self.begin();
        if self.front().is_some_and(|lost| lost.weight == Weight::Gap) {
            self.rest_ticks = GAP_REST_TICKS;
        }
    }

    /// The log ends before this now.
    pub fn cut(&mut self, from: Index) {
        self.lost.retain_mut(|lost| {
            if lost.last.0 + 1 >= from.0 && lost.is_grave() {
                lost.next_term = None;
            }
            lost.last = lost.last.min(Index(from.0.saturating_sub(1)));
            lost.first <= lost.last
        });
        self.begin();
    }

    /// The log begins here now.
    pub fn covered(&mut self, first: Index) {
        self.lost.retain_mut(|lost| {
            lost.first = lost.first.max(first);
            lost.first <= lost.last
        });
        self.begin();
    }
}

#[cfg(test)]
mod tests;
