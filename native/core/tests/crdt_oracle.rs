//! The types beside those of the crate `crdts`: small histories, whole states.
//!
//! Not its map: there a removed key's elements come back with a later change under the key by one who has not seen the
//! removal. The model of `crdt_laws` holds ours to what was removed staying so.

mod crdt_support;

use crdt_support::{object, ACTORS};
use crdts::{CmRDT, CvRDT, GCounter, MVReg, Orswot, PNCounter};
use proptest::prelude::*;
use std::collections::BTreeSet;
use vexfs_core::crdt::{Object, Shape, Type};

type Actor = usize;

/// The same thing on both sides.
trait Pair: Clone {
    fn new(actor: Actor) -> Self;
    fn act(&mut self, kind: u8, value: u8);
    fn merge(&mut self, other: &Self);
    fn check(&self);
}

macro_rules! pair {
    ($name:ident, $of:expr, $map:expr, $theirs:ty, $act:expr, $check:expr) => {
        #[derive(Clone)]
        struct $name(Actor, Object, $theirs);

        impl Pair for $name {
            fn new(actor: Actor) -> Self {
                Self(actor, object(Shape { of: $of, map: $map }, ACTORS[actor]), <$theirs>::new())
            }
            fn act(&mut self, kind: u8, value: u8) {
                ($act)(self.0, &mut self.1, &mut self.2, kind, value);
            }
            fn merge(&mut self, other: &Self) {
                self.1.merge(&other.1.state(), None).expect("a state of ours");
                self.2.merge(other.2.clone());
            }
            fn check(&self) {
                ($check)(&self.1, &self.2);
            }
        }
    };
}

pair!(Grows, Type::GCounter, false, GCounter<Actor>,
    |me, ours: &mut Object, theirs: &mut GCounter<Actor>, _, value: u8| {
        ours.add(&[], i64::from(value)).expect("an addition");
        theirs.apply(theirs.inc_many(me, u64::from(value)));
    },
    |ours: &Object, theirs: &GCounter<Actor>| assert_eq!(ours.count(&[]).expect("a counter").to_string(), theirs.read().to_string()));

pair!(Counts, Type::PnCounter, false, PNCounter<Actor>,
    |me, ours: &mut Object, theirs: &mut PNCounter<Actor>, kind, value: u8| {
        let by = i64::from(value) * if kind == 0 { -1 } else { 1 };
        ours.add(&[], by).expect("an addition");
        let times = u64::from(value);
        theirs.apply(if by < 0 { theirs.dec_many(me, times) } else { theirs.inc_many(me, times) });
    },
    |ours: &Object, theirs: &PNCounter<Actor>| assert_eq!(ours.count(&[]).expect("a counter").to_string(), theirs.read().to_string()));

pair!(Registers, Type::MvRegister, false, MVReg<u8, Actor>,
    |me, ours: &mut Object, theirs: &mut MVReg<u8, Actor>, _, value: u8| {
        ours.set(&[], &[value], 0).expect("a set");
        let context = theirs.read_ctx().derive_add_ctx(me);
        theirs.apply(theirs.write(value, context));
    },
    |ours: &Object, theirs: &MVReg<u8, Actor>| {
        let found: BTreeSet<u8> = ours.values(&[]).expect("a register").into_iter().map(|value| value[0]).collect();
        assert_eq!(found, theirs.read().val.into_iter().collect());
    });

pair!(Sets, Type::OrSet, false, Orswot<u8, Actor>,
    |me, ours: &mut Object, theirs: &mut Orswot<u8, Actor>, kind, value: u8| {
        if kind == 0 {
            ours.remove(&[], &[value]).expect("a set");
            let context = theirs.contains(&value).derive_rm_ctx();
            theirs.apply(theirs.rm(value, context));
        } else {
            ours.insert(&[], &[value]).expect("a set");
            let context = theirs.read_ctx().derive_add_ctx(me);
            theirs.apply(theirs.add(value, context));
        }
    },
    |ours: &Object, theirs: &Orswot<u8, Actor>| {
        let found: BTreeSet<u8> = ours.elements(&[]).expect("a set").into_iter().map(|element| element[0]).collect();
        assert_eq!(found, theirs.read().val.into_iter().collect());
    });

fn play<P: Pair>(steps: &[(usize, usize, u8, u8)]) {
    let mut replicas: Vec<P> = (0..3).map(P::new).collect();
    for (at, other, kind, value) in steps {
        if kind % 2 == 1 {
            let other = replicas[*other].clone();
            replicas[*at].merge(&other);
        } else {
            replicas[*at].act(kind / 2, *value);
        }
        replicas[*at].check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_the_oracle_reads(of in 0..4usize, steps in prop::collection::vec((0..3usize, 0..3usize, 0..6u8, 0..9u8), 1..40)) {
        match of {
            0 => play::<Grows>(&steps),
            1 => play::<Counts>(&steps),
            2 => play::<Registers>(&steps),
            _ => play::<Sets>(&steps),
        }
    }
}
