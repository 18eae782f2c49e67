//! A model of the types as naive as can be: every dot written down, and what each operation does to them.

use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::crdt::types::map;
use vexfs_core::crdt::{CrdtError, Object, Shape, Type};

pub const ACTORS: [&str; 4] = ["a", "b", "c", "d"];
pub type Dot = (String, u64);
/// Key and payload.
pub type Fact = (Vec<u8>, Vec<u8>);

/// A state written down: every dot that was seen, and the facts that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub seen: BTreeSet<Dot>,
    pub facts: BTreeMap<Dot, Fact>,
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
        let mut facts: BTreeMap<Dot, Fact> = BTreeMap::new();
        for (dot, fact) in mine.chain(theirs) {
            // Two facts under one dot, of an actor that was doubled: the greater one.
            let there = facts.entry(dot.clone()).or_default();
            *there = fact.max(there).clone();
        }
        Model { seen: self.seen.union(&other.seen).cloned().collect(), facts }
    }

    pub fn covers(&self, other: &Model) -> bool {
        self.join(other) == *self
    }

    /// The counter of an actor's next dot, if there is one.
    fn next(&self, me: &str) -> Option<u64> {
        let last = self.seen.iter().filter(|(actor, _)| actor == me).map(|(_, counter)| *counter).max();
        last.unwrap_or(0).checked_add(1)
    }

    /// The fact of an operation; not where that has to be refused, which `done` must then be for.
    fn put(&mut self, me: &str, key: Vec<u8>, payload: Option<Vec<u8>>, own: bool, done: Result<(), CrdtError>) {
        let Some((next, payload)) = self.next(me).zip(payload) else {
            return assert!(matches!(done, Err(CrdtError::Limit { .. })), "{done:?}");
        };
        assert_eq!(done, Ok(()));
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
            let own = model.at(&scope).filter(|((actor, _), _)| actor == me).map(|(_, payload)| numbers(payload)).max().unwrap_or(vec![0, 0]);
            let sum = |own: u64| own.checked_add(by.unsigned_abs()).filter(|sum| *sum < 1 << 53);
            let payload = match shape.of {
                Type::GCounter if *by < 0 => None,
                Type::GCounter => sum(own[0]).map(|plus| varints(&[plus])),
                _ if *by < 0 => sum(own[1]).map(|minus| varints(&[own[0], minus])),
                _ => sum(own[0]).map(|plus| varints(&[plus, own[1]])),
            };
            model.put(me, scope, payload, true, done);
        }
        (Type::LwwRegister, Operation::Set(value, stamp)) => {
            let done = object.set(&scope, &[*value], *stamp);
            let seen = model.at(&scope).map(|(_, payload)| u64::from_le_bytes(payload[..8].try_into().unwrap_or_default())).max();
            let after = seen.map_or(Some(0), |seen| seen.checked_add(1));
            let payload = after.map(|after| [&after.max(*stamp).to_le_bytes()[..], &[*value]].concat());
            model.put(me, scope, payload, false, done);
        }
        (Type::MvRegister, Operation::Set(value, _)) => {
            let done = object.set(&scope, &[*value], 0);
            model.put(me, scope, Some(vec![*value]), false, done);
        }
        (Type::OrSet, Operation::Insert(element)) => {
            let done = object.insert(&scope, &[*element]).map(|new| assert!(new));
            model.put(me, keyed(*element), Some(Vec::new()), false, done);
        }
        (Type::OrSet, Operation::Remove(element)) => {
            let (key, before) = (keyed(*element), model.facts.len());
            model.facts.retain(|_, (at, _)| *at != key);
            assert_eq!(object.remove(&scope, &[*element]), Ok(before != model.facts.len()));
        }
        (Type::TwoPhaseSet, Operation::Insert(element)) => {
            let (key, done) = (keyed(*element), object.insert(&scope, &[*element]));
            if model.at(&key).next().is_some() {
                return assert_eq!(done, Ok(false));
            }
            model.put(me, key, Some(Vec::new()), false, done.map(|new| assert!(new)));
        }
        (Type::TwoPhaseSet, Operation::Remove(element)) => {
            let (key, done) = (keyed(*element), object.remove(&scope, &[*element]));
            if model.at(&key).next().is_none() || model.at(&key).any(|(_, payload)| !payload.is_empty()) {
                return assert_eq!(done, Ok(false));
            }
            model.put(me, key, Some(vec![1]), false, done.map(|there| assert!(there)));
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

pub fn varints(values: &[u64]) -> Vec<u8> {
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
