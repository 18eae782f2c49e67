//! Counter that goes both ways (Shapiro et al., INRIA RR-7506, specification 7): each actor has one fact, the sums of what
//! it added and took away.
//!
//! Under a key of a map: removing the key takes away what was seen; an actor that changes the counter meanwhile brings
//! back its own sums, whole.

use super::g_counter::SUM_MAX;
use super::{Descriptor, Type};
use crate::clock::ActorId;
use crate::crdt::columns::{put_varint, Fields};
use crate::crdt::store::{Replaces, Store};
use crate::crdt::CrdtError;

pub(in crate::crdt) const DESCRIPTOR: Descriptor = Descriptor {
    of: Type::PnCounter,
    name: "pn-counter",
    stamped: false,
    keyed: false,
    allows: |payload| sums(payload).is_some(),
};

fn sums(payload: &[u8]) -> Option<(u64, u64)> {
    let mut fields = Fields::new(payload);
    let sums = (fields.varint().ok()?, fields.varint().ok()?);
    fields.end().ok().map(|()| sums)
}

pub fn add(store: &mut Store, me: ActorId, key: &[u8], by: i64) -> Result<(), CrdtError> {
    let own = store.facts(key).filter(|fact| fact.actor == me).filter_map(|fact| sums(fact.payload)).max();
    let (mut plus, mut minus) = own.unwrap_or((0, 0));
    let side = if by < 0 { &mut minus } else { &mut plus };
    let total = side.checked_add(by.unsigned_abs()).filter(|total| *total <= SUM_MAX);
    *side = total.ok_or(CrdtError::Limit { what: "added to or taken from a counter by one actor", max: SUM_MAX })?;
    let mut payload = Vec::with_capacity(16);
    put_varint(&mut payload, plus);
    put_varint(&mut payload, minus);
    store.put(me, key, &payload, Replaces::Own)
}

pub fn value(store: &Store, key: &[u8]) -> i128 {
    store.facts(key).filter_map(|fact| sums(fact.payload)).map(|(plus, minus)| i128::from(plus) - i128::from(minus)).sum()
}
