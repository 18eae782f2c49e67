//! What a member's log must hold, kept beside it: recovery is judged by it, and so are acknowledgements.

use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::head::Head;
use vexfs_core::causal::is_origin;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{GroupRecovery, HardState, LogEntry, LostRange, Op, Recovery, SnapshotMark};
use vexfs_core::member::open::founding_ops;
use vexfs_core::stub;

/// How far a group's log reaches: the term it has promised to, then as raft compares logs.
pub type Reach = (Term, Term, Index);

/// The log of a member: batches hold operations of all its groups, and are there or not as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    groups: Vec<GroupShadow>,
    /// The origins of the causal lane, by the numbers that this member has given them.
    origins: BTreeMap<GroupId, OriginShadow>,
    /// Those that the last batch has emptied.
    emptied: BTreeMap<GroupId, OriginShadow>,
    /// Those that any batch has: where that is lost, they are there again.
    emptied_ever: BTreeMap<GroupId, OriginShadow>,
}

impl Shadow {
    pub fn new(groups: u32) -> Self {
        Self { groups: (0..groups).map(|_| GroupShadow::default()).collect(), origins: BTreeMap::new(), emptied: BTreeMap::new(), emptied_ever: BTreeMap::new() }
    }

    pub fn of(&self, group: GroupId) -> &GroupShadow {
        &self.groups[group.0 as usize]
    }

    pub fn of_mut(&mut self, group: GroupId) -> &mut GroupShadow {
        &mut self.groups[group.0 as usize]
    }

    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &GroupShadow)> {
        (0..).map(GroupId).zip(&self.groups)
    }

    /// Takes a batch.
    pub fn apply(&mut self, ops: &[Op]) {
        (0..).map(GroupId).zip(&mut self.groups).for_each(|(group, shadow)| shadow.apply(group, ops));
        self.origins.values_mut().for_each(|origin| (origin.kept, origin.first_kept) = (origin.prints.len(), origin.first()));
        self.emptied.clear();
        for op in ops.iter().filter(|op| is_origin(op.group())) {
            match op {
                Op::Entries { group, entries } | Op::Repair { group, entries } => self.origins.entry(*group).or_default().take(entries),
                Op::Truncate { group, from } if from.0 > 1 => {
                    let Some(origin) = self.origins.get_mut(group) else { continue };
                    self.emptied.insert(*group, origin.clone());
                    origin.prints.truncate(from.0 as usize - 1);
                    origin.unnamed = true;
                }
                Op::Truncate { group, .. } => self.emptied.extend(self.origins.remove_entry(group)),
                Op::Mark { group, mark } => self.origins.entry(*group).or_default().begin(mark.first.0),
                _ => {}
            }
        }
        self.emptied_ever.extend(self.emptied.clone());
    }

    /// Those of which something can be read: only its entries say whose a log is.
    pub fn origins(&self) -> impl Iterator<Item = (GroupId, &OriginShadow)> {
        self.origins.iter().filter(|(_, origin)| !origin.unnamed).map(|(group, origin)| (*group, origin))
    }

    pub fn origin_mut(&mut self, group: GroupId) -> Option<&mut OriginShadow> {
        self.origins.get_mut(&group)
    }

    /// The log of an actor's entries.
    pub fn origin_of(&self, actor: Actor) -> Option<(GroupId, &OriginShadow)> {
        self.origins().find(|(_, origin)| origin.actor == actor)
    }

    /// Origins whose logs are not what recovery found: how many entries there are, and how many were found.
    pub fn other_origin(&self, recovery: &Recovery, holed: bool) -> Option<(GroupId, u64, u64)> {
        let known = self.origins.keys().chain(recovery.groups.keys().filter(|group| is_origin(**group)));
        known.copied().find_map(|group| {
            let (found, here) = (found_of(recovery, group), self.origins.get(&group).map_or(0, OriginShadow::last));
            let lost = recovery.damaged.iter().any(|range| range.group == group);
            let fits = found.last_index.0 == here && (holed || !lost) || holed && recovery.unsettled && found.last_index.0 <= here;
            let again = self.emptied_ever.get(&group).is_some_and(|origin| found.last_index.0 <= origin.last());
            let fits = fits || holed && here == 0 && again;
            let first = self.origins.get(&group).map_or(1, OriginShadow::first);
            let begins = found.first_index.0 == first || (holed || again) && found.first_index.0 <= first;
            (!fits || !begins).then_some((group, here, found.last_index.0))
        })
    }

    /// Whether the disk lacks entries of the causal lane, be they all that an origin had: then nothing says whose they were.
    pub fn lacks_of_origins(&self) -> bool {
        self.origins.values().any(|origin| !origin.holes.is_empty())
    }

    /// Takes over what recovery made of damage to origins' logs.
    pub fn found_origins(&mut self, recovery: &Recovery) {
        for (group, origin) in self.emptied_ever.iter().filter(|(group, _)| recovery.groups.contains_key(group)) {
            self.origins.entry(*group).or_insert_with(|| origin.clone());
        }
        for (group, origin) in &mut self.origins {
            let found = found_of(recovery, *group);
            origin.prints.truncate(found.last_index.0 as usize);
            origin.first = found.first_index.0;
            (origin.kept, origin.first_kept) = (origin.kept.min(origin.prints.len()), origin.first_kept.min(origin.first()));
        }
        self.origins.retain(|_, origin| !origin.prints.is_empty());
    }

    /// The state before the last batch.
    pub fn undone(&self) -> Option<Shadow> {
        let groups: Option<Vec<GroupShadow>> = self.groups.iter().map(GroupShadow::undone).collect();
        let mut origins = self.origins.clone();
        origins.values_mut().for_each(|origin| {
            origin.prints.truncate(origin.kept);
            origin.first = origin.first_kept;
        });
        origins.retain(|_, origin| !origin.prints.is_empty());
        origins.extend(self.emptied.clone());
        groups.map(|groups| Shadow { groups, origins, emptied: BTreeMap::new(), emptied_ever: self.emptied_ever.clone() })
    }

    /// Takes note of groups that were founded, in this open or in one before that ended with its process.
    pub fn founded(&mut self, recovery: &Recovery) {
        let new = |(group, shadow): &(GroupId, &GroupShadow)| {
            **shadow == GroupShadow::default() && found_of(recovery, *group).snapshot.is_some()
        };
        let ops: Vec<Op> = self.groups().filter(new).flat_map(|(group, _)| founding_ops(group)).collect();
        if !ops.is_empty() {
            self.apply(&ops);
        }
    }

    /// Takes note of logs that were emptied in this open.
    pub fn begin_again(&mut self, groups: &BTreeMap<GroupId, GroupRecovery>) {
        for (group, found) in groups {
            let past = std::mem::take(&mut self.of_mut(*group).past);
            *self.of_mut(*group) = GroupShadow { hard: found.hard_state, past, ..GroupShadow::default() };
        }
    }

    pub fn has_holes(&self) -> bool {
        self.groups.iter().any(|group| !group.holes.is_empty())
    }

    pub fn reach(&self) -> Vec<Reach> {
        self.groups.iter().map(GroupShadow::reach).collect()
    }
}

/// An origin's log as a member has it. What was cut from its front is remembered; what never was here is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginShadow {
    pub actor: Actor,
    /// Of each entry, from counter 1.
    prints: Vec<u64>,
    /// Entries that the disk has lost: whether anybody has noticed or not.
    pub holes: BTreeSet<u64>,
    /// Nothing of it could be read at the last start.
    pub unnamed: bool,
    /// First entry that it still has; 0 stands for the first of all.
    first: u64,
    /// Entries before the last batch, and the first of them.
    kept: usize,
    first_kept: u64,
}

impl OriginShadow {
    fn take(&mut self, entries: &[LogEntry]) {
        for entry in entries {
            if let Ok(head) = Head::decode(&entry.context) {
                self.actor = head.actor;
            }
            match self.prints.get_mut(entry.index.0 as usize - 1) {
                Some(print) => *print = fingerprint(entry),
                None => self.prints.push(fingerprint(entry)),
            }
            self.holes.remove(&entry.index.0);
        }
    }

    fn begin(&mut self, first: u64) {
        self.first = first;
        if self.last() < first - 1 {
            self.prints.resize(first as usize - 1, 0);
        }
        self.holes.retain(|counter| *counter >= first);
    }

    pub fn first(&self) -> u64 {
        self.first.max(1)
    }

    pub fn last(&self) -> u64 {
        self.prints.len() as u64
    }

    /// The entry that is there, unless damage has taken it.
    pub fn print(&self, counter: u64) -> Option<u64> {
        let print = self.prints.get(counter.checked_sub(1)? as usize);
        print.copied().filter(|_| counter >= self.first() && !self.holes.contains(&counter))
    }

    /// The entry that is there, or was until the log was cut.
    pub fn had_print(&self, counter: u64) -> Option<u64> {
        self.written_print(counter).filter(|_| !self.holes.contains(&counter))
    }

    /// The entry that was written there, whatever became of it.
    pub fn written_print(&self, counter: u64) -> Option<u64> {
        self.prints.get(counter.checked_sub(1)? as usize).copied().filter(|print| *print != 0)
    }

    /// As it was written, whatever became of it.
    pub fn written(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (1..).zip(self.prints.iter().copied()).filter(|(_, print)| *print != 0)
    }
}

/// The farther of two reaches, group by group, term and log each for itself.
pub fn farther(one: Option<&[Reach]>, other: Vec<Reach>) -> Vec<Reach> {
    let before = one.unwrap_or_default().iter().copied().chain(std::iter::repeat(Reach::default()));
    let farther = |((term, last_term, last), old): (Reach, Reach)| {
        let (last_term, last) = (last_term, last).max((old.1, old.2));
        (term.max(old.0), last_term, last)
    };
    other.into_iter().zip(before).map(farther).collect()
}

/// What recovery found of a group; one that it does not know has an empty log.
pub fn found_of(recovery: &Recovery, group: GroupId) -> GroupRecovery {
    let empty = || GroupRecovery { first_index: Index(1), ..GroupRecovery::default() };
    recovery.groups.get(&group).cloned().unwrap_or_else(empty)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupShadow {
    /// Term and fingerprint of each entry, from index 1.
    entries: Vec<(Term, u64)>,
    pub hard: HardState,
    /// The newest snapshot mark: what is below its `first` is not in the log any more.
    pub mark: SnapshotMark,
    /// Entries that the disk has lost: whether anybody has noticed or not.
    pub holes: BTreeSet<Index>,
    /// Entries that were never here: a snapshot has come in their place.
    pub gaps: BTreeSet<Index>,
    /// Entries that were cut off: where the batch that did it is lost, they are there again.
    past: Vec<(Index, Term, u64)>,
    undo: Option<Box<Undo>>,
}

/// State before the last batch: `kept` entries stayed, `cut` followed them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Undo {
    kept: usize,
    cut: Vec<(Term, u64)>,
    hard: HardState,
    mark: SnapshotMark,
    gaps: BTreeSet<Index>,
}

impl GroupShadow {
    /// Takes the operations of its group.
    fn apply(&mut self, group: GroupId, ops: &[Op]) {
        let lowest = ops.iter().filter_map(|op| match op {
            Op::Truncate { group: of, from } if *of == group => Some(from.0 as usize - 1),
            _ => None,
        });
        let kept = lowest.min().unwrap_or(self.entries.len()).min(self.entries.len());
        self.past.extend((kept as u64 + 1..).zip(&self.entries[kept..]).map(|(index, (term, sum))| (Index(index), *term, *sum)));
        let (cut, gaps) = (self.entries[kept..].to_vec(), self.gaps.clone());
        self.undo = Some(Box::new(Undo { kept, cut, hard: self.hard, mark: self.mark, gaps }));
        for op in ops {
            match op {
                Op::Truncate { group: of, from } if *of == group => self.entries.truncate(from.0 as usize - 1),
                Op::Entries { group: of, entries } if *of == group => {
                    self.entries.extend(entries.iter().map(|entry| (entry.term, fingerprint(entry))));
                }
                Op::Repair { group: of, entries } if *of == group => {
                    for entry in entries {
                        self.entries[entry.index.0 as usize - 1] = (entry.term, fingerprint(entry));
                        self.holes.remove(&entry.index);
                        self.gaps.remove(&entry.index);
                    }
                }
                Op::HardState { group: of, state } if *of == group => self.hard = *state,
                Op::Mark { group: of, mark } if *of == group => {
                    self.mark = *mark;
                    let prior = mark.first.0 as usize - 1;
                    if self.entries.len() < prior {
                        self.entries.resize(prior, (mark.prior_term, 0));
                    }
                    if let Some(at) = prior.checked_sub(1) {
                        // What was there may have been unknown, or something else that was overtaken.
                        self.entries[at].0 = mark.prior_term;
                    }
                    let gap = self.entries.len() as u64 + 1..=mark.index.0;
                    self.gaps.extend(gap.clone().map(Index));
                    self.entries.extend(gap.map(|_| (mark.term, 0)));
                }
                _ => {}
            }
        }
        let (first, last) = (self.first(), self.last());
        self.holes.retain(|index| (first..=last).contains(index));
        self.gaps.retain(|index| (first..=last).contains(index));
    }

    fn undone(&self) -> Option<Self> {
        let undo = self.undo.as_ref()?;
        let mut entries = self.entries[..undo.kept.min(self.entries.len())].to_vec();
        entries.extend_from_slice(&undo.cut);
        Some(Self {
            entries,
            hard: undo.hard,
            mark: undo.mark,
            holes: self.holes.clone(),
            gaps: undo.gaps.clone(),
            past: self.past.clone(),
            undo: None,
        })
    }

    /// First entry of the log.
    pub fn first(&self) -> Index {
        self.mark.first.max(Index(1))
    }

    /// Whether an entry is in the log, or in the snapshot that took its place.
    pub fn holds(&self, index: Index, term: Term) -> bool {
        index < self.first() || self.gaps.contains(&index) || self.term_of(index) == Some(term)
    }

    pub fn term_of(&self, index: Index) -> Option<Term> {
        self.entries.get(index.0.checked_sub(1)? as usize).map(|(term, _)| *term)
    }

    pub fn fingerprint_of(&self, index: Index) -> Option<u64> {
        self.entries.get(index.0.checked_sub(1)? as usize).map(|(_, fingerprint)| *fingerprint)
    }

    pub fn last(&self) -> Index {
        Index(self.entries.len() as u64)
    }

    pub fn reach(&self) -> Reach {
        (self.hard.term, self.term_of(self.last()).unwrap_or_default(), self.last())
    }

    /// Whether recovery found this. A commit mark beyond the log is clamped to it; of entries in a gap nothing is known.
    pub fn is(&self, found: &GroupRecovery) -> bool {
        let hard = HardState { commit: self.hard.commit.min(self.last()), ..self.hard };
        let snapshot = (self.mark.index > Index(0)).then_some((self.mark.index, self.mark.term));
        let from = self.first().0.saturating_sub(1).max(1);
        let same = |index: Index| self.gaps.contains(&index) || term_of(found, index) == self.term_of(index);
        (found.last_index, &found.hard_state) == (self.last(), &hard)
            && (found.first_index, found.snapshot) == (self.first(), snapshot)
            && (from..=self.last().0).map(Index).all(same)
    }

    /// Whether recovery of a damaged disk found this but for what it says is lost. Of what is in doubt, less or an older
    /// state may have been found, where recovery says that it does not know.
    pub fn fits(&self, found: &GroupRecovery, lost: &[LostRange], unsettled: bool) -> bool {
        let is_lost = |index: Index| lost.iter().any(|range| (range.first..=range.last).contains(&index));
        let same = |index: u64| {
            let (at, term) = (Index(index), term_of(found, Index(index)));
            let older = unsettled && at > found.hard_state.commit && term.is_some_and(|term| self.past(at, term).is_some());
            is_lost(at) || self.gaps.contains(&at) || term == self.term_of(at) || older
        };
        let hard = HardState { commit: self.hard.commit.min(self.last()), ..self.hard };
        let promised = match unsettled {
            true => found.hard_state.term <= hard.term && found.hard_state.commit <= hard.commit,
            false => found.hard_state == hard,
        };
        let mark = found.snapshot.unwrap_or_default().0 <= self.mark.index && found.first_index <= self.first();
        // Entries that nothing follows leave no trace but that.
        let last = found.last_index == self.last() || unsettled;
        last && promised && mark && (found.first_index.0..=found.last_index.0).all(same)
    }

    /// Takes over what recovery made of damage.
    pub fn found(&mut self, found: &GroupRecovery) {
        self.hard = found.hard_state;
        let (index, term) = found.snapshot.unwrap_or_default();
        self.mark = SnapshotMark { index, term, first: found.first_index, prior_term: found.prior_term };
        self.entries.resize(found.last_index.0 as usize, (Term(0), 0));
        for index in (found.hard_state.commit.0 + 1..=found.last_index.0).map(Index) {
            let older = term_of(found, index).filter(|term| self.term_of(index) != Some(*term));
            if let Some((term, sum)) = older.and_then(|term| Some((term, self.past(index, term)?))) {
                self.entries[index.0 as usize - 1] = (term, sum);
            }
        }
        self.undo = None;
    }

    /// Fingerprint of an entry that was cut off.
    fn past(&self, index: Index, term: Term) -> Option<u64> {
        self.past.iter().find(|(at, of, _)| (*at, *of) == (index, term)).map(|(_, _, sum)| *sum)
    }

    pub fn describe(&self) -> String {
        let (term, last_term, last) = self.reach();
        format!("{last} entries, the last of term {last_term}, promised term {term}, vote {}", self.hard.vote)
    }
}

fn term_of(found: &GroupRecovery, index: Index) -> Option<Term> {
    let run = found.terms.partition_point(|(first, _)| *first <= index);
    run.checked_sub(1).map(|run| found.terms[run].1)
}

/// Of an entry that not all hold, the stub is as good as the whole.
pub fn fingerprint(entry: &LogEntry) -> u64 {
    let stub = if Head::has_holders(&entry.context) { stub::of(&entry.data) } else { None };
    let data = stub.as_ref().unwrap_or(&entry.data);
    let mut sum = data.len() as u64 ^ u64::from(entry.kind) << 56;
    for chunk in data.chunks(8).chain(entry.context.chunks(8)) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use vexfs_core::causal::FIRST_ORIGIN;

    #[test]
    fn an_origin_that_was_lost_whole_is_lacked_until_its_log_is_emptied() {
        let (group, mut shadow) = (FIRST_ORIGIN, Shadow::new(1));
        let entry = |index| LogEntry { index: Index(index), term: Term(0), kind: 0, data: Bytes::new(), context: Bytes::new() };
        shadow.apply(&[Op::Entries { group, entries: vec![entry(1), entry(2)] }]);
        assert!(!shadow.lacks_of_origins());
        let origin = shadow.origin_mut(group).expect("it was written");
        (origin.holes, origin.unnamed) = (BTreeSet::from([1, 2]), true);
        assert!(shadow.lacks_of_origins());
        shadow.apply(&[Op::Truncate { group, from: Index(1) }]);
        assert!(!shadow.lacks_of_origins());
    }
}
