//! How a member is put together: the product's log over a simulated disk, the product's group over that log, and what
//! the runtime's threads do between the two. Everything that knows this is here.

use crate::disk::SimDisk;
use crate::plants::Plant;
use crate::random::Random;
use crate::setup::Setup;
use crate::shadow::{fingerprint, Reach, Shadow};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use vexfs_core::clock::HybridClock;
use vexfs_core::event::Submission;
use vexfs_core::ids::{GroupId, Index, MemberId, RequestId, Term};
use vexfs_core::journal::Suppressed;
use vexfs_core::machine::window::IdWindow;
use vexfs_core::log::{GroupRecovery, Log, LogError, LogOptions, LogReader, LostRange, Op, Recovery, Wanted};
use vexfs_core::member::batch::{Batch, Finished};
use vexfs_core::member::open::{MemberConfig, OpenError};
use vexfs_core::member;
use vexfs_core::ordered::effects::{Effects, Write};
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::ordered::Group;
use vexfs_core::snapshot::keeper::{Done, Job, Keeper};

pub type DiskReader = LogReader<SimDisk>;

pub const GROUP: GroupId = GroupId(0);
pub const TICK_US: u64 = 10_000;
/// Bytes in one batch at most, as the runtime's writer has it.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A batch on its way to the disk.
pub struct Writing {
    pub batch: Batch,
}

/// A member's process.
pub struct Running {
    log: Log<SimDisk>,
    keeper: Keeper<SimDisk>,
    pub entries: LogReader<SimDisk>,
    pub group: Group<LogReader<SimDisk>>,
    pub effects: Effects,
    /// Work on snapshot files, in order.
    pub jobs: VecDeque<Job>,
    pub job_planned: bool,
    /// What readers of the journal pass over.
    pub suppressed: Suppressed,
    clock: HybridClock,
    unsettled: bool,
    /// A mark was written: what it lets go of goes with the next batch.
    release_due: bool,
    pub queue: Vec<Write>,
    pub writing: Option<Writing>,
    /// Inputs came since the last flush.
    pub dirty: bool,
    pub flush_planned: bool,
    pub last_commit_seen: Index,
    /// Term and commit index when it was first seen to lead in that term.
    pub led_from: Option<(Term, Index)>,
    /// The process stands still.
    pub paused: bool,
}

pub struct Member {
    pub name: String,
    pub id: MemberId,
    pub disk: SimDisk,
    pub running: Option<Running>,
    /// Starts that were tried.
    pub life: u32,
    pub incarnation: u64,
    requests: u64,
    batches: u32,
    /// What the log must hold.
    pub shadow: Shadow,
    /// A batch that was under way when the process ended: it may have made it to the disk.
    pub maybe: Option<Vec<Op>>,
    /// The last acknowledged batch was damaged since.
    pub damaged: bool,
    /// Earlier batches were, at any time.
    pub holed: bool,
    /// Acknowledged data was damaged since the last start: what that means shows at the next.
    pub struck: bool,
    /// Since acknowledged data was lost, until the disk is whole again.
    pub lost: Option<Reach>,
    pub restarts_at_us: Option<u64>,
    pub wall_offset_ms: i64,
    pub slow_until_us: u64,
    pub stalled_until_us: u64,
    /// Highest index applied in any of its lives.
    pub applied_ever: Index,
    /// Since when it has another state than a majority, and goes on.
    pub differs_since_us: Option<u64>,
    /// An older state of the directory, to be put back.
    pub set_aside: Option<(SimDisk, Shadow)>,
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
    pub fn new(name: String, plant: Option<Plant>) -> Self {
        Self {
            id: MemberId::of(&name),
            name,
            disk: SimDisk::new(Plant::disk(plant)),
            running: None,
            life: 0,
            incarnation: 0,
            requests: 0,
            batches: 0,
            shadow: Shadow::default(),
            maybe: None,
            damaged: false,
            holed: false,
            struck: false,
            lost: None,
            restarts_at_us: None,
            wall_offset_ms: 0,
            slow_until_us: 0,
            stalled_until_us: 0,
            applied_ever: Index(0),
            differs_since_us: None,
            set_aside: None,
            stage: Stage::In,
            plant,
            joins: false,
        }
    }

    /// Opens the directory as the runtime does, and starts the group from what recovery found. The answer says what
    /// recovery did that it must not do, if it did.
    pub fn start(&mut self, number: usize, founders: &[String], setup: &Setup) -> Result<Option<String>, OpenError> {
        self.disk.set_opening(true);
        let opened = self.open(number, founders, setup);
        self.disk.set_opening(false);
        let (running, wrong) = opened?;
        self.running = Some(running);
        self.differs_since_us = None;
        self.requests = 0;
        Ok(wrong)
    }

    fn open(&mut self, number: usize, founders: &[String], setup: &Setup) -> Result<(Running, Option<String>), OpenError> {
        let mut limits = setup.limits;
        if number == 0 && setup.plant.is_some_and(Plant::parts_states) {
            limits.window_events = 3;
        }
        let config = MemberConfig {
            cluster_id: "sim".to_string(),
            node_id: self.name.clone(),
            founders: founders.iter().map(|name| (name.clone(), String::new())).collect(),
            joins: self.joins,
            groups: 1,
            election_ticks: setup.election_ticks,
            heartbeat_ticks: setup.heartbeat_ticks,
            inflight_messages: setup.inflight_messages,
            intake_bytes_max: setup.intake_bytes_max,
            limits,
            snapshots: setup.snapshots,
            read_lease_us: setup.read_lease_us,
            log: LogOptions { segment_bytes: setup.segment_bytes, spare_segments: 1, reserve_bytes: 0 },
            seed: setup.seed ^ self.id.0 ^ u64::from(self.life).rotate_left(40),
            fresh_directory_id: u128::from(self.id.0).to_le_bytes(),
        };
        let mut recovered = member::open::recover(Arc::new(self.disk.clone()), &config)?;
        if let (Some(Plant::SkippedTail), Some(group)) = (setup.plant, recovered.recovery.groups.get_mut(&GROUP)) {
            skip_tail(group);
        }
        let empty = || GroupRecovery { first_index: Index(1), ..GroupRecovery::default() };
        let found = recovered.recovery.groups.get(&GROUP).cloned().unwrap_or_else(empty);
        let entries = recovered.log.reader();
        let wrong = self.judge(&found, &entries, &recovered.recovery);
        self.incarnation = recovered.recovery.identity.incarnation;
        if let (Some(Plant::VoteForgotten), Some(group)) = (setup.plant, recovered.recovery.groups.get_mut(&GROUP)) {
            group.hard_state.vote = MemberId(0);
        }
        recovered.recovery.unsettled &= setup.plant != Some(Plant::DamagedTailVotes);
        let unsettled = recovered.recovery.unsettled;
        let mut groups = member::open::start(&recovered, &config)?.into_groups();
        // `start` makes a group for each id below `groups`.
        #[allow(clippy::expect_used)]
        let group = groups.remove(&GROUP).expect("group 0 is configured");
        let running = Running {
            log: recovered.log,
            keeper: recovered.keeper,
            entries,
            suppressed: group.machine().passed_over().clone(),
            group,
            effects: Effects::default(),
            jobs: VecDeque::new(),
            job_planned: false,
            clock: HybridClock::default(),
            unsettled,
            release_due: false,
            queue: Vec::new(),
            writing: None,
            dirty: true,
            flush_planned: false,
            last_commit_seen: Index(0),
            led_from: None,
            paused: false,
        };
        Ok((running, wrong))
    }

    /// Recovery must find what the log was told to hold: all of it, or that and the batch that was under way; where the
    /// last batch was damaged since, what was before it, and say so; where earlier ones were, all but what it names or
    /// what cannot be read.
    fn judge(&mut self, found: &GroupRecovery, entries: &LogReader<SimDisk>, recovery: &Recovery) -> Option<String> {
        let (maybe, damaged, unsettled) = (self.maybe.take(), std::mem::take(&mut self.damaged), recovery.unsettled);
        self.struck = false;
        let lost: Vec<LostRange> = recovery.damaged.iter().filter(|range| range.group == GROUP).copied().collect();
        if self.shadow == Shadow::default() && found.snapshot.is_some() {
            // The cluster was founded in this open, or in one before that ended with its process.
            self.shadow.apply(GROUP, &member::open::founding_ops(GROUP));
        }
        let more = maybe.map(|ops| {
            let mut more = self.shadow.clone();
            more.apply(GROUP, &ops);
            more
        });
        let less = if damaged { self.shadow.undone() } else { None };
        let holed = self.holed;
        let is = |shadow: &Shadow| shadow.is(found) || holed && shadow.fits(found, &lost, unsettled);
        let mut wrong = None;
        if let Some(less) = less.filter(&is) {
            if !unsettled {
                wrong = Some("the last batch is gone, and recovery does not say so".to_string());
            }
            self.shadow = less;
        } else if let Some(more) = more.filter(&is) {
            self.shadow = more;
        } else if !is(&self.shadow) {
            let last_term = found.terms.last().map_or(0, |(_, term)| term.0);
            wrong = Some(format!(
                "recovery found {} entries, the last of term {last_term}, {:?}, first {}, snapshot {:?}, lost {lost:?}; the log held {}",
                found.last_index,
                found.hard_state,
                found.first_index,
                found.snapshot,
                self.shadow.describe()
            ));
        }
        if holed && wrong.is_none() && !self.shadow.is(found) {
            self.shadow.found(found);
        }
        // The newest entries are read back too: an index alone may be right over wrong bytes. Of a damaged disk, all are.
        let newest = Index(found.last_index.0.saturating_sub(15)).max(found.first_index);
        let low = if holed { found.first_index } else { newest };
        let mut holes = BTreeSet::new();
        for index in (low.0..=found.last_index.0).map(Index) {
            match EntryReader::entries(entries, GROUP, index, Index(index.0 + 1), 1) {
                Ok(read) if read.iter().all(|one| self.shadow.fingerprint_of(index) == Some(fingerprint(one))) => {}
                Ok(_) => wrong = wrong.or(Some(format!("entry {index} is not the one that was written"))),
                Err(_) if holed => drop(holes.insert(index)),
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        if let Some(range) = lost.iter().find(|range| (range.first.0..=range.last.0).any(|at| !holes.contains(&Index(at)))) {
            wrong = wrong.or(Some(format!("{range} can be read, and are called lost")));
        }
        self.shadow.holes = holes;
        wrong
    }

    /// Entries that the disk does not give any more, as nobody may have noticed yet. The member is down.
    pub fn count_holes(&mut self) {
        let mut disk = self.disk.copy();
        disk.end_process();
        let Ok((reader, recovery)) = LogReader::open(Arc::new(disk)) else { return };
        let Some(found) = recovery.groups.get(&GROUP) else { return };
        let unreadable = |at: &Index| EntryReader::entries(&reader, GROUP, *at, Index(at.0 + 1), 1).is_err();
        self.shadow.holes = (found.first_index.0..=found.last_index.0).map(Index).filter(unreadable).collect();
    }

    pub fn runs(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.paused)
    }

    pub fn group(&self) -> Option<&Group<LogReader<SimDisk>>> {
        self.running.as_ref().map(|running| &running.group)
    }

    pub fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.incarnation << 32 | self.requests)
    }

    /// Milliseconds of this member's wall clock.
    fn wall_ms(&self, now_us: u64) -> u64 {
        (1_700_000_000_000 + now_us / 1_000).saturating_add_signed(self.wall_offset_ms)
    }

    /// The stamp of the next `count` events, as the protocol thread gives it.
    pub fn stamp(&mut self, count: u32, now_us: u64, plant: Option<Plant>) -> u64 {
        let wall_ms = self.wall_ms(now_us);
        let Some(running) = &mut self.running else { return 0 };
        if plant == Some(Plant::WallClockStamps) {
            return wall_ms << 16;
        }
        running.clock.observe(running.group.machine().hlc());
        running.clock.take(wall_ms, count)
    }

    pub fn submit(&mut self, submission: Submission, applied_quorum: u32, now_us: u64) {
        if let Some(running) = &mut self.running {
            running.group.submit(submission, applied_quorum, now_us);
            running.dirty = true;
        }
    }

    /// Begins the next batch of everything queued. Its number, if there is one.
    pub fn begin_write(&mut self) -> Option<u32> {
        let running = self.running.as_mut()?;
        if running.writing.is_some() || running.queue.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        let mut rest = std::mem::take(&mut running.queue).into_iter();
        for write in rest.by_ref() {
            batch.add(write);
            if batch.bytes > BATCH_BYTES {
                break;
            }
        }
        running.queue = rest.collect();
        running.writing = Some(Writing { batch });
        self.batches += 1;
        Some(self.batches)
    }

    /// The batch that is under way, as the number `begin_write` gave.
    pub fn is_writing(&self, batch: u32) -> bool {
        self.batches == batch && self.running.as_ref().is_some_and(|running| running.writing.is_some())
    }

    /// Writes and syncs the batch, and gives back what it lets go of. What it means to the group; an error ends the
    /// process (rule L4), a full disk does not.
    pub fn finish_write(&mut self) -> Result<Finished, LogError> {
        let Some(running) = &mut self.running else { return Ok(Finished::default()) };
        let Some(Writing { mut batch }) = running.writing.take() else { return Ok(Finished::default()) };
        if batch.forgets {
            if let Err(error) = running.log.set_unsettled() {
                running.writing = Some(Writing { batch });
                return Err(error);
            }
            running.unsettled = true;
        }
        let stats = match running.log.append(&batch.ops) {
            Ok(stats) => stats,
            Err(error @ LogError::Full { .. }) => {
                running.writing = Some(Writing { batch });
                return Err(error);
            }
            Err(error) => {
                self.maybe = Some(batch.ops);
                return Err(error);
            }
        };
        self.shadow.apply(GROUP, &batch.ops);
        let finished = batch.finish();
        if stats.rolled {
            // A spare that cannot be made is not an error yet: the next roll will meet it.
            let _ = running.log.spare_pool().fill(&mut || {});
        }
        if running.unsettled && running.group.is_settled() {
            // What cannot be removed now stays, and costs a settling at the next start.
            running.unsettled = running.log.clear_unsettled().is_err();
        }
        if std::mem::replace(&mut running.release_due, !finished.marks.is_empty()) {
            running.log.release()?;
        }
        Ok(finished)
    }

    /// Does the next job on snapshot files.
    pub fn do_job(&mut self) -> Option<Done> {
        let running = self.running.as_mut()?;
        running.job_planned = false;
        let mut job = running.jobs.pop_front()?;
        if let (Job::Write { image, .. }, Some(Plant::SuppressionForgotten)) = (&mut job, self.plant) {
            image.window = IdWindow::new(1, 0).image();
        }
        Some(running.keeper.carry_out(job, &mut || {}))
    }

    /// The process ends. A batch that was under way gets through `steps` more of its steps; what of them survives is the
    /// cache's matter, and, where the power is lost, that of chance.
    pub fn end(&mut self, steps: u64, power: Option<&mut Random>) {
        if self.running.as_ref().is_some_and(|running| running.writing.is_some()) {
            self.disk.crash_after(steps);
            // Whether all of it got to the disk or not: nobody hears of it.
            let _ = self.finish_write();
        } else if self.running.as_ref().is_some_and(|running| !running.jobs.is_empty()) {
            self.disk.crash_after(steps);
            drop(self.do_job());
        }
        self.running = None;
        match power {
            Some(random) => self.disk.lose_power(random),
            None => self.disk.end_process(),
        }
    }

    /// An orderly close: what is queued is written, with the commit mark, and the segment is sealed.
    pub fn close(&mut self, now_us: u64) -> Result<(), LogError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let mut effects = Effects::default();
        if running.group.flush(now_us, &mut effects).is_ok() {
            running.group.write_commit(&mut effects);
        }
        running.queue.append(&mut effects.writes);
        let mut written = Ok(());
        while written.is_ok() && (self.is_writing(self.batches) || self.begin_write().is_some()) {
            written = self.finish_write().map(drop);
        }
        let sealed = match (written, self.running.take()) {
            (Ok(()), Some(running)) => running.log.seal_and_close(),
            (written, _) => written,
        };
        self.disk.end_process();
        sealed
    }
}

/// As if recovery had ended one entry earlier.
fn skip_tail(group: &mut GroupRecovery) {
    if group.last_index >= group.first_index && group.terms.len() > 1 || group.last_index > group.first_index {
        group.last_index.0 -= 1;
        group.terms.retain(|(index, _)| *index <= group.last_index);
        group.hard_state.commit = group.hard_state.commit.min(group.last_index);
    }
}

/// The terms of entries that are queued or being written, by index: what the disk will hold.
pub fn queued_terms(running: &Running) -> BTreeMap<Index, Term> {
    let mut terms = BTreeMap::new();
    let writing = running.writing.iter().flat_map(|writing| &writing.batch.ops);
    for op in writing.chain(running.queue.iter().flat_map(|write| &write.ops)) {
        match op {
            Op::Truncate { from, .. } => drop(terms.split_off(from)),
            Op::Mark { mark, .. } => drop(terms.insert(Index(mark.first.0 - 1), mark.prior_term)),
            Op::Entries { entries, .. } => terms.extend(entries.iter().map(|entry| (entry.index, entry.term))),
            _ => {}
        }
    }
    terms
}


/// What opening another member's directory comes to; it must be refused.
pub fn opens_foreign(me: &Member, other: &Member, plant: Option<Plant>) -> bool {
    let mut disk = other.disk.copy();
    disk.end_process();
    let node_id = if plant == Some(Plant::IdentityUnchecked) { other.name.clone() } else { me.name.clone() };
    let wanted =
        Wanted { cluster_id: "sim".to_string(), node_id, fresh_directory_id: [9; 16], salt_seed: u64::from(me.life) };
    !matches!(Log::open(Arc::new(disk), LogOptions::default(), wanted), Err(LogError::IdentityMismatch { .. }))
}
