//! Packing frames for the peer network, on a thread of its own: what is urgent overtakes it, and the network's loop turns.

use crate::links::Outbox;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Instant;
use vexfs_core::compression::Coder;
use vexfs_core::peer::choice::Method;
use vexfs_core::peer::frame::Channel;
use vexfs_core::peer::packed;

/// Frames of one connection, one after another.
pub struct Job {
    pub slot: usize,
    pub channel: Channel,
    pub life: u64,
    pub method: Method,
    pub frames: Vec<Vec<u8>>,
}

/// What has become of them: one frame, or they themselves where that would not be shorter.
pub struct Packed {
    pub slot: usize,
    pub channel: Channel,
    pub life: u64,
    pub method: Method,
    pub frames: Vec<Vec<u8>>,
    pub raw_bytes: usize,
    pub took_us: f64,
}

/// Packs until the jobs are closed.
pub fn run(outbox: &Outbox) {
    let mut coder = Coder::default();
    let mut queued = Vec::new();
    while outbox.jobs.take(&mut queued, None) {
        for Job { slot, channel, life, method, frames } in queued.drain(..) {
            let began = Instant::now();
            let pack = AssertUnwindSafe(|| packed::pack(&mut coder, method.codec, method.level, &frames));
            // A fault in packing must not keep the frames: they leave as they are.
            let packed = catch_unwind(pack).unwrap_or_else(|_| {
                coder = Coder::default();
                None
            });
            let raw_bytes = frames.iter().map(Vec::len).sum();
            let frames = packed.map_or(frames, |frame| vec![frame]);
            let took_us = began.elapsed().as_secs_f64() * 1e6;
            outbox.packed(Packed { slot, channel, life, method, frames, raw_bytes, took_us });
        }
    }
}
