//! Set in which an addition survives a removal that has not seen it, without tombstones (Bieniusa et al., "An optimized
//! conflict-free replicated set", INRIA RR-8083).

use super::{Descriptor, Type};
use crate::clock::ActorId;
use crate::crdt::store::{Replaces, Store};
use crate::crdt::CrdtError;

pub(in crate::crdt) const DESCRIPTOR: Descriptor =
    Descriptor { of: Type::OrSet, name: "or-set", stamped: false, keyed: true, allows: <[u8]>::is_empty };

pub fn add(store: &mut Store, me: ActorId, key: &[u8]) -> Result<(), CrdtError> {
    store.put(me, key, &[], Replaces::All)
}

/// False when it is not there.
pub fn remove(store: &mut Store, key: &[u8]) -> bool {
    store.remove(key)
}

pub fn has(store: &Store, key: &[u8]) -> bool {
    store.has(key)
}
