//! Reading a stopped member's log: replays its entries through the same state machine, without taking part and
//! without changing a byte.

mod ahead;
mod pages;
mod prepared;
mod replay;
mod survey;

pub use pages::Pages;
pub use replay::{GroupSummary, Row};
pub use survey::{repeated, survey, GroupSurvey, Part, Run, Sighting, Survey};

use crate::disk::{DiskError, FileDisk, Mode};
use replay::Replay;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use vexfs_core::event::Malformed;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::log::LogError;
use vexfs_core::snapshot::SnapshotError;

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
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Replays one group of the whole log in `dir`; `row` sees every entry, also those above the commit mark, in order.
/// Damage ends the pass, as if the log ended there.
fn scan(dir: &Path, group: GroupId, window_events: usize, mut row: impl FnMut(Row<'_>)) -> Result<GroupSummary, ScanError> {
    let disk = Arc::new(FileDisk::open(dir, Mode::ReadOnly)?);
    let mut replay = Replay::new(disk.clone(), group, window_events);
    ahead::scan(&*disk, &mut |record| match record.group() == group {
        true => replay.take(record, &mut row),
        false => Ok(()),
    })?;
    replay.finish(&mut row)
}
