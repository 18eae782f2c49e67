//! One origin's log as a member has it: what is on disk, what damage took, what was delivered, what there is elsewhere.

use super::actor::{Actor, OriginId};
use super::tally::Tally;
use crate::clock::Ranges;
use crate::ids::{GroupId, MemberId};
use crate::plants::{self, CorePlant};
use std::collections::VecDeque;

/// Entries that were asked for.
#[derive(Clone, Copy, Debug)]
pub struct Pulling {
    pub from: MemberId,
    /// The first of them.
    pub first: u64,
    /// Tick at which it was asked.
    pub since: u64,
    /// The question may have been dropped.
    pub may_be_lost: bool,
}

/// Whose turn it is among what is wanted, and among those who may have it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// The entry that was asked for last.
    pub after: u64,
    /// How often all of it was.
    pub round: usize,
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
    /// Of what is lost or wanted, what is on its way to disk: a batch has one place for an entry.
    pub mending: Ranges,
    /// Entries of which this member has the stub alone, on disk or on its way there, as far as they are known.
    pub stubs: Ranges,
    /// Invariant: of the entries up to here those that are stubs are in `stubs`; `u64::MAX` for all.
    pub looked: u64,
    /// Of the stubs, those that are to be had whole.
    pub wanted: Ranges,
    /// Entries that no member has whole any more: their stubs stand for them.
    pub unheld: Ranges,
    /// Tick at which one that is wanted came, or began to be.
    pub wanted_since: u64,
    /// Everything up to here was delivered.
    pub delivered: u64,
    /// What the entries after `delivered` follow, as far as it is in memory.
    pub waiting: VecDeque<Vec<(OriginId, u64)>>,
    /// The last entry that anybody is known to have.
    pub known: u64,
    /// Since which tick something is missing.
    pub missing_since: Option<u64>,
    /// The first that is missing, and since which tick it is, however often it was asked for.
    pub stuck: Option<(u64, u64)>,
    pub pulling: Option<Pulling>,
    /// Where the last answer brought nothing: the first entry that was asked for, and the tick at which it came.
    pub in_vain: Option<(u64, u64)>,
    pub turn: Turn,
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
            stubs: Ranges::default(),
            looked: u64::MAX,
            wanted: Ranges::default(),
            unheld: Ranges::default(),
            wanted_since: 0,
            delivered: 0,
            waiting: VecDeque::new(),
            known: 0,
            missing_since: None,
            stuck: None,
            pulling: None,
            in_vain: None,
            turn: Turn::default(),
            tally: Tally::new(0),
        }
    }

    /// Everything up to here is on disk and readable, whole or as a stub: what is known here, and may be delivered.
    pub fn known_here(&self) -> u64 {
        self.lost.iter().next().map_or(self.written, |(first, _)| self.written.min(first - 1))
    }

    /// Everything up to here is on disk and whole, but for what nobody has so: what this member acknowledges, and can give to
    /// anybody (rule R10).
    pub fn held(&self) -> u64 {
        let known = self.known_here();
        if plants::is(CorePlant::StubsHeld) {
            return known;
        }
        self.first_stub().map_or(known, |first| known.min(first - 1)).min(self.looked)
    }

    fn first_stub(&self) -> Option<u64> {
        let first = |stubs: &Ranges| stubs.iter().next().map(|(first, _)| first);
        if self.unheld.is_empty() { first(&self.stubs) } else { first(&self.stubs.without(&self.unheld)) }
    }

    /// What has gone before the first that is still wanted need not be told apart any more: no more of it is asked for.
    pub fn forget_gone(&mut self) {
        let through = self.wanted.iter().next().map_or(u64::MAX, |(first, _)| first - 1).min(self.looked).min(self.known_here());
        let before = Ranges::of(1, through);
        (self.stubs, self.unheld) = (self.stubs.without(&before), self.unheld.without(&before));
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

    /// The first entries that are to be had from others before more can be delivered.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let lost = self.lost.without(&self.mending).iter().next();
        lost.or_else(|| (self.known > self.last).then_some((self.last + 1, self.known)))
    }

    /// The first entry that is to be had from others, be it only known here and wanted whole.
    pub fn lacks(&self) -> Option<u64> {
        let wanted = self.wanted.without(&self.mending).iter().next();
        self.missing().into_iter().chain(wanted).map(|(first, _)| first).min()
    }

    /// Of what is wanted and others have up to `most`, what comes after what was asked for last: what nobody gives holds up
    /// nothing else.
    pub fn take_turn(&mut self, most: u64) -> Option<(u64, u64)> {
        let wanted = self.wanted.without(&self.mending).within(&Ranges::of(1, most));
        let after = self.turn.after;
        let behind = wanted.iter().find(|(_, last)| *last > after).map(|(first, last)| (first.max(after + 1), last));
        let next = behind.or_else(|| wanted.iter().next())?;
        self.turn = Turn { after: next.0, round: self.turn.round + usize::from(behind.is_none()) };
        Some(next)
    }

    /// Whether something may be asked for again, after an answer that brought nothing.
    pub fn has_rested(&self, ticks: u64, fetch_ticks: u64) -> bool {
        self.in_vain.is_none_or(|(_, at)| ticks >= at + fetch_ticks)
    }
}
