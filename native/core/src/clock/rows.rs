//! Vector clocks over one table of actors as rows of counters, one after another: what crosses a boundary in batches.
//! (Fidge 1988, Mattern 1989.)

/// How one clock stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Relation {
    Equal = 0,
    /// Happened before.
    Before = 1,
    After = 2,
    Concurrent = 3,
}

/// The least upper bounds of rows of `into` and `from`, entry by entry. Entries beyond the shorter one stay.
pub fn merge(into: &mut [u64], from: &[u64]) {
    into.iter_mut().zip(from).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
}

/// How two clocks of equally many actors stand to each other.
pub fn compare(one: &[u64], other: &[u64]) -> Relation {
    // Without a branch for each entry, so that the loop works on several at once.
    let (less, more) = one.iter().zip(other).fold((false, false), |(less, more), (a, b)| (less | (a < b), more | (a > b)));
    match (less, more) {
        (false, false) => Relation::Equal,
        (true, false) => Relation::Before,
        (false, true) => Relation::After,
        (true, true) => Relation::Concurrent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merge_is_the_least_upper_bound(pairs in prop::collection::vec((0..4u64, 0..4u64), 0..20)) {
            let (one, other): (Vec<u64>, Vec<u64>) = pairs.iter().copied().unzip();
            let mut joined = one.clone();
            merge(&mut joined, &other);
            let expected: Vec<u64> = pairs.iter().map(|(a, b)| *a.max(b)).collect();
            prop_assert_eq!(&joined, &expected);
            let relation = match (one == other, joined == other, joined == one) {
                (true, ..) => Relation::Equal,
                (_, true, _) => Relation::Before,
                (_, _, true) => Relation::After,
                _ => Relation::Concurrent,
            };
            prop_assert_eq!(compare(&one, &other), relation);
        }
    }
}
