//! What other members send.

use super::actor::{Clock, OriginId};
use super::gossip::TAKE_BYTES_MAX;
use super::head::Head;
use super::intake::{last_hlc, log_entry};
use super::origin::Pulling;
use super::message::{Entries, Held, HeldAnswer, HeldQuery, KnownOf, Needed, Pull, ANSWER, CUT, ENTRIES_BYTES, ENTRIES_MAX};
use super::{Lane, FIRST_ORIGIN};
use crate::bytes_le::u64_at;
use crate::entry;
use crate::event::{Malformed, Submission};
use crate::ids::{Index, MemberId};
use crate::log::{LogEntry, Op};
use crate::membership::Role;
use crate::ordered::store::EntryReader;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::stub;
use bytes::Bytes;

/// An entry that any member can read.
pub(super) struct Checked {
    pub follows: Vec<(OriginId, u64)>,
    submissions: Vec<Submission>,
}

impl<R: EntryReader> Lane<R> {
    /// Errors: what no member of this version sends; nothing of it was taken.
    pub fn receive(&mut self, from: MemberId, frame: &Frame) -> Result<(), Malformed> {
        if self.table.role(from).is_none_or(|role| role == Role::Removed) && !self.table.is_empty() {
            return Ok(());
        }
        match frame.kind {
            FrameKind::Entries => self.receive_entries(from, Entries::decode(&frame.body)?),
            FrameKind::Held => self.receive_held(from, Held::decode(&frame.body)?),
            FrameKind::Pull => self.receive_pull(from, Pull::decode(&frame.body)?),
            FrameKind::OriginQuery if frame.body.len() == 8 => self.receive_query(from, u64_at(&frame.body, 0)),
            FrameKind::HeldQuery => self.receive_held_query(from, HeldQuery::decode(&frame.body)?),
            FrameKind::HeldAnswer => self.receive_held_answer(from, &HeldAnswer::decode(&frame.body)?),
            FrameKind::OriginAnswer => self.receive_known(from, KnownOf::decode(&frame.body)?),
            FrameKind::StatesQuery => self.receive_states_query(from, Needed::decode(&frame.body)?),
            FrameKind::SnapshotOffer | FrameKind::SnapshotPull | FrameKind::SnapshotPiece => self.receive_states(from, frame)?,
            _ => return Err(Malformed { at: 0, what: "not a message of the causal lane" }),
        }
        Ok(())
    }

    fn receive_entries(&mut self, from: MemberId, entries: Entries) {
        let life = *self.peers.entry(from).or_default().life.get_or_insert(entries.life);
        if life != entries.life && !crate::plants::is(crate::plants::CorePlant::EarlierLivesHeard) {
            // A process that is no more has sent it, and its member was told that it is not here.
            return;
        }
        let Some(id) = self.origin_of(entries.actor) else { return };
        let origin = &mut self.origins[id.at()];
        // One that comes late is of an earlier question, and ends no later one.
        let answers = |pulling: &mut Pulling| entries.answer && pulling.from == from && (entries.first == pulling.first || entries.cut);
        let asked = origin.pulling.take_if(answers).map_or(entries.first, |pulling| pulling.first);
        let end = entries.first + entries.list.len() as u64 - u64::from(!entries.list.is_empty());
        let own = Some(id) == self.me;
        if own && end > origin.last {
            // Somebody has more of what is written here than this log has ever had.
            return self.begin_anew();
        }
        origin.known = origin.known.max(end);
        if !self.ids.is_complete() {
            // It is asked for once it can be told whether it stands elsewhere, too.
            return;
        }
        let mut taken = entries.cut && self.jump(from, id, &entries);
        for (counter, (data, context)) in (entries.first..).zip(entries.list) {
            let origin = &self.origins[id.at()];
            // Of what is on its way to disk as a stub, a batch may have no second place.
            let wanted = origin.wanted.contains(counter) && !origin.lost.contains(counter) && counter <= origin.written;
            let repairs = (wanted || origin.lost.contains(counter)) && !origin.mending.contains(counter);
            let next = counter == origin.last + 1;
            if !next && !repairs {
                if counter > origin.last {
                    break;
                }
                continue;
            }
            if self.writing_bytes + self.writing.bytes >= TAKE_BYTES_MAX {
                break;
            }
            let Some(Checked { follows, submissions }) = self.check_entry(id, counter, &data, &context) else { break };
            if wanted && !self.fits_stub(id, counter, &data) {
                break;
            }
            taken = true;
            self.ids.note_entry(entries.actor, counter, &stub::fingerprints(&data, &submissions), &submissions);
            if next {
                self.append(id, counter, data, context, follows);
                self.urgent |= self.peers.values().any(|peer| peer.waits_for.get(id) >= counter);
            } else {
                self.repair(id, counter, data, context);
            }
        }
        let origin = &mut self.origins[id.at()];
        match entries.answer && origin.pulling.is_none() {
            true if taken => {
                origin.in_vain = None;
                self.pull(id);
            }
            // Another member may have it, in a while.
            true => {
                origin.in_vain = Some((asked, self.ticks));
                if origin.missing().is_some_and(|(first, _)| first == asked) {
                    origin.missing_since = None;
                }
            }
            false => {}
        }
    }

    /// What an entry follows and holds, if it is one of that origin that any member can read.
    pub(super) fn check_entry(&mut self, id: OriginId, counter: u64, data: &Bytes, context: &Bytes) -> Option<Checked> {
        let actor = self.origins[id.at()].actor;
        let head = Head::decode(context).ok().filter(|head| head.actor == actor)?;
        if !self.may_take(id, counter, &head, data) {
            return None;
        }
        let itself = head.follows.iter().any(|(other, _)| *other == actor);
        if itself || !head.whole && counter % super::WHOLE_EVERY == 1 {
            return None;
        }
        let submissions = entry::unpack_causal(data).ok()?;
        let hlc = submissions.iter().map(last_hlc).max().unwrap_or(0);
        self.hlc = self.hlc.max(hlc);
        let named = head.follows.len();
        let follows = self.resolve(head);
        if follows.len() < named {
            // It follows what cannot be had here: delivered without, it would come before it.
            return None;
        }
        for (of, counter) in &follows {
            let other = &mut self.origins[of.at()];
            other.known = other.known.max(*counter);
        }
        Some(Checked { follows, submissions })
    }

    fn repair(&mut self, id: OriginId, counter: u64, data: Bytes, context: Bytes) {
        let origin = &mut self.origins[id.at()];
        let group = origin.group;
        origin.mending.insert(counter, counter);
        self.note_stub(id, counter, &data);
        self.writing.bytes += data.len() + context.len() + 64;
        self.writing.repairs.push((id, counter, stub::is_stub(&data)));
        let entry = log_entry(counter, data, context);
        match self.ops.last_mut() {
            Some(Op::Repair { group: last, entries }) if *last == group && entries.last().is_some_and(|last| last.index.0 + 1 == counter) => entries.push(entry),
            _ => self.ops.push(Op::Repair { group, entries: vec![entry] }),
        }
    }

    fn receive_held(&mut self, from: MemberId, held: Held) {
        let mine = self.config.life;
        let peer = self.peers.entry(from).or_default();
        if *peer.life.get_or_insert(held.from) != held.from {
            return;
        }
        let mut lost = held.all;
        if held.all {
            (peer.holds, peer.knows, peer.has_told) = (Clock::default(), Clock::default(), true);
        }
        if held.life != mine && held.life != 0 {
            // It takes an earlier process for this one.
            peer.asked_at = None;
        }
        for (actor, counter) in held.list {
            let Some(id) = self.origin_of(actor) else { continue };
            let origin = &mut self.origins[id.at()];
            origin.known = origin.known.max(counter);
            let more = Some(id) == self.me && counter > origin.last;
            if let Some(peer) = self.peers.get_mut(&from) {
                match (held.waits, held.known) {
                    (true, _) => peer.waits_for.raise(id, counter),
                    (false, true) => peer.knows.set(id, counter),
                    (false, false) => {
                        // What it had is not replicated any more as it was.
                        lost |= counter < peer.holds.get(id);
                        peer.holds.set(id, counter);
                    }
                }
            }
            if more {
                self.begin_anew();
            }
        }
        if lost {
            self.replicated = Clock::default();
        }
        self.resume_pushing(from);
    }

    /// Answers with what is on disk, up to the first that is not.
    fn receive_pull(&mut self, from: MemberId, pull: Pull) {
        let (life, actor, mut first) = (self.config.life, pull.actor, pull.first);
        let mut list = Vec::new();
        if let Some(id) = self.by_actor.get(&actor).copied() {
            let origin = &self.origins[id.at()];
            // Of what was cut the answer is where the log begins, and goes on from there.
            first = first.max(origin.first);
            let last = pull.last.max(first).min(origin.readable_from(first)).min(first.saturating_add(ENTRIES_MAX as u64 - 1));
            let group = origin.group;
            if first <= last {
                match self.readable(group, first, last, ENTRIES_BYTES as u64) {
                    Some(entries) => {
                        let given = |entry: LogEntry| self.given(from, (id, entry.index.0), pull.form, (entry.data, entry.context));
                        list = entries.into_iter().map_while(given).collect();
                    }
                    None => self.unreadable(group, Index(first)),
                }
            }
            let end = first + list.len() as u64 - u64::from(!list.is_empty());
            if Some(id) == self.me && !list.is_empty() {
                // It has everything before, else it had asked for that.
                let next = self.unsent.front().map_or(self.origins[id.at()].last, |(counter, ..)| counter - 1);
                if let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.sent.is_none() && end == next) {
                    peer.sent = Some(end);
                }
            }
        }
        let bytes = list.iter().map(|(data, context): &(Bytes, Bytes)| data.len() + context.len() + 8).sum();
        let frame = frame::build(FrameKind::Entries, FIRST_ORIGIN, bytes, |out| {
            let flags = if first > pull.first { ANSWER | CUT } else { ANSWER };
            Entries::encode(life, actor, flags, Index(first), list.iter().map(|(data, context)| (data, context)), out);
        });
        self.frames.push((from, Channel::Bulk, frame));
    }

    /// Tells a member what is here of its actors, on disk or on its way there. From now on nothing is taken that another
    /// process of it has sent, so that the answer stays true.
    fn receive_query(&mut self, from: MemberId, life: u64) {
        let peer = self.peers.entry(from).or_default();
        if peer.life.replace(life) != Some(life) {
            // It may have lost what it had.
            (peer.told, peer.sent, peer.holds, peer.begins) = (None, None, Clock::default(), Clock::default());
            (peer.knows, peer.waits_for, peer.has_told) = (Clock::default(), Clock::default(), false);
            self.replicated = Clock::default();
        }
        let of = self.origins.iter().filter(|origin| origin.actor.member == from);
        let list = of.map(|origin| (origin.actor, origin.last)).collect();
        let known = KnownOf { life, table: self.table.version, list };
        self.send(from, Channel::Urgent, FrameKind::OriginAnswer, |out| known.encode(out));
    }

    fn receive_known(&mut self, from: MemberId, known: KnownOf) {
        if known.life != self.config.life {
            return;
        }
        // What it was told before it knew of this process it has passed over: the two channels overtake each other.
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.told = None;
        }
        for (actor, counter) in &known.list {
            let Some(id) = self.origin_of(*actor) else { continue };
            let origin = &mut self.origins[id.at()];
            origin.known = origin.known.max(*counter);
            if Some(id) == self.me && *counter > origin.last {
                self.begin_anew();
            }
        }
        self.continuity.note(from, known.table, known.list);
    }
}
