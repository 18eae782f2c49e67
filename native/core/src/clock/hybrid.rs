//! Hybrid logical clock (Kulkarni et al., OPODIS 2014): physical milliseconds in the upper 48 bits, a counter in the
//! lower 16, so that it follows wall time and never goes back.

/// Clocks may differ by so much: more is one that is wrong. A stamp of it wins over every later one, and every clock goes
/// on from there.
pub const AHEAD_MS_MAX: u64 = 60_000;

#[derive(Debug, Default)]
pub struct HybridClock {
    last: u64,
}

impl HybridClock {
    /// The first of `count` consecutive timestamps, after everything given out and observed so far.
    pub fn take(&mut self, wall_ms: u64, count: u32) -> u64 {
        let first = (wall_ms << 16).max(self.last + 1);
        self.last = first + u64::from(count.max(1)) - 1;
        first
    }

    /// A timestamp seen from elsewhere: later ones follow it.
    pub fn observe(&mut self, seen: u64) {
        self.last = self.last.max(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let mut clock = HybridClock::default();
        let first = clock.take(1_000, 3);
        assert_eq!(first, 1_000 << 16);
        assert_eq!(clock.take(999, 1), first + 3);
        clock.observe(2_000 << 16);
        assert_eq!(clock.take(1_500, 1), (2_000 << 16) + 1);
        assert_eq!(clock.take(3_000, 1), 3_000 << 16);
    }
}
