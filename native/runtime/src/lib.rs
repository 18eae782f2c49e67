//! Files, threads and the real clock under the coordinator's core.

mod background;
mod direct;
pub mod disk;
pub mod links;
pub mod node;
pub mod offline;
pub mod packer;
pub mod protocol;
pub mod queue;
pub mod recover;
pub mod restore;
pub mod shared;
pub mod silence;
pub mod times;
pub mod wake;
pub mod writer;
