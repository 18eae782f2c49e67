//! What ordered events follow in the causal lane: given up only where no member has it, and known to be on a majority's disks
//! only as long as it is there (rule R6; docs/decisions/0026).

use crate::lane_support::{actor, Cluster, LONG_TICKS};
use vexfs_core::ids::{Index, MemberId};
use vexfs_core::membership::MemberCommand;
use vexfs_core::ordered::conf::Conf;

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
