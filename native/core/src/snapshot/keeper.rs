//! Snapshot files in a member's directory, and the jobs done on them: away from the protocol's thread, one at a time.
//!
//! What the caller owes: jobs are carried out in the order they were asked for, and their results handed back.

use super::file;
use super::states::{self, States};
use super::{SnapshotError, SnapshotInfo, SnapshotMeta};
use crate::causal::FIRST_ORIGIN;
use crate::ids::{GroupId, Index, MemberId};
use crate::log::{Disk, DiskFile};
use crate::machine::image::MachineImage;
use crate::machine::{Machine, MachineLimits};
use std::sync::Arc;

const SUFFIX: &str = ".snap";
const PART_SUFFIX: &str = ".part";
const NEW_SUFFIX: &str = ".new";
const PREFIX: &str = "snapshot-";

/// A snapshot somewhere: enough to ask for its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotKey {
    pub group: GroupId,
    pub index: Index,
    pub digest: u64,
}

impl SnapshotInfo {
    pub fn key(&self) -> SnapshotKey {
        SnapshotKey { group: self.meta.group, index: self.meta.index, digest: self.digest }
    }
}

pub enum Job {
    /// Write a snapshot of this state.
    Write { meta: SnapshotMeta, image: Box<MachineImage> },
    /// Write states of the causal lane, under the next number.
    /// `before`: the last that are known to be whole, which stay.
    WriteStates { states: Arc<States>, before: Index },
    /// Read a piece for another member.
    Read { to: MemberId, key: SnapshotKey, offset: u64, length: u32 },
    /// How much of a snapshot on offer is here already?
    Find { key: SnapshotKey },
    /// Put a received piece into its place.
    Store { key: SnapshotKey, offset: u64, bytes: bytes::Bytes },
    /// All of it is here: check it, name it, and make the machine.
    Restore { key: SnapshotKey, machine_key: u64 },
    /// As `Restore`, of another member's states; nothing of it stays.
    RestoreStates { key: SnapshotKey },
    /// A mark names this one: older ones may go, but for what the mark before names, since the newest batch may be lost.
    Keep { group: GroupId, index: Index, before: Index },
}

pub enum Done {
    Written(SnapshotInfo),
    StatesWritten { info: SnapshotInfo, states: Arc<States> },
    StatesRestored { key: SnapshotKey, states: Arc<States> },
    /// Nothing was kept; `full`: for want of room.
    NotWritten { group: GroupId, full: bool, reason: String },
    /// `None`: there is no such snapshot here any more.
    Piece { to: MemberId, key: SnapshotKey, offset: u64, bytes: Option<Vec<u8>> },
    /// So many bytes of it are here.
    Found { key: SnapshotKey, bytes: u64 },
    Restored { info: SnapshotInfo, machine: Box<Machine> },
    /// What was received is not what was offered, or could not be stored: it was removed.
    NotRestored { key: SnapshotKey, reason: String },
    Kept,
}

impl Done {
    pub fn group(&self) -> Option<GroupId> {
        match self {
            Self::StatesWritten { info, .. } | Self::Written(info) | Self::Restored { info, .. } => Some(info.meta.group),
            Self::NotWritten { group, .. } => Some(*group),
            Self::StatesRestored { key, .. } | Self::Piece { key, .. } | Self::Found { key, .. } | Self::NotRestored { key, .. } => Some(key.group),
            Self::Kept => None,
        }
    }
}

pub fn file_name(group: GroupId, index: Index) -> String {
    format!("{PREFIX}{:04}-{:020}{SUFFIX}", group.0, index.0)
}

fn part_name(key: &SnapshotKey) -> String {
    format!("{PREFIX}{:04}-{:020}-{:016x}{PART_SUFFIX}", key.group.0, key.index.0, key.digest)
}

/// Group and index of a snapshot's file name.
fn parse_name(name: &str) -> Option<(GroupId, Index)> {
    let (group, index) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
    Some((GroupId(group.parse().ok()?), Index(index.parse().ok()?)))
}

/// Snapshots that a directory holds of a group, oldest first, finished ones only.
pub fn snapshots_of<D: Disk>(disk: &D, group: GroupId) -> std::io::Result<Vec<Index>> {
    let names = disk.list()?;
    let mut found: Vec<Index> =
        names.iter().filter_map(|name| parse_name(name)).filter(|(of, _)| *of == group).map(|(_, index)| index).collect();
    found.sort_unstable();
    Ok(found)
}

/// States that were read from their file.
pub type ReadStates = Result<(SnapshotInfo, States), SnapshotError>;

pub struct Keeper<D: Disk> {
    disk: Arc<D>,
    cluster_id: String,
    limits: MachineLimits,
}

impl<D: Disk> Keeper<D> {
    pub fn new(disk: Arc<D>, cluster_id: String, limits: MachineLimits) -> Self {
        Self { disk, cluster_id, limits }
    }

    /// Removes what an earlier life left unfinished.
    pub fn clean(&self) -> Result<(), SnapshotError> {
        for name in self.names()? {
            if name.starts_with(PREFIX) && name.ends_with(NEW_SUFFIX) {
                self.disk.remove(&name).map_err(SnapshotError::io("remove", &name))?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        self.disk.list().map_err(SnapshotError::io("list", "the directory"))
    }

    /// Snapshots of a group in front of `index`, newest first; whether they can be read is not known.
    pub fn before(&self, group: GroupId, index: Index) -> Result<Vec<Index>, SnapshotError> {
        let found = snapshots_of(&*self.disk, group).map_err(SnapshotError::io("list", "the directory"))?;
        Ok(found.into_iter().rev().filter(|older| *older < index).collect())
    }

    /// Reads the snapshot that a mark names; `machine_key` seeds its hash table.
    pub fn load(&self, group: GroupId, index: Index, machine_key: u64) -> Result<(SnapshotInfo, Machine), SnapshotError> {
        let name = file_name(group, index);
        let file = self.disk.open(&name).map_err(SnapshotError::io("open", &name))?;
        let (info, machine) = file::read(&file, &name, self.limits, machine_key)?;
        self.check(&info, &name)?;
        Ok((info, machine))
    }

    fn check(&self, info: &SnapshotInfo, name: &str) -> Result<(), SnapshotError> {
        if info.meta.cluster_id != self.cluster_id {
            let (file, found) = (name.to_string(), info.meta.cluster_id.clone());
            return Err(SnapshotError::WrongCluster { file, found, expected: self.cluster_id.clone() });
        }
        Ok(())
    }

    /// Writes a snapshot under its name, durably; an older file of the name is replaced.
    pub fn write(
        &self,
        meta: &SnapshotMeta,
        image: &MachineImage,
        pace: &mut dyn FnMut(),
    ) -> Result<SnapshotInfo, SnapshotError> {
        self.write_whole(meta, |file, name| file::write(file, name, meta, image, pace))
    }

    /// Writes states durably, and removes those before the last ones.
    fn write_states(&self, states: &States, before: Index, pace: &mut dyn FnMut()) -> Result<SnapshotInfo, SnapshotError> {
        let last = snapshots_of(&*self.disk, FIRST_ORIGIN).map_err(SnapshotError::io("list", "the directory"))?.last().copied();
        let meta = states::meta(&self.cluster_id, last.map_or(1, |last| last.0 + 1));
        let info = self.write_whole(&meta, |file, name| states::write(file, name, &meta, states, pace))?;
        // What cannot be removed now is removed after the next.
        let _ = self.keep(FIRST_ORIGIN, meta.index, before);
        Ok(info)
    }

    /// The states that the directory holds, newest first; those that cannot be read are errors.
    pub fn load_states(&self) -> Result<Vec<ReadStates>, SnapshotError> {
        let numbers = snapshots_of(&*self.disk, FIRST_ORIGIN).map_err(SnapshotError::io("list", "the directory"))?;
        let load = |number: &Index| {
            let name = file_name(FIRST_ORIGIN, *number);
            let file = self.disk.open(&name).map_err(SnapshotError::io("open", &name))?;
            let (info, states) = states::read(&file, &name)?;
            self.check(&info, &name)?;
            Ok((info, states))
        };
        Ok(numbers.iter().rev().map(load).collect())
    }

    /// Gives a file its name when it is whole and on disk.
    fn write_whole(&self, meta: &SnapshotMeta, write: impl FnOnce(&D::File, &str) -> Result<SnapshotInfo, SnapshotError>) -> Result<SnapshotInfo, SnapshotError> {
        let name = file_name(meta.group, meta.index);
        let unfinished = format!("{name}{NEW_SUFFIX}");
        let written = self.write_as(&unfinished, &name, write);
        if written.is_err() {
            // The space goes back where it can; the error that counts is the first.
            let _ = self.disk.remove(&unfinished);
        }
        written
    }

    fn write_as(
        &self,
        unfinished: &str,
        name: &str,
        write: impl FnOnce(&D::File, &str) -> Result<SnapshotInfo, SnapshotError>,
    ) -> Result<SnapshotInfo, SnapshotError> {
        if self.names()?.iter().any(|other| other == unfinished) {
            self.disk.remove(unfinished).map_err(SnapshotError::io("remove", unfinished))?;
        }
        let file = self.disk.create(unfinished).map_err(SnapshotError::io("create", unfinished))?;
        let info = write(&file, unfinished)?;
        self.disk.rename(unfinished, name).map_err(SnapshotError::io("rename", unfinished))?;
        self.disk.sync_dir().map_err(SnapshotError::io("sync", "the directory"))?;
        Ok(info)
    }

    /// Does a job; errors are part of the answer, since none of them ends the node.
    pub fn carry_out(&self, job: Job, pace: &mut dyn FnMut()) -> Done {
        match job {
            Job::Write { meta, image } => match self.write(&meta, &image, pace) {
                Ok(info) => Done::Written(info),
                Err(error) => {
                    Done::NotWritten { group: meta.group, full: error.is_full(), reason: error.to_string() }
                }
            },
            Job::WriteStates { states, before } => match self.write_states(&states, before, pace) {
                Ok(info) => Done::StatesWritten { info, states },
                Err(error) => Done::NotWritten { group: FIRST_ORIGIN, full: error.is_full(), reason: error.to_string() },
            },
            Job::Read { to, key, offset, length } => {
                Done::Piece { to, key, offset, bytes: self.piece(&key, offset, length).ok() }
            }
            Job::Find { key } => Done::Found { key, bytes: self.part_bytes(&key) },
            Job::Store { key, offset, bytes } => match self.store(&key, offset, &bytes) {
                Ok(bytes) => Done::Found { key, bytes },
                Err(error) => self.not_restored(key, error),
            },
            Job::Restore { key, machine_key } => match self.restore(&key, machine_key) {
                Ok((info, machine)) => Done::Restored { info, machine: Box::new(machine) },
                Err(error) => self.not_restored(key, error),
            },
            Job::RestoreStates { key } => match self.restore_states(&key) {
                Ok(states) => Done::StatesRestored { key, states: Arc::new(states) },
                Err(error) => self.not_restored(key, error),
            },
            Job::Keep { group, index, before } => {
                // What cannot be removed now is removed after the next snapshot.
                let _ = self.keep(group, index, before);
                Done::Kept
            }
        }
    }

    fn not_restored(&self, key: SnapshotKey, error: SnapshotError) -> Done {
        let _ = self.disk.remove(&part_name(&key));
        Done::NotRestored { key, reason: error.to_string() }
    }

    fn piece(&self, key: &SnapshotKey, offset: u64, length: u32) -> Result<Vec<u8>, SnapshotError> {
        let name = file_name(key.group, key.index);
        let file = self.disk.open(&name).map_err(SnapshotError::io("open", &name))?;
        let mut bytes = vec![0; length as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = file.read_at(&mut bytes[filled..], offset + filled as u64);
            match read.map_err(SnapshotError::io("read", &name))? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn part_bytes(&self, key: &SnapshotKey) -> u64 {
        self.disk.open(&part_name(key)).and_then(|file| file.len()).unwrap_or(0)
    }

    fn store(&self, key: &SnapshotKey, offset: u64, bytes: &[u8]) -> Result<u64, SnapshotError> {
        let name = part_name(key);
        let file = match offset {
            0 if self.part_bytes(key) == 0 => {
                let _ = self.disk.remove(&name);
                self.disk.create(&name)
            }
            _ => self.disk.open(&name),
        };
        let file = file.map_err(SnapshotError::io("open", &name))?;
        file.write_at(bytes, offset).map_err(SnapshotError::io("write", &name))?;
        Ok(offset + bytes.len() as u64)
    }

    fn restore(&self, key: &SnapshotKey, machine_key: u64) -> Result<(SnapshotInfo, Machine), SnapshotError> {
        let (part, name) = (part_name(key), file_name(key.group, key.index));
        let file = self.disk.open(&part).map_err(SnapshotError::io("open", &part))?;
        // On disk before it counts, and read from there: what a failed sync left in a cache proves nothing (rule L4).
        file.sync_data().map_err(SnapshotError::io("sync", &part))?;
        file.forget_cache().map_err(SnapshotError::io("read", &part))?;
        let (info, machine) = file::read(&file, &part, self.limits, machine_key)?;
        self.check(&info, &part)?;
        if info.key() != *key {
            let what = "it is not the snapshot that was offered".to_string();
            return Err(SnapshotError::Damaged { file: part, offset: 0, what });
        }
        self.disk.rename(&part, &name).map_err(SnapshotError::io("rename", &part))?;
        self.disk.sync_dir().map_err(SnapshotError::io("sync", "the directory"))?;
        Ok((info, machine))
    }

    fn restore_states(&self, key: &SnapshotKey) -> Result<States, SnapshotError> {
        let part = part_name(key);
        let file = self.disk.open(&part).map_err(SnapshotError::io("open", &part))?;
        let (info, states) = states::read(&file, &part)?;
        self.check(&info, &part)?;
        if info.key() != *key {
            let what = "these are not the states that were offered".to_string();
            return Err(SnapshotError::Damaged { file: part, offset: 0, what });
        }
        // Its owner keeps what comes of them under a number of its own.
        let _ = self.disk.remove(&part);
        Ok(states)
    }

    fn keep(&self, group: GroupId, index: Index, before: Index) -> Result<(), SnapshotError> {
        let received = |name: &str| {
            let (stem, _digest) = name.strip_suffix(PART_SUFFIX)?.rsplit_once('-')?;
            parse_name(&format!("{stem}{SUFFIX}"))
        };
        let goes = |name: &String| match (parse_name(name), received(name)) {
            (Some((of, at)), _) => of == group && at < index && at != before,
            (_, Some((of, at))) => of == group && at <= index,
            _ => false,
        };
        for name in self.names()?.into_iter().filter(goes) {
            self.disk.remove(&name).map_err(SnapshotError::io("remove", &name))?;
        }
        Ok(())
    }
}
