//! A stopped member's directory, off the JavaScript thread: what it holds, and a cluster that begins again from it.

use crate::status::{native_member, NativeTableMember};
use crate::open::{disk_code, log_code, snapshot_code};
use crate::registry::coded;
use crate::snapshot::{log_options, resumed, NativeResumed};
use napi::bindgen_prelude::{AsyncTask, BigInt, Buffer, Env, Error, Result, Task};
use napi_derive::napi;
use std::path::PathBuf;
use vexfs_core::ids::{GroupId, Index, MemberId};
use vexfs_core::log::LogError;
use vexfs_core::machine::MachineLimits;
use vexfs_core::membership::Membership;
use vexfs_runtime::recover::{self, Looked, Recover, RecoverError};

fn error_of(error: &RecoverError) -> Error {
    let code = match error {
        RecoverError::Disk(error) => disk_code(error),
        RecoverError::Log(LogError::NoLog) => "DATA_DIR_UNREADABLE",
        RecoverError::Log(error) => log_code(error),
        RecoverError::Snapshot(error) => snapshot_code(error),
        RecoverError::Malformed { .. } | RecoverError::Lost { .. } => "LOG_DAMAGED",
        RecoverError::Empty { .. } => "STATE_LOST",
    };
    coded(code, error)
}

#[napi(object)]
pub struct NativeHeld {
    pub group: u32,
    pub snapshot_index: BigInt,
    pub last_index: BigInt,
    pub commit_index: BigInt,
    pub term: BigInt,
    pub events: BigInt,
}

#[napi(object)]
pub struct NativeLooked {
    pub node_id: String,
    pub cluster_id: String,
    /// 16 bytes.
    pub directory: Buffer,
    pub incarnation: BigInt,
    pub groups: Vec<NativeHeld>,
    pub table: Vec<NativeTableMember>,
    /// Who can go on without this member: of one of these lists, a majority of each set of voters.
    pub quorums: Vec<Vec<Vec<String>>>,
}

/// By name. One that the table does not know yet, of a group whose log is ahead of group 0's, by a number sign and its hash.
fn names_of(table: &Membership, set: &[MemberId]) -> Vec<String> {
    let name = |id: &MemberId| table.get(*id).map_or_else(|| format!("#{:016x}", id.0), |member| member.name.clone());
    let mut names: Vec<String> = set.iter().map(name).collect();
    names.sort_unstable();
    names
}

pub struct LookTask {
    dir: PathBuf,
    limits: MachineLimits,
}

#[napi]
impl Task for LookTask {
    type Output = Looked;
    type JsValue = NativeLooked;

    fn compute(&mut self) -> Result<Looked> {
        recover::look(&self.dir, self.limits).map_err(|error| error_of(&error))
    }

    fn resolve(&mut self, _env: Env, looked: Looked) -> Result<NativeLooked> {
        let held = looked.groups.iter().map(|held| NativeHeld {
            group: held.group.0,
            snapshot_index: held.snapshot.0.into(),
            last_index: held.last.0.into(),
            commit_index: held.commit.0.into(),
            term: held.term.0.into(),
            events: held.events.into(),
        });
        Ok(NativeLooked {
            node_id: looked.identity.node_id.clone(),
            cluster_id: looked.identity.cluster_id.clone(),
            directory: looked.identity.directory.to_vec().into(),
            incarnation: looked.identity.incarnation.into(),
            groups: held.collect(),
            quorums: looked.quorums.iter().map(|sets| sets.iter().map(|set| names_of(&looked.table, set)).collect()).collect(),
            table: looked.table.iter().map(|(_, member)| native_member(member)).collect(),
        })
    }
}

fn limits(window_events: u32) -> MachineLimits {
    MachineLimits { window_events: window_events as usize, ..Default::default() }
}

/// Reads what a stopped member's directory holds, all of its log replayed. Changes nothing. Rejects `DATA_DIR_IN_USE`,
/// `DATA_DIR_UNREADABLE`, `LOG_DAMAGED`, `STATE_LOST`.
#[napi(ts_return_type = "Promise<NativeLooked>")]
pub fn look_at_directory(data_dir: String, window_events: u32) -> AsyncTask<LookTask> {
    AsyncTask::new(LookTask { dir: data_dir.into(), limits: limits(window_events) })
}

/// Sizes in bytes.
#[napi(object)]
pub struct RecoverOptions {
    pub data_dir: String,
    pub cluster_id: String,
    /// The only member from now on.
    pub node_id: String,
    pub window_events: u32,
    pub seed: BigInt,
    pub segment_bytes: f64,
}

pub struct RecoverTask {
    dir: PathBuf,
    recover: Option<Recover>,
}

#[napi]
impl Task for RecoverTask {
    type Output = Vec<(GroupId, Index)>;
    type JsValue = Vec<NativeResumed>;

    fn compute(&mut self) -> Result<Self::Output> {
        let recover = self.recover.take().ok_or_else(|| coded("INTERNAL", "a recovery is carried out once"))?;
        recover.carry_out(&self.dir).map_err(|error| error_of(&error))
    }

    fn resolve(&mut self, _env: Env, groups: Self::Output) -> Result<Vec<NativeResumed>> {
        Ok(resumed(groups))
    }
}

/// Founds a cluster again in a stopped member's directory, with this member alone. Rejects as `lookAtDirectory`, and `DATA_DIR_MISMATCH`, `DISK_FULL`.
#[napi(ts_return_type = "Promise<Array<NativeResumed>>")]
pub fn recover_directory(options: RecoverOptions) -> AsyncTask<RecoverTask> {
    let recover = Recover {
        cluster_id: options.cluster_id,
        node_id: options.node_id,
        limits: limits(options.window_events),
        seed: options.seed.get_u64().1,
        log: log_options(options.segment_bytes),
    };
    AsyncTask::new(RecoverTask { dir: options.data_dir.into(), recover: Some(recover) })
}
