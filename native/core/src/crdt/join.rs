//! The join of two states.

use super::store::{Line, Slot, Store};
use super::CrdtError;
use crate::clock::{ActorId, Ranges};

/// A fact of another state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Foreign<'a> {
    pub counter: u64,
    pub key: &'a [u8],
    pub payload: &'a [u8],
}

/// Another state, whatever it is made of.
pub(super) trait Facts {
    /// Live facts, and the bytes of their keys and payloads.
    fn size(&self) -> (usize, usize);
    /// The actors that its context knows, by a number that `facts` takes.
    fn known(&self) -> impl Iterator<Item = (usize, &str, &Ranges)>;
    /// The live facts of one actor, ascending by counter, all of them in its context.
    fn facts(&self, actor: usize) -> impl Iterator<Item = Foreign<'_>>;
}

impl Facts for Store {
    fn size(&self) -> (usize, usize) {
        (self.len(), self.bytes.used())
    }

    fn known(&self) -> impl Iterator<Item = (usize, &str, &Ranges)> {
        self.context.actors().map(|(actor, ranges)| (actor.at(), self.actors.name(actor), ranges))
    }

    fn facts(&self, actor: usize) -> impl Iterator<Item = Foreign<'_>> {
        let slots = self.lines.get(actor).into_iter().flat_map(|line| &line.slots);
        slots.map(|slot| &self.slots[*slot as usize]).filter(|slot| slot.live).map(|slot| Foreign {
            counter: slot.counter,
            key: self.bytes.get(slot.key),
            payload: self.bytes.get(slot.payload),
        })
    }
}

impl Store {
    /// Takes in another state. True when this one has changed. On an error it has not.
    pub(super) fn join(&mut self, other: &impl Facts) -> Result<bool, CrdtError> {
        let (facts, bytes) = other.size();
        self.check_room(facts, bytes)?;
        let known: Vec<_> = other.known().map(|(at, name, ranges)| Ok((at, self.intern(name)?, ranges))).collect::<Result<_, _>>()?;
        let mut changed = false;
        for (at, actor, ranges) in known {
            changed |= self.join_line(actor, ranges, other.facts(at));
            self.tidy_line(actor);
            if !self.context.of(actor).covers(ranges) {
                self.context.of_mut(actor).union(ranges);
                changed = true;
            }
        }
        self.tidy_bytes();
        Ok(changed)
    }

    /// Joins the facts of one actor, of which the other state has seen `seen`.
    fn join_line<'a>(&mut self, actor: ActorId, seen: &Ranges, facts: impl Iterator<Item = Foreign<'a>>) -> bool {
        let line = std::mem::take(self.line_mut(actor));
        let (mut at, mut facts) = (0, facts.peekable());
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (first, last) in seen.iter() {
            at = self.find(&line, at, first);
            loop {
                let mine = line.slots.get(at).map(|slot| (*slot, &self.slots[*slot as usize])).filter(|(_, mine)| mine.counter <= last);
                let theirs = facts.peek().copied().filter(|theirs| theirs.counter <= last);
                match (mine, theirs) {
                    (Some((_, mine)), _) if !mine.live => at += 1,
                    (Some((slot, mine)), Some(theirs)) if mine.counter == theirs.counter => {
                        // One dot, two facts: an actor was doubled. Whatever it comes to, it is the same everywhere.
                        if self.order(mine, &theirs).is_lt() {
                            gone.push(slot);
                            come.push(theirs);
                        }
                        at += 1;
                        facts.next();
                    }
                    (Some((slot, mine)), theirs) if theirs.is_none_or(|theirs| mine.counter < theirs.counter) => {
                        gone.push(slot);
                        at += 1;
                    }
                    (_, Some(theirs)) => {
                        if !self.context.contains(actor, theirs.counter) {
                            come.push(theirs);
                        }
                        facts.next();
                    }
                    (_, None) => break,
                }
            }
        }
        *self.line_mut(actor) = line;
        gone.iter().for_each(|slot| self.kill(*slot));
        let slots: Vec<u32> = come.iter().map(|fact| self.insert(actor, fact.counter, fact.key, fact.payload, false)).collect();
        self.extend_line(actor, &slots);
        !gone.is_empty() || !slots.is_empty()
    }

    /// The place of the first slot in a line, from `from` on, with a counter of at least `counter`.
    fn find(&self, line: &Line, from: usize, counter: u64) -> usize {
        let below = |slot: &u32| self.slots[*slot as usize].counter < counter;
        // The next range most often begins where the last has ended.
        if line.slots.get(from).is_none_or(|slot| !below(slot)) {
            return from;
        }
        from + line.slots[from..].partition_point(below)
    }

    fn order(&self, mine: &Slot, theirs: &Foreign<'_>) -> std::cmp::Ordering {
        self.bytes.get(mine.key).cmp(theirs.key).then_with(|| self.bytes.get(mine.payload).cmp(theirs.payload))
    }

    /// Puts new slots, ascending by counter, where they belong in a line.
    fn extend_line(&mut self, actor: ActorId, new: &[u32]) {
        let Some(first) = new.first() else { return };
        let counter = |slot: u32| self.slots[slot as usize].counter;
        let (first, old) = (counter(*first), &self.lines[actor.at()].slots);
        if old.last().is_none_or(|last| counter(*last) < first) {
            self.lines[actor.at()].slots.extend_from_slice(new);
            return;
        }
        let mut joined = Vec::with_capacity(old.len() + new.len());
        let (mut old, mut new) = (old.iter().copied().peekable(), new.iter().copied().peekable());
        while let Some(next) = match (old.peek(), new.peek()) {
            (Some(a), Some(b)) if counter(*a) <= counter(*b) => old.next(),
            (_, Some(_)) => new.next(),
            _ => old.next(),
        } {
            joined.push(next);
        }
        self.lines[actor.at()].slots = joined;
    }
}
