//! Who tells whom what: own entries are pushed, everybody tells what is on disk there, and what is missing is asked for
//! by range. Where nothing changes, nothing is sent.

use super::actor::{Actor, OriginId};
use super::message::{Entries, Held, Pull, ENTRIES_BYTES};
use super::origin::Pulling;
use super::{pop_if, Lane, FIRST_ORIGIN};
use crate::ids::{Index, MemberId};
use crate::ordered::store::EntryReader;
use crate::peer::frame::{self, Channel, FrameKind};
use bytes::Bytes;

/// Bytes of writes under way beyond which nothing is asked for, and beyond which nothing is taken.
const ASK_BYTES_MAX: usize = 32 * 1024 * 1024;
pub(super) const TAKE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Origins whose entries are asked for at a time.
const PULLS_MAX: usize = 16;
/// Ticks after which an answer is not expected any more, or two round trips if these are longer.
const ANSWER_TICKS: u64 = 100;
/// Ticks after which it is told that nobody is there who has what is missing.
pub(super) const LACKING_TICKS: u64 = 1_000;
/// Ticks after which the question who this member was is asked again.
const ASK_AGAIN_TICKS: u64 = 20;

impl<R: EntryReader> Lane<R> {
    pub(super) fn send(&mut self, to: MemberId, channel: Channel, kind: FrameKind, write: impl FnOnce(&mut Vec<u8>)) {
        self.frames.push((to, channel, frame::build(kind, FIRST_ORIGIN, 64, write)));
    }

    pub(super) fn tick_gossip(&mut self) {
        let members: Vec<MemberId> = self.peers.iter().filter(|(_, peer)| peer.up).map(|(id, _)| *id).collect();
        for member in members {
            self.ask_who_i_was(member);
            // Who is far would be told of the next before it can have heard of the last.
            let distance = self.distance(member);
            let Some(peer) = self.peers.get_mut(&member) else { continue };
            let due = peer.told_at.is_none_or(|at| self.ticks >= at + distance);
            if due && self.ticks % self.config.gossip_ticks.max(1) == 0 {
                peer.told_at = Some(self.ticks);
                self.tell_held(member);
            }
        }
    }

    /// Ticks to a member and back, behind what is queued there.
    fn distance(&self, member: MemberId) -> u64 {
        self.distances.get(&member).copied().unwrap_or(0)
    }

    /// Asks what the others have of this member's actors: at once, and until they have answered.
    pub(super) fn ask_who_i_was(&mut self, member: MemberId) {
        let (life, ticks) = (self.config.life, self.ticks);
        let done = self.me.is_some() || self.continuity.has(member);
        let Some(peer) = self.peers.get_mut(&member) else { return };
        // Also when it is decided: whoever has not been asked takes for new what an earlier process has sent.
        let due = peer.asked_at.is_none_or(|at| !done && ticks >= at + ASK_AGAIN_TICKS);
        if due {
            peer.asked_at = Some(ticks);
            self.send(member, Channel::Urgent, FrameKind::OriginQuery, |out| out.extend_from_slice(&life.to_le_bytes()));
        }
    }

    /// Tells a member what is on disk here and was not told it.
    pub(super) fn tell_held(&mut self, member: MemberId) {
        let Some(peer) = self.peers.get_mut(&member) else { return };
        let all = peer.told.is_none();
        let told = peer.told.get_or_insert_default();
        let mut list = Vec::new();
        for (at, origin) in self.origins.iter().enumerate() {
            let (id, held) = (OriginId(at as u16), origin.held());
            if told.get(id) != held {
                told.set(id, held);
                list.push((origin.actor, held));
            }
        }
        if all || !list.is_empty() {
            let held = Held { all, waits: false, from: self.config.life, life: peer.life.unwrap_or(0), list };
            self.send(member, Channel::Bulk, FrameKind::Held, |out| held.encode(out));
        }
    }

    /// Sends own entries that are on disk to those who have everything before them: at once, and where more of them follow
    /// soon, once a tick. Each frame costs a thread of either side its sleep, however little is in it.
    pub(super) fn push(&mut self) {
        let Some(me) = self.me.filter(|_| self.pushed_at != self.ticks) else { return };
        let origin = &self.origins[me.at()];
        let (actor, written) = match crate::plants::is(crate::plants::CorePlant::OriginSendsEarly) {
            true => (origin.actor, origin.last),
            false => (origin.actor, origin.written),
        };
        loop {
            let (mut ready, mut bytes) = (Vec::new(), 0);
            while let Some(entry) = pop_if(&mut self.unsent, |(counter, data, _)| *counter <= written && (bytes == 0 || bytes + data.len() <= ENTRIES_BYTES)) {
                bytes += entry.1.len() + entry.2.len() + 8;
                ready.push(entry);
            }
            if ready.is_empty() {
                return;
            }
            self.pushed_at = self.ticks;
            self.push_entries(actor, &ready, bytes);
        }
    }

    fn push_entries(&mut self, actor: Actor, ready: &[(u64, Bytes, Bytes)], bytes: usize) {
        let (Some(first), Some(last)) = (ready.first().map(|entry| entry.0), ready.last().map(|entry| entry.0)) else { return };
        let life = self.config.life;
        let mut built: Option<Vec<u8>> = None;
        for (member, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.up) {
            if peer.sent != Some(first - 1) {
                continue;
            }
            peer.sent = Some(last);
            let frame = built.get_or_insert_with(|| {
                frame::build(FrameKind::Entries, FIRST_ORIGIN, bytes, |out| {
                    Entries::encode(life, actor, 0, Index(first), ready.iter().map(|(_, data, context)| (data, context)), out);
                })
            });
            self.frames.push((*member, Channel::Bulk, frame.clone()));
        }
    }

    /// A member that has everything of the own log up to its end is sent what comes next.
    pub(super) fn resume_pushing(&mut self, member: MemberId) {
        let Some(me) = self.me else { return };
        // What is not on disk is pushed when it is.
        let next = self.unsent.front().map_or(self.origins[me.at()].last, |(counter, ..)| counter - 1);
        if let Some(peer) = self.peers.get_mut(&member) {
            if peer.sent.is_none() && peer.holds.get(me) >= next {
                peer.sent = Some(next);
            }
        }
    }

    /// Asks for what is missing: at once where damage took it or a peer was found ahead, after a while where it may come by
    /// itself.
    pub(super) fn tick_pulls(&mut self) {
        for at in 0..self.origins.len() {
            let (ticks, fetch_ticks) = (self.ticks, self.config.fetch_ticks);
            let origin = &mut self.origins[at];
            // An answer that is on its way over a slow line would come twice, and take it up for as long again.
            let patience = |from| ANSWER_TICKS.max(2 * self.distances.get(&from).copied().unwrap_or(0));
            origin.pulling.take_if(|pulling| ticks >= pulling.since + patience(pulling.from));
            if origin.missing().is_none() {
                origin.missing_since = None;
                continue;
            }
            let since = *origin.missing_since.get_or_insert(ticks);
            if origin.pulling.is_none() && (ticks >= since + fetch_ticks || !origin.lost.is_empty()) {
                self.pull(OriginId(at as u16));
            }
        }
    }

    /// What has been missing for long, and nobody who is connected has.
    pub(super) fn lacking_entries(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.origins.iter().enumerate().filter_map(|(at, origin)| {
            let (first, _) = origin.missing()?;
            let long = origin.missing_since.is_some_and(|since| self.ticks >= since + LACKING_TICKS);
            let is_there = self.peers.values().any(|peer| peer.up && peer.holds.get(OriginId(at as u16)) >= first);
            (long && !is_there).then(|| (self.name_of(origin.actor), first))
        })
    }

    /// Asks a member that has it for the first of what is missing.
    pub(super) fn pull(&mut self, id: OriginId) {
        if crate::plants::is(crate::plants::CorePlant::NothingFetched) {
            return;
        }
        let under_way = self.origins.iter().filter(|origin| origin.pulling.is_some()).count();
        let origin = &self.origins[id.at()];
        let Some((first, last)) = origin.missing() else { return };
        if under_way >= PULLS_MAX || self.writing_bytes + self.writing.bytes >= ASK_BYTES_MAX {
            return;
        }
        let holding = || self.peers.iter().filter(|(_, peer)| peer.up && peer.holds.get(id) >= first);
        let mut having: Vec<MemberId> = holding().filter(|(_, peer)| peer.can_give(id, first)).map(|(id, _)| *id).collect();
        if having.is_empty() {
            // Whoever has let go of it says so.
            having = holding().map(|(id, _)| *id).collect();
        }
        if having.is_empty() {
            return;
        }
        // Another one each time, and not all of one for all origins.
        let from = having[(self.ticks as usize / 8 + id.at()) % having.len()];
        let pull = Pull { actor: origin.actor, first, last };
        self.origins[id.at()].pulling = Some(Pulling { from, since: self.ticks });
        self.send(from, Channel::Bulk, FrameKind::Pull, |out| pull.encode(out));
    }
}
