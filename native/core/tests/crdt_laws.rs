//! The laws of the types: against a model of dots written down, in any order, with what is lost and what comes twice.

use crate::crdt_support::written::sealed;
use crate::crdt_support::{object, operate, read, shapes, steps, Model, Operation, Step, ACTORS};
use proptest::prelude::*;
use vexfs_core::crdt::{Object, Shape};

/// Replicas after a history, each with its model; and every delta that was made.
fn play(shape: Shape, steps: &[Step]) -> (Vec<(Object, Model)>, Vec<Vec<u8>>) {
    let mut replicas: Vec<(Object, Model)> = ACTORS.iter().map(|name| (object(shape, name), Model::default())).collect();
    // A delta with the model of what it says.
    let mut deltas: Vec<(Vec<u8>, Model)> = Vec::new();
    let mut cut_at: Vec<Model> = vec![Model::default(); ACTORS.len()];
    let mut cut = |replicas: &mut Vec<(Object, Model)>, deltas: &mut Vec<(Vec<u8>, Model)>, at: usize| {
        let (object, model) = &mut replicas[at];
        if let Some(delta) = object.take_delta() {
            let mut said = object_of(shape, "x");
            said.merge(&delta, None).expect("a delta of ours");
            deltas.push((delta, Model::of(&said)));
        }
        cut_at[at] = model.clone();
    };
    for step in steps {
        match step {
            Step::Operate(at, key, operation) => {
                let (object, model) = &mut replicas[*at];
                operate(object, model, ACTORS[*at], *key, operation);
            }
            Step::Cut(at) => cut(&mut replicas, &mut deltas, *at),
            Step::Deliver(delta, to) if !deltas.is_empty() => {
                let (bytes, said) = &deltas[delta % deltas.len()];
                let (object, model) = &mut replicas[*to];
                let joined = model.join(said);
                assert_eq!(object.merge(bytes, None), Ok(joined != *model));
                assert!(joined.covers(model) && joined.covers(said));
                *model = joined;
            }
            Step::Deliver(..) => {}
            Step::State(from, to) => {
                let (state, theirs) = (replicas[*from].0.state(), replicas[*from].1.clone());
                let (object, model) = &mut replicas[*to];
                object.merge(&state, None).expect("a state of ours");
                *model = model.join(&theirs);
            }
        }
        for (object, model) in &replicas {
            assert_eq!(Model::of(object), *model, "after {step:?}");
        }
    }
    (0..ACTORS.len()).for_each(|at| cut(&mut replicas, &mut deltas, at));
    (replicas, deltas.into_iter().map(|(bytes, _)| bytes).collect())
}

fn object_of(shape: Shape, name: &str) -> Object {
    object(shape, name)
}

fn merged(shape: Shape, parts: &[Vec<u8>]) -> Object {
    let mut all = object_of(shape, "x");
    for part in parts {
        all.merge(part, None).expect("a part of ours");
    }
    all
}

/// Compares two replicas to the end: messages, and bytes of these and of deltas.
fn compare(one: &mut Object, other: &mut Object) -> (usize, usize) {
    let (mut message, mut messages, mut bytes) = (Some(one.begin_compare()), 0, 0);
    let mut sides = [other, one];
    while let Some(said) = message {
        (messages, bytes) = (messages + 1, bytes + said.len());
        assert!(messages < 40, "it does not end");
        let [receiver, sender] = &mut sides;
        let compared = receiver.compare(&said).expect("a message of ours");
        if let Some(delta) = compared.delta {
            bytes += delta.len();
            sender.merge(&delta, None).expect("a delta of ours");
        }
        message = compared.reply;
        sides.reverse();
    }
    (messages, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, ..ProptestConfig::default() })]

    #[test]
    fn is_the_model(shape in shapes(), steps in steps(ACTORS.len())) {
        play(shape, &steps);
    }

    #[test]
    fn join_is_a_join(shape in shapes(), steps in steps(ACTORS.len())) {
        let (replicas, _) = play(shape, &steps);
        let states: Vec<Vec<u8>> = replicas.iter().map(|(object, _)| object.state()).collect();
        let [a, b, c] = [&states[0], &states[1], &states[2]];
        let model = |parts: &[&Vec<u8>]| Model::of(&merged(shape, &parts.iter().map(|part| (*part).clone()).collect::<Vec<_>>()));
        // Commutative, associative, idempotent, monotone.
        let all = model(&[a, b, c]);
        prop_assert_eq!(&model(&[c, b, a]), &all);
        let right = merged(shape, &[b.clone(), c.clone()]).state();
        prop_assert_eq!(&model(&[a, &right]), &all);
        prop_assert_eq!(&model(&[a, b, c, b, a, &right]), &all);
        for part in [a, b, c] {
            prop_assert!(all.covers(&model(&[part])));
        }
        // Over bytes or not, and both ways round.
        let (mut one, mut other) = (replicas[0].0.clone(), replicas[1].0.clone());
        one.merge_object(&replicas[1].0).expect("one shape");
        other.merge_object(&replicas[0].0).expect("one shape");
        prop_assert_eq!(Model::of(&one), model(&[a, b]));
        prop_assert_eq!(read(&one), read(&other));
    }

    #[test]
    fn deltas_come_to_the_state(shape in shapes(), steps in steps(ACTORS.len()), order in any::<u64>()) {
        let (replicas, mut deltas) = play(shape, &steps);
        let whole = merged(shape, &replicas.iter().map(|(object, _)| object.state()).collect::<Vec<_>>());
        // Every delta once or twice, in an order of chance.
        let mut random = order;
        for at in (1..deltas.len()).rev() {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            deltas.swap(at, (random >> 33) as usize % (at + 1));
        }
        let again: Vec<Vec<u8>> = deltas.iter().step_by(2).cloned().collect();
        let from_deltas = merged(shape, &[deltas, again].concat());
        prop_assert_eq!(Model::of(&from_deltas), Model::of(&whole));
        prop_assert_eq!(read(&from_deltas), read(&whole));
        // What was encoded once more is the same again.
        prop_assert_eq!(Model::of(&merged(shape, &[whole.state()])), Model::of(&whole));
    }

    #[test]
    fn a_comparison_comes_to_the_join(shape in shapes(), steps in steps(ACTORS.len())) {
        let (replicas, _) = play(shape, &steps);
        let (mut one, mut other) = (replicas[0].clone(), replicas[1].clone());
        let joined = one.1.join(&other.1);
        compare(&mut one.0, &mut other.0);
        prop_assert_eq!(Model::of(&one.0), joined.clone());
        prop_assert_eq!(Model::of(&other.0), joined);
        // Equal ones have nothing more to say than the first two messages.
        prop_assert!(compare(&mut one.0, &mut other.0).0 <= 2);
    }

    #[test]
    fn hostile_comparisons_change_nothing(shape in shapes(), steps in steps(ACTORS.len()), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), answers in 0..3) {
        let (mut replicas, _) = play(shape, &steps);
        let mut message = replicas[1].0.begin_compare();
        for at in 0..answers {
            match replicas[at as usize % 2].0.compare(&message).map(|compared| compared.reply) {
                Ok(Some(reply)) => message = reply,
                _ => break,
            }
        }
        let body = message.len() - 4;
        for (at, with) in flips {
            message[at.index(body)] ^= with;
        }
        let checksum = crc32c::crc32c(&message[..body]);
        message[body..].copy_from_slice(&checksum.to_le_bytes());
        let object = &mut replicas[0].0;
        let before = Model::of(object);
        if object.compare(&message).is_err() {
            prop_assert_eq!(Model::of(object), before);
        }
        prop_assert_eq!(Model::of(&merged(shape, &[object.state()])), Model::of(object));
    }

    #[test]
    fn hostile_bytes_change_nothing(shape in shapes(), steps in steps(ACTORS.len()), at in any::<prop::sample::Index>(), with in any::<u8>(), fix in any::<bool>(), cut in any::<bool>()) {
        let (mut replicas, _) = play(shape, &steps);
        let mut state = replicas[1].0.state();
        let place = at.index(state.len());
        if cut { state.truncate(place) } else { state[place] ^= with }
        // With a good checksum too, so that what is behind it is reached.
        if fix && state.len() > 4 {
            let body = state.len() - 4;
            let checksum = crc32c::crc32c(&state[..body]);
            state[body..].copy_from_slice(&checksum.to_le_bytes());
        }
        let (object, model) = &mut replicas[0];
        if object.merge(&state, None).is_err() {
            prop_assert_eq!(Model::of(object), model.clone());
        }
        // Whatever was taken in: it is a state still.
        let back = merged(object.shape(), &[object.state()]);
        prop_assert_eq!(Model::of(&back), Model::of(object));
    }
}

/// Long enough that what removed facts took is let go of, and used again.
#[test]
fn long_histories_stay_the_model() {
    for (seed, shape) in Shape::all().enumerate() {
        let mut random = seed as u64 + 1;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % below
        };
        let mut replicas: Vec<(Object, Model)> = ACTORS[..2].iter().map(|name| (object(shape, name), Model::default())).collect();
        for step in 0..4_000 {
            let (at, key, element) = (draw(2) as usize, draw(3) as u8, draw(40) as u8);
            let operation = match draw(40) {
                0 => Operation::Delete,
                1..=9 => Operation::Remove(element),
                10..=19 => Operation::Set(element, draw(9) << 16),
                20..=29 => Operation::Add(draw(50) as i64),
                _ => Operation::Insert(element),
            };
            let (object, model) = &mut replicas[at];
            operate(object, model, ACTORS[at], key, &operation);
            if step % 50 == 49 {
                // Whole, or in parts that are small enough.
                let bytes_max = [usize::MAX, 300][draw(2) as usize];
                let (deltas, theirs) = (replicas[at].0.take_deltas(bytes_max), replicas[at].1.clone());
                let (object, model) = &mut replicas[1 - at];
                for delta in deltas {
                    assert!(delta.len() <= bytes_max, "{} bytes", delta.len());
                    object.merge(&delta, None).expect("a delta of ours");
                }
                *model = model.join(&theirs);
                assert_eq!(Model::of(object), *model, "{shape:?} at {step}");
            }
        }
        let facts = replicas[0].0.store().len();
        let memory = replicas[0].0.store().memory_bytes();
        assert!(memory < 200_000 + 400 * facts, "{shape:?}: {memory} bytes for {facts} facts");
    }
}

/// Each place costs its receiver a walk over what is there: one named a thousand times would cost a thousand.
#[test]
fn a_comparison_names_each_place_once() {
    let shape = Shape::all().find(|shape| shape.of.is_keyed() && !shape.map).expect("a set");
    let (mut one, mut other) = (object(shape, "a"), object(shape, "b"));
    one.insert(&[], b"x").expect("a set");
    other.merge(&one.state(), None).expect("a state of ours");
    // Version, type, no flags; one actor "a" that has seen 1; of it one part over 1, with one block twice.
    let mut message = vec![1, shape.byte(), 0, 1, 1, b'a', 1, 0, 0, 1, 0, 1, 0, 0, 2];
    for _ in 0..2 {
        message.extend_from_slice(&[0, 0]);
        message.extend_from_slice(&[0; 32]);
    }
    message.extend_from_slice(&crc32c::crc32c(&message).to_le_bytes());
    let refused = other.compare(&message);
    assert!(matches!(refused, Err(vexfs_core::crdt::CrdtError::Malformed { what, .. }) if what.contains("overlap")), "{refused:?}");
    assert_eq!(other.store().len(), 1);
}

/// Each name costs its receiver a walk as well.
#[test]
fn a_comparison_names_each_actor_once() {
    let shape = Shape::all().find(|shape| shape.of.is_keyed() && !shape.map).expect("a set");
    let mut object = object(shape, "a");
    object.insert(&[], b"x").expect("a set");
    // Version, type, asks and lacks; "a", who has seen 1, twice; no parts.
    let mut message = vec![1, shape.byte(), 3, 2, 1, b'a', 1, 0, 0, 1, b'a', 1, 0, 0, 0];
    message.extend_from_slice(&crc32c::crc32c(&message).to_le_bytes());
    let refused = object.compare(&message);
    assert!(matches!(refused, Err(vexfs_core::crdt::CrdtError::Malformed { what, .. }) if what.contains("twice")), "{refused:?}");
}

/// Its name is known to it, and none of its dots: as after a loss of everything.
#[test]
fn one_who_knows_nothing_of_itself_is_compared_with() {
    let shape = Shape::all().find(|shape| shape.of.is_keyed() && !shape.map).expect("a set");
    let (mut before, mut other) = (object(shape, "a"), object(shape, "b"));
    before.insert(&[], b"x").expect("a set");
    other.merge(&before.state(), None).expect("a state of ours");
    let mut again = object(shape, "a");
    compare(&mut other, &mut again);
    assert_eq!(Model::of(&again), Model::of(&before));
}

/// Else an element is listed that nobody finds and nobody can remove.
#[test]
fn an_element_of_a_map_has_one_form() {
    for shape in Shape::all().filter(|shape| shape.of.is_keyed() && shape.map) {
        for (length, taken) in [(&[1][..], true), (&[0x81, 0], false)] {
            let key = [length, b"ke"].concat();
            let size = key.len() as u8;
            // One actor "b", who has seen 1, with one fact. Columns: counter, shared, rest, keys, stamps, lengths, values.
            let mut content = vec![1, 1, b'b', 1, 0, 0, 1, 2, 1, 1, 2, 1, 0, 2, 1, size, size];
            content.extend_from_slice(&key);
            content.extend_from_slice(&[0, 2, 1, 0, 0]);
            let mut replica = object(shape, "a");
            assert_eq!(replica.merge(&sealed(shape, &content), None).is_ok(), taken, "{shape:?}");
            assert_eq!(replica.has(b"k", b"e"), Ok(taken));
            assert_eq!(replica.elements(b"k"), Ok([&b"e"[..]].into_iter().filter(|_| taken).collect()));
        }
    }
}

/// A hundred thousand elements, a hundred differences: how many bytes that takes.
#[test]
fn a_comparison_says_little_more_than_what_differs() {
    let shape = Shape::all().find(|shape| shape.of.is_keyed() && !shape.map).expect("a set");
    let (mut one, mut other) = (object(shape, "a"), object(shape, "b"));
    for element in 0..100_000u32 {
        one.insert(&[], &element.to_be_bytes()).expect("a set");
    }
    other.merge(&one.state(), None).expect("a state of ours");
    for at in 0..50u32 {
        one.remove(&[], &(at * 1_999).to_be_bytes()).expect("a set");
        other.remove(&[], &(at * 1_999 + 1_000).to_be_bytes()).expect("a set");
    }
    let (messages, bytes) = compare(&mut one, &mut other);
    assert_eq!(read(&one), read(&other));
    assert_eq!(one.store().len(), 99_900);
    assert!(messages <= 6 && bytes <= 30_000, "{messages} messages, {bytes} bytes");
    println!("{messages} messages, {bytes} bytes");
}
