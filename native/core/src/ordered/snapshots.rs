//! When a group takes a snapshot, and how it gives one to a member whose next entry is no longer in its log: it is
//! offered, and given piece by piece as the member asks (`installing.rs`). So a transfer costs no state but a deadline.

use super::effects::{Effects, Purpose, Write};
use super::installing::{Incoming, Installing};
use super::receive::Refused;
use super::repair::hashes;
use super::store::EntryReader;
use super::{Group, GroupError};
use crate::ids::{Index, MemberId};
use crate::log::{Op, SnapshotMark};
use crate::machine::{Beginning, Machine};
use crate::packed::Unpack;
use crate::peer::frame::{self, Channel, Frame, FrameKind};
use crate::plants::{self, CorePlant};
use crate::snapshot::keeper::{Done, Job, SnapshotKey};
use crate::snapshot::transfer::{key_of, put_key, Offer, PIECE_BYTES};
use crate::snapshot::{SnapshotError, SnapshotInfo, SnapshotMeta};
use raft::eraftpb::Message;
use raft::{SnapshotStatus, StateRole};
use std::collections::BTreeMap;

/// Bytes of entries after which a snapshot is due whatever their number.
const BYTES_DUE: u64 = 64 * 1024 * 1024;
/// Election timeouts without a word after which the leader takes an offer for lost.
const OFFER_ELECTIONS: usize = 20;
/// Ticks to wait after a snapshot could not be written.
const RETRY_TICKS: u64 = 500;

/// When to take a snapshot, and what of the journal to keep (all limits; `None`: as much as there is).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Entries after which a snapshot is due, if they are as many bytes as the last one was.
    pub entries: u64,
    /// Entries kept before a snapshot for followers that are a little behind.
    pub keep_entries: u64,
    pub retain_events: Option<u64>,
    pub retain_bytes: Option<u64>,
    pub retain_age_ms: Option<u64>,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { entries: 10_000, keep_entries: 1_000, retain_events: None, retain_bytes: None, retain_age_ms: None }
    }
}

#[derive(Default)]
pub(super) struct Snapshots {
    /// One is being written: where the journal begins with it.
    writing: Option<Beginning>,
    /// Somebody has asked for one.
    wanted: bool,
    /// The log's mark names one here that could not be read, and marks never go back.
    unreadable: Index,
    retry_at: u64,
    /// Bytes of all entries at the last snapshot.
    bytes_then: u64,
    pub incoming: Option<Incoming>,
    /// Marks on their way to the disk, ascending, each with the index of the one before it.
    marking: Vec<(Index, Index)>,
    /// Raft has taken it; its write is not on disk yet.
    pub installing: Option<Installing>,
    /// Offers under way, with ticks since the member was last heard of.
    offers: BTreeMap<MemberId, usize>,
    pub taken: u64,
    pub installed: u64,
    pub last_failure: Option<String>,
}

impl Snapshots {
    pub fn resumed(bytes_then: u64) -> Self {
        Self { bytes_then, ..Self::default() }
    }

    /// Up to here the log has a mark whose snapshot cannot be read; 0 for none.
    pub fn unreadable(&self) -> Index {
        self.unreadable
    }

    /// One is on its way here.
    pub fn is_receiving(&self) -> bool {
        self.incoming.is_some()
    }

    /// One that is whole and on disk.
    pub fn take_received(&mut self) -> Option<(SnapshotInfo, Box<Machine>)> {
        let received = self.incoming.as_mut()?.ready.take();
        if received.is_some() {
            self.incoming = None;
        }
        received
    }

    /// Another state has taken the place of what was applied here.
    pub fn replaced(&mut self, bytes: u64) {
        self.bytes_then = bytes;
        self.installed += 1;
    }

    /// Raft, which was to take one or had it offered, begins anew.
    pub fn forget_raft(&mut self) {
        self.installing = None;
        self.offers.clear();
    }
}

impl<R: EntryReader> Group<R> {
    /// Has a snapshot taken of what is applied now; `Some`: there is one already, at this index.
    pub fn want_snapshot(&mut self) -> Option<Index> {
        let known = self.raw.store().snapshot_info().map(|info| info.meta.index);
        let known = known.filter(|index| *index == self.machine.applied());
        self.snapshots.wanted = known.is_none();
        known
    }

    /// Asks for a snapshot where one is due. Called with everything committed so far applied.
    pub(super) fn take_snapshot(&mut self, effects: &mut Effects) {
        let applied = self.machine.applied();
        let store = self.raw.store();
        let (last, last_bytes) = store.snapshot_info().map_or((Index(0), 0), |info| (info.meta.index, info.bytes));
        let busy = self.snapshots.writing.is_some() || self.snapshots.installing.is_some() || self.ticks < self.snapshots.retry_at;
        if busy || applied <= last.max(self.snapshots.unreadable) || self.conf.voters.is_empty() {
            return;
        }
        let (entries, bytes) = (applied.0 - last.0, self.machine.bytes().saturating_sub(self.snapshots.bytes_then));
        let policy = &self.config.snapshots;
        let due = (entries >= policy.entries && bytes >= last_bytes) || bytes >= BYTES_DUE.max(2 * last_bytes);
        if !(due || self.snapshots.wanted || store.snapshot_wanted()) {
            return;
        }
        let Some(term) = store.term_of(applied) else { return };
        let meta = SnapshotMeta {
            cluster_id: self.config.cluster_id.clone(),
            group: self.config.group,
            index: applied,
            term,
            conf: (*self.conf).clone(),
        };
        let beginning = self.retained_from(applied);
        let mut image = self.machine.image();
        image.begin(beginning);
        self.snapshots.writing = Some(beginning);
        self.snapshots.wanted = false;
        self.snapshots.bytes_then = self.machine.bytes();
        effects.jobs.push(Job::Write { meta, image: Box::new(image) });
    }

    /// The one at `index` could not be read at the start: another is taken as soon as more than that is applied.
    pub fn snapshot_unreadable(&mut self, index: Index, reason: SnapshotError) {
        self.snapshots.unreadable = index;
        self.snapshots.last_failure = Some(format!("{reason}; the state was made anew from the one before and the log"));
        self.snapshots.wanted = true;
    }

    /// What became of a job of this group.
    pub fn job_done(&mut self, done: Done, effects: &mut Effects) -> Result<(), GroupError> {
        match done {
            Done::Written(info) => {
                self.snapshots.taken += 1;
                self.snapshots.last_failure = None;
                // Of a state that is not the others' the next start must not begin.
                let beginning = self.snapshots.writing.take();
                let of_use = self.newest_snapshot() < info.meta.index && !self.keeps_out();
                if let Some(beginning) = beginning.filter(|_| of_use) {
                    self.mark(info, beginning, effects);
                }
            }
            Done::NotWritten { reason, .. } => {
                self.snapshots.writing = None;
                self.snapshots.retry_at = self.ticks + RETRY_TICKS;
                self.snapshots.last_failure = Some(reason);
            }
            Done::Piece { to, key, offset, bytes } => self.send_piece(to, &key, offset, bytes),
            Done::Found { key, bytes } => self.pull_on(&key, bytes, effects),
            Done::Restored { info, machine } => {
                if let Some(incoming) = self.snapshots.incoming.as_mut().filter(|incoming| incoming.transfer.key == info.key()) {
                    incoming.transfer.busy = false;
                    incoming.ready = Some((info, machine));
                    self.hand_to_raft();
                }
            }
            Done::NotRestored { key, reason } => {
                if self.snapshots.incoming.as_ref().is_some_and(|incoming| incoming.transfer.key == key) {
                    self.snapshots.incoming = None;
                }
                self.snapshots.last_failure = Some(reason);
            }
            Done::StatesWritten { .. } | Done::StatesRestored { .. } | Done::Kept => {}
        }
        Ok(())
    }

    /// The log has a mark on disk, and all before it.
    pub fn marked(&mut self, index: Index, effects: &mut Effects) {
        let written = self.snapshots.marking.partition_point(|(marked, _)| *marked <= index);
        // If several were written at once, what was marked before the first of them.
        if let Some((_, before)) = self.snapshots.marking.drain(..written).next() {
            effects.jobs.push(Job::Keep { group: self.config.group, index, before });
        }
    }

    /// Notes what the log's mark was before the one that is about to be written.
    pub(super) fn marking(&mut self, index: Index) {
        let before = self.raw.store().snapshot_info().map_or(Index(0), |info| info.meta.index);
        self.snapshots.marking.push((index, before));
    }

    /// Has the log note a snapshot that is on disk, and how much of the journal stays.
    fn mark(&mut self, info: SnapshotInfo, beginning: Beginning, effects: &mut Effects) {
        let Beginning { first, prior_term, .. } = beginning;
        let mark = SnapshotMark { index: info.meta.index, term: info.meta.term, first, prior_term };
        self.marking(mark.index);
        self.raw.mut_store().compacted(info, first);
        self.repair_marked(mark);
        self.machine.journal_begins(beginning);
        let op = Op::Mark { group: self.config.group, mark };
        effects.writes.push(Write { group: self.config.group, number: 0, ops: vec![op], purpose: Purpose::Usual });
        effects.journal_first = Some(self.journal_first());
    }

    /// Where the journal is to begin with a snapshot at `snapshot`: retention decides, but what followers need stays.
    fn retained_from(&self, snapshot: Index) -> Beginning {
        let policy = &self.config.snapshots;
        let now = self.machine.totals();
        let expired = self.machine.milestones().take_while(|mark| {
            let over = |limit: Option<u64>, kept: u64| limit.is_some_and(|limit| kept > limit);
            over(policy.retain_events, now.events - mark.events)
                || over(policy.retain_bytes, now.bytes - mark.bytes)
                || over(policy.retain_age_ms, (now.hlc >> 16).saturating_sub(mark.hlc >> 16))
        });
        let wanted = expired.last().map_or(Index(0), |mark| Index(mark.index.0 + 1));
        let most = Index((snapshot.0 + 1).saturating_sub(policy.keep_entries));
        let store = self.raw.store();
        // The term before it has to be known.
        let wanted = if plants::is(CorePlant::JournalForgotten) { most } else { wanted.min(most) };
        let wanted = Some(wanted).filter(|first| *first >= store.floor());
        let first = store.first().max(wanted.unwrap_or_default());
        let prior = Index(first.0 - 1);
        let known = self.machine.beginning().filter(|begins| begins.first == first);
        known.unwrap_or_else(|| Beginning {
            first,
            prior_term: store.term_of(prior).unwrap_or_default(),
            prior_hash: hashes::hash_at(&self.machine, store, self.config.group, prior),
        })
    }

    pub(super) fn tick_snapshots(&mut self) {
        let election = self.config.election_ticks.1;
        let mut lost = Vec::new();
        for (member, ticks) in &mut self.snapshots.offers {
            *ticks += 1;
            if *ticks > OFFER_ELECTIONS * election {
                lost.push(*member);
            }
        }
        lost.into_iter().for_each(|member| self.offer_ended(member, SnapshotStatus::Failure));
        self.tick_incoming();
    }

    /// Raft wants a member to have a snapshot: the file is offered instead of its message.
    pub(super) fn offer(&mut self, message: &Message) {
        let to = MemberId(message.to);
        let index = Index(message.get_snapshot().get_metadata().index);
        match self.raw.store().snapshot_info().filter(|info| info.meta.index == index).cloned() {
            Some(info) => {
                self.snapshots.offers.insert(to, 0);
                self.push_offer(to, message.term, &info);
            }
            None => self.raw.report_snapshot(to.0, SnapshotStatus::Failure),
        }
    }

    pub(super) fn push_offer(&mut self, to: MemberId, term: u64, info: &SnapshotInfo) {
        let frame = frame::build(FrameKind::SnapshotOffer, self.config.group, 128, |out| {
            Offer { term, info: info.clone() }.encode(out);
        });
        self.outbox.push((to, Channel::Bulk, frame));
    }

    fn offer_ended(&mut self, member: MemberId, status: SnapshotStatus) {
        if self.snapshots.offers.remove(&member).is_some() && self.raw.raft.state == StateRole::Leader {
            self.raw.report_snapshot(member.0, status);
        }
    }

    pub(super) fn snapshot_link_down(&mut self, member: MemberId) {
        self.offer_ended(member, SnapshotStatus::Failure);
    }

    pub(super) fn receive_pull(&mut self, from: MemberId, frame: &Frame, effects: &mut Effects) -> Result<(), Refused> {
        let mut fields = Unpack::new(&frame.body);
        let key = key_of(self.config.group, &mut fields)?;
        let (offset, length) = (fields.u64()?, fields.u32()?.min(PIECE_BYTES));
        fields.end()?;
        if let Some(ticks) = self.snapshots.offers.get_mut(&from) {
            *ticks = 0;
        }
        effects.jobs.push(Job::Read { to: from, key, offset, length });
        Ok(())
    }

    /// An empty piece says that the snapshot is gone.
    fn send_piece(&mut self, to: MemberId, key: &SnapshotKey, offset: u64, bytes: Option<Vec<u8>>) {
        let known = self.raw.store().snapshot_info().is_some_and(|info| info.key() == *key);
        let bytes = bytes.unwrap_or_default();
        if bytes.is_empty() && !known {
            self.offer_ended(to, SnapshotStatus::Failure);
        }
        let frame = frame::build(FrameKind::SnapshotPiece, self.config.group, 24 + bytes.len(), |out| {
            put_key(out, key);
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&bytes);
        });
        self.outbox.push((to, Channel::Bulk, frame));
    }
}
