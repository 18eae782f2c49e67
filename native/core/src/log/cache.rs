//! The few sealed segments that were read last: their files and sparse indexes. Bounds a reader's memory and open
//! files, however long the log is.

use super::index::SegmentIndex;
use std::sync::Arc;

const SEGMENTS_KEPT: usize = 32;

pub(super) struct CachedSegment<F> {
    pub file: F,
    pub index: Arc<SegmentIndex>,
}

/// Least recently used goes first. A linear search of so few is quicker than any list of lists.
pub(super) struct SegmentCache<F> {
    entries: Vec<(u64, Arc<CachedSegment<F>>)>,
}

impl<F> SegmentCache<F> {
    pub fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub fn get(&mut self, sequence: u64) -> Option<Arc<CachedSegment<F>>> {
        let at = self.entries.iter().position(|(other, _)| *other == sequence)?;
        let entry = self.entries.remove(at);
        let found = entry.1.clone();
        self.entries.push(entry);
        Some(found)
    }

    /// Lets go of segments that are dropped.
    pub fn forget_before(&mut self, oldest: u64) {
        self.entries.retain(|(sequence, _)| *sequence >= oldest);
    }

    pub fn put(&mut self, sequence: u64, segment: Arc<CachedSegment<F>>) {
        self.entries.retain(|(other, _)| *other != sequence);
        if self.entries.len() >= SEGMENTS_KEPT {
            self.entries.remove(0);
        }
        self.entries.push((sequence, segment));
    }
}
