//! States that an application makes of the logs, and how far the logs can go for them (rule R11): the last two files are
//! kept, and what goes is covered by the older one, so that damage to one of them loses nothing.
//!
//! A member whose states do not cover what has gone, here or everywhere, gets another member's: as a file, piece by piece.
//! The application takes them in, and has what comes of it kept as its own; only then its logs may begin further on.

use super::actor::{Actor, Clock, OriginId};
use super::message::Needed;
use super::{Lane, FIRST_ORIGIN};
use crate::event::Malformed;
use crate::ids::{Index, MemberId};
use crate::ordered::store::EntryReader;
use crate::packed::Unpack;
use crate::peer::frame::{Channel, Frame, FrameKind};
use crate::plants::{self, CorePlant};
use crate::snapshot::keeper::{Done, Job, SnapshotKey};
use crate::snapshot::states::States;
use crate::snapshot::transfer::{key_of, put_key, Next, Offer, Piece, Transfer, PIECE_BYTES};
use crate::snapshot::SnapshotInfo;
use std::sync::Arc;

/// Ticks after which states are asked for again, and after which a transfer without a piece is given up.
const ASK_TICKS: u64 = 50;
const GIVE_UP_TICKS: usize = 1_000;

#[derive(Default)]
pub struct Kept {
    /// What the last file covers, and what the one before it does.
    newest: Clock,
    before: Option<Clock>,
    /// The last file.
    info: Option<SnapshotInfo>,
    writing: bool,
    /// More of the logs could go if newer states covered it too; or another member needs newer ones.
    wanted: bool,
    wanted_elsewhere: bool,
    /// Of which origins how much has gone at a member that has to be covered here.
    needed: Option<(MemberId, Vec<(Actor, u64)>)>,
    asked_at: Option<u64>,
    /// Questions so far: the next one is for the next of those who are there.
    asks: usize,
    incoming: Option<Transfer>,
    /// Another member's states, for the application to take in.
    received: Option<Arc<States>>,
    /// It has them, and has not kept what came of them.
    taken: bool,
}

impl<R: EntryReader> Lane<R> {
    fn clock_of(&mut self, place: &[(Actor, u64)]) -> Clock {
        let mut clock = Clock::default();
        for (actor, counter) in place {
            if let Some(id) = self.origin_of(*actor) {
                clock.raise(id, *counter);
            }
        }
        clock
    }

    /// After an open: the states that the directory holds, newest first.
    pub fn found_states<'a>(&mut self, found: impl IntoIterator<Item = &'a (SnapshotInfo, States)>) {
        let found: Vec<_> = found.into_iter().take(2).map(|(info, states)| (info.clone(), self.clock_of(&states.place))).collect();
        let Some(kept) = &mut self.states else { return };
        let mut found = found.into_iter();
        if let Some((info, clock)) = found.next() {
            (kept.newest, kept.info) = (clock, Some(info));
        }
        kept.before = found.next().map(|(_, clock)| clock);
    }

    /// What has gone of the logs here that no state here covers.
    fn lacking(&self) -> Vec<(Actor, u64)> {
        let Some(kept) = &self.states else { return Vec::new() };
        let rows = self.origins.iter().enumerate().map(|(at, origin)| (OriginId(at as u16), origin.actor, origin.first - 1));
        rows.filter(|(id, _, gone)| *gone > kept.newest.get(*id)).map(|(_, actor, gone)| (actor, gone)).collect()
    }

    /// Whether something of the logs has gone that no state here covers.
    pub fn lacks_states(&self) -> bool {
        !self.lacking().is_empty()
    }

    /// Newer states are to be kept, and none are on their way. While some are missing here, only what comes of another
    /// member's: what is left of the logs makes none that are whole.
    pub fn wants_states(&self) -> bool {
        let Some(kept) = self.states.as_ref().filter(|kept| !kept.writing) else { return false };
        kept.taken || ((kept.wanted || kept.wanted_elsewhere) && self.makes_whole_ones())
    }

    /// Whether states that are made here of the logs alone have all in them that was ever in those.
    fn makes_whole_ones(&self) -> bool {
        !self.lacks_states() || plants::is(CorePlant::StatesOfNothing)
    }

    /// Another member's states, which are to be taken in before anything is kept.
    pub fn take_received(&mut self) -> Option<Arc<States>> {
        let kept = self.states.as_mut()?;
        let received = kept.received.take();
        kept.taken |= received.is_some();
        received
    }

    /// So many bytes of the logs could go if both files of states covered them. They are written for as much as they are
    /// themselves, so that a large one is not written over and over for a little.
    pub(super) fn want_states_for(&mut self, bytes: u64) {
        if let Some(kept) = &mut self.states {
            kept.wanted = bytes > kept.info.as_ref().map_or(0, |info| info.bytes);
        }
    }

    /// Of an origin, up to where its log is not needed for the states any more: what both files cover.
    pub(super) fn kept_apart(&self, id: OriginId) -> u64 {
        match &self.states {
            Some(kept) if !plants::is(CorePlant::StatesIgnored) => kept.before.as_ref().map_or(0, |before| before.get(id)),
            _ => u64::MAX - 1,
        }
    }

    /// Whether the last states cover an origin's entries up to `last`, which have gone at a member.
    pub(super) fn are_covered(&mut self, id: OriginId, last: u64, at: MemberId) -> bool {
        let actor = self.origins[id.at()].actor;
        let Some(kept) = &mut self.states else { return true };
        if kept.newest.get(id) >= last || plants::is(CorePlant::StatesIgnored) {
            return true;
        }
        match &mut kept.needed {
            Some((of, list)) if *of == at => match list.iter_mut().find(|(known, _)| *known == actor) {
                Some((_, counter)) => *counter = last.max(*counter),
                None => list.push((actor, last)),
            },
            needed => *needed = Some((at, vec![(actor, last)])),
        }
        false
    }

    /// States to be kept, where it wants them. What they were made of is on disk here.
    pub fn keep_states(&mut self, states: Arc<States>) {
        if plants::is(CorePlant::StatesUnwritten) {
            let clock = self.clock_of(&states.place);
            self.states.iter_mut().for_each(|kept| (kept.newest, kept.before) = (clock.clone(), Some(clock.clone())));
            return;
        }
        let whole = self.makes_whole_ones();
        let Some(kept) = self.states.as_mut().filter(|kept| !kept.writing && (kept.taken || whole)) else { return };
        kept.writing = true;
        let before = kept.info.as_ref().map_or(Index(0), |info| info.meta.index);
        self.jobs.push(Job::WriteStates { states, before });
    }

    /// Asks for states where those here do not cover what has gone, and goes on asking.
    pub(super) fn tick_states(&mut self) {
        let ticks = self.ticks;
        let Some(kept) = &mut self.states else { return };
        if let Some(transfer) = &mut kept.incoming {
            // While the file is read, nothing comes: other files may be in front of it.
            transfer.idle_ticks += usize::from(!transfer.busy);
            if transfer.idle_ticks > GIVE_UP_TICKS {
                kept.incoming = None;
            } else if transfer.idle_ticks as u64 % ASK_TICKS == 0 && !transfer.busy {
                transfer.again();
                self.pull_states();
            }
            return;
        }
        let waits = kept.received.is_some() || kept.taken || kept.asked_at.is_some_and(|at| ticks < at + ASK_TICKS);
        if waits || ticks % 8 != 0 {
            return;
        }
        let lacking = self.lacking();
        let up: Vec<MemberId> = self.peers.iter().filter(|(_, peer)| peer.up).map(|(id, _)| *id).collect();
        let Some(kept) = &mut self.states else { return };
        let needed = kept.needed.take().filter(|(of, _)| up.contains(of));
        let anybody = up.get(kept.asks % up.len().max(1)).filter(|_| !lacking.is_empty());
        let Some((from, mut list)) = needed.or_else(|| Some((*anybody?, Vec::new()))) else { return };
        kept.asks += 1;
        list.extend(lacking.iter().filter(|(actor, _)| !list.iter().any(|(known, _)| known == actor)).copied().collect::<Vec<_>>());
        kept.asked_at = Some(ticks);
        self.send(from, Channel::Urgent, FrameKind::StatesQuery, |out| Needed { list }.encode(out));
    }

    /// Offers the last states, if they cover what somebody lacks; else they will some time.
    pub(super) fn receive_states_query(&mut self, from: MemberId, needed: Needed) {
        let clock = self.clock_of(&needed.list);
        let Some(kept) = &mut self.states else { return };
        match kept.info.as_ref().filter(|_| kept.newest.covers(&clock)).cloned() {
            Some(info) => self.send(from, Channel::Bulk, FrameKind::SnapshotOffer, |out| Offer { term: 0, info }.encode(out)),
            None => kept.wanted_elsewhere = true,
        }
    }

    pub(super) fn receive_states(&mut self, from: MemberId, frame: &Frame) -> Result<(), Malformed> {
        let mut fields = Unpack::new(&frame.body);
        match frame.kind {
            FrameKind::SnapshotOffer => {
                let Offer { info, .. } = Offer::decode(&mut fields)?;
                fields.end()?;
                let Some(kept) = self.states.as_mut().filter(|kept| kept.asked_at.is_some() && kept.incoming.is_none()) else { return Ok(()) };
                if info.meta.group == FIRST_ORIGIN && kept.received.is_none() {
                    kept.incoming = Some(Transfer::new(info.key(), info.bytes, from));
                    self.jobs.push(Job::Find { key: info.key() });
                }
            }
            FrameKind::SnapshotPull => {
                let key = key_of(FIRST_ORIGIN, &mut fields)?;
                let (offset, length) = (fields.u64()?, fields.u32()?.min(PIECE_BYTES));
                fields.end()?;
                self.jobs.push(Job::Read { to: from, key, offset, length });
            }
            _ => {
                let (key, offset) = (key_of(FIRST_ORIGIN, &mut fields)?, fields.u64()?);
                let bytes = frame.body.slice(fields.at()..);
                let Some(kept) = &mut self.states else { return Ok(()) };
                match kept.incoming.as_mut().map(|transfer| transfer.piece(from, &key, offset, bytes.len())) {
                    Some(Piece::Wanted) => self.jobs.push(Job::Store { key, offset, bytes }),
                    Some(Piece::Gone) => kept.incoming = None,
                    Some(Piece::Other) | None => {}
                }
            }
        }
        Ok(())
    }

    fn pull_states(&mut self) {
        let Some(transfer) = self.states.as_mut().and_then(|kept| kept.incoming.as_mut()) else { return };
        let (to, key) = (transfer.from, transfer.key);
        let pieces: Vec<(u64, u32)> = std::iter::from_fn(|| transfer.ask()).collect();
        for (offset, length) in pieces {
            self.send(to, Channel::Urgent, FrameKind::SnapshotPull, |out| {
                put_key(out, &key);
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
            });
        }
    }

    /// So much of the file is here.
    fn pull_on(&mut self, key: &SnapshotKey, bytes: u64) {
        let Some(transfer) = self.states.as_mut().and_then(|kept| kept.incoming.as_mut()).filter(|transfer| transfer.key == *key) else { return };
        match transfer.stored(bytes) {
            Next::Ask => self.pull_states(),
            Next::Restore if !transfer.busy => {
                transfer.busy = true;
                self.jobs.push(Job::RestoreStates { key: *key });
            }
            Next::Restore => {}
        }
    }

    /// What became of a job of this lane.
    pub fn job_done(&mut self, done: Done) {
        match done {
            Done::StatesWritten { info, states } => {
                let clock = self.clock_of(&states.place);
                let Some(kept) = &mut self.states else { return };
                let before = std::mem::replace(&mut kept.newest, clock);
                kept.before = kept.info.replace(info).map(|_| before);
                (kept.writing, kept.wanted_elsewhere, kept.taken, kept.asked_at) = (false, false, false, None);
            }
            Done::Piece { to, key, offset, bytes } => {
                self.send(to, Channel::Bulk, FrameKind::SnapshotPiece, |out| {
                    put_key(out, &key);
                    out.extend_from_slice(&offset.to_le_bytes());
                    out.extend_from_slice(&bytes.unwrap_or_default());
                });
            }
            Done::Found { key, bytes } => self.pull_on(&key, bytes),
            Done::StatesRestored { key, states } => {
                if let Some(kept) = self.states.as_mut().filter(|kept| kept.incoming.as_ref().is_some_and(|transfer| transfer.key == key)) {
                    (kept.incoming, kept.received) = (None, Some(states));
                }
            }
            Done::NotRestored { key, .. } => {
                if let Some(kept) = &mut self.states {
                    kept.incoming.take_if(|transfer| transfer.key == key);
                }
            }
            Done::NotWritten { .. } => {
                if let Some(kept) = &mut self.states {
                    kept.writing = false;
                }
            }
            Done::Written(_) | Done::Restored { .. } | Done::Kept => {}
        }
    }
}
