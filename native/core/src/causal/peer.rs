//! What is known of another member of the causal lane, and what it was told.

use super::actor::{Clock, OriginId};
use super::message::Form;

/// The way to a member and back, behind what is queued for either. In ticks of the lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    pub distance: u64,
    /// When the last question was asked that has an answer.
    pub answered: Option<u64>,
    /// The member answers nothing at all.
    pub is_stuck: bool,
}

impl Line {
    /// Whether what was asked at a time has had its answer, or will have none: answers come in the order of their questions.
    /// An answer that is on its way over a slow line would come twice, and take it up for as long again.
    pub fn has_answered(&self, asked: u64) -> bool {
        self.is_stuck || self.answered.is_none_or(|at| at > asked)
    }
}

#[derive(Default)]
pub struct Peer {
    /// Frames to it arrive, as far as is known.
    pub up: bool,
    /// It has said all that it has, in this life of both.
    pub has_told: bool,
    /// What it has said that it has on disk, whole.
    pub holds: Clock,
    /// What it has said that it knows beyond that: of some of it, the stubs are on its disk.
    pub knows: Clock,
    /// Where its logs begin, as far as it has had to say: what is in front it can give nobody.
    pub begins: Clock,
    /// What it was told of this member's disk; `None`: everything is to be told, since it may know nothing.
    pub told: Option<Clock>,
    /// The same of what is known here, where that is more.
    pub told_known: Clock,
    /// Tick at which it was told of that last, as all are told now and then.
    pub told_at: Option<u64>,
    /// The last own entry that was sent to it, with everything before; `None`: it asks for what it lacks.
    pub sent: Option<u64>,
    /// The life of its process of which entries are taken: of a later one that has asked what is known of it, all that is
    /// still on its way from an earlier one is to come to nothing.
    pub life: Option<u64>,
    /// What it waits for this member to have on disk.
    pub waits_for: Clock,
    /// Tick at which it was last asked what it knows of this member.
    pub asked_at: Option<u64>,
}

impl Peer {
    /// Up to where it has an origin's entries, whole or as stubs.
    pub fn knows(&self, id: OriginId) -> u64 {
        self.holds.get(id).max(self.knows.get(id))
    }

    /// Whether it has an entry, in the form that is needed, and has not said that it is gone.
    pub fn can_give(&self, id: OriginId, counter: u64, form: Form) -> bool {
        let has = if form == Form::Whole { self.holds.get(id) } else { self.knows(id) };
        has >= counter && self.begins.get(id) <= counter
    }
}
