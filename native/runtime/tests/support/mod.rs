//! Three members in one process, on real files and threads, with wires of their own between them.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vexfs_core::event::{RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::journal::{Window, DELIVERIES_HEADER_BYTES};
use vexfs_core::log::LogOptions;
use vexfs_core::machine::MachineLimits;
use vexfs_core::member::open::{CausalConfig, MemberConfig};
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::ordered::status::GroupStatus;
use vexfs_core::peer::choice::Mode;
use vexfs_runtime::node::{Node, NodeConfig};

pub const NAMES: [&str; 3] = ["a", "b", "c"];
pub const GROUP: GroupId = GroupId(0);
/// For what the slowest machine needs: no figure of it decides.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn config(dir: &Path, name: &str, snapshot_entries: u64, limits: MachineLimits) -> NodeConfig {
    NodeConfig {
        data_dir: dir.join(name),
        member: MemberConfig {
            cluster_id: "repair".to_string(),
            node_id: name.to_string(),
            founders: NAMES.iter().map(|name| ((*name).to_string(), String::new())).collect(),
            joins: false,
            groups: 1,
            election_ticks: (15, 30),
            heartbeat_ticks: 5,
            profile: Profile::Lan,
            inflight_messages: 64,
            intake_bytes_max: 8 << 20,
            limits,
            snapshots: SnapshotPolicy { entries: snapshot_entries, keep_entries: 10, ..SnapshotPolicy::default() },
            read_lease_us: 0,
            causal: CausalConfig::default(),
            log: LogOptions { segment_bytes: 64 * 1024, spare_segments: 1, reserve_bytes: 0 },
            seed: u64::from(name.as_bytes()[0]),
            fresh_directory_id: [name.as_bytes()[0]; 16],
        },
        peers: NAMES.iter().filter(|other| **other != name).map(|other| (*other).to_string()).collect(),
        pending_bytes_max: 8 << 20,
        peer_bytes_max: 8 << 20,
        compression: Mode::Auto,
        held_back_bytes_max: 256 << 20,
    }
}

pub fn submission(origin: &str, id: u128, payload: usize) -> Vec<u8> {
    let path = b"/a";
    let mut record = vec![0; RECORD_HEADER_BYTES];
    record[0..4].copy_from_slice(&((RECORD_HEADER_BYTES + path.len() + payload) as u32).to_le_bytes());
    record[4..6].copy_from_slice(&0x0102u16.to_le_bytes());
    (record[6], record[7]) = (3, 1);
    record[16..20].copy_from_slice(&(payload as u32).to_le_bytes());
    record[20..22].copy_from_slice(&(path.len() as u16).to_le_bytes());
    record[24..40].copy_from_slice(&id.to_be_bytes());
    record.extend_from_slice(path);
    record.resize(record.len() + payload, id as u8 | 1);
    let mut bytes = vec![1, 1, 2, origin.len() as u8];
    bytes.extend_from_slice(&((SUBMISSION_HEADER_BYTES + origin.len() + record.len()) as u32).to_le_bytes());
    bytes.extend_from_slice(&GROUP.0.to_le_bytes());
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&[0; 56]);
    bytes.extend_from_slice(origin.as_bytes());
    bytes.extend_from_slice(&record);
    bytes
}

type Running = Arc<Mutex<BTreeMap<&'static str, Arc<Node>>>>;

/// Three members and the wires between them.
pub struct Cluster {
    pub dir: tempfile::TempDir,
    snapshot_entries: u64,
    limits: fn(&str) -> MachineLimits,
    running: Running,
    stopping: Arc<AtomicBool>,
    wires: Option<std::thread::JoinHandle<()>>,
}

impl Cluster {
    /// `snapshot_entries`: so often a snapshot is taken. `limits`: of each member.
    pub fn new(snapshot_entries: u64, limits: fn(&str) -> MachineLimits) -> Self {
        let running = Running::default();
        let stopping = Arc::new(AtomicBool::new(false));
        let wires = std::thread::spawn({
            let (running, stopping) = (running.clone(), stopping.clone());
            move || {
                while !stopping.load(Ordering::SeqCst) {
                    let nodes = running.lock().unwrap().clone();
                    nodes.keys().for_each(|from| carry(&nodes, from));
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let cluster = Self { dir, snapshot_entries, limits, running, stopping, wires: Some(wires) };
        NAMES.iter().for_each(|name| cluster.start(name));
        cluster
    }

    /// Of members that are started from now on.
    pub fn set_limits(&mut self, limits: fn(&str) -> MachineLimits) {
        self.limits = limits;
    }

    pub fn start(&self, name: &'static str) {
        let node = Node::open(config(self.dir.path(), name, self.snapshot_entries, (self.limits)(name))).unwrap();
        let mut running = self.running.lock().unwrap();
        for (other, peer) in running.iter() {
            connect(&node, name, peer, other);
            connect(peer, other, &node, name);
        }
        running.insert(name, node);
    }

    pub fn stop(&self, name: &'static str) {
        let node = {
            let mut running = self.running.lock().unwrap();
            let node = running.remove(name).unwrap();
            for (other, peer) in running.iter() {
                let slot = peers_of(other).position(|peer| peer == name).unwrap() as u32;
                (0..2).for_each(|channel| peer.link_down(slot, channel));
            }
            node
        };
        node.close();
    }

    pub fn node(&self, name: &str) -> Arc<Node> {
        self.running.lock().unwrap()[name].clone()
    }

    pub fn status(&self, name: &str) -> GroupStatus {
        self.node(name).shared().groups[&GROUP].status.lock().clone()
    }

    pub fn wait(&self, what: &str, reached: impl Fn() -> bool) {
        let began = Instant::now();
        while !reached() {
            let states: Vec<_> = NAMES.iter().filter(|name| self.running.lock().unwrap().contains_key(**name)).map(|name| self.status(name)).collect();
            assert!(began.elapsed() < PATIENCE, "{what}: {states:#?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn wait_agreed(&self, what: &str, events: u64) {
        self.wait(what, || {
            let states = NAMES.map(|name| self.status(name));
            let one = &states[0];
            let same = states.iter().all(|other| {
                other.leader.is_some() && (other.applied, other.apply_hash, other.leader) == (one.applied, one.apply_hash, one.leader)
            });
            same && one.events == events && one.applied == one.last && !states.iter().any(|one| one.repairing)
        });
    }

    /// The journal from its beginning, as bytes without the pages' heads.
    pub fn journal(&self, name: &str) -> Vec<u8> {
        let (node, mut all) = (self.node(name), Vec::new());
        let mut window = Window { index: Index(0), offset: 0, bytes_max: 64 * 1024, events_max: 4_096 };
        loop {
            let page = node.read_journal(GROUP, window, None).unwrap_or_else(|error| panic!("{name}: {error}"));
            let number = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
            all.extend_from_slice(&page[DELIVERIES_HEADER_BYTES..]);
            window = Window { index: Index(number(0)), offset: number(8) as u32, ..window };
            if window.index.0 > number(16) {
                return all;
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(self.wires.take().map(std::thread::JoinHandle::join));
        std::mem::take(&mut *self.running.lock().unwrap()).values().for_each(|node| node.close());
    }
}

fn peers_of(name: &str) -> impl Iterator<Item = &'static str> + '_ {
    NAMES.into_iter().filter(move |other| *other != name)
}

/// Numbers of connections into a member: by sender and channel.
fn connection(from: &str, channel: u8) -> u32 {
    u32::from(from.as_bytes()[0]) * 2 + u32::from(channel)
}

fn connect(from: &Node, from_name: &str, to: &Node, to_name: &str) {
    let slot = peers_of(from_name).position(|peer| peer == to_name).unwrap() as u32;
    for channel in 0..2 {
        to.inbound_open(connection(from_name, channel), from_name);
        from.link_up(slot, channel, 0);
    }
}

/// Takes what one member wants sent to those it is for.
fn carry(nodes: &BTreeMap<&'static str, Arc<Node>>, from: &str) {
    let batch = nodes[from].shared().outbox.take();
    let peers: Vec<&str> = peers_of(from).collect();
    let mut at = 0;
    while at < batch.len() {
        let (channel, slot) = (batch[at], u16::from_le_bytes([batch[at + 2], batch[at + 3]]));
        let length = u32::from_le_bytes(batch[at + 4..at + 8].try_into().unwrap()) as usize;
        if let Some(to) = nodes.get(peers[slot as usize]) {
            to.inbound_data(connection(from, channel), &batch[at + 8..at + 8 + length]).unwrap();
        }
        at += 8 + length;
    }
}
