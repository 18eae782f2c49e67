//! A group's Raft configuration: who votes, in both sets during a joint one (Ongaro 2014, section 4.3).

use crate::event::Malformed;
use crate::ids::MemberId;
use crate::packed::Unpack;
use raft::eraftpb::ConfState;
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

    fn lists(&self) -> [&Vec<MemberId>; 4] {
        [&self.voters, &self.outgoing, &self.learners, &self.learners_next]
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
