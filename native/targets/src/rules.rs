//! Rules of replication, as members ask for them.

use arbitrary::{Result, Unstructured};
use vexfs_core::event::Submission;
use vexfs_core::packed::Unpack;
use vexfs_core::replication::{Rule, Rules};

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
const REGIONS: [&str; 3] = ["r", "s", "t"];
/// The last is no pattern.
const GLOBS: [&str; 5] = ["/p0", "/p*", "/p1/**", "**", "/p[a"];

pub fn some_rules(from: &mut Unstructured<'_>) -> Result<Rules> {
    let mut rules = Rules::default();
    for _ in 0..from.int_in_range(0..=2u8)? {
        let name = from.choose(&REGIONS)?.to_string();
        rules.regions.insert(name, texts(from, &NODES)?);
    }
    for at in 0..from.int_in_range(0..=2u8)? {
        let named = Rule { name: at.to_string(), priorities: *from.choose(&[0, 0, 2, 0b11_1110])?, ..Rule::default() };
        let codes = if from.ratio(1u8, 4u8)? { vec![*from.choose(&[0x0102, 7])?] } else { Vec::new() };
        let categories = if from.ratio(1u8, 4u8)? { vec![*from.choose(&[0x0100, 0x0F00])?] } else { Vec::new() };
        rules.list.push(Rule { codes, categories, globs: texts(from, &GLOBS)?, nodes: texts(from, &NODES)?, regions: texts(from, &REGIONS)?, ..named });
    }
    Ok(rules)
}

fn texts(from: &mut Unstructured<'_>, of: &[&str]) -> Result<Vec<String>> {
    (0..from.int_in_range(0..=2u8)?).map(|_| from.choose(of).map(|text| text.to_string())).collect()
}

pub fn encoded(rules: &Rules) -> Vec<u8> {
    let mut out = Vec::new();
    rules.encode(&mut out);
    out
}

/// The rules of a submission that was taken say what their encoding says again.
pub fn judge(submission: &Submission) {
    let rules = submission.rules();
    let again = rules.clone().and_then(|rules| Rules::decode(&mut Unpack::new(&encoded(&rules))));
    assert!(rules.is_ok(), "what was taken is a table");
    assert_eq!(again, rules);
}
