//! The CRDTs beside a model, the crate `crdts` and the documented format: the body is that of `core/tests/crdt_fuzz.rs`.
#![no_main]
// Other tests use more of the model.
#![allow(dead_code)]

#[path = "../../core/tests/crdt_support/allocations.rs"]
mod allocations;
#[path = "../../core/tests/crdt_support/model.rs"]
mod model;
#[path = "../../core/tests/crdt_support/oracle.rs"]
mod oracle;
#[path = "../../core/tests/crdt_support/program.rs"]
mod program;
#[path = "../../core/tests/crdt_support/written.rs"]
mod written;

use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fuzz_target!(|program: program::Program| program.play());
