//! What happened, kept for a trace to read and a diagram to draw; nothing is kept unless somebody asked for it.

use crate::faults::kinds::FaultKind;
use std::collections::BTreeMap;
use vexfs_core::ids::{GroupId, Index, RequestId, Term};
use vexfs_core::ordered::status::{GroupStatus, Role};

#[derive(Clone, Debug)]
pub enum Happening {
    Start { node: usize },
    /// The process has ended, whatever ended it.
    Down { node: usize },
    /// The directory could not be opened.
    Refused { node: usize, reason: String },
    /// The node ended itself.
    Failed { node: usize, reason: String },
    Resume { node: usize },
    Role { node: usize, group: GroupId, role: Role, term: Term },
    Fault { number: u32, kind: FaultKind, node: usize, other: usize, length_us: u64 },
    Damage { node: usize, what: String },
    /// `arrives_us` is `None` where there is no connection.
    Frame { from: usize, to: usize, channel: u8, kind: &'static str, text: String, arrives_us: Option<u64> },
    /// Frames that the receiver took, oldest first.
    Arrived { from: usize, to: usize, channel: u8, frames: usize, text: String },
    /// What was on its way in this direction is lost.
    Reset { from: usize, to: usize },
    Write { node: usize, group: GroupId, text: String },
    /// A member's newest snapshot; `installed`: it came from another.
    Snapshot { node: usize, group: GroupId, index: u64, installed: bool },
    /// The configuration that a member goes by.
    Members { node: usize, group: GroupId, text: String },
    Asked { node: usize, group: GroupId, request: RequestId, what: String },
    Ended { node: usize, group: GroupId, request: RequestId, what: String },
    Calm,
    Violation { what: String },
}

/// What of a member's group was noted last, to note changes alone.
#[derive(Clone, Default)]
struct Noted {
    role: Option<(Role, Term)>,
    snapshot: Option<(Index, u64)>,
    members: String,
}

#[derive(Default)]
pub struct Recorder {
    on: bool,
    noted: BTreeMap<(usize, GroupId), Noted>,
    pub happenings: Vec<(u64, Happening)>,
}

impl Recorder {
    pub fn on() -> Self {
        Self { on: true, ..Self::default() }
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    pub fn add(&mut self, at_us: u64, what: Happening) {
        if let Happening::Start { node } = what {
            self.noted.retain(|(of, _), _| *of != node);
        }
        self.happenings.push((at_us, what));
    }

    /// Notes what has changed of a member's role in a group, term, snapshot and configuration, which is `members` in words.
    pub fn status(&mut self, at_us: u64, node: usize, status: &GroupStatus, members: String) {
        let group = status.group;
        let noted = self.noted.entry((node, group)).or_default();
        let mut changes = Vec::new();
        let role = (status.role, status.term);
        if noted.role.replace(role) != Some(role) {
            changes.push(Happening::Role { node, group, role: role.0, term: role.1 });
        }
        let snapshot = (status.snapshot, status.snapshots_installed);
        if let Some(before) = noted.snapshot.replace(snapshot).filter(|before| before.0 < snapshot.0) {
            changes.push(Happening::Snapshot { node, group, index: snapshot.0 .0, installed: before.1 < snapshot.1 });
        }
        if noted.members != members {
            noted.members.clone_from(&members);
            changes.push(Happening::Members { node, group, text: members });
        }
        self.happenings.extend(changes.into_iter().map(|change| (at_us, change)));
    }
}
