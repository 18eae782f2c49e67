//! What an open node tells of itself.

use crate::registry;
use napi::bindgen_prelude::{BigInt, Result};
use napi_derive::napi;
use std::sync::atomic::Ordering;
use vexfs_core::ids::MemberId;
use vexfs_core::membership;
use vexfs_core::ordered::standing::PutBack;
use vexfs_core::ordered::status::{GroupStatus, Role};
use vexfs_runtime::links::LinkState;
use vexfs_runtime::protocol::TICK;
use vexfs_runtime::shared::Shared;

#[napi(object)]
pub struct NativeMember {
    pub raft_id: BigInt,
    pub match_index: BigInt,
    pub active: bool,
}

/// One ordered group as this node knows it. Raft ids name members.
#[napi(object)]
pub struct NativeGroup {
    pub group: u32,
    /// leader, follower, candidate, learner or removed.
    pub role: String,
    pub leader: Option<BigInt>,
    pub term: BigInt,
    pub last_index: BigInt,
    pub commit_index: BigInt,
    pub applied_index: BigInt,
    pub apply_hash: BigInt,
    pub events: BigInt,
    pub elections: f64,
    /// The election timeouts in use.
    pub election_timeout_min_ms: u32,
    pub election_timeout_max_ms: u32,
    pub pending: u32,
    pub sessions: u32,
    /// First entry of the journal here.
    pub first_index: BigInt,
    pub snapshot_index: BigInt,
    pub snapshots_taken: f64,
    pub snapshots_installed: f64,
    pub snapshot_failure: Option<String>,
    pub voters: Vec<BigInt>,
    /// Voters that are about to go; empty outside a change.
    pub outgoing: Vec<BigInt>,
    pub learners: Vec<BigInt>,
    pub members: Vec<NativeMember>,
    /// The group neither votes, acknowledges nor leads until entries that damage has taken are back from other members.
    pub repairing: bool,
    /// First and last entry that damage has taken and that is being asked for, whether the group waits for it or not.
    pub lost_first_index: Option<BigInt>,
    pub lost_last_index: Option<BigInt>,
    /// Entries that came back from other members since the start.
    pub repaired: f64,
    /// Answers of other members that were not what was applied here, by the running hash.
    pub repairs_refused: f64,
    /// First entry at which members have not applied the same; none while all agree.
    pub diverged_index: Option<BigInt>,
    /// Whether that is the first one for sure: differences of long ago are only known to be there.
    pub diverged_exactly: bool,
    /// Raft ids of those that differ from a majority of the voters; empty where no majority agrees.
    pub diverged_members: Vec<BigInt>,
    /// This member is one of them: it acknowledges nothing, does not lead and refuses reads (`STATE_DIVERGED`).
    pub isolated: bool,
    /// The data directory was put back to an older state, as was noticed since the start.
    pub put_back: Option<NativePutBack>,
    /// Differences found since the start; a counter for metrics.
    pub divergences: f64,
    /// Share of the last minute's (event, member) pairs that agreed within a second of being applied here, in percent.
    pub consistency_percentage: f64,
}

#[napi(object)]
pub struct NativePutBack {
    /// Raft id of who was told of more than there was.
    pub known_by: BigInt,
    /// The last entry it knows of, and the last there was; 0 in a group that nobody missed anything of.
    pub known_term: BigInt,
    pub known_index: BigInt,
    pub had_term: BigInt,
    pub had_index: BigInt,
    /// Milliseconds since it was noticed.
    pub since_ms: f64,
    /// The others have settled it: the member votes and acknowledges again.
    pub settled: bool,
}

#[napi(object)]
pub struct NativeTableMember {
    pub id: String,
    /// Empty where only each node's own settings know it.
    pub address: String,
    /// voter, learner or removed.
    pub role: String,
}

/// One channel to a member; counts are since the start, times in microseconds.
#[napi(object)]
pub struct NativeLink {
    pub raft_id: BigInt,
    /// 0 urgent, 1 bulk.
    pub channel: u32,
    pub up: bool,
    pub blocked: bool,
    pub connections: f64,
    pub waiting_bytes: f64,
    pub sent_bytes: f64,
    pub sent_frames: f64,
    pub sent_batches: f64,
    pub dropped_frames: f64,
    /// Of both channels together.
    pub received_bytes: f64,
    pub received_frames: f64,
    /// Answers on the present connection; the times below are 0 before the first.
    pub answers: f64,
    pub least_us: u32,
    pub p50_us: u32,
    pub p99_us: u32,
    pub smoothed_us: f64,
    pub deviation_us: f64,
    /// For how long a question has had no answer.
    pub waiting_us: f64,
    /// By how much the member's clock is ahead.
    pub clock_offset_ms: f64,
}

#[napi(object)]
pub struct NativeStatus {
    pub groups: Vec<NativeGroup>,
    pub table: Vec<NativeTableMember>,
    pub links: Vec<NativeLink>,
    pub table_version: BigInt,
    pub pending: u32,
    pub pending_bytes: f64,
    pub sessions: u32,
    pub outbound_bytes: f64,
    pub dropped_frames: f64,
    /// Of frames that were packed: their bytes, and those that left or came for them.
    pub sent_raw_bytes: f64,
    pub sent_packed_bytes: f64,
    pub received_raw_bytes: f64,
    pub received_packed_bytes: f64,
    pub refused_frames: f64,
    pub last_refusal: Option<String>,
    pub log_bytes: BigInt,
    pub segments: u32,
    /// Of them, bytes that no group needs and that older entries hold back.
    pub held_back_bytes: BigInt,
    pub sync_p50_us: u32,
    /// The disk has no room: writes wait until it has.
    pub disk_full: bool,
    /// By how much the clock here is ahead of those of most other members.
    pub clock_ahead_ms: f64,
}

fn ms_of(ticks: usize) -> u32 {
    ticks as u32 * TICK.as_millis() as u32
}

fn native_group(status: &GroupStatus, me: MemberId) -> NativeGroup {
    let ids = |list: &[MemberId]| list.iter().map(|id| id.0.into()).collect();
    let conf = &status.conf;
    let role = match status.role {
        _ if status.removed => "removed",
        Role::Leader => "leader",
        Role::Candidate => "candidate",
        Role::Follower if conf.votes(me) => "follower",
        Role::Follower => "learner",
    };
    NativeGroup {
        group: status.group.0,
        role: role.to_string(),
        leader: status.leader.map(|leader| leader.0.into()),
        term: status.term.0.into(),
        last_index: status.last.0.into(),
        commit_index: status.commit.0.into(),
        applied_index: status.applied.0.into(),
        apply_hash: status.apply_hash.into(),
        events: status.events.into(),
        elections: status.elections as f64,
        election_timeout_min_ms: ms_of(status.election_ticks.0),
        election_timeout_max_ms: ms_of(status.election_ticks.1),
        pending: status.pending as u32,
        sessions: status.sessions as u32,
        first_index: status.first.0.into(),
        snapshot_index: status.snapshot.0.into(),
        snapshots_taken: status.snapshots_taken as f64,
        snapshots_installed: status.snapshots_installed as f64,
        snapshot_failure: status.snapshot_failure.clone(),
        voters: ids(&conf.voters),
        outgoing: ids(&conf.outgoing),
        learners: ids(&conf.learners),
        repairing: status.repairing,
        lost_first_index: status.lost.map(|(first, _)| first.0.into()),
        lost_last_index: status.lost.map(|(_, last)| last.0.into()),
        repaired: status.repaired as f64,
        repairs_refused: status.repairs_refused as f64,
        diverged_index: status.divergence.as_ref().map(|found| found.first.0.into()),
        diverged_exactly: status.divergence.as_ref().is_some_and(|found| found.exact),
        diverged_members: status.divergence.as_ref().map_or(Vec::new(), |found| ids(&found.minority)),
        isolated: status.isolated.is_some(),
        put_back: status.put_back.as_ref().map(native_put_back),
        divergences: status.divergences as f64,
        consistency_percentage: status.consistency_percentage(),
        members: status
            .members
            .iter()
            .map(|(id, matched, active)| NativeMember {
                raft_id: id.0.into(),
                match_index: matched.0.into(),
                active: *active,
            })
            .collect(),
    }
}

fn native_put_back(put_back: &PutBack) -> NativePutBack {
    let PutBack { known_by, known, had, since_ms, settled } = *put_back;
    NativePutBack {
        known_by: known_by.0.into(),
        known_term: known.0 .0.into(),
        known_index: known.1 .0.into(),
        had_term: had.0 .0.into(),
        had_index: had.1 .0.into(),
        since_ms: since_ms as f64,
        settled,
    }
}

pub fn native_member(member: &membership::Member) -> NativeTableMember {
    NativeTableMember {
        id: member.name.clone(),
        address: member.address.clone(),
        role: match member.role {
            membership::Role::Voter => "voter",
            membership::Role::Learner => "learner",
            membership::Role::Removed => "removed",
        }
        .to_string(),
    }
}

fn native_links(shared: &Shared) -> Vec<NativeLink> {
    let (received, round_trips) = (shared.inbox.received(), shared.round_trips.lock().clone());
    let links = shared.outbox.links().into_iter();
    let told = links.map(|LinkState { member, channel, up, blocked, waiting_bytes, sent }| {
        let received = received.get(&member).copied().unwrap_or_default();
        let times = round_trips.get(&(member, channel)).filter(|_| up).copied().unwrap_or_default();
        NativeLink {
            raft_id: member.0.into(),
            channel: channel as u32,
            up,
            blocked,
            connections: sent.connections as f64,
            waiting_bytes: waiting_bytes as f64,
            sent_bytes: sent.bytes as f64,
            sent_frames: sent.frames as f64,
            sent_batches: sent.batches as f64,
            dropped_frames: sent.dropped as f64,
            received_bytes: received.bytes as f64,
            received_frames: received.frames as f64,
            answers: times.answers as f64,
            least_us: times.least_us,
            p50_us: times.p50_us,
            p99_us: times.p99_us,
            smoothed_us: times.smoothed_us,
            deviation_us: times.deviation_us,
            waiting_us: times.waiting_us as f64,
            clock_offset_ms: times.clock_offset_ms as f64,
        }
    });
    told.collect()
}

#[napi]
pub fn node_status(handle: u32) -> Result<NativeStatus> {
    let node = registry::get(handle)?;
    let shared = node.shared();
    let me = MemberId::of(&node.opened().identity.node_id);
    let groups: Vec<GroupStatus> = shared.groups.values().map(|group| group.status.lock().clone()).collect();
    let stats = node.log_stats();
    let table = shared.table.lock().clone();
    let last_refusal = shared.last_refusal.lock().clone();
    Ok(NativeStatus {
        pending: groups.iter().map(|group| group.pending as u32).sum(),
        sessions: groups.iter().map(|group| group.sessions as u32).sum(),
        groups: groups.iter().map(|group| native_group(group, me)).collect(),
        table: table.iter().map(|(_, member)| native_member(member)).collect(),
        links: native_links(shared),
        table_version: table.version.0.into(),
        pending_bytes: shared.pending_bytes.load(Ordering::Relaxed) as f64,
        outbound_bytes: shared.outbox.bytes() as f64,
        dropped_frames: shared.outbox.dropped_frames() as f64,
        sent_raw_bytes: shared.outbox.raw_bytes.load(Ordering::Relaxed) as f64,
        sent_packed_bytes: shared.outbox.packed_bytes.load(Ordering::Relaxed) as f64,
        received_raw_bytes: shared.inbox.raw_bytes.load(Ordering::Relaxed) as f64,
        received_packed_bytes: shared.inbox.packed_bytes.load(Ordering::Relaxed) as f64,
        refused_frames: shared.refused_frames.load(Ordering::Relaxed) as f64,
        last_refusal,
        log_bytes: stats.log_bytes.into(),
        segments: stats.segments as u32,
        held_back_bytes: stats.held_back_bytes.into(),
        sync_p50_us: shared.sync_times.median_us(),
        disk_full: shared.disk_full.load(Ordering::SeqCst),
        clock_ahead_ms: shared.clock_ahead_ms.load(Ordering::Relaxed) as f64,
    })
}
