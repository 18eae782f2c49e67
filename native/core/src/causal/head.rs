//! What stands beside an entry of an origin's log: whose it is and what it follows (docs/formats.md, "Origin entry").

use super::actor::Actor;
use crate::event::Malformed;
use crate::ids::{Index, MemberId};
use crate::packed::Unpack;

const VERSION: u8 = 1;
/// Says who holds it, too.
const HELD_VERSION: u8 = 2;
const WHOLE: u8 = 1;
/// Actors that one entry names at most.
pub const DEPENDENCIES_MAX: usize = 4_096;
/// Members that one entry names as its holders at most.
const HOLDERS_MAX: usize = 4_096;

/// Who holds an entry besides the voters and its writer (rule R10), by the rules that its writer went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// Of these rules: index of the entry of group 0 that set them.
    pub version: Index,
    /// Ascending.
    pub members: Vec<MemberId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub actor: Actor,
    /// `follows` is all that the entry follows; else what it follows beyond the entry before it.
    pub whole: bool,
    /// Of each actor the counter up to which everything happened before.
    pub follows: Vec<(Actor, u64)>,
    /// `None`: everybody holds it.
    pub holders: Option<Holders>,
}

impl Head {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 20 * self.follows.len());
        let version = if self.holders.is_some() { HELD_VERSION } else { VERSION };
        out.extend_from_slice(&[version, if self.whole { WHOLE } else { 0 }]);
        out.extend_from_slice(&(self.follows.len() as u16).to_le_bytes());
        self.actor.put(&mut out);
        for (actor, counter) in &self.follows {
            actor.put(&mut out);
            out.extend_from_slice(&counter.to_le_bytes());
        }
        if let Some(Holders { version, members }) = &self.holders {
            out.extend_from_slice(&version.0.to_le_bytes());
            out.extend_from_slice(&(members.len() as u16).to_le_bytes());
            members.iter().for_each(|member| out.extend_from_slice(&member.0.to_le_bytes()));
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(bytes);
        let version = fields.u8()?;
        if version != VERSION && version != HELD_VERSION {
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
        let holders = match version {
            HELD_VERSION => Some(take_holders(&mut fields)?),
            _ => None,
        };
        fields.end()?;
        Ok(Self { actor, whole: flags & WHOLE != 0, follows, holders })
    }

    /// Whether an entry says who holds it, without looking further.
    pub fn has_holders(context: &[u8]) -> bool {
        context.first() == Some(&HELD_VERSION)
    }

    /// Whether a member that is no voter is to hold the entry.
    pub fn names(&self, member: MemberId) -> bool {
        let named = |holders: &Holders| holders.members.binary_search(&member).is_ok();
        self.actor.member == member || self.holders.as_ref().is_none_or(named)
    }
}

fn take_holders(fields: &mut Unpack<'_>) -> Result<Holders, Malformed> {
    let (version, at, count) = (Index(fields.u64()?), fields.at(), usize::from(fields.u16()?));
    let members: Vec<MemberId> = (0..count).map(|_| fields.u64().map(MemberId)).collect::<Result<_, _>>()?;
    match count <= HOLDERS_MAX && members.is_sorted_by(|one, next| one < next) {
        true => Ok(Holders { version, members }),
        false => Err(Malformed { at, what: "holders out of order, or more than there may be" }),
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
        fn comes_back(
            actor in actor(),
            whole: bool,
            follows in prop::collection::vec((actor(), any::<u64>()), 0..9),
            held in prop::option::of((any::<u64>(), prop::collection::btree_set(any::<u64>(), 0..5))),
        ) {
            let holders = held.map(|(version, members)| Holders { version: Index(version), members: members.into_iter().map(MemberId).collect() });
            let head = Head { actor, whole, follows, holders };
            prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Head::decode(&bytes);
        }
    }
}
