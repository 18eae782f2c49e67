//! One member: its disk, and, while it runs, its group.

use super::disk::{Disk, DiskReader};
use super::submissions::GROUP;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use vexfs_core::ids::{Index, MemberId, RequestId, Term};
use vexfs_core::log::GroupRecovery;
use vexfs_core::machine::MachineLimits;
use vexfs_core::ordered::effects::Effects;
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;
use vexfs_core::ordered::{Group, GroupConfig};

pub struct Node {
    pub name: String,
    pub id: MemberId,
    pub disk: Rc<RefCell<Disk>>,
    pub group: Option<Group<DiskReader>>,
    pub effects: Effects,
    pub incarnation: u64,
    pub limits: MachineLimits,
    pub profile: Profile,
    pub requests: u64,
    /// Inputs came since the last flush.
    pub dirty: bool,
    /// The process does not run until then; what arrives waits.
    pub paused_until_us: u64,
    pub restarts_at_us: Option<u64>,
    pub next_tick_us: u64,
    /// Highest index applied in any of its lives.
    pub applied_ever: Index,
    /// Offsets that readers of the journal pass over, as the group told them in this life.
    pub suppressed: BTreeMap<Index, Vec<u32>>,
    pub last_commit_seen: Index,
    /// A batch of its log was torn and is not settled: every start tells the group.
    pub torn: bool,
    /// Since a torn write, until its disk is whole again: term of its hard state, term and index of its last entry.
    pub lost: Option<(Term, Term, Index)>,
}

impl Node {
    pub fn new(name: String, limits: MachineLimits) -> Self {
        Self {
            id: MemberId::of(&name),
            name,
            disk: Rc::default(),
            group: None,
            effects: Effects::default(),
            incarnation: 0,
            limits,
            profile: Profile::Lan,
            requests: 0,
            dirty: false,
            paused_until_us: 0,
            restarts_at_us: None,
            next_tick_us: 0,
            applied_ever: Index(0),
            suppressed: BTreeMap::new(),
            last_commit_seen: Index(0),
            torn: false,
            lost: None,
        }
    }

    pub fn start(&mut self, voters: &[MemberId], seed: u64) {
        self.incarnation += 1;
        self.requests = 0;
        let config = GroupConfig {
            cluster_id: "test".to_string(),
            snapshots: SnapshotPolicy::default(),
            read_lease_us: 0,
            group: GROUP,
            me: self.id,
            life: self.incarnation,
            voters: voters.to_vec(),
            election_ticks: (15, 30),
            heartbeat_ticks: 5,
            profile: self.profile,
            inflight_messages: 64,
            intake_bytes_max: 6 * 1024,
            limits: self.limits,
            seed: seed ^ self.id.0 ^ self.incarnation.rotate_left(40),
        };
        let found = {
            let disk = self.disk.borrow();
            let (hard_state, last_index, terms) = (disk.hard_state(), disk.last(), disk.terms());
            GroupRecovery { hard_state, last_index, terms, first_index: Index(1), ..GroupRecovery::default() }
        };
        let group = Group::new(config, &found, None, DiskReader(self.disk.clone()));
        let mut group = group.expect("recovery gives what raft can start from");
        if self.torn {
            group.torn();
        }
        self.group = Some(group);
        self.suppressed.clear();
        self.last_commit_seen = Index(0);
        self.dirty = true;
        self.restarts_at_us = None;
    }

    /// How far its disk reaches: as raft compares logs, after the term it has promised to.
    pub fn reach(&self) -> (Term, Term, Index) {
        let disk = self.disk.borrow();
        (disk.hard.term, disk.term_of(disk.last()).unwrap_or_default(), disk.last())
    }

    /// Ends the process. `surviving` queued writes turn out to have been durable.
    pub fn crash(&mut self, surviving: usize) {
        self.group = None;
        self.effects = Effects::default();
        self.disk.borrow_mut().crash(surviving);
    }

    pub fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.incarnation << 32 | self.requests)
    }

    pub fn runs(&self, now_us: u64) -> bool {
        self.group.is_some() && self.paused_until_us <= now_us
    }
}
