//! The protocol cores of the VexFS coordinator.
//!
//! Everything here is a pure state machine over bytes, ticks and finished writes. What a storey above owes between
//! two calls is said at the head of each module. Left out on purpose: files, sockets, threads, clocks, OS randomness.

mod bytes_le;
pub mod causal;
pub mod clock;
pub mod compression;
pub mod crdt;
pub mod ends;
pub mod entry;
pub mod event;
pub mod filter;
pub mod ids;
pub mod journal;
pub mod log;
pub mod machine;
pub mod member;
pub mod membership;
pub mod ordered;
pub mod packed;
pub mod peer;
pub mod plants;
pub mod replication;
pub mod snapshot;
pub mod stub;
