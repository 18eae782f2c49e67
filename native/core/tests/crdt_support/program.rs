//! Whole programs for replicas of one object, drawn from bytes: what a fuzzer plays (native/fuzz), and `crdt_fuzz.rs`.
//!
//! After each step the replica is what the model of dots says, a refused delta has changed nothing, and what a delta says
//! is what `written` reads in it. At the end all states are exchanged, and all replicas are equal.

use super::allocations::peak_of;
use super::model::{object, operate, read, varints, Dot, Model, Operation, ACTORS};
use super::oracle::{self, Act};
use super::written::{content, read_state, sealed, Reading};
use arbitrary::{Arbitrary, Result, Unstructured};
use std::collections::BTreeSet;
use vexfs_core::clock::Ranges;
use vexfs_core::crdt::{CrdtError, Object, Shape, Type};

/// Beyond, a program says nothing new and takes long.
const STEPS_MAX: usize = 120;
/// Dots of hostile states that are written down: each replica is gone over after each step.
const DOTS_MAX: u64 = 200;
/// Of what is only looked at for panics and for memory.
const FACTS_TRIED_MAX: u64 = 1 << 18;
const AHEAD_MS: u64 = 60_000;

#[derive(Clone, Debug)]
pub enum Program {
    Replicas { shape: Shape, steps: Vec<Step> },
    /// Beside the crate `crdts`.
    Oracle { kind: usize, acts: Vec<Act> },
}

/// Replicas are numbers, deltas any numbers: modulo how many there are.
#[derive(Clone, Debug)]
pub enum Step {
    Operate { at: usize, key: u8, operation: Operation },
    /// Changes since the last cut become deltas of at most so many bytes each.
    Cut { at: usize, bytes_max: usize },
    /// One of all deltas that were ever made, again perhaps; some never are.
    Deliver { delta: usize, to: usize },
    State { from: usize, to: usize },
    Object { from: usize, to: usize },
    Compare { one: usize, other: usize },
    /// A replica goes on from its encoded state.
    Restart { at: usize },
    /// A delta, or a state, comes damaged.
    Damaged { delta: Option<usize>, from: usize, to: usize, unpacked: bool, sealed: bool, strikes: Vec<Strike>, now_ms: Option<u64> },
    /// Bytes of chance as the content of a state.
    Hostile { to: usize, content: Vec<u8>, now_ms: Option<u64> },
    /// A state as it has to be, of facts as they need not be.
    Crafted { to: usize, actor: usize, facts: Vec<Crafted>, now_ms: Option<u64> },
    /// A comparison comes damaged, after so many good messages.
    DamagedCompare { from: usize, to: usize, after: usize, strikes: Vec<Strike> },
}

/// A fact: how far its counter is behind that of the one before, its key, stamp and value.
#[derive(Clone, Debug)]
pub struct Crafted {
    pub step: u64,
    pub key: Vec<u8>,
    pub stamp: u64,
    pub value: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub enum Strike {
    Flip(usize, u8),
    Put(usize, u8),
    Take(usize),
    Cut(usize),
}

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        if bytes.ratio(1, 8)? {
            let kind = bytes.choose_index(oracle::KINDS)?;
            let act = |bytes: &mut Unstructured<'a>| {
                let (at, other) = (bytes.choose_index(oracle::REPLICAS)?, bytes.choose_index(oracle::REPLICAS)?);
                Ok((at, other, bytes.int_in_range(0..=5)?, bytes.int_in_range(0..=8)?))
            };
            return Ok(Self::Oracle { kind, acts: all(bytes, act)? });
        }
        let shapes: Vec<Shape> = Shape::all().collect();
        Ok(Self::Replicas { shape: *bytes.choose(&shapes)?, steps: all(bytes, step)? })
    }
}

/// As many as the bytes are good for.
fn all<'a, T>(bytes: &mut Unstructured<'a>, one: impl Fn(&mut Unstructured<'a>) -> Result<T>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while !bytes.is_empty() && all.len() < STEPS_MAX {
        all.push(one(bytes)?);
    }
    Ok(all)
}

fn step(bytes: &mut Unstructured<'_>) -> Result<Step> {
    let kind = bytes.int_in_range(0..=31u8)?;
    let (at, other) = (bytes.choose_index(ACTORS.len())?, bytes.choose_index(ACTORS.len())?);
    Ok(match kind {
        0..=12 => Step::Operate { at, key: bytes.int_in_range(0..=2)?, operation: operation(bytes)? },
        13..=16 => Step::Cut { at, bytes_max: *bytes.choose(&[usize::MAX, 0, 40, 300])? },
        17..=20 => Step::Deliver { delta: bytes.arbitrary::<u8>()?.into(), to: at },
        21 => Step::State { from: at, to: other },
        22 => Step::Object { from: at, to: other },
        23 => Step::Compare { one: at, other },
        24 => Step::Restart { at },
        25..=27 => {
            let delta = if bytes.arbitrary()? { Some(bytes.arbitrary::<u8>()?.into()) } else { None };
            let (unpacked, sealed) = (bytes.ratio(3, 4)?, bytes.ratio(7, 8)?);
            Step::Damaged { delta, from: other, to: at, unpacked, sealed, strikes: strikes(bytes)?, now_ms: now_ms(bytes)? }
        }
        28..=29 => {
            let mut facts = Vec::new();
            for _ in 0..bytes.int_in_range(1..=3)? {
                facts.push(crafted(bytes)?);
            }
            Step::Crafted { to: at, actor: other, facts, now_ms: now_ms(bytes)? }
        }
        30 => {
            let length = bytes.int_in_range(0..=60)?.min(bytes.len());
            Step::Hostile { to: at, content: bytes.bytes(length)?.to_vec(), now_ms: now_ms(bytes)? }
        }
        _ => Step::DamagedCompare { from: at, to: other, after: bytes.int_in_range(0..=3)?, strikes: strikes(bytes)? },
    })
}

fn crafted(bytes: &mut Unstructured<'_>) -> Result<Crafted> {
    let some = |bytes: &mut Unstructured<'_>| {
        let length = bytes.int_in_range(0..=4)?.min(bytes.len());
        Ok(bytes.bytes(length)?.to_vec())
    };
    let key = match bytes.int_in_range(0..=5u8)? {
        0..=1 => Vec::new(),
        2 => vec![b'k', bytes.int_in_range(0..=2)?],
        3 => vec![2, b'k', bytes.int_in_range(0..=2)?, bytes.int_in_range(0..=4)?],
        4 => [vec![0x80 | bytes.int_in_range(0..=2)?, 0], some(bytes)?].concat(),
        _ => some(bytes)?,
    };
    let step = if bytes.ratio(1, 16)? { bytes.arbitrary()? } else { bytes.int_in_range(1..=4)? };
    let stamp = *bytes.choose(&[0, 1 << 16, 3 << 16, u64::MAX])?;
    let value = match bytes.int_in_range(0..=3u8)? {
        0 => Vec::new(),
        1 => vec![1],
        2 => vec![bytes.int_in_range(0..=127)?, 1],
        _ => some(bytes)?,
    };
    Ok(Crafted { step, key, stamp, value })
}

/// Every number on its own, nothing shared: the plainest form there is.
fn crafted_content(actor: &str, facts: &[Crafted], stamped: bool) -> Vec<u8> {
    let mut content = vec![1, actor.len() as u8];
    content.extend_from_slice(actor.as_bytes());
    let (mut ranges, mut counter) = (Ranges::default(), 0u64);
    for fact in facts {
        counter = counter.saturating_add(fact.step);
        ranges.insert(counter.max(1), counter);
    }
    put(&mut content, ranges.iter().len() as u64);
    let mut last = 0;
    for (first, end) in ranges.iter() {
        put(&mut content, first - last - 1);
        put(&mut content, end - first);
        last = end;
    }
    put(&mut content, facts.len() as u64);
    let mut last = 0;
    let mut stamp_step = |fact: &Crafted| {
        let step = fact.stamp.wrapping_sub(std::mem::replace(&mut last, fact.stamp));
        (step << 1) ^ ((step as i64) >> 63) as u64
    };
    let columns: [Vec<u64>; 5] = [
        facts.iter().map(|fact| fact.step).collect(),
        facts.iter().map(|_| 0).collect(),
        facts.iter().map(|fact| fact.key.len() as u64).collect(),
        facts.iter().filter(|_| stamped).map(&mut stamp_step).collect(),
        facts.iter().map(|fact| fact.value.len() as u64).collect(),
    ];
    let runs = |numbers: &[u64]| {
        let mut column: Vec<u8> = numbers.first().map(|_| numbers.len() as u8 * 2 - 1).into_iter().collect();
        numbers.iter().for_each(|number| put(&mut column, *number));
        column
    };
    let [counters, shared, rest, stamps, lengths] = columns.map(|numbers| runs(&numbers));
    let keys = facts.iter().flat_map(|fact| fact.key.clone()).collect();
    let values = facts.iter().flat_map(|fact| fact.value.clone()).collect();
    for column in [counters, shared, rest, keys, stamps, lengths, values] {
        put(&mut content, column.len() as u64);
        content.extend_from_slice(&column);
    }
    content
}

fn put(content: &mut Vec<u8>, number: u64) {
    content.extend(varints(&[number]));
}

fn operation(bytes: &mut Unstructured<'_>) -> Result<Operation> {
    Ok(match bytes.int_in_range(0..=8)? {
        0..=1 => Operation::Add(bytes.int_in_range(-9..=99)?),
        2 => Operation::Add(bytes.arbitrary()?),
        3..=4 => Operation::Set(bytes.int_in_range(0..=5)?, bytes.int_in_range(0..=4u64)? << 16),
        5..=6 => Operation::Insert(bytes.int_in_range(0..=4)?),
        7 => Operation::Remove(bytes.int_in_range(0..=4)?),
        _ => Operation::Delete,
    })
}

fn strikes(bytes: &mut Unstructured<'_>) -> Result<Vec<Strike>> {
    let mut strikes = Vec::new();
    for _ in 0..bytes.int_in_range(1..=4)? {
        let at = bytes.arbitrary::<u8>()?.into();
        strikes.push(match bytes.int_in_range(0..=6)? {
            0..=2 => Strike::Flip(at, bytes.arbitrary()?),
            3..=4 => Strike::Put(at, bytes.arbitrary()?),
            5 => Strike::Take(at),
            _ => Strike::Cut(at),
        });
    }
    Ok(strikes)
}

fn now_ms(bytes: &mut Unstructured<'_>) -> Result<Option<u64>> {
    Ok(*bytes.choose(&[None, None, Some(0), Some(1 << 47)])?)
}

fn strike(bytes: &mut Vec<u8>, strikes: &[Strike]) {
    for strike in strikes {
        let place = |at: usize| at % bytes.len().max(1);
        match *strike {
            Strike::Put(at, byte) => bytes.insert(at % (bytes.len() + 1), byte),
            _ if bytes.is_empty() => {}
            Strike::Flip(at, with) => {
                let at = place(at);
                bytes[at] ^= with;
            }
            Strike::Take(at) => drop(bytes.remove(place(at))),
            Strike::Cut(at) => bytes.truncate(place(at)),
        }
    }
}

fn seal(bytes: &mut [u8]) {
    if let Some((body, checksum)) = bytes.split_last_chunk_mut::<4>() {
        *checksum = crc32c::crc32c(body).to_le_bytes();
    }
}

/// A replica, with what it is to be.
struct Replica {
    object: Object,
    model: Model,
    /// Dots of operations here that no delta has said yet.
    fresh: BTreeSet<Dot>,
}

impl Replica {
    fn check(&self) {
        assert_eq!(Model::of(&self.object), self.model);
        if !matches!(self.object.shape().of, Type::OrSet | Type::TwoPhaseSet) {
            return;
        }
        // An element that is listed is one that is found.
        let scopes = if self.object.shape().map { self.object.map_keys().expect("a map") } else { vec![&[][..]] };
        for scope in scopes {
            let elements = self.object.elements(scope).expect("a set");
            assert!(elements.windows(2).all(|pair| pair[0] < pair[1]), "{elements:?} under {scope:?}");
            assert!(elements.iter().all(|element| self.object.has(scope, element) == Ok(true)), "{elements:?} under {scope:?}");
        }
    }

    fn operate(&mut self, me: &str, key: u8, operation: &Operation) {
        let before = self.model.clone();
        operate(&mut self.object, &mut self.model, me, key, operation);
        self.fresh.extend(self.model.seen.difference(&before.seen).cloned());
        self.fresh.extend(before.facts.into_keys().filter(|dot| !self.model.facts.contains_key(dot)));
    }

    fn cut(&mut self, bytes_max: usize) -> Vec<(Vec<u8>, Model)> {
        let deltas = if bytes_max == usize::MAX { self.object.take_delta().into_iter().collect() } else { self.object.take_deltas(bytes_max) };
        let mut all = Model::default();
        let said: Vec<_> = deltas.into_iter().map(|delta| {
            let says = self.says(&delta);
            assert!(delta.len() <= bytes_max || says.seen.len() == 1, "{} bytes of {}", delta.len(), says.seen.len());
            all = all.join(&says);
            (delta, says)
        }).collect();
        let fresh = std::mem::take(&mut self.fresh);
        let facts = self.model.facts.iter().filter(|(dot, _)| fresh.contains(*dot)).map(|(dot, fact)| (dot.clone(), fact.clone()));
        assert_eq!(all, Model { facts: facts.collect(), seen: fresh });
        said
    }

    /// What bytes of ours say.
    fn says(&self, bytes: &[u8]) -> Model {
        match read_state(bytes, u64::MAX) {
            Reading::State { shape, says, .. } if shape == self.object.shape() => says,
            other => panic!("ours is no state: {other:?}"),
        }
    }

    fn take(&mut self, bytes: &[u8], says: &Model) {
        let joined = self.model.join(says);
        assert_eq!(self.object.merge(bytes, None), Ok(joined != self.model));
        self.model = joined;
    }

    fn take_hostile(&mut self, bytes: &[u8], now_ms: Option<u64>) {
        let reading = read_state(bytes, DOTS_MAX);
        let (facts, unpacked) = match &reading {
            Reading::Large { facts } if *facts > FACTS_TRIED_MAX => return,
            Reading::Large { facts } => (*facts as usize, content(bytes).map_or(0, |content| content.len())),
            _ => (DOTS_MAX as usize, content(bytes).map_or(0, |content| content.len())),
        };
        // What cannot be written down is not taken in either.
        let mut scratch = matches!(reading, Reading::Large { .. }).then(|| self.object.clone());
        let object = scratch.as_mut().unwrap_or(&mut self.object);
        let (before, memory) = (object.state(), object.store().memory_bytes());
        let (done, peak) = peak_of(|| object.merge(bytes, now_ms));
        assert!(peak < (1 << 18) + 4 * memory + 512 * (bytes.len() + unpacked + facts), "{peak} bytes for {} of {facts} facts", bytes.len());
        let refused = |error: &CrdtError| object.state() == before && !matches!(error, CrdtError::ClockAhead { .. });
        match reading {
            Reading::Refused => {
                let error = done.expect_err("what is no state was taken in");
                assert!(refused(&error), "{error}");
            }
            Reading::Large { .. } => assert!(done.as_ref().err().is_none_or(|_| object.state() == before), "{done:?}"),
            Reading::State { shape, .. } if shape != self.object.shape() => {
                assert!(matches!(done, Err(CrdtError::Type { .. })), "{done:?}");
            }
            Reading::State { newest_stamp, .. } if now_ms.is_some_and(|now_ms| newest_stamp >> 16 > now_ms + AHEAD_MS) => {
                assert!(matches!(done, Err(CrdtError::ClockAhead { .. })), "{done:?}");
            }
            Reading::State { says, .. } => {
                let joined = self.model.join(&says);
                assert_eq!(done, Ok(joined != self.model));
                self.model = joined;
            }
        }
    }

    /// What is true after a comparison with another: a dot that both have a fact of is not looked at again.
    fn compared(&self, other: &Model) -> Model {
        let mut joined = self.model.join(other);
        for (dot, fact) in &mut joined.facts {
            if let Some(own) = self.model.facts.get(dot) {
                fact.clone_from(own);
            }
        }
        joined
    }
}

impl Program {
    pub fn play(&self) {
        match self {
            Self::Oracle { kind, acts } => oracle::play(*kind, acts),
            Self::Replicas { shape, steps } => play(*shape, steps),
        }
    }
}

fn play(shape: Shape, steps: &[Step]) {
    let new = |name: &&str| Replica { object: object(shape, name), model: Model::default(), fresh: BTreeSet::new() };
    let mut replicas: Vec<Replica> = ACTORS.iter().map(new).collect();
    // Deltas, with what they say.
    let mut deltas: Vec<(Vec<u8>, Model)> = Vec::new();
    for step in steps {
        match step {
            Step::Operate { at, key, operation } => replicas[*at].operate(ACTORS[*at], *key, operation),
            Step::Cut { at, bytes_max } => deltas.extend(replicas[*at].cut(*bytes_max)),
            Step::Deliver { delta, to } => {
                if let Some((bytes, says)) = deltas.get(delta % deltas.len().max(1)) {
                    replicas[*to].take(bytes, says);
                }
            }
            Step::State { from, to } => {
                let (state, says) = (replicas[*from].object.state(), replicas[*from].model.clone());
                assert_eq!(replicas[*from].says(&state), says);
                replicas[*to].take(&state, &says);
            }
            Step::Object { from, to } => {
                let (other, says) = (replicas[*from].object.clone(), replicas[*from].model.clone());
                let replica = &mut replicas[*to];
                let joined = replica.model.join(&says);
                assert_eq!(replica.object.merge_object(&other), Ok(joined != replica.model));
                replica.model = joined;
            }
            Step::Compare { one, other } if one != other => compare(&mut replicas, *one, *other),
            Step::Compare { .. } => {}
            Step::Restart { at } => {
                let replica = &mut replicas[*at];
                let (state, mut again) = (replica.object.state(), Object::new(shape, ACTORS[*at], 8).expect("a good name"));
                assert_eq!(again.merge(&state, None), Ok(!replica.model.seen.is_empty()));
                replica.object = again;
                replica.fresh.clear();
            }
            Step::Damaged { delta, from, to, unpacked, sealed: checked, strikes, now_ms } => {
                let chosen = delta.and_then(|delta| deltas.get(delta % deltas.len().max(1)));
                let mut bytes = chosen.map_or_else(|| replicas[*from].object.state(), |(bytes, _)| bytes.clone());
                if *unpacked {
                    bytes = sealed(shape, &content(&bytes).expect("ours"));
                }
                strike(&mut bytes, strikes);
                if *checked {
                    seal(&mut bytes);
                }
                replicas[*to].take_hostile(&bytes, *now_ms);
            }
            Step::Hostile { to, content, now_ms } => replicas[*to].take_hostile(&sealed(shape, content), *now_ms),
            Step::Crafted { to, actor, facts, now_ms } => {
                let content = crafted_content(ACTORS[*actor], facts, shape.of == Type::LwwRegister);
                replicas[*to].take_hostile(&sealed(shape, &content), *now_ms);
            }
            Step::DamagedCompare { from, to, after, strikes } => damaged_compare(&mut replicas, *from, *to, *after, strikes),
        }
        replicas.iter().for_each(Replica::check);
    }
    converge(&mut replicas);
}

fn compare(replicas: &mut [Replica], one: usize, other: usize) {
    let expected = [(one, replicas[one].compared(&replicas[other].model)), (other, replicas[other].compared(&replicas[one].model))];
    let (mut message, mut messages, mut sides) = (Some(replicas[one].object.begin_compare()), 0, [other, one]);
    while let Some(said) = message {
        messages += 1;
        assert!(messages < 60, "it does not end");
        let compared = replicas[sides[0]].object.compare(&said).expect("a message of ours");
        if let Some(delta) = compared.delta {
            replicas[sides[1]].object.merge(&delta, None).expect("a delta of ours");
        }
        message = compared.reply;
        sides.reverse();
    }
    for (at, model) in expected {
        replicas[at].model = model;
    }
}

fn damaged_compare(replicas: &mut [Replica], from: usize, to: usize, after: usize, strikes: &[Strike]) {
    // Good messages go between copies: of these only the last one counts.
    let mut sides = [replicas[to].object.clone(), replicas[from].object.clone()];
    let mut message = sides[1].begin_compare();
    for _ in 0..after * 2 {
        let Some(reply) = sides[0].compare(&message).expect("a message of ours").reply else { break };
        message = reply;
        sides.reverse();
    }
    strike(&mut message, strikes);
    seal(&mut message);
    let replica = &mut replicas[to];
    let (before, memory) = (replica.object.state(), replica.object.store().memory_bytes());
    let (done, peak) = peak_of(|| replica.object.compare(&message));
    assert!(peak < (1 << 18) + 64 * memory + 512 * message.len(), "{peak} bytes for {}", message.len());
    let now = Model::of(&replica.object);
    match done {
        Err(_) => assert!(replica.object.state() == before),
        Ok(compared) => {
            // It may be lied to about what others have removed, and about nothing else.
            assert_eq!(now.seen, replica.model.seen);
            assert!(now.facts.iter().all(|(dot, fact)| replica.model.facts.get(dot) == Some(fact)));
            assert_eq!(compared.changed, now != replica.model);
            let says = compared.delta.map(|delta| replica.says(&delta)).unwrap_or_default();
            assert!(says.facts.iter().all(|(dot, fact)| replica.model.facts.get(dot) == Some(fact)));
            replica.model = now;
        }
    }
}

fn converge(replicas: &mut [Replica]) {
    let all = replicas.iter().fold(Model::default(), |all, replica| all.join(&replica.model));
    for _ in 0..2 {
        let states: Vec<_> = replicas.iter().map(|replica| (replica.object.state(), replica.model.clone())).collect();
        for replica in replicas.iter_mut() {
            states.iter().for_each(|(state, says)| replica.take(state, says));
        }
    }
    for replica in replicas.iter() {
        replica.check();
        assert_eq!(replica.model, all);
        assert_eq!(read(&replica.object), read(&replicas[0].object));
    }
}
