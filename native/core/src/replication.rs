//! Which members hold which events of the causal lane (rule R10): one table of rules, agreed on through the log of group 0
//! and part of its state. The first rule that matches an event names its holders; an event that none matches is everybody's.
//!
//! Voters hold everything, whatever the rules say, and so does who wrote it. What the coordinator writes for itself, the
//! changes of CRDTs among it, is everybody's too: an object is never held in part (docs/decisions/0034).

use crate::causal::head::Holders;
use crate::event::{EventRef, Malformed, Submission};
use crate::filter::Filter;
use crate::ids::{Index, MemberId};
use crate::membership::{MEMBERS_MAX, NAME_BYTES_MAX};
use crate::packed::{put_text, Unpack};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Most of everything in one table (docs/limits.md).
pub const RULES_MAX: usize = 64;
pub const REGIONS_MAX: usize = 64;
pub const GLOBS_MAX: usize = 32;
pub const CODES_MAX: usize = 64;
pub const RULES_BYTES_MAX: usize = 64 * 1024;

/// Types from here to 0x0fff are the coordinator's own.
const OWN_CATEGORY: u16 = 0x0f00;
/// Priorities are 1 to 5.
const PRIORITIES: u8 = 0b11_1110;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    /// Event types, and upper bytes of them; none of either: every type.
    pub codes: Vec<u16>,
    pub categories: Vec<u16>,
    /// Over `path` and `to`; none: with whatever path, or without one.
    pub globs: Vec<String>,
    /// Bit n: priority n; none: all.
    pub priorities: u8,
    /// Node ids and regions that hold what matches.
    pub nodes: Vec<String>,
    pub regions: Vec<String>,
}

/// What a member asks for; a table without rules has everybody hold everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Node ids of each region.
    pub regions: BTreeMap<String, Vec<String>>,
    pub list: Vec<Rule>,
}

/// The table as it stands. Invariant: `version` is the index of the entry that set it, 0 where none has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    pub version: Index,
    pub rules: Rules,
}

/// Why a table changed nothing. The numbers travel (docs/formats.md, "Rules of replication").
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[repr(u8)]
pub enum RulesRefused {
    #[error("rules are set through group 0")]
    WrongGroup = 1,
    #[error("there may be at most 64 rules, 64 regions, and 65,536 bytes of them")]
    TooLarge = 2,
    #[error("two rules have one name")]
    NameTwice = 3,
    #[error("a rule names a region that the table does not have")]
    RegionUnknown = 4,
    #[error("a rule has a pattern that is not valid")]
    Pattern = 5,
    #[error("a member has not said that it knows of rules: it is of an older release, or was never connected")]
    MemberOlder = 6,
}

impl Rules {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = |out: &mut Vec<u8>, length: usize| out.extend_from_slice(&(length as u16).to_le_bytes());
        let texts = |out: &mut Vec<u8>, list: &[String]| {
            count(out, list.len());
            list.iter().for_each(|text| put_text(out, text));
        };
        let numbers = |out: &mut Vec<u8>, list: &[u16]| {
            count(out, list.len());
            list.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        };
        count(out, self.regions.len());
        for (name, nodes) in &self.regions {
            put_text(out, name);
            texts(out, nodes);
        }
        count(out, self.list.len());
        for rule in &self.list {
            put_text(out, &rule.name);
            out.push(rule.priorities);
            numbers(out, &rule.codes);
            numbers(out, &rule.categories);
            texts(out, &rule.globs);
            texts(out, &rule.nodes);
            texts(out, &rule.regions);
        }
    }

    pub fn decode(fields: &mut Unpack<'_>) -> Result<Self, Malformed> {
        let mut rules = Self::default();
        for _ in 0..counted(fields, REGIONS_MAX)? {
            let at = fields.at();
            let name = named(fields)?;
            if rules.regions.insert(name, texts(fields, MEMBERS_MAX, NAME_BYTES_MAX)?).is_some() {
                return Err(Malformed { at, what: "a region twice" });
            }
        }
        for _ in 0..counted(fields, RULES_MAX)? {
            let (name, at, priorities) = (named(fields)?, fields.at(), fields.u8()?);
            if priorities & !PRIORITIES != 0 {
                return Err(Malformed { at, what: "a priority that there is not" });
            }
            rules.list.push(Rule {
                name,
                priorities,
                codes: numbers(fields)?,
                categories: numbers(fields)?,
                globs: texts(fields, GLOBS_MAX, crate::event::PATH_BYTES_MAX)?,
                nodes: texts(fields, MEMBERS_MAX, NAME_BYTES_MAX)?,
                regions: texts(fields, REGIONS_MAX, NAME_BYTES_MAX)?,
            });
        }
        Ok(rules)
    }

    /// What a member must not ask for. Whether patterns are valid is judged here alone, and not where rules are applied: there
    /// all members have to come to the same, of whatever release they are.
    pub fn check(&self) -> Result<(), RulesRefused> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        if self.list.len() > RULES_MAX || self.regions.len() > REGIONS_MAX || bytes.len() > RULES_BYTES_MAX {
            return Err(RulesRefused::TooLarge);
        }
        let names: BTreeSet<&str> = self.list.iter().map(|rule| rule.name.as_str()).collect();
        if names.len() < self.list.len() {
            return Err(RulesRefused::NameTwice);
        }
        if self.list.iter().flat_map(|rule| &rule.regions).any(|region| !self.regions.contains_key(region)) {
            return Err(RulesRefused::RegionUnknown);
        }
        let is_valid = |rule: &Rule| Filter::new(&rule.codes, &rule.categories, &rule.globs).is_ok();
        if self.list.iter().all(is_valid) { Ok(()) } else { Err(RulesRefused::Pattern) }
    }

    fn holders_of(&self, rule: &Rule) -> BTreeSet<MemberId> {
        let of_regions = rule.regions.iter().filter_map(|region| self.regions.get(region)).flatten();
        rule.nodes.iter().chain(of_regions).map(|name| MemberId::of(name)).collect()
    }
}

fn counted(fields: &mut Unpack<'_>, most: usize) -> Result<usize, Malformed> {
    let at = fields.at();
    let count = usize::from(fields.u16()?);
    if count > most { Err(Malformed { at, what: "more than a table of rules may have" }) } else { Ok(count) }
}

fn texts(fields: &mut Unpack<'_>, most: usize, bytes_max: usize) -> Result<Vec<String>, Malformed> {
    let count = counted(fields, most)?;
    let text = |_| {
        let at = fields.at();
        let text = fields.text()?;
        let is_one = (1..=bytes_max).contains(&text.len());
        if is_one { Ok(text.to_string()) } else { Err(Malformed { at, what: "a text of a rule is empty or too long" }) }
    };
    (0..count).map(text).collect()
}

fn named(fields: &mut Unpack<'_>) -> Result<String, Malformed> {
    let at = fields.at();
    let name = fields.text()?;
    match (1..=NAME_BYTES_MAX).contains(&name.len()) {
        true => Ok(name.to_string()),
        false => Err(Malformed { at, what: "a name of a rule or region is empty or too long" }),
    }
}

fn numbers(fields: &mut Unpack<'_>) -> Result<Vec<u16>, Malformed> {
    let count = counted(fields, CODES_MAX)?;
    (0..count).map(|_| fields.u16()).collect()
}

impl Agreed {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.0.to_le_bytes());
        self.rules.encode(out);
    }

    pub fn decode(fields: &mut Unpack<'_>) -> Result<Self, Malformed> {
        Ok(Self { version: Index(fields.u64()?), rules: Rules::decode(fields)? })
    }
}

struct Compiled {
    filter: Filter,
    priorities: u8,
    holders: BTreeSet<MemberId>,
}

/// A table that was agreed on, ready to be asked.
#[derive(Default)]
pub struct Selection {
    version: Index,
    rules: Vec<Compiled>,
}

impl Selection {
    pub fn of(agreed: &Agreed) -> Self {
        let compile = |rule: &Rule| {
            // A pattern that was valid where it was asked for.
            let filter = Filter::new(&rule.codes, &rule.categories, &rule.globs).ok()?;
            Some(Compiled { filter, priorities: rule.priorities, holders: agreed.rules.holders_of(rule) })
        };
        Self { version: agreed.version, rules: agreed.rules.list.iter().filter_map(compile).collect() }
    }

    pub fn version(&self) -> Index {
        self.version
    }

    fn rule_of(&self, event: &EventRef<'_>) -> Option<&Compiled> {
        if event.code() & 0xFF00 == OWN_CATEGORY {
            return None;
        }
        let matches = |rule: &&Compiled| (rule.priorities == 0 || rule.priorities >> event.priority().min(7) & 1 == 1) && rule.filter.admits(event);
        self.rules.iter().find(matches)
    }

    /// Who holds a submission besides the voters: whoever holds any of its events. `None` for everybody.
    pub fn holders(&self, submission: &Submission) -> Option<Holders> {
        if self.rules.is_empty() {
            return None;
        }
        let mut members = BTreeSet::new();
        for event in submission.events() {
            members.extend(&self.rule_of(&event)?.holders);
        }
        Some(Holders { version: self.version, members: members.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn rule(name: &str, globs: &[&str], nodes: &[&str]) -> Rule {
        let texts = |list: &[&str]| list.iter().map(|text| text.to_string()).collect();
        Rule { name: name.to_string(), globs: texts(globs), nodes: texts(nodes), ..Rule::default() }
    }

    fn table(list: Vec<Rule>) -> Rules {
        Rules { regions: [("eu".to_string(), vec!["d".to_string(), "e".to_string()])].into(), list }
    }

    /// Events of these codes, priorities and paths.
    fn submission(events: &[(u16, u8, &str)]) -> Submission {
        let record = |(code, priority, path): &(u16, u8, &str)| {
            let mut record = vec![0; RECORD_HEADER_BYTES];
            record[0..4].copy_from_slice(&((RECORD_HEADER_BYTES + path.len()) as u32).to_le_bytes());
            record[4..6].copy_from_slice(&code.to_le_bytes());
            record[6] = *priority;
            record[20..22].copy_from_slice(&(path.len() as u16).to_le_bytes());
            record.extend_from_slice(path.as_bytes());
            record
        };
        let body: Vec<u8> = events.iter().flat_map(record).collect();
        let mut bytes = vec![1, 1, 1, 1];
        bytes.extend_from_slice(&((SUBMISSION_HEADER_BYTES + 1 + body.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&(events.len() as u32).to_le_bytes());
        bytes.resize(SUBMISSION_HEADER_BYTES, 0);
        bytes.push(b'n');
        bytes.extend_from_slice(&body);
        Submission::parse_causal(Bytes::from(bytes)).expect("it is well formed")
    }

    #[test]
    fn the_first_rule_that_matches_names_the_holders_and_what_none_matches_is_everybodys() {
        let mut urgent = rule("urgent", &[], &["f"]);
        (urgent.priorities, urgent.categories) = (1 << 5, vec![0x0100]);
        let mut regional = rule("eu", &["/eu/**"], &[]);
        regional.regions = vec!["eu".to_string()];
        let rules = table(vec![urgent, regional, rule("docs", &["/docs/**", "/eu/**"], &["d"])]);
        let selection = Selection::of(&Agreed { version: Index(7), rules });
        let held = |events: &[(u16, u8, &str)]| {
            let holders = selection.holders(&submission(events))?;
            assert_eq!(holders.version, Index(7));
            Some(holders.members)
        };
        let members = |names: &[&str]| Some(names.iter().map(|name| MemberId::of(name)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
        assert_eq!(held(&[(0x0102, 5, "/eu/x")]), members(&["f"]));
        assert_eq!(held(&[(0x0102, 3, "/eu/x")]), members(&["d", "e"]));
        assert_eq!(held(&[(0x0102, 3, "/docs/x")]), members(&["d"]));
        assert_eq!(held(&[(0x0102, 3, "/docs/x"), (0x0102, 5, "")]), members(&["d", "f"]), "who holds any of it holds it all");
        assert_eq!(held(&[(0x0102, 3, "/docs/x"), (0x0102, 3, "/other")]), None);
        assert_eq!(held(&[(0x0f01, 3, "/docs/x")]), None, "objects are never held in part");
        assert_eq!(Selection::default().holders(&submission(&[(0x0102, 3, "/docs/x")])), None);
    }

    #[test]
    fn tables_that_nobody_could_mean_are_refused() {
        let mut unknown = rule("a", &[], &[]);
        unknown.regions = vec!["us".to_string()];
        let many: Vec<Rule> = (0..=RULES_MAX).map(|at| rule(&at.to_string(), &[], &[])).collect();
        let long = "x".repeat(4_000);
        let large: Vec<Rule> = (0..17).map(|at| rule(&at.to_string(), &[&long], &[])).collect();
        let cases = [
            (vec![rule("a", &["/x/**"], &["d"]), rule("b", &[], &[])], Ok(())),
            (vec![rule("a", &[], &[]), rule("a", &[], &[])], Err(RulesRefused::NameTwice)),
            (vec![unknown], Err(RulesRefused::RegionUnknown)),
            (vec![rule("a", &["/x/[a"], &[])], Err(RulesRefused::Pattern)),
            (many, Err(RulesRefused::TooLarge)),
            (large, Err(RulesRefused::TooLarge)),
        ];
        for (list, expected) in cases {
            assert_eq!(table(list).check(), expected);
        }
    }

    #[test]
    fn a_table_survives_its_encoding_and_no_part_of_it_is_one() {
        let mut full = rule("a", &["/x/**", "/y"], &["d"]);
        (full.codes, full.categories, full.priorities, full.regions) = (vec![1, 0x1000], vec![0x0200], 0b10_0010, vec!["eu".to_string()]);
        let agreed = Agreed { version: Index(9), rules: table(vec![full, rule("b", &[], &[])]) };
        let mut bytes = Vec::new();
        agreed.encode(&mut bytes);
        assert_eq!(Agreed::decode(&mut Unpack::new(&bytes)), Ok(agreed));
        for length in 0..bytes.len() {
            assert!(Agreed::decode(&mut Unpack::new(&bytes[..length])).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Rules::decode(&mut Unpack::new(&bytes));
        }
    }
}
