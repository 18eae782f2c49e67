//! Version vectors with gaps: which dots (actor, counter) are known, of which most are the first ones of their actor
//! (Almeida, Baquero et al., "Scalable and accurate causality tracking for eventually consistent stores", DAIS 2014).

use super::{ActorId, Ranges};

/// Actors are those of a table kept beside it.
#[derive(Clone, Debug, Default)]
pub struct DottedVector {
    by_actor: Vec<Ranges>,
}

static NONE: Ranges = Ranges::EMPTY;

impl DottedVector {
    pub fn of(&self, actor: ActorId) -> &Ranges {
        self.by_actor.get(actor.at()).unwrap_or(&NONE)
    }

    pub fn of_mut(&mut self, actor: ActorId) -> &mut Ranges {
        if self.by_actor.len() <= actor.at() {
            self.by_actor.resize_with(actor.at() + 1, Ranges::default);
        }
        &mut self.by_actor[actor.at()]
    }

    pub fn contains(&self, actor: ActorId, counter: u64) -> bool {
        self.of(actor).contains(counter)
    }

    pub fn add(&mut self, actor: ActorId, counter: u64) {
        self.of_mut(actor).insert(counter, counter);
    }

    /// The counter after all that are known of an actor; `None` when there is no more.
    pub fn next(&self, actor: ActorId) -> Option<u64> {
        self.of(actor).max().checked_add(1)
    }

    pub fn is_empty(&self) -> bool {
        self.by_actor.iter().all(Ranges::is_empty)
    }

    /// Those of whom anything is known.
    pub fn actors(&self) -> impl Iterator<Item = (ActorId, &Ranges)> {
        let known = self.by_actor.iter().enumerate().filter(|(_, ranges)| !ranges.is_empty());
        known.map(|(at, ranges)| (ActorId(at as u16), ranges))
    }

    /// Rough size, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.by_actor.iter().map(Ranges::memory_bytes).sum()
    }
}
