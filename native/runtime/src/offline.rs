//! Reading a stopped member's log: replays its entries through the same state machine, without taking part and
//! without changing a byte.
//!
//! An entry is replayed once a commit mark covers it, since only then can nothing cut it off any more; the tail above
//! the last mark follows at the end. So memory holds the uncommitted tail, not the log.
//!
//! Where the journal does not begin with its group's founding, the state comes from a snapshot: entries up to it are
//! judged by what the snapshot says of them, and have no apply hash of their own.

use crate::disk::{DiskError, FileDisk, Mode};
use parking_lot::Mutex;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use vexfs_core::entry;
use vexfs_core::event::{Malformed, Submission, SubmissionKind};
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{self, Disk, HardState, LogEntry, LogError, ScanSummary, ScannedRecord};
use vexfs_core::machine::{EventOutcome, Machine, MachineLimits, Outcome};
use vexfs_core::membership::Membership;
use vexfs_core::snapshot::keeper::{file_name, snapshots_of};
use vexfs_core::snapshot::{self, SnapshotError};
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Debug, Error)]
pub enum ScanError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("entry {index} cannot be read: {source}")]
    Malformed { index: Index, source: Malformed },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the journal begins again at entry {index}, and no snapshot from there on can be read")]
    NoState { index: Index },
}

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
}

/// One replayed entry. `accepted`: position in the entry and record of each event that counts.
pub struct Row<'a> {
    pub entry: &'a LogEntry,
    pub apply_hash: u64,
    pub accepted: Vec<(u32, vexfs_core::event::EventRef<'a>)>,
}

struct Replay {
    disk: Arc<FileDisk>,
    group: GroupId,
    limits: MachineLimits,
    machine: Machine,
    tail: VecDeque<LogEntry>,
    summary: GroupSummary,
    journal_hash: u64,
    counts: [u64; 3],
}

impl Replay {
    fn new(disk: Arc<FileDisk>, group: GroupId, window_events: usize) -> Self {
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
        }
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
        // The newest holds the longest list of what does not count.
        for snapshot in list.into_iter().rev().filter(|snapshot| snapshot.0 + 1 >= index.0) {
            let name = file_name(self.group, snapshot);
            let Ok(file) = self.disk.open(&name) else { continue };
            if let Ok((_, machine)) = snapshot::file::read(&file, &name, self.limits, 0) {
                self.machine = machine;
                return Ok(());
            }
        }
        Err(ScanError::NoState { index })
    }

    fn take(&mut self, record: ScannedRecord, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        match record {
            ScannedRecord::Truncate { group, from } if group == self.group => {
                self.tail.retain(|entry| entry.index < from);
            }
            ScannedRecord::Entry { group, entry } if group == self.group => self.tail.push_back(entry),
            ScannedRecord::HardState { group, state } if group == self.group => self.committed(state, row)?,
            // A snapshot took the place of what is missing here; what was moved or mended was seen before, or is lost.
            _ => {}
        }
        Ok(())
    }

    fn committed(&mut self, state: HardState, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        self.summary.commit = self.summary.commit.max(state.commit);
        while self.tail.front().is_some_and(|entry| entry.index <= self.summary.commit) {
            self.replay_front(row)?;
        }
        Ok(())
    }

    fn replay_front(&mut self, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        let Some(entry) = self.tail.pop_front() else { return Ok(()) };
        self.reach(entry.index)?;
        if entry.index <= self.machine.applied() {
            return self.known(&entry, row);
        }
        let data = if entry.kind == 0 { entry.data.clone() } else { bytes::Bytes::new() };
        let applied = self
            .machine
            .apply(entry.index, entry.term, &data)
            .map_err(|source| ScanError::Malformed { index: entry.index, source })?;
        let mut accepted = Vec::new();
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
        self.count(&entry, self.machine.hash());
        row(Row { entry: &entry, apply_hash: self.machine.hash(), accepted });
        Ok(())
    }

    /// An entry that the snapshot has in it already.
    fn known(&mut self, entry: &LogEntry, row: &mut dyn FnMut(Row<'_>)) -> Result<(), ScanError> {
        let malformed = |source| ScanError::Malformed { index: entry.index, source };
        let submissions = match entry.kind {
            0 => entry::unpack(&entry.data).map_err(malformed)?,
            _ => Vec::new(),
        };
        let passed_over = self.machine.passed_over().of(entry.index);
        let events = submissions.iter().filter(|one| one.kind() == SubmissionKind::Events).flat_map(Submission::events);
        let (accepted, suppressed): (Vec<_>, Vec<_>) =
            (0u32..).zip(events).partition(|(offset, _)| passed_over.binary_search(offset).is_err());
        self.counts[0] += accepted.len() as u64;
        self.counts[1] += suppressed.len() as u64;
        let apply_hash = if entry.index == self.machine.applied() { self.machine.hash() } else { 0 };
        self.count(entry, apply_hash);
        row(Row { entry, apply_hash, accepted });
        Ok(())
    }

    fn count(&mut self, entry: &LogEntry, apply_hash: u64) {
        self.journal_hash = xxh3_64_with_seed(&entry.data, self.journal_hash ^ entry.term.0.rotate_left(32));
        if self.summary.first.0 == 0 {
            self.summary.first = entry.index;
        }
        (self.summary.last, self.summary.term) = (entry.index, entry.term);
        if entry.index <= self.summary.commit {
            [self.summary.events, self.summary.suppressed, self.summary.refused] = self.counts;
            self.summary.journal_hash = self.journal_hash;
            self.summary.apply_hash = apply_hash;
        }
    }
}

fn group_of(record: &ScannedRecord) -> GroupId {
    match record {
        ScannedRecord::Entry { group, .. }
        | ScannedRecord::Truncate { group, .. }
        | ScannedRecord::HardState { group, .. }
        | ScannedRecord::Repair { group, .. }
        | ScannedRecord::Relocate { group, .. }
        | ScannedRecord::Mark { group, .. }
        | ScannedRecord::Carry { group, .. } => *group,
    }
}

/// A log that was scanned for one group.
pub struct Scanned {
    pub log: ScanSummary,
    pub group: GroupSummary,
    /// Every group the log has records of.
    pub groups: BTreeSet<GroupId>,
}

/// Scans the whole log in `dir`; `row` sees every entry, also those above the commit mark, in order. Damage ends the
/// scan and is in its summary.
pub fn scan(
    dir: &Path,
    group: GroupId,
    window_events: usize,
    mut row: impl FnMut(Row<'_>),
) -> Result<Scanned, ScanError> {
    let disk = Arc::new(FileDisk::open(dir, Mode::ReadOnly)?);
    let mut replay = Replay::new(disk.clone(), group, window_events);
    let mut failed = None;
    let mut groups = BTreeSet::new();
    let log = log::scan(&*disk, &mut |item| {
        groups.insert(group_of(&item.record));
        if failed.is_none() {
            failed = replay.take(item.record, &mut row).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    while !replay.tail.is_empty() {
        replay.replay_front(&mut row)?;
    }
    // A mark may reach past a tail that was torn off: what is there is what counts.
    replay.summary.commit = replay.summary.commit.min(replay.summary.last);
    Ok(Scanned { log, group: replay.summary, groups })
}

/// Entries of a scan as packed pages (docs/formats.md, "Packed scan"), made by a thread of their own and taken one by
/// one; the thread waits when its reader does.
pub struct Pages {
    pages: Mutex<Receiver<Result<Vec<u8>, ScanError>>>,
}

const PAGE_BYTES: usize = 256 * 1024;

impl Pages {
    pub fn start(dir: &Path, group: GroupId, window_events: usize, from: Index) -> std::io::Result<Self> {
        let (send, pages) = sync_channel(2);
        let dir = dir.to_path_buf();
        std::thread::Builder::new().name("vexfs-scan".to_string()).spawn(move || {
            let mut page = Vec::new();
            let result = scan(&dir, group, window_events, |row| {
                if row.entry.index >= from {
                    pack(&mut page, &row);
                    if page.len() >= PAGE_BYTES {
                        flush(&send, &mut page);
                    }
                }
            });
            flush(&send, &mut page);
            if let Err(error) = result {
                let _ = send.send(Err(error));
            }
        })?;
        Ok(Self { pages: Mutex::new(pages) })
    }

    /// The next page; `None` at the end.
    pub fn next(&self) -> Option<Result<Vec<u8>, ScanError>> {
        self.pages.lock().recv().ok()
    }
}

/// A reader that is gone needs no more pages; the scan runs out by itself.
fn flush(send: &SyncSender<Result<Vec<u8>, ScanError>>, page: &mut Vec<u8>) {
    if !page.is_empty() {
        let _ = send.send(Ok(std::mem::take(page)));
    }
}

fn pack(page: &mut Vec<u8>, row: &Row<'_>) {
    let start = page.len();
    page.extend_from_slice(&[0; 4]);
    page.extend_from_slice(&(row.accepted.len() as u32).to_le_bytes());
    page.extend_from_slice(&row.entry.index.0.to_le_bytes());
    page.extend_from_slice(&row.entry.term.0.to_le_bytes());
    page.extend_from_slice(&row.apply_hash.to_le_bytes());
    for (offset, event) in &row.accepted {
        let path = event.path();
        page.extend_from_slice(&offset.to_le_bytes());
        page.extend_from_slice(&event.code().to_le_bytes());
        page.extend_from_slice(&(path.len() as u16).to_le_bytes());
        page.extend_from_slice(&event.payload_bytes().to_le_bytes());
        page.extend_from_slice(&event.id().0.to_be_bytes());
        page.extend_from_slice(path);
    }
    let length = (page.len() - start) as u32;
    page[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
