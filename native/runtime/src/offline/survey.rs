//! All groups of a stopped member's log in one pass: what is to be compared with other members' logs, a few bytes for
//! each entry and event, so that nothing but differences need be looked at one by one.

use super::replay::{GroupSummary, Replay, Row};
use super::{ahead, ScanError};
use crate::disk::{FileDisk, Mode};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use vexfs_core::causal::is_origin;
use vexfs_core::ids::{EventId, GroupId, Index, Term};
use vexfs_core::log::ScanSummary;
use vexfs_core::member::FIRST_GROUP;

/// Threads that look for repeated ids at most.
const SORTERS_MAX: usize = 4;

/// Committed entries without a gap.
pub struct Run {
    pub first: Index,
    /// Digest and apply hash of each; 0 for an apply hash that is not known.
    pub rows: Vec<[u64; 2]>,
    /// Events of the group accepted before each.
    before: Vec<u64>,
}

/// An event that was asked for, where it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Position among the ids that were asked for.
    pub wanted: u32,
    pub offset: u32,
    pub index: Index,
    pub term: Term,
}

#[derive(Default)]
pub struct GroupSurvey {
    pub summary: GroupSummary,
    pub runs: Vec<Run>,
    /// Also above the commit mark.
    pub sightings: Vec<Sighting>,
    /// A hash of each accepted event's id, up to the commit mark.
    ids: Vec<u64>,
}

pub struct Survey {
    pub log: ScanSummary,
    /// Every ordered group the log has records of, and the first.
    pub groups: BTreeMap<GroupId, GroupSurvey>,
}

/// Passes over the whole log in `dir`. Damage ends the pass and is in its summary.
pub fn survey(dir: &Path, window_events: usize, wanted: &[EventId]) -> Result<Survey, ScanError> {
    let disk = Arc::new(FileDisk::open(dir, Mode::ReadOnly)?);
    let wanted: HashMap<EventId, u32> = (0u32..).zip(wanted).map(|(at, id)| (*id, at)).collect();
    let begin = |group| (Replay::new(disk.clone(), group, window_events), GroupSurvey::default());
    let mut groups = BTreeMap::from([(FIRST_GROUP, begin(FIRST_GROUP))]);
    let log = ahead::scan(&*disk, &mut |record| {
        let group = record.group();
        if is_origin(group) {
            return Ok(());
        }
        let (replay, survey) = groups.entry(group).or_insert_with(|| begin(group));
        replay.take(record, &mut |row| survey.add(&row, &wanted))
    })?;
    let finish = |(group, (replay, mut survey)): (GroupId, (Replay, GroupSurvey))| {
        survey.summary = replay.finish(&mut |row| survey.add(&row, &wanted))?;
        Ok((group, survey))
    };
    let groups = groups.into_iter().map(finish).collect::<Result<_, ScanError>>()?;
    Ok(Survey { log, groups })
}

impl GroupSurvey {
    fn add(&mut self, row: &Row<'_>, wanted: &HashMap<EventId, u32>) {
        if !wanted.is_empty() {
            for (offset, event) in &row.accepted {
                let Some(at) = wanted.get(&event.id()) else { continue };
                let (index, term) = (row.entry.index, row.entry.term);
                self.sightings.push(Sighting { wanted: *at, offset: *offset, index, term });
            }
        }
        if !row.committed {
            return;
        }
        let next = self.runs.last().map(Run::next);
        if next != Some(row.entry.index) {
            self.runs.push(Run { first: row.entry.index, rows: Vec::new(), before: Vec::new() });
        }
        if let Some(run) = self.runs.last_mut() {
            run.rows.push([row.digest, row.apply_hash]);
            run.before.push(self.ids.len() as u64);
        }
        self.ids.extend(row.accepted.iter().map(|(_, event)| hash(event.id())));
    }

    /// Events accepted before the first committed entry at `index` or later.
    fn before(&self, index: Index) -> u64 {
        let run = self.runs.iter().find(|run| run.next() > index);
        let place = run.and_then(|run| run.before.get(index.0.saturating_sub(run.first.0) as usize));
        place.copied().unwrap_or(self.ids.len() as u64)
    }

    /// Committed events in the entries from `from` up to, not including, `to`.
    pub fn events(&self, from: Index, to: Index) -> u64 {
        self.before(to).saturating_sub(self.before(from))
    }

    fn ids(&self, from: Index, to: Index) -> &[u64] {
        let (from, to) = (self.before(from) as usize, self.before(to) as usize);
        self.ids.get(from..to).unwrap_or_default()
    }
}

impl Run {
    fn next(&self) -> Index {
        Index(self.first.0 + self.rows.len() as u64)
    }
}

/// Equal for equal ids, and hardly ever for others.
fn hash(id: EventId) -> u64 {
    (id.0 as u64) ^ ((id.0 >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Entries of one survey from one index up to, not including, another.
pub struct Part {
    pub survey: Arc<Survey>,
    pub group: GroupId,
    pub from: Index,
    pub to: Index,
}

/// Whether an id may be among the parts' events twice: false is certain.
pub fn repeated(parts: &[Part]) -> bool {
    let lists: Vec<&[u64]> = parts
        .iter()
        .filter_map(|part| Some(part.survey.groups.get(&part.group)?.ids(part.from, part.to)))
        .collect();
    let sorters = std::thread::available_parallelism().map_or(1, usize::from).min(SORTERS_MAX) as u64;
    let share = |sorter: u64| {
        let of_share = |hash: &&u64| (*hash >> 32) % sorters == sorter;
        let mut own: Vec<u64> = lists.iter().flat_map(|list| list.iter().filter(of_share)).copied().collect();
        own.sort_unstable();
        own.windows(2).any(|pair| pair[0] == pair[1])
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..sorters).map(|sorter| scope.spawn(move || share(sorter))).collect();
        // Every thread is waited for. One that could not say is a reason to look closer.
        let own = share(0);
        others.into_iter().fold(own, |found, other| other.join().unwrap_or(true) || found)
    })
}
