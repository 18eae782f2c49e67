//! Opening: which segments there must be, what they hold, where the log ends.

use super::disk::{Disk, DiskFile};
use super::footer;
use super::layout::{segment_name, segment_sequence, SegmentHeader, BLOCK_BYTES};
use super::segment_scan::scan_segment;
use super::state::{Active, State};
use super::superblock::{Copies, Superblock};
use super::LogError;
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

/// What `superblock` and the directory's files say the segments are, oldest first; their files exist.
pub(super) fn sequences(superblock: &Superblock, names: &[String]) -> Result<Vec<u64>, LogError> {
    let mut found: Vec<u64> = names.iter().filter_map(|name| segment_sequence(name)).collect();
    found.sort_unstable();
    let expected = superblock.oldest..=superblock.newest;
    if let Some(missing) = expected.clone().find(|sequence| found.binary_search(sequence).is_err()) {
        return Err(LogError::MissingSegment { segment: segment_name(missing) });
    }
    // One more than the superblock names is a segment whose creation was not finished, or a superblock copy that was
    // lost together with its newest update; its header tells whether it belongs.
    let next = superblock.newest + 1;
    if let Some(stranger) = found.iter().find(|sequence| !expected.contains(sequence) && **sequence != next) {
        return Err(LogError::UnexpectedSegment { segment: segment_name(*stranger) });
    }
    Ok(found)
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
    } else {
        return Ok((file, header));
    };
    Err(LogError::ForeignSegment { segment, reason })
}

/// Rebuilds the shared state. Sealed segments are read by their footers, scanned only where those are not readable.
pub(super) fn recover<D: Disk>(
    disk: &D,
    superblock: &Superblock,
    names: &[String],
    access: Access,
) -> Result<(State<D::File>, Option<Tail>), LogError> {
    let mut state = State::new();
    let sequences = sequences(superblock, names)?;
    let mut opened: Option<(D::File, SegmentHeader)> = None;
    for sequence in sequences {
        let previous = opened.as_ref().map(|(_, header)| header);
        let (file, header) = open_segment(disk, superblock, sequence, previous)?;
        if let Some((file, sealed)) = opened.replace((file, header.clone())) {
            recover_sealed(&mut state, &file, &sealed, header.first_batch)?;
        }
    }
    let Some((file, header)) = opened else {
        return Ok((state, None));
    };
    let tail = recover_newest(&mut state, file, header, access)?;
    Ok((state, Some(tail)))
}

fn recover_sealed<F: DiskFile>(
    state: &mut State<F>,
    file: &F,
    header: &SegmentHeader,
    next_batch: u64,
) -> Result<(), LogError> {
    let misfit = |reason| LogError::damaged(&header.name(), 0, reason);
    let footer = footer::read(file, header)?;
    if let Some(footer) = footer.filter(|footer| footer.next_batch == next_batch) {
        let used = footer.offset + footer::sealed_bytes(&footer.index);
        return state.absorb(header, used, &footer.index, false).map_err(misfit);
    }
    let scan = scan_segment(file, header, Some(next_batch), &mut |_, _| {})?;
    state.absorb(header, scan.end, &scan.index, true).map_err(misfit)
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
    let (index, end, tail) = match footer::read(&file, &header)? {
        Some(footer) => {
            let length = file.len().map_err(LogError::io("read", &name))?;
            let sealed_end = footer.offset + footer::sealed_bytes(&footer.index) - BLOCK_BYTES;
            let trailer = length / BLOCK_BYTES * BLOCK_BYTES - BLOCK_BYTES;
            let dirty = vec![footer.offset..sealed_end, trailer..trailer + BLOCK_BYTES];
            let (next_batch, incarnation) = (footer.next_batch, header.incarnation);
            (footer.index, footer.offset, Tail { next_batch, torn_bytes: 0, dirty, incarnation })
        }
        None => {
            let scan = scan_segment(&file, &header, None, &mut |_, _| {})?;
            let (next_batch, torn_bytes) = (scan.next_batch, scan.torn_bytes);
            (scan.index, scan.end, Tail { next_batch, torn_bytes, dirty: scan.dirty, incarnation: scan.incarnation })
        }
    };
    let active = Active { header, file: Arc::new(file), index, end };
    state.activate(active).map_err(|reason| LogError::damaged(&name, 0, reason))?;
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
