//! Snapshots as files of their own: what is in one, and a new directory that goes on from them.

use crate::disk::{failed, DiskError, FileDisk, Mode, OpenFile, RESTORING_NAME};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use vexfs_core::ids::{GroupId, Index, MemberId};
use vexfs_core::log::{Disk, HardState, Log, LogError, LogOptions, Op, SnapshotMark, Wanted};
use vexfs_core::machine::{Beginning, Machine, MachineLimits};
use vexfs_core::member::FIRST_GROUP;
use vexfs_core::ordered::conf::Conf;
use vexfs_core::snapshot::keeper::Keeper;
use vexfs_core::snapshot::{file, SnapshotError, SnapshotInfo, SnapshotMeta};

/// Left in a directory by whoever had it open; everything else makes it a used one.
const LOCK_NAME: &str = "LOCK";

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
    #[error("member {id} is or was one of the cluster that the snapshot is of; ids are never used again: take a new one for each restored member")]
    UsedId { id: String },
    #[error("two of the snapshots are of group {group}; one of each is needed")]
    Twice { group: GroupId },
    #[error("no snapshot of group {group} is given; one of each group from 0 on is needed")]
    Missing { group: GroupId },
}

/// Reads all of a snapshot file and checks it.
pub fn read(path: &Path, limits: MachineLimits) -> Result<(SnapshotInfo, Machine), SnapshotError> {
    let name = path.display().to_string();
    let opened = OpenFile::open_for_reading(path).map_err(SnapshotError::io("open", &name))?;
    file::read(&opened, &name, limits, 0)
}

pub struct Restore {
    /// One for each group.
    pub snapshots: Vec<PathBuf>,
    pub dir: PathBuf,
    pub cluster_id: String,
    pub node_id: String,
    /// The members from now on, this one included.
    pub founders: Vec<String>,
    pub limits: MachineLimits,
    pub fresh_directory_id: [u8; 16],
    pub seed: u64,
    pub log: LogOptions,
}

impl Restore {
    /// Makes the new directory. Every founder has to be made from the same snapshots. Nothing is made where they are
    /// not all right.
    pub fn carry_out(self) -> Result<Vec<(GroupId, Index)>, RestoreError> {
        let read = self.read_all()?;
        self.check_ids(&read)?;
        let names = names_in(&self.dir)?;
        // Of an attempt that was broken off, nothing is worth keeping.
        let again = names.iter().any(|name| name == RESTORING_NAME);
        if !again && names.iter().any(|name| name != LOCK_NAME) {
            return Err(RestoreError::NotEmpty { dir: self.dir });
        }
        let dir = self.dir.clone();
        let disk = Arc::new(FileDisk::open_to_restore(&dir, Mode::ReadWrite)?);
        for name in names_in(&dir)?.iter().filter(|name| *name != LOCK_NAME && *name != RESTORING_NAME) {
            std::fs::remove_file(dir.join(name)).map_err(failed("remove", &dir.join(name)))?;
        }
        let mark = dir.join(RESTORING_NAME);
        std::fs::File::create(&mark).map_err(failed("create", &mark))?;
        disk.sync_dir().map_err(failed("sync", &dir))?;
        let restored = self.build(disk.clone(), read)?;
        std::fs::remove_file(&mark).map_err(failed("remove", &mark))?;
        disk.sync_dir().map_err(failed("sync", &dir))?;
        Ok(restored)
    }

    /// A member of before would be taken for what it was: by those that go on with it, and by those that have removed it.
    fn check_ids(&self, read: &[(SnapshotMeta, Machine)]) -> Result<(), RestoreError> {
        let table = read.iter().find(|(meta, _)| meta.group == FIRST_GROUP).map(|(_, machine)| machine.membership());
        let used = |id: &&String| table.is_some_and(|table| table.role(MemberId::of(id)).is_some());
        match self.founders.iter().chain([&self.node_id]).find(used) {
            Some(id) => Err(RestoreError::UsedId { id: id.clone() }),
            None => Ok(()),
        }
    }

    fn build(self, disk: Arc<FileDisk>, read: Vec<(SnapshotMeta, Machine)>) -> Result<Vec<(GroupId, Index)>, RestoreError> {
        let keeper = Keeper::new(disk.clone(), self.cluster_id.clone(), self.limits);
        let wanted = Wanted {
            cluster_id: self.cluster_id,
            node_id: self.node_id,
            fresh_directory_id: self.fresh_directory_id,
            salt_seed: self.seed,
        };
        let (mut log, _) = Log::open(disk, self.log, wanted)?;
        let mut ops = Vec::new();
        let mut restored = Vec::new();
        for (SnapshotMeta { cluster_id, group, index, term, .. }, mut machine) in read {
            // The journal is not in a snapshot: it begins again after it.
            let first = Index(index.0 + 1);
            machine.journal_begins(Beginning { first, prior_term: term, prior_hash: None });
            found_again(&mut machine, group, index, &self.founders);
            let meta = SnapshotMeta { cluster_id, group, index, term, conf: conf_of(&self.founders) };
            keeper.write(&meta, &machine.image(), &mut || {})?;
            let mark = SnapshotMark { index, term, first, prior_term: term };
            let state = HardState { term, vote: MemberId(0), commit: index };
            ops.extend([Op::Mark { group, mark }, Op::HardState { group, state }]);
            restored.push((group, index));
        }
        log.append(&ops)?;
        log.seal_and_close()?;
        Ok(restored)
    }

    /// Each group's snapshot, by group.
    fn read_all(&self) -> Result<Vec<(SnapshotMeta, Machine)>, RestoreError> {
        let mut found = Vec::new();
        let mut groups = BTreeSet::new();
        for path in &self.snapshots {
            let (info, machine) = read(path, self.limits)?;
            if info.meta.cluster_id != self.cluster_id {
                let (file, found) = (path.display().to_string(), info.meta.cluster_id);
                return Err(SnapshotError::WrongCluster { file, found, expected: self.cluster_id.clone() }.into());
            }
            if !groups.insert(info.meta.group) {
                return Err(RestoreError::Twice { group: info.meta.group });
            }
            found.push((info.meta, machine));
        }
        match (0..).map(GroupId).zip(&groups).find(|(wanted, group)| wanted != *group) {
            Some((group, _)) => Err(RestoreError::Missing { group }),
            None => Ok(found),
        }
    }
}

/// Names in a directory; none where there is no directory.
fn names_in(dir: &Path) -> Result<Vec<OsString>, DiskError> {
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>();
            names.map_err(failed("list", dir))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("list", dir)(error)),
    }
}

pub(crate) fn conf_of(members: &[String]) -> Conf {
    Conf::of_voters(members.iter().map(|name| MemberId::of(name)).collect())
}

/// Only the first group keeps the table.
pub(crate) fn found_again(machine: &mut Machine, group: GroupId, index: Index, members: &[String]) {
    if group == FIRST_GROUP {
        machine.set_membership(machine.membership().clone().founded_again(members, index));
    }
}
