//! Opening: which segments there must be, what they hold, where the log ends.

use super::disk::{Disk, DiskFile};
use super::footer;
use super::group::Group;
use super::layout::{segment_name, segment_sequence, SegmentHeader, BLOCK_BYTES};
use super::segment_scan::{scan_segment, OnLoss, SegmentScan};
use super::state::{Active, State};
use super::superblock::{Copies, Superblock};
use super::LogError;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// What an open may do to the directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing; also nothing is waited for, so what is found may still be on its way to the disk.
    Read,
    /// What is found is made durable before it counts.
    Write,
}

/// Where the newest segment ends.
pub(super) struct Tail {
    pub next_batch: u64,
    pub torn_bytes: u64,
    /// Left behind `Active::end` by a torn batch or by a seal; must be zero on disk before anything is appended.
    pub dirty: Vec<Range<u64>>,
    /// Highest incarnation found in a segment.
    pub incarnation: u64,
}

/// What `superblock` and the directory's files say the segments are, oldest first; all but the newest may be missing.
/// Files older than the oldest are what an interrupted release has left.
pub(super) fn sequences(superblock: &Superblock, names: &[String]) -> Result<Vec<(u64, bool)>, LogError> {
    let found: BTreeSet<u64> = names.iter().filter_map(|name| segment_sequence(name)).collect();
    let expected = superblock.oldest..=superblock.newest;
    if superblock.newest > 0 && !found.contains(&superblock.newest) {
        return Err(LogError::MissingSegment { segment: segment_name(superblock.newest) });
    }
    // One more than the superblock names is a segment whose creation was not finished, or a superblock copy that was
    // lost together with its newest update; its header tells whether it belongs.
    let next = superblock.newest + 1;
    if let Some(stranger) = found.range(next + 1..).next() {
        return Err(LogError::UnexpectedSegment { segment: segment_name(*stranger) });
    }
    let expected = expected.map(|sequence| (sequence, found.contains(&sequence)));
    Ok(expected.chain(found.contains(&next).then_some((next, true))).collect())
}

/// Segment files that an interrupted release has left.
pub(super) fn leftovers<'a>(superblock: &'a Superblock, names: &'a [String]) -> impl Iterator<Item = &'a String> {
    names.iter().filter(|name| segment_sequence(name).is_some_and(|sequence| sequence < superblock.oldest))
}

/// Opens one segment and checks that it belongs between its neighbours.
pub(super) fn open_segment<D: Disk>(
    disk: &D,
    superblock: &Superblock,
    sequence: u64,
    previous: Option<&SegmentHeader>,
) -> Result<(D::File, SegmentHeader), LogError> {
    let segment = segment_name(sequence);
    let file = disk.open(&segment).map_err(LogError::io("open", &segment))?;
    let header = SegmentHeader::read(&file, sequence)?;
    let reason = if header.directory != superblock.identity.directory {
        "it was written in another directory"
    } else if previous.is_some_and(|previous| previous.salt != header.previous_salt) {
        "it does not follow the segment before it"
    } else if sequence == superblock.newest && header.salt != superblock.newest_salt {
        "the superblock names another file"
    } else if header.incarnation > superblock.identity.incarnation {
        let (found, known) = (header.incarnation, superblock.identity.incarnation);
        return Err(LogError::StaleSuperblock { segment, found, known });
    } else {
        return Ok((file, header));
    };
    Err(LogError::ForeignSegment { segment, reason })
}

/// Rebuilds the shared state. Sealed segments are read by their footers, scanned only where those are not readable.
/// Lost batches, up to all of a segment that is not the newest, are passed over and counted.
pub(super) fn recover<D: Disk>(
    disk: &D,
    superblock: &Superblock,
    names: &[String],
    access: Access,
) -> Result<(State<D::File>, Option<Tail>), LogError> {
    let mut state = State::new();
    let mut opened: Option<(D::File, SegmentHeader)> = None;
    // Number of the next batch, where a segment's own end says so.
    let mut next_batch: Option<u64> = None;
    let mut gap = false;
    for (sequence, exists) in sequences(superblock, names)? {
        let previous = opened.as_ref().map(|(_, header)| header);
        let found = match exists {
            true => match open_segment(disk, superblock, sequence, previous) {
                Err(LogError::Damaged { .. }) if sequence < superblock.newest => None,
                opened => Some(opened?),
            },
            false => None,
        };
        let first_batch = found.as_ref().map(|(_, header)| header.first_batch);
        if let Some((file, sealed)) = opened.take() {
            next_batch = Some(recover_sealed(&mut state, &file, &sealed, first_batch)?);
        }
        match first_batch {
            Some(first) if gap => state.lose(first.saturating_sub(next_batch.unwrap_or(first.saturating_sub(1))).max(1)),
            _ => {}
        }
        gap = found.is_none();
        opened = found;
    }
    let Some((file, header)) = opened else {
        return Ok((state, None));
    };
    let mut tail = recover_newest(&mut state, file, header, access)?;
    if let (true, Some(active)) = (tail.next_batch < superblock.floor, &mut state.active) {
        // The file is older than the superblock, or its end was never written though the disk said so.
        active.damaged = true;
        state.lose(superblock.floor - tail.next_batch);
        tail.next_batch = superblock.floor;
    }
    let doubtful = state.groups.values_mut().map(Group::finish).fold(false, |any, one| any | one);
    state.unsure |= doubtful;
    check_incarnation(superblock, &state, &tail)?;
    Ok((state, Some(tail)))
}

/// An open writes its incarnation into the superblock before anything else: batches that are ahead of it lie beside a
/// superblock of another time.
fn check_incarnation<F>(superblock: &Superblock, state: &State<F>, tail: &Tail) -> Result<(), LogError> {
    let (found, known) = (tail.incarnation, superblock.identity.incarnation);
    let newest = state.active.as_ref().map_or(0, |active| active.header.sequence);
    match found > known {
        true => Err(LogError::StaleSuperblock { segment: segment_name(newest), found, known }),
        false => Ok(()),
    }
}

/// Takes a sealed segment over; the number of the batch after its last. `next_batch` is what the segment after it begins
/// with, if that is known.
fn recover_sealed<F: DiskFile>(
    state: &mut State<F>,
    file: &F,
    header: &SegmentHeader,
    next_batch: Option<u64>,
) -> Result<u64, LogError> {
    let footer = footer::read(file, header)?;
    if let Some(footer) = footer.filter(|footer| next_batch.is_none_or(|next| next == footer.next_batch)) {
        state.absorb(header.sequence, &footer.index, true);
        state.add_sealed(header, footer.offset + footer::sealed_bytes(&footer.index), None);
        return Ok(footer.next_batch);
    }
    let scan = scan_segment(file, header, next_batch, OnLoss::PassOver, &mut |_, _| {})?;
    absorb_scan(state, header.sequence, &scan);
    state.lose(scan.lost_after);
    state.add_sealed(header, scan.end, Some(scan.index(&header.name())?));
    Ok(scan.next_batch + scan.lost_after)
}

fn absorb_scan<F>(state: &mut State<F>, sequence: u64, scan: &SegmentScan) {
    for (i, part) in scan.parts.iter().enumerate() {
        state.lose(part.lost_before);
        state.absorb(sequence, &part.index, i == 0);
    }
}

fn recover_newest<F: DiskFile>(
    state: &mut State<F>,
    file: F,
    header: SegmentHeader,
    access: Access,
) -> Result<Tail, LogError> {
    let name = header.name();
    if access == Access::Write {
        // What a dying process wrote and did not sync would otherwise be taken for durable; and after a failed sync
        // the cache may hold what the disk does not.
        file.sync_data().map_err(LogError::io("sync", &name))?;
        file.forget_cache().map_err(LogError::io("read", &name))?;
    }
    let (index, end, damaged, tail) = match footer::read(&file, &header)? {
        Some(footer) => {
            let length = file.len().map_err(LogError::io("read", &name))?;
            let sealed_end = footer.offset + footer::sealed_bytes(&footer.index) - BLOCK_BYTES;
            let trailer = length / BLOCK_BYTES * BLOCK_BYTES - BLOCK_BYTES;
            let dirty = vec![footer.offset..sealed_end, trailer..trailer + BLOCK_BYTES];
            let (next_batch, incarnation) = (footer.next_batch, header.incarnation);
            state.absorb(header.sequence, &footer.index, true);
            (footer.index, footer.offset, false, Tail { next_batch, torn_bytes: 0, dirty, incarnation })
        }
        None => {
            let scan = scan_segment(&file, &header, None, OnLoss::PassOver, &mut |_, _| {})?;
            absorb_scan(state, header.sequence, &scan);
            let (index, damaged) = (scan.index(&name)?, scan.lost_batches() > 0);
            let (next_batch, torn_bytes, incarnation) = (scan.next_batch, scan.torn_bytes, scan.incarnation);
            (index, scan.end, damaged, Tail { next_batch, torn_bytes, dirty: scan.dirty, incarnation })
        }
    };
    state.active = Some(Active { header, file: Arc::new(file), index, end, damaged });
    Ok(tail)
}

/// The superblock of a log that is only to be read, with the directory's files.
pub(super) fn read_superblock<D: Disk>(disk: &D) -> Result<(Superblock, Vec<String>), LogError> {
    let names = disk.list().map_err(LogError::io("list", "the directory"))?;
    let copies = Copies::read(disk, &names, false)?;
    let has_segments = names.iter().any(|name| segment_sequence(name).is_some());
    match copies.newest() {
        Some(superblock) => Ok((superblock.clone(), names)),
        None if copies.never_written() && !has_segments => Err(LogError::NoLog),
        None => Err(LogError::SuperblockLost),
    }
}
