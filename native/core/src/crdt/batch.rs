//! An encoded state, checked and unfolded, ready to be joined.

use super::arena::{Arena, Span};
use super::columns::{unzigzag, Fields, RunReader};
use super::join::{Facts, Foreign};
use super::types::{Shape, STAMP_BYTES};
use super::{CrdtError, FACTS_MAX, FORMAT_VERSION, KEY_BYTES_MAX, STATE_BYTES_MAX, VALUE_BYTES_MAX};
use crate::clock::{Ranges, ACTORS_MAX, ACTOR_NAME_BYTES_MAX};
use std::cell::Cell;
use zstd::bulk::Decompressor;

pub(super) const HEADER_BYTES: usize = 3;
pub(super) const CHECKSUM_BYTES: usize = 4;
/// Flag: the content is compressed, behind its length.
pub(super) const PACKED: u8 = 1;

thread_local! {
    static UNPACKER: Cell<Option<Decompressor<'static>>> = const { Cell::new(None) };
}

struct Known {
    name: Box<str>,
    context: Ranges,
    /// Where its facts end in `facts`; they begin where those of the one before end.
    end: usize,
}

struct Unfolded {
    counter: u64,
    key: Span,
    payload: Span,
}

/// Invariant: what `Facts` asks for; every fact is one that `shape` allows.
pub struct Batch {
    shape: Shape,
    known: Vec<Known>,
    facts: Vec<Unfolded>,
    bytes: Arena,
    newest_stamp: u64,
}

impl Batch {
    /// Takes an encoded state apart. Allocates no more than a small multiple of what it unfolds to, and that is bounded.
    pub fn decode(bytes: &[u8]) -> Result<Self, CrdtError> {
        let malformed = |at, what| Err(CrdtError::Malformed { at, what });
        let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>().filter(|(body, _)| body.len() > HEADER_BYTES) else {
            return malformed(0, "shorter than an empty state");
        };
        if bytes[0] != FORMAT_VERSION {
            return Err(CrdtError::Version { found: bytes[0], known: FORMAT_VERSION });
        }
        if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
            return malformed(body.len(), "the checksum does not match");
        }
        let Some(shape) = Shape::from_byte(bytes[1]) else { return malformed(1, "unknown type") };
        match bytes[2] {
            0 => Self::unfold(shape, &body[HEADER_BYTES..]),
            PACKED => Self::unfold(shape, &unpack(&body[HEADER_BYTES..])?),
            _ => malformed(2, "unknown flags"),
        }
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The highest stamp of a value, 0 for none.
    pub fn newest_stamp(&self) -> u64 {
        self.newest_stamp
    }

    /// Facts.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    fn unfold(shape: Shape, content: &[u8]) -> Result<Self, CrdtError> {
        let mut fields = Fields::new(content);
        let mut known = known(&mut fields)?;
        let facts_len = known.last().map_or(0, |known| known.end);
        let mut column = || fields.column();
        let (counters, shared, rest, keys) = (column()?, column()?, column()?, column()?);
        let (stamps, lengths, values) = (column()?, column()?, column()?);
        fields.end()?;

        // The runs of a few bytes may stand for millions of facts: room is made as they come.
        let mut facts = Vec::with_capacity(facts_len.min(content.len()));
        let mut bytes = Arena::with_capacity(keys.left() + values.left() + facts_len.min(content.len()) * 8);
        let (mut counters, mut stamps) = (RunReader::new(counters), RunReader::new(stamps));
        let (mut shared, mut rest, mut keys) = (RunReader::new(shared), RunReader::new(rest), keys);
        let (mut lengths, mut values) = (RunReader::new(lengths), values);
        let (mut key, mut stamp, mut newest_stamp, mut from) = (Span::default(), 0u64, 0u64, 0);
        for known in &mut known {
            let mut counter = 0u64;
            for _ in from..known.end {
                let step = counters.next()?;
                counter = counter.checked_add(step).filter(|_| step > 0).ok_or_else(|| counters.error("a counter does not go up"))?;
                if !known.context.contains(counter) {
                    return Err(counters.error("a fact is not in its own context"));
                }
                let (prefix, suffix) = (shared.next()?, rest.next()?);
                if prefix > key.len() as u64 || prefix.saturating_add(suffix) > KEY_BYTES_MAX as u64 {
                    return Err(shared.error("a key is out of range"));
                }
                // Equal keys are stored once: counters in a map and registers have many facts of one.
                let suffix = keys.take(suffix as usize)?;
                if !(suffix.is_empty() && prefix as usize == key.len()) {
                    key = bytes.put_joined(key, prefix as usize, suffix);
                }
                let length = lengths.next()?;
                if length > VALUE_BYTES_MAX as u64 {
                    return Err(lengths.error("a value is over its limit"));
                }
                let value = values.take(length as usize)?;
                let payload = if shape.of.is_stamped() {
                    stamp = stamp.wrapping_add_signed(unzigzag(stamps.next()?));
                    newest_stamp = newest_stamp.max(stamp);
                    bytes.put_both(&stamp.to_le_bytes(), value)
                } else {
                    bytes.put(value)
                };
                if bytes.len() > STATE_BYTES_MAX {
                    return Err(CrdtError::Limit { what: "bytes that an encoded state unfolds to", max: STATE_BYTES_MAX as u64 });
                }
                if !shape.allows(bytes.get(key), &bytes.get(payload)[if shape.of.is_stamped() { STAMP_BYTES } else { 0 }..]) {
                    return Err(values.error("a fact is none of this type"));
                }
                facts.push(Unfolded { counter, key, payload });
            }
            from = known.end;
        }
        for runs in [counters, shared, rest, stamps, lengths] {
            runs.end()?;
        }
        keys.end()?;
        values.end()?;
        Ok(Self { shape, known, facts, bytes, newest_stamp })
    }
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, CrdtError> {
    let mut fields = Fields::new(bytes);
    let length = fields.count(STATE_BYTES_MAX)?;
    let packed = fields.take(fields.left())?;
    // A frame says how long it unpacks: what lies is refused before there is room for it.
    if zstd::zstd_safe::get_frame_content_size(packed).ok().flatten() != Some(length as u64) {
        return Err(CrdtError::Malformed { at: HEADER_BYTES, what: "the compressed content is not as long as it says" });
    }
    let broken = |_| CrdtError::Malformed { at: HEADER_BYTES, what: "the content cannot be unpacked" };
    let mut unpacker = UNPACKER.take().map_or_else(Decompressor::new, Ok).map_err(broken)?;
    let content = unpacker.decompress(packed, length).map_err(broken);
    UNPACKER.set(Some(unpacker));
    content
}

fn known(fields: &mut Fields<'_>) -> Result<Vec<Known>, CrdtError> {
    let count = fields.count(ACTORS_MAX.min(fields.left()))?;
    let mut known: Vec<Known> = Vec::with_capacity(count);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..count {
        let length = fields.count(ACTOR_NAME_BYTES_MAX)?;
        let name = std::str::from_utf8(fields.take(length)?).map_err(|_| fields.error("an actor's name is not UTF-8"))?;
        if name.is_empty() || !names.insert(name) {
            return Err(fields.error("an actor's name is empty or there twice"));
        }
        known.push(Known { name: name.into(), context: Ranges::default(), end: 0 });
    }
    for known in &mut known {
        known.context = fields.ranges()?;
    }
    let mut end = 0;
    for known in &mut known {
        end += fields.count(FACTS_MAX)?;
        if end > FACTS_MAX {
            return Err(CrdtError::Limit { what: "facts in one object", max: FACTS_MAX as u64 });
        }
        known.end = end;
    }
    Ok(known)
}

impl Facts for Batch {
    fn size(&self) -> (usize, usize) {
        (self.facts.len(), self.bytes.len())
    }

    fn known(&self) -> impl Iterator<Item = (usize, &str, &Ranges)> {
        self.known.iter().enumerate().map(|(at, known)| (at, &*known.name, &known.context))
    }

    fn facts(&self, actor: usize) -> impl Iterator<Item = Foreign<'_>> {
        let from = actor.checked_sub(1).map_or(0, |before| self.known[before].end);
        self.facts[from..self.known[actor].end].iter().map(|fact| Foreign {
            counter: fact.counter,
            key: self.bytes.get(fact.key),
            payload: self.bytes.get(fact.payload),
        })
    }
}
