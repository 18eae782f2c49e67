//! How the frames of one link are packed, if at all: by what is measured of the line and of packing.
//!
//! A line is known only by what waits for it. While everything leaves at once nothing is packed; where frames had to
//! wait, they are packed as makes them arrive first, in the time that packing takes and what is left takes to leave.
//! No clock: the caller says what time it is, in microseconds from anywhere, and how long things took.

use crate::compression::Codec;

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    None,
    /// Whatever the line is like, as long as it gets shorter.
    Only(Codec),
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    pub codec: Codec,
    pub level: i32,
}

/// Codecs that the other side reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer(u8);

impl Offer {
    /// By bits: 1 shifted by a codec's number. Bits of unknown ones are ignored.
    pub fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    fn has(self, codec: Codec) -> bool {
        self.0 & 1 << codec as u8 != 0
    }
}

/// Less than this is not worth a packed frame's header.
pub const RUN_BYTES_MIN: usize = 512;
/// What is won must be this share of the time, or of the bytes.
const GAIN: f64 = 0.9;
/// Weight of a new measurement.
const WEIGHT: f64 = 0.25;
/// How fast what was measured is forgotten, so that other contents get their chance: with each run that is not packed.
const FORGETTING: f64 = 1.0 / 1024.0;
/// A line that has kept nobody waiting for so long is not known any more.
const LINE_KNOWN_US: u64 = 5_000_000;

/// As it is for events, on the reference machine.
#[derive(Clone, Copy)]
struct Usual {
    /// Raw bytes a microsecond.
    speed: f64,
    /// Raw bytes for one that leaves.
    ratio: f64,
}

const METHODS: [(Method, Usual); 5] = [
    (Method { codec: Codec::Lz4, level: 0 }, Usual { speed: 500.0, ratio: 2.0 }),
    (Method { codec: Codec::Snappy, level: 0 }, Usual { speed: 450.0, ratio: 1.9 }),
    (Method { codec: Codec::Zstd, level: 1 }, Usual { speed: 300.0, ratio: 3.0 }),
    (Method { codec: Codec::Zstd, level: 3 }, Usual { speed: 180.0, ratio: 3.2 }),
    (Method { codec: Codec::Zstd, level: 6 }, Usual { speed: 60.0, ratio: 3.4 }),
];

/// Of one link; made anew with each connection.
pub struct Choice {
    mode: Mode,
    offer: Offer,
    speeds: [f64; METHODS.len()],
    /// How much of what a method usually wins it wins of these contents; the same for all methods.
    yields: f64,
    /// Bytes a microsecond, and when that was last seen.
    line: Option<(f64, u64)>,
}

impl Choice {
    pub fn new(mode: Mode, offer: Offer) -> Self {
        Self { mode, offer, speeds: METHODS.map(|(_, usual)| usual.speed), yields: 1.0, line: None }
    }

    fn ratio(&self, at: usize) -> f64 {
        1.0 + (METHODS[at].1.ratio - 1.0) * self.yields
    }

    /// How a run of so many bytes is to be packed.
    pub fn method(&mut self, bytes: usize, now_us: u64) -> Option<Method> {
        if bytes < RUN_BYTES_MIN {
            return None;
        }
        let line = self.line.filter(|(_, seen)| now_us.saturating_sub(*seen) < LINE_KNOWN_US).map(|(rate, _)| rate);
        let chosen = match self.mode {
            Mode::None => return None,
            // Where the line is not known, as it would be: the lightest of this codec.
            Mode::Only(codec) => match line {
                Some(line) => self.quickest(line, |of| of == codec).map(|(at, _)| at),
                None => (0..METHODS.len()).find(|at| METHODS[*at].0.codec == codec && self.offer.has(codec)),
            }
            .filter(|at| self.ratio(*at) * GAIN > 1.0),
            Mode::Auto => {
                let line = line?;
                self.quickest(line, |_| true).filter(|(_, time)| *time < GAIN / line).map(|(at, _)| at)
            }
        };
        if chosen.is_none() {
            approach(&mut self.yields, 1.0, FORGETTING);
            for (speed, (_, usual)) in self.speeds.iter_mut().zip(METHODS) {
                approach(speed, usual.speed, FORGETTING);
            }
        }
        chosen.map(|at| METHODS[at].0)
    }

    /// The method by which a byte has left first, and after how many microseconds.
    fn quickest(&self, line: f64, wanted: impl Fn(Codec) -> bool) -> Option<(usize, f64)> {
        let usable = (0..METHODS.len()).filter(|at| wanted(METHODS[*at].0.codec) && self.offer.has(METHODS[*at].0.codec));
        usable.map(|at| (at, 1.0 / self.speeds[at] + 1.0 / (self.ratio(at) * line))).min_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// What came of packing: how long it took, and how many bytes are to leave (as many as before where that was less).
    pub fn packed(&mut self, method: Method, raw_bytes: usize, left_bytes: usize, took_us: f64) {
        let Some(at) = METHODS.iter().position(|(known, _)| *known == method) else { return };
        approach(&mut self.speeds[at], raw_bytes as f64 / took_us.max(1.0), WEIGHT);
        let ratio = raw_bytes as f64 / left_bytes.max(1) as f64;
        approach(&mut self.yields, (ratio - 1.0) / (METHODS[at].1.ratio - 1.0), WEIGHT);
    }

    /// The line has taken `bytes` that had to wait, in `took_us`.
    pub fn drained(&mut self, bytes: usize, took_us: f64, now_us: u64) {
        let seen = bytes as f64 / took_us.max(1.0);
        let rate = self.line.map_or(seen, |(rate, _)| rate + (seen - rate) * WEIGHT);
        self.line = Some((rate, now_us));
    }
}

fn approach(value: &mut f64, other: f64, weight: f64) {
    *value += (other - *value) * weight;
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offer = Offer(0b1110);
    const MIB: usize = 1 << 20;
    /// Bytes a microsecond.
    const TEN_MBIT: f64 = 1.25;
    const TEN_GBIT: f64 = 1250.0;

    fn on_a_line(mode: Mode, rate: f64) -> Choice {
        let mut choice = Choice::new(mode, ALL);
        choice.drained(MIB, MIB as f64 / rate, 0);
        choice
    }

    #[test]
    fn nothing_is_packed_while_nothing_waits() {
        let mut choice = Choice::new(Mode::Auto, ALL);
        assert_eq!(choice.method(MIB, 0), None);
        choice.drained(MIB, MIB as f64 / TEN_MBIT, 0);
        assert!(choice.method(MIB, 1).is_some());
        assert!(choice.method(MIB, LINE_KNOWN_US - 1).is_some());
        assert_eq!(choice.method(MIB, LINE_KNOWN_US), None);
    }

    #[test]
    fn the_slower_the_line_the_stronger_the_packing() {
        let at = |rate: f64| on_a_line(Mode::Auto, rate).method(MIB, 1);
        assert_eq!(at(TEN_GBIT), None);
        assert_eq!(at(150.0), Some(Method { codec: Codec::Lz4, level: 0 }));
        assert_eq!(at(80.0), Some(Method { codec: Codec::Zstd, level: 1 }));
        assert_eq!(at(5.0), Some(Method { codec: Codec::Zstd, level: 3 }));
        assert_eq!(at(TEN_MBIT), Some(Method { codec: Codec::Zstd, level: 6 }));
    }

    #[test]
    fn small_runs_are_left_alone_on_any_line() {
        for mode in [Mode::Auto, Mode::Only(Codec::Lz4)] {
            assert_eq!(on_a_line(mode, TEN_MBIT).method(RUN_BYTES_MIN - 1, 1), None);
            assert!(on_a_line(mode, TEN_MBIT).method(RUN_BYTES_MIN, 1).is_some());
        }
        assert_eq!(on_a_line(Mode::None, TEN_MBIT).method(MIB, 1), None);
    }

    #[test]
    fn what_the_other_side_does_not_read_is_not_chosen() {
        for (bits, read) in [(0, None), (0b0001, None), (0b1000, Some(Codec::Snappy)), (0b0010, Some(Codec::Lz4)), (0b1111_0100, Some(Codec::Zstd))] {
            let mut choice = Choice::new(Mode::Auto, Offer::of_bits(bits));
            choice.drained(MIB, MIB as f64 / TEN_MBIT, 0);
            assert_eq!(choice.method(MIB, 1).map(|method| method.codec), read);
            let only = Choice::new(Mode::Only(Codec::Zstd), Offer::of_bits(bits)).method(MIB, 1);
            assert_eq!(only.is_some(), read == Some(Codec::Zstd));
        }
    }

    #[test]
    fn contents_that_do_not_get_shorter_are_left_alone_and_tried_again() {
        for mode in [Mode::Auto, Mode::Only(Codec::Zstd)] {
            let mut choice = on_a_line(mode, TEN_MBIT);
            let mut packed = 0;
            for _ in 0..2_000 {
                let Some(method) = choice.method(MIB, 1) else { continue };
                packed += 1;
                choice.packed(method, MIB, MIB, MIB as f64 / 300.0);
            }
            assert!((10..200).contains(&packed), "{mode:?}: {packed} of 2,000");
            // Other contents come: before long they are packed.
            let mut waited = 0;
            while choice.method(MIB, 1).is_none() {
                waited += 1;
            }
            assert!(waited < 64, "{mode:?}: after {waited}");
        }
    }

    #[test]
    fn what_is_measured_is_believed() {
        let mut choice = on_a_line(Mode::Auto, 80.0);
        let method = choice.method(MIB, 1).unwrap();
        // A processor that is busy with something else: packing takes longer than sending would.
        for _ in 0..20 {
            choice.packed(method, MIB, MIB / 3, MIB as f64 / 10.0);
        }
        assert_ne!(choice.method(MIB, 1), Some(method));
        // The line has become a faster one.
        for _ in 0..20 {
            choice.drained(MIB, MIB as f64 / TEN_GBIT, 1);
        }
        assert_eq!(choice.method(MIB, 1), None);
    }
}
