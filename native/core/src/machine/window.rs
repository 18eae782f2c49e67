//! Suppression by event id over the last events of a group (rule R3), and the index that `outcome` asks.
//!
//! Every member probes this table for every event, and nearly every probe misses the processor's caches. The table is
//! our own so that a batch can have its slots loaded together beforehand (`touch`), which no library's offers: 9 % less
//! processor time an event, all included.

use crate::ids::{EventId, Index};
use std::sync::Arc;

/// Places that a snapshot shares with the window until one of them changes.
const CHUNK_PLACES: usize = 4096;

/// Where an accepted event stands, and what its bytes were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: EventId,
    pub fingerprint: u64,
    pub index: Index,
    pub offset: u32,
}

/// What a window keeps of an event.
pub trait Identified: Copy {
    fn id(&self) -> EventId;
}

impl Identified for Place {
    fn id(&self) -> EventId {
        self.id
    }
}

/// The last `capacity` accepted events, found by id in one probe.
///
/// Invariant: `slots` holds exactly one slot number for each of `ring`'s places, and ids in `ring` are distinct.
pub struct IdWindow<P = Place> {
    ring: Ring<P>,
    /// Slot of the ring that the next event takes once it is full.
    next: usize,
    capacity: usize,
    /// Hash in the upper half, slot + 1 in the lower; 0 is empty. Linear probing, deletion by shifting back.
    slots: Vec<u64>,
    mask: usize,
    /// Keys the hash, so that chosen ids cannot pile up in one place. Not replicated: it orders nothing.
    key: u64,
    forgotten: u64,
}

/// Places by slot, in chunks that are copied only when they change while an image holds them.
#[derive(Clone)]
struct Ring<P> {
    chunks: Vec<Arc<Vec<P>>>,
    len: usize,
}

impl<P: Identified> Ring<P> {
    fn get(&self, slot: usize) -> &P {
        &self.chunks[slot / CHUNK_PLACES][slot % CHUNK_PLACES]
    }

    fn set(&mut self, slot: usize, place: P) {
        Arc::make_mut(&mut self.chunks[slot / CHUNK_PLACES])[slot % CHUNK_PLACES] = place;
    }

    fn push(&mut self, place: P) {
        if self.len % CHUNK_PLACES == 0 {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK_PLACES)));
        }
        let last = self.chunks.len() - 1;
        Arc::make_mut(&mut self.chunks[last]).push(place);
        self.len += 1;
    }
}

/// The window as it stood at one moment; taking it copies no place.
#[derive(Clone)]
pub struct WindowImage<P = Place> {
    ring: Ring<P>,
    oldest: usize,
    pub forgotten: u64,
}

impl<P: Identified> WindowImage<P> {
    pub fn len(&self) -> usize {
        self.ring.len
    }

    pub fn is_empty(&self) -> bool {
        self.ring.len == 0
    }

    /// Oldest first, the same on every member whatever its capacity's history.
    pub fn places(&self) -> impl Iterator<Item = &P> {
        let len = self.ring.len;
        (0..len).map(move |at| self.ring.get((self.oldest + at) % len))
    }
}

impl<P: Identified> IdWindow<P> {
    pub fn new(capacity: usize, key: u64) -> Self {
        let capacity = capacity.clamp(1, (u32::MAX - 1) as usize);
        let size = (capacity * 2).next_power_of_two();
        Self { ring: Ring { chunks: Vec::new(), len: 0 }, next: 0, capacity, slots: vec![0; size], mask: size - 1, key, forgotten: 0 }
    }

    pub fn image(&self) -> WindowImage<P> {
        let oldest = if self.ring.len == self.capacity { self.next } else { 0 };
        WindowImage { ring: self.ring.clone(), oldest, forgotten: self.forgotten }
    }

    /// Takes up what an image said was forgotten before its first place.
    pub fn set_forgotten(&mut self, forgotten: u64) {
        self.forgotten = forgotten;
    }

    fn hash(key: u64, id: EventId) -> u32 {
        let folded = (id.0 as u64) ^ ((id.0 >> 64) as u64).rotate_left(29) ^ key;
        let product = (folded as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let mixed = (product as u64) ^ ((product >> 64) as u64);
        (mixed ^ (mixed >> 32)) as u32
    }

    /// Loads what `find` and `insert` of these ids will look at: the misses of a batch overlap.
    pub fn touch(&self, ids: impl Iterator<Item = EventId>) {
        let (mut sum, mut at) = (0u64, self.next);
        let full = self.ring.len == self.capacity;
        for id in ids {
            sum ^= self.slots[Self::hash(self.key, id) as usize & self.mask];
            if full {
                sum ^= self.slots[Self::hash(self.key, self.ring.get(at).id()) as usize & self.mask];
                at = if at + 1 == self.capacity { 0 } else { at + 1 };
            }
        }
        std::hint::black_box(sum);
    }

    pub fn find(&self, id: EventId) -> Option<&P> {
        let hash = Self::hash(self.key, id);
        let mut at = hash as usize & self.mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if (slot >> 32) as u32 == hash {
                let place = self.ring.get((slot as u32 - 1) as usize);
                if place.id() == id {
                    return Some(place);
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Takes a place out and closes the gap: a later slot of the same run moves up unless it stands before its home
    /// (Knuth, TAOCP volume 3, section 6.4, algorithm R).
    fn remove(&mut self, id: EventId, ring_slot: usize) {
        let hash = Self::hash(self.key, id);
        let wanted = (u64::from(hash) << 32) | (ring_slot as u64 + 1);
        let mut at = hash as usize & self.mask;
        while self.slots[at] != wanted {
            if self.slots[at] == 0 {
                return;
            }
            at = (at + 1) & self.mask;
        }
        let mut hole = at;
        loop {
            at = (at + 1) & self.mask;
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let home = (slot >> 32) as usize & self.mask;
            if (at.wrapping_sub(home) & self.mask) >= (at.wrapping_sub(hole) & self.mask) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = 0;
    }

    /// Adds a place whose id is not in the window; the oldest makes room.
    pub fn insert(&mut self, place: P) {
        debug_assert!(self.find(place.id()).is_none());
        let slot = if self.ring.len < self.capacity {
            self.ring.push(place);
            self.ring.len - 1
        } else {
            let slot = self.next;
            self.remove(self.ring.get(slot).id(), slot);
            self.ring.set(slot, place);
            self.forgotten += 1;
            slot
        };
        self.next = if slot + 1 == self.capacity { 0 } else { slot + 1 };
        let hash = Self::hash(self.key, place.id());
        let mut at = hash as usize & self.mask;
        while self.slots[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.slots[at] = (u64::from(hash) << 32) | (slot as u64 + 1);
    }

    /// Events that have left the window: above zero, not finding an id proves nothing.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
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
