//! Register that keeps every value nobody has overwritten (Shapiro et al., INRIA RR-7506, specification 10).

use super::{Descriptor, Type};
use crate::clock::ActorId;
use crate::crdt::store::{Replaces, Store};
use crate::crdt::CrdtError;

pub(in crate::crdt) const DESCRIPTOR: Descriptor =
    Descriptor { of: Type::MvRegister, name: "mv-register", stamped: false, keyed: false, allows: |_| true };

pub fn set(store: &mut Store, me: ActorId, key: &[u8], value: &[u8]) -> Result<(), CrdtError> {
    store.put(me, key, value, Replaces::All)
}

/// The values side by side, each once, in the order of their bytes.
pub fn values<'a>(store: &'a Store, key: &[u8]) -> Vec<&'a [u8]> {
    let mut values: Vec<&[u8]> = store.facts(key).map(|fact| fact.payload).collect();
    values.sort_unstable();
    values.dedup();
    values
}
