//! Every input of the corpus that is kept, once more: what the fuzzer has found, and what has ever failed.

use std::path::{Path, PathBuf};
use vexfs_fuzz_targets::allocations::Counting;
use vexfs_fuzz_targets::TARGETS;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/kept")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = kept().join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn what_is_kept_holds() {
    for target in TARGETS {
        let inputs = inputs(target.name);
        assert!(!inputs.is_empty(), "nothing is kept of {}", target.name);
        for input in inputs {
            let bytes = std::fs::read(&input).expect("a readable file");
            if let Err(failure) = std::panic::catch_unwind(|| (target.run)(&bytes)) {
                println!("npm run fuzz -- {} {}", target.name, input.display());
                std::panic::resume_unwind(failure);
            }
        }
    }
}

/// A folder of a target that is no more would be replayed by nobody.
#[test]
fn every_folder_has_its_target() {
    for entry in std::fs::read_dir(kept()).expect("the corpus is there") {
        let name = entry.expect("a readable folder").file_name();
        assert!(TARGETS.iter().any(|target| name == target.name), "{name:?}");
    }
}
