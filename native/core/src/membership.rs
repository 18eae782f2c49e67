//! Who belongs to the cluster, as its members have agreed: part of group 0's replicated state.
//!
//! What an operator asks for is decided here, alike on every member, when its command is applied. Each group's leader
//! then brings its Raft configuration there, step by step (`ordered::reconcile`). So this table is the goal, and a
//! group's configuration is how far it has come.
//!
//! Ids are never used again: a name that was removed stays in the table (rule R11 counts on it too).

use crate::event::Malformed;
use crate::ids::{Index, MemberId};
use crate::packed::{put_text, Unpack};
use std::collections::BTreeMap;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

pub const VOTERS_MAX: usize = 7;
pub const MEMBERS_MAX: usize = 64;
pub const NAME_BYTES_MAX: usize = 64;
pub const ADDRESS_BYTES_MAX: usize = 320;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Voter = 1,
    Learner = 2,
    Removed = 3,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its node id.
    pub name: String,
    /// `host:port` of its peer listener; empty where only each node's own configuration knows it.
    pub address: String,
    pub role: Role,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberCommand {
    /// A new member, as a learner.
    Add { name: String, address: String },
    /// A learner becomes a voter.
    Promote { name: String },
    Remove { name: String },
    /// A learner takes a voter's place in one step.
    Replace { old: String, new: String },
    /// A member is reached elsewhere from now on.
    Move { name: String, address: String },
}

/// Why a command changed nothing. The numbers travel (docs/formats.md, "Member commands").
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[repr(u8)]
pub enum MemberRefused {
    #[error("a member with this id exists")]
    Exists = 1,
    #[error("the id was used before; ids are never used again")]
    IdUsed = 2,
    #[error("no member has this id")]
    Unknown = 3,
    #[error("the member is a voter already")]
    VoterAlready = 4,
    #[error("the last voter cannot be removed")]
    LastVoter = 5,
    #[error("there may be at most 7 voters")]
    VotersMax = 6,
    #[error("there may be at most 64 members")]
    MembersMax = 7,
    #[error("the change before this one is not finished")]
    ChangePending = 8,
    #[error("the learner has not caught up with the log")]
    Lagging = 9,
    #[error("the id has the same hash as another member's; choose another")]
    Collision = 10,
    #[error("members are changed through group 0")]
    WrongGroup = 11,
    #[error("the member is not a learner")]
    NotLearner = 12,
    #[error("of the voters that would be left no majority answers")]
    NoMajority = 13,
}

impl MemberRefused {
    pub fn of(number: u8) -> Option<Self> {
        use MemberRefused::*;
        let all = [
            Exists, IdUsed, Unknown, VoterAlready, LastVoter, VotersMax, MembersMax, ChangePending, Lagging, Collision,
            WrongGroup, NotLearner, NoMajority,
        ];
        all.into_iter().find(|one| *one as u8 == number)
    }
}

const OP_ADD: u8 = 1;
const OP_PROMOTE: u8 = 2;
const OP_REMOVE: u8 = 3;
const OP_REPLACE: u8 = 4;
const OP_MOVE: u8 = 5;

impl MemberCommand {
    pub fn encode(&self) -> Vec<u8> {
        let (op, name, second) = match self {
            Self::Add { name, address } => (OP_ADD, name, address.as_str()),
            Self::Promote { name } => (OP_PROMOTE, name, ""),
            Self::Remove { name } => (OP_REMOVE, name, ""),
            Self::Replace { old, new } => (OP_REPLACE, old, new.as_str()),
            Self::Move { name, address } => (OP_MOVE, name, address.as_str()),
        };
        let mut out = vec![op, 0];
        put_text(&mut out, name);
        put_text(&mut out, second);
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(bytes);
        let op = fields.u8()?;
        fields.u8()?;
        let (name, second) = (fields.text()?.to_string(), fields.text()?.to_string());
        fields.end()?;
        let second_max = if op == OP_REPLACE { NAME_BYTES_MAX } else { ADDRESS_BYTES_MAX };
        if name.is_empty() || name.len() > NAME_BYTES_MAX || second.len() > second_max {
            return Err(Malformed { at: 2, what: "a member's id or address is empty or too long" });
        }
        Ok(match op {
            OP_ADD => Self::Add { name, address: second },
            OP_PROMOTE => Self::Promote { name },
            OP_REMOVE => Self::Remove { name },
            OP_REPLACE if !second.is_empty() => Self::Replace { old: name, new: second },
            OP_MOVE => Self::Move { name, address: second },
            _ => return Err(Malformed { at: 0, what: "unknown member command" }),
        })
    }
}

/// The table. Invariant: at least one voter once it is founded; every key is `MemberId::of` its record's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    members: BTreeMap<MemberId, Member>,
    /// Index of the command that changed it last; 1 is the founding.
    pub version: Index,
    /// Tells clusters apart that began with other members: one log comes to other tables there.
    founding: u64,
}

impl Membership {
    /// The members a cluster begins with, all voters.
    pub fn founded(names: &[(String, String)]) -> Self {
        let member = |(name, address): &(String, String)| {
            let (name, address) = (name.clone(), address.clone());
            (MemberId::of(&name), Member { name, address, role: Role::Voter })
        };
        Self { members: names.iter().map(member).collect(), version: Index(1), founding: 0 }.into_founding()
    }

    /// Addresses may be other ones in each member's settings.
    fn into_founding(mut self) -> Self {
        let members = self.members.iter().flat_map(|(id, member)| [id.0, member.role as u64]);
        let numbers: Vec<u8> = [self.version.0].into_iter().chain(members).flat_map(u64::to_le_bytes).collect();
        self.founding = xxh3_64(&numbers);
        self
    }

    /// The table of a cluster that begins again with other members: all earlier ones are gone for good.
    pub fn founded_again(mut self, names: &[String], index: Index) -> Self {
        self.members.values_mut().for_each(|member| member.role = Role::Removed);
        for name in names {
            let member = Member { name: name.clone(), address: String::new(), role: Role::Voter };
            self.members.insert(MemberId::of(name), member);
        }
        self.version = index;
        self.into_founding()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Everyone there ever was, removed ones included.
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    pub fn role(&self, id: MemberId) -> Option<Role> {
        self.members.get(&id).map(|member| member.role)
    }

    pub fn count(&self, role: Role) -> usize {
        self.members.values().filter(|member| member.role == role).count()
    }

    /// A hash of the table that the cluster began with, 0 where there is none.
    pub fn founding(&self) -> u64 {
        self.founding
    }

    fn known(&self, name: &str) -> Result<MemberId, MemberRefused> {
        let id = MemberId::of(name);
        match self.members.get(&id) {
            Some(member) if member.name == name && member.role != Role::Removed => Ok(id),
            _ => Err(MemberRefused::Unknown),
        }
    }

    /// Whether the command could be applied now; nothing is changed.
    pub fn check(&self, command: &MemberCommand) -> Result<(), MemberRefused> {
        let role = |id| self.role(id);
        match command {
            MemberCommand::Add { name, .. } => match self.members.get(&MemberId::of(name)) {
                Some(member) if member.name != *name => Err(MemberRefused::Collision),
                Some(member) if member.role == Role::Removed => Err(MemberRefused::IdUsed),
                Some(_) => Err(MemberRefused::Exists),
                None if self.count(Role::Voter) + self.count(Role::Learner) >= MEMBERS_MAX => {
                    Err(MemberRefused::MembersMax)
                }
                None => Ok(()),
            },
            MemberCommand::Promote { name } => match role(self.known(name)?) {
                Some(Role::Voter) => Err(MemberRefused::VoterAlready),
                _ if self.count(Role::Voter) >= VOTERS_MAX => Err(MemberRefused::VotersMax),
                _ => Ok(()),
            },
            MemberCommand::Remove { name } => match role(self.known(name)?) {
                Some(Role::Voter) if self.count(Role::Voter) == 1 => Err(MemberRefused::LastVoter),
                _ => Ok(()),
            },
            MemberCommand::Replace { old, new } => {
                let (old, new) = (self.known(old)?, self.known(new)?);
                match (role(old), role(new)) {
                    (_, Some(Role::Voter)) => Err(MemberRefused::VoterAlready),
                    (Some(Role::Learner), _) => Err(MemberRefused::NotLearner),
                    _ => Ok(()),
                }
            }
            MemberCommand::Move { name, .. } => self.known(name).map(|_| ()),
        }
    }

    pub fn apply(&mut self, command: &MemberCommand, index: Index) -> Result<(), MemberRefused> {
        self.check(command)?;
        let mut set = |name: &str, change: &dyn Fn(&mut Member)| {
            if let Some(member) = self.members.get_mut(&MemberId::of(name)) {
                change(member);
            }
        };
        match command {
            MemberCommand::Add { name, address } => {
                let (name, address) = (name.clone(), address.clone());
                self.members.insert(MemberId::of(&name), Member { name, address, role: Role::Learner });
            }
            MemberCommand::Promote { name } => set(name, &|member| member.role = Role::Voter),
            MemberCommand::Remove { name } => set(name, &|member| member.role = Role::Removed),
            MemberCommand::Replace { old, new } => {
                set(old, &|member| member.role = Role::Removed);
                set(new, &|member| member.role = Role::Voter);
            }
            MemberCommand::Move { name, address } => set(name, &|member| member.address.clone_from(address)),
        }
        self.version = index;
        Ok(())
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.0.to_le_bytes());
        out.extend_from_slice(&(self.members.len() as u32).to_le_bytes());
        for member in self.members.values() {
            out.push(member.role as u8);
            put_text(out, &member.name);
            put_text(out, &member.address);
        }
        out.extend_from_slice(&self.founding.to_le_bytes());
    }

    pub fn decode(fields: &mut Unpack<'_>) -> Result<Self, Malformed> {
        let version = Index(fields.u64()?);
        let count = fields.u32()?;
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let at = fields.at();
            let role = match fields.u8()? {
                1 => Role::Voter,
                2 => Role::Learner,
                3 => Role::Removed,
                _ => return Err(Malformed { at, what: "unknown member role" }),
            };
            let (name, address) = (fields.text()?.to_string(), fields.text()?.to_string());
            members.insert(MemberId::of(&name), Member { name, address, role });
        }
        // Snapshots did not always say it.
        let founding = if fields.is_empty() { 0 } else { fields.u64()? };
        Ok(Self { members, version, founding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, MachineLimits};

    fn named(names: &[&str]) -> Vec<(String, String)> {
        names.iter().map(|name| (name.to_string(), format!("{name}:1"))).collect()
    }

    fn add(name: &str) -> MemberCommand {
        MemberCommand::Add { name: name.to_string(), address: String::new() }
    }

    fn promote(name: &str) -> MemberCommand {
        MemberCommand::Promote { name: name.to_string() }
    }

    fn remove(name: &str) -> MemberCommand {
        MemberCommand::Remove { name: name.to_string() }
    }

    #[test]
    fn what_would_break_the_cluster_is_refused_and_changes_nothing() {
        let mut table = Membership::founded(&named(&["a"]));
        let cases = [
            (remove("a"), MemberRefused::LastVoter),
            (remove("x"), MemberRefused::Unknown),
            (promote("x"), MemberRefused::Unknown),
            (promote("a"), MemberRefused::VoterAlready),
            (add("a"), MemberRefused::Exists),
        ];
        for (command, refusal) in cases {
            let before = table.clone();
            assert_eq!(table.apply(&command, Index(9)), Err(refusal));
            assert_eq!(table, before);
        }
        table.apply(&add("b"), Index(10)).unwrap();
        table.apply(&remove("b"), Index(11)).unwrap();
        assert_eq!(table.apply(&add("b"), Index(12)), Err(MemberRefused::IdUsed));
        assert_eq!(table.version, Index(11));
    }

    #[test]
    fn seven_voters_and_sixty_four_members_are_the_most() {
        let mut table = Membership::founded(&named(&["0", "1", "2", "3", "4", "5", "6"]));
        for at in 7..64 {
            table.apply(&add(&at.to_string()), Index(at)).unwrap();
        }
        assert_eq!(table.apply(&add("64"), Index(64)), Err(MemberRefused::MembersMax));
        assert_eq!(table.apply(&promote("7"), Index(64)), Err(MemberRefused::VotersMax));
        let replace = MemberCommand::Replace { old: "0".to_string(), new: "7".to_string() };
        table.apply(&replace, Index(65)).unwrap();
        assert_eq!((table.count(Role::Voter), table.count(Role::Removed)), (7, 1));
    }

    #[test]
    fn table_and_commands_survive_their_encoding() {
        let mut table = Membership::founded(&named(&["a", "b", "c"]));
        table.apply(&add("d"), Index(3)).unwrap();
        let mut bytes = Vec::new();
        table.encode(&mut bytes);
        assert_eq!(Membership::decode(&mut Unpack::new(&bytes)).unwrap(), table);
        for length in (0..bytes.len()).filter(|length| *length != bytes.len() - 8) {
            assert!(Membership::decode(&mut Unpack::new(&bytes[..length])).is_err());
        }
        let replace = MemberCommand::Replace { old: "a".to_string(), new: "d".to_string() };
        for command in [add("x"), promote("x"), remove("x"), replace] {
            assert_eq!(MemberCommand::decode(&command.encode()).unwrap(), command);
        }
    }

    /// One log comes to other tables in clusters that began with other members: the running hash alone is the same.
    #[test]
    fn clusters_that_began_otherwise_are_told_apart() {
        let founding = |names: &[&str]| Membership::founded(&named(names)).founding();
        assert_ne!(founding(&["a"]), founding(&["b", "c", "d"]));
        assert_ne!(founding(&["a", "b"]), founding(&["a", "b", "c"]));
        assert_eq!(founding(&["a", "b"]), founding(&["b", "a"]));
        // Each member's settings may have other addresses.
        assert_eq!(Membership::founded(&[("a".to_string(), "x:1".to_string())]).founding(), founding(&["a"]));
        let mut changed = Membership::founded(&named(&["a"]));
        changed.apply(&add("b"), Index(2)).unwrap();
        assert_eq!(changed.founding(), founding(&["a"]));
        assert_ne!(changed.clone().founded_again(&["a".to_string()], Index(3)).founding(), founding(&["a"]));
        let machine = |names: &[&str]| Machine::founded(MachineLimits::default(), 0, Membership::founded(&named(names)), Index(1));
        assert_ne!(machine(&["a"]).agreed_hash(), machine(&["b", "c"]).agreed_hash());
    }
}
