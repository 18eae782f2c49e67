//! Up to where an origin's log is stable: every member that the agreed table has, learners too, has on disk what it is to hold (rules R10
//! and R11; Wuu and Bernstein, "Efficient solutions to the replicated log and dictionary problems", PODC 1984). Neither
//! time nor a majority takes the place of a member's word, and what a member merely knows of does not count.

use super::actor::OriginId;
use super::Lane;
use crate::ids::MemberId;
use crate::membership::Role;
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};

impl<R: EntryReader> Lane<R> {
    /// 0 where this member has no say.
    pub(super) fn stable(&self, id: OriginId) -> u64 {
        let me = self.config.me;
        if self.table.role(me).is_none_or(|role| role == Role::Removed) {
            return 0;
        }
        if plants::is(CorePlant::CutByTime) {
            return self.origins[id.at()].held();
        }
        let members = self.table.iter().filter(|(_, row)| row.role != Role::Removed);
        let mut words: Vec<u64> = members.map(|(member, row)| self.word_of(member, row.role, id)).collect();
        words.sort_unstable();
        match plants::is(CorePlant::CutByMajority) {
            true => words[(words.len() - 1) / 2],
            false => words[0],
        }
    }

    /// What a member has said that it has of what it is to hold: of a voter all that it holds. Of what a learner is to hold it
    /// never has the stub, so that its word for what it knows is enough.
    fn word_of(&self, member: MemberId, role: Role, id: OriginId) -> u64 {
        let all = role == Role::Voter && !plants::is(CorePlant::StubsCut);
        if member == self.config.me {
            let origin = &self.origins[id.at()];
            return if all { origin.held() } else { origin.known_here() };
        }
        let Some(peer) = self.peers.get(&member) else { return 0 };
        match plants::is(CorePlant::CutByKnown) {
            true => peer.told.as_ref().map_or(0, |told| told.get(id)).max(peer.holds.get(id)),
            false if all => peer.holds.get(id),
            false => peer.knows(id),
        }
    }
}
