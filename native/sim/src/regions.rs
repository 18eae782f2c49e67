//! Members in regions that are far apart, on lines that lose a little, as TCP shows it: what is lost arrives later, and so
//! does what was sent behind it.

use crate::random::Random;

const REGIONS: usize = 3;
/// One way, within a region.
const NEAR_US: u64 = 500;
/// Losses of the same frame in a row: where one in a hundred is lost, a third one comes once in hours.
const LOST_MAX: u32 = 2;
/// What TCP waits beyond the round trip until it sends again, and twice as long the next time.
const RESENT_US: u64 = 200_000;

#[derive(Clone, Debug)]
pub struct Regions {
    /// Of each member.
    of: Vec<usize>,
    /// One way, between each two of them: the first and the second, the first and the third, the others.
    ways_us: [u64; REGIONS],
    /// Frames of a thousand that are lost.
    lost: u64,
    /// Nothing else happens: no faults, no changes of members.
    pub calm: bool,
}

impl Regions {
    /// `near`: a network that is a little wider than one building.
    pub fn draw(seed: u64, members: usize, calm: bool, near: bool) -> Self {
        let mut random = Random::stream(seed, "regions", 1);
        // All of them have somebody; where the others are is left to chance.
        let of = (0..members).map(|at| if at < REGIONS { at } else { random.between(0, REGIONS as u64) as usize }).collect();
        let about_us = match random.between(0, 10) {
            _ if near => [1_000, 2_000, 3_000],
            0..3 => [2_000, 6_000, 10_000],
            3..8 => [10_000, 40_000, 75_000],
            _ => [40_000, 75_000, 120_000],
        };
        let ways_us = about_us.map(|about_us: u64| random.between(about_us / 2, about_us + about_us / 4));
        Self { of, ways_us, lost: random.pick(&[10, 30, 60]), calm }
    }

    pub fn way_us(&self, from: usize, to: usize) -> u64 {
        match (self.of[from].min(self.of[to]), self.of[from].max(self.of[to])) {
            (one, other) if one == other => NEAR_US,
            (one, other) => self.ways_us[one + other - 1],
        }
    }

    /// How long a frame takes.
    pub fn delay_us(&self, from: usize, to: usize, random: &mut Random) -> u64 {
        let way_us = self.way_us(from, to);
        let mut lost = 0;
        while lost < LOST_MAX && random.chance(self.lost) {
            lost += 1;
        }
        let waits = (1 << lost) - 1;
        way_us + random.between(0, NEAR_US + way_us / 16) + waits * (RESENT_US + 2 * way_us)
    }

    /// Its distances there and back, for whoever reads what a run is made of.
    pub fn describe(&self) -> String {
        let names: String = self.of.iter().map(|region| char::from(b'1' + *region as u8)).collect();
        let [one_two, one_three, two_three] = self.ways_us.map(|way_us| 2 * way_us / 1_000);
        format!("members in regions {names}, there and back {one_two} ms from 1 to 2, {one_three} ms from 1 to 3, {two_three} ms from 2 to 3, {} of a thousand frames lost{}", self.lost, if self.calm { "; nothing else happens" } else { "" })
    }
}
