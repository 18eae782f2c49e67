//! What was seen of the causal lane, for the invariants to judge: every entry that was ever written, with what had
//! happened before it as its publishers saw it, whatever the product's own clocks say.

use crate::history::{Asked, History};
use crate::shadow::fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::head::{Head, Holders};
use vexfs_core::causal::is_origin;
use vexfs_core::entry;
use vexfs_core::event::Submission;
use vexfs_core::ids::{EventId, Index, MemberId, RequestId};
use vexfs_core::log::{LogEntry, Op};
use vexfs_core::replication::Selection;
use vexfs_core::stub;

/// Of each actor the counter up to which everything is meant.
pub type Past = BTreeMap<Actor, u64>;

/// An entry by its name, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dot {
    pub actor: Actor,
    pub counter: u64,
    pub print: u64,
}

/// An entry that was written.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    pub print: u64,
    pub events: Vec<EventId>,
    /// What a client could have had where it was published, and what was written there before. Empty where all of it is
    /// eventual.
    pub past: Past,
    /// What it says itself that is new since the entry before it.
    pub follows: Vec<(Actor, u64)>,
    /// Who holds it, as it says; `None` for everybody.
    pub holders: Option<Holders>,
    /// Stamp of its last event.
    pub stamp: u64,
    /// All it follows, as a receipt or a reader was told.
    pub clock: Option<Past>,
    /// It has come to somebody's disk, and not gone from all of them since.
    pub there: bool,
}

/// A publish that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub dot: Dot,
    pub node: usize,
    pub at_us: u64,
}

#[derive(Default)]
pub struct LaneHistory {
    /// By actor and counter, all different ones.
    entries: BTreeMap<Actor, Vec<Vec<Fact>>>,
    pub kept: Vec<Kept>,
    /// Events of publishes that were taken back.
    pub withdrawn: BTreeSet<EventId>,
    /// Events that were published more than once.
    pub retried: BTreeSet<EventId>,
    /// Where each event was written, in the order in which that was seen.
    places: BTreeMap<EventId, Vec<Dot>>,
    /// Entries that were on a disk, and then on none, before anybody else could have known of them.
    pub forgotten: Vec<Dot>,
    /// What states were made of: a sum of each entry.
    pub taken_in: BTreeMap<(Actor, u64), u64>,
    /// Actors that are not to be written any more.
    pub given_up: BTreeSet<Actor>,
    /// Up to where somebody has cut an origin's log that all members had.
    pub cuts: Past,
    /// Rules that were agreed on, by their versions.
    pub rules: BTreeMap<Index, Selection>,
}

impl LaneHistory {
    pub fn fact(&self, dot: Dot) -> Option<&Fact> {
        self.all(dot.actor, dot.counter).iter().find(|fact| fact.print == dot.print)
    }

    pub fn fact_mut(&mut self, dot: Dot) -> Option<&mut Fact> {
        let list = self.entries.get_mut(&dot.actor)?.get_mut(dot.counter as usize - 1)?;
        list.iter_mut().find(|fact| fact.print == dot.print)
    }

    /// All that was ever written under that name.
    pub fn all(&self, actor: Actor, counter: u64) -> &[Fact] {
        let of_actor = self.entries.get(&actor);
        of_actor.and_then(|list| list.get(counter.checked_sub(1)? as usize)).map_or(&[], Vec::as_slice)
    }

    pub fn actors(&self) -> impl Iterator<Item = Actor> + '_ {
        self.entries.keys().copied()
    }

    /// Where an event was written.
    pub fn places(&self, id: EventId) -> &[Dot] {
        self.places.get(&id).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, actor: Actor, counter: u64, fact: Fact) {
        let dot = Dot { actor, counter, print: fact.print };
        fact.events.iter().for_each(|id| self.places.entry(*id).or_default().push(dot));
        let list = self.entries.entry(actor).or_default();
        if list.len() < counter as usize {
            list.resize_with(counter as usize, Vec::new);
        }
        list[counter as usize - 1].push(fact);
    }

    /// Of one member's actors, entries that no disk has any more are as if they had never been: nobody can know of them.
    pub fn forget(&mut self, member: MemberId, on_a_disk: impl Fn(Dot) -> bool) {
        for (actor, list) in self.entries.iter_mut().filter(|(actor, _)| actor.member == member) {
            for (counter, facts) in (1..).zip(list) {
                for fact in facts.iter_mut().filter(|fact| fact.there) {
                    let dot = Dot { actor: *actor, counter, print: fact.print };
                    fact.there = on_a_disk(dot);
                    if !fact.there {
                        self.forgotten.push(dot);
                    }
                }
            }
        }
    }
}

/// Entries of the causal lane that a batch has.
fn entries(ops: &[Op]) -> impl Iterator<Item = &LogEntry> {
    ops.iter().filter(|op| is_origin(op.group())).flat_map(|op| match op {
        Op::Entries { entries, .. } | Op::Repair { entries, .. } => entries.as_slice(),
        _ => &[],
    })
}

/// Names of what a batch has brought to a disk.
pub fn dots(ops: &[Op]) -> Vec<Dot> {
    entries(ops).filter_map(dot).collect()
}

/// Of that, what not all hold, and whether it is a stub.
pub fn selected(ops: &[Op]) -> Vec<(Actor, u64, bool)> {
    let selected = |entry: &LogEntry| {
        let head = Head::decode(&entry.context).ok().filter(|head| head.holders.is_some())?;
        Some((head.actor, entry.index.0, stub::is_stub(&entry.data)))
    };
    entries(ops).filter_map(selected).collect()
}

pub fn dot(entry: &LogEntry) -> Option<Dot> {
    let head = Head::decode(&entry.context).ok()?;
    Some(Dot { actor: head.actor, counter: entry.index.0, print: fingerprint(entry) })
}

/// Raises a vector.
pub fn raise(past: &mut Past, actor: Actor, counter: u64) {
    let known = past.entry(actor).or_default();
    *known = counter.max(*known);
}

/// The first of what a vector lacks of another.
pub fn lacks(vector: &Past, other: &Past) -> Option<(Actor, u64)> {
    let here = |actor: &Actor| vector.get(actor).copied().unwrap_or(0);
    other.iter().find(|(actor, counter)| here(actor) < **counter).map(|(actor, counter)| (*actor, *counter))
}

/// Takes note of an entry on its way to a log; what its publishers had seen is found by their requests. `own`: the last
/// entries that this process has written itself. False: it was not written by whose it is.
pub fn note_written(history: &mut History, node: usize, member: MemberId, own: &mut Past, entry: &LogEntry) -> bool {
    let Some(dot) = dot(entry) else { return false };
    if history.lane.fact(dot).is_some() {
        return true;
    }
    let (Ok(head), Ok(submissions)) = (Head::decode(&entry.context), entry::unpack_causal(&entry.data)) else { return false };
    if dot.actor.member != member {
        return false;
    }
    let seen = |request: RequestId| match history.requests.get(&(node, request)).map(|request| &request.asked) {
        Some(Asked::Kept { seen, level, .. }) => Some((seen.clone(), *level)),
        _ => None,
    };
    let (mut past, mut causal) = (Past::new(), false);
    for (vector, level) in submissions.iter().filter_map(|submission| seen(submission.request())) {
        causal |= level > 0;
        vector.iter().filter(|_| level > 0).for_each(|(actor, counter)| raise(&mut past, *actor, *counter));
    }
    own.iter().filter(|_| causal).for_each(|(actor, counter)| raise(&mut past, *actor, *counter));
    past.remove(&dot.actor);
    own.insert(dot.actor, dot.counter);
    let last = |submission: &Submission| submission.hlc() + u64::from(submission.count()) - 1;
    let fact = Fact {
        print: dot.print,
        events: submissions.iter().flat_map(|submission| submission.events().map(|event| event.id()).collect::<Vec<_>>()).collect(),
        past,
        follows: head.follows,
        holders: head.holders,
        stamp: submissions.iter().map(last).max().unwrap_or(0),
        clock: None,
        there: false,
    };
    history.lane.add(dot.actor, dot.counter, fact);
    true
}

/// A vector that is shared until it changes.
pub type Seen = Arc<Past>;
