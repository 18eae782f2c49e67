//! A whole, read-only pass over a log, for `log verify` and `log dump`.

use super::disk::Disk;
use super::layout::segment_name;
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

/// Reads every segment whole, footers aside, checks everything and visits each record in order, batch by batch. Takes
/// no part in the log and changes nothing; whoever calls sees to it that nobody writes.
///
/// Errors: `NoLog`, a file that cannot be opened or read, a newer format. Damage ends the pass and is in the summary.
pub fn scan<D: Disk>(disk: &D, visit: &mut dyn FnMut(ScanItem)) -> Result<ScanSummary, LogError> {
    let (superblock, names) = read_superblock(disk)?;
    let identity = superblock.identity.clone();
    let mut summary = ScanSummary { identity, segments: 0, bytes: 0, torn_bytes: 0, damage: None };
    match pass(disk, &superblock, &names, &mut summary, visit) {
        Err(error) if error.is_damage() => summary.damage = Some(error),
        passed => passed?,
    }
    Ok(summary)
}

fn pass<D: Disk>(
    disk: &D,
    superblock: &Superblock,
    names: &[String],
    summary: &mut ScanSummary,
    visit: &mut dyn FnMut(ScanItem),
) -> Result<(), LogError> {
    let sequences = sequences(superblock, names)?;
    if let Some((missing, _)) = sequences.iter().find(|(_, exists)| !exists) {
        return Err(LogError::MissingSegment { segment: segment_name(*missing) });
    }
    let mut rest = sequences.into_iter().map(|(sequence, _)| sequence);
    let mut ahead = rest.next().map(|first| open_segment(disk, superblock, first, None)).transpose()?;
    while let Some((file, header)) = ahead {
        ahead = rest.next().map(|next| open_segment(disk, superblock, next, Some(&header))).transpose()?;
        let next_batch = ahead.as_ref().map(|(_, next)| next.first_batch);
        let segment = segment_name(header.sequence);
        let scanned = scan_segment(&file, &header, next_batch, OnLoss::Refuse, &mut |offset, record| {
            visit(ScanItem { segment: segment.clone(), offset, record: owned(record) });
        })?;
        summary.segments += 1;
        summary.bytes += scanned.end;
        // Behind the end of a sealed segment there is its footer only, which a pass over all batches can do without.
        summary.torn_bytes = scanned.torn_bytes;
    }
    Ok(())
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
