//! The protocol thread: feeds the member its inputs and carries out its effects. It never waits for a disk, a socket
//! or JavaScript (rule R14).

use crate::queue::{Closing, Queue};
use crate::shared::{Input, Shared};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::clock::HybridClock;
use vexfs_core::ends;
use vexfs_core::event::{self, Submission};
use vexfs_core::ids::{GroupId, Index, MemberId, RequestId};
use vexfs_core::member::{Member, FIRST_GROUP};
use vexfs_core::membership::Role;
use vexfs_core::ordered::GroupError;
use vexfs_core::ordered::effects::{Effects, Write};
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::peer::frame::Channel;
use vexfs_core::peer::round_trips::{is_of_no_group, Now, RoundTrips};
use vexfs_core::replication::RulesRefused;
use vexfs_core::snapshot::keeper::{Done, Job};

/// Raft's tick.
pub const TICK: Duration = Duration::from_millis(10);
/// How often the status of the causal lane is told.
const LANE_STATUS_EVERY: Duration = Duration::from_millis(50);
/// How often every member is asked how long it takes there and back.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Inputs taken between two flushes at most.
const INPUTS_MAX: usize = 512;

/// Why the loop ended.
pub enum Ended {
    Closed,
    Failed { code: &'static str, reason: String },
}

pub struct Protocol<R: EntryReader> {
    pub member: Member<R>,
    pub shared: std::sync::Arc<Shared>,
    pub node_id: String,
    pub life: u64,
    pub writes: Closing<Write>,
    pub jobs: Closing<Job>,
    pub clock: HybridClock,
    /// Who waits for a snapshot of which group, at which index or later.
    pub snapshots_asked: Vec<(u32, GroupId, Index)>,
    /// Version of the member table that was told last.
    pub table_told: Index,
    pub lane_told: Instant,
    pub round_trips: RoundTrips,
    pub probed: Instant,
    /// Members that have said in this life that they know what stubs are.
    pub know_stubs: BTreeSet<MemberId>,
}

impl<R: EntryReader> Protocol<R> {
    pub fn run(mut self, inputs: &Queue<Input>) -> Ended {
        let mut next_tick = Instant::now() + TICK;
        let mut effects = Effects::default();
        let mut queued = Vec::new();
        loop {
            if !inputs.take(&mut queued, Some(next_tick)) {
                return self.end(Ended::Closed, &mut effects);
            }
            let mut taken = queued.drain(..).peekable();
            loop {
                for input in taken.by_ref().take(INPUTS_MAX) {
                    if let Err(ended) = self.take(input, &mut effects) {
                        return self.end(ended, &mut effects);
                    }
                }
                let now = Instant::now();
                if now >= next_tick {
                    self.member.tick();
                    self.probe(now);
                    // One tick however long the pause was: the backlog of messages decides whether the leader is alive.
                    next_tick = (next_tick + TICK).max(now);
                }
                if let Err(error) = self.flush(&mut effects) {
                    return self.end(failed(&error), &mut effects);
                }
                if taken.peek().is_none() {
                    break;
                }
            }
        }
    }

    fn now_us(&self) -> u64 {
        clock_us()
    }

    fn take(&mut self, input: Input, effects: &mut Effects) -> Result<(), Ended> {
        match input {
            Input::Submit { request, bytes, applied_quorum } => self.submit(request, bytes, applied_quorum),
            Input::Members { request, command } => {
                let bytes = event::member_submission(&self.node_id, &command);
                self.submit(request, bytes, 1);
            }
            Input::Rules { request, rules } => self.set_rules(request, &rules),
            Input::Fetch { actor, counter } => drop(self.member.touch_lane().fetch(actor, counter)),
            Input::Publish { request, bytes } => self.publish(request, bytes),
            Input::Barrier { request, group } => {
                let (id, now) = (self.request_id(request), self.now_us());
                if let Some(group) = self.member.touch(group) {
                    group.barrier(id, now);
                }
            }
            Input::Withdraw { request, group } => {
                let clean = self.member.withdraw(group, self.request_id(request));
                self.shared.app.put(|out| ends::withdrawn(out, request, clean));
            }
            Input::Find { request, group: FIRST_ORIGIN, id } => {
                let lane = self.member.lane();
                let found = lane.find(id).map(|dot| lane.told_again(dot));
                self.shared.app.put(|out| ends::kept_place(out, request, found.as_ref()));
            }
            Input::Find { request, group, id } => {
                let found = self.member.find(group, id).map(|place| {
                    let term = self.member.group(group).and_then(|group| group.term_of(place.index));
                    (place.index, place.offset, term.map_or(0, |term| term.0))
                });
                self.shared.app.put(|out| ends::place(out, request, found));
            }
            Input::TakeSnapshot { request, group: id } => {
                let Some(group) = self.member.touch(id) else { return Ok(()) };
                match group.want_snapshot() {
                    Some(index) => self.shared.app.put(|out| ends::snapshot_taken(out, request, index)),
                    None => {
                        let index = group.machine().applied();
                        self.snapshots_asked.push((request, id, index));
                    }
                }
            }
            Input::KeepStates(states) => self.member.touch_lane().keep_states(states),
            Input::Want(follows) => self.member.touch_lane().want(follows),
            Input::Unreadable { group, index } => {
                self.member.unreadable(group, index);
            }
            Input::Transfer { group, to } => {
                if let Some(group) = self.member.touch(group) {
                    group.transfer(to);
                }
            }
            Input::HandOver => drop(self.member.hand_over()),
            Input::Frames { from, frames } => {
                let now = self.now_us();
                for frame in frames {
                    if is_of_no_group(frame.kind) {
                        let answer = self.round_trips.receive(from, &frame, Now { us: now, wall_ms: wall_ms() });
                        self.push(answer);
                        self.tell_clock();
                        continue;
                    }
                    if let Err(refused) = self.member.receive(from, frame, now, effects) {
                        self.shared.note_refused(&refused.to_string());
                    }
                }
            }
            Input::LinkUp { member, channel, knows_stubs } => {
                match knows_stubs {
                    true => self.know_stubs.insert(member),
                    false => self.know_stubs.remove(&member),
                };
                self.round_trips.link_up(member, channel);
                // What the clock shows there is known before much is published.
                self.probed = Instant::now() - PROBE_EVERY;
                self.member.link_up(member);
            }
            Input::LinkDown { member, channel } => {
                self.round_trips.link_down(member, channel);
                self.tell_clock();
                self.member.link_down(member);
                if !self.round_trips.is_linked(member) {
                    self.member.deserted_by(member);
                }
            }
            Input::Finished(finished) => self.member.finished(&finished, effects),
            Input::JobDone(done) => {
                self.answer_snapshots(&done);
                self.member.job_done(done, effects).map_err(|error| failed(&error))?;
            }
            Input::DiskFailed { reason } => return Err(Ended::Failed { code: "DISK_FAILED", reason }),
            Input::Close => return Err(Ended::Closed),
        }
        Ok(())
    }

    fn submit(&mut self, request: u32, bytes: Vec<u8>, applied_quorum: u32) {
        let (bytes, now) = (self.stamp(request, bytes), self.now_us());
        // What cannot be parsed is a defect of our own packer: told to the caller and to nobody else.
        let taken = Submission::parse(bytes.into()).map_err(|error| error.to_string()).and_then(|submission| {
            let known = self.member.submit(submission, applied_quorum, now);
            known.then_some(()).ok_or_else(|| "there is no such group".to_string())
        });
        let Err(refused) = taken else { return };
        self.shared.app.put(|out| ends::refused(out, request, &refused));
    }

    /// What nobody could mean is refused here, and what a member would not understand that is of an older release.
    fn set_rules(&mut self, request: u32, rules: &[u8]) {
        let bytes = event::rules_submission(&self.node_id, rules);
        let checked = Submission::parse(bytes.clone().into()).and_then(|submission| submission.rules()).map(|rules| rules.check());
        let me = MemberId::of(&self.node_id);
        let table = self.shared.table.lock();
        let others = table.iter().filter(|(id, row)| *id != me && row.role != Role::Removed);
        let older = others.into_iter().any(|(id, _)| !self.know_stubs.contains(&id));
        drop(table);
        match checked {
            Ok(Ok(())) if older => self.shared.app.put(|out| ends::rules_refused(out, request, RulesRefused::MemberOlder)),
            Ok(Err(refused)) => self.shared.app.put(|out| ends::rules_refused(out, request, refused)),
            // What cannot be read is said where it is parsed.
            Ok(Ok(())) | Err(_) => self.submit(request, bytes, 1),
        }
    }

    fn publish(&mut self, request: u32, bytes: Vec<u8>) {
        let (bytes, now) = (self.stamp(request, bytes), self.now_us());
        match Submission::parse_causal(bytes.into()) {
            Ok(submission) => self.member.publish(submission, now),
            Err(error) => self.shared.app.put(|out| ends::refused(out, request, &error.to_string())),
        }
    }

    /// Writes into a submission where it was taken, and when.
    fn stamp(&mut self, request: u32, mut bytes: Vec<u8>) -> Vec<u8> {
        let count = match bytes.len() >= event::SUBMISSION_HEADER_BYTES {
            true => u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
            false => 0,
        };
        self.clock.observe(self.member.hlc());
        let hlc = self.clock.take(wall_ms(), count);
        let id = self.request_id(request);
        event::stamp(&mut bytes, MemberId::of(&self.node_id), id, hlc);
        bytes
    }

    fn answer_snapshots(&mut self, done: &Done) {
        let (group, outcome) = match done {
            Done::Written(info) => (info.meta.group, Ok(info.meta.index)),
            Done::NotWritten { group, reason, .. } => (*group, Err(reason)),
            _ => return,
        };
        let shared = &self.shared;
        self.snapshots_asked.retain(|(request, of, index)| match outcome {
            _ if *of != group => true,
            Ok(taken) if taken < *index => true,
            Ok(taken) => {
                shared.app.put(|out| ends::snapshot_taken(out, *request, taken));
                false
            }
            Err(reason) => {
                shared.app.put(|out| ends::snapshot_failed(out, *request, reason));
                false
            }
        });
    }

    fn request_id(&self, request: u32) -> RequestId {
        RequestId(self.life << 32 | u64::from(request))
    }

    fn flush(&mut self, effects: &mut Effects) -> Result<(), GroupError> {
        let now = self.now_us();
        for id in self.member.take_dirty() {
            self.member.flush(id, now, effects)?;
            self.carry_out(id, effects);
        }
        self.shared.pending_bytes.store(self.member.pending_bytes(), Ordering::Relaxed);
        self.shared.leads.store(self.member.leads_any(), Ordering::SeqCst);
        self.tell_table();
        Ok(())
    }

    /// Frames for others; who cannot be sent them is told to the member.
    fn push(&mut self, frames: impl IntoIterator<Item = (MemberId, Channel, Vec<u8>)>) {
        for member in self.shared.outbox.push(frames) {
            self.member.overflowed(member);
        }
    }

    fn tell_clock(&self) {
        self.shared.clock_ahead_ms.store(self.round_trips.clock_ahead_ms(), Ordering::Relaxed);
    }

    fn probe(&mut self, now: Instant) {
        if now.duration_since(self.probed) < PROBE_EVERY {
            return;
        }
        self.probed = now;
        let now_us = self.now_us();
        let questions = self.round_trips.ask(Now { us: now_us, wall_ms: wall_ms() });
        *self.shared.round_trips.lock() = self.round_trips.told(now_us);
        self.tell_clock();
        let tick_us = TICK.as_micros() as u32;
        self.member.measured(&self.round_trips.distances(tick_us), &self.round_trips.bulk_lines(now_us, tick_us));
        self.push(questions);
    }

    fn carry_out(&mut self, id: GroupId, effects: &mut Effects) {
        for write in effects.writes.drain(..) {
            // A writer that is gone has reported why, or will: its message ends this loop.
            let _ = self.writes.0.send(write);
        }
        for job in effects.jobs.drain(..) {
            let _ = self.jobs.0.send(job);
        }
        if !effects.frames.is_empty() {
            self.push(effects.frames.drain(..));
        }
        let (Some(group), Some(shared)) = (self.member.group(id), self.shared.groups.get(&id)) else {
            return self.tell_lane(effects);
        };
        let applied = group.machine().applied();
        if let Some(first) = effects.journal_first.take() {
            shared.first.store(first.0, Ordering::SeqCst);
            *shared.suppressed.write() = group.machine().passed_over().clone();
            effects.suppressed.clear();
        }
        if effects.applied {
            if !effects.suppressed.is_empty() {
                shared.suppressed.write().add(effects.suppressed.drain(..));
            }
            shared.applied.store(applied.0, Ordering::SeqCst);
        }
        // Before the receipts: whoever has one finds its event in the status.
        *shared.status.lock() = group.status();
        let grown = effects.applied && self.shared.watched.load(Ordering::SeqCst);
        if grown || !effects.completions.is_empty() {
            self.shared.app.put(|out| {
                for completion in &effects.completions {
                    ends::completion(out, completion);
                }
                if grown {
                    ends::journal_grown(out, id, applied);
                }
            });
            effects.completions.clear();
        }
        effects.applied = false;
        let diverged = group.isolated().map_or(0, |first| first.0);
        if shared.diverged.swap(diverged, Ordering::SeqCst) != diverged {
            // Whoever waits for the journal to grow looks once more, and is told.
            self.shared.app.put(|out| ends::journal_grown(out, id, applied));
        }
    }

    /// What the causal lane has come to, for its readers and those who have published.
    fn tell_lane(&mut self, effects: &mut Effects) {
        if let Some(states) = self.member.take_states() {
            *self.shared.lane_states.found.lock() = Some(states);
        }
        let (origins, delivered) = self.member.take_lane_news();
        let grown = delivered.is_some();
        if let Some(gone) = self.member.take_lane_gone() {
            self.shared.lane.write().gone = Arc::new(gone);
        }
        if grown || origins.is_some() {
            let mut shared = self.shared.lane.write();
            if let Some(origins) = origins {
                shared.origins = Arc::new(origins);
                shared.actor = self.member.lane().actor_name().into();
            }
            if let Some(delivered) = delivered {
                shared.delivered = Arc::new(delivered);
            }
        }
        let lane = self.member.lane();
        self.shared.lane_states.wanted.store(lane.wants_states(), Ordering::Relaxed);
        self.shared.lane_states.lacking.store(lane.lacks_states(), Ordering::Relaxed);
        if self.lane_told.elapsed() >= LANE_STATUS_EVERY {
            self.lane_told = Instant::now();
            *self.shared.lane_status.lock() = lane.status();
        } else if grown || !effects.completions.is_empty() {
            lane.note_progress(&mut self.shared.lane_status.lock());
        }
        let grown = grown && self.shared.lane_watched.load(Ordering::SeqCst);
        if grown || !effects.completions.is_empty() {
            let entries = lane.delivered().iter().map(|(_, counter)| counter).sum();
            self.shared.app.put(|out| {
                for completion in &effects.completions {
                    ends::completion(out, completion);
                }
                if grown {
                    ends::journal_grown(out, FIRST_ORIGIN, Index(entries));
                }
            });
            effects.completions.clear();
        }
    }

    /// Members have come or gone: the network has to know.
    fn tell_table(&mut self) {
        let Some(first) = self.member.group(FIRST_GROUP) else { return };
        let table = first.machine().membership();
        if table.version != self.table_told {
            self.table_told = table.version;
            self.shared.table.lock().clone_from(table);
            let version = table.version;
            self.shared.app.put(|out| ends::table_changed(out, version));
        }
        let (agreed, mut told) = (first.machine().replication(), self.shared.rules.lock());
        if agreed.version != told.version {
            told.clone_from(agreed);
        }
    }

    /// The last effects: what is finished is told, and the commit marks go to disk with the close.
    fn end(mut self, ended: Ended, effects: &mut Effects) -> Ended {
        if matches!(ended, Ended::Closed) && self.flush(effects).is_ok() {
            let ids: Vec<GroupId> = self.member.groups().map(|(id, _)| id).collect();
            for id in ids {
                self.member.write_commit(id, effects);
                self.carry_out(id, effects);
            }
        }
        ended
    }
}

fn failed(error: &GroupError) -> Ended {
    let code = match error {
        GroupError::Lost { .. } | GroupError::Unappliable { .. } => "LOG_DAMAGED",
        GroupError::Raft(_) => "NODE_FAILED",
    };
    Ended::Failed { code, reason: error.to_string() }
}

/// A clock that runs while the machine is suspended, as leases need it (rule R12).
fn clock_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours; CLOCK_BOOTTIME has been in Linux since 2.6.39.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    debug_assert_eq!(answer, 0, "the clock is there");
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Both channels of a link matter to raft alike: it streams on one and is kept alive on the other.
pub fn channel_of(number: u8) -> Option<Channel> {
    match number {
        0 => Some(Channel::Urgent),
        1 => Some(Channel::Bulk),
        _ => None,
    }
}
