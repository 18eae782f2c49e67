//! Whether entries that another member gives may take the place of lost ones (docs/decisions/0016).
//!
//! An entry is one for its index and term; two logs with an entry of the same index and term are equal up to there (log
//! matching), and at most one entry of an index is ever committed (leader completeness). So an entry is the one that was
//! lost where
//! - its term is what this log still knows of it;
//! - the member's log has, right after the range, the entry that this log has there;
//! - both logs say that it is committed;
//! - the range's end there is of the leader that wrote what follows it here: a leader writes an index once, in order;
//! - it is committed there, nothing follows here, and both logs have the same entry in front of the range, or have
//!   committed it: whatever was lost could not be committed any more.
//!
//! What this log has in the place of something else that the member has committed is stale, and goes with all after it.
//! Nothing else is taken from anybody: what a member has and cannot show to be committed or ours may have been overtaken
//! long ago.

use super::words::Answer;
use super::Lost;
use crate::ids::{Index, Term};
use crate::log::LogEntry;
use crate::plants::{self, CorePlant};

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So many of the entries, from the first on.
    Take(usize),
    /// From here on this log holds what can never be committed.
    Stale(Index),
    /// It never had any, or has not any more for having been told otherwise.
    Lacks,
    /// It had them, and cannot read them.
    Damaged,
    /// A snapshot has taken their place; its log begins there.
    Compacted(Index),
    /// It has something there that proves nothing.
    Unproven,
    /// As `Unproven`, and it may have forgotten what it had.
    Unsure,
    /// As `Lacks`, but that it may have forgotten it.
    Forgot,
}

/// `commit`: up to here this log was committed. `prior_term`: of our entry in front of the range.
pub fn judge(lost: &Lost, commit: Index, prior_term: Option<Term>, answer: &Answer) -> Verdict {
    let knows = |term: Term| (term.0 > 0).then_some(term);
    let prior = Index(lost.first.0 - 1);
    let same_prior = plants::is(CorePlant::RepairUnanchored) || prior <= commit || prior_term.is_some() && prior_term == knows(answer.prior_term);
    let follows = lost.next_term.is_some();
    let same_next = follows && lost.next_term == knows(answer.next_term);
    let same_leader = follows && lost.next_term == knows(answer.last_term);
    let right = |entry: &LogEntry| {
        let committed = entry.index <= answer.commit;
        if plants::is(CorePlant::RepairUnproven) {
            return true;
        }
        lost.term_of(entry.index) == Some(entry.term)
            || same_next
            || same_leader
            || committed && (entry.index <= commit || !follows && same_prior)
    };
    // Of ours, something else than what is committed there.
    let other = |entry: &&LogEntry| {
        entry.index <= answer.commit && lost.term_of(entry.index).is_some_and(|term| term != entry.term)
    };
    let stale = answer.entries.iter().find(other).map(|entry| entry.index);
    let next = Index(lost.last.0 + 1);
    let next_stale = follows && answer.commit >= next && !same_next && answer.next_term.0 > 0;
    let prior_stale = !same_prior && answer.commit >= prior && prior_term.is_some() && answer.prior_term.0 > 0;
    let stale = prior_stale.then_some(prior).or(stale).or(next_stale.then_some(next));
    if let Some(from) = stale.filter(|from| *from > commit) {
        return Verdict::Stale(from);
    }
    match answer.entries.iter().take_while(|entry| right(entry)).count() {
        0 if answer.log_first > lost.first => Verdict::Compacted(answer.log_first),
        0 if answer.log_last >= lost.first && answer.entries.is_empty() => Verdict::Damaged,
        0 if answer.log_last < lost.first && answer.settled => Verdict::Lacks,
        0 if answer.log_last < lost.first => Verdict::Forgot,
        0 if !answer.settled => Verdict::Unsure,
        0 => Verdict::Unproven,
        count => Verdict::Take(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In front of the range, both have an entry of term 2.
    fn judge(lost: &Lost, commit: Index, answer: &Answer) -> Verdict {
        super::judge(lost, commit, Some(Term(2)), answer)
    }

    fn lost(first: u64, last: u64, next_term: Option<u64>) -> Lost {
        Lost { first: Index(first), last: Index(last), next_term: next_term.map(Term), terms: Vec::new(), weight: super::super::Weight::Grave }
    }

    /// Entries from 5 on with these terms, of a log that is committed up to `commit`.
    fn answer(terms: &[u64], commit: u64, last_term: u64, next_term: u64) -> Answer {
        let entry = |(at, term): (usize, &u64)| LogEntry {
            index: Index(5 + at as u64),
            term: Term(*term),
            kind: 0,
            data: Default::default(),
            context: Default::default(),
        };
        Answer {
            first: Index(5),
            last: Index(7),
            commit: Index(commit),
            log_first: Index(1),
            log_last: Index(20),
            prior_term: Term(2),
            last_term: Term(last_term),
            next_term: Term(next_term),
            settled: true,
            entries: terms.iter().enumerate().map(entry).collect(),
        }
    }

    #[test]
    fn the_same_entry_behind_the_range_proves_all_of_it() {
        assert_eq!(judge(&lost(5, 7, Some(3)), Index(0), &answer(&[2, 2, 3], 0, 3, 3)), Verdict::Take(3));
        assert_eq!(judge(&lost(5, 7, Some(3)), Index(0), &answer(&[2, 2, 2], 0, 2, 4)), Verdict::Unproven);
        assert_eq!(judge(&lost(5, 7, Some(3)), Index(0), &answer(&[2, 2, 2], 0, 2, 0)), Verdict::Unproven);
    }

    #[test]
    fn what_both_have_committed_is_one() {
        assert_eq!(judge(&lost(5, 7, Some(3)), Index(6), &answer(&[2, 2, 2], 7, 2, 0)), Verdict::Take(2));
        assert_eq!(judge(&lost(5, 7, Some(3)), Index(9), &answer(&[2, 2, 2], 5, 2, 0)), Verdict::Take(1));
        assert_eq!(judge(&lost(5, 7, Some(3)), Index(4), &answer(&[2, 2, 2], 7, 2, 0)), Verdict::Unproven);
    }

    #[test]
    fn an_end_of_the_leader_that_went_on_here_proves_the_range() {
        for commit in [0, 6, 7] {
            assert_eq!(judge(&lost(5, 7, Some(3)), Index(4), &answer(&[2, 3, 3], commit, 3, 0)), Verdict::Take(3));
        }
        assert_eq!(judge(&lost(5, 7, Some(4)), Index(4), &answer(&[2, 3, 3], 7, 3, 0)), Verdict::Unproven);
    }

    #[test]
    fn at_the_end_of_the_log_committed_is_enough_and_uncommitted_is_not() {
        assert_eq!(judge(&lost(5, 7, None), Index(0), &answer(&[2, 2, 3], 6, 3, 3)), Verdict::Take(2));
        assert_eq!(judge(&lost(5, 7, None), Index(0), &answer(&[2, 2, 3], 4, 3, 3)), Verdict::Unproven);
    }

    #[test]
    fn a_tail_that_others_have_overtaken_is_stale() {
        assert_eq!(judge(&lost(5, 7, Some(3)), Index(4), &answer(&[2, 4, 4], 8, 4, 4)), Verdict::Stale(Index(8)));
        let known = Lost { terms: vec![(Index(5), Term(2)), (Index(6), Term(3))], ..lost(5, 7, Some(3)) };
        assert_eq!(judge(&known, Index(4), &answer(&[2, 4, 4], 6, 4, 4)), Verdict::Stale(Index(6)));
        assert_eq!(judge(&known, Index(4), &answer(&[2, 4, 4], 4, 4, 4)), Verdict::Take(1));
        assert_eq!(judge(&known, Index(4), &answer(&[2, 3, 3], 4, 3, 4)), Verdict::Take(3));
    }

    #[test]
    fn what_is_in_front_of_the_range_may_be_stale_too() {
        let (lost, answer) = (lost(5, 7, None), answer(&[3, 3, 3], 7, 3, 0));
        assert_eq!(super::judge(&lost, Index(3), Some(Term(1)), &answer), Verdict::Stale(Index(4)));
        assert_eq!(super::judge(&lost, Index(3), Some(Term(2)), &answer), Verdict::Take(3));
        assert_eq!(super::judge(&lost, Index(4), Some(Term(1)), &answer), Verdict::Take(3));
        let behind = Answer { prior_term: Term(0), ..answer };
        assert_eq!(super::judge(&lost, Index(3), Some(Term(1)), &behind), Verdict::Unproven);
    }

    #[test]
    fn what_is_not_there_has_a_reason() {
        let none = answer(&[], 3, 0, 0);
        assert_eq!(judge(&lost(5, 7, None), Index(0), &none), Verdict::Damaged);
        assert_eq!(judge(&lost(5, 7, None), Index(0), &Answer { log_last: Index(4), ..none.clone() }), Verdict::Lacks);
        let torn = Answer { log_last: Index(4), settled: false, ..none.clone() };
        assert_eq!(judge(&lost(5, 7, None), Index(0), &torn), Verdict::Forgot);
        assert_eq!(judge(&lost(5, 7, None), Index(0), &Answer { log_first: Index(6), ..none }), Verdict::Compacted(Index(6)));
    }
}
