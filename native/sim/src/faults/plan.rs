//! The faults of a run, drawn beforehand: each has a number by which `--keep` and `--shrink` name it.

use super::kinds::{FaultKind, KINDS};
use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Fault {
    pub number: u32,
    pub at_us: u64,
    pub kind: FaultKind,
    pub node: usize,
    pub other: usize,
    pub length_us: u64,
    /// Chance for what striking has to decide.
    pub word: u64,
}

/// `mean_us`: between two faults, 0 for none. `only`: kinds to draw from, weighted alike; they may be switched off.
/// `states`: some are made of the causal lane, and may be damaged.
pub fn draw(seed: u64, members: usize, until_us: u64, mean_us: u64, only: &[FaultKind], states: bool) -> Vec<Fault> {
    let mut random = Random::stream(seed, "faults", 0);
    // Each run prefers some kinds, so that combinations differ from seed to seed.
    let mut weights: Vec<(FaultKind, u64)> = KINDS
        .iter()
        .filter(|row| states || row.kind != FaultKind::DamagedStates)
        .map(|row| (row.kind, row.weight * random.pick(&[0, 1, 1, 2, 6])))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    if !only.is_empty() {
        weights = only.iter().map(|kind| (*kind, 1)).collect();
    }
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let (mut faults, mut at_us) = (Vec::new(), 0);
    if mean_us == 0 || total == 0 {
        return faults;
    }
    loop {
        at_us += random.gap_us(mean_us);
        if at_us >= until_us {
            break;
        }
        let mut draw = random.between(0, total);
        let chosen = weights.iter().find(|(_, weight)| {
            let here = draw < *weight;
            draw = draw.saturating_sub(*weight);
            here
        });
        let Some((kind, _)) = chosen else { break };
        let node = random.between(0, members as u64) as usize;
        let other = (node + random.between(1, members.max(2) as u64) as usize) % members;
        let longest = random.pick(&[20_000, 200_000, 600_000, 2_000_000]);
        let length_us = random.between(1_000, longest);
        faults.push(Fault {
            number: faults.len() as u32,
            at_us,
            kind: *kind,
            node,
            other,
            length_us,
            word: random.number(),
        });
    }
    faults
}
