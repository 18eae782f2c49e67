//! CRDT objects and clocks. An object is a handle that is collected with the JavaScript object it belongs to.
//!
//! Lists cross as one buffer: a u32 length, little-endian, and as many bytes, over and over.

use crate::registry::coded;
use napi::bindgen_prelude::{BigUint64Array, Buffer, Result, Uint8Array};
use napi_derive::napi;
use parking_lot::Mutex;
use std::sync::Arc;
use vexfs_core::clock::rows;
use vexfs_core::crdt::{CrdtError, Object, Shape, Type};

fn refused(error: CrdtError) -> napi::Error {
    let code = match error {
        CrdtError::Malformed { .. } | CrdtError::Version { .. } => "CRDT_STATE_INVALID",
        CrdtError::Type { .. } => "CRDT_TYPE_MISMATCH",
        CrdtError::Limit { .. } => "CRDT_LIMIT",
        CrdtError::ClockAhead { .. } => "CLOCK_AHEAD",
    };
    coded(code, error)
}

fn packed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Buffer {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
    out.into()
}

fn parts(mut packed: &[u8]) -> impl Iterator<Item = Result<&[u8]>> {
    std::iter::from_fn(move || {
        if packed.is_empty() {
            return None;
        }
        let part = packed.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = u32::from_le_bytes(*length) as usize;
            (length <= rest.len()).then(|| rest.split_at(length))
        });
        let Some((part, rest)) = part else {
            packed = &[];
            return Some(Err(coded("INTERNAL", "a packed list is cut off")));
        };
        packed = rest;
        Some(Ok(part))
    })
}

/// What has changed since it was last asked.
#[napi(object)]
pub struct CrdtTouched {
    /// The keys, packed; one may be there more than once.
    pub keys: Buffer,
    /// More has changed than was noted.
    pub overflow: bool,
}

/// What came of a message of a comparison.
#[napi(object)]
pub struct CrdtCompared {
    pub reply: Option<Buffer>,
    pub delta: Option<Buffer>,
    pub changed: bool,
}

#[napi]
pub struct CrdtObject {
    object: Arc<Mutex<Object>>,
}

#[napi]
impl CrdtObject {
    /// `type_name` as in docs/formats.md. `seed`: random, so that nobody can aim at collisions.
    #[napi(constructor)]
    pub fn new(type_name: String, map: bool, actor: String, seed: f64) -> Result<Self> {
        let of = Type::named(&type_name).ok_or_else(|| coded("INTERNAL", "unknown CRDT type"))?;
        let object = Object::new(Shape { of, map }, &actor, seed.to_bits()).map_err(refused)?;
        Ok(Self { object: Arc::new(Mutex::new(object)) })
    }

    /// Takes in a state or a delta; `now_ms` below 0 takes any stamp. True when anything has changed.
    #[napi]
    pub fn merge(&self, bytes: &[u8], now_ms: f64) -> Result<bool> {
        let now_ms = (now_ms >= 0.0).then_some(now_ms as u64);
        self.object.lock().merge(bytes, now_ms).map_err(refused)
    }

    #[napi]
    pub fn state(&self) -> Buffer {
        self.object.lock().state().into()
    }

    /// From now on dots are made by another actor.
    #[napi]
    pub fn act_as(&self, actor: String) -> Result<()> {
        self.object.lock().act_as(&actor).map_err(refused)
    }

    /// In deltas of so many bytes at most, but for a single larger fact.
    #[napi]
    pub fn take_deltas(&self, bytes_max: u32) -> Vec<Buffer> {
        self.object.lock().take_deltas(bytes_max as usize).into_iter().map(Buffer::from).collect()
    }

    #[napi]
    pub fn take_delta(&self) -> Option<Buffer> {
        self.object.lock().take_delta().map(Buffer::from)
    }

    #[napi]
    pub fn begin_compare(&self) -> Buffer {
        self.object.lock().begin_compare().into()
    }

    #[napi]
    pub fn compare(&self, message: &[u8]) -> Result<CrdtCompared> {
        let compared = self.object.lock().compare(message).map_err(refused)?;
        Ok(CrdtCompared { reply: compared.reply.map(Buffer::from), delta: compared.delta.map(Buffer::from), changed: compared.changed })
    }

    #[napi]
    pub fn add(&self, scope: &[u8], by: i64) -> Result<()> {
        self.object.lock().add(scope, by).map_err(refused)
    }

    #[napi]
    pub fn count(&self, scope: &[u8]) -> Result<f64> {
        let count = self.object.lock().count(scope).map_err(refused)?;
        let safe = 1 << 53;
        if (1 - safe..safe).contains(&count) {
            Ok(count as f64)
        } else {
            Err(refused(CrdtError::Limit { what: "counted by a number", max: (safe - 1) as u64 }))
        }
    }

    #[napi]
    pub fn set(&self, scope: &[u8], value: &[u8], now_ms: f64) -> Result<()> {
        self.object.lock().set(scope, value, stamp(now_ms)).map_err(refused)
    }

    /// Sets many keys of a map of registers; `entries` is keys and values by turns, packed.
    #[napi]
    pub fn set_all(&self, entries: &[u8], now_ms: f64) -> Result<()> {
        let parts: Vec<&[u8]> = parts(entries).collect::<Result<_>>()?;
        let entries: Vec<(&[u8], &[u8])> = parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        self.object.lock().set_all(&entries, stamp(now_ms)).map_err(refused)
    }

    /// The values of a register, packed.
    #[napi]
    pub fn values(&self, scope: &[u8]) -> Result<Buffer> {
        let object = self.object.lock();
        object.values(scope).map(packed).map_err(refused)
    }

    /// Adds elements of a set, packed. How many made a difference.
    #[napi]
    pub fn insert_all(&self, scope: &[u8], elements: &[u8]) -> Result<u32> {
        let elements: Vec<&[u8]> = parts(elements).collect::<Result<_>>()?;
        self.object.lock().insert_all(scope, &elements).map(|changed| changed as u32).map_err(refused)
    }

    /// Removes elements of a set, packed. How many were there.
    #[napi]
    pub fn remove_all(&self, scope: &[u8], elements: &[u8]) -> Result<u32> {
        let elements: Vec<&[u8]> = parts(elements).collect::<Result<_>>()?;
        self.object.lock().remove_all(scope, &elements).map(|changed| changed as u32).map_err(refused)
    }

    #[napi]
    pub fn has(&self, scope: &[u8], element: &[u8]) -> Result<bool> {
        self.object.lock().has(scope, element).map_err(refused)
    }

    /// The elements of a set, packed, in the order of their bytes.
    #[napi]
    pub fn elements(&self, scope: &[u8]) -> Result<Buffer> {
        let object = self.object.lock();
        object.elements(scope).map(packed).map_err(refused)
    }

    /// Whether a map has anything under a key.
    #[napi]
    pub fn has_key(&self, scope: &[u8]) -> Result<bool> {
        self.object.lock().has_key(scope).map_err(refused)
    }

    /// The keys of a map, packed, in the order of their bytes.
    #[napi]
    pub fn keys(&self) -> Result<Buffer> {
        let object = self.object.lock();
        object.map_keys().map(packed).map_err(refused)
    }

    /// Keys and values of a map of last-writer-wins registers by turns, packed, in the order of the keys' bytes.
    #[napi]
    pub fn entries(&self) -> Result<Buffer> {
        let object = self.object.lock();
        let entries = object.entries().map_err(refused)?;
        Ok(packed(entries.flat_map(|(key, value)| [key, value])))
    }

    #[napi]
    pub fn delete(&self, scope: &[u8]) -> Result<bool> {
        self.object.lock().delete(scope).map_err(refused)
    }

    /// From now on changed keys are noted, or no longer.
    #[napi]
    pub fn watch(&self, watched: bool) {
        self.object.lock().watch(watched);
    }

    #[napi]
    pub fn take_touched(&self) -> CrdtTouched {
        let touched = self.object.lock().take_touched();
        CrdtTouched { keys: touched.packed.into(), overflow: touched.overflow }
    }

    /// Keys or elements that are there; of a two-phase set also those that were.
    #[napi(getter)]
    pub fn size(&self) -> u32 {
        self.object.lock().store().keys_len() as u32
    }

    /// Rough size, in bytes.
    #[napi(getter)]
    pub fn memory_bytes(&self) -> f64 {
        self.object.lock().store().memory_bytes() as f64
    }
}

fn stamp(now_ms: f64) -> u64 {
    (now_ms.max(0.0) as u64) << 16
}

/// Merges rows of counters into others, entry by entry.
#[napi]
pub fn merge_clocks(mut into: BigUint64Array, from: BigUint64Array) -> Result<()> {
    if into.len() != from.len() {
        return Err(coded("INTERNAL", "clocks of different lengths"));
    }
    let (a, b, bytes) = (into.as_ptr() as usize, from.as_ptr() as usize, into.len() * 8);
    // Views of one buffer may overlap, which references may not.
    let copy = (a < b + bytes && b < a + bytes).then(|| from.to_vec());
    // SAFETY: no JavaScript runs before the call returns, and nothing else here refers to these entries.
    let into = unsafe { into.as_mut() };
    rows::merge(into, copy.as_deref().unwrap_or(&from));
    Ok(())
}

/// For each row of `width` counters: 0 equal, 1 before, 2 after, 3 concurrent.
#[napi]
pub fn compare_clocks(one: BigUint64Array, other: BigUint64Array, width: u32) -> Result<Uint8Array> {
    if one.len() != other.len() || width == 0 || one.len() % width as usize != 0 {
        return Err(coded("INTERNAL", "clocks of different lengths"));
    }
    let rows = one.chunks_exact(width as usize).zip(other.chunks_exact(width as usize));
    Ok(Uint8Array::new(rows.map(|(one, other)| rows::compare(one, other) as u8).collect()))
}
