//! Map of any other type, in which a change under a key survives a removal of the key that has not seen it.
//!
//! All keys share one context, so that removing a key leaves nothing behind. A type with elements has the map's key in
//! front of each: a varint length, the key, the element.

use crate::crdt::columns::{put_varint, Fields};

/// The engine's key for an element under a map's key.
pub fn join(key: &[u8], element: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(key.len() + element.len() + 3);
    put_varint(&mut joined, key.len() as u64);
    joined.extend_from_slice(key);
    joined.extend_from_slice(element);
    joined
}

/// The map's key and the element; `None` for what `join` does not make, such as a length in more bytes than it takes: an
/// element has one form, or it would be listed where nobody finds it.
pub fn split(joined: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Fields::new(joined);
    let length = usize::try_from(fields.varint().ok()?).ok()?;
    let told = joined.len() - fields.left();
    if told > 1 && joined[told - 1] == 0 {
        return None;
    }
    let key = fields.take(length).ok()?;
    fields.take(fields.left()).ok().map(|element| (key, element))
}

/// The map's key alone.
pub fn scope(joined: &[u8]) -> &[u8] {
    split(joined).map_or(&[], |(key, _)| key)
}
