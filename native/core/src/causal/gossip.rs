//! Who tells whom what: own entries are pushed, everybody tells what is on disk there, and what is missing is asked for
//! by range. Where nothing changes, nothing is sent.

use super::actor::{Actor, Clock, OriginId};
use super::head::Head;
use super::message::{Entries, Held, Pull, ENTRIES_BYTES};
use super::origin::Pulling;
use super::{pop_if, Lane, FIRST_ORIGIN};
use crate::ids::{Index, MemberId};
use crate::membership::Role;
use crate::ordered::store::EntryReader;
use crate::peer::frame::{self, Channel, FrameKind};
use bytes::Bytes;

/// Bytes of writes under way beyond which nothing is asked for, and beyond which nothing is taken.
const ASK_BYTES_MAX: usize = 32 * 1024 * 1024;
pub(super) const TAKE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Origins whose entries are asked for at a time.
const PULLS_MAX: usize = 16;
/// Ticks in which an answer is expected; later only as long as what was asked after it on the same line is not answered.
const ANSWER_TICKS: u64 = 100;
const ANSWER_TICKS_MAX: u64 = 6_000;
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
        self.lines.get(&member).map_or(0, |line| line.distance)
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
        if all {
            peer.told_known = Clock::default();
        }
        let (mut list, mut known_list) = (Vec::new(), Vec::new());
        for (at, origin) in self.origins.iter().enumerate() {
            let (id, held, known) = (OriginId(at as u16), origin.held(), origin.known_here());
            if told.get(id) != held {
                told.set(id, held);
                list.push((origin.actor, held));
            }
            // Where all is whole one vector says it.
            if peer.told_known.get(id) != known && (known > held || peer.told_known.get(id) > known) {
                peer.told_known.set(id, known);
                known_list.push((origin.actor, known));
            }
        }
        let (from, life) = (self.config.life, peer.life.unwrap_or(0));
        if all || !list.is_empty() {
            let held = Held { all, waits: false, known: false, from, life, list };
            self.send(member, Channel::Bulk, FrameKind::Held, |out| held.encode(out));
        }
        if !known_list.is_empty() {
            let held = Held { all: false, waits: false, known: true, from, life, list: known_list };
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
        let named: Vec<Head> = ready.iter().filter(|(.., context)| Head::has_holders(context)).filter_map(|(.., context)| Head::decode(context).ok()).collect();
        let mut built: Option<Vec<u8>> = None;
        for (member, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.up) {
            if peer.sent != Some(first - 1) {
                continue;
            }
            if self.table.role(*member) == Some(Role::Learner) && named.iter().any(|head| !head.names(*member)) {
                // What it is not to hold it asks for, once it can know of it.
                peer.sent = None;
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
            if peer.sent.is_none() && peer.knows(me) >= next {
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
            origin.pulling.take_if(|pulling| {
                let line = self.lines.get(&pulling.from).copied().unwrap_or_default();
                ticks >= pulling.since + ANSWER_TICKS && (pulling.may_be_lost || line.has_answered(pulling.since) || ticks >= pulling.since + ANSWER_TICKS_MAX)
            });
            origin.missing_since = origin.missing().map(|_| origin.missing_since.unwrap_or(ticks));
            origin.stuck = origin.missing().map(|(first, _)| origin.stuck.filter(|(same, _)| *same == first).unwrap_or((first, ticks)));
            let missing = origin.missing_since.is_some_and(|since| ticks >= since + fetch_ticks || !origin.lost.is_empty());
            let wanted = !origin.wanted.is_empty() && origin.has_rested(ticks, fetch_ticks);
            if origin.pulling.is_none() && (missing || wanted) {
                self.pull(OriginId(at as u16));
            }
        }
    }

    /// What has been missing for long, and nobody who is connected has.
    pub(super) fn lacking_entries(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.origins.iter().enumerate().filter_map(|(at, origin)| {
            let (first, _) = origin.missing()?;
            let long = origin.missing_since.is_some_and(|since| self.ticks >= since + LACKING_TICKS);
            let is_there = self.peers.values().any(|peer| peer.up && peer.knows(OriginId(at as u16)) >= first);
            (long && !is_there).then(|| (self.name_of(origin.actor), first))
        })
    }

    /// What is asked for next, and whose turn it is to be asked. What is missing comes first, unless it has just been asked for
    /// in vain or nobody who is there knows of it.
    fn next_asked(&mut self, id: OriginId) -> Option<((u64, u64), usize)> {
        let most = self.peers.values().filter(|peer| peer.up).map(|peer| peer.knows(id)).max()?;
        let (ticks, fetch_ticks) = (self.ticks, self.config.fetch_ticks);
        let origin = &mut self.origins[id.at()];
        let missing = origin.missing().filter(|(first, _)| *first <= most);
        let in_vain = missing.is_none_or(|(first, _)| origin.in_vain.is_some_and(|(of, _)| of == first));
        let wanted = if in_vain && origin.has_rested(ticks, fetch_ticks) { origin.take_turn(most) } else { None };
        wanted.map(|range| (range, origin.turn.round)).or_else(|| Some((missing?, ticks as usize / 8)))
    }

    /// Asks a member that has it for the first of what is missing, or of what is wanted.
    pub(super) fn pull(&mut self, id: OriginId) {
        if crate::plants::is(crate::plants::CorePlant::NothingFetched) {
            return;
        }
        let under_way = self.origins.iter().filter(|origin| origin.pulling.is_some()).count();
        if under_way >= PULLS_MAX || self.writing_bytes + self.writing.bytes >= ASK_BYTES_MAX {
            return;
        }
        let Some(((first, last), turn)) = self.next_asked(id) else { return };
        let form = self.form_of(id, first);
        let knowing = || self.peers.iter().filter(|(_, peer)| peer.up && peer.knows(id) >= first);
        let mut having: Vec<MemberId> = knowing().filter(|(_, peer)| peer.can_give(id, first, form)).map(|(id, _)| *id).collect();
        if having.is_empty() {
            // Whoever has let go of it says so; and who has the stub of something before it may have it whole.
            having = knowing().map(|(id, _)| *id).collect();
        }
        if having.is_empty() {
            return;
        }
        // Another one each time, and not all of one for all origins.
        // Nor does one that is slow keep all others from being asked.
        let asked = |member: &MemberId| self.origins.iter().filter(|origin| origin.pulling.is_some_and(|pulling| pulling.from == *member)).count();
        having.retain(|member| asked(member) < PULLS_MAX / 2);
        if having.is_empty() {
            return;
        }
        let from = having[(turn + id.at()) % having.len()];
        let origin = &mut self.origins[id.at()];
        let pull = Pull { actor: origin.actor, first, last, form };
        origin.pulling = Some(Pulling { from, first, since: self.ticks, may_be_lost: false });
        self.send(from, Channel::Bulk, FrameKind::Pull, |out| pull.encode(out));
    }
}
