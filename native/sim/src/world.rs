//! The members, the network between them and what was seen of both; what can be asked of them and done to them.

use crate::clients::draft::Draft;
use crate::describe;
use crate::faults::counts::Counts;
use crate::history::{Asked, History, Request, State};
use crate::invariants::{self, consumers, one_change_at_a_time};
use crate::clients::operator;
use crate::member::{self, Member, Stage, GROUP, TICK_US};
use crate::network::{Network, Sent};
use crate::plants::{self, Plant};
use crate::queue::{Event, Events, Lane};
use crate::random::Random;
use crate::record::{Happening, Recorder};
use crate::setup::Setup;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::event::{self, Submission, SubmissionKind};
use vexfs_core::ids::{Index, RequestId};
use vexfs_core::log::{LogError, Op};
use vexfs_core::membership::MemberCommand;
use vexfs_core::ordered::effects::{Completion, End, Write};
use vexfs_core::ordered::receive::Refused;
use vexfs_core::ordered::GroupError;
use vexfs_core::peer::frame::FrameKind;

/// Microseconds after which a dialler tries again.
const REDIAL_US: (u64, u64) = (2_000, 30_000);
/// Microseconds between two attempts to write to a full disk.
const FULL_RETRY_US: u64 = 100_000;

pub struct World {
    pub now_us: u64,
    pub setup: Setup,
    pub random: Random,
    pub members: Vec<Member>,
    pub network: Network,
    pub events: Events,
    pub history: History,
    pub consumers: BTreeMap<String, consumers::Name>,
    /// Completions that clients have not learned of.
    pub ended: Vec<(usize, Completion)>,
    pub recorder: Recorder,
    pub counts: Counts,
    /// Abstract states that were seen (see `coverage`).
    pub states: BTreeSet<u64>,
}

impl World {
    pub fn new(setup: Setup, recorder: Recorder) -> Self {
        let name = |at: usize| ((b'a' + at as u8) as char).to_string();
        let mut members: Vec<Member> = (0..setup.members).map(|at| Member::new(name(at), setup.plant)).collect();
        for member in &mut members[setup.founders..] {
            (member.stage, member.joins) = (Stage::Waiting, true);
        }
        let mut world = Self {
            now_us: 0,
            random: Random::stream(setup.seed, "world", 0),
            network: Network::new(setup.seed, setup.members, setup.delay_us),
            members,
            events: Events::default(),
            history: History::default(),
            consumers: BTreeMap::new(),
            ended: Vec::new(),
            recorder,
            counts: Counts::default(),
            states: BTreeSet::new(),
            setup,
        };
        for from in 0..world.members.len() as u8 {
            for to in (0..world.members.len() as u8).filter(|to| *to != from) {
                world.events.at(1_000, Event::Dial { from, to });
            }
        }
        for node in 0..world.members.len() {
            world.start(node, None);
        }
        world
    }

    /// Starts a member, unless it runs. `crash_after`: the power goes again after so many steps of the disk.
    pub fn start(&mut self, node: usize, crash_after: Option<u64>) {
        let founders = self.members[..self.setup.founders].iter().map(|member| member.name.clone()).collect::<Vec<_>>();
        let member = &mut self.members[node];
        if member.running.is_some() || member.stage != Stage::In {
            return;
        }
        member.life += 1;
        member.restarts_at_us = None;
        if let Some(steps) = crash_after {
            member.disk.crash_after(steps);
        }
        let started = member.start(node, &founders, &self.setup);
        member.disk.crash_never();
        self.history.starts += 1;
        match started {
            Ok(wrong) => {
                let life = self.members[node].life;
                self.say(Happening::Start { node });
                invariants::recovery_is_faithful::check(self, node, wrong);
                let first_us = self.now_us + self.random.between(1, TICK_US);
                self.events.at(first_us, Event::Tick { node: node as u8, life });
                self.plan_flush(node);
            }
            Err(error) => {
                self.say(Happening::Refused { node, reason: error.to_string() });
                let member = &mut self.members[node];
                if crash_after.is_some() {
                    member.disk.lose_power(&mut self.random);
                } else {
                    member.disk.end_process();
                    invariants::recovery_is_faithful::check_refusal(self, node, &error);
                }
                self.plan_start(node, 200_000);
            }
        }
    }

    /// A member was added: its process is started.
    pub fn admit(&mut self, node: usize) {
        self.members[node].stage = Stage::In;
        self.plan_start(node, 1_000);
    }

    /// A member that knows of its removal ends, and is not started again.
    pub fn dismiss(&mut self, node: usize) {
        self.members[node].stage = Stage::Gone;
        Member::end(&mut self.members[node], 0, None);
        self.ended(node);
    }

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
        self.remember(node, request, operator::asked(command), 1);
        self.plan_flush(node);
        Some(request)
    }

    pub fn transfer(&mut self, node: usize, to: usize) {
        let to = self.members[to].id;
        if let Some(running) = self.members[node].running.as_mut().filter(|running| !running.paused) {
            running.group.transfer(to);
            running.dirty = true;
        }
        self.plan_flush(node);
    }

    pub fn plan_start(&mut self, node: usize, in_us: u64) {
        let at_us = self.now_us + in_us;
        self.members[node].restarts_at_us = Some(at_us);
        self.events.at(at_us, Event::Start { node: node as u8 });
    }

    /// What a member's end means to others: its requests are lost, every connection of it resets.
    pub fn ended(&mut self, node: usize) {
        self.say(Happening::Down { node });
        for ((_, _), request) in self.history.requests.range_mut((node, RequestId(0))..=(node, RequestId(u64::MAX))) {
            if request.state == State::Open {
                request.state = State::Lost;
            }
        }
        self.ended.retain(|(of, _)| *of != node);
        for other in (0..self.members.len()).filter(|other| *other != node) {
            self.reset_link(node, other, self.now_us + 1_000);
            self.reset_link(other, node, self.now_us + 1_000);
        }
    }

    /// Whether one more member may lose what it acknowledged. The promises hold while, at any time, less than half of
    /// the members (a minority: `2 * lost < members`) have lost a write and are not whole again. Whole again is a disk
    /// that holds every committed entry, and whose term, and last entry as raft compares logs, are not behind what was
    /// lost: then the lost entries are back, or others have taken their places by an election that did not need them.
    pub fn may_lose(&mut self, node: usize) -> bool {
        for member in &mut self.members {
            let committed = &self.history.committed;
            // What damage has taken shows at the next start.
            let seen = !member.struck && member.shadow.holes.is_empty();
            // What it may have forgotten is for the others to settle; until then it is of no use to them.
            let settled = member.group().is_some_and(|group| group.is_settled() && !group.is_repairing());
            let whole = seen && settled && member.lost.is_some_and(|lost| {
                let (term, last_term, last) = member.shadow.reach();
                let holds = |(index, term): (u64, &_)| member.shadow.holds(Index(index), *term);
                term >= lost.0 && (last_term, last) >= (lost.1, lost.2) && (1..).zip(committed).all(holds)
            });
            if whole {
                member.lost = None;
            }
        }
        let others = (0..self.members.len()).filter(|at| *at != node && self.members[*at].lost.is_some()).count();
        // During a change of members two majorities count: the budget waits until it is over.
        let conf = self.history.confs.back();
        conf.is_some_and(|(_, conf)| {
            !conf.is_joint() && conf.learners.is_empty() && 2 * (others + 1) < conf.voters.len()
        })
    }

    pub fn reset_link(&mut self, from: usize, to: usize, until_us: u64) {
        let was_up = self.network.is_up(from, to);
        self.network.reset(from, to, until_us);
        self.say(Happening::Reset { from, to });
        if was_up {
            let member = self.members[to].id;
            if let Some(running) = &mut self.members[from].running {
                running.group.link_down(member);
                running.dirty = true;
                self.plan_flush(from);
            }
            let at_us = until_us.max(self.now_us).min(self.now_us + REDIAL_US.1);
            self.events.at(at_us, Event::Dial { from: from as u8, to: to as u8 });
        }
    }

    pub fn dial(&mut self, from: usize, to: usize) {
        if self.network.is_up(from, to) {
            return;
        }
        let both = self.members[from].runs() && self.members[to].runs();
        if both && self.network.may_connect(from, to, self.now_us) {
            self.network.connect(from, to);
            let member = self.members[to].id;
            if let Some(running) = &mut self.members[from].running {
                running.group.link_up(member);
                running.dirty = true;
            }
            self.plan_flush(from);
        } else {
            let again_us = self.now_us + self.random.between(REDIAL_US.0, REDIAL_US.1);
            self.events.at(again_us, Event::Dial { from: from as u8, to: to as u8 });
        }
    }

    /// Hands a member what has arrived on a lane.
    pub fn deliver(&mut self, lane: Lane) {
        let (from, to) = (lane.from as usize, lane.to as usize);
        if !self.members[to].runs() {
            return self.network.unattended(lane);
        }
        let (frames, next_us) = self.network.arrived(lane, self.now_us);
        if let Some(at_us) = next_us {
            self.events.at(at_us, Event::Arrive(lane));
        }
        let sender = self.members[from].id;
        let member = &mut self.members[to];
        let lost = member.lost.is_some();
        let Some(running) = &mut member.running else { return };
        let frames = match frames {
            Ok(frames) => frames,
            Err(error) => return self.history.violate("frames_are_taken", format!("{to} from {from}: {error}")),
        };
        running.dirty |= !frames.is_empty();
        if self.recorder.is_on() && !frames.is_empty() {
            let text = describe::arrived(&frames);
            self.recorder.add(self.now_us, Happening::Arrived { from, to, channel: lane.channel, frames: frames.len(), text });
        }
        for mut frame in frames {
            if let Some(plant) = self.setup.plant {
                plant.spoil_repair(&mut frame);
            }
            if let Err(refused) = running.group.receive(sender, frame, self.now_us, &mut running.effects) {
                // Members that keep their promises never refuse each other's frames. One that has lost a write may not
                // know what it is told was acknowledged to it.
                let tells = matches!(refused, Refused::Removed(_) | Refused::NotFounded(_));
                if !lost && !tells {
                    self.history.violate("frames_are_taken", format!("{to} refuses {from}: {refused}"));
                }
            }
        }
        self.plan_flush(to);
    }

    pub fn tick(&mut self, node: usize, life: u32) {
        let member = &mut self.members[node];
        if member.life != life {
            return;
        }
        let Some(running) = &mut member.running else { return };
        if running.paused {
            return;
        }
        running.group.tick();
        running.dirty = true;
        self.events.at(self.now_us + TICK_US, Event::Tick { node: node as u8, life });
        self.flush(node);
    }

    /// Flushes at once, or a little later together with what comes until then.
    pub fn plan_flush(&mut self, node: usize) {
        let Some(running) = &mut self.members[node].running else { return };
        if running.flush_planned {
            return;
        }
        let wait_us = if self.setup.busy_us == 0 { 0 } else { self.random.between(0, self.setup.busy_us) };
        running.flush_planned = true;
        let life = self.members[node].life;
        self.events.at(self.now_us + wait_us, Event::Flush { node: node as u8, life });
    }

    /// Takes a publish, a fence or a consumer's step. `None`: the member is down, or has too much waiting already.
    pub fn submit(&mut self, node: usize, draft: &Draft, applied_quorum: u32) -> Option<RequestId> {
        let plant = self.setup.plant;
        let member = &mut self.members[node];
        if !member.runs() {
            return None;
        }
        let group = member.group()?;
        let sized = draft.stamped(&member.name, RequestId(0), 0)?;
        let waiting = group.pending_bytes();
        let full = waiting > 0 && waiting + sized.bytes().len() > self.setup.pending_bytes_max;
        if full && plant != Some(Plant::BackpressureIgnored) {
            return None;
        }
        let absent = draft.kind == SubmissionKind::Fence && group.find(draft.events[0]).is_none();
        let request = member.next_request();
        if absent && plant == Some(Plant::EarlyAbsent) {
            self.history.fenced_off.insert(draft.events[0]);
            return Some(request);
        }
        let hlc = member.stamp(draft.events.len() as u32, self.now_us, plant);
        invariants::clocks_follow::check(self, node, hlc);
        let member = &mut self.members[node];
        let submission = draft.stamped(&member.name, request, hlc)?;
        let told = if plant == Some(Plant::StrongIsAlone) { 1 } else { applied_quorum };
        member.submit(submission, told, self.now_us);
        let asked = match draft.kind {
            SubmissionKind::Fence => Asked::Fence { id: draft.events[0] },
            _ => {
                let (session, first_sequence) = (draft.session, draft.first_sequence);
                let mut events = draft.events.clone();
                if plant == Some(Plant::SwappedSequences) {
                    events.reverse();
                }
                for (sequence, id) in (first_sequence..).zip(&events).filter(|_| !session.is_none()) {
                    self.history.by_sequence.insert((session, sequence), *id);
                }
                Asked::Events { events: draft.events.clone(), session, first_sequence }
            }
        };
        self.remember(node, request, asked, applied_quorum);
        self.plan_flush(node);
        Some(request)
    }

    pub fn barrier(&mut self, node: usize) -> Option<RequestId> {
        if !self.members[node].runs() {
            return None;
        }
        let request = self.members[node].next_request();
        self.remember(node, request, Asked::Barrier, 1);
        let running = self.members[node].running.as_mut()?;
        if self.setup.plant == Some(Plant::BarrierWithoutReadIndex) {
            let end = End::Barrier { applied: running.group.machine().applied() };
            running.effects.completions.push(Completion { group: GROUP, request, end, latency_us: 0 });
        } else {
            running.group.barrier(request, self.now_us);
        }
        running.dirty = true;
        self.plan_flush(node);
        Some(request)
    }

    /// Gives a publish up.
    pub fn withdraw(&mut self, node: usize, request: RequestId) {
        let Some(running) = self.members[node].running.as_mut().filter(|running| !running.paused) else { return };
        running.dirty = true;
        let clean = running.group.withdraw(request) || self.setup.plant == Some(Plant::WithdrawsAll);
        if let Some(known) = self.history.requests.get_mut(&(node, request)) {
            known.unattended = true;
            known.withdrawn |= clean;
            if let (Asked::Events { events, .. }, true) = (&known.asked, clean) {
                self.history.withdrawn.extend(events.iter().copied());
            }
        }
        self.plan_flush(node);
    }

    fn remember(&mut self, node: usize, request: RequestId, asked: Asked, applied_quorum: u32) {
        self.say_with(|_| Happening::Asked { node, request, what: describe::asked(&asked) });
        let (state, after) = (State::Open, self.history.highest_answered);
        let known = Request { node, asked, applied_quorum, state, withdrawn: false, unattended: false, after };
        self.history.requests.insert((node, request), known);
    }

    /// Flushes a member if anything happened to it, and carries out its effects.
    pub fn flush(&mut self, node: usize) {
        let now_us = self.now_us;
        let Some(running) = &mut self.members[node].running else { return };
        if running.paused || !std::mem::take(&mut running.dirty) {
            return;
        }
        if let Err(error) = running.group.flush(now_us, &mut running.effects) {
            if let GroupError::Lost { index, .. } = error {
                return self.halt(node, index);
            }
            let name = &self.members[node].name;
            self.history.violate("groups_go_on", format!("{name}: {error}"));
            return;
        }
        let effects = &mut running.effects;
        let quiet = effects.frames.is_empty() && effects.writes.is_empty() && effects.jobs.is_empty();
        if quiet && effects.completions.is_empty() && !effects.applied {
            return;
        }
        running.jobs.extend(effects.jobs.drain(..));
        if effects.journal_first.take().is_some() {
            running.suppressed = running.group.machine().passed_over().clone();
            effects.suppressed.clear();
        }
        running.suppressed.add(effects.suppressed.drain(..));
        effects.applied = false;
        let (writes, frames) = (std::mem::take(&mut effects.writes), std::mem::take(&mut effects.frames));
        writes.iter().for_each(|write| one_change_at_a_time::check(&mut self.history, &running.group, write));
        let completions = std::mem::take(&mut effects.completions);
        self.take_writes(node, writes);
        self.plan_job(node);
        for (to, channel, bytes) in frames {
            let Some(to) = self.members.iter().position(|member| member.id == to) else { continue };
            if self.setup.plant == Some(Plant::ForwardsDropped) && bytes[8] == FrameKind::Forward as u8 {
                continue;
            }
            self.history.note(&[node as u64, to as u64, channel as u64, bytes.len() as u64, now_us]);
            let what = self.recorder.is_on().then(|| describe::frame(self, &bytes));
            let sent = self.network.send(node, to, channel, bytes, now_us);
            if let Some((kind, text)) = what {
                let arrives_us = if let Sent::Arrives(at_us, _) = sent { Some(at_us) } else { None };
                self.say(Happening::Frame { from: node, to, channel: channel as u8, kind, text, arrives_us });
            }
            let lane = Lane { from: node as u8, to: to as u8, channel: channel as u8 };
            match sent {
                Sent::Arrives(at_us, true) => self.events.at(at_us, Event::Arrive(lane)),
                Sent::Overflow => {
                    let member = self.members[to].id;
                    if let Some(running) = &mut self.members[node].running {
                        running.group.overflowed(member);
                        running.dirty = true;
                    }
                    self.plan_flush(node);
                }
                _ => {}
            }
        }
        invariants::after_flush(self, node);
        let removed = self.members[node].group().is_some_and(|group| group.is_removed());
        self.note_leader(node);
        for completion in completions {
            self.history.note(&[node as u64, completion.request.0, now_us]);
            self.say_with(|_| Happening::Ended { node, request: completion.request, what: describe::end(&completion) });
            invariants::on_completion(self, node, &completion);
            self.ended.push((node, completion));
        }
        if removed {
            self.dismiss(node);
        }
    }

    /// A member has lost an entry that nobody has: it ends, and whoever watches it tries again.
    fn halt(&mut self, node: usize, index: Index) {
        invariants::repair_is_faithful::check_halt(self, node, index);
        self.say(Happening::Failed { node, reason: format!("entry {index} is lost") });
        Member::end(&mut self.members[node], 0, None);
        self.ended(node);
        self.plan_start(node, 200_000);
    }

    fn plan_job(&mut self, node: usize) {
        let Some(running) = &mut self.members[node].running else { return };
        if running.jobs.is_empty() || std::mem::replace(&mut running.job_planned, true) {
            return;
        }
        let (low, high) = self.setup.sync_us;
        let life = self.members[node].life;
        let at_us = self.now_us + self.random.between(low, 4 * high);
        self.events.at(at_us, Event::Job { node: node as u8, life });
    }

    /// A job on snapshot files is done.
    pub fn job(&mut self, node: usize, life: u32) {
        let member = &mut self.members[node];
        if member.life != life {
            return;
        }
        let Some(done) = member.do_job() else { return };
        if let Some(running) = &mut member.running {
            running.dirty = true;
            if let Err(error) = running.group.job_done(done, &mut running.effects) {
                self.history.violate("groups_go_on", format!("{node}: {error}"));
            }
        }
        self.plan_flush(node);
        self.plan_job(node);
    }

    fn take_writes(&mut self, node: usize, writes: Vec<Write>) {
        for mut write in writes {
            if self.setup.plant == Some(Plant::SnapshotOverNewer) {
                drop_newer(&mut write);
            }
            if self.setup.plant == Some(Plant::RepairTruncates) {
                write.ops = plants::truncating(write.ops);
            }
            invariants::repair_is_faithful::check(self, node, &write);
            invariants::log_matching::check(self, node, &write);
            self.say_with(|world| Happening::Write { node, text: describe::write(world, &write) });
            let early = self.setup.plant == Some(Plant::AckBeforeSync);
            let Some(running) = &mut self.members[node].running else { return };
            let number = write.number;
            running.queue.push(write);
            if early && number > 0 {
                running.group.persisted(number);
                running.dirty = true;
                self.plan_flush(node);
            }
        }
        self.begin_write(node);
    }

    fn begin_write(&mut self, node: usize) {
        let (low, high) = self.setup.sync_us;
        let member = &mut self.members[node];
        let Some(batch) = member.begin_write() else { return };
        let slow = if self.now_us < member.slow_until_us { self.random.between(10_000, 120_000) } else { 0 };
        let began_us = self.now_us.max(member.stalled_until_us);
        let at_us = began_us + self.random.between(low, high) + slow;
        let life = self.members[node].life;
        self.events.at(at_us, Event::Written { node: node as u8, life, batch });
    }

    /// A batch of a member is on disk, or the disk has failed.
    pub fn written(&mut self, node: usize, life: u32, batch: u32) {
        let member = &mut self.members[node];
        if member.life != life || !member.is_writing(batch) {
            return;
        }
        if self.now_us < member.stalled_until_us {
            let at_us = member.stalled_until_us;
            return self.events.at(at_us, Event::Written { node: node as u8, life, batch });
        }
        match member.finish_write() {
            Ok(finished) => {
                if let Some(running) = &mut member.running {
                    running.dirty = true;
                    let number = finished.persisted.get(&GROUP).filter(|_| self.setup.plant != Some(Plant::AckBeforeSync));
                    if let Some(number) = number {
                        running.group.persisted(*number);
                    }
                    if let Some(index) = finished.marks.get(&GROUP) {
                        running.group.marked(*index, &mut running.effects);
                    }
                    if finished.repaired.contains(&GROUP) {
                        running.group.repaired(&mut running.effects);
                    }
                }
                invariants::recovery_is_faithful::check_blocks(self, node);
                self.begin_write(node);
                self.plan_flush(node);
            }
            Err(LogError::Full { .. }) => {
                // It waits for room, as for a disk that is stalled.
                let at_us = self.now_us + FULL_RETRY_US;
                self.events.at(at_us, Event::Written { node: node as u8, life, batch });
            }
            Err(error) => {
                // The node ends (rule L4), and is started again by whoever watches it.
                self.say(Happening::Failed { node, reason: error.to_string() });
                member::Member::end(&mut self.members[node], 0, None);
                self.ended(node);
                let in_us = self.random.between(10_000, 400_000);
                self.plan_start(node, in_us);
            }
        }
    }

    fn note_leader(&mut self, node: usize) {
        if self.recorder.is_on() {
            if let Some(status) = self.members[node].group().map(|group| group.status()) {
                let members = describe::members(self, &status.conf);
                self.recorder.status(self.now_us, node, &status, members);
            }
        }
    }

    pub fn say(&mut self, what: Happening) {
        self.say_with(|_| what);
    }

    pub fn say_with(&mut self, what: impl FnOnce(&World) -> Happening) {
        if self.recorder.is_on() {
            let (at_us, what) = (self.now_us, what(self));
            self.recorder.add(at_us, what);
        }
    }
}

/// The planted bug: where a snapshot is marked, the log ends with it.
fn drop_newer(write: &mut Write) {
    let mark = write.ops.iter().find_map(|op| match op {
        Op::Mark { mark, .. } => Some(mark.index),
        _ => None,
    });
    if let Some(index) = mark {
        write.ops.push(Op::Truncate { group: write.group, from: Index(index.0 + 1) });
    }
}
