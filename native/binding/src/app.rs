//! The application thread's door.

use crate::filter;
use crate::registry::{self, coded};
use napi::bindgen_prelude::{BigInt, Buffer, Function, Result};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::Status;
use napi_derive::napi;
use std::sync::atomic::Ordering;
use vexfs_core::ids::{EventId, Index};
use vexfs_core::journal::Window;
use vexfs_core::ordered::status::Role;
use vexfs_runtime::node::NotTaken;

fn status_of(result: std::result::Result<(), NotTaken>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(NotTaken::Full) => 1,
        Err(NotTaken::Closed) => 2,
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

/// Hands in a packed submission. 0 taken, 1 full (try again later), 2 the node has ended.
#[napi]
pub fn submit(handle: u32, request: u32, submission: &[u8], applied_quorum: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.submit(request, submission, applied_quorum)))
}

/// Asks for a read barrier. Answers as `submit`.
#[napi]
pub fn request_barrier(handle: u32, request: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.barrier(request)))
}

/// Takes a request back; it ends as withdrawn, with word whether a leader may have seen it.
#[napi]
pub fn withdraw(handle: u32, request: u32) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.withdraw(request)))
}

/// Asks where an event id (16 bytes) stands.
#[napi]
pub fn find_event(handle: u32, request: u32, id: &[u8]) -> Result<u32> {
    let id = <[u8; 16]>::try_from(id).map_err(|_| coded("INVALID_EVENT_ID", "an event id has 16 bytes"))?;
    Ok(status_of(registry::get(handle)?.find(request, EventId(u128::from_be_bytes(id)))))
}

/// Packed deliveries from (index, offset) on; `filter` is a number of `makeFilter` or 0.
#[napi]
pub fn read_journal(
    handle: u32,
    index: BigInt,
    offset: u32,
    bytes_max: u32,
    events_max: u32,
    filter: u32,
) -> Result<Buffer> {
    let filter = filter::get(filter)?;
    let window = Window { index: Index(index.get_u64().1), offset, bytes_max: bytes_max as usize, events_max };
    let packed = registry::get(handle)?
        .read_journal(window, filter.as_deref())
        .map_err(|error| coded("LOG_DAMAGED", error))?;
    Ok(Buffer::from(packed))
}

/// Whether anybody waits for the journal to grow; only then is its growth told.
#[napi]
pub fn watch_journal(handle: u32, watched: bool) -> Result<()> {
    registry::get(handle)?.shared().watched.store(watched, Ordering::SeqCst);
    Ok(())
}

/// How far the journal goes: what `readJournal` can see.
#[napi]
pub fn applied_index(handle: u32) -> Result<BigInt> {
    Ok(registry::get(handle)?.shared().applied.load(Ordering::SeqCst).into())
}

#[napi(object)]
pub struct NativeMember {
    pub raft_id: BigInt,
    pub match_index: BigInt,
    pub active: bool,
}

#[napi(object)]
pub struct NativeStatus {
    pub role: String,
    /// Raft id of the leader, or null.
    pub leader: Option<BigInt>,
    pub term: BigInt,
    pub last_index: BigInt,
    pub commit_index: BigInt,
    pub applied_index: BigInt,
    pub apply_hash: BigInt,
    pub events: BigInt,
    pub elections: f64,
    pub pending: u32,
    pub pending_bytes: f64,
    pub sessions: u32,
    pub members: Vec<NativeMember>,
    pub outbound_bytes: f64,
    pub dropped_frames: f64,
    pub refused_frames: f64,
    pub last_refusal: Option<String>,
    pub log_bytes: BigInt,
    pub segments: u32,
    pub sync_p50_us: u32,
}

#[napi]
pub fn node_status(handle: u32) -> Result<NativeStatus> {
    let node = registry::get(handle)?;
    let shared = node.shared();
    let group = shared.status.lock().clone();
    let stats = node.log_stats();
    let last_refusal = shared.last_refusal.lock().clone();
    Ok(NativeStatus {
        role: match group.role {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
        }
        .to_string(),
        leader: group.leader.map(|leader| leader.0.into()),
        term: group.term.0.into(),
        last_index: group.last.0.into(),
        commit_index: group.commit.0.into(),
        applied_index: group.applied.0.into(),
        apply_hash: group.apply_hash.into(),
        events: group.events.into(),
        elections: group.elections as f64,
        pending: group.pending as u32,
        pending_bytes: shared.pending_bytes.load(Ordering::Relaxed) as f64,
        sessions: group.sessions as u32,
        members: group
            .members
            .iter()
            .map(|(id, matched, active)| NativeMember {
                raft_id: id.0.into(),
                match_index: matched.0.into(),
                active: *active,
            })
            .collect(),
        outbound_bytes: shared.outbox.bytes() as f64,
        dropped_frames: shared.outbox.dropped_frames.load(Ordering::Relaxed) as f64,
        refused_frames: shared.refused_frames.load(Ordering::Relaxed) as f64,
        last_refusal,
        log_bytes: stats.log_bytes.into(),
        segments: stats.segments as u32,
        sync_p50_us: shared.sync_times.median_us(),
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
