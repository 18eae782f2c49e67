//! Clocks: the hybrid one, and those of happened-before.

mod actors;
mod dotted;
mod hybrid;
mod ranges;
pub mod rows;

pub use actors::{ActorId, Actors, ACTORS_MAX, ACTOR_NAME_BYTES_MAX};
pub use dotted::DottedVector;
pub use hybrid::{HybridClock, AHEAD_MS_MAX};
pub use ranges::Ranges;
