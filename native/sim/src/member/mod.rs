//! How a member is put together: the product's log over a simulated disk, the product's groups over that log, and what
//! the runtime's threads do between the two. Everything that knows this is here.

mod open;
mod process;

pub use open::opens_foreign;
pub use process::UPKEEP;

use crate::disk::SimDisk;
use crate::invariants::held_back_is_bounded::Excess;
use crate::invariants::mark_goes_last::SettledTo;
use crate::lane::{Dot, Past};
use crate::plants::Plant;
use crate::setup::Setup;
use crate::shadow::{farther, Reach, Shadow};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use vexfs_core::causal::actor::{Actor, Clock};
use vexfs_core::causal::reader::{Bounds, ReadError, Reader};
use vexfs_core::causal::{OriginView, FIRST_ORIGIN};
use vexfs_core::clock::HybridClock;
use vexfs_core::event::Submission;
use vexfs_core::ids::{GroupId, Index, MemberId, RequestId, Term};
use vexfs_core::journal::Suppressed;
use vexfs_core::log::{Log, LogReader, Op, Upkeep};
use vexfs_core::member::batch::Batch;
use vexfs_core::member::open::OpenError;
use vexfs_core::ordered::effects::{Effects, Write};
use vexfs_core::ordered::Group;
use vexfs_core::peer::round_trips::RoundTrips;
use vexfs_core::snapshot::keeper::{snapshots_of, Job, Keeper};

pub type DiskReader = LogReader<SimDisk>;

pub const TICK_US: u64 = 10_000;

/// A batch on its way to the disk.
pub struct Writing {
    pub batch: Batch,
}

/// What the runtime shares of a group with those who read its journal, and what invariants remember of it.
pub struct View {
    pub applied: Index,
    /// Where the journal begins.
    pub first: Index,
    /// What readers pass over.
    pub suppressed: Suppressed,
    pub last_commit_seen: Index,
    /// Term and commit index when it was first seen to lead in that term.
    pub led_from: Option<(Term, Index)>,
}

/// What the runtime shares of the causal lane with its readers, and what invariants remember of it.
#[derive(Default)]
pub struct LaneView {
    pub origins: Vec<OriginView>,
    pub delivered: Clock,
    pub gone: Clock,
    /// What readers of the journals have met that was not delivered.
    pub wanted: RefCell<Vec<(Actor, u64)>>,
    /// `delivered` by actor: what any reader here could have had by now.
    pub vector: Arc<Past>,
    /// Last own entry of each own actor that was written in this life.
    pub own: Past,
    /// `vector` as invariants have judged it.
    pub judged: Arc<Past>,
}

impl LaneView {
    /// Of a process that has told nothing yet: there is nothing to judge.
    pub fn untold() -> Self {
        let nothing = Arc::default();
        Self { vector: Arc::clone(&nothing), judged: nothing, ..Self::default() }
    }
}

/// A member's process.
pub struct Running {
    log: Log<SimDisk>,
    keeper: Keeper<SimDisk>,
    pub entries: DiskReader,
    pub groups: vexfs_core::member::Member<DiskReader>,
    views: Vec<View>,
    pub lane: LaneView,
    pub effects: Effects,
    /// Work on snapshot files, in order.
    pub jobs: VecDeque<Job>,
    pub job_planned: bool,
    clock: HybridClock,
    upkeep: Upkeep,
    pub excess: Option<Excess>,
    /// Where each group of a marked log was settled in this life.
    pub settled_to: BTreeMap<GroupId, SettledTo>,
    /// In this life, for whoever asked for it.
    pub written_bytes: u64,
    pub queue: Vec<Write>,
    pub writing: Option<Writing>,
    pub flush_planned: bool,
    pub round_trips: RoundTrips,
    /// When they were asked for last.
    pub probed_us: u64,
    /// The process stands still.
    pub paused: bool,
    /// A tick has come while it did.
    pub clock_stands: bool,
}

impl Running {
    /// Bytes of the log that are live, and bytes that those hold back.
    pub fn log_use(&self) -> (u64, u64) {
        let live = self.log.pins(u64::MAX).iter().map(|pin| pin.bytes).sum();
        (live, self.entries.stats().held_back_bytes)
    }

    pub fn group(&self, group: GroupId) -> &Group<DiskReader> {
        // Opening makes every group that there is.
        #[allow(clippy::expect_used)]
        self.groups.group(group).expect("the group is configured")
    }

    pub fn view(&self, group: GroupId) -> &View {
        &self.views[group.0 as usize]
    }

    pub fn view_mut(&mut self, group: GroupId) -> &mut View {
        &mut self.views[group.0 as usize]
    }

    /// Tells readers what a flush of the group has come to, as the runtime does.
    pub fn tell_readers(&mut self, group: GroupId) {
        if group == FIRST_ORIGIN {
            return self.tell_lane();
        }
        let Some(flushed) = self.groups.group(group) else { return };
        let (view, effects) = (&mut self.views[group.0 as usize], &mut self.effects);
        if let Some(first) = effects.journal_first.take() {
            view.first = first;
            view.suppressed = flushed.machine().passed_over().clone();
            effects.suppressed.clear();
        }
        if std::mem::take(&mut effects.applied) {
            view.suppressed.add(effects.suppressed.drain(..));
            view.applied = flushed.machine().applied();
        }
    }

    fn tell_lane(&mut self) {
        let (origins, delivered) = self.groups.take_lane_news();
        let gone = self.groups.take_lane_gone();
        let view = &mut self.lane;
        view.gone = gone.unwrap_or_else(|| std::mem::take(&mut view.gone));
        if let Some(origins) = origins {
            view.origins = origins;
        }
        if let Some(delivered) = delivered {
            view.vector = Arc::new(delivered.iter().map(|(id, counter)| (view.origins[id.at()].actor, counter)).collect());
            view.delivered = delivered;
        }
    }

    /// Packed deliveries of the causal lane from where the reader stands.
    pub fn read_lane(&self, reader: &mut Reader, bounds: Bounds) -> Result<Vec<u8>, ReadError> {
        let lane = self.groups.lane();
        reader.read(&lane.recent().over(&self.entries), &self.lane.origins, &self.lane.delivered, lane.doubled(), bounds, None)
    }
}

pub struct Member {
    pub name: String,
    pub id: MemberId,
    pub disk: SimDisk,
    pub running: Option<Running>,
    /// Starts that were tried.
    pub life: u32,
    pub life_id: u64,
    requests: u64,
    batches: u32,
    /// What the log must hold.
    pub shadow: Shadow,
    /// Entries of the causal lane that have come to disk since somebody looked.
    pub on_disk: Vec<Dot>,
    /// Of those, what not all hold, and whether it is a stub.
    pub selected: Vec<(Actor, u64, bool)>,
    /// What it has the stub of.
    pub stubs: BTreeSet<(Actor, u64)>,
    /// What not all hold and it has had whole on its disk, at any time.
    pub whole_ever: BTreeSet<(Actor, u64)>,
    /// It was a learner when its lane was last flushed: what it was given since it may have been given as one.
    pub was_learner: bool,
    /// What was delivered of the causal lane in any of its lives, as far as its disk must have it still.
    pub delivered_ever: Past,
    /// The highest stamp among that.
    pub stamp_delivered: u64,
    /// Up to where it has had each origin's log on its disk, at any time.
    pub held_ever: Past,
    /// When its disk last lost something that it had told of.
    pub lost_at_us: u64,
    /// It has, since it was started last.
    pub forgets: bool,
    /// A batch that was under way when the process ended: it may have made it to the disk.
    pub maybe: Option<Vec<Op>>,
    /// The last acknowledged batch was damaged since.
    pub damaged: bool,
    /// Earlier batches were, at any time.
    pub holed: bool,
    /// Acknowledged data was damaged since the last start: what that means shows at the next.
    pub struck: bool,
    /// Since acknowledged data was lost, until the disk is whole again: how far each group's log had come.
    pub lost: Option<Vec<Reach>>,
    /// Files of its states were damaged, and what they covered is not in any here yet.
    pub lacks_states: bool,
    pub restarts_at_us: Option<u64>,
    pub wall_offset_ms: i64,
    pub slow_until_us: u64,
    pub stalled_until_us: u64,
    /// What it gives others into their journals is not what it has applied.
    pub garbles_until_us: u64,
    /// Highest index of each group that was applied in any of its lives.
    applied_ever: Vec<Index>,
    /// Since when it has another state of a group than a majority, and goes on.
    pub differs_since_us: BTreeMap<GroupId, u64>,
    /// An older state of the directory, to be put back.
    pub set_aside: Option<(SimDisk, Shadow)>,
    /// It was put back, and is not settled yet.
    pub put_back: bool,
    pub stage: Stage,
    plant: Option<Plant>,
    /// Its directory is founded by others.
    pub joins: bool,
}

/// How a member stands to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// An operator may add it.
    Waiting,
    In,
    /// It knows that it was removed, and is not started again.
    Gone,
}

impl Member {
    pub fn new(name: String, setup: &Setup) -> Self {
        Self {
            id: MemberId::of(&name),
            name,
            disk: SimDisk::new(Plant::disk(setup.plant)),
            running: None,
            life: 0,
            life_id: 0,
            requests: 0,
            batches: 0,
            shadow: Shadow::new(setup.groups),
            on_disk: Vec::new(),
            selected: Vec::new(),
            stubs: BTreeSet::new(),
            whole_ever: BTreeSet::new(),
            was_learner: false,
            delivered_ever: Past::new(),
            held_ever: Past::new(),
            stamp_delivered: 0,
            lost_at_us: 0,
            forgets: false,
            maybe: None,
            damaged: false,
            holed: false,
            struck: false,
            lost: None,
            lacks_states: false,
            restarts_at_us: None,
            wall_offset_ms: 0,
            slow_until_us: 0,
            stalled_until_us: 0,
            garbles_until_us: 0,
            applied_ever: vec![Index(0); setup.groups as usize],
            differs_since_us: BTreeMap::new(),
            set_aside: None,
            put_back: false,
            stage: Stage::In,
            plant: setup.plant,
            joins: false,
        }
    }

    /// Opens the directory as the runtime does, and starts the groups from what recovery found. The answer says what
    /// recovery did that it must not do, if it did.
    pub fn start(&mut self, number: usize, founders: &[String], setup: &Setup) -> Result<Option<String>, OpenError> {
        self.disk.set_opening(true);
        let opened = self.open(number, founders, setup);
        self.disk.set_opening(false);
        let (running, wrong) = opened?;
        self.running = Some(running);
        self.differs_since_us.clear();
        self.requests = 0;
        Ok(wrong)
    }

    /// Everything is lost; the directory is a new one from now on.
    pub fn replace_disk(&mut self, setup: &Setup) {
        self.lost = Some(farther(self.lost.as_deref(), self.shadow.reach()));
        self.disk = SimDisk::new(Plant::disk(setup.plant));
        self.shadow = Shadow::new(setup.groups);
        (self.holed, self.struck, self.lacks_states, self.set_aside, self.joins, self.life_id) = (false, false, false, None, true, 0);
    }

    /// What its disk had acknowledged may be gone from it.
    pub fn note_loss(&mut self, now_us: u64) {
        (self.lost_at_us, self.forgets) = (now_us, true);
        self.forget_delivered();
    }

    /// It may deliver less from now on than it has.
    fn forget_delivered(&mut self) {
        self.delivered_ever.clear();
        self.stamp_delivered = 0;
    }

    pub fn runs(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.paused)
    }

    /// The process, unless it stands still.
    pub fn awake(&mut self) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| !running.paused)
    }

    pub fn group(&self, group: GroupId) -> Option<&Group<DiskReader>> {
        self.running.as_ref().map(|running| running.group(group))
    }

    /// Whether each group that would lose its newest snapshot has one before it that can be read, and the log behind that.
    pub fn has_older_snapshots(&self) -> bool {
        let Some(running) = &self.running else { return false };
        running.groups.groups().all(|(id, group)| {
            let Some(newest) = snapshots_of(&self.disk, id).ok().and_then(|found| found.last().copied()) else { return true };
            let older = running.keeper.before(id, newest).unwrap_or_default();
            let fits = |index: &Index| index.0 + 1 >= group.status().first.0 && running.keeper.load(id, *index, 0).is_ok();
            older.is_empty() || older.iter().any(fits)
        })
    }

    /// Whether damage has taken an entry. It may also have taken what says that an entry is in a gap.
    pub fn has_lost(&self, group: GroupId, index: Index) -> bool {
        let shadow = self.shadow.of(group);
        shadow.holes.contains(&index) || self.holed && shadow.gaps.contains(&index)
    }

    pub fn applied_ever(&self, group: GroupId) -> Index {
        self.applied_ever[group.0 as usize]
    }

    pub fn note_applied(&mut self, group: GroupId, applied: Index) {
        let ever = &mut self.applied_ever[group.0 as usize];
        *ever = applied.max(*ever);
    }

    /// How far a group's log had come, while what was acknowledged of this member is lost.
    pub fn lost_of(&self, group: GroupId) -> Option<Reach> {
        self.lost.as_ref().map(|lost| lost[group.0 as usize])
    }

    pub fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.life_id << 32 | self.requests)
    }

    /// Milliseconds of this member's wall clock.
    pub fn wall_ms(&self, now_us: u64) -> u64 {
        (1_700_000_000_000 + now_us / 1_000).saturating_add_signed(self.wall_offset_ms)
    }

    /// The stamp of the next `count` events, as the protocol thread gives it.
    pub fn stamp(&mut self, count: u32, now_us: u64, plant: Option<Plant>) -> u64 {
        let wall_ms = self.wall_ms(now_us);
        let Some(running) = &mut self.running else { return 0 };
        if plant == Some(Plant::WallClockStamps) {
            return wall_ms << 16;
        }
        running.clock.observe(running.groups.hlc());
        running.clock.take(wall_ms, count)
    }

    pub fn publish(&mut self, submission: Submission, now_us: u64) {
        if let Some(running) = &mut self.running {
            running.groups.publish(submission, now_us);
        }
    }

    pub fn submit(&mut self, submission: Submission, applied_quorum: u32, now_us: u64) {
        if let Some(running) = &mut self.running {
            running.groups.submit(submission, applied_quorum, now_us);
        }
    }
}

/// The term of a group's entry that is queued or being written: what the disk will hold. `None` where nothing queued says.
pub fn queued_term(running: &Running, group: GroupId, index: Index) -> Option<Term> {
    let writing = running.writing.iter().flat_map(|writing| &writing.batch.ops);
    let ops = writing.chain(running.queue.iter().flat_map(|write| &write.ops));
    let mut term = None;
    for op in ops.filter(|op| op.group() == group) {
        match op {
            Op::Truncate { from, .. } if *from <= index => term = None,
            Op::Mark { mark, .. } if mark.index == index => term = Some(mark.term),
            Op::Mark { mark, .. } if mark.first.0 == index.0 + 1 => term = Some(mark.prior_term),
            Op::Entries { entries, .. } => {
                let first = entries.first().map_or(0, |entry| entry.index.0);
                let found = index.0.checked_sub(first).and_then(|at| entries.get(at as usize));
                term = found.map(|entry| entry.term).or(term);
            }
            _ => {}
        }
    }
    term
}
