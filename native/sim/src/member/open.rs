//! From a simulated directory to a member, and the judgement of what its recovery found.

use super::process::UPKEEP;
use super::{LaneView, Member, Running, View};
use crate::disk::SimDisk;
use crate::plants::Plant;
use crate::setup::{Setup, BUFFER_ENTRIES};
use crate::shadow::{fingerprint, found_of, GroupShadow, OriginShadow, Shadow};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use vexfs_core::causal::is_origin;
use vexfs_core::clock::HybridClock;
use vexfs_core::ids::{GroupId, Index, MemberId};
use vexfs_core::log::{GroupRecovery, Log, LogEntry, LogError, LogOptions, LogReader, LostRange, Recovery, Upkeep, Wanted};
use vexfs_core::member::open::{self, CausalConfig, MemberConfig, OpenError};
use vexfs_core::ordered::effects::Effects;
use vexfs_core::ordered::store::EntryReader;
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::Group;
use vexfs_core::peer::round_trips::RoundTrips;

impl Member {
    fn config(&self, number: usize, founders: &[String], setup: &Setup) -> MemberConfig {
        let mut limits = setup.limits;
        if number == 0 && setup.plant.is_some_and(Plant::parts_states) {
            limits.window_events = 3;
        }
        MemberConfig {
            cluster_id: "sim".to_string(),
            node_id: self.name.clone(),
            founders: founders.iter().map(|name| (name.clone(), String::new())).collect(),
            joins: self.joins,
            groups: setup.groups,
            election_ticks: setup.election_ticks,
            heartbeat_ticks: setup.heartbeat_ticks,
            profile: if setup.regions.is_some() { Profile::Wan } else { Profile::Lan },
            inflight_messages: setup.inflight_messages,
            intake_bytes_max: setup.intake_bytes_max,
            limits,
            snapshots: setup.snapshots,
            read_lease_us: setup.read_lease_us,
            causal: CausalConfig { retention: setup.lane_retention, has_states: setup.has_states, buffer_entries: BUFFER_ENTRIES, ..CausalConfig::default() },
            log: LogOptions { segment_bytes: setup.segment_bytes, spare_segments: 1, reserve_bytes: 0 },
            seed: setup.seed ^ self.id.0 ^ u64::from(self.life).rotate_left(40),
            fresh_directory_id: u128::from(self.id.0).to_le_bytes(),
        }
    }

    pub(super) fn open(&mut self, number: usize, founders: &[String], setup: &Setup) -> Result<(Running, Option<String>), OpenError> {
        let config = self.config(number, founders, setup);
        let mut recovered = open::recover(Arc::new(self.disk.clone()), &config)?;
        if setup.plant == Some(Plant::SkippedTail) {
            recovered.recovery.groups.values_mut().for_each(skip_tail);
        }
        let entries = recovered.log.reader();
        let wrong = self.judge(&entries, &recovered.recovery);
        self.shadow.begin_again(&recovered.begun_again);
        self.life_id = open::life_of(&config);
        if setup.plant == Some(Plant::VoteForgotten) {
            recovered.recovery.groups.values_mut().for_each(|group| group.hard_state.vote = MemberId(0));
        }
        recovered.recovery.unsettled &= setup.plant != Some(Plant::DamagedTailVotes);
        let groups = open::start(&recovered, &config)?;
        let running = Running {
            log: recovered.log,
            keeper: recovered.keeper,
            entries,
            views: groups.groups().map(|(_, group)| View::new(group)).collect(),
            groups,
            lane: LaneView::untold(),
            effects: Effects::default(),
            jobs: VecDeque::new(),
            job_planned: false,
            clock: HybridClock::default(),
            excess: None,
            settled_to: BTreeMap::new(),
            written_bytes: 0,
            upkeep: Upkeep::new(UPKEEP),
            queue: Vec::new(),
            writing: None,
            flush_planned: false,
            round_trips: RoundTrips::default(),
            probed_us: 0,
            paused: false,
            clock_stands: false,
        };
        Ok((running, wrong))
    }

    /// Recovery must find what the log was told to hold: all of it, or that and the batch that was under way; where the
    /// last batch was damaged since, what was before it, and say so; where earlier ones were, all but what it names or
    /// what cannot be read.
    fn judge(&mut self, entries: &LogReader<SimDisk>, recovery: &Recovery) -> Option<String> {
        let (maybe, damaged, holed) = (self.maybe.take(), std::mem::take(&mut self.damaged), self.holed);
        self.struck = false;
        self.shadow.founded(recovery);
        let more = maybe.map(|ops| {
            let mut more = self.shadow.clone();
            more.apply(&ops);
            more
        });
        let less = if damaged { self.shadow.undone() } else { None };
        let other = |shadow: &Shadow| shadow.groups().find(|(group, shadow)| !is_found(shadow, *group, recovery, holed)).map(|(group, _)| group);
        let is = |shadow: &Shadow| other(shadow).is_none() && shadow.other_origin(recovery, holed).is_none();
        let mut wrong = None;
        if let Some(less) = less.filter(is) {
            if !recovery.unsettled {
                wrong = Some("the last batch is gone, and recovery does not say so".to_string());
            }
            self.shadow = less;
        } else if let Some(more) = more.filter(is) {
            self.shadow = more;
        } else if let Some(group) = other(&self.shadow) {
            let (found, lost) = (found_of(recovery, group), lost_of(recovery, group));
            let last_term = found.terms.last().map_or(0, |(_, term)| term.0);
            wrong = Some(format!(
                "recovery found {} entries of group {group}, the last of term {last_term}, {:?}, first {}, snapshot {:?}, lost {lost:?}; the log held {}",
                found.last_index,
                found.hard_state,
                found.first_index,
                found.snapshot,
                self.shadow.of(group).describe()
            ));
        } else if let Some((group, here, found)) = self.shadow.other_origin(recovery, holed) {
            wrong = Some(format!("recovery found {found} entries of origin {group}, the log held {here}"));
        }
        let settled = wrong.is_none();
        if settled {
            self.shadow.found_origins(recovery);
        }
        for (id, found) in recovery.groups.iter().filter(|(id, _)| is_origin(**id)) {
            wrong = wrong.or(self.shadow.origin_mut(*id).and_then(|origin| read_origin_back(origin, *id, entries, found, holed)));
        }
        if self.shadow.lacks_of_origins() {
            // What damage has taken may show at a later start than the next: a batch of which every record could be read is
            // lost as a whole once its segment's footer is. That is judged here, since the next flush may empty such a log.
            self.forget_delivered();
        }
        let all: Vec<GroupId> = self.shadow.groups().map(|(id, _)| id).collect();
        for id in all {
            let found = found_of(recovery, id);
            let shadow = self.shadow.of_mut(id);
            if holed && settled && !shadow.is(&found) {
                shadow.found(&found);
            }
            wrong = wrong.or(read_back(shadow, id, entries, recovery, holed));
        }
        wrong
    }

    /// Entries that the disk does not give any more, as nobody may have noticed yet. The member is down.
    pub fn count_holes(&mut self) {
        let mut disk = self.disk.copy();
        disk.end_process();
        let Ok((reader, recovery)) = LogReader::open(Arc::new(disk)) else { return };
        for (group, found) in &recovery.groups {
            if is_origin(*group) {
                let unreadable = |at: &u64| EntryReader::entries(&reader, *group, Index(*at), Index(at + 1), 1).is_err();
                let holes = (found.first_index.0..=found.last_index.0).filter(unreadable).collect();
                if let Some(origin) = self.shadow.origin_mut(*group) {
                    origin.holes = holes;
                }
                continue;
            }
            let unreadable = |at: &Index| EntryReader::entries(&reader, *group, *at, Index(at.0 + 1), 1).is_err();
            let shadow = self.shadow.of_mut(*group);
            let here = (found.first_index.0..=found.last_index.0).map(Index).filter(|index| !shadow.gaps.contains(index));
            shadow.holes = here.filter(unreadable).collect();
        }
    }
}

impl View {
    fn new(group: &Group<super::DiskReader>) -> Self {
        let machine = group.machine();
        Self {
            applied: machine.applied(),
            first: group.status().first,
            suppressed: machine.passed_over().clone(),
            last_commit_seen: Index(0),
            led_from: None,
        }
    }
}

fn lost_of(recovery: &Recovery, group: GroupId) -> Vec<LostRange> {
    recovery.damaged.iter().filter(|range| range.group == group).copied().collect()
}

fn is_found(shadow: &GroupShadow, group: GroupId, recovery: &Recovery, holed: bool) -> bool {
    let (found, lost) = (found_of(recovery, group), lost_of(recovery, group));
    let missing = || lost.iter().flat_map(|range| range.first.0..=range.last.0).map(Index);
    (shadow.is(&found) && (holed || missing().eq(shadow.gaps.iter().copied())))
        || holed && shadow.fits(&found, &lost, recovery.unsettled)
}

/// The newest entries are read back too: an index alone may be right over wrong bytes. Of a damaged disk, all are.
fn read_back(shadow: &mut GroupShadow, group: GroupId, entries: &LogReader<SimDisk>, recovery: &Recovery, holed: bool) -> Option<String> {
    let (found, lost) = (found_of(recovery, group), lost_of(recovery, group));
    let newest = Index(found.last_index.0.saturating_sub(15)).max(found.first_index);
    let low = if holed { found.first_index } else { newest };
    let (mut holes, mut wrong) = (BTreeSet::new(), None);
    let end = Index(found.last_index.0 + 1);
    // At once where nothing is amiss.
    let whole = low < end && EntryReader::entries(entries, group, low, end, u64::MAX).is_ok_and(|read| {
        let right = |one: &LogEntry| shadow.fingerprint_of(one.index) == Some(fingerprint(one));
        read.len() as u64 == end.0 - low.0 && read.iter().all(right)
    });
    let low = if whole { end } else { low };
    for index in (low.0..=found.last_index.0).map(Index).filter(|index| !shadow.gaps.contains(index)) {
        match EntryReader::entries(entries, group, index, Index(index.0 + 1), 1) {
            Ok(read) if read.iter().all(|one| shadow.fingerprint_of(index) == Some(fingerprint(one))) => {}
            Ok(_) => wrong = wrong.or(Some(format!("entry {index} of group {group} is not the one that was written"))),
            Err(_) if holed => drop(holes.insert(index)),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    let readable = |at: u64| !holes.contains(&Index(at)) && !shadow.gaps.contains(&Index(at));
    if let Some(range) = lost.iter().find(|range| (range.first.0..=range.last.0).any(readable)) {
        wrong = wrong.or(Some(format!("{range} can be read, and are called lost")));
    }
    shadow.holes = holes;
    wrong
}

/// As `read_back`, of an origin's log: the newest entries, or all of a damaged disk.
fn read_origin_back(origin: &mut OriginShadow, group: GroupId, entries: &LogReader<SimDisk>, found: &GroupRecovery, holed: bool) -> Option<String> {
    let last = found.last_index.0;
    let first = found.first_index.0;
    let low = if holed { first } else { last.saturating_sub(15).max(first) };
    let (mut holes, mut wrong) = (BTreeSet::new(), None);
    let written: Vec<(u64, u64)> = (low..=last).map(|counter| (counter, origin.written_print(counter).unwrap_or(0))).collect();
    let whole = EntryReader::entries(entries, group, Index(low), Index(last + 1), u64::MAX).is_ok_and(|read| {
        read.len() == written.len() && read.iter().zip(&written).all(|(one, (_, print))| fingerprint(one) == *print)
    });
    for (counter, print) in written.into_iter().filter(|_| !whole) {
        match EntryReader::entries(entries, group, Index(counter), Index(counter + 1), 1) {
            Ok(read) if read.iter().all(|one| fingerprint(one) == print) => {}
            Ok(_) => wrong = wrong.or(Some(format!("entry {counter} of origin {group} is not the one that was written"))),
            Err(_) if holed => drop(holes.insert(counter)),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    origin.unnamed = holes.len() as u64 == last + 1 - first;
    origin.holes = holes;
    wrong
}

/// As if recovery had ended one entry earlier.
fn skip_tail(group: &mut GroupRecovery) {
    if group.last_index >= group.first_index && group.terms.len() > 1 || group.last_index > group.first_index {
        group.last_index.0 -= 1;
        group.terms.retain(|(index, _)| *index <= group.last_index);
        group.hard_state.commit = group.hard_state.commit.min(group.last_index);
    }
}

/// What opening another member's directory comes to; it must be refused.
pub fn opens_foreign(me: &Member, other: &Member, plant: Option<Plant>) -> bool {
    let mut disk = other.disk.copy();
    disk.end_process();
    let node_id = if plant == Some(Plant::IdentityUnchecked) { other.name.clone() } else { me.name.clone() };
    let wanted =
        Wanted { cluster_id: "sim".to_string(), node_id, fresh_directory_id: [9; 16], salt_seed: u64::from(me.life) };
    !matches!(Log::open(Arc::new(disk), LogOptions::default(), wanted), Err(LogError::IdentityMismatch { .. }))
}
