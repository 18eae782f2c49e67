//! One group's entries of a stopped member's log, put through the same state machine again.
//!
//! An entry is replayed once a commit mark covers it, since only then can nothing cut it off any more; the tail above
//! the last mark follows at the end. So memory holds the uncommitted tail, not the log.
//!
//! What was moved out of segments that are gone lies behind what follows it: it is looked up where it has its place.
//!
//! Where the journal does not begin with its group's founding, the state comes from a snapshot: entries up to it are
//! judged by what the snapshot says of them, and have no apply hash of their own.

use super::prepared::{events, Prepared, PreparedEntry};
use super::ScanError;
use crate::disk::FileDisk;
use std::collections::VecDeque;
use std::sync::Arc;
use vexfs_core::event::{EventRef, SubmissionKind};
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{Disk, HardState, LogEntry, LogReader, ScannedRecord};
use vexfs_core::machine::{EventOutcome, Machine, MachineLimits, Outcome};
use vexfs_core::membership::Membership;
use vexfs_core::snapshot::keeper::{file_name, snapshots_of};
use vexfs_core::snapshot::{self, SnapshotError};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A group's journal as the files have it.
#[derive(Clone, Debug, Default)]
pub struct GroupSummary {
    pub first: Index,
    pub last: Index,
    pub commit: Index,
    pub term: Term,
    /// Up to the commit mark.
    pub events: u64,
    pub suppressed: u64,
    pub refused: u64,
    pub journal_hash: u64,
    pub apply_hash: u64,
    /// First and last of the entries that a snapshot came in the place of, and that the others have not given yet.
    pub gaps: Vec<(Index, Index)>,
}

/// One replayed entry.
pub struct Row<'a> {
    pub entry: &'a LogEntry,
    /// Whether a commit mark covers it.
    pub committed: bool,
    /// Of the entry and what was decided about its events: equal in journals that agree on it.
    pub digest: u64,
    /// 0 where it is not known.
    pub apply_hash: u64,
    /// Position in the entry and record of each event that counts.
    pub accepted: Vec<(u32, EventRef<'a>)>,
}

pub struct Replay {
    disk: Arc<FileDisk>,
    group: GroupId,
    limits: MachineLimits,
    machine: Machine,
    tail: VecDeque<PreparedEntry>,
    summary: GroupSummary,
    journal_hash: u64,
    counts: [u64; 3],
    /// Highest of the entries that were seen in a new place.
    moved: Index,
    /// Opened when it is needed.
    log: Option<OpenLog>,
}

/// The log as a start would find it.
#[derive(Clone)]
struct OpenLog {
    reader: LogReader<FileDisk>,
    /// Where the group's entries begin.
    first: Index,
    /// The newest snapshot that counts.
    snapshot: Index,
    gaps: Vec<(Index, Index)>,
}

/// Bytes of moved entries read at a time.
const MOVED_BYTES: u64 = 1024 * 1024;

impl Replay {
    pub fn new(disk: Arc<FileDisk>, group: GroupId, window_events: usize) -> Self {
        let limits = MachineLimits { window_events, ..Default::default() };
        Self {
            disk,
            group,
            limits,
            machine: Machine::new(limits, 0),
            tail: VecDeque::new(),
            summary: GroupSummary::default(),
            journal_hash: 0,
            counts: [0; 3],
            moved: Index(0),
            log: None,
        }
    }

    fn open_log(&mut self) -> Result<OpenLog, ScanError> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        let (reader, recovery) = LogReader::open(self.disk.clone())?;
        let found = recovery.groups.get(&self.group);
        let gaps = recovery.damaged.iter().filter(|lost| lost.group == self.group && lost.gap);
        let log = OpenLog {
            first: found.map_or(Index(1), |found| found.first_index),
            snapshot: found.and_then(|found| found.snapshot).unwrap_or_default().0,
            gaps: gaps.map(|lost| (lost.first, lost.last)).collect(),
            reader,
        };
        Ok(self.log.insert(log).clone())
    }

    /// Sees to it that the machine can take the entry at `index`, or has it in it.
    fn reach(&mut self, index: Index) -> Result<(), ScanError> {
        if index.0 <= self.machine.applied().0 + 1 {
            return Ok(());
        }
        if index == Index(2) {
            // The founding decides nothing that the journal shows.
            self.machine = Machine::founded(self.limits, 0, Membership::default(), Index(1));
            return Ok(());
        }
        let list = snapshots_of(&*self.disk, self.group).map_err(SnapshotError::io("list", "the directory"))?;
        // One that no mark names may be of a recovery that was cut off. Where the log is too damaged to say, all are taken.
        let newest = self.open_log().map_or(Index(u64::MAX), |log| log.snapshot);
        // The newest holds the longest list of what does not count.
        for snapshot in list.into_iter().rev().filter(|snapshot| snapshot.0 + 1 >= index.0 && *snapshot <= newest) {
            let name = file_name(self.group, snapshot);
            let Ok(file) = self.disk.open(&name) else { continue };
            if let Ok((_, machine)) = snapshot::file::read(&file, &name, self.limits, 0) {
                self.machine = machine;
                return Ok(());
            }
        }
        Err(ScanError::NoState { index })
    }

    /// Takes the group's next record; `row` sees every entry, also those above the commit mark, in order.
    pub fn take(&mut self, record: Prepared, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        match record {
            Prepared::Entry(_, entry) => self.tail.push_back(entry),
            Prepared::Other(ScannedRecord::Truncate { from, .. }) => self.tail.retain(|one| one.entry.index < from),
            Prepared::Other(ScannedRecord::HardState { state, .. }) => self.committed(state, row)?,
            // Of a quiet group nothing else may be left that says it.
            Prepared::Other(ScannedRecord::Carry { carried, .. }) => {
                if let Some(state) = carried.hard_state {
                    self.committed(state, row)?;
                }
            }
            Prepared::Other(ScannedRecord::Relocate { entry, .. }) => self.moved = self.moved.max(entry.index),
            // A snapshot took the place of what is missing here; what was mended was seen before, or is lost.
            _ => {}
        }
        Ok(())
    }

    /// The log has ended.
    pub fn finish(mut self, row: &mut dyn FnMut(Row<'_>)) -> Result<GroupSummary, ScanError> {
        while !self.tail.is_empty() {
            self.replay_front(row)?;
        }
        if self.moved > self.summary.last {
            self.replay_moved(Index(self.moved.0 + 1), row)?;
        }
        // A mark may reach past a tail that was torn off: what is there is what counts.
        self.summary.commit = self.summary.commit.min(self.summary.last);
        Ok(self.summary)
    }

    fn committed(&mut self, state: HardState, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        self.summary.commit = self.summary.commit.max(state.commit);
        while self.tail.front().is_some_and(|one| one.entry.index <= self.summary.commit) {
            self.replay_front(row)?;
        }
        Ok(())
    }

    fn replay_front(&mut self, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        let Some(front) = self.tail.pop_front() else { return Ok(()) };
        self.replay_moved(front.entry.index, row)?;
        self.replay(front, row)
    }

    /// Replays what comes before `to` and lies elsewhere in the log.
    fn replay_moved(&mut self, to: Index, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        // The first entry of a log is its founding.
        let next = self.summary.last.0.max(1) + 1;
        if next >= to.0 {
            return Ok(());
        }
        let log = self.open_log()?;
        let to = to.min(Index(log.reader.last_index(self.group).0 + 1));
        let mut next = next.max(log.first.0);
        while next < to.0 {
            if let Some(gap) = log.gaps.iter().find(|(first, last)| (first.0..=last.0).contains(&next)) {
                self.summary.gaps.push(*gap);
                next = gap.1 .0 + 1;
                continue;
            }
            for entry in log.reader.entries(self.group, Index(next), to, MOVED_BYTES)? {
                next = entry.index.0 + 1;
                self.replay(PreparedEntry::new(entry), row)?;
            }
        }
        Ok(())
    }

    fn replay(&mut self, prepared: PreparedEntry, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        let PreparedEntry { entry, submissions, fingerprints, digest } = prepared;
        self.reach(entry.index)?;
        let malformed = |source| ScanError::Malformed { index: entry.index, source };
        let submissions = submissions.map_err(malformed)?;
        if entry.index <= self.machine.applied() {
            return self.known(&entry, events(&submissions), digest, row);
        }
        let applied = match entry.kind {
            0 => self
                .machine
                .apply_unpacked(entry.index, entry.term, &entry.data, submissions, &fingerprints)
                .map_err(malformed)?,
            _ => {
                self.machine.apply_change(entry.index, entry.term, &entry.data, &entry.context);
                Vec::new()
            }
        };
        let mut accepted = Vec::with_capacity(fingerprints.len());
        let mut offset = 0;
        for one in applied.iter().filter(|one| one.submission.kind() == SubmissionKind::Events) {
            for (position, event) in one.submission.events().enumerate() {
                let kind = match &one.outcome {
                    Outcome::Mixed(list) => match list.get(position) {
                        Some(EventOutcome::Accepted { .. }) | None => 0,
                        Some(EventOutcome::Duplicate { .. } | EventOutcome::Early | EventOutcome::Forgotten) => 1,
                        Some(_) => 2,
                    },
                    _ => 0,
                };
                self.counts[kind] += 1;
                if kind == 0 {
                    accepted.push((offset, event));
                }
                offset += 1;
            }
        }
        let digest = decided(digest, offset, &accepted);
        self.count(&entry, digest, self.machine.hash(), accepted, row);
        Ok(())
    }

    /// An entry that the snapshot has in it already.
    fn known<'a>(
        &mut self,
        entry: &'a LogEntry,
        events: impl Iterator<Item = EventRef<'a>>,
        digest: u64,
        row: &mut dyn FnMut(Row<'_>),
    ) -> Result<(), ScanError> {
        let passed_over = self.machine.passed_over().of(entry.index);
        let (accepted, suppressed): (Vec<_>, Vec<_>) =
            (0u32..).zip(events).partition(|(offset, _)| passed_over.binary_search(offset).is_err());
        self.counts[0] += accepted.len() as u64;
        self.counts[1] += suppressed.len() as u64;
        let apply_hash = if entry.index == self.machine.applied() { self.machine.hash() } else { 0 };
        let digest = decided(digest, (accepted.len() + suppressed.len()) as u32, &accepted);
        self.count(entry, digest, apply_hash, accepted, row);
        Ok(())
    }

    fn count<'a>(
        &mut self,
        entry: &'a LogEntry,
        digest: u64,
        apply_hash: u64,
        accepted: Vec<(u32, EventRef<'a>)>,
        row: &mut dyn FnMut(Row<'_>),
    ) {
        self.journal_hash = xxh3_64_with_seed(&digest.to_le_bytes(), self.journal_hash);
        if self.summary.first.0 == 0 {
            self.summary.first = entry.index;
        }
        (self.summary.last, self.summary.term) = (entry.index, entry.term);
        let committed = entry.index <= self.summary.commit;
        if committed {
            [self.summary.events, self.summary.suppressed, self.summary.refused] = self.counts;
            self.summary.journal_hash = self.journal_hash;
            self.summary.apply_hash = apply_hash;
        }
        row(Row { entry, committed, digest, apply_hash, accepted });
    }
}

/// The digest of an entry together with what became of its events.
fn decided(digest: u64, events: u32, accepted: &[(u32, EventRef<'_>)]) -> u64 {
    if accepted.len() == events as usize {
        return digest;
    }
    let mut decided = digest.to_le_bytes().to_vec();
    accepted.iter().for_each(|(offset, _)| decided.extend_from_slice(&offset.to_le_bytes()));
    xxh3_64(&decided)
}
