//! Terms of a range of entries, as the first index of each run of equal terms: a term holds until the next run begins.

/// Invariant: ascending by index. What lies between two live runs of entries is nobody's question.
pub(super) type Terms = Vec<(u64, u64)>;

/// The term that holds at `index`.
pub(super) fn term_at(terms: &[(u64, u64)], index: u64) -> Option<u64> {
    terms[..terms.partition_point(|(first, _)| *first <= index)].last().map(|(_, term)| *term)
}

/// Notes the term of the entry behind all others.
pub(super) fn push_term(terms: &mut Terms, index: u64, term: u64) {
    if terms.last().is_none_or(|(_, last)| *last != term) {
        terms.push((index, term));
    }
}

/// Sets the term of `first..=last`, in a list that reaches up to `end`.
pub(super) fn set_term(terms: &mut Terms, first: u64, last: u64, term: u64, end: u64) {
    let after = (last < end).then(|| term_at(terms, last + 1)).flatten();
    let from = terms.partition_point(|(index, _)| *index < first);
    let to = terms.partition_point(|(index, _)| *index <= last);
    let before = from.checked_sub(1).map(|at| terms[at].1);
    let begins = (before != Some(term)).then_some((first, term));
    let follows = terms.get(to).is_some_and(|(index, _)| *index == last + 1);
    let goes_on = after.filter(|after| !follows && *after != term).map(|after| (last + 1, after));
    let merges = usize::from(follows && after == Some(term));
    terms.splice(from..to + merges, begins.into_iter().chain(goes_on));
}

/// Copies the terms of `first..=last` out of another list.
pub(super) fn copy_terms(terms: &mut Terms, other: &[(u64, u64)], first: u64, last: u64, end: u64) {
    let mut at = first;
    let mut run = other.partition_point(|(index, _)| *index <= first);
    while at <= last {
        let Some((_, term)) = run.checked_sub(1).map(|run| other[run]) else { return };
        let until = other.get(run).map_or(last, |(next, _)| last.min(next - 1));
        if at > end || terms.is_empty() {
            push_term(terms, at, term);
        } else {
            set_term(terms, at, until, term, end.max(until));
        }
        at = until + 1;
        run += 1;
    }
}

/// Forgets what is at and after `from`.
pub(super) fn truncate_terms(terms: &mut Terms, from: u64) {
    terms.truncate(terms.partition_point(|(index, _)| *index < from));
}

/// Lets the list begin at `first`.
pub(super) fn forget_terms_before(terms: &mut Terms, first: u64) {
    let run = terms.partition_point(|(index, _)| *index <= first);
    if let Some(run) = run.checked_sub(1) {
        terms.drain(..run);
        terms[0].0 = first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every change of a short list, against one term an index.
    #[test]
    fn lists_equal_plain_ones() {
        for code in 0..6_u64.pow(3) {
            for (first, last) in (1..=8).flat_map(|first| (first..=8).map(move |last| (first, last))) {
                let mut plain: Vec<u64> = (0..8).map(|i| code / 6_u64.pow(i / 3) % 6).collect();
                let mut terms = Terms::new();
                plain.iter().enumerate().for_each(|(i, term)| push_term(&mut terms, i as u64 + 1, *term));
                let mut copied = terms.clone();
                set_term(&mut terms, first, last, 3, 8);
                plain[first as usize - 1..last as usize].fill(3);
                let mut expected = Terms::new();
                plain.iter().enumerate().for_each(|(i, term)| push_term(&mut expected, i as u64 + 1, *term));
                assert_eq!(terms, expected, "{first} to {last} of {plain:?}");
                copy_terms(&mut copied, &expected, first, last, 8);
                assert_eq!(copied, expected, "copy of {first} to {last}");
                forget_terms_before(&mut terms, first);
                assert!((first..=8).all(|at| term_at(&terms, at) == Some(plain[at as usize - 1])));
                assert!(terms[0].0 == first);
                truncate_terms(&mut terms, first + 1);
                assert!(terms.len() == 1);
            }
        }
    }
}
