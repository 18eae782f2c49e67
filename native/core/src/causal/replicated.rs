//! Whether a majority has something on disk: what an ordered event follows is, before a leader is handed the event, so that
//! its delivery waits for no member that may be dead (rule R6; docs/decisions/0026). What is told once a while anyway is
//! told at once to whoever waits.

use super::actor::{Actor, Clock, OriginId};
use super::message::Held;
use super::Lane;
use crate::ids::MemberId;
use crate::membership::Role;
use crate::ordered::store::EntryReader;
use crate::peer::frame::{Channel, FrameKind};
use crate::plants::{self, CorePlant};

impl<R: EntryReader> Lane<R> {
    /// All that was delivered here, once it has these entries in it: it has all that they follow, too, which need not be said
    /// of what names them.
    pub fn past_with(&self, follows: &[(Actor, u64)]) -> Option<Clock> {
        let is_delivered = |(actor, counter): &(Actor, u64)| self.by_actor.get(actor).is_some_and(|id| self.delivered.get(*id) >= *counter);
        follows.iter().all(is_delivered).then(|| self.delivered.clone())
    }

    /// Whether a majority of the voters has said to have it on disk, this member included.
    pub fn majority_has(&self, past: &Clock) -> bool {
        if plants::is(CorePlant::HandedEarly) {
            return true;
        }
        let has = |member: MemberId| match member == self.config.me {
            true => past.iter().all(|(id, counter)| self.origins[id.at()].held() >= counter),
            false => self.peers.get(&member).is_some_and(|peer| peer.holds.covers(past)),
        };
        let voters = || self.table.iter().filter(|(_, row)| row.role == Role::Voter).map(|(id, _)| id);
        2 * voters().filter(|id| has(*id)).count() > voters().count()
    }

    /// Asks the voters that lack something of it to tell as soon as they have it on disk.
    pub fn ask_for(&mut self, past: &Clock) {
        // What was written here for it leaves at once.
        self.pushed_at = u64::MAX;
        let lacks = |id: &MemberId| self.peers.get(id).is_some_and(|peer| peer.up && !peer.holds.covers(past));
        let voters = self.table.iter().filter(|(_, row)| row.role == Role::Voter).map(|(id, _)| id);
        for member in voters.filter(lacks).collect::<Vec<_>>() {
            if self.peers.get(&member).is_some_and(|peer| peer.told.is_none()) {
                self.tell_held(member);
            }
            let Some(peer) = self.peers.get(&member) else { continue };
            let lacking = past.iter().filter(|(id, counter)| peer.holds.get(*id) < *counter);
            let list = lacking.map(|(id, counter)| (self.origins[id.at()].actor, counter)).collect();
            let held = Held { all: false, waits: true, from: self.config.life, life: peer.life.unwrap_or(0), list };
            self.send(member, Channel::Bulk, FrameKind::Held, |out| held.encode(out));
        }
    }

    /// A member waits for this one to have that much of an origin.
    pub(super) fn note_waiting(&mut self, member: MemberId, id: OriginId, counter: u64) {
        if let Some(peer) = self.peers.get_mut(&member) {
            peer.waits_for.raise(id, counter);
        }
    }

    /// Tells those that wait for it what has come to disk here, also where they were told before: that may have been lost.
    pub(super) fn tell_who_waits(&mut self) {
        let mut due = Vec::new();
        for (member, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.up) {
            let has = |(id, counter): &(OriginId, u64)| self.origins[id.at()].held() >= *counter;
            let here: Vec<OriginId> = peer.waits_for.iter().filter(has).map(|(id, _)| id).collect();
            for id in &here {
                peer.waits_for.set(*id, 0);
                if let Some(told) = &mut peer.told {
                    told.set(*id, 0);
                }
            }
            if !here.is_empty() {
                due.push(*member);
            }
        }
        due.into_iter().for_each(|member| self.tell_held(member));
    }
}
