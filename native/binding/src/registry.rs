//! Open nodes by number. Numbers are never used twice in a process.

use napi::bindgen_prelude::{Error, Result, Status};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use vexfs_runtime::node::Node;

static NODES: OnceLock<Mutex<HashMap<u32, Arc<Node>>>> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

fn nodes() -> &'static Mutex<HashMap<u32, Arc<Node>>> {
    NODES.get_or_init(Mutex::default)
}

pub fn insert(node: Arc<Node>) -> u32 {
    let handle = NEXT.fetch_add(1, Ordering::Relaxed);
    nodes().lock().insert(handle, node);
    handle
}

pub fn remove(handle: u32) -> Option<Arc<Node>> {
    nodes().lock().remove(&handle)
}

/// A closed or unknown handle is an error with the public code, not a crash.
pub fn get(handle: u32) -> Result<Arc<Node>> {
    nodes().lock().get(&handle).cloned().ok_or_else(|| coded("CLOSED", "the node is closed"))
}

/// An error the facade takes apart: `CODE: sentence`.
pub fn coded(code: &str, reason: impl std::fmt::Display) -> Error {
    Error::new(Status::GenericFailure, format!("{code}: {reason}"))
}
