//! A lane that has let go of entries which no states here cover: it asks every other member in turn, and until it has handed
//! over another's states it keeps none, however much they are wanted (rule R11).

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::head::Head;
use vexfs_core::causal::message::Needed;
use vexfs_core::causal::tally::Retention;
use vexfs_core::causal::{Lane, LaneConfig, FIRST_ORIGIN};
use vexfs_core::entry;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::{GroupRecovery, HardState, Identity, LogEntry, Recovery};
use vexfs_core::membership::Membership;
use vexfs_core::ordered::effects::Effects;
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::peer::frame::{build, Assembler, Frame, FrameKind};
use vexfs_core::snapshot::keeper::{Done, Job};
use vexfs_core::snapshot::states::{meta, States};
use vexfs_core::snapshot::transfer::Offer;
use vexfs_core::snapshot::SnapshotInfo;

/// Where the log of the origin begins.
const FIRST: u64 = 65;

fn me() -> Actor {
    Actor { member: MemberId::of("a"), incarnation: 0 }
}

/// A log of one entry.
#[derive(Clone)]
struct Log;

impl EntryReader for Log {
    fn entries(&self, _: GroupId, low: Index, high: Index, _: u64) -> Result<Vec<LogEntry>, String> {
        if (low, high) != (Index(FIRST), Index(FIRST + 1)) {
            return Err("there is no such entry".to_string());
        }
        let context = Head { actor: me(), whole: true, follows: Vec::new(), holders: None }.encode().into();
        Ok(vec![LogEntry { index: low, term: Term(1), kind: 0, data: entry::pack(&[]).into(), context }])
    }
}

/// With so many others, all of them there.
fn lane(others: usize) -> Lane<Log> {
    let identity = Identity { cluster_id: "test".to_string(), node_id: "a".to_string(), directory: [0; 16], incarnation: 1 };
    let (before, last) = ((Index(FIRST - 1), Term(1)), Index(FIRST));
    let found = GroupRecovery {
        hard_state: HardState { term: Term(1), vote: MemberId(0), commit: Index(0) },
        first_index: Index(FIRST),
        prior_term: Term(1),
        snapshot: Some(before),
        last_index: last,
        terms: vec![before],
    };
    let groups = BTreeMap::from([(FIRST_ORIGIN, found)]);
    let recovery = Recovery { identity, groups, torn_bytes: 0, unsettled: false, damaged: Vec::new(), lost_batches: 0, log_bytes: 0, segments: 0 };
    let config = LaneConfig {
        me: me().member,
        node_id: "a".to_string(),
        life: 1 << 32,
        fresh_incarnation: 7,
        unsettled: false,
        continuity_ticks: 10,
        gossip_ticks: 5,
        fetch_ticks: 5,
        buffer_entries: 64,
        window_events: 1_000,
        retention: Retention::default(),
        has_states: true,
    };
    let mut lane = Lane::open(config, &recovery, Log);
    let names: Vec<String> = std::iter::once("a".to_string()).chain((0..others).map(|at| format!("b{at}"))).collect();
    lane.set_table(&Membership::founded(&names.iter().map(|name| (name.clone(), String::new())).collect::<Vec<_>>()));
    names[1..].iter().for_each(|name| lane.link_up(MemberId::of(name)));
    assert!(lane.lacks_states());
    lane
}

fn frame(bytes: &[u8]) -> Frame {
    let mut frames = Vec::new();
    Assembler::default().push(bytes, &mut frames).expect("a frame is whole");
    frames.pop().expect("there is one")
}

fn flush(lane: &mut Lane<Log>) -> Effects {
    let mut effects = Effects::default();
    lane.flush(0, &mut effects);
    effects.writes.iter().for_each(|write| lane.persisted(write.number));
    effects
}

/// Who is asked for states in so many ticks.
fn asked(lane: &mut Lane<Log>, ticks: usize) -> BTreeSet<MemberId> {
    let mut asked = BTreeSet::new();
    for _ in 0..ticks {
        lane.tick();
        let sent = flush(lane).frames;
        asked.extend(sent.iter().filter(|(_, _, bytes)| frame(bytes).kind == FrameKind::StatesQuery).map(|(to, ..)| *to));
    }
    asked
}

/// Somebody needs all that has gone.
fn needs(lane: &mut Lane<Log>) {
    let needed = Needed { list: vec![(me(), FIRST - 1)] };
    let query = build(FrameKind::StatesQuery, FIRST_ORIGIN, 64, |out| needed.encode(out));
    lane.receive(MemberId::of("b0"), &frame(&query)).expect("it can be read");
}

fn states(counter: u64) -> Arc<States> {
    Arc::new(States { place: vec![(me(), counter)], list: vec![(Bytes::from_static(b"made"), Bytes::from_static(b"of something"))] })
}

/// Of the `number`th file of a directory.
fn info_of(number: u64) -> SnapshotInfo {
    SnapshotInfo { meta: meta("test", number), digest: number, bytes: 100 }
}

fn writes(lane: &mut Lane<Log>) -> usize {
    flush(lane).jobs.iter().filter(|job| matches!(job, Job::WriteStates { .. })).count()
}

#[test]
fn everybody_is_asked_in_turn() {
    for others in 1..=16 {
        assert_eq!(asked(&mut lane(others), 1_200).len(), others, "of {others}");
    }
}

#[test]
fn nothing_is_kept_that_did_not_come_of_anothers() {
    let mut lane = lane(2);
    needs(&mut lane);
    assert!(!lane.wants_states());
    lane.keep_states(states(FIRST - 1));
    assert_eq!(writes(&mut lane), 0, "they say that they have all in them");

    // Another member's come.
    asked(&mut lane, 60);
    let b0 = MemberId::of("b0");
    let info = info_of(1);
    let key = info.key();
    let offer = build(FrameKind::SnapshotOffer, FIRST_ORIGIN, 64, |out| Offer { term: 0, info }.encode(out));
    lane.receive(b0, &frame(&offer)).expect("it can be read");
    lane.job_done(Done::Found { key, bytes: 100 });
    lane.job_done(Done::StatesRestored { key, states: states(FIRST - 1) });
    assert!(!lane.wants_states(), "nobody has them");
    assert_eq!(lane.take_received(), Some(states(FIRST - 1)));
    assert!(lane.wants_states());
    lane.keep_states(states(FIRST - 1));
    assert_eq!(writes(&mut lane), 1);
    assert!(lane.lacks_states(), "they are not on disk");
    lane.job_done(Done::StatesWritten { info: info_of(2), states: states(FIRST - 1) });
    assert!(!lane.lacks_states() && !lane.wants_states());

    // From then on it makes its own.
    needs(&mut lane);
    let _ = flush(&mut lane);
    lane.keep_states(states(FIRST));
    assert_eq!(writes(&mut lane), 1);
}
