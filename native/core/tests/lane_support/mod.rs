//! Lanes of several members whose disks are in memory and whose frames arrive at once, or so many ticks later.

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::tally::Retention;
use vexfs_core::causal::{Lane, LaneConfig};
use vexfs_core::event::{stamp, Submission, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
use vexfs_core::ids::{GroupId, Index, MemberId, RequestId};
use vexfs_core::log::{GroupRecovery, HardState, Identity, LogEntry, Op, Recovery};
use vexfs_core::membership::Membership;
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::effects::Effects;
use vexfs_core::ordered::held::Replication;
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::peer::frame::{Assembler, Frame, FrameKind};
use vexfs_core::replication::Agreed;

/// Long enough for whatever is asked of all members, twice.
pub const LONG_TICKS: usize = 1_000;

/// A log that is on disk at once.
#[derive(Clone, Default)]
pub struct Memory {
    pub entries: Rc<RefCell<BTreeMap<(GroupId, Index), LogEntry>>>,
    hard: Rc<RefCell<BTreeMap<GroupId, HardState>>>,
}

impl EntryReader for Memory {
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String> {
        let (entries, mut bytes) = (self.entries.borrow(), 0);
        let there = (low.0..high.0).map_while(|index| entries.get(&(group, Index(index))).cloned());
        let fits = |entry: &LogEntry| {
            let is_first = bytes == 0;
            bytes += entry.data.len() as u64;
            is_first || bytes <= bytes_max
        };
        let read: Vec<LogEntry> = there.take_while(fits).collect();
        if read.is_empty() { Err("there is no such entry".to_string()) } else { Ok(read) }
    }
}

pub struct Cluster {
    pub table: Membership,
    pub rules: Agreed,
    /// Of whoever begins from now on.
    pub retention: Retention,
    pub lanes: BTreeMap<&'static str, (Lane<Memory>, Memory)>,
    /// Ticks that a frame takes, either way.
    pub way_ticks: u64,
    /// What was sent, by its kind.
    sent: BTreeMap<u8, usize>,
    on_way: VecDeque<(u64, &'static str, &'static str, Frame)>,
    ticks: u64,
    away: BTreeSet<&'static str>,
    lives: u64,
}

impl Cluster {
    pub fn of(names: &[&'static str]) -> Self {
        let founders: Vec<_> = names.iter().map(|name| (name.to_string(), String::new())).collect();
        let mut cluster = Self { table: Membership::founded(&founders), rules: Agreed::default(), retention: Retention::default(), lanes: BTreeMap::new(), way_ticks: 0, sent: BTreeMap::new(), on_way: VecDeque::new(), ticks: 0, away: BTreeSet::new(), lives: 0 };
        names.iter().for_each(|name| cluster.begin(name));
        cluster
    }

    /// A member with an empty disk.
    pub fn begin(&mut self, name: &'static str) {
        self.begin_over(name, Memory::default());
    }

    /// A member that is started again. Recovery tells of no damage: it does not read what is in sealed segments.
    pub fn begin_again(&mut self, name: &'static str) {
        let memory = self.lanes[name].1.clone();
        self.begin_over(name, memory);
    }

    pub fn begin_over(&mut self, name: &'static str, memory: Memory) {
        self.lives += 1;
        let mut groups = BTreeMap::new();
        for (group, state) in memory.hard.borrow().iter() {
            groups.insert(*group, GroupRecovery { first_index: Index(1), hard_state: *state, ..GroupRecovery::default() });
        }
        for (group, index) in memory.entries.borrow().keys() {
            let found = groups.entry(*group).or_insert(GroupRecovery { first_index: *index, ..GroupRecovery::default() });
            found.last_index = *index;
        }
        let config = LaneConfig {
            me: MemberId::of(name),
            node_id: name.to_string(),
            life: self.lives << 32,
            fresh_incarnation: 7,
            unsettled: false,
            continuity_ticks: 10,
            gossip_ticks: 5,
            fetch_ticks: 5,
            buffer_entries: 64,
            window_events: 1_000,
            retention: self.retention,
            has_states: false,
        };
        let identity = Identity { cluster_id: "test".to_string(), node_id: name.to_string(), directory: [0; 16], incarnation: 1 };
        let recovery = Recovery { identity, groups, torn_bytes: 0, unsettled: false, damaged: Vec::new(), lost_batches: 0, log_bytes: 0, segments: 0 };
        let mut lane = Lane::open(config, &recovery, memory.clone());
        lane.set_table(&self.table);
        lane.set_rules(&self.rules);
        self.lanes.insert(name, (lane, memory));
        self.away.remove(name);
        self.connect();
    }

    pub fn leave(&mut self, name: &'static str) {
        self.away.insert(name);
        self.connect();
    }

    pub fn come(&mut self, name: &'static str) {
        self.away.remove(name);
        self.connect();
    }

    pub fn connect(&mut self) {
        let there: Vec<&str> = self.lanes.keys().filter(|name| !self.away.contains(*name)).copied().collect();
        for (name, (lane, _)) in &mut self.lanes {
            for other in there.iter().filter(|other| *other != name) {
                lane.link_down(MemberId::of(other));
                lane.link_up(MemberId::of(other));
            }
            self.away.iter().for_each(|other| lane.link_down(MemberId::of(other)));
        }
    }

    pub fn lane(&mut self, name: &str) -> &mut Lane<Memory> {
        &mut self.lanes.get_mut(name).expect("there is such a member").0
    }

    pub fn tick(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.ticks += 1;
            self.arrive();
            let there: Vec<&str> = self.lanes.keys().filter(|name| !self.away.contains(*name)).copied().collect();
            there.iter().for_each(|name| self.lane(name).tick());
            for name in there {
                self.flush(name);
            }
        }
    }

    /// What there is to do at a member, and what it sends arrives.
    pub fn flush(&mut self, name: &'static str) {
        let mut effects = Effects::default();
        let (lane, memory) = self.lanes.get_mut(name).expect("there is such a member");
        lane.flush(0, &mut effects);
        // As its readers do.
        lane.take_delivered();
        for write in effects.writes {
            for op in write.ops {
                match op {
                    Op::Entries { group, entries } | Op::Repair { group, entries } => {
                        entries.into_iter().for_each(|entry| drop(memory.entries.borrow_mut().insert((group, entry.index), entry)));
                    }
                    Op::HardState { group, state } => drop(memory.hard.borrow_mut().insert(group, state)),
                    _ => {}
                }
            }
            lane.persisted(write.number);
        }
        for (to, _, bytes) in effects.frames {
            let Some(to) = self.lanes.keys().copied().find(|other| MemberId::of(other) == to && !self.away.contains(other)) else { continue };
            let mut frames = Vec::new();
            Assembler::default().push(&bytes, &mut frames).expect("a frame is whole");
            for frame in frames {
                *self.sent.entry(frame.kind as u8).or_default() += 1;
                self.on_way.push_back((self.ticks + self.way_ticks, name, to, frame));
            }
        }
        if self.way_ticks == 0 {
            self.arrive();
        }
    }

    fn arrive(&mut self) {
        while self.on_way.front().is_some_and(|(at, ..)| *at <= self.ticks) {
            let Some((_, from, to, frame)) = self.on_way.pop_front() else { return };
            self.lane(to).receive(MemberId::of(from), &frame).expect("it can be read");
        }
    }

    /// As where what a line had queued is dropped.
    pub fn lose_what_is_on_its_way(&mut self) {
        self.on_way.clear();
    }

    /// How many frames of a kind were sent since the last call.
    pub fn sent(&mut self, kind: FrameKind) -> usize {
        self.sent.remove(&(kind as u8)).unwrap_or(0)
    }

    pub fn publish(&mut self, name: &'static str, id: u64) {
        self.publish_large(name, id, 0);
    }

    /// An event with so many bytes of payload.
    pub fn publish_large(&mut self, name: &'static str, id: u64, bytes: usize) {
        self.publish_at(name, id, "", bytes);
        self.tick(30);
    }

    /// The same, with a path; nothing goes on meanwhile.
    pub fn publish_at(&mut self, name: &'static str, id: u64, path: &str, bytes: usize) {
        let mut record = vec![0; RECORD_HEADER_BYTES];
        record.extend_from_slice(path.as_bytes());
        record.resize(record.len() + bytes, 0xEE);
        record[20..22].copy_from_slice(&(path.len() as u16).to_le_bytes());
        let length = record.len() as u32;
        record[..4].copy_from_slice(&length.to_le_bytes());
        record[16..20].copy_from_slice(&(bytes as u32).to_le_bytes());
        record[24..32].copy_from_slice(&id.to_be_bytes());
        let mut bytes = vec![1, 1, 1, name.len() as u8];
        bytes.resize(SUBMISSION_HEADER_BYTES, 0);
        bytes[12] = 1;
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&record);
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        stamp(&mut bytes, MemberId::of(name), RequestId(id), id);
        let submission = Submission::parse_causal(Bytes::from(bytes)).expect("it is well formed");
        self.lane(name).submit(submission, 0);
    }

    pub fn delivered(&mut self, name: &str, of: &str) -> u64 {
        let (lane, actor) = (self.lane(name), actor(of));
        let at = lane.origins().position(|origin| origin.actor == actor);
        at.map_or(0, |at| lane.delivered().get(vexfs_core::causal::actor::OriginId(at as u16)))
    }

    /// The disk of a member cannot give an entry any more.
    pub fn damage(&mut self, name: &str, of: &str, counter: u64) {
        let group = self.damage_unseen(name, of, counter);
        self.lane(name).unreadable(group, Index(counter));
    }

    /// As `damage`; nobody has met it.
    pub fn damage_unseen(&mut self, name: &str, of: &str, counter: u64) -> GroupId {
        let actor = actor(of);
        let group = self.lane(name).origins().find(|origin| origin.actor == actor).expect("it has some of it").group;
        self.lanes[name].1.entries.borrow_mut().remove(&(group, Index(counter)));
        group
    }

    pub fn is_replicated(&mut self, name: &str, follows: &[(Actor, u64)]) -> bool {
        let conf = Conf::of_voters(self.table.iter().map(|(id, _)| id).collect());
        self.is_replicated_in(name, follows, &conf)
    }

    pub fn is_replicated_in(&mut self, name: &str, follows: &[(Actor, u64)], conf: &Conf) -> bool {
        let lane = self.lane(name);
        let stage = lane.stage();
        lane.is_replicated(follows, conf) || lane.lacking(follows, None).is_none() && (lane.majority_has(&stage, conf) || {
            lane.ask_for(&stage, conf);
            false
        })
    }
}

pub fn actor(name: &str) -> Actor {
    Actor { member: MemberId::of(name), incarnation: 0 }
}
