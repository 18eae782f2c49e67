//! The types beside those of the crate `crdts`: the same steps on both sides, whole states.
//!
//! Not its map: there a removed key's elements come back with a later change under the key by one who has not seen the
//! removal. The model holds ours to what was removed staying so.

use super::model::{object, ACTORS};
use crdts::{CmRDT, CvRDT, GCounter, LWWReg, MVReg, Orswot, PNCounter};
use std::collections::BTreeSet;
use vexfs_core::crdt::{Object, Shape, Type};

type Actor = usize;

/// One step: at a replica, another one, an even kind for an operation (0 takes away) or an odd one for a merge, a value.
pub type Act = (usize, usize, u8, u8);
pub const REPLICAS: usize = 3;
pub const KINDS: usize = 5;

/// A whole state, on each of the ways there are.
fn take_in(object: &mut Object, other: &Object, way: u8) {
    match way % 3 {
        0 => object.merge(&other.state(), None).map(|_| ()).expect("a state of ours"),
        1 => object.merge_object(other).map(|_| ()).expect("one shape"),
        _ => {
            let (mut there, mut message) = (other.clone(), Some(object.begin_compare()));
            while let Some(said) = message {
                let answer = there.compare(&said).expect("a message of ours");
                answer.delta.iter().for_each(|delta| assert!(object.merge(delta, None).is_ok()));
                message = answer.reply.and_then(|reply| object.compare(&reply).expect("a message of ours").reply);
            }
        }
    }
}

/// The same thing on both sides.
trait Pair: Clone {
    fn new(actor: Actor) -> Self;
    fn act(&mut self, kind: u8, value: u8);
    fn merge(&mut self, other: &Self, way: u8);
    fn check(&self);
}

macro_rules! pair {
    ($name:ident, $of:expr, $theirs:ty, $act:expr, $check:expr) => {
        #[derive(Clone)]
        struct $name(Actor, Object, $theirs);

        impl Pair for $name {
            fn new(actor: Actor) -> Self {
                Self(actor, object(Shape { of: $of, map: false }, ACTORS[actor]), <$theirs>::default())
            }
            fn act(&mut self, kind: u8, value: u8) {
                ($act)(self.0, &mut self.1, &mut self.2, kind, value);
            }
            fn merge(&mut self, other: &Self, way: u8) {
                take_in(&mut self.1, &other.1, way);
                self.2.merge(other.2.clone());
            }
            fn check(&self) {
                ($check)(&self.1, &self.2);
            }
        }
    };
}

pair!(Grows, Type::GCounter, GCounter<Actor>,
    |me, ours: &mut Object, theirs: &mut GCounter<Actor>, _, value: u8| {
        ours.add(&[], i64::from(value)).expect("an addition");
        theirs.apply(theirs.inc_many(me, u64::from(value)));
    },
    |ours: &Object, theirs: &GCounter<Actor>| assert_eq!(ours.count(&[]).expect("a counter").to_string(), theirs.read().to_string()));

pair!(Counts, Type::PnCounter, PNCounter<Actor>,
    |me, ours: &mut Object, theirs: &mut PNCounter<Actor>, kind, value: u8| {
        let by = i64::from(value) * if kind == 0 { -1 } else { 1 };
        ours.add(&[], by).expect("an addition");
        let times = u64::from(value);
        theirs.apply(if by < 0 { theirs.dec_many(me, times) } else { theirs.inc_many(me, times) });
    },
    |ours: &Object, theirs: &PNCounter<Actor>| assert_eq!(ours.count(&[]).expect("a counter").to_string(), theirs.read().to_string()));

pair!(Latest, Type::LwwRegister, LWWReg<u8, (u64, Actor)>,
    |me, ours: &mut Object, theirs: &mut LWWReg<u8, (u64, Actor)>, kind: u8, value: u8| {
        // The clock of one is behind what another has written. Stamps and actors together are never the same twice.
        let stamp = 1 + u64::from(kind) * 3 + u64::from(value) % 3;
        ours.set(&[], &[value], stamp).expect("a set");
        theirs.update(value, (stamp.max(theirs.marker.0 + 1), me));
    },
    |ours: &Object, theirs: &LWWReg<u8, (u64, Actor)>| {
        let found = ours.values(&[]).expect("a register").first().map_or(0, |value| value[0]);
        assert_eq!(found, theirs.val);
    });

pair!(Registers, Type::MvRegister, MVReg<u8, Actor>,
    |me, ours: &mut Object, theirs: &mut MVReg<u8, Actor>, _, value: u8| {
        ours.set(&[], &[value], 0).expect("a set");
        let context = theirs.read_ctx().derive_add_ctx(me);
        theirs.apply(theirs.write(value, context));
    },
    |ours: &Object, theirs: &MVReg<u8, Actor>| {
        let found: BTreeSet<u8> = ours.values(&[]).expect("a register").into_iter().map(|value| value[0]).collect();
        assert_eq!(found, theirs.read().val.into_iter().collect());
    });

pair!(Sets, Type::OrSet, Orswot<u8, Actor>,
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

/// Plays steps with one of the kinds of pairs; panics where a reader of one side reads something else than on the other.
pub fn play(kind: usize, steps: &[Act]) {
    match kind {
        0 => play_pair::<Grows>(steps),
        1 => play_pair::<Counts>(steps),
        2 => play_pair::<Latest>(steps),
        3 => play_pair::<Registers>(steps),
        _ => play_pair::<Sets>(steps),
    }
}

fn play_pair<P: Pair>(steps: &[Act]) {
    let mut replicas: Vec<P> = (0..REPLICAS).map(P::new).collect();
    for (at, other, kind, value) in steps {
        if kind % 2 == 1 {
            let other = replicas[*other].clone();
            replicas[*at].merge(&other, *value);
        } else {
            replicas[*at].act(kind / 2, *value);
        }
        replicas[*at].check();
    }
}
