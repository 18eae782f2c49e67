//! The ordered lane: one group's Raft, its replicated state and the requests of this member, as one state machine.
//!
//! Inputs: ticks, peers' frames, finished writes, requests. Effects: frames, writes, completions. What the caller owes:
//! - `flush` after any inputs, and its effects carried out in order: frames may go before the writes of the same
//!   flush (messages that must wait are held back here), writes go to disk in the order of their numbers;
//! - `persisted` for each write, in order, after it is on disk, and never for one that is not;
//! - an `Err` of any call ends the node: its state can no longer be trusted.
//!
//! - `job_done` for each job, in order, and `marked` when a snapshot's mark is on disk.
//!
//! Left out: files (`snapshot::keeper` does the jobs), several groups (`member`).

pub mod agreement;
mod apply;
pub mod barrier;
mod candidacy;
mod checking;
pub mod conf;
pub mod effects;
pub mod held;
mod installing;
mod lease;
mod members;
pub mod pace;
pub mod pending;
pub mod persistence;
pub mod receive;
pub mod reconcile;
pub mod repair;
mod repairing;
pub mod replicate;
pub mod settling;
pub mod snapshots;
pub mod standing;
pub mod status;
pub mod store;

use crate::causal::actor::Actor;
use crate::event::Submission;
use crate::ids::{EventId, GroupId, Index, MemberId, RequestId, Term};
use crate::log::{GroupRecovery, HardState, Op};
use crate::machine::{Beginning, Machine, MachineLimits};
use crate::membership::{MemberRefused, Membership};
use crate::ordered::agreement::Agreement;
use crate::ordered::barrier::Barriers;
use crate::ordered::candidacy::{Deserted, Timeout};
use crate::ordered::effects::{Effects, End, Purpose, Write};
use crate::ordered::held::Replication;
use crate::ordered::pending::{Pending, Progress, Request};
use crate::ordered::conf::Conf;
use crate::ordered::lease::Lease;
use crate::ordered::pace::{Pace, Profile};
use crate::ordered::persistence::{Persistence, Released, Written};
use crate::ordered::repair::Repair;
use crate::ordered::repairing::{Mending, Paused};
use crate::ordered::receive::SETTLING_READ;
use crate::ordered::settling::Settling;
use crate::ordered::snapshots::{SnapshotPolicy, Snapshots};
use crate::ordered::standing::Standings;
use crate::ordered::store::{entry_from_raft, EntryReader, Store};
use crate::peer::frame::Channel;
use crate::plants::{self, CorePlant};
use crate::snapshot::SnapshotInfo;
use raft::eraftpb::MessageType;
use raft::{RawNode, StateRole};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use thiserror::Error;

/// Why a group cannot go on.
#[derive(Debug, Error)]
pub enum GroupError {
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
    /// Damage has taken it, and nobody has it (rule L2).
    #[error("entry {index} of group {group} is damaged, and no other member has it")]
    Lost { group: GroupId, index: Index },
    #[error("entry {index} cannot be applied: {source}")]
    Unappliable { index: Index, source: crate::event::Malformed },
}

#[derive(Clone, Debug)]
pub struct GroupConfig {
    pub cluster_id: String,
    pub group: GroupId,
    pub me: MemberId,
    /// Makes request numbers and contexts those of this life of the member (`member::open::life_of`).
    pub life: u64,
    /// Members of a log that begins without a snapshot, none of them a learner; empty for a member that joins.
    pub voters: Vec<MemberId>,
    /// Election timeouts are drawn from `[min, max)` ticks.
    pub election_ticks: (usize, usize),
    pub heartbeat_ticks: usize,
    /// Whether the timeouts follow what is measured.
    pub profile: Profile,
    /// Appends in flight to one follower at most.
    pub inflight_messages: usize,
    /// Forwarded and own submissions waiting for a proposal at most, in bytes.
    pub intake_bytes_max: usize,
    pub limits: MachineLimits,
    pub snapshots: SnapshotPolicy,
    /// How long a leader may answer barriers by itself after a majority has answered it; 0: never. Must be shorter than
    /// the least election timeout, by what clocks may differ.
    pub read_lease_us: u64,
    /// Everything random comes from here.
    pub seed: u64,
}

/// Largest entry made of several submissions; a single larger one travels alone.
const ENTRY_BYTES: usize = 1024 * 1024;
/// Largest append message, in bytes.
const APPEND_BYTES: u64 = 1024 * 1024;
/// Ticks without a write after which an advanced commit mark is written by itself.
const IDLE_COMMIT_TICKS: u32 = 50;

pub struct Group<R: EntryReader> {
    config: GroupConfig,
    raw: RawNode<Store<R>>,
    machine: Machine,
    /// Keys the machine's hash table; a machine made from a snapshot gets it too.
    machine_key: u64,
    /// As of the last applied entry.
    conf: Arc<Conf>,
    /// Index of the last change, and the least majority that counted before it.
    conf_since: (Index, usize),
    goal: Membership,
    /// Members that wait to be settled in any group of theirs.
    unsettled_elsewhere: BTreeSet<MemberId>,
    /// Members that lack what others hold of the causal lane; `None` where that is not known.
    fetching: Option<BTreeSet<MemberId>>,
    snapshots: Snapshots,
    /// Commands that a leader has declined, to be answered in the next flush.
    declined: Vec<(RequestId, MemberRefused)>,
    /// Removed members that were told so since the last tick.
    told: BTreeSet<MemberId>,
    removed: bool,
    /// The commit mark is to be written soon, not when the group is idle.
    commit_wanted: bool,
    /// Members that a connection of this one is up to.
    linked: BTreeSet<MemberId>,
    /// Tick at which a leader was heard of last, or this member led.
    heard_at: u64,
    /// At a leader: whom it had heard of when it last looked whether it has a majority; none before it has looked.
    heard_before: Option<BTreeSet<MemberId>>,
    hand_over_at: u64,
    slow_ticks: u32,
    pending: Pending,
    barriers: Barriers,
    lease: Lease,
    /// With leases: until this tick it votes for nobody.
    votes_after: u64,
    persistence: Persistence,
    /// Submissions to propose while this member leads, own and forwarded, in order.
    intake: Vec<Submission>,
    intake_bytes: usize,
    /// Highest applied index each other member has told of.
    applied_of: BTreeMap<MemberId, Index>,
    /// What others want to hear of: they are answered when this much is applied here.
    asked: BTreeMap<MemberId, Index>,
    outbox: Vec<(MemberId, Channel, Vec<u8>)>,
    rng: ChaCha8Rng,
    timeout: Timeout,
    pace: Pace,
    deserted: Option<Deserted>,
    leader: Option<MemberId>,
    term: Term,
    /// The commit mark as last handed to the log, and as it is on disk.
    persisted_commit: Index,
    /// What was known to be committed when this member started, or its log was torn.
    found_commit: Index,
    durable_commit: Index,
    /// Marks on their way: number of the write, commit index.
    marks_under_way: VecDeque<(u64, Index)>,
    /// Number of the last ready; those of an engine go on behind those of the one before it, whose writes may still come to
    /// their ends.
    last_number: u64,
    engine_from: u64,
    ticks: u64,
    idle_ticks: u32,
    /// The request that has waited longest, and since how many ticks it is that.
    oldest: Option<RequestId>,
    oldest_ticks: usize,
    elections: u64,
    /// Of a member whose last batch was torn, until the others have settled it (rule L2).
    settling: Option<Settling>,
    /// The log is marked as unsettled: the others are told so for as long, since a start would have to settle it again.
    marked: bool,
    /// That mark is to go.
    unmark_due: bool,
    /// A barrier is under way by which a learner settles.
    settling_read: bool,
    /// Last entry that there was when it was found settled.
    settled_to: Option<u64>,
    /// What others have told of their logs, and know of this one.
    standings: Standings,
    /// Entries that damage has taken, on their way back; while some that Raft needs are among them, Raft stands still.
    repair: Repair,
    paused: Option<Paused>,
    mending: Option<Mending>,
    agreement: Agreement,
    /// First entry at which this member has applied something else than a majority.
    isolated: Option<Index>,
    install_durable: bool,
    /// The leader took none of what was handed in: again at the next tick, not at once, lest the two spin.
    refusals_pending: bool,
}

/// Raft over a log and what is applied of it.
fn engine<R: EntryReader>(config: &GroupConfig, store: Store<R>, applied: Index) -> Result<RawNode<Store<R>>, GroupError> {
    let raft_config = raft::Config {
        id: config.me.0,
        election_tick: config.election_ticks.0,
        min_election_tick: config.election_ticks.0,
        max_election_tick: config.election_ticks.1,
        heartbeat_tick: config.heartbeat_ticks,
        applied: applied.0,
        // Raft refuses a message limit above that of what may be uncommitted.
        max_size_per_msg: APPEND_BYTES.min(config.intake_bytes_max as u64),
        max_inflight_msgs: config.inflight_messages,
        check_quorum: true,
        pre_vote: true,
        max_uncommitted_size: config.intake_bytes_max as u64,
        max_committed_size_per_ready: 4 * APPEND_BYTES,
        ..Default::default()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    Ok(RawNode::new(&raft_config, store, &logger)?)
}

impl<R: EntryReader> Group<R> {
    /// Takes up what recovery found, on top of the snapshot that the log's mark names. Applying what was committed
    /// after it starts with the first flushes.
    pub fn new(
        config: GroupConfig,
        found: &GroupRecovery,
        snapshot: Option<(SnapshotInfo, Machine)>,
        reader: R,
    ) -> Result<Self, GroupError> {
        let persisted_commit = found.hard_state.commit.min(found.last_index);
        let term = found.hard_state.term;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let machine_key = rng.next_u64();
        let (info, mut machine) = match snapshot {
            Some((info, machine)) => (Some(info), machine),
            None => (None, Machine::new(config.limits, machine_key)),
        };
        machine.journal_begins(Beginning { first: found.first_index, prior_term: found.prior_term, prior_hash: None });
        let conf = info.as_ref().map_or_else(|| Conf::of_voters(config.voters.clone()), |info| info.meta.conf.clone());
        let applied = machine.applied();
        let store = Store::new(config.group, reader, found, info, &conf);
        let raw = engine(&config, store, applied)?;
        let mut group = Self {
            barriers: Barriers::new(config.me, config.life),
            lease: Lease::new(config.read_lease_us),
            votes_after: config.election_ticks.0 as u64,
            pace: Pace::new(config.profile, config.election_ticks, config.heartbeat_ticks),
            config,
            raw,
            machine_key,
            conf: Arc::new(conf),
            conf_since: (Index(0), usize::MAX),
            goal: Membership::default(),
            unsettled_elsewhere: BTreeSet::new(),
            fetching: None,
            snapshots: Snapshots::resumed(machine.bytes()),
            machine,
            declined: Vec::new(),
            told: BTreeSet::new(),
            removed: false,
            commit_wanted: false,
            linked: BTreeSet::new(),
            heard_at: 0,
            heard_before: None,
            hand_over_at: 0,
            slow_ticks: 0,
            install_durable: false,
            pending: Pending::default(),
            persistence: Persistence::default(),
            intake: Vec::new(),
            intake_bytes: 0,
            applied_of: BTreeMap::new(),
            asked: BTreeMap::new(),
            outbox: Vec::new(),
            rng,
            timeout: Timeout::NONE,
            deserted: None,
            leader: None,
            term,
            persisted_commit,
            found_commit: persisted_commit,
            durable_commit: persisted_commit,
            marks_under_way: VecDeque::new(),
            last_number: 0,
            engine_from: 0,
            ticks: 0,
            idle_ticks: 0,
            oldest: None,
            oldest_ticks: 0,
            elections: 0,
            settling: None,
            marked: false,
            unmark_due: false,
            settling_read: false,
            settled_to: None,
            standings: Standings::default(),
            repair: Repair::default(),
            paused: None,
            mending: None,
            agreement: Agreement::default(),
            isolated: None,
            refusals_pending: false,
        };
        group.agreement.begin(group.machine.applied(), group.machine.agreed_hash(), group.machine.events());
        let others = group.conf.members().into_iter().filter(|member| *member != group.config.me);
        group.standings = Standings::new(others.collect());
        group.measured(&BTreeMap::new());
        group.draw_timeout();
        Ok(group)
    }

    /// Says that recovery cut off a torn batch, which this member may have acknowledged. A member alone has nobody to
    /// settle it with.
    pub fn torn(&mut self) {
        self.marked = true;
        self.found_commit = self.found_commit.max(Index(self.raw.raft.raft_log.committed));
        let others = self.conf.voting_but(self.config.me);
        // Until all is applied that is known to be committed, nobody says that this member is alone.
        let known = !others.is_empty() || self.machine.applied() >= self.found_commit;
        if known && self.conf.votes(self.config.me) {
            self.settle_with(others);
        } else {
            self.settle_as(Some(Settling::of_a_learner(self.pace.most())));
        }
    }

    fn settle_with(&mut self, others: BTreeSet<MemberId>) {
        self.settle_as((!others.is_empty()).then(|| Settling::new(others, self.pace.most())));
    }

    fn settle_as(&mut self, settling: Option<Settling>) {
        self.settling = settling;
        self.unmark_due &= self.settling.is_none();
        if let Some(settling) = &mut self.settling {
            self.linked.iter().for_each(|member| settling.link(*member, true));
        }
    }

    pub fn tick(&mut self) {
        self.repair.tick(self.pace.patience(repair::ANSWER_TICKS));
        self.tick_agreement();
        if self.stands_still() {
            self.ticks += 1;
            self.tick_snapshots();
            return;
        }
        let led = self.leader.is_some();
        if let Some(settling) = &mut self.settling {
            settling.tick(led);
            if settling.is_silent() {
                let term = self.raw.raft.term;
                self.raw.raft.become_follower(term, 0);
            }
        }
        self.tick_desertion();
        // The clock of a follower is that of its candidacy: it stands still while this member may not stand. While a
        // received snapshot is on its way to the disk, the engine has neither the entries before it nor has applied it: it
        // would panic (raft-rs 0.7, hup).
        if self.settling.as_ref().is_none_or(Settling::stands) && self.snapshots.installing.is_none() {
            self.tick_engine();
        }
        self.draw_timeout();
        self.barriers.tick();
        if std::mem::take(&mut self.refusals_pending) {
            self.pending.hand_in_again();
        }
        self.idle_ticks = self.idle_ticks.saturating_add(1);
        self.ticks += 1;
        if self.raw.raft.state == StateRole::Leader {
            self.heard_at = self.ticks;
        }
        if self.ticks % self.config.heartbeat_ticks.max(1) as u64 == 0 {
            self.ask_applied();
            self.ask_terms();
            self.read_to_settle();
            self.standings.tick(&self.linked);
        }
        self.told.clear();
        self.drive_membership();
        self.ask_whether_removed();
        self.watch_own_disk();
        self.tick_snapshots();
        self.lose_patience();
    }

    /// Takes a request of this member. `applied_quorum`: voters that must have applied it (1: this one).
    pub fn submit(&mut self, submission: Submission, applied_quorum: u32, now_us: u64) {
        let id = submission.request();
        let request =
            Request { submission, taken_at_us: now_us, applied_quorum, progress: Progress::Waiting, handed: false };
        self.pending.insert(id, request);
    }

    /// Whether requests wait for what they follow in the causal lane.
    pub fn holds_any(&self) -> bool {
        self.pending.holds_any()
    }

    /// Lets a request be handed in that has just come, if it need not be held.
    pub fn look_at_held(&mut self, id: RequestId, lane: &mut impl Replication) {
        self.pending.look_at(id, lane, &self.conf);
    }

    /// Lets requests be handed in that need not be held any more; whether there were any.
    pub fn release_held(&mut self, arrived: &[(Actor, u64)], lane: &mut impl Replication) -> bool {
        self.pending.release(arrived, lane, &self.conf)
    }

    pub fn barrier(&mut self, request: RequestId, now_us: u64) {
        self.barriers.add(request, now_us);
    }

    /// Gives a request up. `true`: no leader has seen it and none ever will; its sequences are skipped.
    pub fn withdraw(&mut self, request: RequestId) -> bool {
        self.barriers.remove(request);
        let Some(pending) = self.pending.get_mut(request) else { return false };
        if !matches!(pending.progress, Progress::Waiting) {
            self.pending.remove(request);
            return false;
        }
        let (handed, in_session) = (pending.handed, !pending.submission.session().is_none());
        match (handed, in_session) {
            // Later publishes of the session wait behind this one: it goes on, unattended.
            (true, true) => {}
            (false, true) => {
                let skip = pending.submission.skipped();
                self.pending.replace(request, skip);
            }
            (_, false) => drop(self.pending.remove(request)),
        }
        !handed
    }

    /// A write is on disk (rule R1: not earlier).
    pub fn persisted(&mut self, number: u64) {
        while let Some((_, commit)) = self.marks_under_way.front().filter(|(write, _)| *write <= number) {
            self.durable_commit = *commit;
            self.marks_under_way.pop_front();
        }
        if let Some(released) = self.persistence.persisted(number) {
            self.release(released);
        }
    }

    fn release(&mut self, released: Released) {
        if let Some(durable) = released.durable {
            self.raw.mut_store().made_durable(durable);
        }
        self.raw.on_persist_ready(released.number - self.engine_from);
        self.install_durable |= released.installed;
        self.send(released.messages);
    }

    /// Runs until nothing is left to do without further inputs.
    pub fn flush(&mut self, now_us: u64, effects: &mut Effects) -> Result<(), GroupError> {
        loop {
            let installed = std::mem::take(&mut self.install_durable);
            self.finish_install(installed, effects);
            self.notice_damage();
            self.drive_repair(effects)?;
            if self.stands_still() || !self.step(now_us, effects)? {
                break;
            }
        }
        self.agreement.catch_up(self.ticks);
        self.end_declined(now_us, effects);
        if !self.stands_still() {
            self.take_snapshot(effects);
            self.write_idle_commit(effects);
            self.say_standing(effects);
        }
        if !self.keeps_out() {
            self.answer_applied();
        }
        effects.frames.append(&mut self.outbox);
        Ok(())
    }

    /// Whether Raft has to keep out of everything.
    fn stands_still(&self) -> bool {
        self.is_repairing() || self.keeps_out()
    }

    /// One turn of Raft; false when it has nothing to do.
    fn step(&mut self, now_us: u64, effects: &mut Effects) -> Result<bool, GroupError> {
        self.step_down_if_left_out();
        // First, so that a new leader is handed everything once: not what came last, then all again.
        self.notice_leader();
        self.hand_in();
        self.propose();
        if plants::is(CorePlant::CommitOldTerm) {
            self.commit_by_count();
        }
        if self.may_answer_reads(now_us) {
            self.barriers.grant(Index(self.raw.raft.raft_log.committed));
        }
        if let Some(context) = self.barriers.due(now_us) {
            self.raw.read_index(context.to_vec());
        }
        let ready = self.raw.has_ready();
        if ready {
            self.take_ready(now_us, effects)?;
        }
        // Here, so that barriers which came since their round was asked get theirs in the same flush.
        for (request, since_us) in self.barriers.passed(self.machine.applied()) {
            if request == SETTLING_READ {
                self.settle_learner();
                continue;
            }
            self.complete(effects, request, since_us, now_us, End::Barrier { applied: self.machine.applied() });
        }
        Ok(ready || self.raw.store().failed().is_some())
    }

    fn take_ready(&mut self, now_us: u64, effects: &mut Effects) -> Result<(), GroupError> {
        let mut ready = self.raw.ready();
        if self.raw.store().failed().is_some() {
            // What Raft made of an entry that could not be read is not to be used: it begins anew, after the repair.
            return Ok(());
        }
        let number = self.engine_from + ready.number();
        let mut at_once = ready.take_messages();
        for state in ready.take_read_states() {
            let asked_us = self.barriers.answered(&state.request_ctx, Index(state.index));
            if let Some(asked_us) = asked_us.filter(|_| self.leads()) {
                self.lease.extend(Term(self.raw.raft.term), asked_us);
            }
        }
        let entries = ready.take_entries();
        let hard = ready.hs().cloned();
        let committed = ready.take_committed_entries();

        let known = self.raw.raft.hard_state();
        let snapshot = ready.snapshot().get_metadata().index;
        let installs = snapshot > 0;
        let mut ops = if installs { self.install(snapshot) } else { Vec::new() };
        let replaced = installs.then_some(Index(snapshot + 1));
        let cut = self.raw.mut_store().append(&entries);
        if let Some(from) = cut {
            ops.push(Op::Truncate { group: self.config.group, from });
        }
        let last = entries.last().map(|entry| Index(entry.index));
        if !entries.is_empty() {
            let entries = entries.iter().map(entry_from_raft).collect();
            ops.push(Op::Entries { group: self.config.group, entries });
        }
        let changes_vote = ready.must_sync() && hard.as_ref().is_some_and(|_| self.vote_changed(&known));
        if changes_vote || !ops.is_empty() {
            ops.push(self.hard_state_op(&known, number));
        }
        if let Some(hard) = hard {
            self.raw.mut_store().set_hard_state(hard);
        }

        let mut waiting = ready.take_persisted_messages();
        if self.persistence.changes_vote(changes_vote) {
            // The only voter leads before its term is on disk: a crash could have it lead in that term once more.
            waiting.splice(0..0, at_once.drain(..));
        }
        self.send(at_once);
        let (early, waiting) = self.persistence.speak_early(waiting, changes_vote);
        self.send(early);
        let writes = !ops.is_empty();
        let written = Written { number, writes, last, changes_vote, installs };
        let released = self.persistence.hold(written, replaced.or(cut), waiting);
        self.last_number = number;
        if writes {
            self.idle_ticks = 0;
            effects.writes.push(Write { group: self.config.group, number, ops, purpose: Purpose::Usual });
        }
        self.raw.advance_append_async(ready);
        if let Some(released) = released {
            self.release(released);
        }
        self.apply(committed, now_us, effects)
    }

    /// The planted bug of figure 8 (Ongaro and Ousterhout 2014, section 5.4.2).
    fn commit_by_count(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader {
            let mut matched: Vec<u64> = raft.prs().iter().filter(|(id, _)| self.conf.voters.contains(&MemberId(**id))).map(|(_, progress)| progress.matched).collect();
            matched.sort_unstable();
            let reached = matched.get(matched.len().saturating_sub(1) / 2).copied().unwrap_or(0);
            if reached > raft.raft_log.committed && self.conf.outgoing.is_empty() {
                raft.raft_log.commit_to(reached);
            }
        }
    }

    fn vote_changed(&self, new: &raft::eraftpb::HardState) -> bool {
        use raft::Storage;
        match self.raw.store().initial_state() {
            Ok(state) => (state.hard_state.term, state.hard_state.vote) != (new.term, new.vote),
            Err(_) => true,
        }
    }

    fn hard_state_op(&mut self, hard: &raft::eraftpb::HardState, number: u64) -> Op {
        self.persisted_commit = Index(hard.commit);
        self.marks_under_way.push_back((number, self.persisted_commit));
        let state =
            HardState { term: Term(hard.term), vote: MemberId(hard.vote), commit: Index(hard.commit) };
        Op::HardState { group: self.config.group, state }
    }

    /// The commit mark rides along with other writes; a quiet group writes it once by itself, so that a restart
    /// knows how far the journal goes.
    fn write_idle_commit(&mut self, effects: &mut Effects) {
        let hard = self.raw.raft.hard_state();
        let due = self.idle_ticks >= IDLE_COMMIT_TICKS || std::mem::take(&mut self.commit_wanted);
        if due && hard.commit > self.persisted_commit.0 && self.persistence.is_idle() {
            self.write_commit(effects);
        }
    }

    /// Writes the commit mark as it stands, in no hurry: nothing waits for it.
    pub fn write_commit(&mut self, effects: &mut Effects) {
        let hard = self.raw.raft.hard_state();
        if hard.commit > self.persisted_commit.0 && !self.is_repairing() {
            // It is told of as the write before it is, once more.
            let number = self.last_number;
            let op = self.hard_state_op(&hard, number);
            effects.writes.push(Write { group: self.config.group, number, ops: vec![op], purpose: Purpose::Usual });
        }
    }

    fn notice_leader(&mut self) {
        let leader = Some(MemberId(self.raw.raft.leader_id)).filter(|leader| leader.0 != 0);
        let term = Term(self.raw.raft.term);
        if (leader, term) != (self.leader, self.term) {
            if self.leader != leader && leader.is_some() {
                self.elections += 1;
            }
            (self.leader, self.term) = (leader, term);
            if self.raw.raft.state != StateRole::Leader {
                // Their origins see the same change and hand in again; what a leader took as leader stays.
                self.intake.clear();
                self.intake_bytes = 0;
            }
            self.pending.hand_in_again();
            self.barriers.ask_again();
        }
        self.draw_timeout();
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn find(&self, id: EventId) -> Option<&crate::machine::window::Place> {
        self.machine.find(id)
    }

    /// `None` where it is not known, and not while damage is repaired.
    pub fn term_of(&self, index: Index) -> Option<Term> {
        let known = index >= self.raw.store().floor() && !self.is_repairing();
        self.raw.store().term_of(index).filter(|_| known)
    }

    /// Bytes of requests waiting here for their end.
    pub fn pending_bytes(&self) -> usize {
        self.pending.bytes()
    }

    fn send(&mut self, messages: Vec<raft::eraftpb::Message>) {
        if self.stands_still() {
            return;
        }
        // Of the terms before the last vote, a member that may have forgotten it must not say anything.
        let quiet = self.is_quiet();
        for message in messages {
            let mute = quiet || self.settling.as_ref().is_some_and(|settling| !settling.speaks_to(MemberId(message.to)));
            let says = matches!(
                message.get_msg_type(),
                MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse | MessageType::MsgRequestVoteResponse
            );
            if mute && says {
                continue;
            }
            let channel = match message.get_msg_type() {
                MessageType::MsgAppend => Channel::Bulk,
                _ => Channel::Urgent,
            };
            self.push_raft(channel, &message);
        }
    }
}
