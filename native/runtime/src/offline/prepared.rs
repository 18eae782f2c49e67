//! What can be found out about a record by itself, before it is its turn.

use vexfs_core::entry;
use vexfs_core::event::{EventRef, Malformed, Submission, SubmissionKind};
use vexfs_core::ids::GroupId;
use vexfs_core::log::{LogEntry, ScannedRecord};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// An appended entry, read down to its events.
pub struct PreparedEntry {
    pub entry: LogEntry,
    /// None where the entry is not of the machine.
    pub submissions: Result<Vec<Submission>, Malformed>,
    /// Of the events in order.
    pub fingerprints: Vec<u64>,
    /// Of the entry's bytes, kind and term.
    pub digest: u64,
}

impl PreparedEntry {
    pub fn new(entry: LogEntry) -> Self {
        let submissions = if entry.kind == 0 { entry::unpack(&entry.data) } else { Ok(Vec::new()) };
        let unpacked = submissions.as_deref().unwrap_or_default();
        let fingerprints = events(unpacked).map(|event| event.fingerprint()).collect();
        let digest = xxh3_64_with_seed(&entry.data, entry.term.0 ^ u64::from(entry.kind).rotate_right(8));
        Self { entry, submissions, fingerprints, digest }
    }
}

pub enum Prepared {
    Entry(GroupId, PreparedEntry),
    Other(ScannedRecord),
}

impl Prepared {
    pub fn new(record: ScannedRecord) -> Self {
        let (group, entry) = match record {
            ScannedRecord::Entry { group, entry } => (group, entry),
            other => return Self::Other(other),
        };
        Self::Entry(group, PreparedEntry::new(entry))
    }

    pub fn group(&self) -> GroupId {
        match self {
            Self::Entry(group, _) => *group,
            Self::Other(record) => match record {
                ScannedRecord::Entry { group, .. }
                | ScannedRecord::Truncate { group, .. }
                | ScannedRecord::HardState { group, .. }
                | ScannedRecord::Repair { group, .. }
                | ScannedRecord::Relocate { group, .. }
                | ScannedRecord::Mark { group, .. }
                | ScannedRecord::Carry { group, .. } => *group,
            },
        }
    }

    /// What it keeps in memory, roughly.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Entry(_, prepared) => {
                    let entry = &prepared.entry;
                    entry.data.len() + entry.context.len() + size_of_val(prepared.fingerprints.as_slice())
                }
                Self::Other(ScannedRecord::Repair { entry, .. } | ScannedRecord::Relocate { entry, .. }) => {
                    entry.data.len() + entry.context.len()
                }
                Self::Other(_) => 0,
            }
    }
}

/// The events of an entry's submissions: one's position is its offset.
pub fn events(submissions: &[Submission]) -> impl Iterator<Item = EventRef<'_>> {
    submissions.iter().filter(|one| one.kind() == SubmissionKind::Events).flat_map(Submission::events)
}
