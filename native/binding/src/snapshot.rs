//! Snapshot files, off the JavaScript thread: what is in one, and a new directory that goes on from them.

use crate::status::{native_member, NativeTableMember};
use crate::open::{disk_code, log_code, snapshot_code};
use crate::registry::coded;
use napi::bindgen_prelude::{AsyncTask, BigInt, Buffer, Env, Result, Task};
use napi_derive::napi;
use std::path::PathBuf;
use vexfs_core::ids::{GroupId, Index, MemberId};
use vexfs_core::log::LogOptions;
use vexfs_core::machine::{Machine, MachineLimits};
use vexfs_core::snapshot::{SnapshotError, SnapshotInfo};
use vexfs_runtime::restore::{self, Restore, RestoreError};

/// A snapshot file that was read to its end and found whole.
#[napi(object)]
pub struct NativeSnapshot {
    pub cluster_id: String,
    pub group: u32,
    pub index: BigInt,
    pub term: BigInt,
    /// Raft ids.
    pub voters: Vec<BigInt>,
    pub learners: Vec<BigInt>,
    pub table: Vec<NativeTableMember>,
    pub events: BigInt,
    pub apply_hash: BigInt,
    pub sessions: u32,
    pub consumers: u32,
    /// Length of the file.
    pub bytes: BigInt,
    pub digest: BigInt,
}

fn code_of(error: &SnapshotError) -> &'static str {
    match error {
        // A file that is not there, or too short to have a header.
        SnapshotError::Io { .. } if !error.is_full() => "SNAPSHOT_INVALID",
        error => snapshot_code(error),
    }
}

pub struct InspectTask {
    path: PathBuf,
}

#[napi]
impl Task for InspectTask {
    type Output = (SnapshotInfo, Machine);
    type JsValue = NativeSnapshot;

    fn compute(&mut self) -> Result<Self::Output> {
        restore::read(&self.path, MachineLimits::default()).map_err(|error| coded(code_of(&error), error))
    }

    fn resolve(&mut self, _env: Env, (info, machine): Self::Output) -> Result<NativeSnapshot> {
        let ids = |list: &[MemberId]| list.iter().map(|id| id.0.into()).collect();
        Ok(NativeSnapshot {
            cluster_id: info.meta.cluster_id,
            group: info.meta.group.0,
            index: info.meta.index.0.into(),
            term: info.meta.term.0.into(),
            voters: ids(&info.meta.conf.voters),
            learners: ids(&info.meta.conf.learners),
            table: machine.membership().iter().map(|(_, member)| native_member(member)).collect(),
            events: machine.events().into(),
            apply_hash: machine.hash().into(),
            sessions: machine.sessions() as u32,
            consumers: machine.consumers() as u32,
            bytes: info.bytes.into(),
            digest: info.digest.into(),
        })
    }
}

/// Reads all of a snapshot file. Rejects `SNAPSHOT_INVALID`.
#[napi(ts_return_type = "Promise<NativeSnapshot>")]
pub fn inspect_snapshot(path: String) -> AsyncTask<InspectTask> {
    AsyncTask::new(InspectTask { path: path.into() })
}

/// Sizes in bytes.
#[napi(object)]
pub struct RestoreOptions {
    /// A snapshot of each group.
    pub paths: Vec<String>,
    pub data_dir: String,
    pub cluster_id: String,
    pub node_id: String,
    /// The members from now on, this one included.
    pub founders: Vec<String>,
    pub window_events: u32,
    /// 16 random bytes.
    pub fresh_directory_id: Buffer,
    pub seed: BigInt,
    pub segment_bytes: f64,
}

/// Where a group goes on from.
#[napi(object)]
pub struct NativeResumed {
    pub group: u32,
    pub index: BigInt,
}

pub fn resumed(groups: Vec<(GroupId, Index)>) -> Vec<NativeResumed> {
    groups.into_iter().map(|(group, index)| NativeResumed { group: group.0, index: index.0.into() }).collect()
}

pub fn log_options(segment_bytes: f64) -> LogOptions {
    LogOptions { segment_bytes: segment_bytes as u64, spare_segments: 0, ..Default::default() }
}

pub struct RestoreTask {
    restore: Option<Restore>,
}

#[napi]
impl Task for RestoreTask {
    type Output = Vec<(GroupId, Index)>;
    type JsValue = Vec<NativeResumed>;

    fn compute(&mut self) -> Result<Self::Output> {
        let restore = self.restore.take().ok_or_else(|| coded("INTERNAL", "a restore is carried out once"))?;
        restore.carry_out().map_err(|error| {
            let code = match &error {
                RestoreError::Disk(error) => disk_code(error),
                RestoreError::Log(error) => log_code(error),
                RestoreError::Snapshot(error) => code_of(error),
                RestoreError::NotEmpty { .. } => "DATA_DIR_NOT_EMPTY",
                RestoreError::UsedId { .. } => "MEMBER_ID_USED",
                RestoreError::Twice { .. } | RestoreError::Missing { .. } => "SNAPSHOT_INVALID",
            };
            coded(code, error)
        })
    }

    fn resolve(&mut self, _env: Env, groups: Self::Output) -> Result<Vec<NativeResumed>> {
        Ok(resumed(groups))
    }
}

/// Makes a new data directory that goes on from snapshots. Rejects `SNAPSHOT_INVALID`, `SNAPSHOT_WRONG_CLUSTER`,
/// `DATA_DIR_NOT_EMPTY`, `DATA_DIR_IN_USE`, `MEMBER_ID_USED`.
#[napi(ts_return_type = "Promise<Array<NativeResumed>>")]
pub fn restore_snapshots(options: RestoreOptions) -> Result<AsyncTask<RestoreTask>> {
    let fresh_directory_id = <[u8; 16]>::try_from(options.fresh_directory_id.as_ref())
        .map_err(|_| coded("INTERNAL", "the fresh directory id has 16 bytes"))?;
    let restore = Restore {
        snapshots: options.paths.into_iter().map(PathBuf::from).collect(),
        dir: options.data_dir.into(),
        cluster_id: options.cluster_id,
        node_id: options.node_id,
        founders: options.founders,
        limits: MachineLimits { window_events: options.window_events as usize, ..Default::default() },
        fresh_directory_id,
        seed: options.seed.get_u64().1,
        log: log_options(options.segment_bytes),
    };
    Ok(AsyncTask::new(RestoreTask { restore: Some(restore) }))
}
