//! Grow-only counter (Shapiro et al., INRIA RR-7506, specification 6): each actor has one fact, its own sum.

use super::{Descriptor, Type};
use crate::clock::ActorId;
use crate::crdt::columns::{put_varint, Fields};
use crate::crdt::store::{Replaces, Store};
use crate::crdt::CrdtError;

pub(in crate::crdt) const DESCRIPTOR: Descriptor = Descriptor {
    of: Type::GCounter,
    name: "g-counter",
    stamped: false,
    keyed: false,
    allows: |payload| sum(payload).is_some(),
};

fn sum(payload: &[u8]) -> Option<u64> {
    let mut fields = Fields::new(payload);
    let sum = fields.varint().ok()?;
    fields.end().ok().map(|()| sum)
}

/// What one actor can have added, in all.
pub const SUM_MAX: u64 = (1 << 53) - 1;

pub fn add(store: &mut Store, me: ActorId, key: &[u8], by: u64) -> Result<(), CrdtError> {
    let own = store.facts(key).filter(|fact| fact.actor == me).filter_map(|fact| sum(fact.payload)).max().unwrap_or(0);
    let total = own.checked_add(by).filter(|total| *total <= SUM_MAX);
    let total = total.ok_or(CrdtError::Limit { what: "added to a counter by one actor", max: SUM_MAX })?;
    let mut payload = Vec::with_capacity(9);
    put_varint(&mut payload, total);
    store.put(me, key, &payload, Replaces::Own)
}

pub fn value(store: &Store, key: &[u8]) -> i128 {
    store.facts(key).filter_map(|fact| sum(fact.payload)).map(i128::from).sum()
}
