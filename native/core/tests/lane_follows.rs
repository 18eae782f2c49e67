//! What ordered events follow in the causal lane: given up only where no member has it, and known to be on a majority's disks
//! only as long as it is there (rule R6; docs/decisions/0026).

use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::tally::Retention;
use vexfs_core::causal::{Lane, LaneConfig};
use vexfs_core::event::{stamp, Submission, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
use vexfs_core::ids::{GroupId, Index, MemberId, RequestId};
use vexfs_core::log::{GroupRecovery, Identity, LogEntry, Op, Recovery};
use vexfs_core::membership::{MemberCommand, Membership};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::effects::Effects;
use vexfs_core::ordered::held::Replication;
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::peer::frame::Assembler;

/// Long enough for whatever is asked of all members, twice.
const LONG_TICKS: usize = 1_000;

/// A log that is on disk at once.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<BTreeMap<(GroupId, Index), LogEntry>>>);

impl EntryReader for Memory {
    fn entries(&self, group: GroupId, low: Index, high: Index, _: u64) -> Result<Vec<LogEntry>, String> {
        let entries = self.0.borrow();
        let read: Vec<LogEntry> = (low.0..high.0).map_while(|index| entries.get(&(group, Index(index))).cloned()).collect();
        if read.is_empty() { Err("there is no such entry".to_string()) } else { Ok(read) }
    }
}

struct Cluster {
    table: Membership,
    lanes: BTreeMap<&'static str, (Lane<Memory>, Memory)>,
    away: BTreeSet<&'static str>,
    lives: u64,
}

impl Cluster {
    fn of(names: &[&'static str]) -> Self {
        let founders: Vec<_> = names.iter().map(|name| (name.to_string(), String::new())).collect();
        let mut cluster = Self { table: Membership::founded(&founders), lanes: BTreeMap::new(), away: BTreeSet::new(), lives: 0 };
        names.iter().for_each(|name| cluster.begin(name));
        cluster
    }

    /// A member with an empty disk.
    fn begin(&mut self, name: &'static str) {
        self.begin_over(name, Memory::default());
    }

    /// A member that is started again. Recovery tells of no damage: it does not read what is in sealed segments.
    fn begin_again(&mut self, name: &'static str) {
        let memory = self.lanes[name].1.clone();
        self.begin_over(name, memory);
    }

    fn begin_over(&mut self, name: &'static str, memory: Memory) {
        self.lives += 1;
        let mut groups = BTreeMap::new();
        for (group, index) in memory.0.borrow().keys() {
            let found = groups.entry(*group).or_insert(GroupRecovery { first_index: *index, ..GroupRecovery::default() });
            found.last_index = *index;
        }
        let config = LaneConfig {
            me: MemberId::of(name),
            node_id: name.to_string(),
            life: self.lives << 32,
            fresh_incarnation: 7,
            unsettled: false,
            continuity_ticks: 10,
            gossip_ticks: 5,
            fetch_ticks: 5,
            buffer_entries: 64,
            window_events: 1_000,
            retention: Retention::default(),
            has_states: false,
        };
        let identity = Identity { cluster_id: "test".to_string(), node_id: name.to_string(), directory: [0; 16], incarnation: 1 };
        let recovery = Recovery { identity, groups, torn_bytes: 0, unsettled: false, damaged: Vec::new(), lost_batches: 0, log_bytes: 0, segments: 0 };
        let mut lane = Lane::open(config, &recovery, memory.clone());
        lane.set_table(&self.table);
        self.lanes.insert(name, (lane, memory));
        self.away.remove(name);
        self.connect();
    }

    fn leave(&mut self, name: &'static str) {
        self.away.insert(name);
        self.connect();
    }

    fn come(&mut self, name: &'static str) {
        self.away.remove(name);
        self.connect();
    }

    fn connect(&mut self) {
        let there: Vec<&str> = self.lanes.keys().filter(|name| !self.away.contains(*name)).copied().collect();
        for (name, (lane, _)) in &mut self.lanes {
            for other in there.iter().filter(|other| *other != name) {
                lane.link_down(MemberId::of(other));
                lane.link_up(MemberId::of(other));
            }
            self.away.iter().for_each(|other| lane.link_down(MemberId::of(other)));
        }
    }

    fn lane(&mut self, name: &str) -> &mut Lane<Memory> {
        &mut self.lanes.get_mut(name).expect("there is such a member").0
    }

    fn tick(&mut self, ticks: usize) {
        for _ in 0..ticks {
            let there: Vec<&str> = self.lanes.keys().filter(|name| !self.away.contains(*name)).copied().collect();
            there.iter().for_each(|name| self.lane(name).tick());
            for name in there {
                self.flush(name);
            }
        }
    }

    /// What there is to do at a member, and what it sends arrives.
    fn flush(&mut self, name: &'static str) {
        let mut effects = Effects::default();
        let (lane, memory) = self.lanes.get_mut(name).expect("there is such a member");
        lane.flush(0, &mut effects);
        // As its readers do.
        lane.take_delivered();
        for write in effects.writes {
            for op in write.ops {
                if let Op::Entries { group, entries } | Op::Repair { group, entries } = op {
                    entries.into_iter().for_each(|entry| drop(memory.0.borrow_mut().insert((group, entry.index), entry)));
                }
            }
            lane.persisted(write.number);
        }
        for (to, _, bytes) in effects.frames {
            let Some(to) = self.lanes.keys().copied().find(|other| MemberId::of(other) == to && !self.away.contains(other)) else { continue };
            let mut frames = Vec::new();
            Assembler::default().push(&bytes, &mut frames).expect("a frame is whole");
            frames.iter().for_each(|frame| self.lane(to).receive(MemberId::of(name), frame).expect("it can be read"));
        }
    }

    fn publish(&mut self, name: &'static str, id: u64) {
        self.publish_large(name, id, 0);
    }

    /// An event with so many bytes of payload.
    fn publish_large(&mut self, name: &'static str, id: u64, bytes: usize) {
        let mut record = vec![0; RECORD_HEADER_BYTES + bytes];
        let length = record.len() as u32;
        record[..4].copy_from_slice(&length.to_le_bytes());
        record[16..20].copy_from_slice(&(bytes as u32).to_le_bytes());
        record[24..32].copy_from_slice(&id.to_be_bytes());
        let mut bytes = vec![1, 1, 1, name.len() as u8];
        bytes.resize(SUBMISSION_HEADER_BYTES, 0);
        bytes[12] = 1;
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&record);
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        stamp(&mut bytes, MemberId::of(name), RequestId(id), id);
        let submission = Submission::parse_causal(Bytes::from(bytes)).expect("it is well formed");
        self.lane(name).submit(submission, 0);
        self.tick(30);
    }

    fn delivered(&mut self, name: &str, of: &str) -> u64 {
        let (lane, actor) = (self.lane(name), actor(of));
        let at = lane.origins().position(|origin| origin.actor == actor);
        at.map_or(0, |at| lane.delivered().get(vexfs_core::causal::actor::OriginId(at as u16)))
    }

    /// The disk of a member cannot give an entry any more.
    fn damage(&mut self, name: &str, of: &str, counter: u64) {
        let group = self.damage_unseen(name, of, counter);
        self.lane(name).unreadable(group, Index(counter));
    }

    /// As `damage`; nobody has met it.
    fn damage_unseen(&mut self, name: &str, of: &str, counter: u64) -> GroupId {
        let actor = actor(of);
        let group = self.lane(name).origins().find(|origin| origin.actor == actor).expect("it has some of it").group;
        self.lanes[name].1 .0.borrow_mut().remove(&(group, Index(counter)));
        group
    }

    fn is_replicated(&mut self, name: &str, follows: &[(Actor, u64)]) -> bool {
        let conf = Conf::of_voters(self.table.iter().map(|(id, _)| id).collect());
        self.is_replicated_in(name, follows, &conf)
    }

    fn is_replicated_in(&mut self, name: &str, follows: &[(Actor, u64)], conf: &Conf) -> bool {
        let lane = self.lane(name);
        let stage = lane.stage();
        lane.is_replicated(follows, conf) || lane.lacking(follows, None).is_none() && (lane.majority_has(&stage, conf) || {
            lane.ask_for(&stage, conf);
            false
        })
    }
}

fn actor(name: &str) -> Actor {
    Actor { member: MemberId::of(name), incarnation: 0 }
}

#[test]
fn what_all_have_lost_is_given_up_and_not_before_all_have_said_so() {
    let mut cluster = Cluster::of(&["a", "b", "w"]);
    cluster.tick(20);
    cluster.publish("w", 1);
    cluster.leave("b");
    cluster.begin("w");
    cluster.begin("a");
    cluster.lane("a").want([(actor("w"), 1)]);
    cluster.tick(LONG_TICKS);
    assert!(cluster.lane("a").take_gone().is_none(), "the one that is away may have it");
    cluster.begin("b");
    cluster.tick(LONG_TICKS);
    assert!(cluster.lane("a").take_gone().is_some());
    assert_eq!(cluster.lane("a").wanted(), 0);
}

#[test]
fn what_nobody_has_who_is_there_is_told_after_a_while() {
    let mut cluster = Cluster::of(&["a", "b", "w"]);
    cluster.tick(20);
    cluster.publish("w", 1);
    let lacking = |cluster: &mut Cluster| cluster.lane("a").status().lacking;
    cluster.leave("b");
    cluster.begin("w");
    cluster.damage("a", "w", 1);
    cluster.tick(500);
    assert!(lacking(&mut cluster).is_empty(), "it may be on its way");
    cluster.tick(1_000);
    assert_eq!(lacking(&mut cluster), [("w".to_owned(), 1)]);
    cluster.come("b");
    cluster.tick(LONG_TICKS);
    assert!(lacking(&mut cluster).is_empty() && cluster.delivered("a", "w") == 1);
}

#[test]
fn an_entry_behind_a_lost_one_is_not_given_up_but_fetched() {
    let mut cluster = Cluster::of(&["a", "b", "w"]);
    cluster.tick(20);
    cluster.publish("w", 1);
    cluster.publish("w", 2);
    cluster.tick(20);
    cluster.leave("a");
    cluster.publish("w", 3);
    assert_eq!((cluster.delivered("a", "w"), cluster.delivered("b", "w")), (2, 3));
    // The writer loses all, the others the second, which both had delivered: so neither tells that it has what is behind it.
    cluster.damage("a", "w", 2);
    cluster.damage("b", "w", 2);
    cluster.begin("w");
    cluster.come("a");
    cluster.lane("a").want([(actor("w"), 3)]);
    cluster.tick(LONG_TICKS);
    assert!(cluster.lane("a").take_gone().is_none());
    assert_eq!(cluster.delivered("a", "w"), 3);
}

#[test]
fn who_knows_of_newer_members_is_waited_for_with_them() {
    let mut cluster = Cluster::of(&["a", "b", "w"]);
    cluster.tick(20);
    cluster.leave("a");
    let added = MemberCommand::Add { name: "d".to_string(), address: String::new() };
    cluster.table.apply(&added, Index(9)).expect("it is a member now");
    let table = cluster.table.clone();
    ["b", "w"].iter().for_each(|name| cluster.lane(name).set_table(&table));
    cluster.begin("d");
    cluster.leave("a");
    cluster.tick(20);
    cluster.publish("w", 1);
    cluster.tick(20);
    assert_eq!(cluster.delivered("d", "w"), 1);
    // Who has it is not known to who asks.
    cluster.begin("b");
    cluster.begin("w");
    cluster.leave("d");
    cluster.come("a");
    cluster.lane("a").want([(actor("w"), 1)]);
    cluster.tick(LONG_TICKS);
    assert!(cluster.lane("a").take_gone().is_none());
    cluster.lane("a").set_table(&table);
    cluster.come("d");
    cluster.tick(LONG_TICKS);
    assert_eq!(cluster.delivered("a", "w"), 1);
}

#[test]
fn what_a_majority_had_is_asked_for_again_when_one_of_it_has_lost_its_disk() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.tick(20);
    cluster.leave("c");
    cluster.publish("a", 1);
    assert!(!cluster.is_replicated("a", &[(actor("a"), 2)]), "there is no such entry");
    cluster.tick(10);
    assert!(cluster.is_replicated("a", &[(actor("a"), 1)]));
    // Something that is delivered later holds nobody up who does not follow it.
    cluster.leave("b");
    cluster.publish("a", 2);
    assert!(cluster.is_replicated("a", &[(actor("a"), 1)]));
    assert!(!cluster.is_replicated("a", &[(actor("a"), 2)]));
    cluster.begin("b");
    cluster.tick(1);
    assert!(!cluster.is_replicated("a", &[(actor("a"), 1)]), "one of two that had it has nothing now");
    cluster.tick(50);
    assert!(cluster.is_replicated("a", &[(actor("a"), 2)]));
}

#[test]
fn what_a_majority_had_is_looked_for_again_when_the_own_disk_has_lost_it() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.tick(20);
    cluster.leave("c");
    cluster.publish("a", 1);
    assert!(cluster.is_replicated("a", &[(actor("a"), 1)]));
    cluster.leave("b");
    cluster.damage("a", "a", 1);
    assert!(!cluster.is_replicated("a", &[(actor("a"), 1)]), "one of two that had it cannot read it");
    cluster.come("b");
    cluster.tick(50);
    assert!(cluster.is_replicated("a", &[(actor("a"), 1)]), "it was fetched from the other");
}

#[test]
fn what_is_wanted_later_puts_off_nothing() {
    let mut cluster = Cluster::of(&["a", "b"]);
    cluster.tick(20);
    for counter in 1..=LONG_TICKS as u64 {
        cluster.lane("a").want([(actor("w"), counter)]);
        cluster.tick(1);
    }
    assert!(cluster.lane("a").take_gone().is_some());
}

#[test]
fn a_majority_is_one_of_the_table_and_of_the_configuration_that_commits() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.tick(20);
    cluster.leave("c");
    cluster.publish("a", 1);
    let (a, follows) = (MemberId::of("a"), [(actor("a"), 1)]);
    let before = Conf::of_voters(vec![a, MemberId::of("c"), MemberId::of("d")]);
    let joint = Conf { voters: Conf::of_voters(["a", "b", "c"].map(MemberId::of).to_vec()).voters, outgoing: before.voters.clone(), ..Conf::default() };
    assert!(cluster.is_replicated("a", &follows));
    assert!(!cluster.is_replicated_in("a", &follows, &before), "one of three that commit has it");
    assert!(!cluster.is_replicated_in("a", &follows, &joint));
    assert!(cluster.is_replicated("a", &follows));
}

#[test]
fn what_is_written_after_a_start_does_not_follow_what_damage_has_left_to_nobody() {
    let mut cluster = Cluster::of(&["a", "b", "w"]);
    cluster.tick(20);
    // So many that what an open reads of their log, to see what its last entries follow, is not where the damage is.
    (1..=70).for_each(|id| cluster.publish("w", id));
    assert_eq!(cluster.delivered("a", "w"), 70);
    cluster.leave("a");
    cluster.begin("b");
    cluster.begin("w");
    cluster.damage_unseen("a", "w", 2);
    cluster.begin_again("a");
    cluster.tick(LONG_TICKS);
    cluster.publish("a", 71);
    cluster.tick(LONG_TICKS);
    assert_eq!((cluster.delivered("a", "a"), cluster.delivered("b", "a")), (1, 1), "it would wait for entry 2 for ever");
    assert_eq!((cluster.delivered("a", "w"), cluster.delivered("b", "w")), (1, 1));
}

#[test]
fn what_damage_has_left_to_another_is_delivered_again_after_a_start() {
    let mut cluster = Cluster::of(&["a", "b", "w"]);
    cluster.tick(20);
    (1..=70).for_each(|id| cluster.publish("w", id));
    cluster.damage_unseen("a", "w", 2);
    cluster.begin_again("a");
    assert_eq!(cluster.delivered("a", "w"), 1);
    cluster.tick(LONG_TICKS);
    assert_eq!(cluster.delivered("a", "w"), 70);
}

#[test]
fn what_a_cut_log_counts_on_is_not_waited_for_where_nobody_has_it() {
    let names = ["a", "b", "c"];
    for (gone, waits) in [(3, true), (0, false)] {
        let mut cluster = Cluster::of(&names);
        cluster.tick(20);
        (1..=5).for_each(|id| cluster.publish("a", id));
        (6..=75).for_each(|id| cluster.publish("b", id));
        names.iter().for_each(|name| cluster.leave(name));
        for name in names {
            // Retention has cut what follows the other log; of that damage has taken an entry.
            for counter in 1..=64 {
                cluster.damage_unseen(name, "b", counter);
            }
            if gone > 0 {
                cluster.damage_unseen(name, "a", gone);
            }
            cluster.begin_again(name);
            cluster.leave(name);
        }
        names.iter().for_each(|name| cluster.come(name));
        cluster.tick(100);
        cluster.publish("c", 76);
        cluster.publish("b", 77);
        assert_eq!(cluster.lane("c").actor().is_none(), waits, "it may be on its way");
        cluster.tick(2 * LONG_TICKS);
        for name in ["b", "c"] {
            assert!(cluster.lane(name).actor().is_some(), "{name} waits for entry {gone} of a for ever");
        }
    }
}

#[test]
fn nobody_goes_on_before_the_own_log_is_looked_through() {
    let mut cluster = Cluster::of(&["a", "b"]);
    cluster.tick(20);
    // More than one tick looks through.
    (1..=70).for_each(|id| cluster.publish_large("a", id, 150_000));
    cluster.damage_unseen("a", "a", 2);
    cluster.begin_again("a");
    assert!(cluster.lane("a").take_delivered().is_none(), "it would have to take back what is behind the damage");
    cluster.tick(LONG_TICKS);
    assert_eq!(cluster.lane("a").actor().map(|actor| actor.incarnation), Some(7));
    assert_eq!((cluster.delivered("a", "a"), cluster.delivered("b", "a")), (70, 70));
}
