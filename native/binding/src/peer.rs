//! The network Worker's door: bytes out, bytes in, and the state of its links.

use crate::registry;
use napi::bindgen_prelude::{Buffer, Function, Result};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::Status;
use napi_derive::napi;

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

#[napi]
pub fn link_up(handle: u32, slot: u32, channel: u8) -> Result<()> {
    registry::get(handle)?.link_up(slot, channel);
    Ok(())
}

#[napi]
pub fn link_down(handle: u32, slot: u32, channel: u8) {
    if let Ok(node) = registry::get(handle) {
        node.link_down(slot, channel);
    }
}

/// `socket.write()` answered false, or drained.
#[napi]
pub fn link_blocked(handle: u32, slot: u32, channel: u8, blocked: bool) {
    if let Ok(node) = registry::get(handle) {
        node.link_blocked(slot, channel, blocked);
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

/// Bytes as they came. 0 fine, 1 a violation (close the connection), 2 the node has ended.
#[napi]
pub fn inbound_data(handle: u32, connection: u32, chunk: &[u8]) -> u32 {
    match registry::get(handle) {
        Ok(node) => u32::from(node.inbound_data(connection, chunk).is_err()),
        Err(_) => 2,
    }
}

#[napi]
pub fn inbound_closed(handle: u32, connection: u32) {
    if let Ok(node) = registry::get(handle) {
        node.inbound_closed(connection);
    }
}
