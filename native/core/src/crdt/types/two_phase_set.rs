//! Set from which an element is removed once and for all (Shapiro et al., INRIA RR-7506, specification 12).
//!
//! What was removed is remembered for as long as the set lives: that is what this type is for. An `or-set` is not.

use super::{Descriptor, Type};
use crate::clock::ActorId;
use crate::crdt::store::{Fact, Replaces, Store};
use crate::crdt::CrdtError;

pub(in crate::crdt) const DESCRIPTOR: Descriptor =
    Descriptor { of: Type::TwoPhaseSet, name: "two-phase-set", stamped: false, keyed: true, allows: |payload| payload.is_empty() || payload == REMOVED };

const REMOVED: &[u8] = &[1];

/// False when it is there, or was removed.
pub fn add(store: &mut Store, me: ActorId, key: &[u8]) -> Result<bool, CrdtError> {
    if store.has(key) {
        return Ok(false);
    }
    store.put(me, key, &[], Replaces::All).map(|()| true)
}

/// False when it is not there: what was never added cannot be removed.
pub fn remove(store: &mut Store, me: ActorId, key: &[u8]) -> Result<bool, CrdtError> {
    if !has(store, key) {
        return Ok(false);
    }
    store.put(me, key, REMOVED, Replaces::All).map(|()| true)
}

pub fn has(store: &Store, key: &[u8]) -> bool {
    store.has(key) && stands(store.facts(key))
}

/// Whether facts of one element say that it is there.
pub fn stands<'a>(mut facts: impl Iterator<Item = Fact<'a>>) -> bool {
    facts.all(|fact| fact.payload != REMOVED)
}
