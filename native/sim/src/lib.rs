//! Whole clusters and their clients in one thread on virtual time, running the product's own group, machine, journal and
//! log over a simulated disk, network and clock. Nothing is random but the seed (docs/simulator.md).
//!
//! - `setup` draws what a run is made of; `run` runs it: `queue` says what happens next, `world` carries it out.
//! - `member` is how the product's parts are put together, what the runtime's threads do included.
//! - `lane` is what was seen of the causal lane, `history` all else.
//! - `disk`, `network`, `regions` and `faults` are the world around it, `clients` use it, `invariants` judge it.
//! - `plants` are known bugs that show that the judges can tell.
//! - `replay` tells one seed's history and `diagram` draws it, `hunt` runs many, `shrink` makes a failing one smaller; `main`
//!   does what the command line (`args`) says.
//!
//! Left out: the TypeScript storeys, and real time of any kind.

pub mod args;
pub mod catalogue;
pub mod clients;
pub mod coverage;
pub mod describe;
pub mod diagram;
pub mod disk;
pub mod faults;
pub mod history;
pub mod hunt;
pub mod interrupt;
pub mod invariants;
pub mod lane;
pub mod member;
pub mod network;
pub mod outside;
pub mod panics;
pub mod plants;
pub mod progress;
pub mod queue;
pub mod random;
pub mod record;
pub mod regions;
pub mod replay;
pub mod run;
pub mod setup;
pub mod shadow;
pub mod shrink;
pub mod summary;
pub mod world;
