//! Group commit: what all groups owe the log, gathered into one batch for one write and one sync.

use crate::ids::{GroupId, Index};
use crate::log::Op;
use crate::ordered::effects::{Purpose, Write};
use std::collections::{BTreeMap, BTreeSet};

/// Writes that go to disk together. Their order is kept.
#[derive(Default)]
pub struct Batch {
    pub ops: Vec<Op>,
    /// About what the batch takes on disk.
    pub bytes: usize,
    /// Before it is written the log is to be marked as unsettled (`Log::set_unsettled`).
    pub forgets: bool,
    /// After it that mark is to go (`Log::clear_unsettled`), and `finished.settled` to say whether it has.
    pub settles: bool,
    finished: Finished,
}

/// What a batch on disk means to the groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Highest number written of each group.
    pub persisted: BTreeMap<GroupId, u64>,
    /// Snapshots that are named by a mark now.
    pub marks: BTreeMap<GroupId, Index>,
    /// Groups whose damage was repaired by it.
    pub repaired: BTreeSet<GroupId>,
    /// The log is no longer marked as unsettled.
    pub settled: bool,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub fn add(&mut self, write: Write) {
        self.bytes += size(&write.ops);
        if write.number > 0 {
            self.finished.persisted.insert(write.group, write.number);
        }
        self.forgets |= write.purpose.unsettles();
        self.settles = !self.forgets && (self.settles || write.purpose == Purpose::Settled);
        if write.purpose.repairs() {
            self.finished.repaired.insert(write.group);
        }
        for op in &write.ops {
            if let Op::Mark { group, mark } = op {
                self.finished.marks.insert(*group, mark.index);
            }
        }
        self.ops.extend(write.ops);
    }

    /// The batch is on disk: it is empty again.
    pub fn finish(&mut self) -> Finished {
        let finished = std::mem::take(&mut self.finished);
        *self = Self::default();
        finished
    }
}

/// About what the operations take on disk.
pub fn size(ops: &[Op]) -> usize {
    let entries = |op: &Op| match op {
        Op::Entries { entries, .. } | Op::Repair { entries, .. } => entries.iter().map(|entry| entry.data.len() + 64).sum(),
        _ => 64,
    };
    ops.iter().map(entries).sum()
}
