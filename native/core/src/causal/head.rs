//! What stands beside an entry of an origin's log: whose it is and what it follows (docs/formats.md, "Origin entry").

use super::actor::Actor;
use crate::event::Malformed;
use crate::ids::MemberId;
use crate::packed::Unpack;

const VERSION: u8 = 1;
const WHOLE: u8 = 1;
/// Actors that one entry names at most.
pub const DEPENDENCIES_MAX: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub actor: Actor,
    /// `follows` is all that the entry follows; else what it follows beyond the entry before it.
    pub whole: bool,
    /// Of each actor the counter up to which everything happened before.
    pub follows: Vec<(Actor, u64)>,
}

impl Head {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 20 * self.follows.len());
        out.extend_from_slice(&[VERSION, if self.whole { WHOLE } else { 0 }]);
        out.extend_from_slice(&(self.follows.len() as u16).to_le_bytes());
        self.actor.put(&mut out);
        for (actor, counter) in &self.follows {
            actor.put(&mut out);
            out.extend_from_slice(&counter.to_le_bytes());
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(bytes);
        if fields.u8()? != VERSION {
            return Err(Malformed { at: 0, what: "unknown version of an origin entry" });
        }
        let flags = fields.u8()?;
        if flags & !WHOLE != 0 {
            return Err(Malformed { at: 1, what: "unknown flags of an origin entry" });
        }
        let count = usize::from(fields.u16()?);
        if count > DEPENDENCIES_MAX {
            return Err(Malformed { at: 2, what: "more dependencies than an entry may have" });
        }
        let actor = take_actor(&mut fields)?;
        // No more room than there are bytes for, whatever is said.
        let mut follows = Vec::with_capacity(count.min(bytes.len() / (Actor::BYTES + 8)));
        for _ in 0..count {
            follows.push((take_actor(&mut fields)?, fields.u64()?));
        }
        fields.end()?;
        Ok(Self { actor, whole: flags & WHOLE != 0, follows })
    }
}

pub fn take_actor(fields: &mut Unpack<'_>) -> Result<Actor, Malformed> {
    Ok(Actor { member: MemberId(fields.u64()?), incarnation: fields.u32()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn actor() -> impl Strategy<Value = Actor> {
        (any::<u64>(), any::<u32>()).prop_map(|(member, incarnation)| Actor { member: MemberId(member), incarnation })
    }

    proptest! {
        #[test]
        fn comes_back(actor in actor(), whole: bool, follows in prop::collection::vec((actor(), any::<u64>()), 0..9)) {
            let head = Head { actor, whole, follows };
            prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Head::decode(&bytes);
        }
    }
}
