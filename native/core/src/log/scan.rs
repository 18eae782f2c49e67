//! A whole, read-only pass over a log, for `log verify` and `log dump`.

use super::disk::Disk;
use super::layout::{segment_name, SegmentHeader};
use super::record::{owned_entry, Carried, Manner, RecordRef};
use super::recover::{open_segment, read_superblock, sequences};
use super::segment_scan::{scan_segment, OnLoss};
use super::superblock::Superblock;
use super::types::{HardState, Identity, LogEntry, SnapshotMark};
use super::LogError;
use crate::ids::{GroupId, Index};

/// A record as it lies in the log, also one that a later record takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScannedRecord {
    Entry { group: GroupId, entry: LogEntry },
    Truncate { group: GroupId, from: Index },
    HardState { group: GroupId, state: HardState },
    /// An entry that was damaged or lost, in its new place.
    Repair { group: GroupId, entry: LogEntry },
    /// An entry that was moved, in its new place.
    Relocate { group: GroupId, entry: LogEntry },
    Mark { group: GroupId, mark: SnapshotMark },
    /// The group as it was when the segment began.
    Carry { group: GroupId, carried: Carried },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanItem {
    /// File name.
    pub segment: String,
    /// Byte position in it.
    pub offset: u64,
    pub record: ScannedRecord,
}

#[derive(Debug)]
pub struct ScanSummary {
    pub identity: Identity,
    /// Segments read to their end.
    pub segments: usize,
    /// Bytes of their batches and headers.
    pub bytes: u64,
    /// Bytes of a torn last batch that recovery would cut off.
    pub torn_bytes: u64,
    /// Why the pass ended early, if it did; nothing behind that place was visited.
    pub damage: Option<LogError>,
}

/// The segments of a log that is to be scanned, oldest first.
pub struct ScanPlan {
    pub identity: Identity,
    pub segments: Vec<PlannedSegment>,
    /// Why there are no more segments, if damage ends the list.
    pub damage: Option<LogError>,
}

/// A segment whose place between its neighbours was checked, and what the one after it says of its end.
pub struct PlannedSegment {
    header: SegmentHeader,
    next_batch: Option<u64>,
}

/// What a segment came to.
pub struct SegmentBytes {
    pub bytes: u64,
    pub torn_bytes: u64,
}

/// Looks the segments up and reads their headers. A segment before one that cannot be opened is left out too: its end
/// is known by the next one only.
///
/// Errors: `NoLog`, a file that cannot be opened or read, a newer format.
pub fn plan<D: Disk>(disk: &D) -> Result<ScanPlan, LogError> {
    let (superblock, names) = read_superblock(disk)?;
    let mut plan = ScanPlan { identity: superblock.identity.clone(), segments: Vec::new(), damage: None };
    match headers(disk, &superblock, &names, &mut plan.segments) {
        Err(error) if error.is_damage() => plan.damage = Some(error),
        looked => looked?,
    }
    Ok(plan)
}

fn headers<D: Disk>(
    disk: &D,
    superblock: &Superblock,
    names: &[String],
    segments: &mut Vec<PlannedSegment>,
) -> Result<(), LogError> {
    let sequences = sequences(superblock, names)?;
    if let Some((missing, _)) = sequences.iter().find(|(_, exists)| !exists) {
        return Err(LogError::MissingSegment { segment: segment_name(*missing) });
    }
    let mut last: Option<SegmentHeader> = None;
    for (sequence, _) in sequences {
        let (_, header) = open_segment(disk, superblock, sequence, last.as_ref())?;
        let next_batch = Some(header.first_batch);
        segments.extend(last.replace(header).map(|header| PlannedSegment { header, next_batch }));
    }
    segments.extend(last.map(|header| PlannedSegment { header, next_batch: None }));
    Ok(())
}

impl PlannedSegment {
    /// Reads the segment whole, its footer aside, checks everything and visits each record with its offset, in order.
    pub fn scan<D: Disk>(
        &self,
        disk: &D,
        visit: &mut dyn FnMut(u64, ScannedRecord),
    ) -> Result<SegmentBytes, LogError> {
        let name = self.header.name();
        let file = disk.open(&name).map_err(LogError::io("open", &name))?;
        let scanned = scan_segment(&file, &self.header, self.next_batch, OnLoss::Refuse, &mut |offset, record| {
            visit(offset, owned(record));
        })?;
        Ok(SegmentBytes { bytes: scanned.end, torn_bytes: scanned.torn_bytes })
    }
}

impl ScanSummary {
    pub fn of(identity: Identity) -> Self {
        Self { identity, segments: 0, bytes: 0, torn_bytes: 0, damage: None }
    }

    /// Counts a segment that was read to its end. Behind the end of a sealed one there is its footer only, which a
    /// pass over all batches can do without: the torn bytes are the newest's.
    pub fn add(&mut self, segment: &SegmentBytes) {
        self.segments += 1;
        self.bytes += segment.bytes;
        self.torn_bytes = segment.torn_bytes;
    }
}

/// Reads every segment whole, footers aside, checks everything and visits each record in order, batch by batch. Takes
/// no part in the log and changes nothing; whoever calls sees to it that nobody writes.
///
/// Errors: those of `plan`. Damage ends the pass and is in the summary.
pub fn scan<D: Disk>(disk: &D, visit: &mut dyn FnMut(ScanItem)) -> Result<ScanSummary, LogError> {
    let ScanPlan { identity, segments, damage } = plan(disk)?;
    let mut summary = ScanSummary::of(identity);
    for planned in &segments {
        let segment = planned.header.name();
        let scanned = planned.scan(disk, &mut |offset, record| {
            visit(ScanItem { segment: segment.clone(), offset, record });
        });
        match scanned {
            Ok(scanned) => summary.add(&scanned),
            Err(error) if error.is_damage() => {
                summary.damage = Some(error);
                return Ok(summary);
            }
            Err(error) => return Err(error),
        }
    }
    summary.damage = damage;
    Ok(summary)
}

fn owned(record: &RecordRef<'_>) -> ScannedRecord {
    match *record {
        RecordRef::Entry { manner, group, index, term, kind, data, context } => {
            let entry = owned_entry(index, term, kind, data, context);
            match manner {
                Manner::Append => ScannedRecord::Entry { group, entry },
                Manner::Repair => ScannedRecord::Repair { group, entry },
                Manner::Relocate => ScannedRecord::Relocate { group, entry },
            }
        }
        RecordRef::Mark { group, mark } => ScannedRecord::Mark { group, mark },
        RecordRef::Carry { group, carried } => ScannedRecord::Carry { group, carried },
        RecordRef::Truncate { group, from } => ScannedRecord::Truncate { group, from },
        RecordRef::HardState { group, state } => ScannedRecord::HardState { group, state },
    }
}
