//! What a run is made of: drawn from its seed, and changed by what a command line or `shrink` says.

use crate::faults::kinds::FaultKind;
use crate::faults::plan::{draw, Fault};
use crate::member::TICK_US;
use crate::plants::Plant;
use crate::random::Random;
use crate::regions::Regions;
use std::collections::BTreeSet;
use vexfs_core::causal::tally::Retention;
use vexfs_core::ids::GroupId;
use vexfs_core::machine::MachineLimits;
use vexfs_core::ordered::snapshots::SnapshotPolicy;

/// Entries of an origin that wait in memory for what they follow: few, since histories are short.
pub const BUFFER_ENTRIES: usize = 6;

/// How long clients go on where there are no faults, and members are far apart.
const CALM_US: u64 = 60_000_000;

/// What is not as the seed has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub members: Option<usize>,
    pub publishers: Option<usize>,
    pub subscribers: Option<usize>,
    pub consumers: Option<usize>,
    pub causal: Option<usize>,
    pub groups: Option<usize>,
    /// Members are in regions, far apart.
    pub regions: bool,
    /// Faults and clients stop then, in milliseconds of virtual time.
    pub until_ms: Option<u64>,
    /// Faults that strike, by number; all others do not.
    pub keep: Option<BTreeSet<u32>>,
    /// Kinds of faults to draw from.
    pub only: Vec<FaultKind>,
    pub plant: Option<Plant>,
}

impl Changes {
    pub fn planted(plant: Plant) -> Self {
        Self { plant: Some(plant), ..Self::default() }
    }

    /// As options of the command line.
    pub fn options(&self) -> String {
        let mut out = String::new();
        let numbers = [
            ("--members", self.members),
            ("--publishers", self.publishers),
            ("--subscribers", self.subscribers),
            ("--consumers", self.consumers),
            ("--causal", self.causal),
            ("--groups", self.groups),
            ("--until-ms", self.until_ms.map(|ms| ms as usize)),
        ];
        for (name, value) in numbers {
            out += &value.map_or(String::new(), |value| format!(" {name} {value}"));
        }
        if self.regions {
            out += " --regions";
        }
        if !self.only.is_empty() {
            let names: Vec<&str> = self.only.iter().map(|kind| kind.name()).collect();
            out += &format!(" --only {}", names.join(","));
        }
        if let Some(keep) = &self.keep {
            let numbers: Vec<String> = keep.iter().map(u32::to_string).collect();
            out += &format!(" --keep {}", if numbers.is_empty() { "none".to_string() } else { numbers.join(",") });
        }
        out + &self.plant.map_or(String::new(), |plant| format!(" --plant {}", plant.name()))
    }
}

/// What cuts a leader off in part: where leases are put to the test.
const SPLITTING: [FaultKind; 5] =
    [FaultKind::OneWay, FaultKind::OneWay, FaultKind::Partition, FaultKind::ProcessEnd, FaultKind::ProcessEnd];

/// What leaves members with entries that others have overtaken, next to members that have lost theirs.
const OVERTAKING: [FaultKind; 6] = [
    FaultKind::Partition,
    FaultKind::Partition,
    FaultKind::OneWay,
    FaultKind::Pause,
    FaultKind::SharedBlock,
    FaultKind::DamagedMiddle,
];

/// What one seed in eight draws from alone: few kinds, often, since what repair gets wrong takes several of them in a row.
const MIXES: [&[FaultKind]; 5] = [
    &[FaultKind::Partition, FaultKind::DamagedMiddle],
    &OVERTAKING,
    &[FaultKind::Partition, FaultKind::DamagedMiddle, FaultKind::PowerLoss, FaultKind::FailedSync, FaultKind::StalledDisk],
    &[FaultKind::PowerLoss, FaultKind::FlippedTail, FaultKind::DamagedMiddle, FaultKind::Partition, FaultKind::Reset],
    &[
        FaultKind::DamagedMiddle,
        FaultKind::SharedBlock,
        FaultKind::CrashInOpen,
        FaultKind::FullDisk,
        FaultKind::DamagedFooter,
        FaultKind::CleanRestart,
        FaultKind::Loss,
    ],
];

/// Kinds of faults that a seed is limited to; empty for all.
fn mix(seed: u64) -> Vec<FaultKind> {
    let mut random = Random::stream(seed, "mix", 0);
    match random.chance(125) {
        true => random.pick(&MIXES).to_vec(),
        false => Vec::new(),
    }
}

/// Whether members are far apart, and then whether nothing else happens. Drawn apart, so that all else is what it was.
fn draw_regions(seed: u64, founders: usize, changes: &Changes) -> Option<bool> {
    let mut random = Random::stream(seed, "regions", 0);
    let (drawn, calm) = (random.chance(60), random.chance(500));
    match changes.plant {
        Some(plant) => plant.needs_regions().then(|| !plant.needs_leases()),
        None => (founders >= 3 && (drawn || changes.regions)).then_some(calm),
    }
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    /// Founders, and those that an operator may add.
    pub members: usize,
    pub founders: usize,
    pub publishers: usize,
    pub subscribers: usize,
    pub consumers: usize,
    /// Publishers, and as many readers, of the causal lane.
    pub causal: usize,
    pub causal_pace_us: u64,
    /// What the origins' logs keep.
    pub lane_retention: Retention,
    /// States are made of those logs at every member.
    pub has_states: bool,
    /// Rules say who holds what of the causal lane, and change.
    pub selective: bool,
    /// Of a process that ends, what it had sent of the causal lane may arrive yet.
    pub lingers: bool,
    /// Groups 0 up to, not including, this many share each member's log.
    pub groups: u32,
    /// Where there are several, nobody picks the last one from then on.
    pub quiet_from_us: u64,
    /// Mean time between two actions of one publisher.
    pub pace_us: u64,
    /// Of a thousand things a publisher does, how many are barriers, besides the usual ones.
    pub barriers: u64,
    pub until_us: u64,
    pub faults: Vec<Fault>,
    pub plant: Option<Plant>,
    pub limits: MachineLimits,
    pub snapshots: SnapshotPolicy,
    /// 0: leaders ask before they answer a barrier.
    pub read_lease_us: u64,
    pub election_ticks: (usize, usize),
    pub heartbeat_ticks: usize,
    pub inflight_messages: usize,
    pub intake_bytes_max: usize,
    pub pending_bytes_max: usize,
    pub segment_bytes: u64,
    pub delay_us: (u64, u64),
    /// Where members are far apart; `delay_us` is not used then.
    pub regions: Option<Regions>,
    pub sync_us: (u64, u64),
    /// Inputs wait for others this long at most, as in a busy process.
    pub busy_us: u64,
}

impl Setup {
    pub fn new(seed: u64, changes: &Changes) -> Self {
        let mut random = Random::stream(seed, "setup", 0);
        let drawn_members = match random.between(0, 16) {
            0 => 1,
            1..4 => 5,
            4 => 7,
            _ => 3,
        };
        let members = changes.members.unwrap_or(if changes.plant.is_some() { drawn_members.clamp(3, 5) } else { drawn_members });
        let founders = members;
        let spare = random.pick(&[0, 0, 0, 1, 2, 3]);
        let fixed = changes.members.is_some() || changes.plant.is_some_and(|plant| !plant.needs_changes());
        let regions = draw_regions(seed, founders, changes);
        let calm = regions == Some(true);
        let members = if fixed || calm { members } else { founders + spare };
        let regions = regions.map(|calm| Regions::draw(seed, members, calm, changes.plant.is_some_and(Plant::needs_leases)));
        // Where nothing else happens, what is rare is waited for.
        let drawn_us = random.between(10, 40) * 1_000_000;
        let until_us = if calm { CALM_US } else { drawn_us };
        let until_us = changes.until_ms.map_or(until_us, |ms| ms * 1_000);
        let mean_us = random.pick(&[0, 4_000_000, 1_500_000, 600_000, 250_000]);
        let only = match (&changes.only[..], changes.plant) {
            ([], None) => mix(seed),
            ([], Some(plant)) if plant.needs_leases() => SPLITTING.to_vec(),
            ([], Some(Plant::RepairFromStaleMember)) => OVERTAKING.to_vec(),
            _ => changes.only.clone(),
        };
        let mean_us = if only.is_empty() { mean_us } else { mean_us.clamp(250_000, 1_000_000) };
        let mut limits = MachineLimits { window_events: 4_096, sessions: 500, fences: 1_000, consumers: 10, ..MachineLimits::default() };
        limits.milestone_entries = Random::stream(seed, "milestones", 0).pick(&[4, 16, 1024]);
        if random.chance(60) && changes.plant.is_none() {
            // Sessions are forgotten all the time: clients are told so, and every member forgets the same ones.
            limits.sessions = 3;
        }
        if changes.plant == Some(Plant::TinyWindow) {
            limits.window_events = 2;
        }
        let held = changes.plant == Some(Plant::QuotaIgnored);
        let late = changes.plant == Some(Plant::EarlierLivesHeard);
        let far = random.chance(200);
        let leased = changes.plant.is_some_and(Plant::needs_leases);
        let leases = random.chance(300) || leased;
        let reads = leases && (random.chance(200) || leased);
        let until_us = if reads { until_us.min(10_000_000) } else { until_us };
        let election_ticks = if leased || late { (60, 70) } else { random.pick(&[(15, 30), (15, 30), (10, 13)]) };
        let lease_us = (election_ticks.0 as u64 - 2) * TICK_US;
        let stale = changes.plant == Some(Plant::RepairFromStaleMember);
        let mean_us = if leased || stale || late { 200_000 } else { mean_us };
        // Drawn apart, so that a run of one group is what it was when there was one.
        let drawn_groups = Random::stream(seed, "groups", 0).pick(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4]);
        let planted = changes.plant.map(|plant| if plant.needs_groups() { drawn_groups.max(2) } else { 1 });
        let groups = changes.groups.map_or(planted.unwrap_or(drawn_groups), |groups| groups as u32);
        // Drawn apart too. Bugs planted elsewhere are looked for where they were before there was this lane.
        let mut lane = Random::stream(seed, "lane", 0);
        let (drawn_causal, drawn_pace_us) = (lane.pick(&[0, 0, 1, 1, 2, 3]), lane.pick(&[200_000, 600_000, 2_000_000]));
        let (causal, causal_pace_us) = match changes.plant {
            // Between two copies of a directory, one event that is still on its way: few of them, and slow links.
            Some(Plant::EarlierLivesHeard) => (2, 400_000),
            Some(plant) if plant.is_in_the_lane() => (drawn_causal.max(2), drawn_pace_us.min(150_000)),
            Some(_) => (0, drawn_pace_us),
            None => (drawn_causal, drawn_pace_us),
        };
        let mut cuts = Random::stream(seed, "lane cuts", 0);
        let retained = cuts.pick(&[None, Some(0), Some(20), Some(100)]);
        let retained = if changes.plant.is_some_and(Plant::cuts) { Some(0) } else { retained };
        let has_states = cuts.chance(500) || changes.plant.is_some_and(Plant::has_states);
        let causal = changes.causal.unwrap_or(causal);
        // Only who does not vote may be left out.
        let drawn_rules = Random::stream(seed, "rules", 0).chance(600);
        let selective = causal > 0 && members > founders && changes.plant.map_or(drawn_rules, Plant::has_rules);
        let mut faults = draw(seed, members, until_us, mean_us, &only, has_states && causal > 0 && retained.is_some());
        if calm {
            faults.clear();
        }
        if let Some(keep) = &changes.keep {
            faults.retain(|fault| keep.contains(&fault.number));
        }
        Self {
            seed,
            members,
            founders,
            publishers: changes.publishers.unwrap_or(if leased { 6 } else { random.between(1, 4) as usize }),
            subscribers: changes.subscribers.unwrap_or(random.between(1, 3) as usize),
            consumers: changes.consumers.unwrap_or(random.between(0, 4) as usize),
            causal,
            causal_pace_us,
            lingers: lane.chance(250) || late,
            has_states,
            selective,
            lane_retention: Retention { events: retained, ..Retention::default() },
            groups,
            quiet_from_us: if held { 3_000_000 } else { Random::stream(seed, "quiet", 0).pick(&[3_000_000, u64::MAX, u64::MAX]) },
            pace_us: if reads { 15_000 } else if calm { drawn_us / 5 } else { random.pick(&[60_000, 250_000, 600_000, 2_000_000]) },
            barriers: if reads { 700 } else { 0 },
            until_us,
            faults,
            plant: changes.plant,
            limits,
            snapshots: SnapshotPolicy {
                entries: random.pick(&[10_000, 40, 15]),
                keep_entries: random.pick(&[0, 10]),
                retain_events: random.pick(&[None, None, Some(20)]),
                ..SnapshotPolicy::default()
            },
            election_ticks,
            read_lease_us: if leases { lease_us } else { 0 },
            heartbeat_ticks: if leased { 20 } else { 5 },
            inflight_messages: random.pick(&[4, 64]),
            intake_bytes_max: random.pick(&[6 * 1024, 64 * 1024]),
            pending_bytes_max: random.pick(&[6 * 1024, 32 * 1024]),
            segment_bytes: random.pick(&[64, 128, 256]) * 1024,
            delay_us: if late { (10_000, 50_000) } else if far { (2_000, 30_000) } else { (100, 3_000) },
            regions,
            sync_us: if far { (500, 20_000) } else { (200, 4_000) },
            busy_us: random.pick(&[0, 300, 3_000]),
        }
    }

    /// One of the groups, for a client.
    pub fn pick_group(&self, now_us: u64, random: &mut Random) -> GroupId {
        let busy = if now_us < self.quiet_from_us { self.groups } else { self.groups - 1 };
        GroupId(if self.groups == 1 { 0 } else { random.between(0, u64::from(busy)) as u32 })
    }

    /// Whether sessions are forgotten under their clients' hands.
    pub fn forgets_sessions(&self) -> bool {
        self.limits.sessions < 10
    }
}
