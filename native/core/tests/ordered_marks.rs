//! The mark of a log that may have forgotten something, and what a repair has Raft forget: the shortest reproductions of
//! defects that were found there.

use crate::support::submissions::{Draft, GROUP};
use crate::support::world::World;
use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use vexfs_core::ids::{EventId, Index, MemberId, Term};
use vexfs_core::log::HardState;
use vexfs_core::ordered::effects::{Effects, Purpose};
use vexfs_core::ordered::reconcile::{self, Change};
use vexfs_core::ordered::store::entry_from_raft;
use vexfs_core::peer::frame::{Frame, FrameKind};
use vexfs_core::peer::raft_message;

/// A leader `a` of three, with a few entries everywhere.
fn three() -> World {
    let mut world = World::new(1, 3);
    world.elect(0);
    for id in 1..4 {
        world.submit(0, &Draft::events(vec![EventId(id)]), 1);
        world.settle();
    }
    assert!(world.history.violations.is_empty());
    world
}

/// Hands `b` one more entry of its leader, behind `after`.
fn append(world: &mut World, after: u64, commit: u64) {
    let mut entry = Entry::default();
    (entry.term, entry.index) = (1, after + 1);
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgAppend);
    (message.from, message.to, message.term) = (world.nodes[0].id.0, world.nodes[1].id.0, 1);
    (message.index, message.log_term, message.commit) = (after, 1, commit);
    message.set_entries(vec![entry].into());
    let mut body = Vec::new();
    assert!(raft_message::encode(&message, &mut body));
    let (from, frame) = (world.nodes[0].id, Frame { kind: FrameKind::Raft, group: GROUP, body: Bytes::from(body) });
    assert_eq!(world.group(1).receive(from, frame, 0, &mut Effects::default()), Ok(()));
}

/// What settles a torn log is in Raft's hands before it is on disk, and is forgotten with the rest where a repair comes in
/// between: the log is as torn as before.
#[test]
fn a_repair_forgets_that_what_it_forgets_has_settled_the_log() {
    let mut world = three();
    world.submit(0, &Draft::events(vec![EventId(9)]), 1);
    world.settle();
    world.crash(1, 0);
    world.tear(1);
    world.nodes[1].disk.borrow_mut().hard.commit = Index(2);
    let torn = world.nodes[1].disk.borrow().last();
    let last = world.group(0).status().last;
    assert!(torn < last && world.nodes[1].torn);
    world.start(1);
    assert!(world.group(1).flush(0, &mut Effects::default()).is_ok());
    for from in [0, 2] {
        let (id, mut body) = (world.nodes[from].id, Vec::new());
        body.extend_from_slice(&1_u64.to_le_bytes());
        body.extend_from_slice(&0_u64.to_le_bytes());
        world.group(from).conf().encode(&mut body);
        let told = Frame { kind: FrameKind::TermAnswer, group: GROUP, body: body.into() };
        world.group(1).link_up(id);
        assert_eq!(world.group(1).receive(id, told, 0, &mut Effects::default()), Ok(()));
    }
    append(&mut world, torn.0, torn.0 + 1);
    assert!(world.group(1).is_settled());
    // Before that is written, an entry that is to be applied cannot be read.
    world.nodes[1].disk.borrow_mut().unreadable = true;
    assert!(world.group(1).flush(0, &mut Effects::default()).is_ok());
    assert!(world.group(1).is_repairing());
    for _ in 0..100 {
        world.ask_for_repair(1);
        let settled = world.group(1).is_settled_on_disk();
        assert!(!settled || world.nodes[1].disk.borrow().last() == last, "it counts as settled, and has forgotten entry {last}");
    }
    assert!(!world.group(1).is_repairing(), "the others have what it lacks");
}

/// The mark is to go, and before it does the log is torn again: it stays.
#[test]
fn a_mark_that_is_to_go_stays_where_the_log_is_torn_again() {
    let mut world = three();
    let group = world.group(1);
    group.unmark();
    group.torn();
    let mut effects = Effects::default();
    assert!(group.flush(0, &mut effects).is_ok());
    assert!(group.is_marked() && !group.is_settled());
    assert!(!effects.writes.iter().any(|write| write.purpose == Purpose::Settled), "{:?}", effects.writes);
}

/// Starts `b` with a torn log, founded by `founders`, in which these changes of the configuration are known to be committed.
fn torn_with(founders: &[usize], changes: &[(&[(usize, Change)], bool)]) -> World {
    let mut world = World::new(1, 3);
    world.crash(1, 0);
    let ids = world.voters();
    let founders: Vec<MemberId> = founders.iter().map(|at| ids[*at]).collect();
    {
        let mut disk = world.nodes[1].disk.borrow_mut();
        for (at, (change, joint)) in changes.iter().enumerate() {
            let change: Vec<_> = change.iter().map(|(member, change)| (ids[*member], *change)).collect();
            let mut entry = Entry { index: at as u64 + 1, term: 1, ..Entry::default() };
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            // Nothing stands for leaving.
            entry.context = if change.is_empty() { Vec::new() } else { reconcile::encode(&change, *joint) }.into();
            disk.durable.push(entry_from_raft(&entry));
        }
        disk.hard = HardState { term: Term(1), vote: MemberId(0), commit: disk.last() };
    }
    world.nodes[1].torn = true;
    world.nodes[1].start(&founders, 1);
    assert!(world.group(1).flush(0, &mut Effects::default()).is_ok());
    world
}

/// It was a learner when its log began, and the only voter by its end: it waited for a leader, and nobody else could be one.
#[test]
fn the_only_voter_that_is_left_has_nobody_to_settle_its_log_with() {
    let changes: &[(&[_], bool)] = &[(&[(1, Change::Learner)], false), (&[(1, Change::Voter), (0, Change::Remove)], true), (&[], false)];
    let mut alone = torn_with(&[0], changes);
    let me = alone.nodes[1].id;
    assert_eq!(alone.group(1).conf().voters, [me]);
    assert!(alone.group(1).is_settled());
    let mut before = torn_with(&[0], &changes[..2]);
    assert!(!before.group(1).is_settled(), "the other one still has its vote");
}

/// Between two changes it was the only voter; since the second it has somebody to settle its log with.
#[test]
fn who_was_the_only_voter_for_a_while_settles_its_log_with_those_who_came_since() {
    let changes: &[(&[_], bool)] = &[(&[(0, Change::Remove)], true), (&[], false), (&[(2, Change::Learner)], false), (&[(2, Change::Voter)], true), (&[], false)];
    let mut world = torn_with(&[0, 1], changes);
    assert_eq!(world.group(1).conf().voters.len(), 2);
    assert!(!world.group(1).is_settled());
    assert!(torn_with(&[0, 1], &changes[..3]).group(1).is_settled(), "a learner has no say");
}

/// Its log begins with it alone, and others have votes since.
#[test]
fn who_founded_a_cluster_alone_settles_its_log_with_those_who_came_since() {
    let changes: &[(&[_], bool)] = &[(&[(0, Change::Learner)], false), (&[(0, Change::Voter)], true), (&[], false)];
    let mut world = torn_with(&[1], changes);
    assert_eq!(world.group(1).conf().voters.len(), 2);
    assert!(!world.group(1).is_settled());
    assert!(torn_with(&[1], &changes[..1]).group(1).is_settled(), "a learner has no say");
}

/// A write of before a repair may come to its end after it: it is not taken for one of those that Raft asks for anew.
#[test]
fn writes_after_a_repair_are_numbered_behind_those_before_it() {
    let mut world = three();
    world.crash(1, 0);
    world.nodes[1].disk.borrow_mut().hard.commit = Index(2);
    world.start(1);
    let mut last = 0;
    for after in 4..24 {
        append(&mut world, after, 2);
        let mut effects = Effects::default();
        assert!(world.group(1).flush(0, &mut effects).is_ok());
        for write in effects.writes {
            assert!(write.number > last);
            last = write.number;
            world.nodes[1].disk.borrow_mut().push(write, 0);
        }
    }
    world.sync(1);
    world.nodes[1].disk.borrow_mut().unreadable = true;
    append(&mut world, 24, 4);
    assert!(world.group(1).flush(0, &mut Effects::default()).is_ok());
    assert!(world.group(1).is_repairing());
    while world.group(1).is_repairing() {
        world.ask_for_repair(1);
    }
    let after = world.nodes[1].disk.borrow().last().0;
    append(&mut world, after, 4);
    let mut effects = Effects::default();
    assert!(world.group(1).flush(0, &mut effects).is_ok());
    let numbers: Vec<u64> = effects.writes.iter().map(|write| write.number).collect();
    assert!(!numbers.is_empty() && numbers.iter().all(|number| *number > last), "{numbers:?} after {last}");
}
