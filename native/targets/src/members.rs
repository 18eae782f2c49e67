//! One member of three, with all that it is made of but threads and a clock: log, snapshots, groups and the causal lane.
//! The fuzzer is the other two, and its clients, its disk and its end. What peers send comes as frames (`peers`).
//!
//! Whatever they send, the member neither panics nor takes memory for it beyond a bound; what it refuses has changed
//! nothing; what it has applied stays as it is; and what it has written it can be started from again.

use crate::allocations::peak_of;
use crate::disk::MemoryDisk;
use crate::peers::{Peers, View, ME, OTHERS};
use crate::state::LIMITS;
use crate::submissions::{submission, Shape};
use arbitrary::{Result, Unstructured};
use std::collections::BTreeMap;
use std::sync::Arc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::head::Head;
use vexfs_core::event::{self, Submission, SubmissionKind};
use vexfs_core::ids::{GroupId, Index, MemberId, RequestId};
use vexfs_core::log::{Log, LogError, LogOptions, LogReader};
use vexfs_core::member::batch::Batch;
use vexfs_core::member::open::{self, CausalConfig, MemberConfig};
use vexfs_core::member::Member;
use vexfs_core::ordered::effects::{Effects, Write};
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::ordered::status::GroupStatus;
use vexfs_core::ordered::GroupError;
use vexfs_core::peer::frame::{Assembler, Channel, Frame};
use vexfs_core::peer::round_trips::is_of_no_group;
use vexfs_core::snapshot::keeper::Keeper;
use vexfs_core::stub;

const GROUP: GroupId = GroupId(0);
const STEPS_MAX: usize = 48;
const TICK_US: u64 = 10_000;
/// In which a member that joins has its snapshot.
const LEARNS_TICKS: usize = 8;
/// What one frame may take: what is read of the disk for it, and so many times its length.
const WORK_BYTES: usize = 6 * 1024 * 1024;
const TIMES: usize = 64;

pub fn run(bytes: &[u8]) {
    let _ = play(&mut Unstructured::new(bytes));
}

fn play(from: &mut Unstructured<'_>) -> Result<()> {
    // A founder, one that joins, or one that has joined.
    let begins: u8 = from.arbitrary()?;
    let config = config(begins % 2 == 1, 1);
    let Some(mut world) = World::start(MemoryDisk::default(), config) else { return Ok(()) };
    let mut peers = Peers::default();
    if begins % 4 == 3 {
        world.learn(&mut peers);
    }
    for _ in 0..STEPS_MAX {
        if from.is_empty() || !world.step(from, &mut peers)? || !world.settle(&mut peers) {
            break;
        }
    }
    // What was written can be gone on from.
    world.restart();
    Ok(())
}

fn config(joins: bool, life: u64) -> MemberConfig {
    let founders = [ME].into_iter().chain(OTHERS).map(|name| (name.to_string(), String::new())).collect();
    MemberConfig {
        cluster_id: "c".to_string(),
        node_id: ME.to_string(),
        founders,
        joins,
        groups: 1,
        election_ticks: (3, 5),
        heartbeat_ticks: 1,
        profile: Profile::Lan,
        inflight_messages: 4,
        intake_bytes_max: 64 * 1024,
        limits: LIMITS,
        snapshots: SnapshotPolicy { entries: 4, keep_entries: 1, retain_events: Some(4), ..SnapshotPolicy::default() },
        read_lease_us: 0,
        log: LogOptions { segment_bytes: 64 * 1024, spare_segments: 0, reserve_bytes: 0 },
        causal: CausalConfig { continuity_ticks: 4, gossip_ticks: 1, fetch_ticks: 2, buffer_entries: 8, has_states: true, ..CausalConfig::default() },
        seed: life,
        fresh_directory_id: [1; 16],
    }
}

struct World {
    disk: MemoryDisk,
    config: MemberConfig,
    log: Log<MemoryDisk>,
    keeper: Keeper<MemoryDisk>,
    member: Member<LogReader<MemoryDisk>>,
    effects: Effects,
    queue: Vec<Write>,
    /// The disk answers nothing.
    stalled: bool,
    now_us: u64,
    requests: u64,
    /// What was applied, by index, and the last state that was looked at.
    hashes: BTreeMap<Index, u64>,
    seen: GroupStatus,
}

impl World {
    fn start(disk: MemoryDisk, config: MemberConfig) -> Option<Self> {
        let recovered = open::recover(Arc::new(disk.clone()), &config).unwrap_or_else(|error| panic!("the directory cannot be recovered: {error}"));
        let member = open::start(&recovered, &config).unwrap_or_else(|error| panic!("the member does not start: {error}"));
        let open::Recovered { log, keeper, .. } = recovered;
        let seen = member.group(GROUP)?.status();
        let (effects, queue) = (Effects::default(), Vec::new());
        Some(Self { disk, config, log, keeper, member, effects, queue, stalled: false, now_us: 0, requests: 0, hashes: BTreeMap::new(), seen })
    }

    fn restart(&mut self) {
        self.look_at_stubs();
        let config = config(self.config.joins, self.config.seed + 1);
        // What was not written is gone with the process.
        if let Some(world) = Self::start(MemoryDisk::of(&self.disk.content()), config) {
            *self = world;
        }
    }

    fn view(&self) -> View<'_> {
        View { status: &self.seen, life: open::life_of(&self.config), log: self.log.reader(), group: GROUP }
    }

    /// Is made a member that learns, as one that joins is.
    fn learn(&mut self, peers: &mut Peers) {
        let mut frames = peers.teaches(&self.view());
        for _ in 0..LEARNS_TICKS {
            frames.iter().for_each(|(other, frame)| self.receive(*other, frame));
            self.tick();
            assert!(self.settle(peers), "nothing was amiss yet");
            frames = peers.answers_of(None, &self.view());
        }
        assert_eq!(self.seen.conf.learners, [MemberId::of(ME)], "it learns");
    }

    fn tick(&mut self) {
        self.now_us += TICK_US;
        self.member.tick();
    }

    /// False where the member has come to its end.
    fn step(&mut self, from: &mut Unstructured<'_>, peers: &mut Peers) -> Result<bool> {
        match from.int_in_range(0..=15u8)? {
            0 | 1 => {
                for _ in 0..from.int_in_range(1..=8u8)? {
                    self.tick();
                    if !self.settle(peers) {
                        return Ok(false);
                    }
                }
            }
            2 => {
                self.restart();
                peers.links_down();
            }
            3 => {
                let other = MemberId::of(from.choose(&OTHERS)?);
                match from.int_in_range(0..=3u8)? {
                    0 | 1 => self.member.link_up(other),
                    2 => self.member.link_down(other),
                    _ => {
                        self.member.link_down(other);
                        self.member.deserted_by(other);
                    }
                }
            }
            4 if from.ratio(1u8, 4u8)? => {
                let actor = Actor { member: MemberId::of(from.choose(&OTHERS)?), incarnation: 0 };
                self.member.touch_lane().fetch(actor, from.int_in_range(1..=5)?);
            }
            4 => self.publish(from)?,
            5 => self.stalled = !self.stalled,
            6..=8 => {
                for (other, frame) in peers.answers(from, &self.view())? {
                    self.receive(other, &frame);
                    if !self.settle(peers) {
                        return Ok(false);
                    }
                }
            }
            _ => {
                let (other, frame) = peers.frame(from, &self.view())?;
                self.receive(other, &frame);
            }
        }
        Ok(true)
    }

    fn publish(&mut self, from: &mut Unstructured<'_>) -> Result<()> {
        let causal = from.arbitrary()?;
        let shape = Shape { level: if causal { 1 } else { 2 }, origin: ME, kind: causal.then_some(SubmissionKind::Events), ..Shape::default() };
        let mut bytes = submission(from, &shape)?;
        self.requests += 1;
        let request = RequestId(open::life_of(&self.config) << 32 | self.requests);
        event::stamp(&mut bytes, MemberId::of(ME), request, self.member.hlc().saturating_add(1));
        if causal {
            Submission::parse_causal(bytes.into()).into_iter().for_each(|one| self.member.publish(one, self.now_us));
        } else if let Ok(one) = Submission::parse(bytes.into()) {
            self.member.submit(one, 1, self.now_us);
        }
        Ok(())
    }

    /// As a connection brings it.
    fn receive(&mut self, from: MemberId, bytes: &[u8]) {
        let mut frames: Vec<Frame> = Vec::new();
        if Assembler::default().push(bytes, &mut frames).is_err() {
            return;
        }
        for frame in frames.into_iter().filter(|frame| !is_of_no_group(frame.kind)) {
            let length = frame.body.len();
            let before = self.member.group(GROUP).map(|group| group.status());
            let lane = lane_of(&self.member);
            let (taken, peak) = peak_of(|| self.member.receive(from, frame, self.now_us, &mut self.effects));
            assert!(peak <= WORK_BYTES + TIMES * length, "{peak} bytes for a frame of {length}");
            if let (Err(refused), Some(before), Some(group)) = (taken, before, self.member.group(GROUP)) {
                assert_eq!(decided(&before), decided(&group.status()), "{refused}");
                assert_eq!(lane, lane_of(&self.member), "{refused}");
            }
        }
    }

    /// Carries out what the member asks for, until it asks for nothing. False where it has come to its end.
    fn settle(&mut self, peers: &mut Peers) -> bool {
        for _ in 0..64 {
            let dirty = self.member.take_dirty();
            if dirty.is_empty() {
                break;
            }
            for id in dirty {
                match self.member.flush(id, self.now_us, &mut self.effects) {
                    Ok(()) => {}
                    // A leader has had something committed that nobody can read, or nobody has what is lost.
                    Err(GroupError::Unappliable { .. } | GroupError::Lost { .. }) => return false,
                    Err(error @ GroupError::Raft(_)) => panic!("{error}"),
                }
                if !self.carry_out(peers) {
                    return false;
                }
            }
            self.look();
        }
        true
    }

    fn carry_out(&mut self, peers: &mut Peers) -> bool {
        peers.sent(self.effects.frames.drain(..));
        self.queue.append(&mut self.effects.writes);
        let jobs: Vec<_> = self.effects.jobs.drain(..).collect();
        for job in jobs {
            let done = self.keeper.carry_out(job, &mut || {});
            if self.member.job_done(done, &mut self.effects).is_err() {
                return false;
            }
        }
        (self.effects.applied, self.effects.journal_first) = (false, None);
        self.effects.suppressed.clear();
        self.effects.completions.clear();
        let _ = (self.member.take_lane_news(), self.member.take_lane_gone());
        if let Some(states) = self.member.take_states() {
            self.member.touch_lane().keep_states(states);
        }
        self.stalled || self.write()
    }

    fn write(&mut self) -> bool {
        let mut batch = Batch::default();
        self.queue.drain(..).for_each(|write| batch.add(write));
        if batch.forgets && self.log.set_unsettled().is_err() {
            return false;
        }
        match self.log.append(&batch.ops) {
            Ok(_) => {}
            // A number beyond what a log can count to is met by the disk's limits.
            Err(LogError::Full { .. } | LogError::TooLarge { .. }) => return false,
            Err(error) => panic!("the log does not take what the member writes: {error}"),
        }
        let settled = batch.settles && self.log.clear_unsettled().is_ok();
        let finished = vexfs_core::member::batch::Finished { settled, ..batch.finish() };
        self.member.finished(&finished, &mut self.effects);
        true
    }

    /// What was decided stays.
    fn look(&mut self) {
        let Some(group) = self.member.group(GROUP) else { return };
        let status = group.status();
        assert!(status.term >= self.seen.term && status.commit >= self.seen.commit && status.applied >= self.seen.applied, "{:?}, then {status:?}", self.seen);
        assert!(status.applied <= status.commit);
        if status.snapshots_installed > self.seen.snapshots_installed {
            self.hashes.clear();
        }
        for index in (status.applied.0.saturating_sub(4)..=status.applied.0).map(Index) {
            if let Some(hash) = group.hash_at(index) {
                assert_eq!(*self.hashes.entry(index).or_insert(hash), hash, "entry {index} was applied, and is another one");
            }
        }
        self.seen = status;
    }

    /// A stub stands only for what its holders leave this member out of, and nothing from there on counts as held.
    fn look_at_stubs(&self) {
        let (lane, log) = (self.member.lane(), self.log.reader());
        let held: BTreeMap<Actor, u64> = lane.held().collect();
        for origin in lane.origins() {
            let end = Index(log.last_index(origin.group).0.saturating_add(1));
            let entries = log.entries(origin.group, Index(origin.first), end, u64::MAX).unwrap_or_default();
            for entry in entries.iter().filter(|entry| stub::is_stub(&entry.data)) {
                let head = Head::decode(&entry.context).ok();
                assert!(head.is_some_and(|head| head.holders.is_some() && !head.names(MemberId::of(ME))), "the stub of what is to be held");
                assert!(held[&origin.actor] < entry.index.0, "a stub counts as held");
            }
        }
    }
}

type Decided = (u64, Index, Index, Index, u64);

fn decided(status: &GroupStatus) -> Decided {
    (status.term.0, status.last, status.commit, status.applied, status.apply_hash)
}

fn lane_of(member: &Member<LogReader<MemoryDisk>>) -> Vec<(String, u64, u64, u64)> {
    member.lane().status().origins
}

/// Which connection a frame comes on makes no difference to the member.
pub type Sent = (MemberId, Channel, Vec<u8>);
