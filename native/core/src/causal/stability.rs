//! Up to where an origin's log is stable: every member that the agreed table has, learners too, has it on disk (rules R10
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
        let held = self.origins[id.at()].held();
        if plants::is(CorePlant::CutByTime) {
            return held;
        }
        let others = self.table.iter().filter(|(member, row)| *member != me && row.role != Role::Removed);
        let mut words: Vec<u64> = others.map(|(member, _)| self.word_of(member, id)).chain([held]).collect();
        words.sort_unstable();
        match plants::is(CorePlant::CutByMajority) {
            true => words[(words.len() - 1) / 2],
            false => words[0],
        }
    }

    /// What a member has said that it holds.
    fn word_of(&self, member: MemberId, id: OriginId) -> u64 {
        let Some(peer) = self.peers.get(&member) else { return 0 };
        match plants::is(CorePlant::CutByKnown) {
            true => peer.told.as_ref().map_or(0, |told| told.get(id)).max(peer.holds.get(id)),
            false => peer.holds.get(id),
        }
    }
}
