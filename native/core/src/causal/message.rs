//! Bodies of the frames of the causal lane (docs/formats.md, "Peer connections").

use super::actor::Actor;
use super::head::take_actor;
use crate::event::Malformed;
use crate::ids::Index;
use crate::packed::Unpack;
use bytes::Bytes;

/// What one frame of entries holds at most, but for a single larger entry.
pub const ENTRIES_BYTES: usize = 1024 * 1024;
/// Entries after which an answer ends.
pub const ENTRIES_MAX: usize = 4_096;
/// Flags of entries: they answer a `Pull`; and what is in front of them, which was asked for, was cut.
pub const ANSWER: u32 = 1;
pub const CUT: u32 = 2;
/// Flags of a vector.
const ALL: u8 = 1;
const WAITS: u8 = 2;
const KNOWN: u8 = 4;
/// Actors in one message at most.
const ACTORS_MAX: usize = 65_536;

/// Entries of one origin, without a gap between them.
pub struct Entries {
    /// The life of the sender's process.
    pub life: u64,
    pub actor: Actor,
    /// They answer a `Pull`, of which nothing more comes.
    pub answer: bool,
    /// What was asked for is not in the sender's log any more, which begins with the first.
    pub cut: bool,
    pub first: u64,
    /// Data and context.
    pub list: Vec<(Bytes, Bytes)>,
}

impl Entries {
    pub fn encode<'a>(life: u64, actor: Actor, flags: u32, first: Index, list: impl Iterator<Item = (&'a Bytes, &'a Bytes)>, out: &mut Vec<u8>) {
        out.extend_from_slice(&life.to_le_bytes());
        actor.put(out);
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&first.0.to_le_bytes());
        for (data, context) in list {
            out.extend_from_slice(&(data.len() as u32).to_le_bytes());
            out.extend_from_slice(&(context.len() as u32).to_le_bytes());
            out.extend_from_slice(data);
            out.extend_from_slice(context);
        }
    }

    pub fn decode(body: &Bytes) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(body);
        let (life, actor, flags, first) = (fields.u64()?, take_actor(&mut fields)?, fields.u32()?, fields.u64()?);
        if ![0, ANSWER, ANSWER | CUT].contains(&flags) || first == 0 {
            return Err(Malformed { at: 20, what: "entries with unknown flags, or before the first" });
        }
        let mut list = Vec::new();
        while !fields.is_empty() {
            let (data, context) = (fields.u32()? as usize, fields.u32()? as usize);
            let from = fields.at();
            fields.bytes(data)?;
            fields.bytes(context)?;
            list.push((body.slice(from..from + data), body.slice(from + data..from + data + context)));
        }
        if first.checked_add(list.len() as u64).is_none() {
            return Err(Malformed { at: 24, what: "counters beyond the last" });
        }
        Ok(Self { life, actor, answer: flags & ANSWER != 0, cut: flags & CUT != 0, first, list })
    }
}

/// What the sender has on disk, of those origins where that has changed since it was last told, or of all.
pub struct Held {
    pub all: bool,
    /// The sender waits for the receiver to have as much of these on its disk, and is to be told at once.
    pub waits: bool,
    /// Of some of it the sender has the stub alone.
    pub known: bool,
    /// The life of the sender's process.
    pub from: u64,
    /// The life of the receiver's process of which the sender takes new entries; 0 for any.
    pub life: u64,
    pub list: Vec<(Actor, u64)>,
}

impl Held {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = [(self.all, ALL), (self.waits, WAITS), (self.known, KNOWN)];
        out.push(flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum());
        out.extend_from_slice(&self.from.to_le_bytes());
        out.extend_from_slice(&self.life.to_le_bytes());
        put_counters(&self.list, out);
    }

    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(body);
        let (flags, from, life) = (fields.u8()?, fields.u64()?, fields.u64()?);
        if flags & !(ALL | WAITS | KNOWN) != 0 {
            return Err(Malformed { at: 0, what: "unknown flags of a vector" });
        }
        let has = |flag: u8| flags & flag != 0;
        Ok(Self { all: has(ALL), waits: has(WAITS), known: has(KNOWN), from, life, list: take_counters(&mut fields)? })
    }
}

/// Which of these entries does the receiver have?
pub struct HeldQuery {
    /// The life of the sender's process.
    pub from: u64,
    pub number: u64,
    pub list: Vec<(Actor, u64)>,
}

impl HeldQuery {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.from.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        put_counters(&self.list, out);
    }

    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(body);
        Ok(Self { from: fields.u64()?, number: fields.u64()?, list: take_counters(&mut fields)? })
    }
}

/// Those of them that the sender has, and how new the table of members is that it knows.
pub struct HeldAnswer {
    /// The life of the sender's process.
    pub from: u64,
    /// The question's.
    pub number: u64,
    pub table: Index,
    pub list: Vec<(Actor, u64)>,
}

impl HeldAnswer {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.from.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.table.0.to_le_bytes());
        put_counters(&self.list, out);
    }

    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(body);
        Ok(Self { from: fields.u64()?, number: fields.u64()?, table: Index(fields.u64()?), list: take_counters(&mut fields)? })
    }
}

/// How the sender of a pull takes entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// Whole what it is to hold, and of all else the stubs.
    #[default]
    AsDue = 0,
    /// No stubs in their place.
    Whole = 1,
    /// Whatever there is: nobody has the first of them whole.
    Any = 2,
}

/// Entries that the sender lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    pub actor: Actor,
    pub first: u64,
    pub last: u64,
    pub form: Form,
}

impl Pull {
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.actor.put(out);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        // As it was before there were stubs.
        if self.form != Form::AsDue {
            out.push(self.form as u8);
        }
    }

    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(body);
        let (actor, first, last) = (take_actor(&mut fields)?, fields.u64()?, fields.u64()?);
        let form = match fields.is_empty() {
            true => Form::AsDue,
            false => match fields.u8()? {
                1 => Form::Whole,
                2 => Form::Any,
                _ => return Err(Malformed { at: 28, what: "unknown form of a pull" }),
            },
        };
        let pull = Self { actor, first, last, form };
        fields.end()?;
        if pull.first == 0 || pull.first > pull.last {
            return Err(Malformed { at: 12, what: "no such entries" });
        }
        Ok(pull)
    }
}

/// What a member has of the sender's own actors, and how new the table of members is that it knows: the answer to the
/// life of a process that asked.
pub struct KnownOf {
    pub life: u64,
    pub table: Index,
    pub list: Vec<(Actor, u64)>,
}

impl KnownOf {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.life.to_le_bytes());
        out.extend_from_slice(&self.table.0.to_le_bytes());
        put_counters(&self.list, out);
    }

    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(body);
        Ok(Self { life: fields.u64()?, table: Index(fields.u64()?), list: take_counters(&mut fields)? })
    }
}

/// What has gone of origins' logs that the sender's states do not cover.
pub struct Needed {
    pub list: Vec<(Actor, u64)>,
}

impl Needed {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_counters(&self.list, out);
    }

    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        Ok(Self { list: take_counters(&mut Unpack::new(body))? })
    }
}

fn put_counters(list: &[(Actor, u64)], out: &mut Vec<u8>) {
    for (actor, counter) in list {
        actor.put(out);
        out.extend_from_slice(&counter.to_le_bytes());
    }
}

/// All that is left of a message.
fn take_counters(fields: &mut Unpack<'_>) -> Result<Vec<(Actor, u64)>, Malformed> {
    let mut list = Vec::new();
    while !fields.is_empty() {
        if list.len() == ACTORS_MAX {
            return Err(Malformed { at: fields.at(), what: "more actors than there can be" });
        }
        list.push((take_actor(fields)?, fields.u64()?));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entries::decode(&bytes.clone().into());
            let _ = (Held::decode(&bytes), Pull::decode(&bytes), KnownOf::decode(&bytes), HeldQuery::decode(&bytes), HeldAnswer::decode(&bytes));
        }
    }
}
