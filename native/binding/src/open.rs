//! Opening and closing, off the JavaScript thread: recovery reads files, closing joins threads.

use crate::registry::{self, coded};
use napi::bindgen_prelude::{AsyncTask, BigInt, Buffer, Env, Result, Task};
use napi_derive::napi;
use vexfs_core::causal::tally::Retention;
use vexfs_core::compression::Codec;
use vexfs_core::log::{LogError, LogOptions};
use vexfs_core::machine::MachineLimits;
use vexfs_core::member::open::{CausalConfig, MemberConfig, OpenError as MemberError};
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::peer::choice::Mode;
use vexfs_core::snapshot::SnapshotError;
use vexfs_runtime::disk::DiskError;
use vexfs_runtime::node::{ticks, Node, NodeConfig, OpenError};

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
    /// Election timeouts follow what is measured of the links, from the ones above up.
    pub follows_round_trips: bool,
    pub inflight_messages: u32,
    pub pending_bytes_max: f64,
    pub peer_bytes_max: f64,
    /// How frames to other members are packed: `none`, `auto`, or the name of a codec.
    pub compression: String,
    pub window_events: u32,
    pub segment_bytes: f64,
    pub spare_segments: u32,
    /// Bytes given back to the file system when it is full.
    pub reserve_bytes: f64,
    /// Bytes that nobody needs and that older entries may hold back in the log.
    pub held_back_bytes_max: f64,
    /// A new directory waits to be added to a cluster that exists.
    pub joins: bool,
    /// Ordered groups, from 0 on.
    pub groups: u32,
    /// Leaders answer barriers by themselves for a while after a majority has answered them.
    pub read_lease: bool,
    pub snapshot_entries: f64,
    pub keep_entries: f64,
    /// What the journal keeps; 0 for everything.
    pub retain_events: f64,
    pub retain_bytes: f64,
    pub retain_age_ms: f64,
    /// Between two tellings of what is on disk here, to members that do not know it.
    pub gossip_interval_ms: u32,
    /// How long a missing event of the causal lane has to come by itself.
    pub delivery_timeout_ms: u32,
    /// Entries of an origin that wait in memory for what they follow.
    pub causality_buffer: u32,
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
    /// Microseconds that the log's files took, and the groups' snapshots.
    pub log_us: f64,
    pub state_us: f64,
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
            log_us: opened.log_time.as_micros() as f64,
            state_us: opened.state_time.as_micros() as f64,
        })
    }
}

fn code_of(error: &OpenError) -> &'static str {
    match error {
        OpenError::Disk(error) => disk_code(error),
        OpenError::Member(MemberError::Log(error)) => log_code(error),
        OpenError::Member(MemberError::MemberIdCollision(..) | MemberError::FewerGroups { .. } | MemberError::MoreGroups { .. }) => "CONFIG_INVALID",
        OpenError::Member(MemberError::Group(_)) => "LOG_DAMAGED",
        OpenError::Member(MemberError::StateLost { .. }) => "STATE_LOST",
        OpenError::Member(MemberError::Snapshot(error)) => snapshot_code(error),
        OpenError::Io(_) => "DISK_FAILED",
    }
}

pub fn disk_code(error: &DiskError) -> &'static str {
    match error {
        DiskError::InUse { .. } => "DATA_DIR_IN_USE",
        _ => "DATA_DIR_UNREADABLE",
    }
}

pub fn snapshot_code(error: &SnapshotError) -> &'static str {
    match error {
        SnapshotError::WrongCluster { .. } => "SNAPSHOT_WRONG_CLUSTER",
        error if error.is_full() => "DISK_FULL",
        SnapshotError::Io { .. } => "DATA_DIR_UNREADABLE",
        SnapshotError::Damaged { .. } | SnapshotError::UnsupportedVersion { .. } => "SNAPSHOT_INVALID",
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
    let limit = |value: f64| (value > 0.0).then_some(value as u64);
    let (low, high) = (ticks(options.election_timeout_min_ms.into()).max(2), ticks(options.election_timeout_max_ms.into()));
    // Addresses are each node's own: the table that all founders write must be the same.
    let founders = std::iter::once(&options.node_id).chain(&options.peers).map(|id| (id.clone(), String::new())).collect();
    let member = MemberConfig {
        cluster_id: options.cluster_id,
        node_id: options.node_id,
        founders,
        joins: options.joins,
        groups: options.groups,
        election_ticks: (low, high.max(low + 1)),
        heartbeat_ticks: ticks(options.heartbeat_interval_ms.into()).min(low - 1),
        profile: if options.follows_round_trips { Profile::Wan } else { Profile::Lan },
        inflight_messages: options.inflight_messages as usize,
        intake_bytes_max: options.pending_bytes_max as usize,
        limits: MachineLimits { window_events: options.window_events as usize, ..Default::default() },
        snapshots: SnapshotPolicy {
            entries: options.snapshot_entries as u64,
            keep_entries: options.keep_entries as u64,
            retain_events: limit(options.retain_events),
            retain_bytes: limit(options.retain_bytes),
            retain_age_ms: limit(options.retain_age_ms),
        },
        // A quarter of it is for what clocks may differ, and for a tick that was nearly over.
        read_lease_us: if options.read_lease { u64::from(options.election_timeout_min_ms) * 750 } else { 0 },
        causal: CausalConfig {
            gossip_ticks: ticks(options.gossip_interval_ms.into()) as u64,
            fetch_ticks: ticks(options.delivery_timeout_ms.into()) as u64,
            buffer_entries: options.causality_buffer as usize,
            retention: Retention { events: limit(options.retain_events), bytes: limit(options.retain_bytes), age_ms: limit(options.retain_age_ms) },
            has_states: true,
            ..CausalConfig::default()
        },
        log: LogOptions {
            segment_bytes: options.segment_bytes as u64,
            spare_segments: options.spare_segments as usize,
            reserve_bytes: options.reserve_bytes as u64,
        },
        seed: options.seed.get_u64().1,
        fresh_directory_id,
    };
    let config = NodeConfig {
        data_dir: options.data_dir.into(),
        member,
        peers: options.peers,
        pending_bytes_max: options.pending_bytes_max as usize,
        peer_bytes_max: options.peer_bytes_max as usize,
        compression: mode_of(&options.compression)?,
        held_back_bytes_max: options.held_back_bytes_max as u64,
    };
    Ok(AsyncTask::new(OpenTask { config }))
}

fn mode_of(name: &str) -> Result<Mode> {
    match name {
        "none" => Ok(Mode::None),
        "auto" => Ok(Mode::Auto),
        _ => {
            let named = Codec::ALL.into_iter().find(|codec| codec.name() == name);
            named.map(Mode::Only).ok_or_else(|| coded("COMPRESSION_UNKNOWN", format!("unknown compression {name:?}")))
        }
    }
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
