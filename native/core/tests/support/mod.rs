//! A cluster of ordered groups in one thread and virtual time, for scripts: what chance can do to one is `native/sim`'s.

pub mod describe;
pub mod disk;
pub mod history;
pub mod invariants;
pub mod network;
pub mod node;
pub mod random;
pub mod submissions;
pub mod world;
