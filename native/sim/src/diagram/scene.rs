//! What a history looks like: bars, spans, arrows and marks, with times; nothing of colours or places.

use crate::args::Window;
use crate::describe;
use crate::faults::kinds::FaultKind;
use crate::record::{Happening, Recorder};
use crate::run::Report;
use crate::setup::{Changes, Setup};
use crate::summary;
use std::collections::{BTreeMap, VecDeque};
use vexfs_core::ordered::status::Role;

/// What is drawn of a long history unless somebody says otherwise.
const WINDOW_US: u64 = 2_000_000;
/// And how far beyond the violation.
const BEYOND_US: u64 = 15_000;

/// Kinds of frames that share a colour, and a filter, by the name of that colour.
pub static GROUPS: [(&str, &[&str]); 12] = [
    ("append", &["Append", "AppendResponse"]),
    ("heartbeat", &["Heartbeat", "HeartbeatResponse"]),
    ("vote", &["RequestVote", "RequestVoteResponse", "RequestPreVote", "RequestPreVoteResponse", "TimeoutNow", "Transfer"]),
    ("read", &["ReadIndex", "ReadIndexResp"]),
    ("forward", &["Forward", "ForwardRefused", "Declined"]),
    ("applied", &["AppliedQuery", "AppliedAnswer"]),
    ("snapshot", &["Snapshot", "SnapshotOffer", "SnapshotPull", "SnapshotPiece"]),
    ("repair", &["RepairQuery", "RepairAnswer", "TermQuery", "TermAnswer"]),
    ("compare", &["HashReport", "HashQuery", "HashAnswer", "Standing", "StandingAnswer", "Probe", "ProbeAnswer"]),
    ("member", &["Removed"]),
    ("causal", &["Entries", "Held", "Pull", "OriginQuery", "OriginAnswer", "StatesQuery", "HeldQuery", "HeldAnswer"]),
    ("other", &[]),
];

pub fn group_of(kind: &str) -> &'static str {
    GROUPS.iter().find(|(_, kinds)| kinds.contains(&kind)).map_or("other", |(group, _)| group)
}

/// What a member was from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    pub node: usize,
    pub group: u32,
    pub from_us: u64,
    pub to_us: u64,
    /// `leader`, `candidate`, `follower` or `down`.
    pub role: &'static str,
    pub term: u64,
}

#[derive(Clone, Debug)]
pub struct FaultSpan {
    pub node: usize,
    pub from_us: u64,
    pub to_us: u64,
    pub name: String,
}

#[derive(Clone, Debug)]
pub struct Arrow {
    pub from: usize,
    pub to: usize,
    pub sent_us: u64,
    /// When it arrived, or was lost.
    pub end_us: u64,
    pub arrived: bool,
    pub kind: &'static str,
    pub text: String,
}

/// `kind` is one of `MARKS`.
#[derive(Clone, Debug)]
pub struct Mark {
    pub node: usize,
    pub at_us: u64,
    pub kind: &'static str,
    pub text: String,
}

pub static MARKS: [&str; 8] = ["start", "failed", "damage", "write", "asked", "ended", "snapshot", "members"];

pub struct Scene {
    pub title: String,
    pub replay: String,
    pub members: Vec<String>,
    pub groups: u32,
    pub end_us: u64,
    /// When the faults stopped.
    pub calm_us: Option<u64>,
    pub bars: Vec<Bar>,
    pub faults: Vec<FaultSpan>,
    pub arrows: Vec<Arrow>,
    pub marks: Vec<Mark>,
    pub violations: Vec<(u64, String)>,
}

impl Scene {
    pub fn of(report: &Report, changes: &Changes, recorder: &Recorder) -> Self {
        let setup = Setup::new(report.seed, changes);
        let mut scene = Self {
            title: format!("seed {}{}", report.seed, changes.options()),
            replay: summary::replay(report.seed, changes),
            members: (0..setup.members).map(|node| describe::node_name(node).to_string()).collect(),
            groups: setup.groups,
            end_us: recorder.happenings.last().map_or(report.virtual_us, |(at_us, _)| *at_us).max(1),
            calm_us: None,
            bars: Vec::new(),
            faults: Vec::new(),
            arrows: Vec::new(),
            marks: Vec::new(),
            violations: Vec::new(),
        };
        let mut teller = Teller {
            now: vec![vec![(0, "down", 0); setup.groups as usize]; setup.members],
            flights: BTreeMap::new(),
            scene: &mut scene,
        };
        recorder.happenings.iter().for_each(|(at_us, what)| teller.tell(*at_us, what));
        teller.end();
        scene
    }

    /// What to draw: as it was asked for, else the last two seconds before the violation, or before the faults stopped.
    pub fn window(&self, asked: Window) -> (u64, u64) {
        let until = self.violations.first().map(|(at_us, _)| at_us + BEYOND_US).or(self.calm_us).unwrap_or(self.end_us);
        let last = self.end_us + BEYOND_US;
        let until = if self.end_us <= WINDOW_US { last } else { until.min(last) };
        let to_us = asked.to_us.map(|to_us| to_us.min(last)).unwrap_or_else(|| asked.from_us.map_or(until, |from_us| until.max(from_us + WINDOW_US)));
        let from_us = asked.from_us.unwrap_or(to_us.saturating_sub(WINDOW_US));
        (from_us.min(to_us.saturating_sub(1)), to_us.max(1))
    }
}

/// Follows the happenings, and keeps what has begun and not ended.
struct Teller<'a> {
    scene: &'a mut Scene,
    /// Of each member and group: since when it is what, in which term.
    now: Vec<Vec<(u64, &'static str, u64)>>,
    /// Arrows that are on their way, by sender, receiver and channel, oldest first.
    flights: BTreeMap<(usize, usize, u8), VecDeque<usize>>,
}

impl Teller<'_> {
    fn tell(&mut self, at_us: u64, what: &Happening) {
        match what {
            Happening::Start { node } => {
                self.turn_all(at_us, *node, "follower");
                self.mark(at_us, *node, "start", what);
            }
            Happening::Down { node } => self.turn_all(at_us, *node, "down"),
            Happening::Refused { node, .. } | Happening::Failed { node, .. } => self.mark(at_us, *node, "failed", what),
            Happening::Damage { node, .. } => self.mark(at_us, *node, "damage", what),
            Happening::Write { node, .. } => self.mark(at_us, *node, "write", what),
            Happening::Asked { node, .. } => self.mark(at_us, *node, "asked", what),
            Happening::Ended { node, .. } => self.mark(at_us, *node, "ended", what),
            Happening::Snapshot { node, .. } => self.mark(at_us, *node, "snapshot", what),
            Happening::Members { node, .. } => self.mark(at_us, *node, "members", what),
            Happening::Resume { .. } => {}
            Happening::Role { node, group, role, term } => self.turn(at_us, *node, group.0, role_name(*role), term.0),
            Happening::Fault { kind, node, other, length_us, number } => {
                self.fault(at_us, *number, *kind, (*node, *other), *length_us);
            }
            Happening::Frame { from, to, channel, kind, text, arrives_us } => {
                let arrow = Arrow { from: *from, to: *to, sent_us: at_us, end_us: at_us, arrived: false, kind, text: text.clone() };
                if arrives_us.is_some() {
                    self.flights.entry((*from, *to, *channel)).or_default().push_back(self.scene.arrows.len());
                }
                self.scene.arrows.push(arrow);
            }
            Happening::Arrived { from, to, channel, frames, .. } => {
                let flight = self.flights.entry((*from, *to, *channel)).or_default();
                for at in flight.drain(..(*frames).min(flight.len())) {
                    (self.scene.arrows[at].end_us, self.scene.arrows[at].arrived) = (at_us, true);
                }
            }
            Happening::Reset { from, to } => self.lost(at_us, *from, *to),
            Happening::Calm => {
                self.scene.calm_us = Some(at_us);
                for fault in &mut self.scene.faults {
                    fault.to_us = fault.to_us.min(at_us);
                }
            }
            Happening::Violation { what } => self.scene.violations.push((at_us, what.clone())),
        }
    }

    fn mark(&mut self, at_us: u64, node: usize, kind: &'static str, what: &Happening) {
        self.scene.marks.push(Mark { node, at_us, kind, text: describe::happening(what) });
    }

    fn turn_all(&mut self, at_us: u64, node: usize, role: &'static str) {
        (0..self.scene.groups).for_each(|group| self.turn(at_us, node, group, role, 0));
    }

    fn turn(&mut self, at_us: u64, node: usize, group: u32, role: &'static str, term: u64) {
        let (from_us, before, of_term) = std::mem::replace(&mut self.now[node][group as usize], (at_us, role, term));
        if from_us < at_us {
            self.scene.bars.push(Bar { node, group, from_us, to_us: at_us, role: before, term: of_term });
        }
    }

    /// What is on its way in this direction does not arrive.
    fn lost(&mut self, at_us: u64, from: usize, to: usize) {
        for channel in 0..2 {
            for at in self.flights.remove(&(from, to, channel)).unwrap_or_default() {
                self.scene.arrows[at].end_us = at_us;
            }
        }
    }

    fn fault(&mut self, at_us: u64, number: u32, kind: FaultKind, (node, other): (usize, usize), length_us: u64) {
        if kind == FaultKind::Loss {
            self.lost(at_us, node, other);
        }
        let name = describe::node_name;
        let words = match kind {
            FaultKind::Loss | FaultKind::OneWay | FaultKind::Reset | FaultKind::StalledChannel => {
                format!("{} {} to {}", kind.name(), name(node), name(other))
            }
            FaultKind::Partition => format!("{} of {} and {}", kind.name(), name(node), name(other)),
            FaultKind::SlowNetwork => format!("{}, everywhere", kind.name()),
            _ => kind.name().to_string(),
        };
        let to_us = if lasts(kind) { at_us + length_us } else { at_us };
        self.scene.faults.push(FaultSpan { node, from_us: at_us, to_us, name: format!("{words} (fault {number})") });
    }

    fn end(mut self) {
        let end_us = self.scene.end_us;
        (0..self.now.len()).for_each(|node| self.turn_all(end_us, node, "down"));
        for at in self.flights.into_values().flatten() {
            self.scene.arrows[at].end_us = end_us;
        }
        let end = |fault: &mut FaultSpan| fault.to_us = fault.to_us.min(end_us);
        self.scene.faults.iter_mut().for_each(end);
    }
}

/// Whether the length of a fault is how long it lasts, not how long its member is down.
fn lasts(kind: FaultKind) -> bool {
    use FaultKind::{FullDisk, GarbledAnswer, OneWay, Partition, Pause, SlowDisk, SlowNetwork, StalledChannel, StalledDisk};
    matches!(kind, SlowNetwork | OneWay | Partition | StalledChannel | Pause | SlowDisk | StalledDisk | FullDisk | GarbledAnswer)
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Candidate => "candidate",
        Role::Follower => "follower",
    }
}
