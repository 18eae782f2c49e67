//! What goes wrong: the kinds, when which of them strikes, and what striking means.

mod budget;
pub mod counts;
pub mod kinds;
pub mod plan;
pub mod strike;
