//! The one source of chance of a simulation: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
//!
//! Every part of a run draws from a stream of its own, so that leaving one part out (as `shrink` does) changes as
//! little as possible in the others.

#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of a seed that has this name.
    pub fn stream(seed: u64, name: &str, number: u64) -> Self {
        let mut mixed = Self(seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        for byte in name.bytes() {
            mixed.0 = mixed.number() ^ u64::from(byte);
        }
        Self(mixed.number())
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `[low, high)`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % high.saturating_sub(low).max(1)
    }

    /// True with a probability of `parts` in a thousand.
    pub fn chance(&mut self, parts: u64) -> bool {
        self.number() % 1_000 < parts
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() as u64) as usize]
    }

    /// One of them, if there is any.
    pub fn choose<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| self.pick(from))
    }

    /// Microseconds to the next of events that come every `mean_us` on average, by a geometric distribution.
    pub fn gap_us(&mut self, mean_us: u64) -> u64 {
        // -ln(u) by the leading zeros of u and a linear rest: near enough, and the same on every machine.
        let draw = self.number() | 1;
        let (zeros, rest) = (u64::from(draw.leading_zeros()), (draw << draw.leading_zeros() << 1) >> 44);
        let nats_20 = ((((zeros + 1) << 20) - rest) * 710) >> 10;
        ((u128::from(mean_us) * u128::from(nats_20)) >> 20) as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn gaps_have_their_mean() {
        let mut random = Random::new(7);
        let sum: u64 = (0..100_000).map(|_| random.gap_us(1_000)).sum();
        assert!((95_000_000..110_000_000).contains(&sum), "{sum}");
    }
}
