//! The shortest reproductions of defects that were found in the ordered lane: each stays, so that none comes back.

use crate::support::disk::DiskReader;
use crate::support::submissions::{Draft, GROUP};
use crate::support::world::World;
use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};
use vexfs_core::event::{Submission, SubmissionKind};
use vexfs_core::ids::{EventId, Index, MemberId, RequestId, SessionId};
use vexfs_core::machine::Outcome;
use vexfs_core::ordered::effects::{Effects, End};
use vexfs_core::ordered::receive::Refused;
use vexfs_core::ordered::Group;
use vexfs_core::ordered::repair::words::{Answer, Query};
use vexfs_core::peer::frame::{Frame, FrameKind, FRAME_HEADER_BYTES};
use vexfs_core::peer::raft_message;

const SESSION: SessionId = SessionId(5);

fn publish(id: u128) -> Draft {
    Draft::events(vec![EventId(id)])
}

fn frame(message: &Message) -> Frame {
    let mut body = Vec::new();
    assert!(raft_message::encode(message, &mut body));
    Frame { kind: FrameKind::Raft, group: GROUP, body: Bytes::from(body) }
}

fn message(kind: MessageType, from: MemberId, to: MemberId, term: u64) -> Message {
    let mut message = Message::default();
    message.set_msg_type(kind);
    (message.from, message.to, message.term) = (from.0, to.0, term);
    message
}

fn group(world: &mut World, node: usize) -> &mut Group<DiskReader> {
    world.nodes[node].group.as_mut().expect("it runs")
}

fn receive(world: &mut World, node: usize, from: usize, message: &Message) -> Result<(), Refused> {
    let (from, mut effects) = (world.nodes[from].id, Effects::default());
    group(world, node).receive(from, frame(message), 0, &mut effects)
}

/// A leader `a` of three, with a few entries everywhere.
fn three() -> World {
    let mut world = World::new(1, 3);
    world.elect(0);
    for id in 1..4 {
        world.submit(0, &publish(id), 1);
        world.settle();
    }
    assert!(world.history.violations.is_empty());
    world
}

fn append(world: &World, term: u64, entry_term: u64, after: u64) -> Message {
    let mut message = message(MessageType::MsgAppend, world.nodes[0].id, world.nodes[1].id, term);
    message.index = after;
    message.log_term = 1;
    let mut entry = Entry::default();
    (entry.term, entry.index) = (entry_term, after + 1);
    message.commit = after + 1;
    message.set_entries(vec![entry].into());
    message
}

/// Two appends before a flush: the second was judged by a log that did not have the first's entries yet.
#[test]
fn a_repeated_append_before_a_flush_is_no_conflict() {
    let mut world = three();
    let append = append(&world, 1, 1, 4);
    assert_eq!(receive(&mut world, 1, 0, &append), Ok(()));
    assert_eq!(receive(&mut world, 1, 0, &append), Ok(()));
}

/// What a deposed leader sent long ago may contradict what was committed since: raft ignores its term.
#[test]
fn a_late_append_of_an_earlier_term_is_no_conflict() {
    let mut world = three();
    for _ in 0..60 {
        world.tick(1);
        world.tick(2);
        world.settle();
    }
    world.elect(1);
    world.submit(1, &publish(9), 1);
    world.settle();
    let last = group(&mut world, 1).status().last.0;
    // The new leader's first entry has the index that the old one would have used next.
    let late = append(&world, 1, 1, 4);
    assert!(last > 5 && group(&mut world, 1).term_of(Index(5)).is_some_and(|term| term.0 > 1));
    assert_eq!(receive(&mut world, 1, 0, &late), Ok(()));
}

/// Raft would send a read that found no leader on, under the address of the follower that asked, whom the next may not know
/// yet: it is asked again instead. Over a wish to lead, which comes with a term, it would panic.
#[test]
fn what_only_a_leader_answers_is_not_sent_on() {
    let mut world = three();
    let mut read = message(MessageType::MsgReadIndex, world.nodes[2].id, world.nodes[1].id, 0);
    read.set_entries(vec![Entry { data: vec![1; 24].into(), ..Default::default() }].into());
    assert_eq!(receive(&mut world, 1, 2, &read), Ok(()));
    let wish = message(MessageType::MsgTransferLeader, world.nodes[2].id, world.nodes[1].id, 1);
    assert_eq!(receive(&mut world, 1, 2, &wish), Ok(()));
    let mut effects = Effects::default();
    assert!(group(&mut world, 1).flush(0, &mut effects).is_ok());
    assert!(effects.frames.is_empty());
    assert!(matches!(receive(&mut world, 1, 0, &read), Err(Refused::Misaddressed { .. })));
}

/// Raft takes a message of term 0 for one of its own making and skips every check of terms.
#[test]
fn a_message_without_a_term_is_refused() {
    let mut world = three();
    let mut heartbeat = message(MessageType::MsgHeartbeat, world.nodes[0].id, world.nodes[1].id, 0);
    heartbeat.commit = 1_000;
    assert!(receive(&mut world, 1, 0, &heartbeat).is_err());
}

/// A follower that claims entries the leader never had must not count for a majority.
#[test]
fn an_answer_beyond_the_log_is_refused() {
    let mut world = three();
    let mut answer = message(MessageType::MsgAppendResponse, world.nodes[1].id, world.nodes[0].id, 1);
    answer.index = 1_000;
    assert!(receive(&mut world, 0, 1, &answer).is_err());
    world.submit(0, &publish(50), 1);
    world.settle();
    assert_eq!(world.journal(1).len(), 4);
}

/// Raft takes an entry that its log does not have, and one that has no term, for the same.
#[test]
fn an_append_behind_nothing_is_refused() {
    let mut world = three();
    let mut behind = append(&world, 1, 1, 9);
    behind.log_term = 0;
    assert!(matches!(receive(&mut world, 1, 0, &behind), Err(Refused::Message(_))));
    let beginning = Message { index: 0, commit: 1, entries: Default::default(), ..behind };
    assert_eq!(receive(&mut world, 1, 0, &beginning), Ok(()));
}

/// A torn member's log may go further than the leader's, by what it wrote as a deposed leader: it is probed from where
/// the leader's log ends, not from behind it.
#[test]
fn a_torn_log_that_goes_further_is_probed_from_the_leaders_end() {
    let mut world = three();
    let (leader, torn) = (world.nodes[0].id, world.nodes[1].id);
    let mut answer = message(MessageType::MsgAppendResponse, torn, leader, 1);
    (answer.reject, answer.reject_hint, answer.log_term) = (true, 90, 1);
    answer.context = Bytes::from_static(b"regressed");
    assert_eq!(receive(&mut world, 0, 1, &answer), Ok(()));
    world.submit(0, &publish(9), 1);
    world.settle();
    assert!(world.history.violations.is_empty(), "{:?}", world.history.violations);
    let last = |node: usize| world.nodes[node].group.as_ref().map(|group| group.status().last);
    assert_eq!(last(1), last(0));
}

/// A strong publish that is withdrawn in time ends as withdrawn, not as applied.
#[test]
fn a_withdrawn_strong_publish_ends_withdrawn() {
    let mut world = World::new(1, 3);
    let request = world.submit(0, &publish(1).in_session(SESSION, 1, 0), 3);
    assert!(world.withdraw(0, request));
    world.elect(0);
    let ends: Vec<&End> = world.ended.iter().map(|(_, completion)| &completion.end).collect();
    assert!(matches!(ends[..], [End::Withdrawn]), "{ends:?}");
}

/// Barriers that came while a round was under way start theirs in the flush that ends it, not at the next tick.
#[test]
fn a_waiting_barrier_needs_no_tick() {
    let mut world = three();
    world.barrier(0);
    world.flush(0);
    world.barrier(0);
    world.settle();
    assert_eq!(world.history.open(), 0);
}

/// A lost query of applied indexes is asked again however busy the log is.
#[test]
fn a_lost_applied_query_is_asked_again_while_writes_go_on() {
    let mut world = three();
    world.network.stall(0, 1, 1, u64::MAX);
    world.network.stall(0, 2, 1, 0);
    world.submit(0, &publish(60), 3);
    // The entry reaches `b` late, its query is lost in between.
    for _ in 0..3 {
        world.flush(0);
        world.now_us += 10_000;
        for node in 0..3 {
            world.deliver(node, 100);
            world.sync(node);
            world.flush(node);
        }
    }
    assert_eq!(world.history.open(), 1);
    world.reset_link(1, 0, world.now_us);
    world.reset_link(0, 1, world.now_us);
    world.nodes[1].group = None;
    world.raise_links();
    world.start(1);
    world.network.stall(0, 1, 1, 0);
    for busy in 0..40 {
        world.submit(0, &publish(100 + busy), 1);
        for node in 0..3 {
            world.tick(node);
        }
        world.settle();
    }
    assert_eq!(world.history.open(), 0);
}

/// The leader's refusal can be lost with a connection that the refused member does not dial.
#[test]
fn a_lost_refusal_does_not_strand_a_request() {
    let mut world = three();
    // Too much for the leader's intake at once: the second frame is refused.
    for id in 0..60 {
        world.submit(1, &Draft::events((0..20).map(|at| EventId(1_000 + id * 50 + at)).collect()), 1);
    }
    for _ in 0..40 {
        world.flush(1);
        world.now_us += 10_000;
        world.deliver(0, usize::MAX);
        world.flush(0);
        // Everything the leader says is lost, its refusals too; the follower notices nothing.
        world.network.reset(0, 1, world.now_us + 1);
        world.sync(0);
        world.deliver(2, usize::MAX);
        world.sync(2);
        world.flush(2);
        world.now_us += 10_000;
        world.raise_links();
    }
    for _ in 0..400 {
        for node in 0..3 {
            world.tick(node);
        }
        world.settle();
    }
    assert_eq!(world.history.open(), 0);
}

/// A member that cannot read its log asks the others for what is lost; raft alone would panic.
#[test]
fn an_unreadable_log_is_repaired_not_a_panic() {
    let mut world = three();
    world.nodes[0].crash(0);
    world.nodes[0].disk.borrow_mut().hard.commit = Index(4);
    world.start(0);
    world.nodes[0].disk.borrow_mut().unreadable = true;
    let result = group(&mut world, 0).flush(0, &mut Effects::default());
    assert!(result.is_ok() && group(&mut world, 0).is_repairing(), "{result:?}");
}

/// What Raft has heard and not handed to the log is forgotten with it, and a commit mark that speaks of it too: of the
/// entries on disk it may be others that are committed.
#[test]
fn a_repair_forgets_what_is_committed_of_what_it_forgets() {
    let mut world = three();
    let (b, c) = (world.nodes[1].id, world.nodes[2].id);
    // A tail that nobody else has, behind an entry that cannot be read.
    let tail = append(&world, 1, 1, 4);
    let tail = Message { commit: 3, ..tail };
    assert_eq!(receive(&mut world, 1, 0, &tail), Ok(()));
    world.flush(1);
    world.settle();
    world.crash(1, 0);
    world.nodes[1].disk.borrow_mut().hard.commit = Index(2);
    world.start(1);
    world.nodes[1].disk.borrow_mut().unreadable = true;
    // In another term, something else is there, and committed.
    let mut other = message(MessageType::MsgAppend, c, b, 5);
    (other.index, other.log_term, other.commit) = (4, 1, 5);
    let mut entry = Entry::default();
    (entry.term, entry.index) = (5, 5);
    other.set_entries(vec![entry].into());
    assert_eq!(receive(&mut world, 1, 2, &other), Ok(()));
    let mut effects = Effects::default();
    assert!(group(&mut world, 1).flush(0, &mut effects).is_ok());
    assert!(group(&mut world, 1).is_repairing());
    let mut body = Vec::new();
    Query { first: Index(5), last: Index(5), takes_snapshot: false }.encode(&mut body);
    let query = Frame { kind: FrameKind::RepairQuery, group: GROUP, body: body.into() };
    assert_eq!(group(&mut world, 1).receive(c, query, 0, &mut effects), Ok(()));
    assert!(group(&mut world, 1).flush(0, &mut effects).is_ok());
    let answer = effects.frames.iter().find(|(_, _, bytes)| bytes[8] == FrameKind::RepairAnswer as u8).expect("it answers");
    let answer = Answer::decode(&Bytes::copy_from_slice(&answer.2[FRAME_HEADER_BYTES..])).expect("it is well formed");
    assert!(answer.commit < Index(5), "{answer:?}");
}

/// The same at a leader, on behalf of a follower that needs what only the disk has.
#[test]
fn an_unreadable_log_is_repaired_at_a_leader() {
    let mut world = three();
    world.reset_link(0, 1, u64::MAX);
    world.reset_link(1, 0, u64::MAX);
    world.submit(0, &publish(80), 1);
    world.settle();
    world.crash(0, 0);
    world.start(0);
    for _ in 0..15 {
        world.tick(2);
    }
    world.settle();
    world.elect(0);
    world.nodes[0].disk.borrow_mut().unreadable = true;
    for (from, to) in [(0, 1), (1, 0)] {
        world.network.link(from, to).down_until_us = Some(0);
    }
    for _ in 0..20 {
        world.settle();
        world.tick(0);
    }
    assert_eq!(world.history.violations, Vec::<String>::new());
    assert_eq!(world.history.open(), 0);
}

/// A skip covers at most what a publish could have held: every member walks through its sequences.
#[test]
fn a_skip_is_bounded() {
    let mut bytes = publish(1).in_session(SESSION, 1, 0).stamped("a", RequestId(1), 0).skipped().bytes().to_vec();
    assert!(Submission::parse(Bytes::from(bytes.clone())).is_ok_and(|skip| skip.kind() == SubmissionKind::Skip));
    bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Submission::parse(Bytes::from(bytes)).is_err());
}

/// Puts a member's directory back to its first entries, and starts it.
fn put_back(world: &mut World, node: usize, entries: usize) {
    world.crash(node, 0);
    let disk = world.nodes[node].disk.clone();
    disk.borrow_mut().durable.truncate(entries);
    disk.borrow_mut().hard.commit = Index(entries as u64);
    world.start(node);
}

/// A leader counts on more than is there: the member was refused its heartbeats for ever.
#[test]
fn a_log_that_was_put_back_heals() {
    let mut world = three();
    put_back(&mut world, 1, 2);
    for _ in 0..60 {
        world.tick(0);
        world.tick(1);
        world.settle();
    }
    assert_eq!(world.history.violations, Vec::<String>::new());
    let (leader, member) = (group(&mut world, 0).status(), group(&mut world, 1).status());
    assert_eq!((member.applied, member.leader), (leader.applied, Some(world.nodes[0].id)));
    let noticed = member.put_back.expect("it was noticed");
    assert_eq!((noticed.known_by, noticed.had.1, noticed.known.1), (world.nodes[0].id, Index(2), Index(4)));
    assert!(noticed.settled && leader.put_back.is_none());
}

/// It voted for a log that lacks what it had acknowledged itself.
#[test]
fn a_log_that_was_put_back_does_not_vote_where_somebody_knows_better() {
    let mut world = three();
    for (from, to) in [(0, 2), (2, 0)] {
        world.reset_link(from, to, u64::MAX);
    }
    world.submit(0, &publish(90), 1);
    world.settle();
    assert_eq!(world.history.open(), 0);
    put_back(&mut world, 1, 4);
    for _ in 0..100 {
        world.tick(1);
        world.tick(2);
        world.settle();
    }
    assert!(!group(&mut world, 1).is_settled() && !group(&mut world, 2).leads());
    for (from, to) in [(0, 2), (2, 0)] {
        world.network.link(from, to).down_until_us = Some(0);
    }
    for _ in 0..100 {
        (0..3).for_each(|node| world.tick(node));
        world.settle();
    }
    assert_eq!(world.history.violations, Vec::<String>::new());
    assert!((0..3).all(|node| world.journal(node).iter().any(|(id, ..)| *id == EventId(90))));
    assert!(group(&mut world, 1).is_settled());
}

/// Nobody who knows may have been heard yet: until then, or for an election timeout, it says nothing that counts.
#[test]
fn a_member_waits_to_hear_what_is_known_of_it() {
    let mut world = three();
    world.crash(1, 0);
    world.start(1);
    let (b, c) = (world.nodes[1].id, world.nodes[2].id);
    let mut asks = message(MessageType::MsgRequestVote, c, b, 9);
    (asks.log_term, asks.index) = (1, 9);
    let answers = |world: &mut World| {
        assert_eq!(receive(world, 1, 2, &asks), Ok(()));
        let mut effects = Effects::default();
        assert!(group(world, 1).flush(0, &mut effects).is_ok());
        !effects.writes.is_empty()
    };
    assert!(!answers(&mut world));
    (0..15).for_each(|_| world.tick(1));
    assert!(answers(&mut world));
}

/// Request ids of a former life never match those of the present one.
#[test]
fn a_former_life_ends_no_present_request() {
    let mut world = three();
    world.submit(1, &publish(70), 1);
    world.flush(1);
    world.now_us += 5_000;
    world.deliver(0, usize::MAX);
    world.nodes[1].crash(0);
    world.start(1);
    world.submit(1, &publish(71), 1);
    for _ in 0..20 {
        world.tick(0);
        world.settle();
    }
    let here: Vec<&Outcome> = world
        .ended
        .iter()
        .filter(|(node, _)| *node == 1)
        .filter_map(|(_, completion)| match &completion.end {
            End::Applied { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(here, [&Outcome::Accepted { first_offset: 0, count: 1 }]);
    assert!(world.journal(1).iter().any(|(id, ..)| *id == EventId(70)));
}

/// One that was recovered into a cluster of its own says to all others that they were removed.
#[test]
fn a_member_with_a_leader_was_not_removed() {
    let mut world = three();
    let told = |world: &mut World| {
        let (from, mut effects) = (world.nodes[2].id, Effects::default());
        [0, 1].map(|node| {
            let frame = Frame { kind: FrameKind::Removed, group: GROUP, body: Bytes::new() };
            assert_eq!(group(world, node).receive(from, frame, 0, &mut effects), Ok(()));
            group(world, node).is_removed()
        })
    };
    assert_eq!(told(&mut world), [false, false]);
    // `b` hears of its leader no more.
    for _ in 0..1_000 {
        world.tick(1);
    }
    assert_eq!(told(&mut world), [false, true]);
}

/// Once in an election timeout the engine forgets whom it has heard of, until they answer again.
#[test]
fn a_leader_suspects_nobody_who_answers_and_whoever_does_not() {
    let mut world = three();
    let suspects = |world: &mut World| -> Vec<MemberId> {
        let members = group(world, 0).status().members;
        members.into_iter().filter_map(|(member, _, active)| (!active).then_some(member)).collect()
    };
    for tick in 0..500 {
        world.tick(0);
        world.flush(0);
        assert_eq!(suspects(&mut world), [], "before the answers, at tick {tick}");
        world.settle();
    }
    let gone = world.nodes[2].id;
    world.crash(2, 0);
    for _ in 0..500 {
        world.tick(0);
        world.settle();
    }
    assert_eq!(suspects(&mut world), [gone]);
}

/// For a while a leader counts one that has just died among those it hears of.
#[test]
fn leadership_is_handed_to_nobody_whose_connections_have_ended() {
    let mut world = three();
    let (dead, other) = if world.nodes[1].id > world.nodes[2].id { (1, 2) } else { (2, 1) };
    [dead, other].into_iter().for_each(|member| world.reset_link(0, member, 0));
    for _ in 0..100 {
        world.tick(0);
        world.settle();
    }
    world.crash(dead, 0);
    world.reset_link(0, dead, u64::MAX);
    assert!(group(&mut world, 0).hand_over());
    world.flush(0);
    world.settle();
    assert!(group(&mut world, other).leads());
}
