//! Two replicas find out how their states differ, where no log tells any more what one of them has missed.
//!
//! What one has not seen follows from the contexts alone. What is left are facts that one still has and the other has
//! removed. Of these only the dots have to be compared, and they are counters: so the live ones of each actor are summed
//! up in blocks of 256, and blocks in nodes of sixteen (a hash tree over counters; Merkle 1987). Sums that differ are
//! asked about, down to the bitmap of a block, which says all.
//!
//! A message says the sender's context, and over which dots it compares, so that it is answered without knowing what went
//! before: what changes meanwhile is found the next time. A dot that one has seen and does not have was removed, for good,
//! whenever that was said.

use super::batch::CHECKSUM_BYTES;
use super::columns::{put_varint, Fields};
use super::encode::{encode, put_ranges};
use super::store::Store;
use super::types::Shape;
use super::CrdtError;
use crate::clock::{ActorId, DottedVector, Ranges, ACTORS_MAX};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 3;
/// Flag: the sender has not heard the receiver's context yet, and is to be told sums.
const ASKS: u8 = 1;
/// Flag: the receiver has not given yet what the sender has not seen.
const LACKS: u8 = 2;
const BLOCK_BITS: u32 = 8;
const BLOCK_BYTES: usize = 1 << (BLOCK_BITS - 3);
const FANOUT_BITS: u32 = 4;
const FANOUT: usize = 1 << FANOUT_BITS;
/// Counters have 64 bits.
const LEVEL_MAX: u32 = (64 - BLOCK_BITS) / FANOUT_BITS;
/// Nodes in one message at most; what is left is found the next time.
const NODES_MAX: usize = 65_536;

/// What came of a message.
#[derive(Debug, Default)]
pub struct Compared {
    /// To be sent back; `None` at the end.
    pub reply: Option<Vec<u8>>,
    /// A delta for the sender.
    pub delta: Option<Vec<u8>>,
    /// The state here has changed.
    pub changed: bool,
}

/// A stretch of counters of one actor: at level 0 a block, at others sixteen nodes of the level below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    level: u32,
    index: u64,
}

impl Place {
    /// The one that all counters up to `max` are in.
    fn top(max: u64) -> Self {
        let level = (1..LEVEL_MAX).find(|level| max >> (BLOCK_BITS + FANOUT_BITS * level) == 0).unwrap_or(LEVEL_MAX);
        Self { level, index: 0 }
    }

    fn bits(self) -> u32 {
        BLOCK_BITS + FANOUT_BITS * self.level
    }

    fn first(self) -> u64 {
        self.index.checked_shl(self.bits()).unwrap_or(0)
    }

    fn last(self) -> u64 {
        self.first() | 1u64.checked_shl(self.bits()).map_or(u64::MAX, |size| size - 1)
    }

    fn child(self, at: usize) -> Self {
        Self { level: self.level - 1, index: self.index << FANOUT_BITS | at as u64 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Sums([u64; FANOUT]),
    /// Bit n of byte m: the counter 8 m + n of the block is live.
    Block([u8; BLOCK_BYTES]),
}

/// What is said of one actor's dots. `over` are the dots that the nodes are about: both had seen them.
#[derive(Default)]
struct Part<A> {
    actor: A,
    over: Ranges,
    nodes: Vec<(Place, Node)>,
}

struct Said {
    flags: u8,
    known: Vec<(String, Ranges)>,
    /// Actors by their places in `known`.
    parts: Vec<Part<usize>>,
}

/// A permutation of 64 bits (Steele, Lea, Flood 2014, SplitMix64): sums of few dots hardly ever meet.
fn mixed(counter: u64) -> u64 {
    let mixed = (counter ^ counter >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

impl Store {
    /// Counters of live facts of an actor within a place, among those that are compared.
    fn live_within<'a>(&'a self, actor: ActorId, place: Place, over: &'a Ranges) -> impl Iterator<Item = u64> + 'a {
        let slots = self.lines.get(actor.at()).map_or(&[][..], |line| &line.slots);
        let from = slots.partition_point(|slot| self.slots[*slot as usize].counter < place.first());
        let within = slots[from..].iter().map(|slot| &self.slots[*slot as usize]).take_while(move |slot| slot.counter <= place.last());
        within.filter(|slot| slot.live && over.contains(slot.counter)).map(|slot| slot.counter)
    }

    fn node(&self, actor: ActorId, place: Place, over: &Ranges) -> Node {
        if place.level == 0 {
            let mut block = [0; BLOCK_BYTES];
            for counter in self.live_within(actor, place, over) {
                let at = (counter - place.first()) as usize;
                block[at / 8] |= 1 << (at % 8);
            }
            return Node::Block(block);
        }
        let mut sums = [0; FANOUT];
        let child_bits = place.child(0).bits();
        for counter in self.live_within(actor, place, over) {
            sums[((counter - place.first()) >> child_bits) as usize] ^= mixed(counter);
        }
        Node::Sums(sums)
    }
}

/// The first message: what is known here.
pub(super) fn begin(store: &Store, shape: Shape) -> Vec<u8> {
    put(store, shape, ASKS | LACKS, &[])
}

/// Takes a message. On an error nothing has changed.
pub(super) fn answer(store: &mut Store, shape: Shape, message: &[u8]) -> Result<Compared, CrdtError> {
    let said = take(shape, message)?;
    let mut parts: Vec<Part<ActorId>> = Vec::new();
    let (mut gone_there, mut gone_here) = (DottedVector::default(), DottedVector::default());
    for Part { actor, over, nodes } in &said.parts {
        let Some(actor) = store.actors.get(&said.known[*actor].0) else { continue };
        let mut asked = Vec::new();
        for (place, theirs) in nodes {
            match (theirs, store.node(actor, *place, over)) {
                (Node::Sums(theirs), Node::Sums(mine)) => {
                    let differ = (0..FANOUT).filter(|child| theirs[*child] != mine[*child]).map(|child| place.child(child));
                    asked.extend(differ.map(|child| (child, store.node(actor, child, over))));
                }
                (Node::Block(theirs), Node::Block(mine)) => {
                    let live = |block: &[u8; BLOCK_BYTES], counter: u64| block[(counter & 0xff) as usize / 8] >> (counter % 8) & 1 == 1;
                    for counter in place.first()..=place.last() {
                        match (live(theirs, counter), live(&mine, counter)) {
                            (false, true) => gone_there.add(actor, counter),
                            (true, false) if over.contains(counter) && store.context.contains(actor, counter) => gone_here.add(actor, counter),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        asked.truncate(NODES_MAX);
        if !asked.is_empty() {
            parts.push(Part { actor, over: over.clone(), nodes: asked });
        }
    }
    if said.flags & LACKS != 0 {
        let known: BTreeMap<&str, &Ranges> = said.known.iter().map(|(name, seen)| (&**name, seen)).collect();
        for (actor, ranges) in store.context.actors() {
            let new = ranges.without(known.get(store.actors.name(actor)).unwrap_or(&&Ranges::EMPTY));
            new.iter().for_each(|(first, last)| gone_here.of_mut(actor).insert(first, last));
        }
    }
    let asked = said.flags & ASKS != 0;
    if asked {
        for (name, seen) in &said.known {
            let Some(actor) = store.actors.get(name) else { continue };
            let over = store.context.of(actor).within(seen);
            // Of one whose name alone is known here there is nothing to compare, nor a place in what is known.
            if over.is_empty() {
                continue;
            }
            let top = Place::top(over.max());
            let nodes = vec![(top, store.node(actor, top, &over))];
            parts.push(Part { actor, over, nodes });
        }
    }
    // As they were when the message was judged: what goes now is no part of the answer.
    let delta = (!gone_here.is_empty()).then(|| encode(store, shape, &gone_here));
    let reply = (asked || !parts.is_empty()).then(|| put(store, shape, if asked { LACKS } else { 0 }, &parts));
    let changed = store.forget(&gone_there);
    Ok(Compared { reply, delta, changed })
}

fn put(store: &Store, shape: Shape, flags: u8, parts: &[Part<ActorId>]) -> Vec<u8> {
    let mut out = vec![VERSION, shape.byte(), flags];
    let known: Vec<_> = store.context.actors().collect();
    put_varint(&mut out, known.len() as u64);
    for (actor, ranges) in &known {
        let name = store.actors.name(*actor);
        put_varint(&mut out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
        put_ranges(&mut out, ranges);
    }
    put_varint(&mut out, parts.len() as u64);
    for Part { actor, over, nodes } in parts {
        let at = known.iter().position(|(known, _)| known == actor).unwrap_or(known.len());
        put_varint(&mut out, at as u64);
        put_ranges(&mut out, over);
        put_varint(&mut out, nodes.len() as u64);
        for (place, node) in nodes {
            put_varint(&mut out, u64::from(place.level));
            put_varint(&mut out, place.index);
            match node {
                Node::Block(block) => out.extend_from_slice(block),
                Node::Sums(sums) => {
                    let some = (0..FANOUT).filter(|at| sums[*at] != 0).fold(0u16, |mask, at| mask | 1 << at);
                    out.extend_from_slice(&some.to_le_bytes());
                    sums.iter().filter(|sum| **sum != 0).for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
                }
            }
        }
    }
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn take(shape: Shape, message: &[u8]) -> Result<Said, CrdtError> {
    let malformed = |at, what| CrdtError::Malformed { at, what };
    let split = message.split_last_chunk::<CHECKSUM_BYTES>().filter(|(body, _)| body.len() > HEADER_BYTES);
    let (body, checksum) = split.ok_or(malformed(0, "shorter than an empty comparison"))?;
    if body[0] != VERSION {
        return Err(CrdtError::Version { found: body[0], known: VERSION });
    }
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(malformed(body.len(), "the checksum does not match"));
    }
    let found = Shape::from_byte(body[1]).ok_or(malformed(1, "unknown type"))?;
    if found != shape {
        return Err(CrdtError::Type { found: found.name(), expected: shape.name() });
    }
    let mut fields = Fields::new(&body[HEADER_BYTES..]);
    let (mut known, mut names) = (Vec::new(), BTreeSet::new());
    for _ in 0..fields.count(ACTORS_MAX.min(fields.left()))? {
        let length = fields.count(crate::clock::ACTOR_NAME_BYTES_MAX)?;
        let name = std::str::from_utf8(fields.take(length)?).map_err(|_| fields.error("an actor's name is not UTF-8"))?;
        if !names.insert(name) {
            return Err(fields.error("an actor's name is there twice"));
        }
        known.push((name.to_owned(), fields.ranges()?));
    }
    let (mut parts, mut told) = (Vec::new(), BTreeSet::new());
    for _ in 0..fields.count(known.len())? {
        let (actor, over) = (fields.count(known.len() - 1)?, fields.ranges()?);
        let mut nodes = Vec::new();
        let mut after = None;
        for _ in 0..fields.count(NODES_MAX.min(fields.left()))? {
            let (place, node) = take_node(&mut fields)?;
            // So that a message costs no more than to go over what is here once.
            if after.is_some_and(|after| place.first() <= after) {
                return Err(fields.error("places overlap or do not ascend"));
            }
            after = Some(place.last());
            nodes.push((place, node));
        }
        if !told.insert(&known[actor].0) {
            return Err(fields.error("an actor is there twice"));
        }
        parts.push(Part { actor, over, nodes });
    }
    fields.end()?;
    Ok(Said { flags: body[2], known, parts })
}

fn take_node(fields: &mut Fields<'_>) -> Result<(Place, Node), CrdtError> {
    let place = Place { level: fields.count(LEVEL_MAX as usize)? as u32, index: fields.varint()? };
    if place.index > u64::MAX.checked_shr(place.bits()).unwrap_or(0) {
        return Err(fields.error("a place is out of range"));
    }
    if place.level == 0 {
        return Ok((place, Node::Block(fields.array()?)));
    }
    let (some, mut sums) = (u16::from_le_bytes(fields.array()?), [0; FANOUT]);
    for (_, sum) in sums.iter_mut().enumerate().filter(|(at, _)| some >> at & 1 == 1) {
        *sum = u64::from_le_bytes(fields.array()?);
    }
    Ok((place, Node::Sums(sums)))
}
