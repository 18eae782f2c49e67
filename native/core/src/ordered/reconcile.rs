//! From the membership that was agreed on to a group's Raft configuration: which step its leader takes next.
//!
//! Voters change through a joint configuration only (Ongaro 2014, section 4.3), which every leader leaves explicitly:
//! raft-rs's own leaving is lost with the leader that entered it. Learners come and go by themselves.

use super::conf::Conf;
use crate::event::Malformed;
use crate::ids::MemberId;
use crate::membership::{MemberCommand, MemberRefused, Membership, Role};
use crate::packed::Unpack;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Change {
    Voter = 1,
    Learner = 2,
    Remove = 3,
}

/// What to propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The configuration is as agreed.
    Done,
    /// Something has to happen first: a learner catches up.
    Wait,
    Leave,
    /// `joint`: voters are among them.
    Change { changes: Vec<(MemberId, Change)>, joint: bool },
    /// This member leads and is to go: another must lead first.
    HandOver,
}

/// The next step of the leader `me`. `caught_up`: whether a learner's log is close enough to the end to vote.
pub fn next_step(conf: &Conf, goal: &Membership, me: MemberId, caught_up: impl Fn(MemberId) -> bool) -> Step {
    if conf.is_joint() {
        // Leaving takes this member's vote: another one leads first.
        return if conf.voters.contains(&me) { Step::Leave } else { Step::HandOver };
    }
    let wanted = |role: Role| goal.iter().filter(move |(_, member)| member.role == role).map(|(id, _)| id);
    let learners: Vec<_> = wanted(Role::Learner)
        .chain(wanted(Role::Voter))
        .filter(|id| !conf.contains(*id))
        .map(|id| (id, Change::Learner))
        .chain(wanted(Role::Removed).filter(|id| conf.learners.contains(id)).map(|id| (id, Change::Remove)))
        // The engine takes several at once for a joint change.
        .take(1)
        .collect();
    if !learners.is_empty() {
        return Step::Change { changes: learners, joint: false };
    }
    let promoted: Vec<MemberId> = wanted(Role::Voter).filter(|id| !conf.voters.contains(id)).collect();
    if promoted.iter().any(|id| !caught_up(*id)) {
        // Nobody goes before those who take their places can vote.
        return Step::Wait;
    }
    let removed: Vec<MemberId> = wanted(Role::Removed).filter(|id| conf.voters.contains(id)).collect();
    if promoted.is_empty() && removed.is_empty() {
        return Step::Done;
    }
    if removed.contains(&me) && conf.voters.iter().any(|id| !removed.contains(id)) {
        return Step::HandOver;
    }
    let changes = promoted.into_iter().map(|id| (id, Change::Voter));
    let changes = changes.chain(removed.into_iter().map(|id| (id, Change::Remove))).collect();
    Step::Change { changes, joint: true }
}

/// What a leader knows of another member.
pub trait Known {
    /// Its log is close enough to the end to vote.
    fn caught_up(&self, id: MemberId) -> bool;
    /// It was heard of lately.
    fn answers(&self, id: MemberId) -> bool;
    /// It has stubs that it may not have whole yet (rule R10).
    fn fetches(&self, id: MemberId) -> bool;
}

/// Why a leader does not propose a command: what could not be applied, or what only it knows of.
pub fn declines(conf: &Conf, goal: &Membership, me: MemberId, command: &MemberCommand, known: &impl Known) -> Option<MemberRefused> {
    if goal.is_empty() {
        return Some(MemberRefused::WrongGroup);
    }
    if let Err(refused) = goal.check(command) {
        return Some(refused);
    }
    let pending = next_step(conf, goal, me, |_| true) != Step::Done;
    match command {
        MemberCommand::Move { .. } => None,
        // Whoever is to be promoted may never catch up: it can go again, or nothing could be changed any more.
        MemberCommand::Remove { name } if !conf.is_joint() && !conf.voters.contains(&MemberId::of(name)) => None,
        _ if pending => Some(MemberRefused::ChangePending),
        MemberCommand::Promote { name } | MemberCommand::Replace { new: name, .. } if !known.caught_up(MemberId::of(name)) => Some(MemberRefused::Lagging),
        // Who votes stays as it is.
        MemberCommand::Add { .. } => None,
        _ if !is_majority(&voters_after(conf, command), |id| known.answers(id)) => Some(MemberRefused::NoMajority),
        // What only those have whole who go would go with them. Whoever does not answer gives nothing anyway.
        MemberCommand::Remove { name } | MemberCommand::Replace { old: name, .. } if known.answers(MemberId::of(name)) => {
            let whole = is_majority(&voters_after(conf, command), |id| known.answers(id) && !known.fetches(id));
            (!whole).then_some(MemberRefused::ChangePending)
        }
        _ => None,
    }
}

/// The voters of `conf` once the command is carried out.
fn voters_after(conf: &Conf, command: &MemberCommand) -> BTreeSet<MemberId> {
    let mut voters: BTreeSet<MemberId> = conf.voters.iter().copied().collect();
    let (old, new) = match command {
        MemberCommand::Promote { name } => (None, Some(name)),
        MemberCommand::Replace { old, new } => (Some(old), Some(new)),
        MemberCommand::Remove { name } => (Some(name), None),
        MemberCommand::Add { .. } | MemberCommand::Move { .. } => (None, None),
    };
    voters.extend(new.map(|name| MemberId::of(name)));
    old.map(|name| voters.remove(&MemberId::of(name)));
    voters
}

fn is_majority(voters: &BTreeSet<MemberId>, is: impl Fn(MemberId) -> bool) -> bool {
    voters.iter().filter(|id| is(**id)).count() > voters.len() / 2
}

/// A configuration change as it travels in an entry's context: u8 joint, then u8 kind and u64 member each; nothing
/// stands for leaving a joint configuration. The engine's own encoding beside it is never decoded from a peer's bytes.
pub fn encode(changes: &[(MemberId, Change)], joint: bool) -> Vec<u8> {
    let mut out = vec![u8::from(joint)];
    for (id, change) in changes {
        out.push(*change as u8);
        out.extend_from_slice(&id.0.to_le_bytes());
    }
    out
}

pub fn decode(context: &[u8]) -> Result<ConfChangeV2, Malformed> {
    if context.is_empty() {
        return Ok(ConfChangeV2::default());
    }
    let mut fields = Unpack::new(context);
    let joint = fields.u8()? == 1;
    let mut changes = Vec::new();
    while !fields.is_empty() {
        let at = fields.at();
        let kind = match fields.u8()? {
            1 => Change::Voter,
            2 => Change::Learner,
            3 => Change::Remove,
            _ => return Err(Malformed { at, what: "unknown configuration change" }),
        };
        changes.push((MemberId(fields.u64()?), kind));
    }
    Ok(to_raft(&changes, joint))
}

pub fn to_raft(changes: &[(MemberId, Change)], joint: bool) -> ConfChangeV2 {
    let single = |(id, change): &(MemberId, Change)| {
        let mut single = ConfChangeSingle { node_id: id.0, ..Default::default() };
        single.set_change_type(match change {
            Change::Voter => ConfChangeType::AddNode,
            Change::Learner => ConfChangeType::AddLearnerNode,
            Change::Remove => ConfChangeType::RemoveNode,
        });
        single
    };
    let mut out = ConfChangeV2::default();
    out.set_changes(changes.iter().map(single).collect::<Vec<_>>().into());
    out.set_transition(match joint {
        true => ConfChangeTransition::Explicit,
        false => ConfChangeTransition::Auto,
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Index;

    fn id(name: &str) -> MemberId {
        MemberId::of(name)
    }

    fn table(commands: &[MemberCommand]) -> Membership {
        let names: Vec<_> = ["a", "b", "c"].iter().map(|name| (name.to_string(), String::new())).collect();
        let mut table = Membership::founded(&names);
        for command in commands {
            table.apply(command, Index(9)).unwrap();
        }
        table
    }

    fn conf(voters: &[&str], learners: &[&str]) -> Conf {
        let list = |names: &[&str]| names.iter().map(|name| id(name)).collect();
        Conf { voters: list(voters), learners: list(learners), ..Conf::default() }
    }

    struct Others<'a> {
        caught_up: &'a [&'a str],
        answer: &'a [&'a str],
        fetch: &'a [&'a str],
    }

    impl Known for Others<'_> {
        fn caught_up(&self, other: MemberId) -> bool {
            self.caught_up.iter().any(|name| id(name) == other)
        }

        fn answers(&self, other: MemberId) -> bool {
            self.answer.iter().any(|name| id(name) == other)
        }

        fn fetches(&self, other: MemberId) -> bool {
            self.fetch.iter().any(|name| id(name) == other)
        }
    }

    #[test]
    fn a_replacement_comes_first_and_the_replaced_goes_with_the_promotion() {
        let name = |name: &str| name.to_string();
        let add = MemberCommand::Add { name: name("d"), address: name("") };
        let replace = MemberCommand::Replace { old: name("c"), new: name("d") };
        let goal = table(std::slice::from_ref(&add));
        let learner = Step::Change { changes: vec![(id("d"), Change::Learner)], joint: false };
        assert_eq!(next_step(&conf(&["a", "b", "c"], &[]), &goal, id("a"), |_| false), learner);
        let goal = table(&[add, replace]);
        let with_learner = conf(&["a", "b", "c"], &["d"]);
        assert_eq!(next_step(&with_learner, &goal, id("a"), |_| false), Step::Wait);
        assert_eq!(next_step(&with_learner, &goal, id("c"), |_| true), Step::HandOver);
        let changes = vec![(id("d"), Change::Voter), (id("c"), Change::Remove)];
        assert_eq!(next_step(&with_learner, &goal, id("a"), |_| true), Step::Change { changes: changes.clone(), joint: true });
        let joint = Conf { outgoing: with_learner.voters.clone(), ..conf(&["a", "b", "d"], &[]) };
        assert_eq!(next_step(&joint, &goal, id("a"), |_| true), Step::Leave);
        assert_eq!(next_step(&joint, &goal, id("c"), |_| true), Step::HandOver);
        assert_eq!(next_step(&conf(&["a", "b", "d"], &[]), &goal, id("a"), |_| true), Step::Done);
        assert_eq!(decode(&encode(&changes, true)).unwrap(), to_raft(&changes, true));
    }

    /// It died in the moment of its promotion: every change was refused until it came back.
    #[test]
    fn who_cannot_be_promoted_can_be_removed() {
        let name = |name: &str| name.to_string();
        let (add, remove) = (MemberCommand::Add { name: name("d"), address: name("") }, |who: &str| MemberCommand::Remove { name: name(who) });
        let (promote, replace) = (MemberCommand::Promote { name: name("d") }, MemberCommand::Replace { old: name("c"), new: name("d") });
        let stuck = conf(&["a", "b", "c"], &["d"]);
        let without = Step::Change { changes: vec![(id("d"), Change::Remove)], joint: false };
        for command in [promote, replace] {
            let goal = table(&[add.clone(), command]);
            let declined = |command: &MemberCommand| declines(&stuck, &goal, id("a"), command, &Others { caught_up: &[], answer: &["a", "b", "c"], fetch: &[] });
            assert_eq!(next_step(&stuck, &goal, id("a"), |_| false), Step::Wait);
            assert_eq!(declined(&remove("b")), Some(MemberRefused::ChangePending));
            assert_eq!(declined(&remove("d")), None);
            let mut goal = goal.clone();
            goal.apply(&remove("d"), Index(10)).unwrap();
            assert_eq!(next_step(&stuck, &goal, id("a"), |_| false), without);
        }
        // Of a joint configuration nobody is taken.
        let joint = Conf { outgoing: stuck.voters.clone(), ..conf(&["a", "b", "d"], &[]) };
        let goal = table(&[add, MemberCommand::Replace { old: name("c"), new: name("d") }]);
        assert_eq!(declines(&joint, &goal, id("a"), &remove("d"), &Others { caught_up: &["d"], answer: &["a", "b", "c", "d"], fetch: &[] }), Some(MemberRefused::ChangePending));
    }

    /// With b dead, the removal of c left a and b: nobody led any more, and nothing could be taken back.
    #[test]
    fn nobody_goes_whose_going_leaves_no_majority_that_answers() {
        let name = |name: &str| name.to_string();
        let add = MemberCommand::Add { name: name("d"), address: name("") };
        let remove = |who: &str| MemberCommand::Remove { name: name(who) };
        let replace = |old: &str| MemberCommand::Replace { old: name(old), new: name("d") };
        let (three, goal) = (conf(&["a", "b", "c"], &["d"]), table(&[add]));
        let declined = |answer: &[&str], command: &MemberCommand| declines(&three, &goal, id("a"), command, &Others { caught_up: &["d"], answer, fetch: &[] });
        for going in ["a", "c"] {
            assert_eq!(declined(&["a", "c", "d"], &remove(going)), Some(MemberRefused::NoMajority));
            assert_eq!(declined(&["a", "b", "c"], &remove(going)), None);
            assert_eq!(declined(&["a", "c", "d"], &replace(going)), None, "whoever comes answers");
        }
        let another = MemberCommand::Add { name: name("e"), address: name("") };
        assert_eq!(declined(&["a"], &another), None, "a learner has no vote");
        assert_eq!(declined(&["a", "c"], &remove("b")), None, "the dead one goes");
        assert_eq!(declined(&["a", "c", "d"], &MemberCommand::Promote { name: name("d") }), None);
        assert_eq!(declined(&["a", "c", "d"], &replace("b")), None);
    }

    /// Each of three voters was replaced in turn, and what the new ones had stubs of went with the last old one.
    #[test]
    fn nobody_goes_whom_those_who_stay_still_need() {
        let name = |name: &str| name.to_string();
        let add = MemberCommand::Add { name: name("d"), address: name("") };
        let remove = |who: &str| MemberCommand::Remove { name: name(who) };
        let replace = |old: &str| MemberCommand::Replace { old: name(old), new: name("d") };
        let (three, goal) = (conf(&["a", "b", "c"], &["d"]), table(&[add]));
        let declined = |fetch: &[&str], answer: &[&str], command: &MemberCommand| declines(&three, &goal, id("a"), command, &Others { caught_up: &["d"], answer, fetch });
        let all = ["a", "b", "c", "d"];
        assert_eq!(declined(&["d"], &all, &replace("c")), None, "a and b have it");
        assert_eq!(declined(&["b", "d"], &all, &replace("c")), Some(MemberRefused::ChangePending));
        assert_eq!(declined(&["b"], &all, &remove("c")), Some(MemberRefused::ChangePending));
        assert_eq!(declined(&["b"], &["a", "b", "d"], &remove("c")), None, "it gives nothing any more");
        assert_eq!(declined(&["a", "b", "d"], &all, &MemberCommand::Promote { name: name("d") }), None, "nobody goes");
    }
}
