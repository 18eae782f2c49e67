//! From what recovery found to a lane.

use super::followed::Followed;
use super::actor::{Actor, Clock};
use super::head::Head;
use super::ids::Ids;
use super::intake::Intake;
use super::origin::Origin;
use super::states::Kept;
use super::tally::Tally;
use super::{is_origin, Lane, LaneConfig, Writing, FIRST_ORIGIN};
use crate::clock::Ranges;
use crate::ids::{GroupId, Index, MemberId, Term};
use crate::log::{GroupRecovery, HardState, Op, Recovery};
use crate::membership::Membership;
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};
use std::collections::{BTreeMap, VecDeque};

/// What the log says of a number that stands for no origin: those of this member before it are given up.
const GIVEN_UP: HardState = HardState { term: Term(1), vote: MemberId(0), commit: Index(0) };

impl<R: EntryReader> Lane<R> {
    /// A lane over the origins that the log has.
    pub fn open(config: LaneConfig, recovery: &Recovery, reader: R) -> Self {
        let ids = Ids::new(config.window_events, config.life);
        let states = config.has_states.then(Kept::default);
        let followed = Followed::new(config.life);
        let mut lane = Self {
            config,
            reader,
            recent: Default::default(),
            table: Membership::default(),
            origins: Vec::new(),
            by_actor: BTreeMap::new(),
            next_group: FIRST_ORIGIN.0,
            me: None,
            continuity: Default::default(),
            given_up: None,
            giving_up: None,
            renewals: 0,
            intake: Intake::default(),
            ids,
            covered: None,
            unsent: VecDeque::new(),
            pushed_at: u64::MAX,
            peers: BTreeMap::new(),
            lines: BTreeMap::new(),
            held_before: Clock::default(),
            held_lately: Clock::default(),
            ops: Vec::new(),
            writing: Writing::new(1),
            urgent: false,
            wrote_at: 0,
            writes: VecDeque::new(),
            writing_bytes: 0,
            states,
            jobs: Vec::new(),
            bases: Vec::new(),
            delivered: Default::default(),
            delivered_moved: true,
            moved_at: 0,
            followed,
            selective: Default::default(),
            arrived: Clock::default(),
            replicated: Clock::default(),
            replicated_in: Default::default(),
            origins_moved: true,
            hlc: 0,
            ticks: 0,
            frames: Vec::new(),
        };
        for (group, found) in recovery.groups.iter().filter(|(group, _)| is_origin(**group)) {
            lane.next_group = group.0 + 1;
            let lost = recovery.damaged.iter().filter(|range| range.group == *group);
            let lost = lost.fold(Ranges::default(), |mut all, range| {
                all.insert(range.first.0, range.last.0);
                all
            });
            lane.recover(*group, found, lost);
        }
        if lane.config.unsettled {
            lane.give_up();
        }
        lane.note_bases();
        if recovery.lost_batches > 0 || !recovery.damaged.is_empty() {
            // What says so may be lost where stubs behind it are not.
            lane.note_possible();
        }
        lane.begin_looking();
        lane.begin_scan();
        lane
    }

    /// Notes on disk that no own actor goes on that has a number so far: whatever is learnt of them later, nobody can tell
    /// then any more that some of what they have written may be forgotten here.
    pub(super) fn give_up(&mut self) {
        let is_noted = self.given_up.is_some_and(|group| group.0 + 1 == self.next_group);
        if is_noted || plants::is(CorePlant::NothingNoted) {
            return;
        }
        let group = GroupId(self.next_group);
        self.next_group += 1;
        (self.given_up, self.giving_up) = (Some(group), Some(self.writing.number));
        self.ops.push(Op::HardState { group, state: GIVEN_UP });
        self.urgent = true;
    }

    fn recover(&mut self, group: GroupId, found: &GroupRecovery, mut lost: Ranges) {
        let (first, last) = (found.first_index.0, found.last_index.0);
        if found.hard_state == GIVEN_UP {
            self.given_up = Some(group);
        }
        self.note_marker(&found.hard_state);
        // Whose it is every entry says: the last one that can be read.
        let mut at = last;
        let mut named: Option<(Actor, u64)> = None;
        while at >= first && named.is_none() {
            let read = self.reader.entries(group, Index(at), Index(at + 1), u64::MAX).ok();
            let entry = read.as_ref().and_then(|entries| entries.first());
            match entry.and_then(|entry| Some((entry, Head::decode(&entry.context).ok()?))) {
                Some((entry, head)) => {
                    let hlc = crate::entry::unpack_causal(&entry.data).ok();
                    let hlc = hlc.and_then(|submissions| submissions.iter().map(super::intake::last_hlc).max());
                    named = Some((head.actor, hlc.unwrap_or(0)));
                }
                None => {
                    lost.insert(at, at);
                    at -= 1;
                }
            }
        }
        if named.is_none() && last >= first {
            // Nothing says whose it is: it goes, and what it had comes from the others, under another number. It may be this
            // member's own, and nobody else may have had it: its names are not given again.
            self.config.unsettled = true;
            self.ops.push(Op::Truncate { group, from: Index(first) });
        }
        let Some((actor, hlc)) = named.filter(|(actor, _)| !self.by_actor.contains_key(actor)) else { return };
        self.hlc = self.hlc.max(hlc);
        let mut origin = Origin::new(actor, group);
        (origin.first, origin.last, origin.written, origin.known, origin.lost) = (first, last, last, last, lost);
        origin.tally = Tally::new(last);
        self.add_origin(origin);
    }
}
