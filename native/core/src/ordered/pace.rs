//! How long elections may take where members are far apart (docs/decisions/0032). The engine's timeouts are fixed when it is
//! made, in its own ticks; what follows the measured round trips is the length of such a tick, while heartbeats leave at the
//! configured interval as always.
//!
//! A member goes by the farthest of the other voters, whoever leads: any of them may come to, and whoever is heard of in
//! time from the farthest is heard of from all. What it takes:
//! - a heartbeat, lost twice in a row: TCP sends it again after `RESENT_TICKS` and a round trip, and after twice as long;
//! - more is waited for at once, less by and by, and only while there is a leader.
//!
//! A leader needs the same to hear of its majority, and a candidate less to have its votes.

use super::Group;
use crate::ids::MemberId;
use crate::ordered::store::EntryReader;
use crate::plants::{self, CorePlant};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Timeouts are those that are configured.
    #[default]
    Lan,
    /// They follow the round trips, from the configured ones up.
    Wan,
}

/// What TCP waits at least, beyond the round trip, before it sends again what nobody has acknowledged.
const RESENT_TICKS: usize = 20;
/// Of these waits, how many pass until what was lost twice is there: each is twice as long as the one before.
const WAITS: usize = 3;
/// What is taken for the round trip before any is known.
const UNKNOWN_TICKS: usize = 30;
/// The least timeout follows up to here, which is for 1.4 s there and back.
const LEAST_TICKS_MAX: usize = 500;
/// Shares of what is needed that the least timeout has in addition: at least, as it is widened, and at most.
const SHARES: [usize; 3] = [16, 8, 4];
/// Of what is too much, the share that goes at each step.
const NARROWED: usize = 8;

/// Election timeouts after which the oldest request has waited too long for its loss to be ruled out.
const PATIENCE_ELECTIONS: usize = 4;

/// Invariants: the least timeout is never below the configured one, so that the engine's clock never runs ahead of the
/// caller's: what leases, and members that have restarted, count on is said in the caller's ticks (rule R12).
/// `passed < least`.
pub(super) struct Pace {
    profile: Profile,
    /// The engine draws its timeouts from these, in its ticks.
    configured: (usize, usize),
    heartbeat: usize,
    /// The least timeout in use, in the caller's ticks.
    least: usize,
    /// Of the engine's tick under way: it is over at `least`.
    passed: usize,
}

impl Pace {
    pub fn new(profile: Profile, configured: (usize, usize), heartbeat: usize) -> Self {
        let mut pace = Self { profile, configured, heartbeat, least: configured.0, passed: 0 };
        pace.follow(UNKNOWN_TICKS, false);
        pace
    }

    /// The timeouts in use, `[least, most)`, in the caller's ticks.
    pub fn in_use(&self) -> (usize, usize) {
        (self.least, (self.configured.1 * self.least).div_ceil(self.configured.0))
    }

    pub fn least(&self) -> usize {
        self.in_use().0
    }

    pub fn most(&self) -> usize {
        self.in_use().1
    }

    /// How long an answer may take for which `near` ticks are enough where members are near.
    pub fn patience(&self, near: u32) -> u32 {
        match self.profile {
            Profile::Lan => near,
            Profile::Wan => near.max(self.least as u32),
        }
    }

    /// Takes a tick of the caller's; how many of the engine's are over with it: none, or one.
    pub fn tick(&mut self) -> usize {
        self.passed += self.configured.0;
        let over = self.passed / self.least;
        self.passed %= self.least;
        over
    }

    /// A timeout begins anew.
    pub fn restart(&mut self) {
        self.passed = 0;
    }

    /// The farthest voter is so many ticks away, there and back. `led`: there is a leader, which an election is not about.
    fn follow(&mut self, round_trip: usize, led: bool) {
        if self.profile == Profile::Lan {
            return;
        }
        let (floor, ceiling) = (self.configured.0, LEAST_TICKS_MAX.max(self.configured.0));
        let needed = self.heartbeat + WAITS * (RESENT_TICKS + round_trip);
        let [little, ample, much] = SHARES.map(|share| (needed + needed / share).clamp(floor, ceiling));
        if self.least < little {
            self.least = ample;
        } else if led && self.least > much {
            self.least -= (self.least - ample).div_ceil(NARROWED);
        }
        self.settle();
    }

    /// Nobody else has a vote.
    fn alone(&mut self) {
        self.least = self.configured.0;
        self.settle();
    }

    fn settle(&mut self) {
        if plants::is(CorePlant::FloorIgnored) {
            self.least = self.configured.0.div_ceil(2);
        }
        self.passed = self.passed.min(self.least - 1);
    }
}

impl<R: EntryReader> Group<R> {
    /// How long it takes to the members and back, in ticks, as far as that is known.
    pub fn measured(&mut self, round_trips: &BTreeMap<MemberId, usize>) {
        let others = self.conf.voting_but(self.config.me);
        if others.is_empty() {
            return self.pace.alone();
        }
        let known = others.iter().filter_map(|voter| round_trips.get(voter));
        let reached = if plants::is(CorePlant::NearestFollowed) { known.min() } else { known.max() };
        if let Some(round_trip) = reached {
            self.pace.follow(*round_trip, self.raw.raft.leader_id != 0);
        }
    }

    /// What was handed in can be lost without a change of leader or a new connection of ours: a refusal on its way
    /// back, a frame that found the leader's queue full. When the oldest has been the oldest for long, all are handed
    /// in again.
    pub(super) fn lose_patience(&mut self) {
        let oldest = self.pending.oldest_waiting();
        if oldest != self.oldest {
            (self.oldest, self.oldest_ticks) = (oldest, 0);
        }
        self.oldest_ticks += 1;
        if oldest.is_some() && self.oldest_ticks >= PATIENCE_ELECTIONS * self.pace.most() {
            self.oldest_ticks = 0;
            self.pending.hand_in_again();
        }
    }

    /// The election timeouts in use, `[least, most)`, in ticks.
    pub fn election_ticks(&self) -> (usize, usize) {
        self.pace.in_use()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wan(floor: (usize, usize)) -> Pace {
        Pace::new(Profile::Wan, floor, 5)
    }

    fn settled(pace: &mut Pace, round_trip: usize) -> usize {
        (0..200).for_each(|_| pace.follow(round_trip, true));
        pace.least()
    }

    #[test]
    fn a_lan_has_what_is_configured() {
        let mut pace = Pace::new(Profile::Lan, (15, 30), 5);
        pace.follow(300, true);
        assert_eq!(pace.in_use(), (15, 30));
        assert_eq!(pace.patience(25), 25);
        assert!((0..1_000).all(|_| pace.tick() == 1));
    }

    #[test]
    fn a_heartbeat_lost_twice_is_waited_for() {
        let mut pace = wan((15, 30));
        // Before anything is measured, as if it were 300 ms.
        assert_eq!(pace.in_use(), (174, 348));
        assert_eq!((pace.patience(25), pace.patience(200)), (174, 200));
        for round_trip in [1, 2, 8, 15, 60] {
            let least = settled(&mut pace, round_trip);
            let lost_twice = 5 + 3 * (20 + round_trip);
            assert!((lost_twice..=lost_twice * 5 / 4).contains(&least), "{round_trip}: {least}");
        }
    }

    #[test]
    fn floor_and_ceiling_hold() {
        let mut pace = wan((100, 300));
        assert_eq!(settled(&mut pace, 1), 100);
        assert_eq!(pace.most(), 300);
        pace.follow(10_000, true);
        assert_eq!(pace.in_use(), (500, 1_500));
        let mut longer = wan((800, 900));
        longer.follow(10_000, true);
        assert_eq!(longer.in_use(), (800, 900));
        pace.alone();
        assert_eq!(pace.in_use(), (100, 300));
    }

    #[test]
    fn it_is_widened_at_once_and_narrowed_by_and_by_and_not_without_a_leader() {
        let mut pace = wan((15, 30));
        let near = settled(&mut pace, 2);
        pace.follow(15, false);
        let far = pace.least();
        assert!(far >= 5 + 3 * 35);
        pace.follow(2, false);
        assert_eq!(pace.least(), far);
        let mut before = far;
        for _ in 0..3 {
            pace.follow(2, true);
            assert!(pace.least() < before && pace.least() > near, "{} after {before}", pace.least());
            before = pace.least();
        }
        // What goes up and down by a few milliseconds changes nothing.
        settled(&mut pace, 8);
        let steady = settled(&mut pace, 7);
        (0..100).for_each(|at| pace.follow(8 - at % 2, true));
        assert_eq!(pace.least(), steady);
    }

    /// Leases count on this: however the length of its ticks changes, the engine's clock has never more of them.
    #[test]
    fn the_engine_never_has_more_ticks_than_the_caller() {
        let mut pace = wan((15, 30));
        let mut over = 0;
        for at in 0..10_000 {
            pace.follow([1, 90, 3, 40, 2, 2, 2][at / 7 % 7], at % 3 > 0);
            if at % 11 == 0 {
                pace.restart();
            }
            let ticks = pace.tick();
            assert!(ticks <= 1);
            over += ticks;
        }
        assert!(over > 500, "{over}");
    }

    #[test]
    fn a_timeout_takes_as_long_as_it_says() {
        let mut pace = wan((15, 30));
        let least = settled(&mut pace, 15);
        pace.tick();
        pace.restart();
        let (mut ticks, mut over) = (0, 0);
        while over < 15 {
            ticks += 1;
            over += pace.tick();
        }
        assert_eq!(ticks, least);
    }
}
