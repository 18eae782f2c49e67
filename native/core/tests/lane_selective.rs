//! Who holds what of the causal lane (rule R10; docs/decisions/0034): rules leave learners out, who know of everything all the
//! same, hold nothing that they have the stub of, and fetch what they are to hold after all.

use crate::lane_support::{actor, Cluster, LONG_TICKS};
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::tally::Retention;
use vexfs_core::ids::Index;
use vexfs_core::log::LogEntry;
use vexfs_core::membership::MemberCommand;
use vexfs_core::replication::{Agreed, Rule, Rules};
use vexfs_core::stub;

/// Three voters, and learners.
fn cluster(learners: &[&'static str]) -> Cluster {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    for (at, name) in learners.iter().enumerate() {
        change(&mut cluster, &MemberCommand::Add { name: name.to_string(), address: String::new() }, 2 + at as u64);
        cluster.begin(name);
    }
    cluster.tick(20);
    cluster
}

fn change(cluster: &mut Cluster, command: &MemberCommand, index: u64) {
    cluster.table.apply(command, Index(index)).expect("it changes the table");
    let table = cluster.table.clone();
    cluster.lanes.values_mut().for_each(|(lane, _)| lane.set_table(&table));
}

/// Whatever is below `/x` is held by these besides the voters, from now on.
fn rule(cluster: &mut Cluster, version: u64, holders: &[&str]) {
    let nodes = holders.iter().map(|name| name.to_string()).collect();
    let list = vec![Rule { name: "x".to_string(), globs: vec!["/x/**".to_string()], nodes, ..Rule::default() }];
    cluster.rules = Agreed { version: Index(version), rules: Rules { list, ..Rules::default() } };
    let rules = cluster.rules.clone();
    cluster.lanes.values_mut().for_each(|(lane, _)| lane.set_rules(&rules));
}

fn publish(cluster: &mut Cluster, name: &'static str, id: u64, path: &str) {
    cluster.publish_at(name, id, path, 100);
    cluster.tick(60);
}

/// Entry of a member's actor as another one has it.
fn entry(cluster: &mut Cluster, name: &str, of: &str, counter: u64) -> Option<LogEntry> {
    let group = cluster.lane(name).origins().find(|origin| origin.actor == actor(of))?.group;
    let entries = cluster.lanes[name].1.entries.borrow();
    entries.get(&(group, Index(counter))).cloned()
}

fn has_stub(cluster: &mut Cluster, name: &str, of: &str, counter: u64) -> Option<bool> {
    entry(cluster, name, of, counter).map(|entry| stub::is_stub(&entry.data))
}

/// Of an actor: what a member holds, and what it knows.
fn vectors(cluster: &mut Cluster, name: &str, of: &str) -> (u64, u64) {
    let find = |list: Vec<(Actor, u64)>| list.into_iter().find(|(of_actor, _)| *of_actor == actor(of)).map_or(0, |(_, counter)| counter);
    let lane = cluster.lane(name);
    (find(lane.held().collect()), find(lane.known_here().collect()))
}

#[test]
fn who_is_left_out_knows_of_an_entry_and_delivers_it_and_does_not_hold_it() {
    let mut cluster = cluster(&["d", "e"]);
    rule(&mut cluster, 9, &["e"]);
    publish(&mut cluster, "a", 1, "/y");
    publish(&mut cluster, "a", 2, "/x/1");
    publish(&mut cluster, "a", 3, "/y");
    for (name, held, is_stub) in [("b", 3, false), ("c", 3, false), ("d", 1, true), ("e", 3, false)] {
        assert_eq!(vectors(&mut cluster, name, "a"), (held, 3), "{name}");
        assert_eq!(has_stub(&mut cluster, name, "a", 2), Some(is_stub), "{name}");
        assert_eq!(cluster.delivered(name, "a"), 3, "{name}");
    }
    let whole = entry(&mut cluster, "b", "a", 2).expect("it is there");
    let known = entry(&mut cluster, "d", "a", 2).expect("it is there");
    assert_eq!((stub::of(&whole.data), &whole.context), (Some(known.data), &known.context));
    // What follows it, and what the learner writes itself, is whole everywhere.
    publish(&mut cluster, "d", 4, "/x/2");
    for name in ["a", "b", "c", "d"] {
        assert_eq!(has_stub(&mut cluster, name, "d", 1), Some(false), "{name}");
        assert_eq!(cluster.delivered(name, "d"), 1, "{name}");
    }
}

#[test]
fn without_rules_nothing_is_said_of_holders() {
    let mut cluster = cluster(&["d"]);
    publish(&mut cluster, "a", 1, "/x/1");
    rule(&mut cluster, 9, &[]);
    publish(&mut cluster, "a", 2, "/x/1");
    cluster.rules = Agreed { version: Index(10), rules: Rules::default() };
    let none = cluster.rules.clone();
    cluster.lanes.values_mut().for_each(|(lane, _)| lane.set_rules(&none));
    publish(&mut cluster, "a", 3, "/x/1");
    let versions: Vec<u8> = (1..=3).map(|counter| entry(&mut cluster, "b", "a", counter).expect("it is there").context[0]).collect();
    assert_eq!(versions, [1, 2, 1]);
    assert_eq!((1..=3).map(|counter| has_stub(&mut cluster, "d", "a", counter)).collect::<Vec<_>>(), [Some(false), Some(true), Some(false)]);
}

#[test]
fn an_entry_goes_by_the_rules_of_its_writer_whatever_they_have_become() {
    let mut cluster = cluster(&["d", "e"]);
    rule(&mut cluster, 9, &["e"]);
    cluster.leave("d");
    cluster.leave("e");
    publish(&mut cluster, "a", 1, "/x/1");
    rule(&mut cluster, 10, &["d"]);
    publish(&mut cluster, "a", 2, "/x/1");
    cluster.come("d");
    cluster.come("e");
    cluster.tick(LONG_TICKS);
    let stubs = |cluster: &mut Cluster, name: &str| (1..=2).map(|counter| has_stub(cluster, name, "a", counter)).collect::<Vec<_>>();
    assert_eq!(stubs(&mut cluster, "d"), [Some(true), Some(false)]);
    assert_eq!(stubs(&mut cluster, "e"), [Some(false), Some(true)]);
}

#[test]
fn no_stub_is_given_of_what_no_majority_holds() {
    let mut cluster = cluster(&["d"]);
    rule(&mut cluster, 9, &[]);
    cluster.leave("b");
    cluster.leave("c");
    publish(&mut cluster, "a", 1, "/x/1");
    cluster.tick(LONG_TICKS);
    assert_eq!(has_stub(&mut cluster, "d", "a", 1), None);
    cluster.come("b");
    cluster.tick(LONG_TICKS);
    assert_eq!(has_stub(&mut cluster, "d", "a", 1), Some(true));
    // Of who has it by now it comes too where nobody is there who holds it.
    change(&mut cluster, &MemberCommand::Add { name: "e".to_string(), address: String::new() }, 20);
    cluster.begin("e");
    ["a", "b", "c"].iter().for_each(|name| cluster.leave(name));
    cluster.tick(LONG_TICKS);
    assert_eq!((has_stub(&mut cluster, "e", "a", 1), cluster.delivered("e", "a")), (Some(true), 1));
}

#[test]
fn who_becomes_a_voter_fetches_what_it_has_stubs_of() {
    let mut cluster = cluster(&["d"]);
    rule(&mut cluster, 9, &[]);
    (1..=5).for_each(|id| publish(&mut cluster, "a", id, if id % 2 == 0 { "/x/1" } else { "/y" }));
    assert_eq!(vectors(&mut cluster, "d", "a"), (1, 5));
    // Also after a start, when nothing in memory says what is a stub.
    cluster.begin_again("d");
    cluster.tick(20);
    assert_eq!((vectors(&mut cluster, "d", "a"), cluster.delivered("d", "a")), ((1, 5), 5));
    ["a", "b", "c"].iter().for_each(|name| cluster.leave(name));
    change(&mut cluster, &MemberCommand::Promote { name: "d".to_string() }, 20);
    cluster.tick(200);
    assert_eq!((vectors(&mut cluster, "d", "a"), cluster.delivered("d", "a")), ((1, 5), 5), "it votes, and still holds no more");
    cluster.come("b");
    cluster.tick(LONG_TICKS);
    assert_eq!(vectors(&mut cluster, "d", "a"), (5, 5));
    let stubs: Vec<_> = (1..=5).map(|counter| has_stub(&mut cluster, "d", "a", counter)).collect();
    assert_eq!(stubs, [Some(false); 5]);
}

#[test]
fn one_entry_is_fetched_on_demand_and_checked_against_its_stub() {
    let mut cluster = cluster(&["d"]);
    rule(&mut cluster, 9, &[]);
    (1..=3).for_each(|id| publish(&mut cluster, "a", id, "/x/1"));
    assert!(!cluster.lane("d").fetch(actor("a"), 4), "nothing is known of it");
    assert!(!cluster.lane("b").fetch(actor("a"), 1), "it is there");
    // One of those that hold it has something else in its place: that is not taken.
    let other = entry(&mut cluster, "a", "a", 1).expect("it is there");
    let group = cluster.lane("b").origins().find(|origin| origin.actor == actor("a")).expect("it is known").group;
    let right = cluster.lanes["b"].1.entries.borrow_mut().insert((group, Index(2)), LogEntry { index: Index(2), ..other });
    cluster.leave("a");
    cluster.leave("c");
    cluster.begin_again("b");
    cluster.tick(20);
    assert!(cluster.lane("d").fetch(actor("a"), 2));
    cluster.tick(LONG_TICKS);
    assert_eq!(has_stub(&mut cluster, "d", "a", 2), Some(true));
    cluster.lanes["b"].1.entries.borrow_mut().insert((group, Index(2)), right.expect("it was there"));
    cluster.begin_again("b");
    cluster.tick(LONG_TICKS);
    let stubs: Vec<_> = (1..=3).map(|counter| has_stub(&mut cluster, "d", "a", counter)).collect();
    assert_eq!(stubs, [Some(true), Some(false), Some(true)]);
    assert_eq!(vectors(&mut cluster, "d", "a"), (0, 3), "what is in front of it is not held");
}

#[test]
fn a_holder_takes_no_stub_from_whoever_has_nothing_else() {
    let mut cluster = cluster(&["d", "e"]);
    rule(&mut cluster, 9, &["e"]);
    cluster.leave("e");
    publish(&mut cluster, "a", 1, "/x/1");
    assert_eq!(has_stub(&mut cluster, "d", "a", 1), Some(true));
    ["a", "b", "c"].iter().for_each(|name| cluster.leave(name));
    cluster.come("e");
    cluster.tick(LONG_TICKS);
    assert_eq!(has_stub(&mut cluster, "e", "a", 1), None);
    cluster.come("c");
    cluster.tick(LONG_TICKS);
    assert_eq!(has_stub(&mut cluster, "e", "a", 1), Some(false));
}

#[test]
fn what_nobody_is_there_to_give_holds_up_nothing_that_a_new_voter_fetches() {
    let mut cluster = cluster(&["d"]);
    rule(&mut cluster, 9, &[]);
    publish(&mut cluster, "b", 1, "/x/1");
    assert_eq!(has_stub(&mut cluster, "d", "b", 1), Some(true));
    // Of the next one the learner hears, and nobody else has it.
    cluster.leave("a");
    cluster.leave("c");
    publish(&mut cluster, "b", 2, "/x/2");
    cluster.leave("b");
    cluster.come("a");
    cluster.come("c");
    change(&mut cluster, &MemberCommand::Promote { name: "d".to_string() }, 20);
    cluster.tick(LONG_TICKS);
    assert_eq!(has_stub(&mut cluster, "d", "b", 1), Some(false));
    assert_eq!(vectors(&mut cluster, "d", "b"), (1, 1));
}

#[test]
fn a_new_voter_begins_behind_what_others_have_let_go_of_whatever_else_is_missing() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.retention = Retention { events: Some(1), ..Retention::default() };
    ["a", "b", "c"].iter().for_each(|name| cluster.begin(name));
    cluster.retention = Retention::default();
    change(&mut cluster, &MemberCommand::Add { name: "d".to_string(), address: String::new() }, 2);
    cluster.begin("d");
    cluster.tick(20);
    rule(&mut cluster, 9, &[]);
    (1..=66).for_each(|id| publish(&mut cluster, "b", id, "/x/1"));
    cluster.leave("a");
    cluster.leave("c");
    publish(&mut cluster, "b", 67, "/x/1");
    cluster.leave("b");
    cluster.come("a");
    cluster.come("c");
    assert_eq!((vectors(&mut cluster, "d", "b"), has_stub(&mut cluster, "d", "b", 1)), ((0, 66), Some(true)));
    change(&mut cluster, &MemberCommand::Promote { name: "d".to_string() }, 20);
    cluster.tick(LONG_TICKS);
    assert_eq!(vectors(&mut cluster, "d", "b"), (66, 66));
    let first = cluster.lane("d").origins().find(|origin| origin.actor == actor("b")).map(|origin| origin.first);
    assert_eq!(first, Some(65));
}

#[test]
fn what_nobody_is_there_to_give_holds_up_nothing_else_that_is_fetched() {
    let mut cluster = cluster(&["d", "e"]);
    rule(&mut cluster, 9, &[]);
    publish(&mut cluster, "a", 1, "/x/1");
    rule(&mut cluster, 10, &["e"]);
    publish(&mut cluster, "a", 2, "/x/2");
    ["a", "b", "c"].iter().for_each(|name| cluster.leave(name));
    assert!(cluster.lane("d").fetch(actor("a"), 1) && cluster.lane("d").fetch(actor("a"), 2));
    cluster.tick(LONG_TICKS);
    let stubs = |cluster: &mut Cluster| [1, 2].map(|counter| has_stub(cluster, "d", "a", counter));
    assert_eq!(stubs(&mut cluster), [Some(true), Some(false)]);
    cluster.come("c");
    cluster.tick(LONG_TICKS);
    assert_eq!(stubs(&mut cluster), [Some(false), Some(false)]);
}

/// All voters' disks are lost, and with them what only they held. It held up whatever followed it, since no majority had it.
#[test]
fn what_nobody_has_whole_any_more_counts_as_held_once_all_have_said_so() {
    let mut cluster = cluster(&["d"]);
    rule(&mut cluster, 9, &[]);
    for (id, path) in [(1, "/y"), (2, "/x/1"), (3, "/x/2"), (4, "/y")] {
        publish(&mut cluster, "a", id, path);
    }
    cluster.leave("c");
    cluster.begin("a");
    cluster.begin("b");
    cluster.leave("c");
    cluster.tick(LONG_TICKS);
    assert_eq!(has_stub(&mut cluster, "b", "a", 2), None, "the one that is away may have it");
    cluster.begin("c");
    cluster.tick(2 * LONG_TICKS);
    for name in ["a", "b", "c"] {
        assert_eq!((1..=4).map(|counter| has_stub(&mut cluster, name, "a", counter)).collect::<Vec<_>>(), [Some(false), Some(true), Some(true), Some(false)], "{name}");
        assert_eq!((vectors(&mut cluster, name, "a"), cluster.delivered(name, "a")), ((4, 4), 4), "{name}");
    }
    assert!(cluster.is_replicated("b", &[(actor("a"), 4)]));
    // So it is after a start, once the others have said so again; and who holds it not holds no more than before.
    cluster.begin_again("b");
    cluster.tick(LONG_TICKS);
    assert_eq!(vectors(&mut cluster, "b", "a"), (4, 4));
    assert_eq!(vectors(&mut cluster, "d", "a"), (1, 4));
    // And where its disk cannot give the stub any more.
    cluster.damage("b", "a", 3);
    cluster.tick(2 * LONG_TICKS);
    assert_eq!((vectors(&mut cluster, "b", "a"), has_stub(&mut cluster, "b", "a", 3)), ((4, 4), Some(true)));
}

/// A learner that was left with what only it was to hold has stubs in front of it, and so does not tell of it.
#[test]
fn whoever_has_it_whole_behind_a_stub_is_found() {
    let mut cluster = cluster(&["d", "e"]);
    rule(&mut cluster, 9, &["e"]);
    publish(&mut cluster, "a", 1, "/x/1");
    rule(&mut cluster, 10, &["d"]);
    publish(&mut cluster, "a", 2, "/x/2");
    ["a", "b", "c"].iter().for_each(|name| cluster.begin(name));
    cluster.tick(2 * LONG_TICKS);
    for name in ["a", "b", "c"] {
        assert_eq!([1, 2].map(|counter| has_stub(&mut cluster, name, "a", counter)), [Some(false); 2], "{name}");
        assert_eq!(vectors(&mut cluster, name, "a"), (2, 2), "{name}");
    }
}
