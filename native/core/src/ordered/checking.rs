//! A group's part in comparing what the members have applied (`agreement`): frames, and a member that isolates itself.

use super::agreement::{Divergence, Hashes, Say};
use super::receive::Refused;
use super::store::EntryReader;
use super::Group;
use crate::ids::{Index, MemberId};
use crate::packed::Unpack;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::plants::{self, CorePlant};

impl<R: EntryReader> Group<R> {
    /// Once a tick: reports that are due, questions about a difference, and what follows from the answers.
    pub(super) fn tick_agreement(&mut self) {
        if !self.agreement.is_due(self.ticks) {
            return;
        }
        let me = self.config.me;
        let others = self.agreement.others(&self.conf, me);
        for say in self.agreement.tick(self.ticks, self.machine.events(), &others) {
            let (to, kind, numbers) = match say {
                Say::Report { to, index, hash } => (to, FrameKind::HashReport, [index.0, hash]),
                Say::Ask { to, low, high } => (to, FrameKind::HashQuery, [low.0, high.0]),
            };
            let frame = frame::build(kind, self.config.group, 16, |out| {
                numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            });
            self.outbox.push((to, Channel::Bulk, frame));
        }
        let minority = |found: &Divergence| found.minority.contains(&me) || plants::is(CorePlant::EverybodyIsolates);
        let alone = self.divergence().filter(minority).filter(|_| !plants::is(CorePlant::NobodyIsolates));
        if let (Some(found), None) = (alone, self.isolated) {
            // Until it is replaced or started again: what it would acknowledge, say or lead to is not what was agreed on.
            self.isolated = Some(found.first);
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, 0);
            self.leader = None;
        }
    }

    /// Members that have not applied the same as this one, if that was noticed.
    pub fn divergence(&self) -> Option<Divergence> {
        self.agreement.divergence(self.config.me, &self.conf.voters)
    }

    /// The running hash as of an entry, where it is still kept.
    pub fn hash_at(&self, index: Index) -> Option<u64> {
        self.agreement.hash_at(index.0)
    }

    /// This member has applied something else than a majority, at this entry first, and keeps out of everything. Final
    /// until it is started again, whatever the others say meanwhile.
    pub fn isolated(&self) -> Option<Index> {
        self.isolated
    }

    /// Whether it keeps out of everything because of that.
    pub(super) fn keeps_out(&self) -> bool {
        self.isolated.is_some() && !plants::is(CorePlant::IsolatedGoesOn)
    }

    pub(super) fn receive_hash_report(&mut self, from: MemberId, frame: &Frame) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let (index, hash) = (Index(fields.u64()?), fields.u64()?);
        fields.end()?;
        if self.conf.contains(from) {
            self.agreement.told(from, index, hash, self.ticks);
            self.standings.applied(from, index);
        }
        Ok(())
    }

    pub(super) fn receive_hash_query(&mut self, from: MemberId, frame: &Frame) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let (low, high) = (Index(fields.u64()?), Index(fields.u64()?));
        fields.end()?;
        let Hashes { from: first, stride, hashes } = self.agreement.between(low, high);
        let frame = frame::build(FrameKind::HashAnswer, self.config.group, 16 + 8 * hashes.len(), |out| {
            let numbers = [first.0, stride].into_iter().chain(hashes);
            numbers.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        });
        self.outbox.push((from, Channel::Bulk, frame));
        Ok(())
    }

    pub(super) fn receive_hash_answer(&mut self, from: MemberId, frame: &Frame) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let (first, stride) = (Index(fields.u64()?), fields.u64()?);
        let mut hashes = Vec::new();
        while !fields.is_empty() {
            hashes.push(fields.u64()?);
        }
        if self.conf.contains(from) {
            self.agreement.answered(from, &Hashes { from: first, stride, hashes }, self.ticks);
        }
        Ok(())
    }
}
