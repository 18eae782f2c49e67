//! A set of counters, as ranges.

/// Invariant: inclusive ranges, ascending, with at least one counter between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    list: Vec<(u64, u64)>,
}

impl Ranges {
    pub const EMPTY: Self = Self { list: Vec::new() };

    /// `first..=last`.
    pub fn of(first: u64, last: u64) -> Self {
        let mut ranges = Self::default();
        ranges.insert(first, last);
        ranges
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The highest counter, 0 for none.
    pub fn max(&self) -> u64 {
        self.list.last().map_or(0, |(_, last)| *last)
    }

    /// Up to where no counter from 1 on is missing; 0 when 1 is.
    pub fn contiguous(&self) -> u64 {
        self.list.first().filter(|(first, _)| *first == 1).map_or(0, |(_, last)| *last)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.list.iter().copied()
    }

    pub fn contains(&self, counter: u64) -> bool {
        let at = self.list.partition_point(|(_, last)| *last < counter);
        self.list.get(at).is_some_and(|(first, _)| *first <= counter)
    }

    /// Whether every counter of `other` is here.
    pub fn covers(&self, other: &Ranges) -> bool {
        other.iter().all(|(first, last)| {
            let at = self.list.partition_point(|(_, end)| *end < first);
            self.list.get(at).is_some_and(|(start, end)| *start <= first && last <= *end)
        })
    }

    /// Adds `first..=last`; nothing when `first > last`.
    pub fn insert(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        // Most counters are the next one.
        match self.list.last_mut() {
            Some((start, end)) if *start <= first && first <= end.saturating_add(1) => {
                *end = last.max(*end);
                return;
            }
            Some((_, end)) if *end >= first => {}
            _ => {
                self.list.push((first, last));
                return;
            }
        }
        let from = self.list.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.list.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let joined = match self.list[from..to] {
            [] => (first, last),
            [(start, _), .., (_, end)] | [(start, end)] => (start.min(first), end.max(last)),
        };
        self.list.splice(from..to, [joined]);
    }

    /// Adds a range that begins after every counter here, and is not next to the last: what a decoder has checked.
    pub(crate) fn push(&mut self, first: u64, last: u64) -> bool {
        let fits = first <= last && first > 0 && (self.list.is_empty() || first > self.max().saturating_add(1));
        if fits {
            self.list.push((first, last));
        }
        fits
    }

    pub fn union(&mut self, other: &Ranges) {
        if self.covers(other) {
            return;
        }
        let (mut mine, mut theirs) = (self.list.iter().peekable(), other.list.iter().peekable());
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.list.len() + other.list.len());
        while let Some(next) = match (mine.peek(), theirs.peek()) {
            (Some(a), Some(b)) if a.0 <= b.0 => mine.next(),
            (_, Some(_)) => theirs.next(),
            _ => mine.next(),
        } {
            match joined.last_mut() {
                Some((_, end)) if next.0 <= end.saturating_add(1) => *end = next.1.max(*end),
                _ => joined.push(*next),
            }
        }
        self.list = joined;
    }

    /// The counters here that are not in `other`.
    pub fn without(&self, other: &Ranges) -> Ranges {
        let mut rest = Vec::new();
        let mut cuts = other.list.iter().peekable();
        for (first, last) in self.iter() {
            let mut from = Some(first);
            while let Some((start, end)) = cuts.peek().copied() {
                if *start > last {
                    break;
                }
                if let Some(at) = from.filter(|at| at < start) {
                    rest.push((at, start - 1));
                }
                from = from.and_then(|at| end.checked_add(1).map(|after| at.max(after))).filter(|at| *at <= last);
                if *end > last {
                    break;
                }
                cuts.next();
            }
            rest.extend(from.map(|from| (from, last)));
        }
        Ranges { list: rest }
    }

    /// The counters that are in both.
    pub fn within(&self, other: &Ranges) -> Ranges {
        self.without(&self.without(other))
    }

    /// How many counters there are.
    pub fn count(&self) -> u64 {
        self.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Rough size, in bytes.
    pub fn memory_bytes(&self) -> usize {
        std::mem::size_of::<Self>() + self.list.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn of(ranges: &[(u64, u64)]) -> (Ranges, BTreeSet<u64>) {
        let (mut made, mut model) = (Ranges::default(), BTreeSet::new());
        for (first, last) in ranges {
            made.insert(*first, *last);
            model.extend(*first..=*last);
        }
        (made, model)
    }

    fn check(ranges: &Ranges, model: &BTreeSet<u64>) {
        let counters: Vec<u64> = ranges.iter().flat_map(|(first, last)| first..=last).collect();
        assert_eq!(counters, model.iter().copied().collect::<Vec<_>>());
        assert!(ranges.list.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{ranges:?}");
        assert_eq!(ranges.count(), model.len() as u64);
    }

    fn some() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((1..60u64, 0..8u64).prop_map(|(first, more)| (first, first + more)), 0..12)
    }

    proptest! {
        #[test]
        fn is_a_set((a, b) in (some(), some())) {
            let ((mut a, mut model), (b, other)) = (of(&a), of(&b));
            check(&a, &model);
            prop_assert_eq!(a.covers(&b), model.is_superset(&other));
            check(&a.without(&b), &model.difference(&other).copied().collect());
            check(&a.within(&b), &model.intersection(&other).copied().collect());
            for counter in 0..80 {
                prop_assert_eq!(a.contains(counter), model.contains(&counter));
            }
            a.union(&b);
            model.extend(other);
            check(&a, &model);
            let gap = (1..).find(|counter| !model.contains(counter)).unwrap_or(1);
            prop_assert_eq!(a.contiguous(), gap - 1);
        }
    }

    #[test]
    fn holds_the_last_counter() {
        let (mut ranges, whole) = (Ranges::default(), Ranges { list: vec![(1, u64::MAX)] });
        ranges.insert(u64::MAX, u64::MAX);
        ranges.insert(5, u64::MAX - 1);
        assert_eq!(ranges.list, [(5, u64::MAX)]);
        assert!(ranges.without(&whole).is_empty());
        assert_eq!(whole.without(&ranges).list, [(1, 4)]);
    }
}
