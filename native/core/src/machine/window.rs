//! Suppression by event id over the last events of a group (rule R3), and the index that `outcome` asks.

use crate::ids::{EventId, Index};
use hashbrown::HashTable;

/// Where an accepted event stands, and what its bytes were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: EventId,
    pub fingerprint: u64,
    pub index: Index,
    pub offset: u32,
}

/// The last `capacity` accepted events, found by id in one probe.
///
/// Invariant: `table` holds exactly one slot number for each of `ring`'s places, and ids in `ring` are distinct.
pub struct IdWindow {
    ring: Vec<Place>,
    /// Slot that the next event takes once the ring is full.
    next: usize,
    capacity: usize,
    table: HashTable<u32>,
    /// Keys the hash, so that chosen ids cannot pile up in one bucket. Not replicated: it orders nothing.
    key: u64,
    forgotten: u64,
}

impl IdWindow {
    pub fn new(capacity: usize, key: u64) -> Self {
        let capacity = capacity.clamp(1, u32::MAX as usize);
        // Room for everything at once: growing later would rehash a million entries on the protocol thread.
        Self { ring: Vec::new(), next: 0, capacity, table: HashTable::with_capacity(capacity), key, forgotten: 0 }
    }

    fn hash(key: u64, id: EventId) -> u64 {
        let folded = (id.0 as u64) ^ ((id.0 >> 64) as u64).rotate_left(29) ^ key;
        let product = (folded as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        (product as u64) ^ ((product >> 64) as u64)
    }

    pub fn find(&self, id: EventId) -> Option<&Place> {
        let slot = self.table.find(Self::hash(self.key, id), |slot| self.ring[*slot as usize].id == id)?;
        self.ring.get(*slot as usize)
    }

    /// Adds a place whose id is not in the window; the oldest makes room.
    pub fn insert(&mut self, place: Place) {
        debug_assert!(self.find(place.id).is_none());
        let slot = if self.ring.len() < self.capacity {
            self.ring.push(place);
            self.ring.len() - 1
        } else {
            let slot = self.next;
            let oldest = self.ring[slot].id;
            if let Ok(entry) = self.table.find_entry(Self::hash(self.key, oldest), |at| *at as usize == slot) {
                entry.remove();
            }
            self.ring[slot] = place;
            self.forgotten += 1;
            slot
        };
        self.next = (slot + 1) % self.capacity;
        let (ring, key) = (&self.ring, self.key);
        self.table.insert_unique(Self::hash(key, place.id), slot as u32, |at| Self::hash(key, ring[*at as usize].id));
    }

    /// Events that have left the window: above zero, not finding an id proves nothing.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub fn len(&self) -> usize {
        self.ring.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(id: u128, index: u64) -> Place {
        Place { id: EventId(id), fingerprint: id as u64, index: Index(index), offset: 0 }
    }

    proptest! {
        #[test]
        fn holds_exactly_the_last_events(ids in proptest::collection::vec(0u128..200, 1..400), capacity in 1usize..40) {
            let mut window = IdWindow::new(capacity, 7);
            let mut model: Vec<u128> = Vec::new();
            for (at, id) in ids.iter().enumerate() {
                let known = model.iter().rev().take(capacity).any(|other| other == id);
                prop_assert_eq!(window.find(EventId(*id)).is_some(), known);
                if !known {
                    window.insert(place(*id, at as u64));
                    model.push(*id);
                }
            }
            prop_assert_eq!(window.forgotten() as usize, model.len().saturating_sub(capacity));
            for id in 0u128..200 {
                let known = model.iter().rev().take(capacity).any(|other| *other == id);
                prop_assert_eq!(window.find(EventId(id)).is_some(), known);
            }
        }
    }
}
