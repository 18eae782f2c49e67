//! One member of the cluster: all its groups on one log, put together from what its directory holds.
//!
//! Inputs and effects are those of `ordered::Group`; this routes them. What the caller owes besides: each group that
//! `take_dirty` names is flushed, and its effects are carried out before the next is, since some name no group.
//!
//! Left out: threads, sockets and clocks. The runtime drives a member over files and real time, the simulator over a
//! disk and a time of its own making.

pub mod batch;
pub mod open;

use crate::causal::actor::Clock;
use crate::causal::{is_origin, Lane, OriginView, FIRST_ORIGIN};
use crate::event::Submission;
use crate::ids::{EventId, GroupId, Index, MemberId, RequestId};
use crate::machine::window::Place;
use crate::member::batch::Finished;
use crate::ordered::effects::Effects;
use crate::ordered::receive::Refused;
use crate::ordered::store::EntryReader;
use crate::ordered::{Group, GroupError};
use crate::peer::frame::Frame;
use crate::peer::round_trips::BulkLine;
use crate::plants::{self, CorePlant};
use crate::snapshot::keeper::Done;
use crate::snapshot::states::States;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The group that decides on membership.
pub const FIRST_GROUP: GroupId = GroupId(0);

/// Ticks after which the removal of a mark is asked for again.
const UNMARK_TICKS: u64 = 200;
/// Ticks between two looks at who lacks what others hold of the causal lane.
const FETCHING_TICKS: u64 = 10;

pub struct Member<R: EntryReader> {
    groups: BTreeMap<GroupId, Group<R>>,
    lane: Lane<R>,
    dirty: BTreeSet<GroupId>,
    /// What readers of a group have to learn with its next flush.
    moved: BTreeMap<GroupId, Moved>,
    /// States of the causal lane as the directory held them, for whoever makes them.
    states: Option<Arc<States>>,
    ticks: u64,
    /// When the log's mark of being unsettled may be asked away.
    unmark_at: u64,
}

/// Effects that say nothing of whose they are, and came before their group was flushed.
#[derive(Default)]
struct Moved {
    journal_first: Option<Index>,
    applied: bool,
}

impl<R: EntryReader> Member<R> {
    pub fn new(groups: impl IntoIterator<Item = (GroupId, Group<R>)>, lane: Lane<R>, states: Option<Arc<States>>) -> Self {
        let groups: BTreeMap<_, _> = groups.into_iter().collect();
        let dirty = groups.keys().copied().chain([FIRST_ORIGIN]).collect();
        Self { groups, lane, dirty, moved: BTreeMap::new(), states, ticks: 0, unmark_at: 0 }
    }

    pub fn group(&self, id: GroupId) -> Option<&Group<R>> {
        self.groups.get(&id)
    }

    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Group<R>)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    pub fn lane(&self) -> &Lane<R> {
        &self.lane
    }

    /// The causal lane, to give it an input; `FIRST_ORIGIN` is to be flushed then.
    pub fn touch_lane(&mut self) -> &mut Lane<R> {
        self.dirty.insert(FIRST_ORIGIN);
        &mut self.lane
    }

    /// What readers of the causal lane have to learn after its flush: its origins, and what of them was delivered, each
    /// where it has changed.
    pub fn take_lane_news(&mut self) -> (Option<Vec<OriginView>>, Option<Clock>) {
        (self.lane.take_origins(), self.lane.take_delivered().cloned())
    }

    /// What nobody has any more of what readers have waited for, when that has changed.
    pub fn take_lane_gone(&mut self) -> Option<Clock> {
        self.lane.take_gone().cloned()
    }

    /// States of the causal lane to be taken in, each once: what the directory held, and what came of another member.
    pub fn take_states(&mut self) -> Option<Arc<States>> {
        self.states.take().or_else(|| self.lane.take_received())
    }

    /// A group to give an input to; it is to be flushed then.
    pub fn touch(&mut self, id: GroupId) -> Option<&mut Group<R>> {
        let group = self.groups.get_mut(&id)?;
        self.dirty.insert(id);
        Some(group)
    }

    /// Flushes a group; the effects are to be carried out as its own.
    pub fn flush(&mut self, id: GroupId, now_us: u64, effects: &mut Effects) -> Result<(), GroupError> {
        if id == FIRST_ORIGIN {
            // Whatever a request may wait for ends in this: entries, what others tell, the table.
            self.lane.flush(now_us, effects);
            self.release_held();
            return Ok(());
        }
        if let Some(moved) = self.moved.remove(&id) {
            effects.journal_first = moved.journal_first.or(effects.journal_first);
            effects.applied |= moved.applied;
        }
        if self.groups.get(&id).is_some_and(Group::unmarks) && !self.is_settled() {
            // Another one has lost something since that was asked.
            self.groups.get_mut(&id).into_iter().for_each(Group::keep_mark);
        }
        let flushed = self.groups.get_mut(&id).map_or(Ok(()), |group| group.flush(now_us, effects));
        if let (FIRST_GROUP, Some(first)) = (id, self.groups.get(&FIRST_GROUP)) {
            // Whoever hears that rules are set writes by them.
            self.lane.set_rules(first.machine().replication());
        }
        if !effects.follows.is_empty() {
            // Readers are about to wait for it.
            self.touch_lane().want(effects.follows.drain(..));
        }
        flushed
    }

    /// Lets the groups hand in what need not be held for what it follows any more.
    fn release_held(&mut self) {
        if !self.groups.values().any(Group::holds_any) {
            return;
        }
        let arrived = self.lane.take_arrived();
        for (id, group) in self.groups.iter_mut().filter(|(_, group)| group.holds_any()) {
            if group.release_held(&arrived, &mut self.lane) {
                self.dirty.insert(*id);
            }
        }
        self.touch_lane_to_send();
    }

    fn touch_lane_to_send(&mut self) {
        if self.lane.has_frames() {
            self.dirty.insert(FIRST_ORIGIN);
        }
    }

    /// The last write of a group before a close (see `Group::write_commit`).
    pub fn write_commit(&mut self, id: GroupId, effects: &mut Effects) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.write_commit(effects);
        }
    }

    /// An input of one group has changed its journal: other groups may be flushed before it.
    fn keep(&mut self, id: GroupId, effects: &mut Effects) {
        if plants::is(CorePlant::JournalsMixedUp) {
            return;
        }
        let (journal_first, applied) = (effects.journal_first.take(), std::mem::take(&mut effects.applied));
        if journal_first.is_some() || applied {
            let moved = self.moved.entry(id).or_default();
            // The later word counts: a gap that is filled moves the beginning back.
            moved.journal_first = journal_first.or(moved.journal_first);
            moved.applied |= applied;
        }
    }

    fn touch_all(&mut self) -> impl Iterator<Item = &mut Group<R>> {
        self.dirty.extend(self.groups.keys());
        self.groups.values_mut()
    }

    /// The groups that inputs came for since the last call.
    pub fn take_dirty(&mut self) -> BTreeSet<GroupId> {
        std::mem::take(&mut self.dirty)
    }

    pub fn tick(&mut self) {
        let mut groups = self.groups.iter_mut();
        if let Some((_, first)) = groups.next().filter(|(id, _)| **id == FIRST_GROUP) {
            for (_, group) in groups {
                group.set_goal(first.machine().membership());
                // What it was removed by it may never learn: it leads the others to nowhere.
                if first.is_removed() && group.leads() {
                    group.hand_over();
                }
            }
        }
        let unsettled: BTreeSet<MemberId> = self.groups.values().flat_map(Group::unsettled_members).collect();
        self.touch_all().for_each(|group| {
            group.set_unsettled(&unsettled);
            group.tick();
        });
        if let Some(first) = self.groups.get(&FIRST_GROUP) {
            self.lane.set_table(first.machine().membership());
            self.lane.set_rules(first.machine().replication());
        }
        self.touch_lane().tick();
        self.ticks += 1;
        if let Some(first) = self.groups.get_mut(&FIRST_GROUP) {
            if !first.leads() {
                first.set_fetching(None);
            } else if !first.knows_fetching() || self.ticks % FETCHING_TICKS == 0 {
                first.set_fetching(Some(self.lane.fetching()));
            }
        }
        // All of them are asked: each remembers since when.
        let settled = self.groups.values_mut().map(Group::is_settled_on_disk).fold(true, |all, one| all & one);
        let marked = settled && self.lane.is_settled_on_disk() && self.groups.values().any(Group::is_marked);
        if marked && self.ticks >= self.unmark_at {
            // Asked again only if it could not be removed.
            self.unmark_at = self.ticks + UNMARK_TICKS;
            // The last to be flushed: what the others owe the log goes before it.
            if let Some(last) = self.groups.values_mut().next_back() {
                last.unmark();
            }
        }
    }

    /// Takes a submission for the group it names; false where there is no such group.
    pub fn submit(&mut self, submission: Submission, applied_quorum: u32, now_us: u64) -> bool {
        let named = if plants::is(CorePlant::SubmissionsMixedUp) { FIRST_GROUP } else { submission.group() };
        let id = submission.request();
        let Some(group) = self.groups.get_mut(&named) else { return false };
        self.dirty.insert(named);
        group.submit(submission, applied_quorum, now_us);
        group.look_at_held(id, &mut self.lane);
        self.touch_lane_to_send();
        true
    }

    /// Takes events for the causal lane.
    pub fn publish(&mut self, submission: Submission, now_us: u64) {
        self.touch_lane().submit(submission, now_us);
    }

    pub fn withdraw(&mut self, id: GroupId, request: RequestId) -> bool {
        if id == FIRST_ORIGIN {
            return self.touch_lane().withdraw(request);
        }
        self.touch(id).is_some_and(|group| group.withdraw(request))
    }

    pub fn find(&self, id: GroupId, event: EventId) -> Option<&Place> {
        self.group(id)?.find(event)
    }

    pub fn receive(&mut self, from: MemberId, frame: Frame, now_us: u64, effects: &mut Effects) -> Result<(), Refused> {
        let id = frame.group;
        if id == FIRST_ORIGIN {
            return Ok(self.touch_lane().receive(from, &frame)?);
        }
        let group = self.touch(id).ok_or(Refused::UnknownGroup { from, group: id })?;
        let known = group.was_put_back().is_some();
        let received = group.receive(from, frame, now_us, effects);
        if !known && group.was_put_back().is_some() {
            self.touch_all().for_each(|group| group.put_back_elsewhere(from));
        }
        if plants::is(CorePlant::MarkGoesEarly) && self.groups.values().all(|group| group.is_settled() && group.is_marked()) {
            self.touch_all().take(1).for_each(Group::unmark);
        }
        received
    }

    pub fn link_up(&mut self, member: MemberId) {
        self.touch_all().for_each(|group| group.link_up(member));
        self.touch_lane().link_up(member);
    }

    pub fn link_down(&mut self, member: MemberId) {
        self.touch_all().for_each(|group| group.link_down(member));
        self.touch_lane().link_down(member);
    }

    /// How long it takes to the members and back, in ticks; `bulk`: of the lines that the causal lane goes by.
    pub fn measured(&mut self, round_trips: &BTreeMap<MemberId, usize>, bulk: &BTreeMap<MemberId, BulkLine>) {
        self.groups.values_mut().for_each(|group| group.measured(round_trips));
        self.lane.measured(bulk);
    }

    /// The last of the connections to a member has ended.
    pub fn deserted_by(&mut self, member: MemberId) {
        self.touch_all().for_each(|group| group.deserted_by(member));
    }

    /// Frames to a member were dropped, on a connection that stays.
    pub fn overflowed(&mut self, member: MemberId) {
        self.touch_all().for_each(|group| group.overflowed(member));
        self.touch_lane().overflowed(member);
    }

    /// A batch is on disk.
    pub fn finished(&mut self, finished: &Finished, effects: &mut Effects) {
        for (id, number) in &finished.persisted {
            if *id == FIRST_ORIGIN {
                self.touch_lane().persisted(*number);
            }
            if let Some(group) = self.touch(*id) {
                group.persisted(*number);
            }
        }
        for (id, index) in &finished.marks {
            if let Some(group) = self.touch(*id) {
                group.marked(*index, effects);
            }
        }
        if finished.settled {
            self.touch_all().for_each(Group::unmarked);
            self.unmark_at = 0;
        }
        for id in &finished.repaired {
            if let Some(group) = self.touch(*id) {
                group.repaired(effects);
                self.keep(*id, effects);
            }
        }
    }

    pub fn job_done(&mut self, done: Done, effects: &mut Effects) -> Result<(), GroupError> {
        let Some(id) = done.group() else { return Ok(()) };
        if id == FIRST_ORIGIN {
            self.touch_lane().job_done(done);
            return Ok(());
        }
        let Some(group) = self.touch(id) else { return Ok(()) };
        let done = group.job_done(done, effects);
        self.keep(id, effects);
        done
    }

    /// A reader has met damage.
    pub fn unreadable(&mut self, id: GroupId, index: Index) {
        if is_origin(id) {
            self.touch_lane().unreadable(id, index);
        } else if let Some(group) = self.touch(id) {
            group.unreadable(index);
        }
    }

    /// Hands leadership of every group that this member leads to others; false where nobody can take one.
    pub fn hand_over(&mut self) -> bool {
        // All of them are asked, whatever one answers.
        let stuck = self.touch_all().filter(|group| group.leads()).filter_map(|group| (!group.hand_over()).then_some(()));
        stuck.count() == 0
    }

    pub fn leads_any(&self) -> bool {
        self.groups.values().any(Group::leads)
    }

    /// No group waits for others to settle a torn batch.
    pub fn is_settled(&self) -> bool {
        self.groups.values().all(Group::is_settled)
    }

    /// Bytes of requests waiting here for their ends, over all groups.
    pub fn pending_bytes(&self) -> usize {
        self.groups.values().map(Group::pending_bytes).sum::<usize>() + self.lane.pending_bytes()
    }

    /// Highest hybrid clock that any group has seen, or the causal lane.
    pub fn hlc(&self) -> u64 {
        self.groups.values().map(|group| group.machine().hlc()).fold(self.lane.hlc(), u64::max)
    }
}
