//! What a group tells of itself.

use super::Group;
use crate::ids::{GroupId, Index, MemberId, Term};
use crate::ordered::agreement::Divergence;
use crate::ordered::conf::Conf;
use crate::ordered::standing::PutBack;
use crate::ordered::store::EntryReader;
use raft::StateRole;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    Leader,
    Candidate,
    #[default]
    Follower,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStatus {
    pub group: GroupId,
    pub role: Role,
    pub leader: Option<MemberId>,
    pub term: Term,
    pub last: Index,
    pub commit: Index,
    pub applied: Index,
    pub apply_hash: u64,
    pub events: u64,
    pub elections: u64,
    /// The timeouts in use, `[least, most)`.
    pub election_ticks: (usize, usize),
    pub pending: usize,
    pub pending_bytes: usize,
    pub sessions: usize,
    /// At the leader: what each voter has on disk, and whether it was heard of within the last election timeout, or the one under way.
    pub members: Vec<(MemberId, Index, bool)>,
    /// First entry of the journal.
    pub first: Index,
    /// Index of the newest snapshot; 0 without one.
    pub snapshot: Index,
    pub snapshots_taken: u64,
    pub snapshots_installed: u64,
    /// Why the last snapshot could not be written or taken over.
    pub snapshot_failure: Option<String>,
    pub conf: Arc<Conf>,
    pub removed: bool,
    /// Raft stands still until entries that damage has taken are back.
    pub repairing: bool,
    /// The range that is being asked for, first and last entry, whether Raft waits for it or not.
    pub lost: Option<(Index, Index)>,
    /// Entries that came back from other members since the start.
    pub repaired: u64,
    /// Answers that were not what was applied here, by the running hash.
    pub repairs_refused: u64,
    /// Members that have not applied the same, this one included.
    pub divergence: Option<Divergence>,
    /// Where this member was in the minority: it acknowledges nothing, does not lead, and refuses reads, until it is started
    /// again.
    pub isolated: Option<Index>,
    /// Differences between members that were found since the start.
    pub divergences: u64,
    /// The data directory was put back to an older state, as was noticed since the start.
    pub put_back: Option<PutBack>,
    /// (Event, member) pairs of the last minute, and those of them that agreed within a second.
    pub pairs: u64,
    pub pairs_agreed: u64,
}

impl GroupStatus {
    /// Share of the pairs that agreed, in percent; 100 where there are none.
    pub fn consistency_percentage(&self) -> f64 {
        match self.pairs {
            0 => 100.0,
            pairs => self.pairs_agreed as f64 * 100.0 / pairs as f64,
        }
    }
}

impl<R: EntryReader> Group<R> {
    pub fn status(&self) -> GroupStatus {
        let raft = &self.raw.raft;
        let leads = raft.state == StateRole::Leader;
        let members = raft
            .prs()
            .iter()
            .filter(|_| leads)
            .map(|(id, progress)| (MemberId(*id), Index(progress.matched), self.hears_of(MemberId(*id))))
            .collect();
        let (pairs_agreed, pairs) = self.agreement.pairs();
        GroupStatus {
            group: self.config.group,
            role: match raft.state {
                StateRole::Leader => Role::Leader,
                StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
                StateRole::Follower => Role::Follower,
            },
            leader: self.leader,
            term: Term(raft.term),
            last: Index(raft.raft_log.last_index()),
            commit: Index(raft.raft_log.committed),
            applied: self.machine.applied(),
            apply_hash: self.machine.hash(),
            events: self.machine.events(),
            elections: self.elections,
            election_ticks: self.election_ticks(),
            pending: self.pending.len(),
            pending_bytes: self.pending.bytes(),
            sessions: self.machine.sessions(),
            members,
            first: self.journal_first(),
            snapshot: self.snapshot(),
            snapshots_taken: self.snapshots.taken,
            snapshots_installed: self.snapshots.installed,
            snapshot_failure: self.snapshots.last_failure.clone(),
            conf: self.conf.clone(),
            removed: self.is_removed(),
            repairing: self.is_repairing(),
            lost: self.lost_now(),
            repaired: self.repair.restored,
            repairs_refused: self.repair.refused,
            divergence: self.divergence(),
            isolated: self.isolated(),
            divergences: self.agreement.divergences,
            put_back: self.was_put_back(),
            pairs,
            pairs_agreed,
        }
    }
}
