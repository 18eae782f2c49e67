//! Joins of large states beside the crate `crdts`, for `npm run bench`: a line of JSON for each figure.

use crdts::ctx::ReadCtx;
use crdts::{CmRDT, CvRDT, Orswot};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use vexfs_core::crdt::{Object, Shape, Type};

/// What is allocated, in bytes.
static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ELEMENTS: u64 = 100_000;
/// Each side has lost as many of the common elements, and has as many of its own.
const DIFFERENT: u64 = ELEMENTS / 20;
const ROUNDS: usize = 9;

fn sizes<T>(make: impl FnOnce() -> T) -> (T, f64) {
    let before = HELD.load(Ordering::Relaxed);
    let made = make();
    let held = HELD.load(Ordering::Relaxed) - before;
    (made, held as f64 / ELEMENTS as f64)
}

fn median_ms<T>(make: impl Fn() -> T, mut run: impl FnMut(&mut T)) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut made = make();
            let start = Instant::now();
            run(&mut made);
            let took = start.elapsed().as_secs_f64() * 1e3;
            black_box(made);
            took
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn ours() -> (Object, Object, f64) {
    let shape = Shape { of: Type::OrSet, map: false };
    let (mut one, bytes) = sizes(|| {
        let mut one = Object::new(shape, "a", 1).expect("a name");
        (0..ELEMENTS).for_each(|element| drop(one.insert(&[], &element.to_be_bytes())));
        one
    });
    let mut other = Object::new(shape, "b", 2).expect("a name");
    other.merge_object(&one).expect("one shape");
    for at in 0..DIFFERENT {
        one.remove(&[], &(at * 7).to_be_bytes()).expect("a set");
        one.insert(&[], &(ELEMENTS + at).to_be_bytes()).expect("a set");
        other.remove(&[], &(at * 7 + 3).to_be_bytes()).expect("a set");
        other.insert(&[], &(2 * ELEMENTS + at).to_be_bytes()).expect("a set");
    }
    (one, other, bytes)
}

type Clock = ReadCtx<(), u8>;

fn clock_of(set: &Orswot<u64, u8>) -> Clock {
    let ReadCtx { add_clock, rm_clock, .. } = set.read_ctx();
    ReadCtx { add_clock, rm_clock, val: () }
}

/// Adds without reading the set first, which would copy every element: the clock goes on beside it.
fn add(set: &mut Orswot<u64, u8>, clock: &mut Clock, me: u8, element: u64) {
    let read = ReadCtx { add_clock: clock.add_clock.clone(), rm_clock: clock.rm_clock.clone(), val: () };
    let context = read.derive_add_ctx(me);
    clock.add_clock.apply(context.dot);
    set.apply(set.add(element, context));
}

fn theirs() -> (Orswot<u64, u8>, Orswot<u64, u8>, f64) {
    let remove = |set: &mut Orswot<u64, u8>, element| {
        let context = set.contains(&element).derive_rm_ctx();
        set.apply(set.rm(element, context));
    };
    let (mut one, bytes) = sizes(|| {
        let mut one = Orswot::new();
        let mut context = clock_of(&one);
        (0..ELEMENTS).for_each(|element| add(&mut one, &mut context, 1, element));
        one
    });
    let mut other = one.clone();
    for at in 0..DIFFERENT {
        remove(&mut one, at * 7);
        remove(&mut other, at * 7 + 3);
    }
    let (mut of_one, mut of_other) = (clock_of(&one), clock_of(&other));
    for at in 0..DIFFERENT {
        add(&mut one, &mut of_one, 1, ELEMENTS + at);
        add(&mut other, &mut of_other, 2, 2 * ELEMENTS + at);
    }
    (one, other, bytes)
}

fn main() {
    let (one, other, our_bytes) = ours();
    let joined = median_ms(|| one.clone(), |one| drop(one.merge_object(&other)));
    let state = other.state();
    let decoded = median_ms(|| one.clone(), |one| drop(one.merge(&state, None)));
    let elements = { let mut one = one.clone(); one.merge_object(&other).expect("one shape"); one.store().len() };
    let (one, other, their_bytes) = theirs();
    let peer = median_ms(|| (one.clone(), other.clone()), |(one, other)| one.merge(std::mem::take(other)));
    let peer_elements = { let mut one = one.clone(); one.merge(other.clone()); one.read().val.len() };
    assert_eq!(elements, peer_elements);
    for (figure, value, unit) in [
        ("crdt.rust.orset.join", joined, "ms"),
        ("crdt.rust.orset.join.bytes", decoded, "ms"),
        ("crdt.rust.orset.crdts", peer, "ms"),
        ("crdt.rust.orset.ratio", peer / joined, "ratio"),
        ("crdt.rust.orset.memory", our_bytes, "bytes"),
        ("crdt.rust.orset.crdts.memory", their_bytes, "bytes"),
    ] {
        println!("{{\"suite\":\"crdt\",\"figure\":\"{figure}\",\"value\":{value:.3},\"unit\":\"{unit}\"}}");
    }
}
