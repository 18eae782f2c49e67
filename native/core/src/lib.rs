//! The protocol cores of the VexFS coordinator.
//!
//! Everything here is a pure state machine over bytes, ticks and finished writes. What a storey above owes between
//! two calls is said at the head of each module. Left out on purpose: files, sockets, threads, clocks, OS randomness.

pub mod ids;
pub mod log;
