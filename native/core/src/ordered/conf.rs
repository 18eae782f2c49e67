//! A group's Raft configuration: who votes, in both sets during a joint one (Ongaro 2014, section 4.3).

use crate::event::Malformed;
use crate::ids::MemberId;
use crate::packed::Unpack;
use raft::eraftpb::{ConfChangeType, ConfChangeV2, ConfState};
use std::collections::BTreeSet;

/// Lists of members, ascending. `outgoing` is empty outside a joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    pub voters: Vec<MemberId>,
    pub outgoing: Vec<MemberId>,
    pub learners: Vec<MemberId>,
    /// Voters of the outgoing set that become learners when it is left.
    pub learners_next: Vec<MemberId>,
}

impl Conf {
    pub fn of_voters(mut voters: Vec<MemberId>) -> Self {
        voters.sort_unstable();
        Self { voters, ..Self::default() }
    }

    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether a member belongs to it in any part.
    pub fn contains(&self, id: MemberId) -> bool {
        self.lists().iter().any(|list| list.contains(&id))
    }

    /// Whether a member's vote counts in either set.
    pub fn votes(&self, id: MemberId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// How many members have a vote, in either set.
    pub fn voting(&self) -> u32 {
        self.voters.iter().chain(&self.outgoing).collect::<BTreeSet<_>>().len() as u32
    }

    /// Votes that every entry had that was committed from here on: a leader may have committed it before it entered a
    /// joint configuration, by the outgoing set alone, and not before it left one.
    pub fn proven(&self) -> usize {
        let counted = if self.is_joint() { &self.outgoing } else { &self.voters };
        counted.len() / 2 + 1
    }

    /// Members with a vote in either set, without this one.
    pub fn voting_but(&self, me: MemberId) -> BTreeSet<MemberId> {
        self.voters.iter().chain(&self.outgoing).copied().filter(|id| *id != me).collect()
    }

    /// Whoever belongs to it in any part.
    pub fn members(&self) -> BTreeSet<MemberId> {
        self.lists().into_iter().flatten().copied().collect()
    }

    /// Whether the engine can be in it: somebody votes, every list ascends, and nobody is in two that exclude each other. It
    /// panics over what is not.
    pub fn is_sound(&self) -> bool {
        let ascends = |list: &Vec<MemberId>| list.first().is_none_or(|id| id.0 > 0) && list.windows(2).all(|pair| pair[0] < pair[1]);
        let apart = |one: &Vec<MemberId>, other: &Vec<MemberId>| !one.iter().any(|id| other.contains(id));
        !self.voters.is_empty()
            && self.lists().into_iter().all(ascends)
            && apart(&self.learners, &self.voters)
            && apart(&self.learners, &self.outgoing)
            && apart(&self.learners_next, &self.voters)
            && self.learners_next.iter().all(|id| self.outgoing.contains(id))
    }

    fn lists(&self) -> [&Vec<MemberId>; 4] {
        [&self.voters, &self.outgoing, &self.learners, &self.learners_next]
    }

    /// As it is after a committed change, for whoever runs no engine that could say it.
    pub fn after(mut self, change: &ConfChangeV2) -> Self {
        if change.leave_joint() {
            self.outgoing.clear();
            self.learners.append(&mut self.learners_next);
            self.learners.sort_unstable();
            return self;
        }
        if change.enter_joint().is_some() {
            self.outgoing.clone_from(&self.voters);
        }
        for one in change.get_changes() {
            let id = MemberId(one.node_id);
            for list in [&mut self.voters, &mut self.learners, &mut self.learners_next] {
                list.retain(|other| *other != id);
            }
            let list = match one.get_change_type() {
                ConfChangeType::AddNode => &mut self.voters,
                ConfChangeType::AddLearnerNode if self.outgoing.contains(&id) => &mut self.learners_next,
                ConfChangeType::AddLearnerNode => &mut self.learners,
                ConfChangeType::RemoveNode => continue,
            };
            list.insert(list.partition_point(|other| *other < id), id);
        }
        self
    }

    pub fn from_raft(state: &ConfState) -> Self {
        let list = |ids: &[u64]| {
            let mut ids: Vec<MemberId> = ids.iter().copied().map(MemberId).collect();
            ids.sort_unstable();
            ids
        };
        Self {
            voters: list(state.get_voters()),
            outgoing: list(state.get_voters_outgoing()),
            learners: list(state.get_learners()),
            learners_next: list(state.get_learners_next()),
        }
    }

    pub fn to_raft(&self) -> ConfState {
        let list = |ids: &[MemberId]| ids.iter().map(|id| id.0).collect::<Vec<u64>>();
        let mut state = ConfState::default();
        state.set_voters(list(&self.voters));
        state.set_voters_outgoing(list(&self.outgoing));
        state.set_learners(list(&self.learners));
        state.set_learners_next(list(&self.learners_next));
        state
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        for list in self.lists() {
            out.extend_from_slice(&(list.len() as u16).to_le_bytes());
            list.iter().for_each(|id| out.extend_from_slice(&id.0.to_le_bytes()));
        }
    }

    pub fn decode(fields: &mut Unpack<'_>) -> Result<Self, Malformed> {
        let mut list = || -> Result<Vec<MemberId>, Malformed> {
            let count = fields.u16()?;
            (0..count).map(|_| fields.u64().map(MemberId)).collect()
        };
        Ok(Self { voters: list()?, outgoing: list()?, learners: list()?, learners_next: list()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ordered::reconcile::{to_raft, Change};

    fn conf(voters: &[u64], outgoing: &[u64], learners: &[u64]) -> Conf {
        let list = |ids: &[u64]| ids.iter().copied().map(MemberId).collect();
        Conf { voters: list(voters), outgoing: list(outgoing), learners: list(learners), ..Conf::default() }
    }

    #[test]
    fn a_replacement_passes_through_a_joint_configuration() {
        let mut now = conf(&[2, 3, 4], &[], &[]);
        let mut step = |changes: &[(MemberId, Change)], joint, expected| {
            now = std::mem::take(&mut now).after(&to_raft(changes, joint));
            assert_eq!(now, expected);
        };
        step(&[(MemberId(1), Change::Learner)], false, conf(&[2, 3, 4], &[], &[1]));
        step(&[(MemberId(1), Change::Voter), (MemberId(3), Change::Remove)], true, conf(&[1, 2, 4], &[2, 3, 4], &[]));
        step(&[], false, conf(&[1, 2, 4], &[], &[]));
        step(&[(MemberId(9), Change::Remove)], false, conf(&[1, 2, 4], &[], &[]));
    }
}
