//! An encoded state read as docs/formats.md ("CRDT state") puts it, number by number, with nothing of the code that it judges.

use super::model::{Fact, Model};
use vexfs_core::crdt::{Shape, Type, FACTS_MAX, KEY_BYTES_MAX, STATE_BYTES_MAX, VALUE_BYTES_MAX};

#[derive(Debug)]
pub enum Reading {
    Refused,
    /// More dots or facts than are worth writing down, if it is a state at all.
    Large { facts: u64 },
    State { shape: Shape, says: Model, newest_stamp: u64 },
}

/// Content that is not compressed, as a whole state.
pub fn sealed(shape: Shape, content: &[u8]) -> Vec<u8> {
    let mut bytes = [&[1, shape.byte(), 0], content].concat();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The content of a whole state; `None` where it cannot be unpacked.
pub fn content(bytes: &[u8]) -> Option<Vec<u8>> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if body.len() < 4 || body[0] != 1 || crc32c::crc32c(body).to_le_bytes() != *checksum {
        return None;
    }
    match body[2] {
        0 => Some(body[3..].to_vec()),
        1 => {
            let mut packed = &body[3..];
            let length = number(&mut packed)?;
            let told = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
            let fits = length == told && length <= STATE_BYTES_MAX as u64;
            fits.then(|| zstd::bulk::decompress(packed, length as usize).ok()).flatten().filter(|content| content.len() as u64 == length)
        }
        _ => None,
    }
}

pub fn read_state(bytes: &[u8], dots_max: u64) -> Reading {
    let Some((shape, content)) = content(bytes).and_then(|content| Some((Shape::from_byte(bytes[1])?, content))) else {
        return Reading::Refused;
    };
    read_content(shape, &content, dots_max).unwrap_or(Reading::Refused)
}

fn read_content(shape: Shape, mut rest: &[u8], dots_max: u64) -> Option<Reading> {
    let rest = &mut rest;
    let mut names: Vec<String> = Vec::new();
    let count = number(rest).filter(|count| *count <= 65_536)?;
    for _ in 0..count {
        let length = number(rest).filter(|length| (1..=80).contains(length))?;
        let name = String::from_utf8(take(rest, length)?.to_vec()).ok().filter(|name| !names.contains(name))?;
        names.push(name);
    }
    let (mut contexts, mut dots) = (Vec::new(), 0u64);
    for _ in 0..count {
        let (mut ranges, mut last) = (Vec::new(), 0u64);
        for _ in 0..number(rest)? {
            let (gap, more) = (number(rest)?, number(rest)?);
            if last > 0 && gap == 0 {
                return None;
            }
            let first = last.checked_add(gap)?.checked_add(1)?;
            last = first.checked_add(more)?;
            dots = dots.saturating_add(more).saturating_add(1);
            ranges.push(first..=last);
        }
        contexts.push(ranges);
    }
    let (mut of_actor, mut facts) = (Vec::new(), 0u64);
    for _ in 0..count {
        let own = number(rest).filter(|own| *own <= FACTS_MAX as u64)?;
        facts = Some(facts + own).filter(|facts| *facts <= FACTS_MAX as u64)?;
        of_actor.push(own);
    }
    if facts > dots_max || dots > dots_max {
        return Some(Reading::Large { facts });
    }
    let mut column = || {
        let length = number(rest)?;
        take(rest, length)
    };
    let columns = [column()?, column()?, column()?, column()?, column()?, column()?, column()?];
    if !rest.is_empty() {
        return None;
    }
    let [counters, shared, rest, mut keys, stamps, lengths, mut values] = columns;
    let stamped = shape.of == Type::LwwRegister;
    let stamps = numbers(stamps, if stamped { facts } else { 0 })?;
    let (counters, shared) = (numbers(counters, facts)?, numbers(shared, facts)?);
    let (rest, lengths) = (numbers(rest, facts)?, numbers(lengths, facts)?);

    let mut says = Model::default();
    for (name, ranges) in names.iter().zip(&contexts) {
        says.seen.extend(ranges.iter().cloned().flatten().map(|counter| (name.clone(), counter)));
    }
    let (mut key, mut stamp, mut newest_stamp, mut at) = (Vec::new(), 0u64, 0u64, 0);
    for (name, own) in names.iter().zip(of_actor) {
        let mut counter = 0u64;
        for _ in 0..own {
            counter = Some(counters[at]).filter(|step| *step > 0).and_then(|step| counter.checked_add(step))?;
            if shared[at] > key.len() as u64 || shared[at].saturating_add(rest[at]) > KEY_BYTES_MAX as u64 {
                return None;
            }
            key.truncate(shared[at] as usize);
            key.extend_from_slice(take(&mut keys, rest[at])?);
            let value = take(&mut values, Some(lengths[at]).filter(|length| *length <= VALUE_BYTES_MAX as u64)?)?;
            if !is_of(shape, &key, value) {
                return None;
            }
            let mut payload = Vec::new();
            if stamped {
                let step = (stamps[at] >> 1) as i64 ^ -((stamps[at] & 1) as i64);
                stamp = stamp.wrapping_add_signed(step);
                newest_stamp = newest_stamp.max(stamp);
                payload.extend_from_slice(&stamp.to_le_bytes());
            }
            payload.extend_from_slice(value);
            let (dot, fact): (_, Fact) = ((name.clone(), counter), (key.clone(), payload));
            if !says.seen.contains(&dot) {
                return None;
            }
            says.facts.insert(dot, fact);
            at += 1;
        }
    }
    (keys.is_empty() && values.is_empty()).then_some(Reading::State { shape, says, newest_stamp })
}

/// Whether a state of a shape can hold this.
fn is_of(shape: Shape, key: &[u8], value: &[u8]) -> bool {
    let numbers_only = |count: usize| {
        let mut rest = value;
        (0..count).all(|_| number(&mut rest).is_some()) && rest.is_empty()
    };
    let value_is = match shape.of {
        Type::GCounter => numbers_only(1),
        Type::PnCounter => numbers_only(2),
        Type::LwwRegister | Type::MvRegister => true,
        Type::OrSet => value.is_empty(),
        Type::TwoPhaseSet => value.is_empty() || value == [1],
    };
    let keyed = matches!(shape.of, Type::OrSet | Type::TwoPhaseSet);
    let key_is = match (shape.map, keyed) {
        (false, false) => key.is_empty(),
        (true, true) => {
            let mut rest = key;
            let length = number(&mut rest);
            // In one form: a number in more bytes than it takes ends in a 0.
            let told = key.len() - rest.len();
            length.is_some_and(|length| take(&mut rest, length).is_some()) && (told == 1 || key[told - 1] != 0)
        }
        _ => true,
    };
    value_is && key_is
}

/// All numbers of a column in runs.
fn numbers(mut column: &[u8], count: u64) -> Option<Vec<u64>> {
    let mut all = Vec::new();
    while !column.is_empty() {
        let times = i128::from(number(&mut column)?);
        let (times, same) = if times % 2 == 0 { (times / 2, true) } else { ((times + 1) / 2, false) };
        if times == 0 || all.len() as i128 + times > i128::from(count) {
            return None;
        }
        if same {
            let value = number(&mut column)?;
            all.extend((0..times).map(|_| value));
        } else {
            for _ in 0..times {
                all.push(number(&mut column)?);
            }
        }
    }
    (all.len() as u64 == count).then_some(all)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u128;
    for (at, byte) in rest.iter().enumerate().take(10) {
        value |= u128::from(byte & 127) << (7 * at);
        if *byte < 128 {
            *rest = &rest[at + 1..];
            return u64::try_from(value).ok();
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}
