//! One origin's log as a member has it: what is on disk, what damage took, what was delivered, what there is elsewhere.

use super::actor::{Actor, OriginId};
use super::tally::Tally;
use crate::clock::Ranges;
use crate::ids::{GroupId, MemberId};
use std::collections::VecDeque;

/// Entries that were asked for.
#[derive(Clone, Copy, Debug)]
pub struct Pulling {
    pub from: MemberId,
    /// Tick at which it was asked.
    pub since: u64,
}

pub struct Origin {
    pub actor: Actor,
    /// Where its entries are in the log of this member.
    pub group: GroupId,
    /// First entry that the log still has.
    pub first: u64,
    /// Last entry in the log or on its way there.
    pub last: u64,
    /// Last entry that a finished write has covered.
    pub written: u64,
    /// Of those up to `last`, what damage took.
    pub lost: Ranges,
    /// Of what is lost, what is on its way back to disk: a batch has one place for an entry.
    pub mending: Ranges,
    /// Everything up to here was delivered.
    pub delivered: u64,
    /// What the entries after `delivered` follow, as far as it is in memory.
    pub waiting: VecDeque<Vec<(OriginId, u64)>>,
    /// The last entry that anybody is known to have.
    pub known: u64,
    /// Since which tick something is missing.
    pub missing_since: Option<u64>,
    pub pulling: Option<Pulling>,
    /// What retention lets go of it.
    pub tally: Tally,
}

impl Origin {
    pub fn new(actor: Actor, group: GroupId) -> Self {
        Self {
            actor,
            group,
            first: 1,
            last: 0,
            written: 0,
            lost: Ranges::default(),
            mending: Ranges::default(),
            delivered: 0,
            waiting: VecDeque::new(),
            known: 0,
            missing_since: None,
            pulling: None,
            tally: Tally::new(0),
        }
    }

    /// Everything up to here is on disk and readable: what is told to others, and may be delivered.
    pub fn held(&self) -> u64 {
        self.lost.iter().next().map_or(self.written, |(first, _)| self.written.min(first - 1))
    }

    /// The last entry that can be delivered next: what damage takes of those that were delivered holds up none after them.
    pub fn ready(&self) -> u64 {
        self.readable_from(self.delivered + 1)
    }

    /// The last entry that is on disk and readable along with all from `next` on; `next - 1` or less for none.
    pub fn readable_from(&self, next: u64) -> u64 {
        let lost = self.lost.iter().find(|(_, last)| *last >= next);
        lost.map_or(self.written, |(first, _)| self.written.min(first.max(next) - 1))
    }

    /// Whether an entry is in the log, on its way there, or was cut from it.
    pub fn has(&self, counter: u64) -> bool {
        counter <= self.last && (!self.lost.contains(counter) || self.mending.contains(counter))
    }

    /// The first entries that are to be had from others.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let lost = self.lost.without(&self.mending).iter().next();
        lost.or_else(|| (self.known > self.last).then_some((self.last + 1, self.known)))
    }
}
