//! A reader of the causal lane: the product's own, from the beginning or from the latest on; it goes on elsewhere with its
//! place, and where it is when its member is started again.

use crate::clients::journal::{big, number, small};
use crate::invariants::events_come_once::{self, Item};
use crate::invariants::{causal_order, clocks_cover_the_past, cuts_are_told};
use crate::lane::{Dot, Past};
use crate::random::Random;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::reader::{Bounds, Place, ReadError, Reader};
use vexfs_core::causal::OriginView;
use vexfs_core::ids::EventId;

const BLOCK_HEADER_BYTES: usize = 24;
const CLOCK_BYTES: usize = 10;
const ITEM_HEADER_BYTES: usize = 60;

/// What a reader has had, for the invariants.
#[derive(Default)]
pub struct Had {
    /// Whole entries.
    pub entries: Past,
    /// Of the entry after those of some actors, events up to, not including, this offset.
    parts: BTreeMap<Actor, u32>,
    ids: BTreeSet<EventId>,
}

/// One entry as it was packed: whose, its counter, its clock, how many events it has, and those that came.
struct Block {
    actor: Actor,
    counter: u64,
    clock: Past,
    events_all: u32,
    /// Offset and id.
    items: Vec<(u32, EventId)>,
}

pub struct LaneReader {
    name: String,
    random: Random,
    node: usize,
    life: u32,
    begun: bool,
    reader: Option<Reader>,
    place: Place,
    had: Had,
    /// Entries that were forgotten when it began or looked last.
    forgotten: usize,
}

impl LaneReader {
    pub fn new(seed: u64, which: usize) -> Self {
        Self {
            name: format!("lane reader {which}"),
            random: Random::stream(seed, "lane reader", which as u64),
            node: which,
            life: 0,
            begun: false,
            reader: None,
            place: Place::default(),
            had: Had::default(),
            forgotten: 0,
        }
    }

    /// Reads a buffer; microseconds to the next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.pick(&[50_000, 200_000, 800_000]);
        let gap_us = self.random.between(gap_us / 2, gap_us);
        if self.random.chance(100) || self.node >= world.members.len() {
            self.node = self.random.between(0, world.members.len() as u64) as usize;
            self.reader = None;
        }
        if self.random.chance(15) {
            // Somebody else, in its place.
            self.begin();
        }
        if !world.members[self.node].runs() {
            return gap_us;
        }
        self.leave_what_was_forgotten(world);
        let life = world.members[self.node].life;
        if std::mem::replace(&mut self.life, life) != life {
            self.reader = None;
        }
        let Some(running) = &world.members[self.node].running else { return gap_us };
        if !std::mem::replace(&mut self.begun, true) {
            self.place = match self.random.chance(400) {
                // From the latest on.
                true => Place { had: (*running.lane.vector).clone(), parts: BTreeMap::new() },
                false => Place::oldest(&running.lane.origins),
            };
            self.had = had_at(world, &self.place);
        }
        let bounds = Bounds { bytes_max: self.random.pick(&[1, 700, 16_000]), events_max: self.random.pick(&[1, 2, 5, 4_096]) };
        let place = &self.place;
        let reader = self.reader.get_or_insert_with(|| Reader::new(place.clone()));
        match read(world, self.node, &self.name, reader, bounds, &mut self.had) {
            Ok(place) => self.place = place,
            Err(Stopped::Gone) => self.begin(),
            // It comes again: as it stands, or from its place.
            Err(Stopped::Damaged) if self.random.chance(500) => self.reader = None,
            Err(Stopped::Damaged) => {}
        }
        gap_us
    }

    fn begin(&mut self) {
        (self.begun, self.reader, self.place, self.had) = (false, None, Place::default(), Had::default());
    }

    /// Who has had what is as if it had never been begins anew: no place of its means anything.
    fn leave_what_was_forgotten(&mut self, world: &World) {
        let forgotten = &world.history.lane.forgotten[self.forgotten..];
        self.forgotten += forgotten.len();
        let had = |dot: &Dot| self.had.entries.get(&dot.actor).is_some_and(|counter| *counter >= dot.counter) || self.had.parts.contains_key(&dot.actor);
        if forgotten.iter().any(had) {
            self.begin();
        }
    }
}

/// Why a reader does not go on.
enum Stopped {
    Damaged,
    /// What comes next of some origin was cut.
    Gone,
}

/// Reads once, and judges what comes. The place to go on from.
fn read(world: &mut World, node: usize, name: &str, reader: &mut Reader, bounds: Bounds, had: &mut Had) -> Result<Place, Stopped> {
    let Some(running) = &world.members[node].running else { return Err(Stopped::Damaged) };
    let whom = format!("{name} at {node}");
    let behind = !reader.place(&running.lane.origins).is_within(&running.lane.origins, &running.lane.delivered);
    match running.read_lane(reader, bounds) {
        Ok(packed) => {
            let (place, read) = (reader.place(&running.lane.origins), unpack(&packed, &running.lane.origins));
            for block in read.blocks {
                // Entries all of whose events were had elsewhere do not come.
                let before = block.clock.iter().map(|(actor, counter)| (*actor, *counter)).chain([(block.actor, block.counter - 1)]);
                before.collect::<Vec<_>>().into_iter().for_each(|(actor, counter)| pass_over(world, node, &whom, (actor, counter), had));
                judge(world, node, &whom, block, behind, had);
            }
            read.moved.into_iter().for_each(|moved| pass_over(world, node, &whom, moved, had));
            for (actor, part) in &place.parts {
                pass_over_part(world, node, &whom, (*actor, *part), had);
            }
            let here: Past = had.entries.iter().filter(|(_, counter)| **counter > 0).map(|(actor, counter)| (*actor, *counter)).collect();
            if place.had != here || place.parts != had.parts {
                let what = format!("{whom} stands at {place:?}, it has had {here:?} and {:?}", had.parts);
                world.history.violate("events_come_once", what);
            }
            Ok(place)
        }
        Err(ReadError::Unreadable { group, index, name }) => {
            let lost = world.members[node].shadow.origins().any(|(of, origin)| of == group && origin.holes.contains(&index.0));
            if !lost {
                world.history.violate("groups_go_on", format!("{whom}: entry {index} of {name} cannot be read"));
            }
            if let Some(running) = &mut world.members[node].running {
                running.groups.unreadable(group, index);
            }
            world.plan_flush(node);
            Err(Stopped::Damaged)
        }
        Err(ReadError::Compacted { index, first, name }) => {
            cuts_are_told::check(world, node, &whom, &name, (index, first), had);
            Err(Stopped::Gone)
        }
    }
}

/// The entry that a member has under that name, and its events.
pub(super) fn entry_at(world: &World, node: usize, actor: Actor, counter: u64) -> (Dot, Vec<EventId>) {
    let written = world.members[node].shadow.origin_of(actor).and_then(|(_, origin)| origin.written_print(counter));
    let dot = Dot { actor, counter, print: written.unwrap_or(0) };
    (dot, world.history.lane.fact(dot).map(|fact| fact.events.clone()).unwrap_or_default())
}

/// What stands before a place is as if it had been had.
fn had_at(world: &World, place: &Place) -> Had {
    let entries = place.had.iter().flat_map(|(actor, last)| (1..=*last).map(|counter| (*actor, counter)));
    let ids = entries.flat_map(|(actor, counter)| world.history.lane.all(actor, counter)).filter(|fact| fact.there).flat_map(|fact| fact.events.iter().copied());
    Had { ids: ids.collect(), entries: place.had.clone(), ..Had::default() }
}

/// The reader has moved past all entries of an actor up to this one.
fn pass_over(world: &mut World, node: usize, whom: &str, (actor, to): (Actor, u64), had: &mut Had) {
    let from = had.entries.get(&actor).copied().unwrap_or(0) + 1;
    for counter in from..=to {
        let (dot, events) = entry_at(world, node, actor, counter);
        let part = had.parts.remove(&actor).unwrap_or(0) as usize;
        events_come_once::check_passed(world, whom, dot, events.get(part..).unwrap_or_default(), &had.ids);
        had.entries.insert(actor, counter);
    }
}

/// And in the entry after that past events up to this one.
fn pass_over_part(world: &mut World, node: usize, whom: &str, (actor, to): (Actor, u32), had: &mut Had) {
    let counter = had.entries.get(&actor).copied().unwrap_or(0) + 1;
    let from = had.parts.get(&actor).copied().unwrap_or(0);
    if from < to {
        let (dot, events) = entry_at(world, node, actor, counter);
        let passed = events.get(from as usize..to as usize).unwrap_or_default();
        events_come_once::check_passed(world, whom, dot, passed, &had.ids);
        had.parts.insert(actor, to);
    }
}

fn judge(world: &mut World, node: usize, whom: &str, block: Block, behind: bool, had: &mut Had) {
    let Block { actor, counter, clock, events_all, items } = block;
    let (dot, events) = entry_at(world, node, actor, counter);
    causal_order::check(world, whom, dot, &had.entries);
    clocks_cover_the_past::check(world, whom, dot, clock);
    let expected = had.entries.get(&actor).copied().unwrap_or(0) + 1;
    if counter != expected {
        world.history.violate("events_come_once", format!("{whom} gets entry {counter} of {actor:?}, next was {expected}"));
    }
    for (offset, id) in items {
        let next = had.parts.get(&actor).copied().unwrap_or(0);
        if offset < next {
            world.history.violate("events_come_once", format!("{whom} gets event {offset} of entry {counter} of {actor:?}, next was {next}"));
        }
        pass_over_part(world, node, whom, (actor, offset), had);
        let lost = |dot: &Dot| world.members[node].shadow.origin_of(dot.actor).is_some_and(|(_, origin)| origin.print(dot.counter).is_none());
        let untold = behind || world.history.lane.places(id).iter().any(lost);
        events_come_once::check(world, whom, Item { actor, counter, offset, id }, untold, &mut had.ids);
        if events.get(offset as usize) != Some(&id) || events.len() != events_all as usize {
            let what = format!("{whom} gets event {:x} at {offset} of entry {counter} of {actor:?}, which has {events:?}", id.0);
            world.history.violate("events_come_once", what);
        }
        had.parts.insert(actor, offset + 1);
        world.history.deliveries += 1;
    }
    // Of what a member has not delivered yet a part may wait while others come whole.
    if had.parts.get(&actor) == Some(&events_all) {
        had.parts.remove(&actor);
        had.entries.insert(actor, counter);
    }
}

/// Packed deliveries: what came of which entries, and where the reader has moved.
pub(super) struct Read {
    blocks: Vec<Block>,
    pub moved: Vec<(Actor, u64)>,
}

/// Takes packed deliveries apart (docs/formats.md, "Packed causal deliveries").
pub(super) fn unpack(packed: &[u8], origins: &[OriginView]) -> Read {
    let (mut at, mut blocks) = (8, Vec::new());
    for _ in 0..small(packed, 0) {
        let actor = |at: usize| origins[usize::from(short(packed, at))].actor;
        let (actors, count) = (usize::from(short(packed, at + 6)), small(packed, at + 16));
        let clock = (0..actors).map(|of| at + BLOCK_HEADER_BYTES + of * CLOCK_BYTES).map(|at| (actor(at), number(packed, at + 2)));
        let (mut item, mut items) = (at + BLOCK_HEADER_BYTES + actors * CLOCK_BYTES, Vec::new());
        for _ in 0..count {
            let record = item + ITEM_HEADER_BYTES + usize::from(packed[item + 57]);
            items.push((small(packed, item + 4), EventId(big(packed, record + 24))));
            item += small(packed, item) as usize;
        }
        blocks.push(Block { actor: actor(at + 4), counter: number(packed, at + 8), clock: clock.collect(), events_all: small(packed, at + 20), items });
        at += small(packed, at) as usize;
    }
    let row = |row: usize| (origins[usize::from(short(packed, at + row * CLOCK_BYTES))].actor, number(packed, at + row * CLOCK_BYTES + 2));
    Read { blocks, moved: (0..small(packed, 4) as usize).map(row).collect() }
}

fn short(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

/// A reader of everything, at the end: it gets all that its member has delivered.
pub fn read_all(world: &mut World, node: usize) {
    let holed = world.members[node].shadow.origins().any(|(_, origin)| !origin.holes.is_empty());
    if holed {
        return;
    }
    let Some(running) = &world.members[node].running else { return };
    let oldest = Place::oldest(&running.lane.origins);
    let (mut reader, mut had) = (Reader::new(oldest.clone()), had_at(world, &oldest));
    let bounds = Bounds { bytes_max: 64 * 1024, events_max: 4_096 };
    loop {
        let before = had.ids.len();
        let read = read(world, node, "the last lane reader", &mut reader, bounds, &mut had);
        if read.is_err() || had.ids.len() == before {
            break;
        }
    }
    let delivered = world.members[node].running.as_ref().map(|running| running.lane.vector.clone()).unwrap_or_default();
    if had.entries != *delivered {
        let what = format!("the last lane reader at {node} gets {:?} of {delivered:?}", had.entries);
        world.history.violate("events_come_once", what);
    }
}
