//! Register whose last writer wins (Shapiro et al., INRIA RR-7506, specification 8): by hybrid clock, then by actor.
//!
//! Writes that nobody has seen together stand side by side until the next one: were the losers dropped at once, a removal
//! of the winner by one who had not seen them would come out differently from one order of joins to another.

use super::{Descriptor, Type, STAMP_BYTES};
use crate::bytes_le::u64_at;
use crate::clock::ActorId;
use crate::crdt::store::{Fact, Replaces, Store};
use crate::crdt::CrdtError;

pub(in crate::crdt) const DESCRIPTOR: Descriptor =
    Descriptor { of: Type::LwwRegister, name: "lww-register", stamped: true, keyed: false, allows: |_| true };

/// `stamp`: the hybrid clock now. What this write has seen it comes after, whatever the clock says.
pub fn set(store: &mut Store, me: ActorId, key: &[u8], value: &[u8], stamp: u64) -> Result<(), CrdtError> {
    let seen = store.facts(key).map(|fact| u64_at(fact.payload, 0)).max();
    let after = seen.map_or(Some(0), |seen| seen.checked_add(1)).ok_or(CrdtError::Limit { what: "a stamp", max: u64::MAX })?;
    let mut payload = Vec::with_capacity(STAMP_BYTES + value.len());
    payload.extend_from_slice(&stamp.max(after).to_le_bytes());
    payload.extend_from_slice(value);
    store.put(me, key, &payload, Replaces::All)
}

pub fn get<'a>(store: &'a Store, key: &[u8]) -> Option<&'a [u8]> {
    winner(store, store.facts(key))
}

pub fn winner<'a>(store: &Store, facts: impl Iterator<Item = Fact<'a>>) -> Option<&'a [u8]> {
    let rank = |fact: &Fact<'a>| (u64_at(fact.payload, 0), store.actors().name(fact.actor), fact.counter);
    facts.max_by(|a, b| rank(a).cmp(&rank(b))).map(|fact| &fact.payload[STAMP_BYTES..])
}
