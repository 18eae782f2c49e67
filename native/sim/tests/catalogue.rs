//! What is listed, documented and judged by are the same names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use vexfs_sim::catalogue::INVARIANTS;
use vexfs_sim::faults::kinds::KINDS;
use vexfs_sim::plants::PLANTS;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(fs::read_to_string(path).expect("it can be read"));
        }
    }
}

#[test]
fn every_invariant_that_judges_is_listed() {
    let listed: BTreeSet<&str> = INVARIANTS.iter().map(|row| row.name).collect();
    assert_eq!(listed.len(), INVARIANTS.len(), "each once");
    let mut texts = Vec::new();
    sources(&here().join("src"), &mut texts);
    let judging = |text: &str| -> Vec<String> {
        let calls = text.split("violate(\"").skip(1).filter_map(|rest| rest.split('"').next());
        calls.map(str::to_string).collect()
    };
    let named: BTreeSet<String> = texts.iter().flat_map(|text| judging(text)).collect();
    assert!(named.len() > 20);
    let missing: Vec<&String> = named.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in the catalogue: {missing:?}");
    // And none is listed that nothing judges by: its name stands somewhere outside the catalogue.
    for name in &listed {
        let outside = texts.iter().filter(|text| !text.contains("static INVARIANTS")).any(|text| text.contains(name));
        assert!(outside, "{name} judges nothing");
    }
    for row in PLANTS {
        for name in row.caught_by {
            assert!(listed.contains(name), "{} is to be caught by {name}, which there is not", row.name);
        }
    }
}

#[test]
fn the_document_names_them_all() {
    let text = fs::read_to_string(here().join("../../docs/simulator.md")).expect("docs/simulator.md is there");
    let names = INVARIANTS.iter().map(|row| row.name).chain(KINDS.iter().map(|row| row.name)).chain(PLANTS.iter().map(|row| row.name));
    let missing: Vec<&str> = names.filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/simulator.md leaves out {missing:?}");
}
