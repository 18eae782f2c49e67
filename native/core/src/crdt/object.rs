//! One replica of one object.

use super::batch::Batch;
use super::compare::{self, Compared};
use super::encode::{encode, live_in};
use super::touched::Touched;
use super::types::{g_counter, lww_register, map, mv_register, or_set, pn_counter, two_phase_set, Shape, Type, STAMP_BYTES};
use super::{CrdtError, Store, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::clock::AHEAD_MS_MAX;
use crate::clock::{ActorId, DottedVector};
use std::borrow::Cow;


/// Operations take the map's key, empty where the object is no map.
#[derive(Clone, Debug)]
pub struct Object {
    shape: Shape,
    store: Store,
    me: ActorId,
}

impl Object {
    /// `actor` makes the dots here: no other replica may have it, nor may it come back with an older state.
    pub fn new(shape: Shape, actor: &str, seed: u64) -> Result<Self, CrdtError> {
        let mut store = Store::new(seed, (shape.map && shape.of.is_keyed()).then_some(map::scope));
        let me = intern(&mut store, actor)?;
        Ok(Self { shape, store, me })
    }

    /// From now on dots here are made by another actor; the same holds for it.
    pub fn act_as(&mut self, actor: &str) -> Result<(), CrdtError> {
        self.me = intern(&mut self.store, actor)?;
        Ok(())
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// From now on changed keys are noted, or no longer.
    pub fn watch(&mut self, watched: bool) {
        self.store.watch(watched);
    }

    pub fn take_touched(&mut self) -> Touched {
        self.store.take_touched()
    }

    /// Takes in a state or a delta, in any order, any number of times. True when anything has changed.
    /// `now_ms`: the wall clock here; `None` takes any stamp.
    pub fn merge(&mut self, bytes: &[u8], now_ms: Option<u64>) -> Result<bool, CrdtError> {
        let batch = Batch::decode(bytes)?;
        if batch.shape() != self.shape {
            return Err(CrdtError::Type { found: batch.shape().name(), expected: self.shape.name() });
        }
        let ahead_ms = now_ms.map_or(0, |now_ms| (batch.newest_stamp() >> 16).saturating_sub(now_ms));
        if ahead_ms > AHEAD_MS_MAX {
            return Err(CrdtError::ClockAhead { ahead_ms, max_ms: AHEAD_MS_MAX });
        }
        self.store.join(&batch)
    }

    /// Takes in another replica's state, without the way over bytes.
    pub fn merge_object(&mut self, other: &Object) -> Result<bool, CrdtError> {
        if other.shape != self.shape {
            return Err(CrdtError::Type { found: other.shape.name(), expected: self.shape.name() });
        }
        self.store.join(&other.store)
    }

    /// The first message of a comparison with another replica, which `compare` takes there.
    pub fn begin_compare(&self) -> Vec<u8> {
        compare::begin(&self.store, self.shape)
    }

    /// Takes a message of a comparison; both replicas are equal once replies and deltas have been taken on both sides.
    pub fn compare(&mut self, message: &[u8]) -> Result<Compared, CrdtError> {
        compare::answer(&mut self.store, self.shape, message)
    }

    /// The whole state.
    pub fn state(&self) -> Vec<u8> {
        encode(&self.store, self.shape, &self.store.context)
    }

    /// What local operations have changed since the last call; `None` for nothing.
    pub fn take_delta(&mut self) -> Option<Vec<u8>> {
        let fresh = std::mem::take(&mut self.store.fresh);
        (!fresh.is_empty()).then(|| encode(&self.store, self.shape, &fresh))
    }

    /// As `take_delta`, in as many deltas as it takes to keep each within so many bytes (but for a single larger fact). Taken
    /// in their order, none of them takes away what a later one puts something else in the place of.
    pub fn take_deltas(&mut self, bytes_max: usize) -> Vec<Vec<u8>> {
        let fresh = std::mem::take(&mut self.store.fresh);
        let (mut deltas, mut parts) = (Vec::new(), vec![fresh]);
        while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
            let delta = encode(&self.store, self.shape, &part);
            match (delta.len() > bytes_max).then(|| halves(&self.store, &part)).flatten() {
                Some((first, second)) => parts.extend([second, first]),
                None => deltas.push(delta),
            }
        }
        deltas
    }

    /// Whether `take_delta` would give anything.
    pub fn has_delta(&self) -> bool {
        !self.store.fresh.is_empty()
    }

    /// All dots ever seen here, over `store().actors()`.
    pub fn context(&self) -> &DottedVector {
        self.store.context()
    }

    fn require(&self, types: &[Type], operation: &'static str) -> Result<(), CrdtError> {
        if types.contains(&self.shape.of) {
            return Ok(());
        }
        Err(CrdtError::Type { found: self.shape.name(), expected: format!("a type that can {operation}") })
    }

    fn key<'a>(&self, scope: &'a [u8], element: Option<&'a [u8]>) -> Result<Cow<'a, [u8]>, CrdtError> {
        let key = match element {
            Some(element) if self.shape.map => Cow::Owned(map::join(scope, element)),
            Some(element) => Cow::Borrowed(element),
            None => Cow::Borrowed(scope),
        };
        if !self.shape.map && !scope.is_empty() {
            return Err(CrdtError::Type { found: self.shape.name(), expected: "a map".into() });
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(CrdtError::Limit { what: "bytes of a key and an element, together", max: KEY_BYTES_MAX as u64 });
        }
        Ok(key)
    }

    /// Adds to a counter.
    pub fn add(&mut self, scope: &[u8], by: i64) -> Result<(), CrdtError> {
        self.require(&[Type::GCounter, Type::PnCounter], "be added to")?;
        let key = self.key(scope, None)?;
        match (self.shape.of, u64::try_from(by)) {
            (Type::GCounter, Ok(by)) => g_counter::add(&mut self.store, self.me, &key, by),
            (Type::GCounter, Err(_)) => Err(CrdtError::Limit { what: "taken from a counter that only grows", max: 0 }),
            _ => pn_counter::add(&mut self.store, self.me, &key, by),
        }
    }

    /// What a counter comes to.
    pub fn count(&self, scope: &[u8]) -> Result<i128, CrdtError> {
        self.require(&[Type::GCounter, Type::PnCounter], "be counted")?;
        let key = self.key(scope, None)?;
        Ok(match self.shape.of {
            Type::GCounter => g_counter::value(&self.store, &key),
            _ => pn_counter::value(&self.store, &key),
        })
    }

    /// Sets a register; `stamp` is the hybrid clock now.
    pub fn set(&mut self, scope: &[u8], value: &[u8], stamp: u64) -> Result<(), CrdtError> {
        self.require(&[Type::LwwRegister, Type::MvRegister], "be set")?;
        let (key, value) = (self.key(scope, None)?, check_value(value)?);
        match self.shape.of {
            Type::LwwRegister => lww_register::set(&mut self.store, self.me, &key, value, stamp),
            _ => mv_register::set(&mut self.store, self.me, &key, value),
        }
    }

    /// Sets many keys of a map of registers, or none.
    pub fn set_all(&mut self, entries: &[(&[u8], &[u8])], stamp: u64) -> Result<(), CrdtError> {
        self.require_map()?;
        self.require(&[Type::LwwRegister, Type::MvRegister], "be set")?;
        let mut bytes = 0;
        for (key, value) in entries {
            bytes += self.key(key, None)?.len() + check_value(value)?.len() + STAMP_BYTES;
        }
        self.store.check_room(entries.len(), bytes)?;
        entries.iter().try_for_each(|(key, value)| self.set(key, value, stamp))
    }

    /// The values of a register: one, several side by side, or none where it was never set.
    pub fn values(&self, scope: &[u8]) -> Result<Vec<&[u8]>, CrdtError> {
        self.require(&[Type::LwwRegister, Type::MvRegister], "be set")?;
        let key = self.key(scope, None)?;
        Ok(match self.shape.of {
            Type::LwwRegister => lww_register::get(&self.store, &key).into_iter().collect(),
            _ => mv_register::values(&self.store, &key),
        })
    }

    /// Adds an element to a set; false when it makes no difference.
    pub fn insert(&mut self, scope: &[u8], element: &[u8]) -> Result<bool, CrdtError> {
        self.require(&[Type::OrSet, Type::TwoPhaseSet], "have elements")?;
        let key = self.key(scope, Some(element))?;
        match self.shape.of {
            Type::OrSet => or_set::add(&mut self.store, self.me, &key).map(|()| true),
            _ => two_phase_set::add(&mut self.store, self.me, &key),
        }
    }

    /// Adds many elements of a set, or none. How many made a difference.
    pub fn insert_all(&mut self, scope: &[u8], elements: &[&[u8]]) -> Result<usize, CrdtError> {
        self.check_elements(scope, elements)?;
        elements.iter().try_fold(0, |changed, element| Ok(changed + usize::from(self.insert(scope, element)?)))
    }

    /// Removes many elements of a set, or none. How many were there.
    pub fn remove_all(&mut self, scope: &[u8], elements: &[&[u8]]) -> Result<usize, CrdtError> {
        self.check_elements(scope, elements)?;
        elements.iter().try_fold(0, |changed, element| Ok(changed + usize::from(self.remove(scope, element)?)))
    }

    fn check_elements(&self, scope: &[u8], elements: &[&[u8]]) -> Result<(), CrdtError> {
        self.require(&[Type::OrSet, Type::TwoPhaseSet], "have elements")?;
        let mut bytes = 0;
        for element in elements {
            bytes += self.key(scope, Some(element))?.len() + 1;
        }
        self.store.check_room(elements.len(), bytes)
    }

    /// Removes an element of a set; false when it is not there.
    pub fn remove(&mut self, scope: &[u8], element: &[u8]) -> Result<bool, CrdtError> {
        self.require(&[Type::OrSet, Type::TwoPhaseSet], "have elements")?;
        let key = self.key(scope, Some(element))?;
        match self.shape.of {
            Type::OrSet => Ok(or_set::remove(&mut self.store, &key)),
            _ => two_phase_set::remove(&mut self.store, self.me, &key),
        }
    }

    pub fn has(&self, scope: &[u8], element: &[u8]) -> Result<bool, CrdtError> {
        self.require(&[Type::OrSet, Type::TwoPhaseSet], "have elements")?;
        let key = self.key(scope, Some(element))?;
        Ok(match self.shape.of {
            Type::OrSet => or_set::has(&self.store, &key),
            _ => two_phase_set::has(&self.store, &key),
        })
    }

    /// The elements of a set, in the order of their bytes.
    pub fn elements(&self, scope: &[u8]) -> Result<Vec<&[u8]>, CrdtError> {
        self.require(&[Type::OrSet, Type::TwoPhaseSet], "have elements")?;
        self.key(scope, Some(&[]))?;
        if !self.shape.map {
            let two_phase = self.shape.of == Type::TwoPhaseSet;
            let stands = self.store.by_key().filter_map(|(key, facts)| (!two_phase || two_phase_set::stands(facts)).then_some(key));
            return Ok(stands.collect());
        }
        let mut keys: Vec<&[u8]> = self.store.scope(scope).map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| self.shape.of == Type::OrSet || two_phase_set::has(&self.store, key));
        Ok(keys.into_iter().filter_map(map::split).map(|(_, element)| element).collect())
    }

    /// The keys of a map under which there is anything, in the order of their bytes.
    pub fn map_keys(&self) -> Result<Vec<&[u8]>, CrdtError> {
        self.require_map()?;
        Ok(if self.shape.of.is_keyed() { self.store.scopes().collect() } else { self.store.by_key().map(|(key, _)| key).collect() })
    }

    /// Every key of a map of registers with the value that has won.
    pub fn entries(&self) -> Result<impl Iterator<Item = (&[u8], &[u8])>, CrdtError> {
        self.require_map()?;
        self.require(&[Type::LwwRegister], "have one value a key")?;
        let winner = |(key, facts)| lww_register::winner(&self.store, facts).map(|value| (key, value));
        Ok(self.store.by_key().filter_map(winner))
    }

    /// Removes a key of a map, with what was seen under it; false when there is nothing.
    pub fn delete(&mut self, scope: &[u8]) -> Result<bool, CrdtError> {
        self.require_map()?;
        Ok(if self.shape.of.is_keyed() { self.store.remove_scope(scope) } else { self.store.remove(scope) })
    }

    /// Whether there is anything under a key of a map.
    pub fn has_key(&self, scope: &[u8]) -> Result<bool, CrdtError> {
        self.require_map()?;
        Ok(if self.shape.of.is_keyed() { self.store.scope(scope).next().is_some() } else { self.store.has(scope) })
    }

    fn require_map(&self) -> Result<(), CrdtError> {
        if self.shape.map {
            return Ok(());
        }
        Err(CrdtError::Type { found: self.shape.name(), expected: "a map".into() })
    }
}

fn intern(store: &mut Store, actor: &str) -> Result<ActorId, CrdtError> {
    if actor.is_empty() || actor.len() > crate::clock::ACTOR_NAME_BYTES_MAX {
        return Err(CrdtError::Limit { what: "bytes of an actor's name, and at least one", max: crate::clock::ACTOR_NAME_BYTES_MAX as u64 });
    }
    store.intern(actor)
}

/// Dots in two parts, neither empty: those that have facts before those that were removed, and else half of them each.
fn halves(store: &Store, dots: &DottedVector) -> Option<(DottedVector, DottedVector)> {
    let (mut facts, mut removed) = (DottedVector::default(), DottedVector::default());
    for (actor, ranges) in dots.actors() {
        live_in(store, actor.at(), ranges).for_each(|slot| facts.add(actor, slot.counter));
        *removed.of_mut(actor) = ranges.without(facts.of(actor));
    }
    if !facts.is_empty() && !removed.is_empty() {
        return Some((facts, removed));
    }
    let count: u64 = dots.actors().map(|(_, ranges)| ranges.count()).sum();
    let (mut first, mut second, mut left) = (DottedVector::default(), DottedVector::default(), count / 2);
    for (actor, ranges) in dots.actors() {
        for (from, to) in ranges.iter() {
            let taken = left.min(to - from + 1);
            left -= taken;
            if taken > 0 {
                first.of_mut(actor).insert(from, from + taken - 1);
            }
            second.of_mut(actor).insert(from + taken, to);
        }
    }
    (count > 1).then_some((first, second))
}

fn check_value(value: &[u8]) -> Result<&[u8], CrdtError> {
    match value.len() <= VALUE_BYTES_MAX {
        true => Ok(value),
        false => Err(CrdtError::Limit { what: "bytes of a value", max: VALUE_BYTES_MAX as u64 }),
    }
}
