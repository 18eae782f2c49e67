//! The way back when a majority is gone for good: a stopped member's directory becomes a cluster that begins again with
//! this member alone, from everything the directory holds. Others join it as they join any cluster.
//!
//! All of the log counts, not only what its commit mark covers: the mark is written lazily, so what was acknowledged may
//! stand above it, and nobody is left who could say otherwise.

use crate::disk::{DiskError, FileDisk, Mode};
use crate::restore::{conf_of, found_again};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use vexfs_core::event::Malformed;
use vexfs_core::causal::is_origin;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{
    clear_unsettled, Disk, GroupRecovery, HardState, Identity, Log, LogEntry, LogError, LogOptions, LogReader, Op, Recovery,
    SnapshotMark, Wanted,
};
use vexfs_core::machine::{Machine, MachineLimits};
use vexfs_core::member::FIRST_GROUP;
use vexfs_core::membership::{Membership, Role};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::reconcile;
use vexfs_core::snapshot::keeper::{file_name, Keeper};
use vexfs_core::snapshot::{SnapshotError, SnapshotMeta};

/// Bytes of entries read at a time.
const READ_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug, Error)]
pub enum RecoverError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("entry {index} of group {group} cannot be read: {source}")]
    Malformed { group: GroupId, index: Index, source: Malformed },
    #[error("entries of group {group} are lost from index {first} on; what is left is not the whole state")]
    Lost { group: GroupId, first: Index },
    #[error("group {group} has no snapshot here: the directory never had its state")]
    Empty { group: GroupId },
}

/// What a directory holds of a group.
pub struct Held {
    pub group: GroupId,
    pub snapshot: Index,
    pub last: Index,
    pub commit: Index,
    pub term: Term,
    pub events: u64,
}

pub struct Looked {
    pub identity: Identity,
    pub groups: Vec<Held>,
    pub table: Membership,
    /// Who can go on without this member, as far as the directory knows: of one of these lists, a majority of each set.
    pub quorums: BTreeSet<Vec<Vec<MemberId>>>,
}

/// A group with all of its log applied.
struct Replayed {
    snapshot: Index,
    machine: Machine,
    /// Its configurations from the commit mark on. Any of them may be the one in force: the mark is written lazily, and
    /// what is above it may not be committed.
    confs: Vec<Conf>,
}

fn replay<D: Disk>(
    reader: &LogReader<D>,
    keeper: &Keeper<D>,
    group: GroupId,
    found: &GroupRecovery,
) -> Result<Replayed, RecoverError> {
    let Some((index, _)) = found.snapshot else { return Err(RecoverError::Empty { group }) };
    let (info, mut machine) = keeper.load(group, index, 0)?;
    let mut confs = vec![info.meta.conf];
    while machine.applied() < found.last_index {
        let next = Index(machine.applied().0 + 1);
        for LogEntry { index, term, kind, data, context } in
            reader.entries(group, next, Index(found.last_index.0 + 1), READ_BYTES)?
        {
            let malformed = |source| RecoverError::Malformed { group, index, source };
            if kind == 0 {
                machine.apply(index, term, &data).map_err(malformed)?;
                continue;
            }
            machine.apply_change(index, term, &data, &context);
            let change = reconcile::decode(&context).map_err(malformed)?;
            let conf = confs.last().cloned().unwrap_or_default().after(&change);
            if index <= found.hard_state.commit {
                confs.clear();
            }
            confs.push(conf);
        }
    }
    Ok(Replayed { snapshot: index, machine, confs })
}

/// What lies in front of a group's snapshot is part of the state: only readers of the journal miss it.
fn check(recovery: &Recovery) -> Result<(), RecoverError> {
    let covered = |group| recovery.groups.get(&group).and_then(|found: &GroupRecovery| found.snapshot).unwrap_or_default().0;
    match recovery.damaged.iter().find(|lost| !is_origin(lost.group) && lost.last > covered(lost.group)) {
        Some(lost) => Err(RecoverError::Lost { group: lost.group, first: lost.first.max(Index(covered(lost.group).0 + 1)) }),
        None => Ok(()),
    }
}

fn quorum(conf: &Conf) -> Vec<Vec<MemberId>> {
    [&conf.voters, &conf.outgoing].into_iter().filter(|set| !set.is_empty()).cloned().collect()
}

/// Reads a stopped member's directory and changes nothing.
pub fn look(dir: &Path, limits: MachineLimits) -> Result<Looked, RecoverError> {
    let disk = Arc::new(FileDisk::open(dir, Mode::ReadOnly)?);
    look_on(disk, limits)
}

/// As `look`, on any disk.
pub fn look_on<D: Disk>(disk: Arc<D>, limits: MachineLimits) -> Result<Looked, RecoverError> {
    let (reader, recovery) = LogReader::open(disk.clone())?;
    check(&recovery)?;
    let keeper = Keeper::new(disk, recovery.identity.cluster_id.clone(), limits);
    let mut table = Membership::default();
    let mut groups = Vec::new();
    let mut quorums = BTreeSet::new();
    for (group, found) in recovery.groups.iter().filter(|(group, _)| !is_origin(**group)) {
        let Replayed { snapshot, machine, confs } = replay(&reader, &keeper, *group, found)?;
        quorums.extend(confs.iter().map(quorum));
        if *group == FIRST_GROUP {
            table = machine.membership().clone();
            // How far the others have brought the groups towards it is not known.
            quorums.insert(vec![table.iter().filter(|(_, member)| member.role == Role::Voter).map(|(id, _)| id).collect()]);
        }
        groups.push(Held {
            group: *group,
            snapshot,
            last: found.last_index,
            commit: found.hard_state.commit,
            term: found.hard_state.term,
            events: machine.events(),
        });
    }
    Ok(Looked { identity: recovery.identity, groups, table, quorums })
}

pub struct Recover {
    pub cluster_id: String,
    /// The only member from now on.
    pub node_id: String,
    pub limits: MachineLimits,
    pub seed: u64,
    pub log: LogOptions,
}

impl Recover {
    /// Founds the cluster again, in the directory itself. The journal stays. An attempt that is cut off has changed
    /// nothing that a start reads.
    pub fn carry_out(self, dir: &Path) -> Result<Vec<(GroupId, Index)>, RecoverError> {
        // A directory that is not there is not to be made.
        drop(FileDisk::open(dir, Mode::ReadOnly)?);
        self.carry_out_on(Arc::new(FileDisk::open(dir, Mode::ReadWrite)?))
    }

    /// As `carry_out`, on any disk.
    pub fn carry_out_on<D: Disk>(self, disk: Arc<D>) -> Result<Vec<(GroupId, Index)>, RecoverError> {
        let wanted = Wanted {
            cluster_id: self.cluster_id.clone(),
            node_id: self.node_id.clone(),
            fresh_directory_id: [0; 16],
            salt_seed: self.seed,
        };
        let (mut log, recovery) = Log::open(disk.clone(), self.log.clone(), wanted)?;
        check(&recovery)?;
        let mut ops = Vec::new();
        let mut recovered = Vec::new();
        // What the causal lane has of each origin goes on as it is.
        for (group, found) in recovery.groups.iter().filter(|(group, _)| !is_origin(**group)) {
            // The founding has an entry of its own, so that its snapshot takes the place of none that the log names now.
            let index = Index(found.last_index.0 + 1);
            recovered.push((*group, index));
            match self.found(&disk, &log.reader(), *group, found, index) {
                Ok(founding) => ops.extend(founding),
                Err(error) => {
                    // The space goes back where it can; the error that counts is the first.
                    for (group, index) in recovered {
                        let _ = disk.remove(&file_name(group, index));
                    }
                    return Err(error);
                }
            }
        }
        // All groups or none.
        log.append(&ops)?;
        // Nobody is left who could settle what a torn tail may have been.
        clear_unsettled(&*disk)?;
        log.seal_and_close()?;
        Ok(recovered)
    }

    /// Writes the snapshot that a group goes on from at `index`; what the log is to say of it.
    fn found<D: Disk>(
        &self,
        disk: &Arc<D>,
        reader: &LogReader<D>,
        group: GroupId,
        found: &GroupRecovery,
        index: Index,
    ) -> Result<[Op; 3], RecoverError> {
        let keeper = Keeper::new(disk.clone(), self.cluster_id.clone(), self.limits);
        let members = std::slice::from_ref(&self.node_id);
        let mut machine = replay(reader, &keeper, group, found)?.machine;
        // A term of its own: what the lost members may still say is of an earlier one.
        let newest = found.terms.last().map_or(Term(0), |(_, term)| *term);
        let term = Term(found.hard_state.term.max(newest).0 + 1);
        // As a leader's first entry: nothing is in it.
        let entry = LogEntry { index, term, kind: 0, data: Bytes::new(), context: Bytes::new() };
        machine.apply(index, term, &entry.data).map_err(|source| RecoverError::Malformed { group, index, source })?;
        found_again(&mut machine, group, index, members);
        let meta = SnapshotMeta { cluster_id: self.cluster_id.clone(), group, index, term, conf: conf_of(members) };
        keeper.write(&meta, &machine.image(), &mut || {})?;
        let mark = SnapshotMark { index, term, first: found.first_index, prior_term: found.prior_term };
        let state = HardState { term, vote: MemberId(0), commit: index };
        Ok([Op::Entries { group, entries: vec![entry] }, Op::Mark { group, mark }, Op::HardState { group, state }])
    }
}
