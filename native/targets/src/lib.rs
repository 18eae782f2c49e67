//! What the fuzzer runs (native/fuzz), one file a family of decoders: all that reads bytes from outside the process. The
//! corpus is replayed through the same functions in every test run (`tests/corpus.rs`).
//!
//! A target takes any bytes. It makes of them what its decoders are given, with checksums that are right where wrong ones
//! would end everything at once, and judges what came of it: what is read is what was written, what is refused has changed
//! nothing, and neither takes more memory than is stated here (`allocations`).

#[path = "../../core/tests/crdt_support/allocations.rs"]
pub mod allocations;
pub mod disk;
mod filters;
mod frames;
mod lane;
mod log_files;
mod logs;
mod members;
mod messages;
mod packed;
mod peers;
mod rules;
mod snapshots;
mod state;
mod strikes;
mod submissions;

// Other tests use more of the model.
#[allow(dead_code)]
#[path = "../../core/tests/crdt_support/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../../core/tests/crdt_support/oracle.rs"]
mod oracle;
#[path = "../../core/tests/crdt_support/program.rs"]
mod program;
#[path = "../../core/tests/crdt_support/written.rs"]
mod written;

use arbitrary::{Arbitrary, Unstructured};

pub struct Target {
    pub name: &'static str,
    /// What it reads.
    pub reads: &'static str,
    pub run: fn(&[u8]),
}

pub const TARGETS: &[Target] = &[
    Target { name: "crdt", reads: "states, deltas and comparisons of CRDTs", run: crdt },
    Target { name: "filters", reads: "globs of subscriptions", run: filters::run },
    Target { name: "frames", reads: "streams of frames, packed ones among them, in any pieces", run: frames::run },
    Target { name: "logs", reads: "superblocks, segments, records and footers of logs", run: logs::run },
    Target { name: "members", reads: "what peers send to a member, on all its states", run: members::run },
    Target { name: "messages", reads: "bodies of frames, contexts of entries, commands, the table of members", run: messages::run },
    Target { name: "packed", reads: "LZ4, Zstd and Snappy", run: packed::run },
    Target { name: "snapshots", reads: "files of snapshots and of states", run: snapshots::run },
    Target { name: "state", reads: "entries as the replicated state takes them, and its image", run: state::run },
    Target { name: "submissions", reads: "submissions, events and entries", run: submissions::run },
];

/// Runs a target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "there is no target {name}");
    target.into_iter().for_each(|target| (target.run)(bytes));
}

fn crdt(bytes: &[u8]) {
    if let Ok(program) = program::Program::arbitrary(&mut Unstructured::new(bytes)) {
        program.play();
    }
}
