//! What the tests of the CRDTs share: a model as naive as can be, and histories to try.
#![allow(dead_code)]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::crdt::types::map;
use vexfs_core::crdt::{CrdtError, Object, Shape, Type};

pub const ACTORS: [&str; 4] = ["a", "b", "c", "d"];
type Dot = (String, u64);

/// A state written down: every dot that was seen, and the facts that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub seen: BTreeSet<Dot>,
    pub facts: BTreeMap<Dot, (Vec<u8>, Vec<u8>)>,
}

impl Model {
    pub fn of(object: &Object) -> Self {
        let (store, mut model) = (object.store(), Model::default());
        for (actor, ranges) in store.context().actors() {
            let name = store.actors().name(actor);
            model.seen.extend(ranges.iter().flat_map(|(first, last)| first..=last).map(|counter| (name.to_owned(), counter)));
        }
        for (key, facts) in store.by_key() {
            for fact in facts {
                let dot = (store.actors().name(fact.actor).to_owned(), fact.counter);
                assert!(model.facts.insert(dot, (key.to_vec(), fact.payload.to_vec())).is_none());
            }
        }
        assert_eq!(store.len(), model.facts.len());
        model
    }

    /// The definition of the join.
    pub fn join(&self, other: &Model) -> Model {
        let survives = |of: &Model, dot: &Dot| of.facts.contains_key(dot) || !of.seen.contains(dot);
        let mine = self.facts.iter().filter(|(dot, _)| survives(other, dot));
        let theirs = other.facts.iter().filter(|(dot, _)| survives(self, dot));
        let both = mine.chain(theirs).map(|(dot, fact)| (dot.clone(), fact.clone()));
        Model { seen: self.seen.union(&other.seen).cloned().collect(), facts: both.collect() }
    }

    pub fn covers(&self, other: &Model) -> bool {
        self.join(other) == *self
    }

    fn put(&mut self, me: &str, key: Vec<u8>, payload: Vec<u8>, own: bool) {
        let next = self.seen.iter().filter(|(actor, _)| actor == me).map(|(_, counter)| counter + 1).max().unwrap_or(1);
        self.facts.retain(|(actor, _), (at, _)| *at != key || (own && actor != me));
        self.seen.insert((me.to_owned(), next));
        self.facts.insert((me.to_owned(), next), (key, payload));
    }

    fn at<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = (&'a Dot, &'a [u8])> {
        self.facts.iter().filter(move |(_, (at, _))| at == key).map(|(dot, (_, payload))| (dot, &payload[..]))
    }
}

#[derive(Clone, Debug)]
pub enum Operation {
    Add(i64),
    Set(u8, u64),
    Insert(u8),
    Remove(u8),
    Delete,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// An operation, under a key where the object is a map.
    Operate(usize, u8, Operation),
    /// A delta of those that were ever made arrives somewhere, perhaps again.
    Deliver(usize, usize),
    /// A whole state does.
    State(usize, usize),
    /// A replica's changes so far become a delta.
    Cut(usize),
}

pub fn steps(replicas: usize) -> impl Strategy<Value = Vec<Step>> {
    let operation = prop_oneof![
        (-9..99i64).prop_map(Operation::Add),
        (0..6u8, 0..5u64).prop_map(|(value, ms)| Operation::Set(value, ms << 16)),
        (0..5u8).prop_map(Operation::Insert),
        (0..5u8).prop_map(Operation::Remove),
        Just(Operation::Delete),
    ];
    let step = prop_oneof![
        4 => (0..replicas, 0..3u8, operation).prop_map(|(at, key, operation)| Step::Operate(at, key, operation)),
        3 => (any::<usize>(), 0..replicas).prop_map(|(delta, to)| Step::Deliver(delta, to)),
        1 => (0..replicas, 0..replicas).prop_map(|(from, to)| Step::State(from, to)),
        2 => (0..replicas).prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 1..70)
}

pub fn shapes() -> impl Strategy<Value = Shape> {
    prop::sample::select(Shape::all().collect::<Vec<_>>())
}

pub fn object(shape: Shape, actor: &str) -> Object {
    Object::new(shape, actor, 7).expect("a good name")
}

/// Runs an operation on a replica and, as its type's paper defines it, on a model.
pub fn operate(object: &mut Object, model: &mut Model, me: &str, key: u8, operation: &Operation) {
    let shape = object.shape();
    let scope = if shape.map { vec![b'k', key] } else { Vec::new() };
    let keyed = |element: u8| if shape.map { map::join(&scope, &[element]) } else { vec![element] };
    match (shape.of, operation) {
        (Type::GCounter | Type::PnCounter, Operation::Add(by)) => {
            let done = object.add(&scope, *by);
            if shape.of == Type::GCounter && *by < 0 {
                return assert!(matches!(done, Err(CrdtError::Limit { .. })));
            }
            assert_eq!(done, Ok(()));
            let own = model.at(&scope).find(|((actor, _), _)| actor == me).map(|(_, payload)| numbers(payload)).unwrap_or(vec![0, 0]);
            let payload = match shape.of {
                Type::GCounter => varints(&[own[0] + by.unsigned_abs()]),
                _ if *by < 0 => varints(&[own[0], own[1] + by.unsigned_abs()]),
                _ => varints(&[own[0] + by.unsigned_abs(), own[1]]),
            };
            model.put(me, scope, payload, true);
        }
        (Type::LwwRegister, Operation::Set(value, stamp)) => {
            object.set(&scope, &[*value], *stamp).expect("a set");
            let seen = model.at(&scope).map(|(_, payload)| u64::from_le_bytes(payload[..8].try_into().unwrap_or_default()) + 1).max();
            let stamp = seen.unwrap_or(0).max(*stamp);
            model.put(me, scope, [&stamp.to_le_bytes()[..], &[*value]].concat(), false);
        }
        (Type::MvRegister, Operation::Set(value, _)) => {
            object.set(&scope, &[*value], 0).expect("a set");
            model.put(me, scope, vec![*value], false);
        }
        (Type::OrSet, Operation::Insert(element)) => {
            assert_eq!(object.insert(&scope, &[*element]), Ok(true));
            model.put(me, keyed(*element), Vec::new(), false);
        }
        (Type::OrSet, Operation::Remove(element)) => {
            let (key, before) = (keyed(*element), model.facts.len());
            model.facts.retain(|_, (at, _)| *at != key);
            assert_eq!(object.remove(&scope, &[*element]), Ok(before != model.facts.len()));
        }
        (Type::TwoPhaseSet, Operation::Insert(element)) => {
            let key = keyed(*element);
            let new = model.at(&key).next().is_none();
            assert_eq!(object.insert(&scope, &[*element]), Ok(new));
            if new {
                model.put(me, key, Vec::new(), false);
            }
        }
        (Type::TwoPhaseSet, Operation::Remove(element)) => {
            let key = keyed(*element);
            let there = model.at(&key).next().is_some() && model.at(&key).all(|(_, payload)| payload.is_empty());
            assert_eq!(object.remove(&scope, &[*element]), Ok(there));
            if there {
                model.put(me, key, vec![1], false);
            }
        }
        (_, Operation::Delete) if shape.map => {
            let before = model.facts.len();
            let keyed = shape.of.is_keyed();
            model.facts.retain(|_, (at, _)| if keyed { map::scope(at) != scope } else { *at != scope });
            assert_eq!(object.delete(&scope), Ok(before != model.facts.len()));
        }
        (_, Operation::Delete) => assert!(matches!(object.delete(&[]), Err(CrdtError::Type { .. }))),
        (_, Operation::Add(by)) => assert!(matches!(object.add(&scope, *by), Err(CrdtError::Type { .. }))),
        (_, Operation::Set(..)) => assert!(matches!(object.set(&scope, &[], 0), Err(CrdtError::Type { .. }))),
        (_, Operation::Insert(_)) => assert!(matches!(object.insert(&scope, &[]), Err(CrdtError::Type { .. }))),
        (_, Operation::Remove(_)) => assert!(matches!(object.remove(&scope, &[]), Err(CrdtError::Type { .. }))),
    }
}

/// What a reader of a replica sees.
pub fn read(object: &Object) -> String {
    let shape = object.shape();
    let one = |scope: &[u8]| match shape.of {
        Type::GCounter | Type::PnCounter => format!("{:?}", object.count(scope)),
        Type::LwwRegister | Type::MvRegister => format!("{:?}", object.values(scope)),
        Type::OrSet | Type::TwoPhaseSet => format!("{:?}", object.elements(scope)),
    };
    if !shape.map {
        return one(&[]);
    }
    let keys = object.map_keys().expect("a map");
    keys.into_iter().map(|key| format!("{key:?}: {}\n", one(key))).collect()
}

fn varints(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        let mut rest = *value;
        while rest > 127 {
            out.push((rest & 127) as u8 | 128);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out
}

fn numbers(payload: &[u8]) -> Vec<u64> {
    let (mut values, mut value, mut shift) = (Vec::new(), 0, 0);
    for byte in payload {
        value |= u64::from(byte & 127) << shift;
        shift += 7;
        if *byte < 128 {
            values.push(value);
            (value, shift) = (0, 0);
        }
    }
    values
}
