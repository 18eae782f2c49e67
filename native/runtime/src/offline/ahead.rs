//! A pass over a whole log with several processors: segments are read and checked, and their records prepared, by threads
//! of their own, ahead of whoever takes the records, who gets them in order all the same.

use super::prepared::Prepared;
use super::ScanError;
use std::io;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use vexfs_core::log::{self, Disk, LogError, PlannedSegment, ScanPlan, ScanSummary, SegmentBytes};

/// Records handed over at a time, by what they keep in memory.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Chunks that a reader is ahead.
const CHUNKS_AHEAD: usize = 4;
/// Two also where there is one processor: while one waits for the disk the other checks.
const READERS_MIN: usize = 2;
const READERS_MAX: usize = 4;

enum Read {
    Records(Vec<Prepared>),
    End(Result<SegmentBytes, LogError>),
}

/// As `log::scan`; an error of `take` ends the pass.
pub fn scan<D: Disk>(
    disk: &D,
    take: &mut dyn FnMut(Prepared) -> Result<(), ScanError>,
) -> Result<ScanSummary, ScanError> {
    let ScanPlan { identity, segments, damage } = log::plan(disk)?;
    let mut summary = ScanSummary::of(identity);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let readers = processors.clamp(READERS_MIN, READERS_MAX).min(segments.len());
    std::thread::scope(|scope| {
        // Dropped before the scope waits for its threads: they end when nobody takes their chunks any more.
        let mut lanes = Vec::with_capacity(readers);
        for reader in 0..readers {
            let (send, lane) = sync_channel(CHUNKS_AHEAD);
            let own = segments.iter().skip(reader).step_by(readers);
            std::thread::Builder::new().name(format!("vexfs-scan-{reader}")).spawn_scoped(scope, move || {
                for segment in own {
                    if !read(disk, segment, &send) {
                        return;
                    }
                }
            })?;
            lanes.push(lane);
        }
        for at in 0..segments.len() {
            match records(&lanes[at % readers], take)? {
                Ok(bytes) => summary.add(&bytes),
                Err(error) if error.is_damage() => {
                    summary.damage = Some(error);
                    return Ok(summary);
                }
                Err(error) => return Err(error.into()),
            }
        }
        summary.damage = damage;
        Ok(summary)
    })
}

/// Takes a segment's records; what the segment came to.
fn records(
    lane: &Receiver<Read>,
    take: &mut dyn FnMut(Prepared) -> Result<(), ScanError>,
) -> Result<Result<SegmentBytes, LogError>, ScanError> {
    loop {
        match lane.recv() {
            Ok(Read::Records(records)) => records.into_iter().try_for_each(&mut *take)?,
            Ok(Read::End(end)) => return Ok(end),
            Err(_) => return Err(io::Error::other("a thread that reads the log has ended").into()),
        }
    }
}

/// False when nobody takes the records any more, or there is nothing behind this segment that counts.
fn read<D: Disk>(disk: &D, segment: &PlannedSegment, send: &SyncSender<Read>) -> bool {
    let (mut chunk, mut bytes, mut taken) = (Vec::new(), 0, true);
    let end = segment.scan(disk, &mut |_, record| {
        let record = Prepared::new(record);
        bytes += record.bytes();
        chunk.push(record);
        if bytes >= CHUNK_BYTES {
            bytes = 0;
            taken = taken && send.send(Read::Records(std::mem::take(&mut chunk))).is_ok();
        }
    });
    let whole = end.is_ok();
    taken && send.send(Read::Records(chunk)).is_ok() && send.send(Read::End(end)).is_ok() && whole
}
