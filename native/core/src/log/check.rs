//! What a batch must be before a byte of it is written: everything recovery takes for granted.

use super::record::{entry_bytes, ENTRY_BYTES_MAX};
use super::state::State;
use super::types::{LogEntry, Op, SnapshotMark};
use super::LogError;
use crate::ids::{GroupId, Index};

/// A group as it will be after the operations checked so far.
struct Planned {
    group: GroupId,
    first: u64,
    last: u64,
    mark: Option<SnapshotMark>,
}

/// Checks each operation against what the log will hold when its turn comes.
pub(super) fn check<F>(state: &State<F>, ops: &[Op]) -> Result<(), LogError> {
    let mut planned: Vec<Planned> = Vec::new();
    for (position, op) in ops.iter().enumerate() {
        let group = op.group();
        let at = planned.iter().position(|other| other.group == group).unwrap_or_else(|| {
            let (first, last) = state.bounds(group);
            let mark = state.groups.get(&group).and_then(|group| group.mark());
            planned.push(Planned { group, first, last, mark });
            planned.len() - 1
        });
        let plan = &mut planned[at];
        match op {
            Op::Truncate { from, .. } => plan.truncate(*from)?,
            Op::HardState { .. } => {}
            Op::Mark { mark, .. } => plan.mark(*mark)?,
            Op::Entries { entries, .. } => plan.append(entries)?,
            Op::Repair { entries, .. } | Op::Relocate { entries, .. } => {
                plan.place(entries)?;
                written_once(&ops[..position], group, entries)?;
            }
        }
    }
    Ok(())
}

impl Planned {
    fn truncate(&mut self, from: Index) -> Result<(), LogError> {
        let group = self.group;
        if from.0 == 0 {
            return Err(LogError::NotContiguous { group, expected: Index(1), found: from });
        }
        // What a snapshot is of was committed.
        let kept = Index(self.first.max(self.mark.unwrap_or_default().index.0 + 1));
        if from < kept {
            return Err(LogError::Compacted { group, index: from, first: kept });
        }
        self.last = self.last.min(from.0 - 1);
        Ok(())
    }

    fn mark(&mut self, mark: SnapshotMark) -> Result<(), LogError> {
        let known = self.mark.unwrap_or_default();
        let leaves_gap = mark.first.0 > mark.index.0.saturating_add(1);
        if mark.index < known.index || mark.first.0 < self.first || leaves_gap {
            let (index, first) = (known.index, Index(self.first));
            return Err(LogError::MarkRefused { group: self.group, index, first });
        }
        (self.first, self.mark) = (mark.first.0, Some(mark));
        self.last = self.last.max(mark.first.0 - 1).max(mark.index.0);
        Ok(())
    }

    fn append(&mut self, entries: &[LogEntry]) -> Result<(), LogError> {
        for entry in entries {
            self.last = self.follows(entry, self.last + 1)?;
        }
        Ok(())
    }

    fn place(&self, entries: &[LogEntry]) -> Result<(), LogError> {
        let (Some(low), Some(high)) = (entries.first(), entries.last()) else { return Ok(()) };
        let (first, last) = (Index(self.first), Index(self.last));
        if low.index < first || high.index > last {
            let (low, high) = (low.index, Index(high.index.0.saturating_add(1)));
            return Err(LogError::OutOfRange { group: self.group, low, high, first, last });
        }
        entries.iter().zip(low.index.0..).try_for_each(|(entry, expected)| self.follows(entry, expected).map(drop))
    }

    fn follows(&self, entry: &LogEntry, expected: u64) -> Result<u64, LogError> {
        if entry.index.0 != expected {
            let (expected, found) = (Index(expected), entry.index);
            return Err(LogError::NotContiguous { group: self.group, expected, found });
        }
        let (bytes, limit) = (entry_bytes(entry), ENTRY_BYTES_MAX as u64);
        if bytes > limit {
            return Err(LogError::TooLarge { what: "an entry", bytes, limit });
        }
        Ok(expected)
    }
}

/// One segment must not hold two live records of one entry, so neither must a batch.
fn written_once(before: &[Op], group: GroupId, entries: &[LogEntry]) -> Result<(), LogError> {
    let (Some(low), Some(high)) = (entries.first(), entries.last()) else { return Ok(()) };
    for op in before.iter().filter(|op| op.group() == group) {
        let (Op::Entries { entries, .. } | Op::Repair { entries, .. } | Op::Relocate { entries, .. }) = op else {
            continue;
        };
        let twice = entries.iter().find(|entry| (low.index..=high.index).contains(&entry.index));
        if let Some(entry) = twice {
            return Err(LogError::WrittenTwice { group, index: entry.index });
        }
    }
    Ok(())
}
