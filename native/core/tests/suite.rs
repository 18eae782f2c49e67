//! All tests of the crate that see what others see of it, as one program: as one for each file they took three times as
//! long to build, since each had the whole core in it again.

mod compression_foreign;
mod compression_laws;
mod crdt_fuzz;
mod crdt_laws;
mod crdt_oracle;
mod far_members;
mod lane_actors;
mod lane_far;
mod lane_follows;
mod lane_lacks_states;
mod lane_selective;
mod lane_states;
mod lane_unsettled;
mod log_crash;
mod log_damage;
mod log_full;
mod log_golden;
mod log_lives;
mod log_model;
mod log_release;
mod log_repair;
mod log_stale;
mod offers;
mod ordered_defects;
mod ordered_golden;
mod ordered_marks;
mod ordered_transcripts;
mod peer_packed;

mod crdt_support;
mod lane_support;
mod log_support;
mod support;

/// Counts for each thread, thus for each test.
#[global_allocator]
static ALLOCATOR: crdt_support::allocations::Counting = crdt_support::allocations::Counting;

/// A file that is not named above would never run.
#[test]
fn every_file_is_part_of_it() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in std::fs::read_dir(tests).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "suite") {
            assert!(include_str!("suite.rs").contains(&format!("\nmod {module};\n")), "{name} has no line in suite.rs");
        }
    }
}
