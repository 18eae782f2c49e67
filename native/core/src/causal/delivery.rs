//! Delivery in happened-before order: an entry is delivered after the one before it in its log, and after everything
//! that it follows.

use super::actor::{Actor, Clock, OriginId};
use super::head::Head;
use super::Lane;
use crate::ids::{GroupId, Index};
use crate::log::LogEntry;
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};

/// Bytes read of a log at a time to see what its entries follow.
pub(super) const PAGE_BYTES: u64 = 256 * 1024;

impl<R: EntryReader> Lane<R> {
    /// Delivers whatever can be.
    pub(super) fn deliver(&mut self) {
        if !self.ids.is_complete() {
            return;
        }
        let mut again = true;
        while again {
            again = false;
            for at in 0..self.origins.len() {
                let id = OriginId(at as u16);
                while self.deliver_one(id) {
                    again = true;
                }
            }
        }
    }

    fn deliver_one(&mut self, id: OriginId) -> bool {
        let origin = &self.origins[id.at()];
        if origin.delivered >= origin.ready() && !plants::is(CorePlant::DeliveredBeforeDisk) || origin.delivered >= origin.last {
            return false;
        }
        if origin.waiting.is_empty() && !self.read_waiting(id) {
            return false;
        }
        let origin = &self.origins[id.at()];
        let Some(follows) = origin.waiting.front() else { return false };
        let missing = follows.iter().copied().find(|(of, counter)| self.delivered.get(*of) < *counter);
        if let Some((of, counter)) = missing.filter(|_| !plants::is(CorePlant::DeliveredOutOfOrder)) {
            let other = &mut self.origins[of.at()];
            other.known = other.known.max(counter);
            return false;
        }
        let origin = &mut self.origins[id.at()];
        origin.waiting.pop_front();
        origin.delivered += 1;
        let delivered = origin.delivered;
        self.delivered.set(id, delivered);
        self.delivered_moved = true;
        true
    }

    /// Fetches what the next entries follow from the log.
    fn read_waiting(&mut self, id: OriginId) -> bool {
        let origin = &self.origins[id.at()];
        let next = origin.delivered + 1;
        let end = origin.ready().min(next + self.config.buffer_entries as u64 - 1);
        let group = origin.group;
        match self.heads(id, next, end) {
            Ok(heads) => {
                let resolved: Vec<_> = heads.into_iter().map(|head| self.resolve(head)).collect();
                self.origins[id.at()].waiting.extend(resolved);
                !self.origins[id.at()].waiting.is_empty()
            }
            Err(at) => {
                self.unreadable(group, Index(at));
                false
            }
        }
    }

    /// The numbers of the origins that an entry follows.
    pub(super) fn resolve(&mut self, head: Head) -> Vec<(OriginId, u64)> {
        head.follows.into_iter().filter_map(|(actor, counter)| Some((self.origin_of(actor)?, counter))).collect()
    }

    /// What entries `first..=last` follow, at least one and as many as one page holds. Errors: the entry that cannot be
    /// read.
    pub(super) fn heads(&self, id: OriginId, first: u64, last: u64) -> Result<Vec<Head>, u64> {
        let origin = &self.origins[id.at()];
        let entries = self.readable(origin.group, first, last, PAGE_BYTES).ok_or(first)?;
        entries.iter().map(|entry| head_of(entry, origin.actor).ok_or(entry.index.0)).collect()
    }

    /// Entries from `first` on, at least one; `None` where that one cannot be read.
    pub(super) fn readable(&self, group: GroupId, first: u64, last: u64, bytes: u64) -> Option<Vec<LogEntry>> {
        let log = self.recent.over(&self.reader);
        let read = |last: u64| log.entries(group, Index(first), Index(last + 1), bytes).ok();
        // A page ends with an error wherever in it the damage is.
        read(last).or_else(|| read(first)).filter(|entries| !entries.is_empty())
    }

    /// Finds after an open what can count as delivered: the most of what is held that holds everything it follows. It
    /// holds whatever was delivered before, since that was on disk.
    pub(super) fn deliver_at_open(&mut self) {
        let mut limits = Clock::default();
        for (at, origin) in self.origins.iter().enumerate() {
            limits.set(OriginId(at as u16), origin.known_here());
        }
        let mut again = true;
        while std::mem::take(&mut again) {
            for at in 0..self.origins.len() {
                let id = OriginId(at as u16);
                let limit = limits.get(id);
                let closed = self.closed(id, limit, &limits);
                if closed < limit {
                    limits.set(id, closed);
                    again = true;
                }
            }
        }
        for (at, origin) in self.origins.iter_mut().enumerate() {
            origin.delivered = limits.get(OriginId(at as u16));
        }
        self.delivered = limits;
        self.delivered_moved = true;
    }

    /// The last entry up to `last` all of whose past is within `limits`.
    fn closed(&mut self, id: OriginId, last: u64, limits: &Clock) -> u64 {
        let mut last = last;
        loop {
            let origin = &self.origins[id.at()];
            if last < origin.first {
                return last;
            }
            let (group, first) = (origin.group, origin.first.max(whole_before(last)));
            // Of these the first names all it follows, and the others what is new.
            let mut heads: Vec<Head> = Vec::new();
            while first + (heads.len() as u64) <= last {
                match self.heads(id, first + heads.len() as u64, last) {
                    Ok(more) => heads.extend(more),
                    Err(at) => {
                        self.unreadable(group, Index(at));
                        break;
                    }
                }
            }
            let resolved: Vec<_> = heads.into_iter().map(|head| self.resolve(head)).collect();
            let within = |follows: &&Vec<(OriginId, u64)>| follows.iter().all(|(of, counter)| *counter <= limits.get(*of));
            let closed = resolved.iter().take_while(within).count() as u64;
            if closed > 0 || first <= self.origins[id.at()].first {
                return first + closed - 1;
            }
            last = first - 1;
        }
    }
}

/// The entry at or before this one that names all it follows.
pub(super) fn whole_before(counter: u64) -> u64 {
    counter - (counter - 1) % super::WHOLE_EVERY
}

/// `None` for an entry that is not one of that actor's.
pub(super) fn head_of(entry: &LogEntry, actor: Actor) -> Option<Head> {
    Head::decode(&entry.context).ok().filter(|head| head.actor == actor)
}
