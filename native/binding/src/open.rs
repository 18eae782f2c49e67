//! Opening and closing, off the JavaScript thread: recovery reads files, closing joins threads.

use crate::registry::{self, coded};
use napi::bindgen_prelude::{AsyncTask, BigInt, Buffer, Env, Result, Task};
use napi_derive::napi;
use vexfs_core::log::{LogError, LogOptions};
use vexfs_core::machine::MachineLimits;
use vexfs_runtime::disk::DiskError;
use vexfs_runtime::node::{Node, NodeConfig, OpenError};

/// Sizes in bytes, times in milliseconds.
#[napi(object)]
pub struct OpenOptions {
    pub data_dir: String,
    pub cluster_id: String,
    pub node_id: String,
    pub peers: Vec<String>,
    pub election_timeout_min_ms: u32,
    pub election_timeout_max_ms: u32,
    pub heartbeat_interval_ms: u32,
    pub inflight_messages: u32,
    pub pending_bytes_max: f64,
    pub peer_bytes_max: f64,
    pub window_events: u32,
    pub segment_bytes: f64,
    pub spare_segments: u32,
    /// Seed of everything random in the protocol.
    pub seed: BigInt,
    /// 16 random bytes, used once for a new directory.
    pub fresh_directory_id: Buffer,
}

#[napi(object)]
pub struct OpenedNode {
    pub handle: u32,
    pub incarnation: BigInt,
    /// The directory's own id, 16 bytes.
    pub directory: Buffer,
    pub torn_bytes: BigInt,
}

pub struct OpenTask {
    config: NodeConfig,
}

#[napi]
impl Task for OpenTask {
    type Output = u32;
    type JsValue = OpenedNode;

    fn compute(&mut self) -> Result<u32> {
        let node = Node::open(self.config.clone()).map_err(|error| coded(code_of(&error), error))?;
        Ok(registry::insert(node))
    }

    fn resolve(&mut self, _env: Env, handle: u32) -> Result<OpenedNode> {
        let node = registry::get(handle)?;
        let opened = node.opened();
        Ok(OpenedNode {
            handle,
            incarnation: opened.identity.incarnation.into(),
            directory: opened.identity.directory.to_vec().into(),
            torn_bytes: opened.torn_bytes.into(),
        })
    }
}

fn code_of(error: &OpenError) -> &'static str {
    match error {
        OpenError::Disk(error) => disk_code(error),
        OpenError::Log(error) => log_code(error),
        OpenError::MemberIdCollision(..) => "CONFIG_INVALID",
        OpenError::Group(_) => "LOG_DAMAGED",
        OpenError::Io(_) => "DISK_FAILED",
    }
}

pub fn disk_code(error: &DiskError) -> &'static str {
    match error {
        DiskError::InUse { .. } => "DATA_DIR_IN_USE",
        _ => "DATA_DIR_UNREADABLE",
    }
}

pub fn log_code(error: &LogError) -> &'static str {
    match error {
        LogError::Io { .. } => "DATA_DIR_UNREADABLE",
        other => other.code(),
    }
}

/// Opens a data directory and starts its node; resolves without a quorum.
#[napi(ts_return_type = "Promise<OpenedNode>")]
pub fn open_node(options: OpenOptions) -> Result<AsyncTask<OpenTask>> {
    let fresh_directory_id = <[u8; 16]>::try_from(options.fresh_directory_id.as_ref())
        .map_err(|_| coded("INTERNAL", "the fresh directory id has 16 bytes"))?;
    let config = NodeConfig {
        data_dir: options.data_dir.into(),
        cluster_id: options.cluster_id,
        node_id: options.node_id,
        peers: options.peers,
        election_timeout_ms: (options.election_timeout_min_ms.into(), options.election_timeout_max_ms.into()),
        heartbeat_interval_ms: options.heartbeat_interval_ms.into(),
        inflight_messages: options.inflight_messages as usize,
        pending_bytes_max: options.pending_bytes_max as usize,
        peer_bytes_max: options.peer_bytes_max as usize,
        limits: MachineLimits { window_events: options.window_events as usize, ..Default::default() },
        log: LogOptions {
            segment_bytes: options.segment_bytes as u64,
            spare_segments: options.spare_segments as usize,
            ..Default::default()
        },
        seed: options.seed.get_u64().1,
        fresh_directory_id,
    };
    Ok(AsyncTask::new(OpenTask { config }))
}

pub struct CloseTask {
    handle: u32,
}

#[napi]
impl Task for CloseTask {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        // A second close finds nothing, and that is fine.
        if let Ok(node) = registry::get(self.handle) {
            node.close();
            registry::remove(self.handle);
        }
        Ok(())
    }

    fn resolve(&mut self, _env: Env, (): ()) -> Result<()> {
        Ok(())
    }
}

/// Ends a node: drains, writes, joins. Resolves when the directory is free again.
#[napi(ts_return_type = "Promise<void>")]
pub fn close_node(handle: u32) -> AsyncTask<CloseTask> {
    AsyncTask::new(CloseTask { handle })
}
