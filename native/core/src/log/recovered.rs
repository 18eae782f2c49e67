//! What recovery found of a group, kept in step with what is written to repair it before anything else is.

use super::terms::{forget_terms_before, set_term, truncate_terms, Terms};
use super::types::{GroupRecovery, LogEntry, SnapshotMark};
use crate::ids::{Index, Term};

impl GroupRecovery {
    fn change_terms(&mut self, change: impl FnOnce(&mut Terms)) {
        let mut terms = self.terms.iter().map(|(index, term)| (index.0, term.0)).collect();
        change(&mut terms);
        self.terms = terms.into_iter().map(|(index, term)| (Index(index), Term(term))).collect();
    }

    /// Of an entry, or of the one in front of the first; the term of the entry before for one in a lost range.
    pub fn term_of(&self, index: Index) -> Option<Term> {
        let known = index <= self.last_index && index.0 + 1 >= self.first_index.0;
        let runs = self.terms.partition_point(|(first, _)| *first <= index);
        known.then(|| self.terms[..runs].last().map(|(_, term)| *term)).flatten()
    }

    /// These were written in the place of lost ones (`Op::Repair`).
    pub fn repaired(&mut self, entries: &[LogEntry]) {
        let end = self.last_index.0;
        self.change_terms(|terms| {
            for entry in entries {
                set_term(terms, entry.index.0, entry.index.0, entry.term.0, end);
            }
        });
    }

    /// `from` and all after it are gone (`Op::Truncate`).
    pub fn truncated(&mut self, from: Index) {
        self.last_index = self.last_index.min(Index(from.0.saturating_sub(1)));
        self.hard_state.commit = self.hard_state.commit.min(self.last_index);
        self.change_terms(|terms| truncate_terms(terms, from.0));
    }

    /// A snapshot has taken the place of what is before its mark's first entry (`Op::Mark`).
    pub fn marked(&mut self, mark: SnapshotMark) {
        let prior = mark.first.0.saturating_sub(1);
        (self.first_index, self.prior_term) = (mark.first, mark.prior_term);
        self.snapshot = Some((mark.index, mark.term));
        self.last_index = self.last_index.max(Index(prior));
        self.hard_state.commit = self.hard_state.commit.max(mark.index).min(self.last_index);
        let end = self.last_index.0;
        self.change_terms(|terms| {
            if prior > 0 {
                set_term(terms, prior, prior, mark.prior_term.0, end);
                forget_terms_before(terms, prior);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn found(terms: &[(u64, u64)], last: u64) -> GroupRecovery {
        let terms = terms.iter().map(|(index, term)| (Index(*index), Term(*term))).collect();
        GroupRecovery { first_index: Index(3), prior_term: Term(1), last_index: Index(last), terms, ..Default::default() }
    }

    fn entry(index: u64, term: u64) -> LogEntry {
        LogEntry { index: Index(index), term: Term(term), kind: 0, data: Bytes::new(), context: Bytes::new() }
    }

    #[test]
    fn repairs_change_terms_and_nothing_else() {
        let mut log = found(&[(2, 1), (8, 4)], 9);
        log.repaired(&[entry(5, 2), entry(6, 3), entry(7, 3)]);
        assert_eq!(log, found(&[(2, 1), (5, 2), (6, 3), (8, 4)], 9));
    }

    #[test]
    fn a_cut_lowers_the_commit_to_what_is_left() {
        let mut log = found(&[(2, 1), (8, 4)], 9);
        log.hard_state.commit = Index(8);
        log.truncated(Index(8));
        assert_eq!((log.last_index, log.hard_state.commit), (Index(7), Index(7)));
        assert_eq!(log.terms, [(Index(2), Term(1))]);
    }

    #[test]
    fn a_mark_lets_the_log_begin_behind_it() {
        for (last, index, runs) in [(9, 6, vec![(6, 2), (7, 1), (8, 4)]), (9, 8, vec![(8, 4)]), (9, 12, vec![(12, 4)])] {
            let mut log = found(&[(2, 1), (8, 4)], last);
            let term = Term(if index == 6 { 2 } else { 4 });
            log.marked(SnapshotMark { index: Index(index), term, first: Index(index + 1), prior_term: term });
            assert_eq!(log.first_index, Index(index + 1));
            assert_eq!(log.last_index, Index(last.max(index)));
            let runs: Vec<_> = runs.into_iter().map(|(index, term)| (Index(index), Term(term))).collect();
            assert_eq!(log.terms, runs, "{index}");
        }
    }
}
