//! Facts in memory: by dot, for joins, and by key, for reads.

use super::arena::{Arena, Span};
use super::touched::Touched;
use super::{CrdtError, FACTS_MAX, STATE_BYTES_MAX};
use crate::clock::{ActorId, Actors, DottedVector};
use hashbrown::HashTable;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub counter: u64,
    /// Shared by all facts of one key.
    pub key: Span,
    pub payload: Span,
    /// The next fact of this key, or `NONE`.
    next: u32,
    pub actor: ActorId,
    pub live: bool,
}

/// The facts of one actor. Invariant: ascending by counter; `dead` of them are not live, and no free slot is among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub slots: Vec<u32>,
    pub dead: usize,
}

/// A fact as readers see it.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    pub actor: ActorId,
    pub counter: u64,
    pub payload: &'a [u8],
}

/// Which facts of its key a new one takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    All,
    /// Those of the same actor.
    Own,
}

/// One state. Invariant: the dot of every live fact is in `context`, and in one line; every live fact is in the chain of
/// its key, whose head `heads` names.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) actors: Actors,
    pub(super) context: DottedVector,
    /// Dots that local operations have added or removed since they were last taken: what the next delta says.
    pub(super) fresh: DottedVector,
    pub(super) lines: Vec<Line>,
    pub(super) slots: Vec<Slot>,
    free: Vec<u32>,
    heads: HashTable<u32>,
    pub(super) bytes: Arena,
    live: usize,
    seed: u64,
    touched: Option<Touched>,
    /// Facts by the part of their key that names the place in a map, where keys have more parts.
    scopes: Option<Scopes>,
}

pub type ScopeOf = fn(&[u8]) -> &[u8];

#[derive(Clone, Debug)]
struct Scopes {
    of: ScopeOf,
    slots: BTreeMap<Box<[u8]>, BTreeSet<u32>>,
}

impl Store {
    /// `seed` makes hash collisions hard to aim at. `scope_of` gives the part of a key that `remove_scope` takes.
    pub fn new(seed: u64, scope_of: Option<ScopeOf>) -> Self {
        Self {
            actors: Actors::default(),
            context: DottedVector::default(),
            fresh: DottedVector::default(),
            lines: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            heads: HashTable::new(),
            bytes: Arena::default(),
            live: 0,
            seed,
            touched: None,
            scopes: scope_of.map(|of| Scopes { of, slots: BTreeMap::new() }),
        }
    }

    /// Live facts.
    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Keys with facts.
    pub fn keys_len(&self) -> usize {
        self.heads.len()
    }

    pub fn actors(&self) -> &Actors {
        &self.actors
    }

    pub fn context(&self) -> &DottedVector {
        &self.context
    }

    /// From now on changed keys are noted, or no longer.
    pub fn watch(&mut self, watched: bool) {
        self.touched = watched.then(|| self.touched.take().unwrap_or_default());
    }

    /// The keys that have changed since the last call.
    pub fn take_touched(&mut self) -> Touched {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub fn intern(&mut self, name: &str) -> Result<ActorId, CrdtError> {
        self.actors.intern(name).ok_or(CrdtError::Limit { what: "actors", max: crate::clock::ACTORS_MAX as u64 })
    }

    /// The facts of a key, in no order that means anything.
    pub fn facts(&self, key: &[u8]) -> impl Iterator<Item = Fact<'_>> {
        self.chain(self.head(key)).map(|slot| self.fact(&self.slots[slot as usize]))
    }

    pub fn has(&self, key: &[u8]) -> bool {
        self.head(key) != NONE
    }

    /// Each key with its facts; keys in the order of their bytes.
    pub fn by_key(&self) -> impl Iterator<Item = (&[u8], impl Iterator<Item = Fact<'_>>)> {
        let key_of = |slot: u32| self.bytes.get(self.slots[slot as usize].key);
        let prefix = |key: &[u8]| {
            let mut first = [0; 8];
            first[..key.len().min(8)].copy_from_slice(&key[..key.len().min(8)]);
            u64::from_be_bytes(first)
        };
        // Most keys differ early: the rest of them is looked at only where not.
        let mut heads: Vec<(u64, u32)> = self.heads.iter().map(|head| (prefix(key_of(*head)), *head)).collect();
        heads.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key_of(a.1).cmp(key_of(b.1))));
        heads.into_iter().map(move |(_, head)| {
            let facts = self.chain(head).map(|slot| self.fact(&self.slots[slot as usize]));
            (self.bytes.get(self.slots[head as usize].key), facts)
        })
    }

    /// The facts of a scope, each with its key.
    pub fn scope<'a>(&'a self, scope: &[u8]) -> impl Iterator<Item = (&'a [u8], Fact<'a>)> {
        let slots = self.scopes.as_ref().and_then(|scopes| scopes.slots.get(scope)).into_iter().flatten();
        slots.map(|slot| {
            let slot = &self.slots[*slot as usize];
            (self.bytes.get(slot.key), self.fact(slot))
        })
    }

    /// Scopes with facts, in the order of their bytes.
    pub fn scopes(&self) -> impl Iterator<Item = &[u8]> {
        self.scopes.as_ref().into_iter().flat_map(|scopes| scopes.slots.keys()).map(|scope| &**scope)
    }

    /// Whether `bytes` more of keys and payloads, in `facts` more facts, can be taken.
    pub fn check_room(&self, facts: usize, bytes: usize) -> Result<(), CrdtError> {
        if self.live + facts > FACTS_MAX {
            return Err(CrdtError::Limit { what: "facts in one object", max: FACTS_MAX as u64 });
        }
        if self.bytes.used() + bytes > STATE_BYTES_MAX {
            return Err(CrdtError::Limit { what: "bytes of keys and values in one object", max: STATE_BYTES_MAX as u64 });
        }
        Ok(())
    }

    /// A new fact of a local operation, under the next dot of `me`.
    pub fn put(&mut self, me: ActorId, key: &[u8], payload: &[u8], replaces: Replaces) -> Result<(), CrdtError> {
        self.check_room(1, key.len() + payload.len())?;
        let counter = self.context.next(me).ok_or(CrdtError::Limit { what: "operations of one actor", max: u64::MAX })?;
        let old: Vec<u32> = self.chain(self.head(key)).filter(|slot| replaces == Replaces::All || self.slots[*slot as usize].actor == me).collect();
        self.insert(me, counter, key, payload, true);
        self.remove_slots(&old);
        self.context.add(me, counter);
        self.fresh.add(me, counter);
        Ok(())
    }

    /// Removes the facts of a key; false when there are none.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let old: Vec<u32> = self.chain(self.head(key)).collect();
        self.remove_slots(&old);
        !old.is_empty()
    }

    /// Removes the facts of a scope; false when there are none.
    pub fn remove_scope(&mut self, scope: &[u8]) -> bool {
        let slots = self.scopes.as_ref().and_then(|scopes| scopes.slots.get(scope));
        let old: Vec<u32> = slots.into_iter().flatten().copied().collect();
        self.remove_slots(&old);
        !old.is_empty()
    }

    /// Removes every fact; false when there are none.
    pub fn clear(&mut self) -> bool {
        let old: Vec<u32> = (0..self.slots.len() as u32).filter(|slot| self.slots[*slot as usize].live).collect();
        self.remove_slots(&old);
        !old.is_empty()
    }

    /// Removes the live facts under these dots, which others are known to have removed; false when there are none.
    pub(super) fn forget(&mut self, dots: &DottedVector) -> bool {
        let mut gone = Vec::new();
        for (actor, ranges) in dots.actors() {
            let slots = self.lines.get(actor.at()).map_or(&[][..], |line| &line.slots);
            gone.extend(slots.iter().copied().filter(|slot| {
                let slot = &self.slots[*slot as usize];
                slot.live && ranges.contains(slot.counter)
            }));
        }
        gone.iter().for_each(|slot| self.kill(*slot));
        dots.actors().for_each(|(actor, _)| self.tidy_line(actor));
        self.tidy_bytes();
        !gone.is_empty()
    }

    fn remove_slots(&mut self, slots: &[u32]) {
        for slot in slots {
            let Slot { actor, counter, .. } = self.slots[*slot as usize];
            self.fresh.add(actor, counter);
            self.kill(*slot);
        }
        let mut actors: Vec<ActorId> = slots.iter().map(|slot| self.slots[*slot as usize].actor).collect();
        actors.dedup();
        actors.into_iter().for_each(|actor| self.tidy_line(actor));
        self.tidy_bytes();
    }

    /// Rough size, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let lines: usize = self.lines.iter().map(|line| line.slots.capacity() * 4 + std::mem::size_of::<Line>()).sum();
        let slots = self.slots.capacity() * std::mem::size_of::<Slot>() + self.free.capacity() * 4;
        let scopes = self.scopes.as_ref().map_or(0, |scopes| scopes.slots.iter().map(|(key, of)| key.len() + 64 + 8 * of.len()).sum());
        let clocks = self.actors.memory_bytes() + self.context.memory_bytes() + self.fresh.memory_bytes();
        lines + slots + scopes + clocks + self.heads.allocation_size() + self.bytes.memory_bytes()
    }

    fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }

    fn head(&self, key: &[u8]) -> u32 {
        let found = self.heads.find(self.hash(key), |head| self.bytes.get(self.slots[*head as usize].key) == key);
        found.copied().unwrap_or(NONE)
    }

    fn chain(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |slot: u32| Some(slot).filter(|slot| *slot != NONE);
        std::iter::successors(some(head), move |slot| some(self.slots[*slot as usize].next))
    }

    fn fact<'a>(&'a self, slot: &Slot) -> Fact<'a> {
        Fact { actor: slot.actor, counter: slot.counter, payload: self.bytes.get(slot.payload) }
    }

    pub(super) fn line_mut(&mut self, actor: ActorId) -> &mut Line {
        if self.lines.len() <= actor.at() {
            self.lines.resize_with(actor.at() + 1, Line::default);
        }
        &mut self.lines[actor.at()]
    }

    /// A new slot, in the chain of its key. `last`: at the end of its actor's line too; else that is for the caller to do.
    pub(super) fn insert(&mut self, actor: ActorId, counter: u64, key: &[u8], payload: &[u8], last: bool) -> u32 {
        let payload = self.bytes.put(payload);
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let mut made = Slot { counter, key: Span::default(), payload, next: NONE, actor, live: true };
        let hash = self.hash(key);
        let (slots, bytes) = (&self.slots, &self.bytes);
        match self.heads.find_mut(hash, |head| bytes.get(slots[*head as usize].key) == key) {
            Some(head) => {
                made.key = slots[*head as usize].key;
                made.next = std::mem::replace(head, slot);
            }
            None => {
                made.key = self.bytes.put(key);
                let (bytes, seed) = (&self.bytes, self.seed);
                self.heads.insert_unique(hash, slot, |head| xxh3_64_with_seed(bytes.get(slots[*head as usize].key), seed));
            }
        }
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = made,
            None => self.slots.push(made),
        }
        self.live += 1;
        if last {
            self.line_mut(actor).slots.push(slot);
        }
        self.note(key, |scopes, scope| {
            scopes.slots.entry(scope.into()).or_default().insert(slot);
        });
        slot
    }

    /// Takes a fact out of its chain. Its slot stays in the line until `tidy_line`.
    pub(super) fn kill(&mut self, slot: u32) {
        let Slot { key, payload, next, actor, .. } = self.slots[slot as usize];
        let hash = self.hash(self.bytes.get(key));
        let (slots, bytes) = (&self.slots, &self.bytes);
        let entry = self.heads.find_entry(hash, |head| bytes.get(slots[*head as usize].key) == bytes.get(key));
        if let Ok(mut entry) = entry {
            let head = *entry.get();
            if head == slot && next == NONE {
                entry.remove();
                self.bytes.forget(key);
            } else if head == slot {
                *entry.get_mut() = next;
            } else {
                let before = self.chain(head).find(|at| self.slots[*at as usize].next == slot);
                debug_assert!(before.is_some(), "a fact is not in its chain");
                if let Some(before) = before {
                    self.slots[before as usize].next = next;
                }
            }
        }
        self.bytes.forget(payload);
        self.slots[slot as usize].live = false;
        self.live -= 1;
        self.line_mut(actor).dead += 1;
        let key = self.bytes.get(key).to_vec();
        self.note(&key, |scopes, scope| {
            if let Some(of) = scopes.slots.get_mut(scope) {
                of.remove(&slot);
                if of.is_empty() {
                    scopes.slots.remove(scope);
                }
            }
        });
    }

    fn note(&mut self, key: &[u8], change: impl FnOnce(&mut Scopes, &[u8])) {
        if let Some(touched) = &mut self.touched {
            touched.note(key);
        }
        if let Some(scopes) = &mut self.scopes {
            let scope = (scopes.of)(key);
            change(scopes, scope);
        }
    }

    /// Lets go of the slots of removed facts, once they are many: a constant for each removal, over time.
    pub(super) fn tidy_line(&mut self, actor: ActorId) {
        let line = &mut self.lines[actor.at()];
        if line.dead < 32 || line.dead * 2 < line.slots.len() {
            return;
        }
        let (slots, free) = (&self.slots, &mut self.free);
        line.slots.retain(|slot| {
            let live = slots[*slot as usize].live;
            if !live {
                free.push(*slot);
            }
            live
        });
        line.dead = 0;
    }

    /// As `tidy_line`, for keys and payloads.
    pub(super) fn tidy_bytes(&mut self) {
        if !self.bytes.is_mostly_garbage() {
            return;
        }
        let mut kept = Arena::with_capacity(self.bytes.used());
        let heads: Vec<u32> = self.heads.iter().copied().collect();
        for head in heads {
            let key = kept.put(self.bytes.get(self.slots[head as usize].key));
            let mut at = head;
            while at != NONE {
                let slot = &mut self.slots[at as usize];
                slot.key = key;
                slot.payload = kept.put(self.bytes.get(slot.payload));
                at = slot.next;
            }
        }
        self.bytes = kept;
    }
}
