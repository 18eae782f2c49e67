//! The application thread's door.

use crate::filter;
use crate::registry::{self, coded};
use napi::bindgen_prelude::{BigInt, Buffer, Function, Result};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::Status;
use napi_derive::napi;
use std::sync::atomic::Ordering;
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::ids::{EventId, GroupId, Index};
use vexfs_core::journal::{JournalError, Window};
use vexfs_runtime::node::NotTaken;
use vexfs_runtime::shared::GroupShared;

pub(crate) fn status_of(result: std::result::Result<(), NotTaken>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(NotTaken::Full) => 1,
        Err(NotTaken::Closed) => 2,
        Err(NotTaken::UnknownGroup) => 3,
        Err(NotTaken::Diverged) => 4,
        Err(NotTaken::ClockAhead) => 5,
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
/// member has applied something else than a majority and keeps out of the group (`STATE_DIVERGED`), 5 the clock here is too far ahead of others' (`CLOCK_AHEAD`).
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

/// Hands in rules of replication (docs/formats.md, "Rules of replication"). Answers as `submit`.
#[napi]
pub fn set_replication(handle: u32, request: u32, rules: &[u8]) -> Result<u32> {
    Ok(status_of(registry::get(handle)?.set_rules(request, rules)))
}

/// The rules as agreed on: u64 version, then as they are handed in.
#[napi]
pub fn replication_rules(handle: u32) -> Result<Buffer> {
    let node = registry::get(handle)?;
    let mut out = Vec::new();
    node.shared().rules.lock().encode(&mut out);
    Ok(out.into())
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
