//! Whether a majority has something on disk: what an ordered event follows is, before a leader is handed the event, so that
//! its delivery waits for no member that may be dead (rule R6; docs/decisions/0026). What is told once a while anyway is
//! told at once to whoever waits.

use super::actor::{Actor, Clock, OriginId};
use super::{message, Lane};
use crate::ids::MemberId;
use crate::membership::Role;
use crate::ordered::conf::Conf;
use crate::ordered::pending::Held;
use crate::ordered::store::EntryReader;
use crate::peer::frame::{Channel, FrameKind};
use crate::plants::{self, CorePlant};
use std::collections::{BTreeMap, BTreeSet};

impl<R: EntryReader> Lane<R> {
    /// Whether what a request follows is on a majority's disks, with all that this follows in turn: that need not be said of
    /// what names it, since what is compared is all that was delivered here at one time.
    /// `conf` is that of the request's group, which the table may be ahead of: a majority of either.
    pub fn is_replicated(&mut self, held: &mut Held, conf: &Conf) -> bool {
        if self.replicated_in == *conf && within(&held.follows, &self.by_actor, &self.replicated) {
            return true;
        }
        if held.past.is_none() {
            held.past = within(&held.follows, &self.by_actor, &self.delivered).then(|| self.delivered.clone());
            let lacking = held.past.as_ref().filter(|past| !self.majority_has(past, conf)).cloned();
            lacking.into_iter().for_each(|past| self.ask_for(&past, conf));
        }
        let Some(past) = held.past.as_ref().filter(|past| self.majority_has(past, conf)) else { return false };
        if past.covers(&self.replicated) || self.replicated_in != *conf {
            self.replicated.clone_from(past);
            self.replicated_in.clone_from(conf);
        }
        true
    }

    /// Whether a majority of the voters has said to have it on disk, this member included.
    fn majority_has(&self, past: &Clock, conf: &Conf) -> bool {
        if plants::is(CorePlant::HandedEarly) {
            return true;
        }
        let has = |member: MemberId| match member == self.config.me {
            true => past.iter().all(|(id, counter)| self.origins[id.at()].held() >= counter),
            false => self.peers.get(&member).is_some_and(|peer| peer.holds.covers(past)),
        };
        let majority = |voters: &[MemberId]| 2 * voters.iter().filter(|id| has(**id)).count() > voters.len();
        majority(&self.voters()) && majority(&conf.voters) && (!conf.is_joint() || majority(&conf.outgoing))
    }

    fn voters(&self) -> Vec<MemberId> {
        self.table.iter().filter(|(_, row)| row.role == Role::Voter).map(|(id, _)| id).collect()
    }

    /// Asks the voters that lack something of it to tell as soon as they have it on disk.
    fn ask_for(&mut self, past: &Clock, conf: &Conf) {
        // What was written here for it leaves at once.
        self.pushed_at = u64::MAX;
        let lacks = |id: &MemberId| self.peers.get(id).is_some_and(|peer| peer.up && !peer.holds.covers(past));
        let voters: BTreeSet<MemberId> = self.voters().into_iter().chain(conf.voters.iter().chain(&conf.outgoing).copied()).filter(lacks).collect();
        for member in voters {
            // It may have to be fetched from here, of which it is told what is readable here and no more.
            self.tell_held(member);
            let Some(peer) = self.peers.get(&member) else { continue };
            let lacking = past.iter().filter(|(id, counter)| peer.holds.get(*id) < *counter);
            let list = lacking.map(|(id, counter)| (self.origins[id.at()].actor, counter)).collect();
            let held = message::Held { all: false, waits: true, from: self.config.life, life: peer.life.unwrap_or(0), list };
            self.send(member, Channel::Bulk, FrameKind::Held, |out| held.encode(out));
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

/// Whether entries are within a vector.
fn within(entries: &[(Actor, u64)], by_actor: &BTreeMap<Actor, OriginId>, clock: &Clock) -> bool {
    entries.iter().all(|(actor, counter)| by_actor.get(actor).is_some_and(|id| clock.get(*id) >= *counter))
}
