//! Whether a majority has something on disk: what an ordered event follows is, before a leader is handed the event, so that
//! its delivery waits for no member that may be dead (rule R6; docs/decisions/0026). What is told once a while anyway is
//! told at once to whoever waits.

use super::actor::{Actor, Clock, OriginId};
use super::{message, Lane};
use crate::ids::MemberId;
use crate::membership::Role;
use crate::ordered::conf::Conf;
use crate::ordered::held::Replication;
use crate::ordered::store::EntryReader;
use crate::peer::frame::{Channel, FrameKind};
use crate::plants::{self, CorePlant};
use std::collections::BTreeSet;

impl<R: EntryReader> Replication for Lane<R> {
    fn lacking(&self, follows: &[(Actor, u64)], stage: Option<&Clock>) -> Option<usize> {
        let stage = stage.unwrap_or(&self.delivered);
        follows.iter().position(|(actor, counter)| self.by_actor.get(actor).is_none_or(|id| stage.get(*id) < *counter))
    }

    /// What is compared is all that was delivered here at one time, and so closed: what something in it follows in turn is
    /// in it, and need not be said.
    fn stage(&self) -> Clock {
        self.delivered.clone()
    }

    fn is_replicated(&self, follows: &[(Actor, u64)], conf: &Conf) -> bool {
        self.replicated_in == *conf && self.lacking(follows, Some(&self.replicated)).is_none()
    }

    /// `conf` is that of the request's group, which the table may be ahead of: a majority of either.
    fn majority_has(&mut self, stage: &Clock, conf: &Conf) -> bool {
        let has = |member: MemberId| match member == self.config.me {
            true => stage.iter().all(|(id, counter)| self.origins[id.at()].held() >= counter),
            false => self.peers.get(&member).is_some_and(|peer| peer.holds.covers(stage)),
        };
        let majority = |voters: &[MemberId]| 2 * voters.iter().filter(|id| has(**id)).count() > voters.len();
        let all_have = majority(&self.voters()) && majority(&conf.voters) && (!conf.is_joint() || majority(&conf.outgoing));
        if !all_have && !plants::is(CorePlant::HandedEarly) {
            return false;
        }
        if stage.covers(&self.replicated) || self.replicated_in != *conf {
            self.replicated.clone_from(stage);
            self.replicated_in.clone_from(conf);
        }
        true
    }

    fn ask_for(&mut self, stage: &Clock, conf: &Conf) {
        // What was written here for it leaves at once.
        self.pushed_at = u64::MAX;
        let lacks = |id: &MemberId| self.peers.get(id).is_some_and(|peer| peer.up && !peer.holds.covers(stage));
        let voters: BTreeSet<MemberId> = self.voters().into_iter().chain(conf.voters.iter().chain(&conf.outgoing).copied()).filter(lacks).collect();
        for member in voters {
            // It may have to be fetched from here, of which it is told what is readable here and no more.
            self.tell_held(member);
            let Some(peer) = self.peers.get(&member) else { continue };
            let lacking = stage.iter().filter(|(id, counter)| peer.holds.get(*id) < *counter);
            let list = lacking.map(|(id, counter)| (self.origins[id.at()].actor, counter)).collect();
            let held = message::Held { all: false, waits: true, known: false, from: self.config.life, life: peer.life.unwrap_or(0), list };
            self.send(member, Channel::Bulk, FrameKind::Held, |out| held.encode(out));
        }
    }
}

impl<R: EntryReader> Lane<R> {
    /// Of each actor the last entry that was delivered here, where that has changed since the last call.
    pub fn take_arrived(&mut self) -> Vec<(Actor, u64)> {
        let arrived = self.delivered.iter().filter(|(id, counter)| self.arrived.get(*id) < *counter);
        let arrived = arrived.map(|(id, counter)| (self.origins[id.at()].actor, counter)).collect();
        self.arrived.clone_from(&self.delivered);
        arrived
    }

    pub(super) fn voters(&self) -> Vec<MemberId> {
        self.table.iter().filter(|(_, row)| row.role == Role::Voter).map(|(id, _)| id).collect()
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
