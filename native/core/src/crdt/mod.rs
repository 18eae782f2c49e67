//! Conflict-free replicated data types, as delta states (Almeida, Shoker, Baquero, "Delta state replicated data types",
//! JPDC 2018).
//!
//! There is one engine. A state is a set of facts, each a key and a payload under a dot (actor, counter) of its own, and the
//! context: all dots that were ever seen. A dot in the context without a fact was removed, so nothing is kept of what was. The
//! join of two states keeps what both have, and what one has that the other has not seen.
//! A type (`types/`) is what its facts mean: how an operation replaces them, and what they come to. An object is one
//! state of one type; a map holds any other type under each of its keys, in the same state.
//!
//! Left out: where deltas go, the clock, and randomness; all three are handed in.

mod arena;
mod batch;
mod columns;
mod compare;
mod encode;
mod error;
mod join;
mod object;
mod store;
mod touched;
pub mod types;

pub use batch::Batch;
pub use compare::Compared;
pub use error::CrdtError;
pub use object::Object;
pub use store::Store;
pub use types::{Shape, Type};

/// Version of the encoded form (docs/formats.md, "CRDT state").
pub const FORMAT_VERSION: u8 = 1;
pub const KEY_BYTES_MAX: usize = 64 * 1024;
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Keys and values of one object, together; also what one encoded state may unfold to.
pub const STATE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Facts of one object; also what one encoded state may hold.
pub const FACTS_MAX: usize = 16 * 1024 * 1024;
