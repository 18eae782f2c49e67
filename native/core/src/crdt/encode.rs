//! A state, or the part of it that a delta says, as bytes (docs/formats.md, "CRDT state").

use super::batch::PACKED;
use super::columns::{put_varint, zigzag, Runs};
use super::store::Store;
use super::types::{Shape, STAMP_BYTES};
use super::FORMAT_VERSION;
use crate::bytes_le::u64_at;
use crate::clock::{DottedVector, Ranges};
use std::cell::Cell;
use zstd::bulk::Compressor;

/// Shorter content is not worth the frame.
const PACK_BYTES_MIN: usize = 256;
const LEVEL: i32 = 1;

thread_local! {
    static PACKER: Cell<Option<Compressor<'static>>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Columns {
    counters: Runs,
    shared: Runs,
    rest: Runs,
    keys: Vec<u8>,
    stamps: Runs,
    lengths: Runs,
    values: Vec<u8>,
}

/// The facts whose dots are in `only`, which is also the context: dots in it without a fact are removed ones.
pub(super) fn encode(store: &Store, shape: Shape, only: &DottedVector) -> Vec<u8> {
    let mut content = Vec::new();
    let known: Vec<_> = only.actors().collect();
    put_varint(&mut content, known.len() as u64);
    for (actor, _) in &known {
        let name = store.actors.name(*actor);
        put_varint(&mut content, name.len() as u64);
        content.extend_from_slice(name.as_bytes());
    }
    for (_, ranges) in &known {
        put_ranges(&mut content, ranges);
    }
    let mut columns = Columns::default();
    let (mut last_key, mut last_stamp): (&[u8], u64) = (&[], 0);
    for (actor, ranges) in &known {
        let (mut facts, mut counter) = (0, 0);
        for slot in live_in(store, actor.at(), ranges) {
            let (key, mut payload) = (store.bytes.get(slot.key), store.bytes.get(slot.payload));
            columns.counters.put(slot.counter - counter);
            (counter, facts) = (slot.counter, facts + 1);
            let shared = last_key.iter().zip(key).take_while(|(a, b)| a == b).count();
            columns.shared.put(shared as u64);
            columns.rest.put((key.len() - shared) as u64);
            columns.keys.extend_from_slice(&key[shared..]);
            last_key = key;
            if shape.of.is_stamped() {
                let stamp = u64_at(payload, 0);
                columns.stamps.put(zigzag(stamp.wrapping_sub(last_stamp) as i64));
                last_stamp = stamp;
                payload = &payload[STAMP_BYTES..];
            }
            columns.lengths.put(payload.len() as u64);
            columns.values.extend_from_slice(payload);
        }
        put_varint(&mut content, facts);
    }
    let Columns { counters, shared, rest, keys, stamps, lengths, values } = columns;
    for column in [counters.finish(), shared.finish(), rest.finish(), keys, stamps.finish(), lengths.finish(), values] {
        put_varint(&mut content, column.len() as u64);
        content.extend_from_slice(&column);
    }
    finish(shape, &content)
}

pub(super) fn put_ranges(content: &mut Vec<u8>, ranges: &Ranges) {
    put_varint(content, ranges.iter().len() as u64);
    let mut after = 0;
    for (first, last) in ranges.iter() {
        put_varint(content, first - after - 1);
        put_varint(content, last - first);
        after = last;
    }
}

pub(super) fn live_in<'a>(store: &'a Store, actor: usize, ranges: &'a Ranges) -> impl Iterator<Item = &'a super::store::Slot> {
    let slots = store.lines.get(actor).map_or(&[][..], |line| &line.slots);
    let counter = |slot: &u32| store.slots[*slot as usize].counter;
    let mut from = 0;
    let stretches = ranges.iter().map(move |(first, last)| {
        from += slots[from..].partition_point(|slot| counter(slot) < first);
        let length = match slots.last() {
            Some(end) if counter(end) <= last => slots.len() - from,
            _ => slots[from..].partition_point(|slot| counter(slot) <= last),
        };
        from += length;
        &slots[from - length..from]
    });
    stretches.flatten().map(|slot| &store.slots[*slot as usize]).filter(|slot| slot.live)
}

fn finish(shape: Shape, content: &[u8]) -> Vec<u8> {
    let mut out = vec![FORMAT_VERSION, shape.byte(), 0];
    match pack(content) {
        Some(packed) => {
            out[2] = PACKED;
            put_varint(&mut out, content.len() as u64);
            out.extend_from_slice(&packed);
        }
        None => out.extend_from_slice(content),
    }
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// `None` where it would gain nothing.
fn pack(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() < PACK_BYTES_MIN {
        return None;
    }
    let mut packer = PACKER.take().map_or_else(|| Compressor::new(LEVEL), Ok).ok()?;
    let packed = packer.compress(content);
    PACKER.set(Some(packer));
    packed.ok().filter(|packed| packed.len() + 8 < content.len())
}
