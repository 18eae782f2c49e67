//! The types beside those of the crate `crdts`, in small histories (`crdt_support/oracle.rs`).

use crate::crdt_support::oracle::{play, KINDS, REPLICAS};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_the_oracle_reads(kind in 0..KINDS, steps in prop::collection::vec((0..REPLICAS, 0..REPLICAS, 0..6u8, 0..9u8), 1..40)) {
        play(kind, &steps);
    }
}
