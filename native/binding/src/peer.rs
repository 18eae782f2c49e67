//! The network Worker's door: bytes out, bytes in, and the state of its links.

use crate::registry;
use napi::bindgen_prelude::{Buffer, Function, Result};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::Status;
use napi_derive::napi;
use vexfs_core::peer::frame::FrameError;

/// Has `onOutbound` called, on this thread, whenever frames have gathered (docs/formats.md, "Outbound batches").
#[napi]
pub fn attach_peer(handle: u32, on_outbound: Function<'_, Buffer, ()>) -> Result<f64> {
    let node = registry::get(handle)?;
    let fetch = node.clone();
    let call = on_outbound
        .build_threadsafe_function::<()>()
        .weak::<true>()
        .max_queue_size::<4>()
        .build_callback(move |_| Ok(Buffer::from(fetch.shared().outbox.take())))?;
    let wake = move || call.call((), ThreadsafeFunctionCallMode::NonBlocking) == Status::Ok;
    Ok(node.shared().outbox.waker.attach(Box::new(wake)) as f64)
}

#[napi]
pub fn detach_peer(handle: u32, token: f64) {
    if let Ok(node) = registry::get(handle) {
        node.shared().outbox.waker.detach(token as u64);
    }
}

/// The slot of a peer for the calls below; a new one if it was not known.
#[napi]
pub fn add_peer(handle: u32, node_id: String) -> Result<u32> {
    Ok(registry::get(handle)?.add_peer(&node_id))
}

/// `reads`: 1 shifted by the number of each compression that the other side reads.
#[napi]
pub fn link_up(handle: u32, slot: u32, channel: u8, reads: u8) -> Result<()> {
    registry::get(handle)?.link_up(slot, channel, reads);
    Ok(())
}

#[napi]
pub fn link_down(handle: u32, slot: u32, channel: u8) {
    if let Ok(node) = registry::get(handle) {
        node.link_down(slot, channel);
    }
}

/// `socket.write()` answered false, and so many bytes wait in the socket.
#[napi]
pub fn link_blocked(handle: u32, slot: u32, channel: u8, waiting_bytes: f64) {
    if let Ok(node) = registry::get(handle) {
        node.link_blocked(slot, channel, waiting_bytes as usize);
    }
}

#[napi]
pub fn link_drained(handle: u32, slot: u32, channel: u8) {
    if let Ok(node) = registry::get(handle) {
        node.link_drained(slot, channel);
    }
}

/// A connection of the network, by the system's number of its socket: given up by the kernel after so long a silence.
#[napi]
pub fn give_up_after(descriptor: i32, timeout_ms: u32) -> bool {
    vexfs_runtime::silence::give_up_after(descriptor, timeout_ms)
}

#[napi]
pub fn inbound_open(handle: u32, connection: u32, node_id: String) -> Result<()> {
    registry::get(handle)?.inbound_open(connection, &node_id);
    Ok(())
}

/// Bytes as they came. 0 fine, 1 a violation (close the connection), 2 the node has ended, 3 a violation in what was packed.
#[napi]
pub fn inbound_data(handle: u32, connection: u32, chunk: &[u8]) -> u32 {
    match registry::get(handle) {
        Ok(node) => match node.inbound_data(connection, chunk) {
            Ok(()) => 0,
            Err(FrameError::Packed(_) | FrameError::PackedLengths | FrameError::PackedCount) => 3,
            Err(_) => 1,
        },
        Err(_) => 2,
    }
}

#[napi]
pub fn inbound_closed(handle: u32, connection: u32) {
    if let Ok(node) = registry::get(handle) {
        node.inbound_closed(connection);
    }
}
