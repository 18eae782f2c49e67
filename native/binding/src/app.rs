//! The application thread's door.

use crate::filter;
use crate::registry::{self, coded};
use napi::bindgen_prelude::{BigInt, Buffer, Function, Result};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::Status;
use napi_derive::napi;
use std::sync::atomic::Ordering;
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::ids::{EventId, GroupId, Index, MemberId};
use vexfs_core::journal::{JournalError, Window};
use vexfs_core::membership;
use vexfs_core::ordered::standing::PutBack;
use vexfs_core::ordered::status::{GroupStatus, Role};
use vexfs_runtime::node::NotTaken;
use vexfs_runtime::shared::GroupShared;

fn status_of(result: std::result::Result<(), NotTaken>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(NotTaken::Full) => 1,
        Err(NotTaken::Closed) => 2,
        Err(NotTaken::UnknownGroup) => 3,
        Err(NotTaken::Diverged) => 4,
    }
}

/// Has `onEnds` called, on this thread, whenever ends of requests have gathered (docs/formats.md, "Packed ends").
/// The call does not keep the process alive. Answers the token to detach with.
#[napi]
pub fn attach_app(handle: u32, on_ends: Function<'_, Buffer, ()>) -> Result<f64> {
    let node = registry::get(handle)?;
    let fetch = node.clone();
    let call = on_ends
        .build_threadsafe_function::<()>()
        .weak::<true>()
        .max_queue_size::<4>()
        .build_callback(move |_| Ok(Buffer::from(fetch.shared().app.take())))?;
    let wake = move || call.call((), ThreadsafeFunctionCallMode::NonBlocking) == Status::Ok;
    Ok(node.shared().app.waker.attach(Box::new(wake)) as f64)
}

#[napi]
pub fn detach_app(handle: u32, token: f64) {
    if let Ok(node) = registry::get(handle) {
        node.shared().app.waker.detach(token as u64);
    }
}

/// Hands in a packed submission. 0 taken, 1 full (try again later), 2 the node has ended, 3 there is no such group, 4 this
/// member has applied something else than a majority and keeps out of the group (`STATE_DIVERGED`).
#[napi]
pub fn submit(handle: u32, request: u32, submission: &[u8], applied_quorum: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.submit(request, submission, applied_quorum)))
}

/// Hands in packed events for the causal lane. Answers as `submit`.
#[napi]
pub fn publish(handle: u32, request: u32, submission: &[u8]) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.publish(request, submission)))
}

/// Asks for a read barrier. Answers as `submit`.
#[napi]
pub fn request_barrier(handle: u32, request: u32, group: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.barrier(request, GroupId(group))))
}

/// Takes a request back; it ends as withdrawn, with word whether a leader may have seen it.
#[napi]
pub fn withdraw(handle: u32, request: u32, group: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.withdraw(request, GroupId(group))))
}

/// Asks where an event id (16 bytes) stands.
#[napi]
pub fn find_event(handle: u32, request: u32, group: u32, id: &[u8]) -> Result<u32> {
    let id = <[u8; 16]>::try_from(id).map_err(|_| coded("INVALID_EVENT_ID", "an event id has 16 bytes"))?;
    Ok(status_of(registry::get(handle)?.find(request, GroupId(group), EventId(u128::from_be_bytes(id)))))
}

/// Hands in a member command (docs/formats.md, "Member commands"). Answers as `submit`.
#[napi]
pub fn member_command(handle: u32, request: u32, command: &[u8]) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.change_members(request, command)))
}

/// Has a member lead a group; nothing ends for it: the status shows whether it came to be.
#[napi]
pub fn transfer_leadership(handle: u32, group: u32, node_id: String) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.transfer_leadership(GroupId(group), &node_id)))
}

/// Asks that every group led here be led elsewhere; `leads` tells when it is done.
#[napi]
pub fn hand_over(handle: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.hand_over()))
}

/// Whether this node leads any group.
#[napi]
pub fn leads(handle: u32) -> Result<bool> {
    Ok(registry::get(handle)?.shared().leads.load(Ordering::SeqCst))
}

/// Has a snapshot taken of a group's state as it is now. Answers as `submit`; ends as snapshotTaken or snapshotFailed.
#[napi]
pub fn take_snapshot(handle: u32, request: u32, group: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.take_snapshot(request, GroupId(group))))
}

/// Packed deliveries from (index, offset) on, index 0 for the journal's beginning; `filter` is a number of `makeFilter`
/// or 0. Throws `CURSOR_COMPACTED` for a place before the journal's beginning, `LOG_DAMAGED` for one that cannot be
/// read and that no other member gives, `STATE_DIVERGED` at a member that has applied something else than a majority.
#[napi]
pub fn read_journal(
    handle: u32,
    group: u32,
    index: BigInt,
    offset: u32,
    bytes_max: u32,
    events_max: u32,
    filter: u32,
) -> Result<Buffer> {
    let filter = filter::get(filter)?;
    let window = Window { index: Index(index.get_u64().1), offset, bytes_max: bytes_max as usize, events_max };
    let packed = registry::get(handle)?.read_journal(GroupId(group), window, filter.as_deref());
    packed.map(Buffer::from).map_err(unread)
}

/// As `readJournal`, the delivery at one place, whether or not what it follows in the causal lane was delivered here.
#[napi]
pub fn read_place(handle: u32, group: u32, index: BigInt, offset: u32) -> Result<Buffer> {
    let packed = registry::get(handle)?.read_place(GroupId(group), Index(index.get_u64().1), offset);
    packed.map(Buffer::from).map_err(unread)
}

fn unread(error: JournalError) -> napi::Error {
    match error {
        JournalError::Compacted { .. } => coded("CURSOR_COMPACTED", error),
        JournalError::Unreadable { .. } => coded("LOG_DAMAGED", error),
        JournalError::Diverged { .. } => coded("STATE_DIVERGED", error),
    }
}

/// Whether anybody waits for the journal to grow; only then is its growth told.
#[napi]
pub fn watch_journal(handle: u32, watched: bool) -> Result<()> {
    registry::get(handle)?.shared().watched.store(watched, Ordering::SeqCst);
    Ok(())
}

/// The same for the causal lane.
#[napi]
pub fn watch_causal(handle: u32, watched: bool) -> Result<()> {
    registry::get(handle)?.shared().lane_watched.store(watched, Ordering::SeqCst);
    Ok(())
}

fn of_group(handle: u32, group: u32, read: impl Fn(&GroupShared) -> u64) -> Result<BigInt> {
    let node = registry::get(handle)?;
    let group = node.shared().groups.get(&GroupId(group));
    group.map(|group| read(group).into()).ok_or_else(|| coded("GROUP_UNKNOWN", "there is no such group"))
}

/// How far a group's journal goes: what `readJournal` can see. Of the causal lane (group 2^31): the entries delivered.
#[napi]
pub fn applied_index(handle: u32, group: u32) -> Result<BigInt> {
    if GroupId(group) == FIRST_ORIGIN {
        let node = registry::get(handle)?;
        let delivered = node.shared().lane.read().delivered.clone();
        return Ok(delivered.iter().map(|(_, counter)| counter).sum::<u64>().into());
    }
    of_group(handle, group, |group| group.applied.load(Ordering::SeqCst))
}

/// Where a group's journal begins.
#[napi]
pub fn first_index(handle: u32, group: u32) -> Result<BigInt> {
    of_group(handle, group, |group| group.first.load(Ordering::SeqCst))
}

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

#[napi(object)]
pub struct NativeStatus {
    pub groups: Vec<NativeGroup>,
    pub table: Vec<NativeTableMember>,
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
        table_version: table.version.0.into(),
        pending_bytes: shared.pending_bytes.load(Ordering::Relaxed) as f64,
        outbound_bytes: shared.outbox.bytes() as f64,
        dropped_frames: shared.outbox.dropped_frames.load(Ordering::Relaxed) as f64,
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
    })
}

/// Raft id of a node id (docs/formats.md, "Submission").
#[napi]
pub fn raft_id(node_id: String) -> BigInt {
    vexfs_core::ids::MemberId::of(&node_id).0.into()
}

/// For tests of rule R14: holds the next fdatasync of this node for `ms` milliseconds.
#[napi]
pub fn hold_next_sync(handle: u32, ms: u32) -> Result<()> {
    registry::get(handle)?.hold_sync(ms.into());
    Ok(())
}
