//! From a directory to a member: the log is recovered, snapshots are loaded, a new cluster's groups are founded.
//!
//! Founding makes every group's log begin with a snapshot at index 1 that names the first members, the same at each of
//! them. So a member's configuration never depends on what its settings say later, and one that joins, whose log is
//! empty, always begins with a snapshot from a leader.

use super::{Member, FIRST_GROUP};
use crate::entry;
use crate::event::SubmissionKind;
use crate::causal::tally::Retention;
use crate::causal::{is_origin, Lane, LaneConfig};
use crate::ids::{GroupId, Index, MemberId, Term};
use crate::log::{
    Disk, GroupRecovery, HardState, Log, LogEntry, LogError, LogOptions, LogReader, LostRange, Op, Recovery, SnapshotMark, Wanted,
};
use crate::machine::{Machine, MachineLimits};
use crate::membership::{Membership, Role};
use crate::ordered::conf::Conf;
use crate::ordered::pace::Profile;
use crate::ordered::snapshots::SnapshotPolicy;
use crate::ordered::{Group, GroupConfig, GroupError};
use crate::plants::{self, CorePlant};
use crate::snapshot::keeper::Keeper;
use crate::snapshot::states::States;
use crate::snapshot::{SnapshotError, SnapshotInfo, SnapshotMeta};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// Index and term that stand for the founding.
pub const FOUNDED_AT: Index = Index(1);
const FOUNDED_IN: Term = Term(1);
/// Bytes of entries looked through at a time.
const SCAN_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("node ids {0:?} and {1:?} have the same raft id; rename one")]
    MemberIdCollision(String, String),
    /// Events of the others would not be found, and they would take no part in what is agreed there.
    #[error("the directory holds {held} groups, and the settings say groups: {asked}; set it to {held}")]
    FewerGroups { held: u32, asked: u32 },
    /// Each member would begin the new groups with the members that it knows of.
    #[error("the directory holds {held} groups, and the settings say groups: {asked}; more can be had only while the members are those that the cluster was founded with and that the settings name; set it to {held}")]
    MoreGroups { held: u32, asked: u32 },
    /// The log needs a snapshot that is not there, or was not readable.
    #[error("group {group} goes on from a snapshot at {index}, which cannot be read: {source}")]
    StateLost { group: GroupId, index: Index, source: SnapshotError },
}

#[derive(Clone, Debug)]
pub struct MemberConfig {
    pub cluster_id: String,
    pub node_id: String,
    /// The members of a new cluster, this one included: id and address.
    pub founders: Vec<(String, String)>,
    /// A new directory waits to be added to a cluster that exists, instead of founding one.
    pub joins: bool,
    /// Groups 0 up to, not including, this many.
    pub groups: u32,
    /// Election timeouts are drawn from `[min, max)` ticks.
    pub election_ticks: (usize, usize),
    pub heartbeat_ticks: usize,
    /// See `GroupConfig`.
    pub profile: Profile,
    pub inflight_messages: usize,
    pub intake_bytes_max: usize,
    pub limits: MachineLimits,
    pub snapshots: SnapshotPolicy,
    /// See `GroupConfig`.
    pub read_lease_us: u64,
    pub log: LogOptions,
    pub causal: CausalConfig,
    /// Everything random comes from here.
    pub seed: u64,
    /// Random; becomes the directory's id when it is new.
    pub fresh_directory_id: [u8; 16],
}

/// Settings of the causal lane (see `LaneConfig`).
#[derive(Clone, Copy, Debug)]
pub struct CausalConfig {
    pub continuity_ticks: u64,
    pub gossip_ticks: u64,
    pub fetch_ticks: u64,
    pub buffer_entries: usize,
    pub retention: Retention,
    pub has_states: bool,
}

impl Default for CausalConfig {
    fn default() -> Self {
        Self { continuity_ticks: 50, gossip_ticks: 2, fetch_ticks: 10, buffer_entries: 1_000, retention: Retention::default(), has_states: false }
    }
}

/// A directory that was recovered, and founded if it was new.
pub struct Recovered<D: Disk> {
    pub log: Log<D>,
    pub keeper: Keeper<D>,
    /// What the log held.
    pub recovery: Recovery,
    /// Groups whose logs have been emptied since.
    pub begun_again: BTreeMap<GroupId, GroupRecovery>,
}

/// Recovers a directory; founds the groups it does not have, unless it is to join.
pub fn recover<D: Disk>(disk: Arc<D>, config: &MemberConfig) -> Result<Recovered<D>, OpenError> {
    check_ids(&config.founders)?;
    let wanted = Wanted {
        cluster_id: config.cluster_id.clone(),
        node_id: config.node_id.clone(),
        fresh_directory_id: config.fresh_directory_id,
        salt_seed: config.seed,
    };
    let (mut log, mut recovery) = Log::open(disk.clone(), config.log.clone(), wanted)?;
    let ordered = || recovery.groups.keys().filter(|id| !is_origin(**id));
    let (held, asked) = (ordered().next_back().map_or(0, |last| last.0 + 1), config.groups.max(1));
    if held > asked {
        return Err(OpenError::FewerGroups { held, asked });
    }
    let keeper = Keeper::new(disk, config.cluster_id.clone(), config.limits);
    keeper.clean()?;
    let begun_again = begin_again(&mut log, &recovery, config)?;
    let new: Vec<GroupId> = ids(config).filter(|id| !recovery.groups.contains_key(id)).collect();
    if config.joins && recovery.groups.is_empty() && !plants::is(CorePlant::EmptiedVotes) {
        // Whether it is new or lost everything it had, only the configuration that it is given will tell.
        log.set_unsettled()?;
        recovery.unsettled = true;
    }
    if !config.joins && !new.is_empty() && founds(&log, &keeper, &recovery, config, held)? {
        if held > 0 && !recovery.damaged.is_empty() {
            // It may have had the groups, and had its say in them: they begin unsettled, with all others.
            log.set_unsettled()?;
            recovery.unsettled = true;
        }
        found(&new, &keeper, config)?;
        log.append(&new.iter().flat_map(|group| founding_ops(*group)).collect::<Vec<_>>())?;
        recovery.groups.extend(new.into_iter().map(|group| (group, founded_log())));
    }
    Ok(Recovered { log, keeper, recovery, begun_again })
}

/// Whether a directory is to found the groups that it does not have.
fn founds<D: Disk>(log: &Log<D>, keeper: &Keeper<D>, recovery: &Recovery, config: &MemberConfig, held: u32) -> Result<bool, OpenError> {
    match (held, recovery.unsettled) {
        (0, false) => Ok(true),
        // A founder whose first batch was torn, or one that was to join, whether it is told so again or not: that one never
        // had the state that founders begin with. It begins unsettled, so that nothing hangs on how much was lost. Where
        // the settings name others by now, it waits for a leader to tell the rest.
        (0, true) => {
            let named = Membership::founded(&config.founders).founding();
            Ok(keeper.load(FIRST_GROUP, FOUNDED_AT, config.seed).is_ok_and(|(_, machine)| machine.membership().founding() == named))
        }
        (_, unsettled) => match as_founded(log, keeper, recovery, config) {
            true => Ok(true),
            // It has joined, and was ended before it had every group: the rest comes from their leaders too.
            false if unsettled => Ok(false),
            false => Err(OpenError::MoreGroups { held, asked: config.groups.max(1) }),
        },
    }
}

/// Whether the members are still those that the cluster was founded with, and the settings name them: so every member
/// begins a new group alike, and no other members ever begin one. What is not committed yet counts as if it were. What
/// damage has taken counts as nothing: the worst, as where this member has missed a change of members, is that it alone has
/// the group, and has to be replaced.
fn as_founded<D: Disk>(log: &Log<D>, keeper: &Keeper<D>, recovery: &Recovery, config: &MemberConfig) -> bool {
    let found = recovery.groups.get(&FIRST_GROUP);
    let Some((found, (snapshot, _))) = found.and_then(|found| Some((found, found.snapshot?))) else { return false };
    let Ok((_, machine)) = keeper.load(FIRST_GROUP, snapshot, config.seed) else { return false };
    let table = machine.membership();
    let named: BTreeSet<MemberId> = config.founders.iter().map(|(name, _)| MemberId::of(name)).collect();
    let voters = table.iter().filter(|(id, member)| member.role == Role::Voter && named.contains(id)).count();
    if table.version != FOUNDED_AT || voters != named.len() || table.iter().count() != named.len() {
        return false;
    }
    let reader = log.reader();
    let read = |from: u64, to: u64| reader.entries(FIRST_GROUP, Index(from), Index(to + 1), SCAN_BYTES).ok().filter(|entries| !entries.is_empty());
    let mut next = snapshot.0 + 1;
    while next <= found.last_index.0 {
        let entries = read(next, found.last_index.0).or_else(|| read(next, next)).unwrap_or_default();
        next += entries.len().max(1) as u64;
        let changes = |entry: &LogEntry| entry.kind != 0 || entry::unpack(&entry.data).is_ok_and(|list| list.iter().any(|one| one.kind() == SubmissionKind::Members));
        if entries.iter().any(changes) {
            return false;
        }
    }
    true
}

/// Empties the logs that have lost the mark they began with: no entry tells what it said, and nobody else has one in its
/// place. The members, and the state, come with a snapshot from a leader; until then such a member is as one that joins.
fn begin_again<D: Disk>(log: &mut Log<D>, recovery: &Recovery, config: &MemberConfig) -> Result<BTreeMap<GroupId, GroupRecovery>, LogError> {
    let alone = !config.joins && config.founders.len() < 2;
    let lost = |id: &GroupId| recovery.damaged.iter().any(|range| range.group == *id && range.first <= FOUNDED_AT);
    let headless = |(id, found): &(&GroupId, &GroupRecovery)| !is_origin(**id) && found.snapshot.is_none() && found.last_index > Index(0) && lost(id);
    let begun = |(id, found): (&GroupId, &GroupRecovery)| {
        (*id, GroupRecovery { hard_state: HardState { commit: Index(0), ..found.hard_state }, ..empty_log() })
    };
    let groups: BTreeMap<_, _> = recovery.groups.iter().filter(headless).filter(|_| !alone).map(begun).collect();
    let emptied = |(id, found): (&GroupId, &GroupRecovery)| {
        [Op::Truncate { group: *id, from: Index(1) }, Op::HardState { group: *id, state: found.hard_state }]
    };
    let ops: Vec<Op> = groups.iter().flat_map(emptied).collect();
    if !ops.is_empty() {
        log.append(&ops)?;
    }
    Ok(groups)
}

fn ids(config: &MemberConfig) -> impl Iterator<Item = GroupId> {
    (0..config.groups.max(1)).map(GroupId)
}

/// Tells one life of a member from all others, in 32 bits: by chance, since the count of opens is put back together with
/// the directory (docs/decisions/0019), and what the others may still answer is of the life that had the same.
pub fn life_of(config: &MemberConfig) -> u64 {
    let mixed = (config.seed ^ config.seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB) >> 32
}

/// Starts the groups of a directory that was recovered.
pub fn start<D: Disk>(recovered: &Recovered<D>, config: &MemberConfig) -> Result<Member<LogReader<D>>, OpenError> {
    let Recovered { log, keeper, recovery, begun_again } = recovered;
    let mut groups = Vec::new();
    for id in ids(config) {
        let begun_again = begun_again.get(&id);
        let mut log_of = begun_again.or(recovery.groups.get(&id)).cloned().unwrap_or_else(empty_log);
        let lost: Vec<_> = recovery.damaged.iter().filter(|range| range.group == id && begun_again.is_none()).copied().collect();
        let State { snapshot, unreadable } = state_of(keeper, id, &mut log_of, &lost, config.seed)?;
        let mut group = Group::new(group_config(id, config, &log_of), &log_of, snapshot, log.reader())?;
        if let Some((index, reason)) = unreadable {
            group.snapshot_unreadable(index, reason);
        }
        if recovery.unsettled {
            group.torn();
        }
        group.damaged(&log_of, &lost);
        groups.push((id, group));
    }
    let mut lane = Lane::open(lane_config(config, recovery), recovery, log.reader());
    let mut states = None;
    if config.causal.has_states {
        // What cannot be read the others have: the lane says whether it is needed.
        let found: Vec<(SnapshotInfo, States)> = keeper.load_states()?.into_iter().filter_map(Result::ok).collect();
        lane.found_states(&found);
        states = found.into_iter().next().map(|(_, states)| Arc::new(states));
    }
    Ok(Member::new(groups, lane, states))
}

/// What a group begins with.
struct State {
    snapshot: Option<(SnapshotInfo, Machine)>,
    /// Where the mark's is if it is another, and why that is.
    unreadable: Option<(Index, SnapshotError)>,
}

/// The snapshot that the mark names; or, where that cannot be read, the newest one before it from which on the log has
/// everything, so that nothing is lost but time (docs/decisions/0038).
fn state_of<D: Disk>(keeper: &Keeper<D>, group: GroupId, log: &mut GroupRecovery, lost: &[LostRange], seed: u64) -> Result<State, OpenError> {
    let Some((index, _)) = log.snapshot else { return Ok(State { snapshot: None, unreadable: None }) };
    let source = match keeper.load(group, index, seed) {
        Ok(snapshot) => return Ok(State { snapshot: Some(snapshot), unreadable: None }),
        Err(source) => source,
    };
    let fits = |older: &Index| older.0 + 1 >= log.first_index.0;
    // Of a lost entry the log does not know the term.
    let is_lost = |index: Index| lost.iter().any(|range| (range.first..=range.last).contains(&index));
    let agrees = |info: &SnapshotInfo| is_lost(info.meta.index) || log.term_of(info.meta.index) == Some(info.meta.term);
    let read = |older: Index| keeper.load(group, older, seed).ok().filter(|(info, _)| agrees(info));
    let Some((info, machine)) = keeper.before(group, index)?.into_iter().filter(fits).find_map(read) else {
        return Err(OpenError::StateLost { group, index, source });
    };
    log.snapshot = Some((info.meta.index, info.meta.term));
    if plants::is(CorePlant::OlderStateEndsLog) {
        log.truncated(Index(info.meta.index.0 + 1));
    }
    Ok(State { snapshot: Some((info, machine)), unreadable: Some((index, source)) })
}

fn lane_config(config: &MemberConfig, recovery: &Recovery) -> LaneConfig {
    let life = life_of(config);
    LaneConfig {
        me: MemberId::of(&config.node_id),
        node_id: config.node_id.clone(),
        life,
        fresh_incarnation: (life as u32).max(1),
        unsettled: recovery.unsettled,
        continuity_ticks: config.causal.continuity_ticks,
        gossip_ticks: config.causal.gossip_ticks,
        fetch_ticks: config.causal.fetch_ticks,
        buffer_entries: config.causal.buffer_entries,
        window_events: config.limits.window_events,
        retention: config.causal.retention,
        has_states: config.causal.has_states,
    }
}

fn check_ids(founders: &[(String, String)]) -> Result<(), OpenError> {
    let mut named: Vec<(MemberId, &String)> = founders.iter().map(|(id, _)| (MemberId::of(id), id)).collect();
    named.sort();
    match named.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(OpenError::MemberIdCollision(pair[0].1.clone(), pair[1].1.clone())),
        None => Ok(()),
    }
}

fn group_config(id: GroupId, config: &MemberConfig, log: &GroupRecovery) -> GroupConfig {
    // A log with entries and no snapshot is of a release before there were any: its members are those of the settings.
    let old = log.snapshot.is_none() && log.last_index > Index(0);
    let founders = config.founders.iter().map(|(name, _)| MemberId::of(name));
    GroupConfig {
        cluster_id: config.cluster_id.clone(),
        group: id,
        me: MemberId::of(&config.node_id),
        life: life_of(config),
        voters: founders.filter(|_| old).collect(),
        election_ticks: config.election_ticks,
        heartbeat_ticks: config.heartbeat_ticks,
        profile: config.profile,
        inflight_messages: config.inflight_messages,
        intake_bytes_max: config.intake_bytes_max,
        limits: config.limits,
        snapshots: config.snapshots,
        read_lease_us: config.read_lease_us,
        seed: config.seed ^ u64::from(id.0).wrapping_mul(0x9E37_79B9_7F4A_7C15),
    }
}

/// Writes the first snapshot of each group. The logs name them afterwards, all or none.
fn found<D: Disk>(groups: &[GroupId], keeper: &Keeper<D>, config: &MemberConfig) -> Result<(), SnapshotError> {
    let voters = config.founders.iter().map(|(name, _)| MemberId::of(name)).collect();
    let conf = Conf::of_voters(voters);
    for group in groups {
        let table = match *group == FIRST_GROUP {
            true => Membership::founded(&config.founders),
            false => Membership::default(),
        };
        let machine = Machine::founded(config.limits, config.seed, table, FOUNDED_AT);
        let (cluster_id, conf) = (config.cluster_id.clone(), conf.clone());
        let meta = SnapshotMeta { cluster_id, group: *group, index: FOUNDED_AT, term: FOUNDED_IN, conf };
        keeper.write(&meta, &machine.image(), &mut || {})?;
    }
    Ok(())
}

fn founded_state() -> HardState {
    HardState { term: FOUNDED_IN, vote: MemberId(0), commit: FOUNDED_AT }
}

/// What a founded log begins with.
pub fn founding_ops(group: GroupId) -> [Op; 2] {
    let first = Index(FOUNDED_AT.0 + 1);
    let mark = SnapshotMark { index: FOUNDED_AT, term: FOUNDED_IN, first, prior_term: FOUNDED_IN };
    [Op::Mark { group, mark }, Op::HardState { group, state: founded_state() }]
}

/// A group's log right after `founding_ops`.
fn founded_log() -> GroupRecovery {
    GroupRecovery {
        hard_state: founded_state(),
        first_index: Index(FOUNDED_AT.0 + 1),
        prior_term: FOUNDED_IN,
        snapshot: Some((FOUNDED_AT, FOUNDED_IN)),
        last_index: FOUNDED_AT,
        terms: vec![(FOUNDED_AT, FOUNDED_IN)],
    }
}

fn empty_log() -> GroupRecovery {
    GroupRecovery { first_index: Index(1), ..GroupRecovery::default() }
}
