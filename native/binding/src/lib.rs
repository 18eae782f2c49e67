//! N-API surface of the coordinator. Work crosses in packed buffers, one call for many events; never in arrays of
//! objects. Handles are numbers in a process-wide registry, so that the main thread and the network Worker, each with
//! its own instance of this module, share one core.

mod app;
mod causal;
mod compression;
mod crdt;
mod filter;
mod offline;
mod open;
mod peer;
mod recover;
mod registry;
mod snapshot;
mod states;
mod status;
