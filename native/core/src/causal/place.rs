//! A place in the causal lane, as cursors have it.

use super::actor::{Actor, Clock};
use super::head::take_actor;
use super::OriginView;
use crate::event::Malformed;
use crate::packed::Unpack;
use std::collections::BTreeMap;

/// Where a subscription stands: what it has had of each origin, and of one entry a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub had: BTreeMap<Actor, u64>,
    /// Of the entry after those: events up to, not including, this offset.
    pub parts: BTreeMap<Actor, u32>,
}

impl Place {
    /// u16 count and u16 parts, then per origin its actor and u64 counter, then per part its actor and u32 offset.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + 20 * self.had.len() + 16);
        out.extend_from_slice(&(self.had.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.parts.len() as u16).to_le_bytes());
        for (actor, counter) in &self.had {
            actor.put(&mut out);
            out.extend_from_slice(&counter.to_le_bytes());
        }
        for (actor, offset) in &self.parts {
            actor.put(&mut out);
            out.extend_from_slice(&offset.to_le_bytes());
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(bytes);
        let (count, parts) = (fields.u16()?, fields.u16()?);
        let mut place = Self::default();
        for _ in 0..count {
            let (actor, counter) = (take_actor(&mut fields)?, fields.u64()?);
            if counter == u64::MAX {
                // Behind every entry there may be another.
                return Err(Malformed { at: 0, what: "an entry that there cannot be" });
            }
            place.had.insert(actor, counter);
        }
        for _ in 0..parts {
            place.parts.insert(take_actor(&mut fields)?, fields.u32()?);
        }
        if place.had.len() != usize::from(count) || place.parts.len() != usize::from(parts) {
            return Err(Malformed { at: 0, what: "an origin twice" });
        }
        fields.end()?;
        Ok(place)
    }

    /// Whether everything that was had is delivered.
    pub fn is_within(&self, origins: &[OriginView], delivered: &Clock) -> bool {
        let delivered: BTreeMap<Actor, u64> = delivered.iter().filter_map(|(id, counter)| Some((origins.get(id.at())?.actor, counter))).collect();
        let reaches = |actor: &Actor, counter: u64| delivered.get(actor).is_some_and(|known| *known >= counter);
        // Parts are of the entries after those.
        let parts = self.parts.keys().all(|actor| reaches(actor, self.had.get(actor).map_or(1, |had| had + 1)));
        parts && self.had.iter().all(|(actor, counter)| *counter == 0 || reaches(actor, *counter))
    }

    /// The beginning of what the logs still have.
    pub fn oldest(origins: &[OriginView]) -> Self {
        let had = origins.iter().filter(|origin| origin.first > 1).map(|origin| (origin.actor, origin.first - 1)).collect();
        Self { had, parts: BTreeMap::new() }
    }

    /// The end of what is delivered.
    pub fn latest(origins: &[OriginView], delivered: &Clock) -> Self {
        let had = delivered.iter().filter_map(|(id, counter)| Some((origins.get(id.at())?.actor, counter))).collect();
        Self { had, parts: BTreeMap::new() }
    }
}
