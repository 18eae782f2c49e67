//! See native/targets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vexfs_fuzz_targets::{allocations::Counting, run};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|bytes: &[u8]| run("state", bytes));
