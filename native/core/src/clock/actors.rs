//! Names of actors as small integers, so that clocks are arrays.

use std::collections::BTreeMap;
use std::sync::Arc;

/// An actor in one table: not comparable with that of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub u16);

impl ActorId {
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// What one table holds at most: living actors are far fewer, those that have left still stand in what they wrote.
pub const ACTORS_MAX: usize = 1 << 16;
/// A node id and the number of an incarnation.
pub const ACTOR_NAME_BYTES_MAX: usize = 80;

/// Grows only.
#[derive(Clone, Debug, Default)]
pub struct Actors {
    names: Vec<Arc<str>>,
    by_name: BTreeMap<Arc<str>, ActorId>,
}

impl Actors {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn ids(&self) -> impl Iterator<Item = ActorId> {
        (0..self.names.len()).map(|at| ActorId(at as u16))
    }

    pub fn get(&self, name: &str) -> Option<ActorId> {
        self.by_name.get(name).copied()
    }

    /// Empty for an id of another table.
    pub fn name(&self, id: ActorId) -> &str {
        self.names.get(id.at()).map_or("", |name| name)
    }

    /// `None` when the table is full.
    pub fn intern(&mut self, name: &str) -> Option<ActorId> {
        if let Some(id) = self.get(name) {
            return Some(id);
        }
        if self.names.len() == ACTORS_MAX {
            return None;
        }
        let (id, name) = (ActorId(self.names.len() as u16), Arc::<str>::from(name));
        self.names.push(name.clone());
        self.by_name.insert(name, id);
        Some(id)
    }

    /// Rough size, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.names.iter().map(|name| name.len() + 80).sum()
    }
}
