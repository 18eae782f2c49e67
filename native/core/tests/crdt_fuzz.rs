//! The fuzz target of the CRDTs (native/fuzz), for some seconds and always alike.

use crate::crdt_support::program::Program;
use arbitrary::{Arbitrary, Unstructured};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PROGRAMS: u64 = 6_000;

#[test]
fn programs_of_chance_hold() {
    for seed in 0..PROGRAMS {
        let (mut bytes, length) = ([0; 1024], 64 << (seed % 5));
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        let program = Program::arbitrary(&mut Unstructured::new(&bytes[..length])).expect("a program of any bytes");
        if let Err(failure) = std::panic::catch_unwind(|| program.play()) {
            println!("seed {seed}: {program:?}");
            std::panic::resume_unwind(failure);
        }
    }
}
