//! A lane of 500 actors, most of whom are gone: members that were removed, and earlier incarnations.

use crate::crdt_support::allocations::held;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::head::Head;
use vexfs_core::causal::message::{Entries, Held, KnownOf, Pull, ANSWER};
use vexfs_core::causal::reader::{Bounds, Place, Reader};
use vexfs_core::causal::tally::Retention;
use vexfs_core::causal::{Lane, LaneConfig, FIRST_ORIGIN, ORIGINS_MAX, OWN_ORIGINS_MIN};
use vexfs_core::entry;
use vexfs_core::event::{Submission, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{GroupRecovery, HardState, Identity, LogEntry, Op, Recovery};
use vexfs_core::membership::Membership;
use vexfs_core::ordered::effects::Effects;
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::peer::frame::{Assembler, Frame, FrameKind};

const ACTORS: usize = 500;
const ROUNDS: u64 = 3;
const LIFE: u64 = 7;
const PEER_LIFE: u64 = 8;

#[derive(Clone, Default)]
struct Log(Rc<RefCell<BTreeMap<(GroupId, u64), LogEntry>>>);

impl EntryReader for Log {
    fn entries(&self, group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String> {
        let (log, mut bytes) = (self.0.borrow(), 0);
        let found = log.range((group, low.0)..(group, high.0)).map(|(_, entry)| entry.clone());
        Ok(found
            .take_while(|entry| {
                let before = bytes;
                bytes += (entry.data.len() + entry.context.len()) as u64;
                before < bytes_max
            })
            .collect())
    }
}

/// One in ten is of a member; the others of members that nobody knows any more, or of what a member was before.
fn actor(at: usize) -> Actor {
    match at % 10 {
        0 => Actor { member: MemberId::of("m1"), incarnation: at as u32 },
        1..=4 => Actor { member: MemberId::of("m2"), incarnation: at as u32 },
        _ => Actor { member: MemberId::of(&format!("gone-{at}")), incarnation: 0 },
    }
}

/// One event; ids differ by `number`, hybrid clocks go down so that they say nothing of the order.
fn submission(number: u64) -> Submission {
    let mut bytes = vec![0; SUBMISSION_HEADER_BYTES];
    bytes[..4].copy_from_slice(&[1, 1, 1, 1]);
    bytes[4..8].copy_from_slice(&((SUBMISSION_HEADER_BYTES + 1 + RECORD_HEADER_BYTES) as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&1u32.to_le_bytes());
    bytes[56..64].copy_from_slice(&number.to_le_bytes());
    bytes[64..72].copy_from_slice(&(1_000_000 - number).to_le_bytes());
    bytes.push(b'a');
    let mut record = [0; RECORD_HEADER_BYTES];
    record[..4].copy_from_slice(&(RECORD_HEADER_BYTES as u32).to_le_bytes());
    record[24..32].copy_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&record);
    Submission::parse_causal(bytes.into()).expect("it is well packed")
}

/// What an entry says that it follows: round by round, each actor after all before it.
fn follows(at: usize, counter: u64) -> Vec<(Actor, u64)> {
    let others = (0..ACTORS).filter(|other| *other != at);
    others.map(|other| (actor(other), if other < at { counter } else { counter - 1 })).filter(|(_, counter)| *counter > 0).collect()
}

fn written(actor: Actor, counter: u64, follows: Vec<(Actor, u64)>, number: u64) -> (Bytes, Bytes) {
    let context = Head { actor, whole: counter == 1, follows, holders: None }.encode();
    (entry::pack(&[submission(number)]).into(), context.into())
}

fn entry_of(at: usize, counter: u64) -> (Bytes, Bytes) {
    written(actor(at), counter, follows(at, counter), counter * 10_000 + at as u64)
}

struct Node {
    lane: Lane<Log>,
    log: Log,
    /// What was written that is no entry.
    states: BTreeMap<GroupId, HardState>,
    /// What the others say that they have of this member's actors.
    known: Vec<(Actor, u64)>,
    now_us: u64,
    /// Bytes of the frames of each kind that have left since they were last looked at.
    sent: Vec<(FrameKind, usize)>,
}

fn lane(log: &Log, recovery: &Recovery, fresh_incarnation: u32) -> Lane<Log> {
    let config = LaneConfig {
        me: MemberId::of("me"),
        node_id: "me".into(),
        life: LIFE,
        fresh_incarnation,
        unsettled: false,
        continuity_ticks: 50,
        gossip_ticks: 5,
        fetch_ticks: 2,
        buffer_entries: 1_000,
        window_events: 100_000,
        retention: Retention::default(),
        has_states: false,
    };
    Lane::open(config, recovery, log.clone())
}

fn recovery(groups: BTreeMap<GroupId, GroupRecovery>) -> Recovery {
    let identity = Identity { cluster_id: "c".into(), node_id: "me".into(), directory: [0; 16], incarnation: 1 };
    Recovery { identity, groups, torn_bytes: 0, unsettled: false, damaged: Vec::new(), lost_batches: 0, log_bytes: 0, segments: 0 }
}

impl Node {
    fn new() -> Self {
        Self::begin(Log::default(), BTreeMap::new(), 1)
    }

    fn begin(log: Log, states: BTreeMap<GroupId, HardState>, fresh_incarnation: u32) -> Self {
        let mut groups: BTreeMap<GroupId, GroupRecovery> = states.iter().map(|(id, state)| (*id, GroupRecovery { hard_state: *state, ..group() })).collect();
        for (id, counter) in log.0.borrow().keys() {
            groups.entry(*id).or_insert_with(group).last_index = Index(*counter);
        }
        let mut lane = lane(&log, &recovery(groups), fresh_incarnation);
        let names = ["me", "m1", "m2"].map(|name| (name.to_string(), String::new()));
        lane.set_table(&Membership::founded(&names));
        ["m1", "m2"].into_iter().for_each(|name| lane.link_up(MemberId::of(name)));
        Self { lane, log, states, known: Vec::new(), now_us: 0, sent: Vec::new() }
    }

    fn receive(&mut self, from: &str, kind: FrameKind, write: impl FnOnce(&mut Vec<u8>)) {
        let mut body = Vec::new();
        write(&mut body);
        let frame = Frame { kind, group: FIRST_ORIGIN, body: body.into() };
        self.lane.receive(MemberId::of(from), &frame).expect("it is well formed");
    }

    fn entries(&mut self, actor: Actor, flags: u32, first: u64, list: &[(Bytes, Bytes)]) {
        self.receive("m1", FrameKind::Entries, |out| {
            Entries::encode(PEER_LIFE, actor, flags, Index(first), list.iter().map(|(data, context)| (data, context)), out);
        });
    }

    /// A tick; everything that is to be written is, and both others answer what they are asked.
    fn tick(&mut self, answer: &dyn Fn(Pull) -> Vec<(Bytes, Bytes)>) {
        self.now_us += 10_000;
        self.lane.tick();
        let mut effects = Effects::default();
        self.lane.flush(self.now_us, &mut effects);
        for write in effects.writes {
            for op in write.ops {
                match op {
                    Op::Entries { group, entries } => self.log.0.borrow_mut().extend(entries.into_iter().map(|entry| ((group, entry.index.0), entry))),
                    Op::HardState { group, state } => drop(self.states.insert(group, state)),
                    other => panic!("nothing else is to be written: {other:?}"),
                }
            }
            self.lane.persisted(write.number);
        }
        let mut frames = Vec::new();
        for (to, _, bytes) in effects.frames {
            let from = if to == MemberId::of("m1") { "m1" } else { "m2" };
            Assembler::default().push(&bytes, &mut frames).expect("a frame");
            let frame = frames.pop().expect("a whole one");
            self.sent.push((frame.kind, bytes.len()));
            let list = self.known.clone();
            match frame.kind {
                FrameKind::OriginQuery => self.receive(from, FrameKind::OriginAnswer, |out| KnownOf { life: LIFE, table: Index(1), list }.encode(out)),
                FrameKind::Pull => {
                    let pull = Pull::decode(&frame.body).expect("a pull");
                    self.entries(pull.actor, ANSWER, pull.first, &answer(pull));
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, kind: FrameKind) -> Vec<usize> {
        std::mem::take(&mut self.sent).into_iter().filter(|(of, _)| *of == kind).map(|(_, bytes)| bytes).collect()
    }
}

fn answer(pull: Pull) -> Vec<(Bytes, Bytes)> {
    let at = (0..ACTORS).find(|at| actor(*at) == pull.actor).expect("one of ours");
    (pull.first..=pull.last.min(ROUNDS)).map(|counter| entry_of(at, counter)).collect()
}

/// A lane that has had everything of everybody, of which it was sent one entry in three, in an order of chance.
fn filled() -> Node {
    let mut node = Node::new();
    let list = (0..ACTORS).map(|at| (actor(at), ROUNDS)).collect();
    node.receive("m1", FrameKind::Held, |out| Held { all: true, from: PEER_LIFE, life: 0, list, waits: false, known: false }.encode(out));
    let mut pushed: Vec<(u64, usize, u64)> = (0..ACTORS).flat_map(|at| (1..=ROUNDS).map(move |counter| (at, counter))).map(|(at, counter)| {
        let lot = (at as u64 * 31 + counter).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (lot >> 20, at, counter)
    }).collect();
    pushed.sort_unstable();
    for (_, at, counter) in pushed.into_iter().step_by(3) {
        node.entries(actor(at), 0, counter, &[entry_of(at, counter)]);
    }
    for _ in 0..3_000 {
        node.tick(&answer);
        let delivered: u64 = node.lane.delivered().iter().map(|(_, counter)| counter).sum();
        if delivered == ACTORS as u64 * ROUNDS {
            return node;
        }
    }
    panic!("only {:?} delivered", node.lane.delivered().iter().map(|(_, counter)| counter).sum::<u64>());
}

/// Reads one event after the other; what was had is at each moment all that it follows.
fn read_in_order(node: &Node, reader: &mut Reader, events: usize) {
    let origins: Vec<_> = node.lane.origins().collect();
    let one = Bounds { bytes_max: 1 << 20, events_max: 1 };
    for _ in 0..events {
        let before = reader.place(&origins);
        reader.read(&node.log, &origins, node.lane.delivered(), node.lane.doubled(), one, None).expect("it is read");
        let place = reader.place(&origins);
        let moved: Vec<_> = place.had.iter().filter(|(actor, had)| before.had.get(*actor) != Some(had)).collect();
        let [(moved, counter)] = moved[..] else { panic!("{} have moved", moved.len()) };
        let at = (0..ACTORS).find(|at| actor(*at) == *moved).expect("one of ours");
        assert_eq!(before.had.get(moved).copied().unwrap_or(0) + 1, *counter);
        assert!(follows(at, *counter).iter().all(|(other, needed)| place.had.get(other).is_some_and(|had| had >= needed)), "entry {counter} of {at}");
    }
}

#[test]
fn five_hundred_actors_are_read_in_causal_order_and_a_cursor_survives() {
    let node = filled();
    let mut reader = Reader::new(Place::default());
    let half = ACTORS * ROUNDS as usize / 2;
    read_in_order(&node, &mut reader, half);

    // As a consumer keeps it, and comes back with it.
    let origins: Vec<_> = node.lane.origins().collect();
    let cursor = reader.place(&origins).encode();
    assert!(cursor.len() <= 4 + 20 * ACTORS, "{} bytes", cursor.len());
    let place = Place::decode(&cursor).expect("it is ours");
    assert_eq!(place.had.len(), ACTORS);
    assert!(place.is_within(&origins, node.lane.delivered()));

    // The member too comes back, from its log, where it knows the origins by the same numbers.
    let groups = origins.iter().map(|origin| (origin.group, GroupRecovery { last_index: Index(ROUNDS), ..group() })).collect();
    let before = held();
    let empty = lane(&Log::default(), &recovery(BTreeMap::new()), 1);
    let of_none = held() - before;
    drop(empty);
    let before = held();
    let again = lane(&node.log, &recovery(groups), 1);
    let bytes = held() - before - of_none;
    println!("{bytes} bytes of memory, {of_none} without origins; a cursor of {}", cursor.len());
    assert!(bytes < 1_024 * ACTORS as isize, "{bytes} bytes for {ACTORS} origins");
    assert_eq!(again.delivered(), node.lane.delivered());
    let node = Node { lane: again, ..node };
    let mut reader = Reader::new(place);
    read_in_order(&node, &mut reader, half);
    assert_eq!(reader.place(&origins), Place::latest(&origins, node.lane.delivered()));
}

fn group() -> GroupRecovery {
    GroupRecovery { first_index: Index(1), ..GroupRecovery::default() }
}

#[test]
fn what_is_told_is_in_proportion_to_what_is_new() {
    let mut node = filled();
    (0..20).for_each(|_| node.tick(&answer));
    let told = node.sent(FrameKind::Held);
    assert!(told.iter().all(|bytes| *bytes <= 64 + 20 * (ACTORS + 1)), "{told:?}");
    // Where nothing changes, nothing is sent.
    (0..50).for_each(|_| node.tick(&answer));
    assert_eq!(node.sent, []);

    // The first entry of one's own names all that it follows; the next one what is new, and nothing is.
    let mut contexts = Vec::new();
    for number in 0..2 {
        node.lane.submit(submission(900_000 + number), node.now_us);
        (0..20).for_each(|_| node.tick(&answer));
        let mine = node.lane.origins().find(|origin| origin.actor.member == MemberId::of("me")).expect("it writes");
        let entry = node.log.entries(mine.group, Index(number + 1), Index(number + 2), u64::MAX).expect("it is there").remove(0);
        contexts.push(entry.context.len());
        assert!(node.sent(FrameKind::Held).iter().all(|bytes| *bytes < 100));
    }
    assert_eq!(contexts, [16 + 20 * ACTORS, 16]);
}

/// Beyond the limit an origin is not followed, and neither is what follows it: what is delivered stays in order, and what
/// is published here is taken.
#[test]
fn more_origins_than_there_may_be_hold_up_nobody_else() {
    let mut node = Node::new();
    let far = |at: u64| Actor { member: MemberId(1 << 40 | at), incarnation: 0 };
    let others = (ORIGINS_MAX - OWN_ORIGINS_MIN) as u64;
    for at in 0..others + 5 {
        node.entries(far(at), 0, 1, &[written(far(at), 1, Vec::new(), 100_000 + at)]);
    }
    // Of two second entries one follows what is here, and one what is beyond.
    node.entries(far(0), 0, 2, &[written(far(0), 2, vec![(far(1), 1)], 200_000)]);
    node.entries(far(1), 0, 2, &[written(far(1), 2, vec![(far(others + 1), 1)], 200_001)]);
    node.lane.submit(submission(900_000), 0);
    (0..20).for_each(|_| node.tick(&|_| Vec::new()));
    let origins: Vec<_> = node.lane.origins().collect();
    let counters: BTreeMap<Actor, u64> = node.lane.delivered().iter().map(|(id, counter)| (origins[id.at()].actor, counter)).collect();
    assert_eq!(counters.len() as u64, others + 1);
    assert_eq!([counters[&far(0)], counters[&far(1)]], [2, 1]);
    let own: Vec<u64> = counters.iter().filter(|(actor, _)| actor.member == MemberId::of("me")).map(|(_, counter)| *counter).collect();
    assert_eq!(own, [1]);
}

/// What was lost here comes back from the others, as far as they had it: at the next start the log has all of it that anybody
/// has, and still does not know what of it was acknowledged here alone.
#[test]
fn an_own_actor_that_has_come_back_from_others_does_not_go_on() {
    let first = Actor { member: MemberId::of("me"), incarnation: 0 };
    let answer = |pull: Pull| match pull.actor == first {
        true => (pull.first..=pull.last.min(3)).map(|counter| written(first, counter, Vec::new(), counter)).collect(),
        false => Vec::new(),
    };
    for (left, publishes_before) in [(0, false), (0, true), (2, false)] {
        let mut node = Node::new();
        if left > 0 {
            let log = Log::default();
            for counter in 1..=left {
                let (data, context) = written(first, counter, Vec::new(), counter);
                log.0.borrow_mut().insert((FIRST_ORIGIN, counter), LogEntry { index: Index(counter), term: Term(1), kind: 0, data, context });
            }
            node = Node::begin(log, BTreeMap::new(), 1);
        }
        if publishes_before {
            // Nobody answers in time.
            ["m1", "m2"].into_iter().for_each(|name| node.lane.link_down(MemberId::of(name)));
            node.lane.submit(submission(800_000), 0);
            (0..100).for_each(|_| node.tick(&answer));
            ["m1", "m2"].into_iter().for_each(|name| node.lane.link_up(MemberId::of(name)));
        }
        node.known = vec![(first, 3)];
        node.receive("m1", FrameKind::Held, |out| Held { all: true, from: PEER_LIFE, life: 0, list: vec![(first, 3)], waits: false, known: false }.encode(out));
        (0..100).for_each(|_| node.tick(&answer));
        assert!(node.lane.held().any(|held| held == (first, 3)), "it comes back");

        let mut known: Vec<(Actor, u64)> = node.lane.held().collect();
        known.retain(|(_, counter)| *counter > 0);
        let mut again = Node::begin(node.log, node.states, 2);
        again.known = known;
        again.lane.submit(submission(900_000), 0);
        (0..100).for_each(|_| again.tick(&answer));
        assert_ne!(again.lane.actor(), Some(first), "{left} of it were left; published before: {publishes_before}");
        assert!(again.lane.held().any(|held| held == (first, 3)), "nothing else stands in its place");
    }
}
