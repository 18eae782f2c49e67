//! Damage on real files: a byte flipped in each record of a middle segment of one member of three, one at a time. The member
//! starts, gets back what it has lost, and its journal is that of the others (rule L2).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vexfs_core::event::{RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::journal::Window;
use vexfs_core::log::{scan, LogOptions, ScannedRecord};
use vexfs_core::machine::MachineLimits;
use vexfs_core::member::open::MemberConfig;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::ordered::status::{GroupStatus, Role};
use vexfs_runtime::disk::{FileDisk, Mode};
use vexfs_runtime::node::{Node, NodeConfig};

const NAMES: [&str; 3] = ["a", "b", "c"];
const GROUP: GroupId = GroupId(0);
/// For what the slowest machine needs: no figure of it decides.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(dir: &Path, name: &str, snapshot_entries: u64) -> NodeConfig {
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
            inflight_messages: 64,
            intake_bytes_max: 8 << 20,
            limits: MachineLimits::default(),
            snapshots: SnapshotPolicy { entries: snapshot_entries, keep_entries: 10, ..SnapshotPolicy::default() },
            read_lease_us: 0,
            log: LogOptions { segment_bytes: 64 * 1024, spare_segments: 1, reserve_bytes: 0 },
            seed: u64::from(name.as_bytes()[0]),
            fresh_directory_id: [name.as_bytes()[0]; 16],
        },
        peers: NAMES.iter().filter(|other| **other != name).map(|other| (*other).to_string()).collect(),
        pending_bytes_max: 8 << 20,
        peer_bytes_max: 8 << 20,
    }
}

fn submission(origin: &str, id: u128, payload: usize) -> Vec<u8> {
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
struct Cluster {
    dir: tempfile::TempDir,
    snapshot_entries: u64,
    running: Running,
    stopping: Arc<AtomicBool>,
    wires: Option<std::thread::JoinHandle<()>>,
}

impl Cluster {
    fn new(snapshot_entries: u64) -> Self {
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
        let cluster = Self { dir, snapshot_entries, running, stopping, wires: Some(wires) };
        NAMES.iter().for_each(|name| cluster.start(name));
        cluster
    }

    fn start(&self, name: &'static str) {
        let node = Node::open(config(self.dir.path(), name, self.snapshot_entries)).unwrap();
        let mut running = self.running.lock().unwrap();
        for (other, peer) in running.iter() {
            connect(&node, name, peer, other);
            connect(peer, other, &node, name);
        }
        running.insert(name, node);
    }

    fn stop(&self, name: &'static str) {
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

    fn node(&self, name: &str) -> Arc<Node> {
        self.running.lock().unwrap()[name].clone()
    }

    fn status(&self, name: &str) -> GroupStatus {
        self.node(name).shared().groups[&GROUP].status.lock().clone()
    }

    fn wait(&self, what: &str, reached: impl Fn() -> bool) {
        let began = Instant::now();
        while !reached() {
            let states: Vec<_> = NAMES.iter().filter(|name| self.running.lock().unwrap().contains_key(**name)).map(|name| self.status(name)).collect();
            assert!(began.elapsed() < PATIENCE, "{what}: {states:#?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_agreed(&self, what: &str, events: u64) {
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
    fn journal(&self, name: &str) -> Vec<u8> {
        let (node, mut all) = (self.node(name), Vec::new());
        let mut window = Window { index: Index(0), offset: 0, bytes_max: 64 * 1024, events_max: 4_096 };
        loop {
            let page = node.read_journal(GROUP, window, None).unwrap_or_else(|error| panic!("{name}: {error}"));
            let number = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
            all.extend_from_slice(&page[24..]);
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
        from.link_up(slot, channel);
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

/// Offsets of the entries' records in the segment in the middle, and its file.
fn middle(dir: &Path) -> (PathBuf, Vec<u64>) {
    let disk = FileDisk::open(dir, Mode::ReadOnly).unwrap();
    let mut records = Vec::new();
    let summary = scan(&disk, &mut |item| records.push(item)).unwrap();
    assert!(summary.damage.is_none(), "{:?}", summary.damage);
    let segments: Vec<&String> = records.iter().map(|item| &item.segment).collect::<BTreeSet<_>>().into_iter().collect();
    assert!(segments.len() >= 4, "{segments:?}");
    let segment = segments[segments.len() / 2].clone();
    let here = records.iter().filter(|item| item.segment == segment);
    let offsets = here.filter(|item| matches!(item.record, ScannedRecord::Entry { .. })).map(|item| item.offset).collect();
    (dir.join(segment), offsets)
}

fn flip(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], at).unwrap();
    file.sync_all().unwrap();
}

/// `snapshot_entries`: so often a snapshot is taken; what it covers only readers of the journal miss.
fn every_record_comes_back(snapshot_entries: u64) {
    let cluster = Cluster::new(snapshot_entries);
    cluster.wait("a leader", || NAMES.iter().any(|name| cluster.status(name).role == Role::Leader));
    let events = 240;
    for id in 0..events {
        cluster.node("b").submit(id as u32 + 1, &submission("b", id + 1, 700), 1).unwrap();
        cluster.wait("it is applied", || cluster.status("b").events > id as u64);
    }
    cluster.wait_agreed("all have all of it", events as u64);
    let whole = cluster.journal("b");
    assert_eq!(cluster.journal("a"), whole);
    cluster.stop("a");
    let (file, offsets) = middle(&cluster.dir.path().join("a"));
    assert!(offsets.len() > 10, "{} records in {}", offsets.len(), file.display());
    for (at, offset) in offsets.iter().enumerate() {
        // In the term, then in what follows it.
        flip(&file, offset + [24, 40, 90][at % 3]);
        cluster.start("a");
        cluster.wait_agreed(&format!("after damage at byte {offset}"), events as u64);
        assert!(cluster.journal("a") == whole, "the journal after damage at byte {offset}");
        assert_eq!(cluster.status("a").repaired, 1, "byte {offset}");
        cluster.stop("a");
    }
    cluster.start("a");
    cluster.wait_agreed("whole again", events as u64);
    assert!(cluster.journal("a") == whole);
    assert_eq!(cluster.status("a").repaired, 0);
}

#[test]
fn every_record_that_raft_needs_comes_back() {
    every_record_comes_back(100_000);
}

#[test]
fn every_record_that_readers_need_comes_back() {
    every_record_comes_back(200);
}
