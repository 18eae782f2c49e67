//! What commands do to the state: named consumers, members, and the rules of replication.

use super::consumer::Position;
use super::{Machine, Outcome};
use crate::event::{Submission, SubmissionKind};
use crate::ids::Index;
use crate::membership::{MemberCommand, MemberRefused};
use crate::replication::{Agreed, Rules, RulesRefused};

impl Machine {
    pub(super) fn apply_consumer(&mut self, submission: &Submission) -> Outcome {
        let command = submission.consumer();
        let position = Position { index: Index(command.index), offset: command.offset };
        let result = match submission.kind() {
            SubmissionKind::ConsumerAttach => match self.consumers.attach(command.name, command.epoch, position) {
                Some(consumer) => Ok(consumer),
                None => return Outcome::ConsumersFull,
            },
            SubmissionKind::ConsumerClaim => self.consumers.claim(&command.name, command.epoch, position),
            _ => self.consumers.acknowledge(&command.name, command.epoch, position),
        };
        match result {
            Ok(consumer) => Outcome::Consumer(consumer),
            Err(fenced) => Outcome::ConsumerFenced { epoch: fenced.epoch },
        }
    }

    pub(super) fn apply_members(&mut self, index: Index, command: &MemberCommand) -> Outcome {
        match self.membership.is_empty() {
            // Only group 0 was founded with a table.
            true => Outcome::MembersRefused(MemberRefused::WrongGroup),
            false => match self.membership.apply(command, index) {
                Ok(()) => Outcome::MembersChanged,
                Err(refused) => Outcome::MembersRefused(refused),
            },
        }
    }

    /// In effect from this entry on.
    pub(super) fn apply_rules(&mut self, index: Index, rules: Rules) -> Outcome {
        if self.membership.is_empty() {
            return Outcome::RulesRefused(RulesRefused::WrongGroup);
        }
        self.replication = Agreed { version: index, rules };
        Outcome::RulesSet
    }
}
