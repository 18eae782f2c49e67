//! What happened, kept for a trace to read and a diagram to draw; nothing is kept unless somebody asked for it.

use crate::faults::kinds::FaultKind;
use vexfs_core::ids::{RequestId, Term};
use vexfs_core::ordered::status::Role;

#[derive(Clone, Debug)]
pub enum Happening {
    Start { node: usize },
    /// The directory could not be opened.
    Refused { node: usize, reason: String },
    /// The node ended itself.
    Failed { node: usize, reason: String },
    Resume { node: usize },
    Role { node: usize, role: Role, term: Term },
    Fault { number: u32, kind: FaultKind, node: usize, other: usize, length_us: u64 },
    Damage { node: usize, what: String },
    /// `arrives_us` is `None` where there is no connection.
    Frame { from: usize, to: usize, channel: u8, kind: &'static str, text: String, arrives_us: Option<u64> },
    Write { node: usize, text: String },
    Asked { node: usize, request: RequestId, what: String },
    Ended { node: usize, request: RequestId, what: String },
    Calm,
    Violation { what: String },
}

#[derive(Default)]
pub struct Recorder {
    on: bool,
    roles: Vec<Option<(Role, Term)>>,
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
            self.roles.resize(self.roles.len().max(node + 1), None);
            self.roles[node] = None;
        }
        self.happenings.push((at_us, what));
    }

    /// Notes a member's role and term where they have changed.
    pub fn role(&mut self, at_us: u64, node: usize, role: Role, term: Term) {
        self.roles.resize(self.roles.len().max(node + 1), None);
        if self.roles[node].replace((role, term)) != Some((role, term)) {
            self.happenings.push((at_us, Happening::Role { node, role, term }));
        }
    }
}
