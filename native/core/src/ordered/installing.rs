//! How a snapshot comes to a member that lacks what the leader's log no longer has: it pulls piece by piece, from where an
//! earlier attempt broke off; only when all of it is checked and on its disk does Raft hear of it. So it costs no memory
//! but the pieces in flight.

use super::effects::Effects;
use super::receive::Refused;
use super::store::EntryReader;
use super::Group;
use crate::ids::{Index, MemberId};
use crate::log::{Op, SnapshotMark};
use crate::machine::{Beginning, Machine};
use crate::packed::Unpack;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::snapshot::keeper::{Job, SnapshotKey};
use crate::snapshot::transfer::{key_of, put_key, Next, Offer, Piece, Transfer};
use crate::snapshot::{SnapshotInfo, SnapshotMeta};
use bytes::Bytes;
use raft::eraftpb::{Message, MessageType};
use raft::StateRole;
use std::sync::Arc;

/// Election timeouts without a piece after which it is asked for again, and after which a transfer is given up.
const PULL_AGAIN_ELECTIONS: usize = 2;
const GIVE_UP_ELECTIONS: usize = 100;

/// A snapshot on its way here.
pub(super) struct Incoming {
    pub transfer: Transfer,
    /// Checked and on disk; Raft has to take it.
    pub ready: Option<(SnapshotInfo, Box<Machine>)>,
}

pub(super) struct Installing {
    info: SnapshotInfo,
    machine: Box<Machine>,
    journal: Kept,
}

/// What of the journal stays in front of a snapshot that comes in the place of entries: `beginning.first..=last`. From
/// there up to the snapshot it has a gap.
#[derive(Clone, Copy)]
struct Kept {
    beginning: Beginning,
    last: Index,
}

impl<R: EntryReader> Group<R> {
    pub(super) fn receive_offer(&mut self, from: MemberId, frame: &Frame, effects: &mut Effects) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let Offer { term, info: SnapshotInfo { meta, bytes, digest } } = Offer::decode(&mut fields)?;
        fields.end()?;
        if meta.group != self.config.group || meta.cluster_id != self.config.cluster_id {
            return Err(Refused::WrongSnapshot { from, cluster: meta.cluster_id });
        }
        match self.repairs_from() {
            Some(first) if meta.index < first => return Ok(()),
            None if term < self.raw.raft.term || self.raw.raft.state == StateRole::Leader => return Ok(()),
            _ => {}
        }
        let log = &self.raw.raft.raft_log;
        let matches = log.match_term(meta.index.0, meta.term.0);
        if !self.is_repairing() && meta.index.0 == log.committed && !matches {
            // Raft would take it in the place of what it has.
            return Err(Refused::Conflicts { from, index: meta.index });
        }
        let known = meta.index.0 < log.committed || matches;
        if !self.is_repairing() && known {
            // Nothing of it is needed: Raft says so in its own words.
            self.step_snapshot(from, term, &meta);
            return Ok(());
        }
        let key = SnapshotKey { group: meta.group, index: meta.index, digest };
        match &mut self.snapshots.incoming {
            Some(incoming) if incoming.transfer.key == key => incoming.transfer.from = from,
            _ => {
                effects.jobs.push(Job::Find { key });
                self.snapshots.incoming = Some(Incoming { transfer: Transfer::new(key, bytes, from), ready: None });
            }
        }
        Ok(())
    }

    /// So much of the incoming file is in its place.
    pub(super) fn pull_on(&mut self, key: &SnapshotKey, bytes: u64, effects: &mut Effects) {
        let Some(incoming) = self.snapshots.incoming.as_mut().filter(|incoming| incoming.transfer.key == *key) else { return };
        match incoming.transfer.stored(bytes) {
            Next::Ask => self.pull(),
            Next::Restore if !incoming.transfer.busy && incoming.ready.is_none() => {
                incoming.transfer.busy = true;
                let machine_key = self.machine_key;
                effects.jobs.push(Job::Restore { key: *key, machine_key });
            }
            Next::Restore => {}
        }
    }

    fn pull(&mut self) {
        let group = self.config.group;
        let Some(Incoming { transfer, .. }) = &mut self.snapshots.incoming else { return };
        while let Some((offset, length)) = transfer.ask() {
            let frame = frame::build(FrameKind::SnapshotPull, group, 28, |out| {
                put_key(out, &transfer.key);
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
            });
            self.outbox.push((transfer.from, Channel::Urgent, frame));
        }
    }

    pub(super) fn receive_piece(&mut self, from: MemberId, frame: &Frame, effects: &mut Effects) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let key = key_of(self.config.group, &mut fields)?;
        let offset = fields.u64()?;
        let bytes: Bytes = frame.body.slice(fields.at()..);
        let Some(incoming) = self.snapshots.incoming.as_mut().filter(|incoming| incoming.ready.is_none()) else { return Ok(()) };
        match incoming.transfer.piece(from, &key, offset, bytes.len()) {
            Piece::Wanted => effects.jobs.push(Job::Store { key, offset, bytes }),
            Piece::Gone => self.snapshots.incoming = None,
            Piece::Other => {}
        }
        Ok(())
    }

    /// A snapshot that is whole and on disk: whoever leads now would have sent one that is at least as good.
    pub(super) fn hand_to_raft(&mut self) {
        let leader = MemberId(self.raw.raft.leader_id);
        let usable = leader.0 != 0 && !self.is_repairing() && self.raw.raft.state == StateRole::Follower && self.snapshots.installing.is_none();
        if !usable {
            return;
        }
        let Some((info, machine)) = self.snapshots.incoming.as_mut().and_then(|incoming| incoming.ready.take()) else {
            return;
        };
        self.snapshots.incoming = None;
        let term = self.raw.raft.term;
        self.step_snapshot(leader, term, &info.meta);
        let pending = self.raw.raft.raft_log.unstable_snapshot().as_ref();
        if pending.is_some_and(|pending| pending.get_metadata().index == info.meta.index.0) {
            let journal = self.kept(&info.meta, &machine);
            self.snapshots.installing = Some(Installing { info, machine, journal });
        }
    }

    /// The own journal stays where the snapshot can tell of its entries, and of all between the two, which of their
    /// events count; else the journal begins where the snapshot's does. Of an older release's snapshot nobody knows.
    fn kept(&self, meta: &SnapshotMeta, machine: &Machine) -> Kept {
        let store = self.raw.store();
        let (first, last) = (store.first(), self.machine.applied().min(store.durable()));
        let begins = |first: Index, prior_term| Kept { beginning: Beginning { first, prior_term, prior_hash: None }, last: Index(first.0 - 1) };
        let Some(theirs) = machine.beginning() else { return begins(Index(meta.index.0 + 1), meta.term) };
        if theirs.first < first {
            let last = last.max(Index(first.0 - 1));
            let prior_hash = self.machine.beginning().filter(|begins| begins.first == first).and_then(|begins| begins.prior_hash);
            return Kept { beginning: Beginning { first, prior_term: store.prior_term(), prior_hash }, last };
        }
        match theirs.first.0 <= last.0 + 1 {
            true => Kept { beginning: theirs, last: last.max(Index(theirs.first.0 - 1)) },
            false => begins(theirs.first, theirs.prior_term),
        }
    }

    pub(super) fn step_snapshot(&mut self, from: MemberId, term: u64, meta: &SnapshotMeta) {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgSnapshot);
        (message.from, message.to, message.term) = (from.0, self.config.me.0, term);
        let metadata = message.mut_snapshot().mut_metadata();
        (metadata.index, metadata.term) = (meta.index.0, meta.term.0);
        metadata.set_conf_state(meta.conf.to_raft());
        let _ = self.raw.step(message);
        self.draw_timeout();
    }

    /// Raft takes the snapshot in place of its log: what the log has to write for it.
    pub(super) fn install(&mut self, index: u64) -> Vec<Op> {
        let Some(Installing { info, journal, .. }) = &self.snapshots.installing else { return Vec::new() };
        debug_assert_eq!(info.meta.index.0, index, "Raft takes what it was given");
        let (info, journal, group) = (info.clone(), *journal, self.config.group);
        let (index, term, Beginning { first, prior_term, .. }) = (info.meta.index, info.meta.term, journal.beginning);
        let mut ops = Vec::new();
        if self.raw.store().last() > journal.last {
            ops.push(Op::Truncate { group, from: Index(journal.last.0 + 1) });
        }
        ops.push(Op::Mark { group, mark: SnapshotMark { index, term, first, prior_term } });
        let emptied = self.conf.voters.is_empty() && info.meta.conf.votes(self.config.me);
        self.conf = Arc::new(info.meta.conf.clone());
        let settles = self.settling.as_ref().is_some_and(|settling| !settling.is_learner()) && info.meta.conf.votes(self.config.me);
        if emptied || settles {
            // Members begin as learners: this one has forgotten all that it acknowledged as a voter.
            self.settle_among(index, self.conf.voting_but(self.config.me));
        }
        self.marking(index);
        self.raw.mut_store().replaced(info, journal.beginning, journal.last);
        // What comes of questions before would be written behind it.
        self.repair_only(first, journal.last);
        ops
    }

    /// Its write is on disk: from here on the state is the snapshot's.
    pub(super) fn finish_install(&mut self, durable: bool, effects: &mut Effects) {
        if !durable {
            return;
        }
        let Some(Installing { info, machine, journal }) = self.snapshots.installing.take() else { return };
        let index = info.meta.index;
        self.machine = *machine;
        self.machine.journal_begins(journal.beginning);
        self.fill_gap(Index(journal.last.0 + 1), index);
        self.raw.advance_apply_to(index.0);
        self.agreement.begin(index, self.machine.agreed_hash(), self.machine.events());
        self.snapshots.replaced(self.machine.bytes());
        // Requests that were applied within it are answered by suppression when they are handed in again.
        self.pending.hand_in_again();
        effects.journal_first = Some(self.journal_first());
        effects.applied = true;
    }

    pub(super) fn tick_incoming(&mut self) {
        let election = self.pace.most();
        let Some(incoming) = &mut self.snapshots.incoming else { return };
        incoming.transfer.idle_ticks += 1;
        let idle_ticks = incoming.transfer.idle_ticks;
        if incoming.ready.is_some() {
            self.hand_to_raft();
        } else if idle_ticks > GIVE_UP_ELECTIONS * election {
            self.snapshots.incoming = None;
        } else if idle_ticks % (PULL_AGAIN_ELECTIONS * election) == 0 && !incoming.transfer.busy {
            incoming.transfer.again();
            self.pull();
        }
    }
}
