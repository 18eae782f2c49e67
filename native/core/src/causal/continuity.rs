//! Whether an origin's log goes on after an open (rule R7).
//!
//! Nothing in a directory can say that it is not an older copy of itself. So an actor goes on only when every member of
//! the cluster has said, to this very process, that it has no more of it than the log here; from then on none of them
//! takes anything that an earlier process has sent. Where somebody does not answer in time, or knows more, the member
//! writes as another actor (docs/decisions/0022).

use super::actor::Actor;
use crate::ids::{Index, MemberId};
use crate::membership::{Membership, Role};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wait,
    GoOn,
    BeginAnew,
}

#[derive(Default)]
pub struct Continuity {
    /// What others have of this member's actors: version of their table of members, then actor and counter.
    answers: BTreeMap<MemberId, (Index, Vec<(Actor, u64)>)>,
}

impl Continuity {
    pub fn note(&mut self, from: MemberId, table: Index, list: Vec<(Actor, u64)>) {
        self.answers.insert(from, (table, list));
    }

    pub fn has(&self, member: MemberId) -> bool {
        self.answers.contains_key(&member)
    }

    /// Judges whether an actor may go on after `last`. `own`: what the log here has of this member's other actors.
    pub fn judge(&self, me: MemberId, table: &Membership, actor: Actor, last: u64, own: &dyn Fn(Actor) -> u64) -> Verdict {
        let knows_more = |(known, counter): &(Actor, u64)| match *known == actor {
            true => *counter > last,
            false => *counter > own(*known),
        };
        if self.answers.values().any(|(_, list)| list.iter().any(knows_more)) {
            return Verdict::BeginAnew;
        }
        let others = table.iter().filter(|(id, member)| *id != me && member.role != Role::Removed);
        // Who has a newer table may know of a member that is not in this one.
        let answered = |id| self.answers.get(&id).is_some_and(|(version, _)| *version <= table.version);
        match !table.is_empty() && others.into_iter().all(|(id, _)| answered(id)) {
            true => Verdict::GoOn,
            false => Verdict::Wait,
        }
    }
}
