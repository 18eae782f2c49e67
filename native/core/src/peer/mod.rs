//! What members say to each other: frames, and the raft messages in them. Bytes in, bytes out; sockets are elsewhere.

pub mod choice;
pub mod frame;
pub mod packed;
pub mod raft_message;
pub mod round_trips;
