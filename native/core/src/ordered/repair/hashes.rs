//! What comes from others into the journal of what is applied is compared with the running hash of the state (rule L5):
//! the hash is known here and there since the journal's beginning, and follows from one such place to the next from the
//! entries between and the decisions about their events, which snapshots bring along.

use crate::ids::{GroupId, Index};
use crate::log::LogEntry;
use crate::machine::Machine;
use crate::ordered::store::{EntryReader, Store};

/// Bytes of the log read at once.
const READ_BYTES: u64 = 1024 * 1024;

/// How many of the entries, contiguous and of what is applied, are the ones that were applied: all up to the last place
/// where that is seen, all of them where none is near enough to tell; `None`: they are others.
pub fn right_ones<R: EntryReader>(machine: &Machine, store: &Store<R>, group: GroupId, entries: &[LogEntry]) -> Option<usize> {
    let (first, last) = (entries.first()?.index, entries.last()?.index);
    let mut places: Vec<(Index, u64)> = machine.hashes().collect();
    places.dedup();
    let (before, after) = places.split_at(places.partition_point(|(at, _)| *at < first));
    let (prior, mut after) = (Index(first.0 - 1), after.iter().copied().peekable());
    // By what is on disk in front of them, if it is.
    let mut known = before.last().and_then(|place| Some((prior, folded(machine, store, group, *place, prior)?)));
    let mut seen = 0;
    for (at, entry) in entries.iter().enumerate() {
        known = known.map(|(_, hash)| (entry.index, machine.hash_past(hash, entry)));
        let Some(place) = after.next_if(|(index, _)| *index == entry.index) else { continue };
        if known.is_some_and(|known| known != place) {
            return (seen > 0).then_some(seen);
        }
        (known, seen) = (Some(place), at + 1);
    }
    debug_assert!(after.peek().is_none_or(|(index, _)| *index > last), "places ascend, and entries are contiguous");
    match known.zip(after.next()) {
        // By what is on disk behind them.
        Some((known, (end, right))) if seen < entries.len() => match folded(machine, store, group, known, end) {
            Some(hash) if hash != right => (seen > 0).then_some(seen),
            Some(_) => Some(entries.len()),
            None if seen > 0 => Some(seen),
            None => Some(entries.len()),
        },
        _ => Some(entries.len()),
    }
}

/// The running hash behind an applied entry, where all can be read from the last place where it is known.
pub fn hash_at<R: EntryReader>(machine: &Machine, store: &Store<R>, group: GroupId, index: Index) -> Option<u64> {
    let place = machine.hashes().take_while(|(at, _)| *at <= index).last()?;
    folded(machine, store, group, place, index)
}

/// The running hash behind `through`, from a place where it is known; `None` where not all in between can be read.
fn folded<R: EntryReader>(
    machine: &Machine,
    store: &Store<R>,
    group: GroupId,
    (mut at, mut hash): (Index, u64),
    through: Index,
) -> Option<u64> {
    while at < through {
        let read = store.reader().entries(group, Index(at.0 + 1), Index(through.0 + 1), READ_BYTES).ok()?;
        if read.is_empty() {
            return None;
        }
        hash = read.iter().fold(hash, |hash, entry| machine.hash_past(hash, entry));
        at.0 += read.len() as u64;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Term;
    use crate::log::GroupRecovery;
    use crate::machine::MachineLimits;
    use crate::membership::Membership;
    use crate::ordered::conf::Conf;
    use std::ops::RangeInclusive;

    const GROUP: GroupId = GroupId(0);

    fn entry(index: u64) -> LogEntry {
        let data = vec![index as u8; 3].into();
        LogEntry { index: Index(index), term: Term(1), kind: 2, data, context: Default::default() }
    }

    /// A log of everything but these.
    #[derive(Clone)]
    struct Without(Vec<u64>);

    impl EntryReader for Without {
        fn entries(&self, _: GroupId, low: Index, high: Index, _: u64) -> Result<Vec<LogEntry>, String> {
            let read: Vec<LogEntry> = (low.0..high.0).take_while(|index| !self.0.contains(index)).map(entry).collect();
            if read.is_empty() { Err("lost".to_string()) } else { Ok(read) }
        }
    }

    /// Entries from 2 on are applied; the hash is known behind 1, 4, 8, 12 and the last.
    fn machine(last: u64) -> Machine {
        let limits = MachineLimits { milestone_entries: 4, ..MachineLimits::default() };
        let mut machine = Machine::founded(limits, 0, Membership::default(), Index(1));
        machine.journal_begins(crate::machine::Beginning { first: Index(2), prior_term: Term(0), prior_hash: None });
        for entry in (2..=last).map(entry) {
            machine.apply_change(entry.index, entry.term, &entry.data, &entry.context);
        }
        let mut places: Vec<u64> = machine.hashes().map(|(at, _)| at.0).collect();
        places.dedup();
        assert_eq!(places, [1, 4, 8, 12, 14][..if last > 12 { 5 } else { 4 }]);
        machine
    }

    fn judged(lost: &[u64], given: RangeInclusive<u64>, wrong: &[u64]) -> Option<usize> {
        judged_at(14, lost, given, wrong)
    }

    fn judged_at(applied: u64, lost: &[u64], given: RangeInclusive<u64>, wrong: &[u64]) -> Option<usize> {
        let found = GroupRecovery { first_index: Index(2), ..GroupRecovery::default() };
        let store = Store::new(GROUP, Without(lost.to_vec()), &found, None, &Conf::of_voters(Vec::new()));
        let entries: Vec<LogEntry> = given
            .map(|index| match wrong.contains(&index) {
                true => LogEntry { data: vec![0; 3].into(), ..entry(index) },
                false => entry(index),
            })
            .collect();
        right_ones(&machine(applied), &store, GROUP, &entries)
    }

    #[test]
    fn what_was_applied_is_right() {
        assert_eq!(judged(&[5, 6, 7], 5..=7, &[]), Some(3));
        assert_eq!(judged(&(2..=12).collect::<Vec<_>>(), 2..=12, &[]), Some(11));
        assert_eq!(judged(&[14], 14..=14, &[]), Some(1));
        // The last one is a milestone too.
        assert_eq!(judged_at(12, &[10, 11, 12], 10..=12, &[]), Some(3));
        assert_eq!(judged_at(12, &[10, 11, 12], 10..=12, &[11]), None);
    }

    #[test]
    fn what_was_not_is_refused_from_its_stretch_on() {
        assert_eq!(judged(&[5, 6, 7], 5..=7, &[6]), None);
        assert_eq!(judged(&(2..=12).collect::<Vec<_>>(), 2..=12, &[7]), Some(3));
        assert_eq!(judged(&[14], 14..=14, &[14]), None);
    }

    #[test]
    fn what_cannot_be_told_yet_waits_for_the_next_place() {
        // The rest of its stretch is lost too: taken, and judged when that comes.
        assert_eq!(judged(&[5, 6, 7], 5..=6, &[6]), Some(2));
        // Up to the last place that tells.
        assert_eq!(judged(&(2..=8).collect::<Vec<_>>(), 2..=7, &[7]), Some(3));
    }
}
