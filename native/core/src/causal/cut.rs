//! What goes of the origins' logs (rule R11): what is stable, what retention does not keep, and what the states that are
//! made of the logs do not need any more, up to an entry that names all that it follows. So what is left is read as a log
//! that begins there. At least one entry stays, which says whose the log is and where its counters are.
//!
//! A member that lacks what has gone everywhere (a new one, or one whose disk has lost it) begins behind it too.

use super::actor::OriginId;
use super::message::Entries;
use super::receive::Checked;
use super::tally::{begins_block, Sum, Tally};
use super::{gossip, Lane, WHOLE_EVERY};
use crate::clock::Ranges;
use crate::entry;
use crate::ids::{Index, MemberId, Term};
use crate::log::{Op, SnapshotMark};
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};

/// Bytes of a log read at a time to count what is in it.
const PAGE_BYTES: u64 = 256 * 1024;
/// Blocks that go at a time.
const BLOCKS_MAX: usize = 16;

impl<R: EntryReader> Lane<R> {
    /// Lets go of what can be.
    pub(super) fn tick_cuts(&mut self) {
        if self.config.retention.keeps_all() || self.ticks % self.config.gossip_ticks.max(1) != 0 {
            return;
        }
        self.count_back();
        let (retention, now) = (self.config.retention, self.hlc);
        let mut uncovered = 0;
        for at in 0..self.origins.len() {
            let id = OriginId(at as u16);
            self.origins[at].tally.expire(&retention, now);
            let most = self.origins[at].tally.goes().min(self.origins[at].delivered);
            if most < self.origins[at].first {
                continue;
            }
            let most = most.min(self.stable(id));
            uncovered += self.origins[at].tally.bytes_behind(self.kept_apart(id), most);
            self.cut(id, most.min(self.kept_apart(id)));
        }
        self.want_states_for(uncovered);
    }

    /// Counts what the logs had at the open, a page at a time.
    fn count_back(&mut self) {
        let wants = |origin: &super::Origin| origin.tally.wants(origin.first).filter(|last| *last <= origin.known_here());
        let Some((at, last)) = self.origins.iter().enumerate().find_map(|(at, origin)| Some((at, wants(origin)?))) else { return };
        let origin = &self.origins[at];
        let (group, first) = (origin.group, origin.first.max(super::delivery::whole_before(last)));
        // Of a block that is no page the end is read by itself.
        let read = |first: u64| self.readable(group, first, last, PAGE_BYTES).filter(|read| first + read.len() as u64 > last);
        match read(first).or_else(|| read(last)) {
            Some(entries) => entries.iter().rev().for_each(|entry| self.origins[at].tally.prepend(sum_of(&entry.data, &entry.context))),
            None => self.unreadable(group, Index(last)),
        }
    }

    /// Lets go of an origin's entries up to `most`, in whole blocks.
    fn cut(&mut self, id: OriginId, most: u64) {
        let mut begins = self.origins[id.at()].first;
        for _ in 0..BLOCKS_MAX {
            let next = begins + WHOLE_EVERY - (begins - 1) % WHOLE_EVERY;
            if next - 1 > most || next > self.origins[id.at()].known_here() {
                break;
            }
            // All that is behind it in happened-before order is everywhere too: so is what a member that begins here takes
            // for delivered.
            let Some(follows) = self.follows_at(id, next) else { break };
            if !follows.iter().all(|(of, counter)| *counter <= self.stable(*of)) {
                break;
            }
            begins = next;
        }
        if begins > self.origins[id.at()].first {
            self.begin_at(id, begins);
            // It leaves under the table of members that it was decided by.
            self.urgent = true;
        }
    }

    /// All that an entry follows, of one that names it.
    fn follows_at(&mut self, id: OriginId, counter: u64) -> Option<Vec<(OriginId, u64)>> {
        match self.heads(id, counter, counter) {
            Ok(mut heads) => heads.pop().filter(|head| head.whole).map(|head| self.resolve(head)),
            Err(at) => {
                self.unreadable(self.origins[id.at()].group, Index(at));
                None
            }
        }
    }

    /// The log of an origin begins there from now on.
    fn begin_at(&mut self, id: OriginId, first: u64) {
        let origin = &mut self.origins[id.at()];
        let gone = Ranges::of(1, first - 1);
        (origin.lost, origin.mending) = (origin.lost.without(&gone), origin.mending.without(&gone));
        (origin.stubs, origin.wanted, origin.unheld) = (origin.stubs.without(&gone), origin.wanted.without(&gone), origin.unheld.without(&gone));
        (origin.first, origin.looked) = (first, origin.looked.max(first - 1));
        origin.tally.begin(first);
        self.origins_moved = true;
        self.writing.bytes += 64;
        let mark = SnapshotMark { index: Index(first - 1), term: Term(1), first: Index(first), prior_term: Term(1) };
        self.ops.push(Op::Mark { group: origin.group, mark });
    }

    /// A member answers that it has let go of what was asked for, with what it still has: where nobody else is known to have
    /// it either, the log here begins where its does. False where it does not.
    pub(super) fn jump(&mut self, from: MemberId, id: OriginId, entries: &Entries) -> bool {
        let (first, missing) = (entries.first, self.origins[id.at()].lacks());
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.begins.raise(id, first);
        }
        let Some(missing) = missing.filter(|missing| *missing < first) else { return false };
        if self.lets_go(id, missing, first) {
            return false;
        }
        let form = self.form_of(id, missing);
        let elsewhere = self.peers.iter().any(|(member, peer)| *member != from && peer.up && peer.can_give(id, missing, form));
        let full = self.writing_bytes + self.writing.bytes >= gossip::TAKE_BYTES_MAX;
        if elsewhere || full || !begins_block(first) || plants::is(CorePlant::CutsNotTaken) {
            return false;
        }
        if !self.are_covered(id, first - 1, from) {
            return false;
        }
        // The entry that it begins with comes to disk along with the word that it does: only entries say whose a log is.
        let Some((data, context)) = entries.list.first() else { return false };
        let Some(Checked { follows, .. }) = self.check_entry(id, first, data, context) else { return false };
        self.begin_at(id, first);
        let origin = &mut self.origins[id.at()];
        if origin.last < first - 1 {
            origin.last = first - 1;
            origin.waiting.clear();
            origin.tally = Tally::new(first - 1);
        }
        self.writing.begun.push((id, first - 1));
        self.bases.push(follows);
        true
    }

    /// It is on disk that an origin's log begins behind `last`.
    pub(super) fn begun(&mut self, id: OriginId, last: u64) {
        let origin = &mut self.origins[id.at()];
        origin.written = origin.written.max(last);
        if origin.delivered < last {
            origin.delivered = last;
            origin.waiting.clear();
            self.delivered.raise(id, last);
            self.delivered_moved = true;
        }
    }

    /// Notes, after an open, what logs that do not begin with the first entry count on.
    pub(super) fn note_bases(&mut self) {
        for at in 0..self.origins.len() {
            let (id, first) = (OriginId(at as u16), self.origins[at].first);
            if first > 1 && self.origins[at].last >= first {
                let follows = self.follows_at(id, first);
                self.bases.extend(follows);
            }
        }
    }

    /// Whether all is delivered that came before what this member takes for delivered without having had it. Until then its
    /// own entries would not name it. What nobody who is there has is not waited for: nobody else will deliver it either, and the
    /// lane goes on without those who are not there (rule R1).
    pub(super) fn is_closed(&mut self) -> bool {
        let delivered = &self.delivered;
        self.bases.retain(|follows| follows.iter().any(|(of, counter)| *counter > delivered.get(*of)));
        if self.bases.is_empty() || !self.peers.values().any(|peer| peer.up) {
            return true;
        }
        self.ticks >= self.moved_at + gossip::LACKING_TICKS && self.lacking_entries().next().is_some()
    }
}

/// An entry as retention counts it.
pub(super) fn sum_of(data: &[u8], context: &[u8]) -> Sum {
    let (events, hlc) = entry::count(data);
    Sum { events, bytes: (data.len() + context.len()) as u64, hlc }
}
