//! What clients and operators ask of a member, and what is remembered of it.

use super::World;
use crate::clients::draft::Draft;
use crate::clients::operator;
use crate::describe;
use crate::history::{Asked, Request, State};
use crate::invariants;
use crate::invariants::origins_converge;
use crate::lane::Past;
use crate::plants::Plant;
use crate::record::Happening;
use vexfs_core::event::{self, Submission, SubmissionKind};
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::ids::{GroupId, Index, RequestId};
use vexfs_core::member::FIRST_GROUP;
use vexfs_core::membership::MemberCommand;
use vexfs_core::ordered::effects::{Completion, End};
use vexfs_core::replication::Rules;

impl World {
    /// Hands in a member command.
    pub fn command(&mut self, node: usize, command: &MemberCommand) -> Option<RequestId> {
        let member = &mut self.members[node];
        if !member.runs() {
            return None;
        }
        let request = member.next_request();
        let mut bytes = event::member_submission(&member.name, &command.encode());
        event::stamp(&mut bytes, member.id, request, 0);
        let submission = Submission::parse(bytes.into()).ok()?;
        member.submit(submission, 1, self.now_us);
        self.remember(node, FIRST_GROUP, request, operator::asked(command), 1);
        self.plan_flush(node);
        Some(request)
    }

    /// Hands in rules of replication.
    pub fn set_rules(&mut self, node: usize, rules: &Rules) -> Option<RequestId> {
        let member = &mut self.members[node];
        if !member.runs() {
            return None;
        }
        let (request, mut table) = (member.next_request(), Vec::new());
        rules.encode(&mut table);
        let mut bytes = event::rules_submission(&member.name, &table);
        event::stamp(&mut bytes, member.id, request, 0);
        let submission = Submission::parse(bytes.into()).ok()?;
        member.submit(submission, 1, self.now_us);
        self.remember(node, FIRST_GROUP, request, Asked::Members { what: format!("{} rules of replication", rules.list.len()) }, 1);
        self.plan_flush(node);
        Some(request)
    }

    pub fn transfer(&mut self, node: usize, group: GroupId, to: usize) {
        let to = self.members[to].id;
        if let Some(group) = self.members[node].awake().and_then(|running| running.groups.touch(group)) {
            group.transfer(to);
        }
        self.plan_flush(node);
    }

    /// Takes a publish, a fence or a consumer's step. `None`: the member is down, or has too much waiting already.
    pub fn submit(&mut self, node: usize, draft: &Draft, applied_quorum: u32) -> Option<RequestId> {
        let plant = self.setup.plant;
        let member = &mut self.members[node];
        if !member.runs() {
            return None;
        }
        let groups = &member.running.as_ref()?.groups;
        let sized = draft.stamped(&member.name, RequestId(0), 0)?;
        let waiting = groups.pending_bytes();
        let full = waiting > 0 && waiting + sized.bytes().len() > self.setup.pending_bytes_max;
        if full && plant != Some(Plant::BackpressureIgnored) {
            return None;
        }
        let absent = draft.kind == SubmissionKind::Fence && groups.find(draft.group, draft.events[0]).is_none();
        let request = member.next_request();
        if absent && plant == Some(Plant::EarlyAbsent) {
            self.history.of_mut(draft.group).fenced_off.insert(draft.events[0]);
            return Some(request);
        }
        let hlc = member.stamp(draft.events.len() as u32, self.now_us, plant);
        invariants::clocks_follow::check(self, node, hlc);
        let member = &mut self.members[node];
        let submission = draft.stamped(&member.name, request, hlc)?;
        let told = if plant == Some(Plant::StrongIsAlone) { 1 } else { applied_quorum };
        member.submit(submission, told, self.now_us);
        self.submitted(node, draft, request, applied_quorum);
        Some(request)
    }

    /// Takes a publish for the causal lane; `None` as `submit`.
    pub fn publish(&mut self, node: usize, draft: &Draft) -> Option<RequestId> {
        let member = &mut self.members[node];
        if !member.runs() {
            return None;
        }
        let sized = draft.stamped(&member.name, RequestId(0), 0)?;
        if !self.has_room(node, sized.bytes().len()) {
            return None;
        }
        let member = &mut self.members[node];
        let request = member.next_request();
        let hlc = member.stamp(draft.events.len() as u32, self.now_us, self.setup.plant);
        invariants::clocks_follow::check(self, node, hlc);
        invariants::clocks_follow::check_lane(self, node, hlc);
        let member = &mut self.members[node];
        let submission = draft.stamped(&member.name, request, hlc)?;
        member.publish(submission, self.now_us);
        let seen = member.running.as_ref().map(|running| running.lane.vector.clone()).unwrap_or_default();
        self.remember(node, FIRST_ORIGIN, request, Asked::Kept { events: draft.events.clone(), level: draft.level, seen }, 1);
        self.plan_flush(node);
        Some(request)
    }

    /// Whether so many bytes more may wait at a member for their ends.
    pub fn has_room(&self, node: usize, bytes: usize) -> bool {
        let running = self.members[node].running.as_ref();
        running.is_some_and(|running| matches!(running.groups.pending_bytes(), waiting if waiting == 0 || waiting + bytes <= self.setup.pending_bytes_max))
    }

    /// Takes a submission as a client of another process packs it, under a number of its own; false for what cannot be read.
    pub fn submit_packed(&mut self, node: usize, request: RequestId, mut bytes: Vec<u8>, applied_quorum: u32) -> bool {
        let member = &mut self.members[node];
        let Ok(draft) = Submission::parse(bytes.clone().into()).map(|submission| Draft::of(&submission)) else { return false };
        let hlc = member.stamp(draft.events.len() as u32, self.now_us, self.setup.plant);
        event::stamp(&mut bytes, member.id, request, hlc);
        let Ok(submission) = Submission::parse(bytes.into()) else { return false };
        member.submit(submission, applied_quorum, self.now_us);
        self.submitted(node, &draft, request, applied_quorum);
        true
    }

    fn submitted(&mut self, node: usize, draft: &Draft, request: RequestId, applied_quorum: u32) {
        let plant = self.setup.plant;
        let asked = match draft.kind {
            SubmissionKind::Fence => Asked::Fence { id: draft.events[0] },
            _ => {
                let (session, first_sequence) = (draft.session, draft.first_sequence);
                let mut events = draft.events.clone();
                if plant == Some(Plant::SwappedSequences) {
                    events.reverse();
                }
                for (sequence, id) in (first_sequence..).zip(&events).filter(|_| !session.is_none()) {
                    self.history.of_mut(draft.group).by_sequence.insert((session, sequence), *id);
                }
                self.history.published_in.extend(draft.events.iter().map(|id| (*id, draft.group)));
                Asked::Events { events: draft.events.clone(), session, first_sequence }
            }
        };
        self.remember(node, draft.group, request, asked, applied_quorum);
        if !draft.follows.is_empty() {
            let known = self.history.requests.get_mut(&(node, request));
            known.into_iter().for_each(|known| known.follows.clone_from(&draft.follows));
            for id in &draft.events {
                self.history.follows.entry(*id).or_insert_with(|| draft.follows.clone());
            }
        }
        self.plan_flush(node);
    }

    /// Takes back what waits for something that nobody has any more, as clients do whose time is up.
    pub fn withdraw_what_waits_in_vain(&mut self) {
        let waits = self.history.requests.iter().filter(|(_, request)| request.state == State::Open && !request.unattended);
        let waiting: Vec<_> = waits.flat_map(|(at, request)| self.waited_for(request).into_iter().map(|past| (*at, past))).collect();
        for ((node, request), past) in waiting {
            if !origins_converge::can_be_delivered(self, &past) {
                self.withdraw(node, request);
            }
        }
    }

    /// What has to be delivered before a request ends: what its events follow; and, of events that were published in the
    /// causal lane before, where they stand.
    fn waited_for(&self, request: &Request) -> Vec<Past> {
        match &request.asked {
            Asked::Kept { events, .. } => {
                let again = events.iter().filter(|id| self.history.lane.retried.contains(id));
                again.flat_map(|id| self.history.lane.places(*id)).map(|dot| Past::from([(dot.actor, dot.counter)])).collect()
            }
            _ if request.follows.is_empty() => Vec::new(),
            _ => vec![request.follows.clone()],
        }
    }

    pub fn barrier(&mut self, node: usize, group: GroupId) -> Option<RequestId> {
        if !self.members[node].runs() {
            return None;
        }
        let request = self.members[node].next_request();
        self.barrier_as(node, group, request)
    }

    /// As `barrier`, under a number that its client has given it.
    pub fn barrier_as(&mut self, node: usize, group: GroupId, request: RequestId) -> Option<RequestId> {
        self.remember(node, group, request, Asked::Barrier, 1);
        let now_us = self.now_us;
        let running = self.members[node].running.as_mut()?;
        let asked = running.groups.touch(group)?;
        if self.setup.plant == Some(Plant::BarrierWithoutReadIndex) {
            let end = End::Barrier { applied: asked.machine().applied() };
            running.effects.completions.push(Completion { group, request, end, latency_us: 0 });
        } else {
            asked.barrier(request, now_us);
        }
        self.plan_flush(node);
        Some(request)
    }

    /// Gives a request up; whether no leader has seen it and none will.
    pub fn withdraw(&mut self, node: usize, request: RequestId) -> Option<bool> {
        let known = self.history.requests.get_mut(&(node, request))?;
        let running = self.members[node].awake()?;
        let clean = running.groups.withdraw(known.group, request) || self.setup.plant == Some(Plant::WithdrawsAll);
        known.unattended = true;
        known.withdrawn |= clean;
        if let (Asked::Events { events, .. }, true) = (&known.asked, clean) {
            let (group, events) = (known.group, events.clone());
            self.history.of_mut(group).withdrawn.extend(events);
        } else if let (Asked::Kept { events, .. }, true) = (&known.asked, clean) {
            self.history.lane.withdrawn.extend(events.iter().copied());
        }
        self.plan_flush(node);
        Some(clean)
    }

    fn remember(&mut self, node: usize, group: GroupId, request: RequestId, asked: Asked, applied_quorum: u32) {
        self.say_with(|_| Happening::Asked { node, group, request, what: describe::asked(&asked) });
        let after = if group == FIRST_ORIGIN { Index(0) } else { self.history.of(group).highest_answered };
        let state = State::Open;
        let known = Request { node, group, asked, applied_quorum, state, follows: Past::new(), withdrawn: false, unattended: false, after };
        self.history.requests.insert((node, request), known);
    }
}
