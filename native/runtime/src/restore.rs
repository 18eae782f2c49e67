//! Snapshots as files of their own: what is in one, and a new directory that goes on from it.

use crate::disk::{DiskError, FileDisk, Mode, OpenFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use vexfs_core::ids::{Index, MemberId};
use vexfs_core::log::{Disk, HardState, Log, LogError, LogOptions, Op, SnapshotMark, Wanted};
use vexfs_core::machine::{Machine, MachineLimits};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::snapshot::keeper::Keeper;
use vexfs_core::snapshot::{file, SnapshotError, SnapshotInfo, SnapshotMeta};

#[derive(Debug, Error)]
pub enum RestoreError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("{} holds files already; a snapshot is restored into a new directory", dir.display())]
    NotEmpty { dir: PathBuf },
}

/// Reads all of a snapshot file and checks it.
pub fn read(path: &Path) -> Result<(SnapshotInfo, Machine), SnapshotError> {
    let name = path.display().to_string();
    let opened = OpenFile::open_for_reading(path).map_err(SnapshotError::io("open", &name))?;
    file::read(&opened, &name, MachineLimits::default(), 0)
}

pub struct Restore {
    pub snapshot: PathBuf,
    pub dir: PathBuf,
    pub cluster_id: String,
    pub node_id: String,
    /// The members from now on, this one included.
    pub founders: Vec<String>,
    pub fresh_directory_id: [u8; 16],
    pub seed: u64,
    pub log: LogOptions,
}

impl Restore {
    /// Makes the new directory. Every founder has to be made from the same snapshot.
    pub fn carry_out(self) -> Result<Index, RestoreError> {
        let (info, mut machine) = read(&self.snapshot)?;
        let SnapshotMeta { group, index, term, .. } = info.meta;
        let disk = Arc::new(FileDisk::open(&self.dir, Mode::ReadWrite)?);
        let keeper = Keeper::new(disk.clone(), self.cluster_id.clone(), MachineLimits::default());
        if info.meta.cluster_id != self.cluster_id {
            let (file, found) = (self.snapshot.display().to_string(), info.meta.cluster_id);
            return Err(SnapshotError::WrongCluster { file, found, expected: self.cluster_id }.into());
        }
        let names = disk.list().map_err(SnapshotError::io("list", "the directory"))?;
        if names.iter().any(|name| name != "LOCK") {
            return Err(RestoreError::NotEmpty { dir: self.dir });
        }
        let wanted = Wanted {
            cluster_id: self.cluster_id.clone(),
            node_id: self.node_id,
            fresh_directory_id: self.fresh_directory_id,
            salt_seed: self.seed,
        };
        let (mut log, _) = Log::open(disk, self.log, wanted)?;
        machine.set_membership(machine.membership().clone().founded_again(&self.founders, index));
        // The journal is not in a snapshot: it begins again after it.
        let first = Index(index.0 + 1);
        machine.journal_begins(first);
        let conf = Conf::of_voters(self.founders.iter().map(|name| MemberId::of(name)).collect());
        let meta = SnapshotMeta { cluster_id: self.cluster_id, group, index, term, conf };
        keeper.write(&meta, &machine.image(), &mut || {})?;
        let mark = SnapshotMark { index, term, first, prior_term: term };
        let state = HardState { term, vote: MemberId(0), commit: index };
        log.append(&[Op::Mark { group, mark }, Op::HardState { group, state }])?;
        log.seal_and_close()?;
        Ok(index)
    }
}
