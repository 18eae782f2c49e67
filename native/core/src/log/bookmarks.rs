//! Where reads have ended. The next read of what follows goes on there, rather than walk the records from the last one that
//! a sparse index names: readers that keep up read each entry once.

use crate::ids::GroupId;

/// Readers of all groups that are kept up with; whoever read last stays longest.
const KEPT: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Bookmark {
    segment: u64,
    group: GroupId,
    /// An entry that was read, and where its record is.
    record: (u64, u64),
}

/// Invariant: each record was its entry's in that segment when `cuts` truncations had been written. A segment never holds
/// two records of one entry that no truncation parts, so it is for as long as there are no more of them.
#[derive(Debug, Default)]
pub(super) struct Bookmarks {
    marks: Vec<Bookmark>,
    cuts: u64,
}

impl Bookmarks {
    /// The last record at or before `index` that was read, later than `known`, or `known`.
    pub fn nearest(&mut self, cuts: u64, segment: u64, group: GroupId, index: u64, known: (u64, u64)) -> (u64, u64) {
        if self.cuts != cuts {
            return known;
        }
        let here = self.marks.iter().filter(|mark| (mark.segment, mark.group) == (segment, group));
        here.map(|mark| mark.record).filter(|(at, _)| *at <= index && *at > known.0).max().unwrap_or(known)
    }

    /// Reading went from one record to another. `cuts` as it was before.
    pub fn moved(&mut self, cuts: u64, segment: u64, group: GroupId, from: (u64, u64), record: (u64, u64)) {
        if self.cuts > cuts {
            return;
        }
        if self.cuts < cuts {
            self.marks.clear();
            self.cuts = cuts;
        }
        let same = |mark: &Bookmark| mark.segment == segment && mark.group == group && (mark.record == from || mark.record == record);
        if let Some(at) = self.marks.iter().position(same) {
            self.marks.remove(at);
        } else if self.marks.len() == KEPT {
            self.marks.remove(0);
        }
        self.marks.push(Bookmark { segment, group, record });
    }
}
