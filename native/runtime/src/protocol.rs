//! The protocol thread: feeds the ordered group its inputs and carries out its effects. It never waits for a disk, a
//! socket or JavaScript (rule R14).

use crate::ends;
use crate::shared::{Input, Shared};
use crate::queue::{Closing, Queue};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vexfs_core::clock::HybridClock;
use vexfs_core::event::{self, Submission};
use vexfs_core::ids::{MemberId, RequestId};
use vexfs_core::ordered::effects::{Effects, Write};
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::ordered::{Group, GroupError};
use vexfs_core::peer::frame::Channel;

/// Raft's tick.
pub const TICK: Duration = Duration::from_millis(10);
/// Inputs taken between two flushes at most.
const INPUTS_MAX: usize = 512;

/// Why the loop ended.
pub enum Ended {
    Closed,
    Failed { code: &'static str, reason: String },
}

pub struct Protocol<R: EntryReader> {
    pub group: Group<R>,
    pub shared: std::sync::Arc<Shared>,
    pub me: MemberId,
    pub incarnation: u64,
    pub writes: Closing<Write>,
    pub clock: HybridClock,
    pub began: Instant,
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
                    self.group.tick();
                    // One tick however long the pause was: the backlog of messages decides whether the leader is alive.
                    next_tick = (next_tick + TICK).max(now);
                }
                if let Err(error) = self.flush(&mut effects) {
                    return self.end(Ended::Failed { code: code_of(&error), reason: error.to_string() }, &mut effects);
                }
                if taken.peek().is_none() {
                    break;
                }
            }
        }
    }

    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn take(&mut self, input: Input, effects: &mut Effects) -> Result<(), Ended> {
        match input {
            Input::Submit { request, mut bytes, applied_quorum } => {
                let count = match bytes.len() >= event::SUBMISSION_HEADER_BYTES {
                    true => u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
                    false => 0,
                };
                self.clock.observe(self.group.machine().hlc());
                let hlc = self.clock.take(wall_ms(), count);
                let id = self.request_id(request);
                event::stamp(&mut bytes, self.me, id, hlc);
                match Submission::parse(bytes.into()) {
                    Ok(submission) => self.group.submit(submission, applied_quorum, self.now_us()),
                    // Ours is the packer that made it: a defect, told to the caller and to nobody else.
                    Err(error) => self.shared.app.put(|out| ends::refused(out, request, &error.to_string())),
                }
            }
            Input::Barrier { request } => {
                let (id, now) = (self.request_id(request), self.now_us());
                self.group.barrier(id, now);
            }
            Input::Withdraw { request } => {
                let clean = self.group.withdraw(self.request_id(request));
                self.shared.app.put(|out| ends::withdrawn(out, request, clean));
            }
            Input::Find { request, id } => {
                let found = self.group.find(id).map(|place| {
                    let term = self.group.term_of(place.index).map_or(0, |term| term.0);
                    (place.index, place.offset, term)
                });
                self.shared.app.put(|out| ends::place(out, request, found));
            }
            Input::Frames { from, frames } => {
                let now = self.now_us();
                for frame in frames {
                    if let Err(refused) = self.group.receive(from, frame, now, effects) {
                        self.shared.note_refused(&refused.to_string());
                    }
                }
            }
            Input::LinkUp { member } => self.group.link_up(member),
            Input::LinkDown { member } => self.group.link_down(member),
            Input::Persisted { number } => self.group.persisted(number),
            Input::DiskFailed { reason } => return Err(Ended::Failed { code: "DISK_FAILED", reason }),
            Input::Close => return Err(Ended::Closed),
        }
        Ok(())
    }

    fn request_id(&self, request: u32) -> RequestId {
        RequestId(self.incarnation << 32 | u64::from(request))
    }

    fn flush(&mut self, effects: &mut Effects) -> Result<(), GroupError> {
        let now = self.now_us();
        self.group.flush(now, effects)?;
        self.carry_out(effects);
        Ok(())
    }

    fn carry_out(&mut self, effects: &mut Effects) {
        for write in effects.writes.drain(..) {
            // A writer that is gone has reported why, or will: its message ends this loop.
            let _ = self.writes.0.send(write);
        }
        if !effects.frames.is_empty() {
            for member in self.shared.outbox.push(effects.frames.drain(..)) {
                self.group.link_down(member);
            }
        }
        let applied = self.group.machine().applied();
        if effects.applied {
            if !effects.suppressed.is_empty() {
                self.shared.suppressed.write().add(effects.suppressed.drain(..));
            }
            self.shared.applied.store(applied.0, Ordering::SeqCst);
        }
        let grown = effects.applied && self.shared.watched.load(Ordering::SeqCst);
        if grown || !effects.completions.is_empty() {
            self.shared.app.put(|out| {
                for completion in &effects.completions {
                    ends::completion(out, completion);
                }
                if grown {
                    ends::journal_grown(out, applied);
                }
            });
            effects.completions.clear();
        }
        effects.applied = false;
        self.shared.pending_bytes.store(self.group.pending_bytes(), Ordering::Relaxed);
        self.shared.settled.store(self.group.is_settled(), Ordering::SeqCst);
        *self.shared.status.lock() = self.group.status();
    }

    /// The last effects: what is finished is told, and the commit mark goes to disk with the close.
    fn end(mut self, ended: Ended, effects: &mut Effects) -> Ended {
        if matches!(ended, Ended::Closed) {
            let now = self.now_us();
            if self.group.flush(now, effects).is_ok() {
                self.group.write_commit(effects);
                self.carry_out(effects);
            }
        }
        ended
    }
}

fn code_of(error: &GroupError) -> &'static str {
    match error {
        GroupError::Unreadable { .. } | GroupError::Unappliable { .. } => "LOG_DAMAGED",
        GroupError::Raft(_) => "NODE_FAILED",
    }
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
