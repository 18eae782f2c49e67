//! How often each kind of fault took effect.

use super::kinds::{FaultKind, KINDS};

#[derive(Clone, Debug, Default)]
pub struct Counts([u64; KINDS.len()]);

impl Counts {
    pub fn note(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    pub fn add(&mut self, other: &Counts) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }

    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// By name, in the order of the table, what never struck included.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        KINDS.iter().map(|row| (row.name, self.of(row.kind)))
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
