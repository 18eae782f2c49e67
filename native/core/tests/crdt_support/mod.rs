//! What the tests of the CRDTs share: a model as naive as can be, and histories to try.

pub mod allocations;
pub mod model;
pub mod oracle;
pub mod program;
pub mod written;

pub use model::{object, operate, read, Model, Operation, ACTORS};
use proptest::prelude::*;
use vexfs_core::crdt::Shape;

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
