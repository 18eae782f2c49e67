//! Who writes an origin's log: a member, in one stretch of its life that others can follow without a doubt (rule R7).

use crate::ids::MemberId;

/// Of a member's actors, `incarnation` 0 is the first; later ones are drawn by lot (docs/decisions/0022).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    pub member: MemberId,
    pub incarnation: u32,
}

impl Actor {
    pub const BYTES: usize = 12;

    pub fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.member.0.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
    }

    /// As clocks spell it: the node id, and after a tilde the incarnation where it is not the first.
    pub fn name(self, node_id: &str) -> String {
        match self.incarnation {
            0 => node_id.to_string(),
            incarnation => format!("{node_id}~{incarnation:x}"),
        }
    }
}

/// An origin as this member counts them; means nothing elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub u16);

impl OriginId {
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// A version vector without gaps: of each origin the counter up to which everything is meant, 0 for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock(Vec<u64>);

impl Clock {
    pub fn get(&self, origin: OriginId) -> u64 {
        self.0.get(origin.at()).copied().unwrap_or(0)
    }

    pub fn set(&mut self, origin: OriginId, counter: u64) {
        if self.0.len() <= origin.at() {
            self.0.resize(origin.at() + 1, 0);
        }
        self.0[origin.at()] = counter;
    }

    pub fn raise(&mut self, origin: OriginId, counter: u64) {
        if self.get(origin) < counter {
            self.set(origin, counter);
        }
    }

    /// Those of which there is something.
    pub fn iter(&self) -> impl Iterator<Item = (OriginId, u64)> + '_ {
        let all = self.0.iter().enumerate().filter(|(_, counter)| **counter > 0);
        all.map(|(at, counter)| (OriginId(at as u16), *counter))
    }

    pub fn covers(&self, other: &Clock) -> bool {
        other.iter().all(|(origin, counter)| counter <= self.get(origin))
    }
}
