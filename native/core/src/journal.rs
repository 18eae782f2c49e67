//! The event journal: the committed prefix of a group's log as subscribers read it, packed for the way across
//! (docs/formats.md, "Packed deliveries"). Payloads are stored once; this reads them where the log has them.

use crate::entry;
use crate::event::{Submission, SubmissionKind};
use crate::filter::Filter;
use crate::ids::{GroupId, Index};
use crate::ordered::store::EntryReader;
use std::collections::VecDeque;
use std::sync::Arc;
use thiserror::Error;

pub const DELIVERIES_HEADER_BYTES: usize = 32;
/// Flag of packed deliveries: what comes next follows something that was not delivered in the causal lane.
pub const WAITS: u32 = 1;
const ITEM_HEADER_BYTES: usize = 60;
/// Where an item says that its event is a head alone.
pub(crate) const ITEM_FLAGS_AT: usize = 58;
/// Log bytes looked through by one read at most, so that a filter that matches nothing does not hold its caller.
const SCAN_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The first page; where that was not enough, each has twice as many bytes as the one before.
const PAGE_BYTES_MIN: usize = 1024;
const EVENT_BYTES_USUAL: usize = 512;

#[derive(Debug, Error)]
pub enum JournalError {
    #[error("entry {index} cannot be read: {reason}")]
    Unreadable { index: Index, reason: String },
    /// This member has applied something else than the others from `first` on: what it would show is not what they show.
    #[error("this member has applied something else than a majority from entry {first} on, and answers nothing")]
    Diverged { first: Index },
    #[error("entry {index} is no longer in the journal, which begins at {first}")]
    Compacted { index: Index, first: Index },
}

/// Places that one block of `Suppressed` holds at most.
const SUPPRESSED_BLOCK: usize = 1024;

/// An applied event that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    pub index: Index,
    pub offset: u32,
    /// Why (`EventOutcome::code`): the running hash has it too.
    pub code: u8,
}

/// What in the journal does not count. Cloning shares all but the newest block.
///
/// Invariant: holds, in ascending order, the place of every applied event that was not accepted.
#[derive(Clone, Debug, Default)]
pub struct Suppressed {
    blocks: VecDeque<Arc<Vec<PassedOver>>>,
}

impl Suppressed {
    pub fn add(&mut self, events: impl IntoIterator<Item = PassedOver>) {
        for event in events {
            if self.blocks.back().is_none_or(|block| block.len() >= SUPPRESSED_BLOCK) {
                self.blocks.push_back(Arc::default());
            }
            if let Some(block) = self.blocks.back_mut() {
                Arc::make_mut(block).push(event);
            }
        }
    }

    /// Offsets of one entry that readers pass over.
    pub fn of(&self, index: Index) -> Vec<u32> {
        self.at(index).map(|event| event.offset).collect()
    }

    /// What of one entry does not count.
    pub fn at(&self, index: Index) -> impl Iterator<Item = &PassedOver> {
        let first = self.blocks.partition_point(|block| block.last().is_some_and(|last| last.index < index));
        let blocks = self.blocks.range(first..).take_while(move |block| block.first().is_some_and(|at| at.index <= index));
        blocks.flat_map(move |block| {
            let from = block.partition_point(|at| at.index < index);
            block[from..].iter().take_while(move |at| at.index == index)
        })
    }

    /// The journal begins at `first` now: whole blocks before it are let go of.
    pub fn cut_before(&mut self, first: Index) {
        while self.blocks.front().is_some_and(|block| block.last().is_some_and(|last| last.index < first)) {
            self.blocks.pop_front();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &PassedOver> {
        self.blocks.iter().flat_map(|block| block.iter())
    }
}

/// Where to go on, and how much to bring.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub index: Index,
    pub offset: u32,
    /// Bytes of packed events, exceeded by at most one event.
    pub bytes_max: usize,
    pub events_max: u32,
}

/// Packs accepted events from (`index`, `offset`) on, up to the applied index. `suppressed` is asked once an entry, so
/// that no lock need be held while the disk is read. In front of a submission that is `held_up` the reader stops, whatever
/// its filter makes of it: the order is never changed (rule R6).
pub fn read<R: EntryReader>(
    reader: &R,
    group: GroupId,
    applied: Index,
    suppressed: &dyn Fn(Index) -> Vec<u32>,
    window: Window,
    filter: Option<&Filter>,
    held_up: &dyn Fn(&Submission) -> bool,
) -> Result<Vec<u8>, JournalError> {
    let mut waits = false;
    let mut out = vec![0; DELIVERIES_HEADER_BYTES];
    let full = DELIVERIES_HEADER_BYTES + window.bytes_max.max(1);
    let (mut next, mut first_offset, mut count, mut scanned) = (window.index.max(Index(1)), window.offset, 0u32, 0u64);
    let wanted = window.bytes_max.min(window.events_max as usize * EVENT_BYTES_USUAL);
    // A page of what is wanted, by bytes and by events of usual size: the rest of a larger one would be read in vain.
    let mut page = wanted.clamp(PAGE_BYTES_MIN, SCAN_BYTES_MAX as usize) as u64;
    'pages: while next <= applied && scanned < SCAN_BYTES_MAX {
        let entries = match reader.entries(group, next, Index(applied.0 + 1), page) {
            Ok(entries) => entries,
            // What comes before the damage is not to wait for it.
            Err(_) if count > 0 => break,
            Err(reason) => return Err(JournalError::Unreadable { index: next, reason }),
        };
        page = (2 * page).min(SCAN_BYTES_MAX);
        if entries.is_empty() {
            return Err(JournalError::Unreadable { index: next, reason: "the log does not have it".to_string() });
        }
        for log_entry in entries {
            scanned += log_entry.data.len() as u64 + 64;
            let submissions = match log_entry.kind {
                0 => entry::unpack(&log_entry.data).map_err(|error| JournalError::Unreadable {
                    index: log_entry.index,
                    reason: error.to_string(),
                })?,
                _ => Vec::new(),
            };
            let mut offset = 0;
            let passed_over = suppressed(log_entry.index);
            for submission in submissions.iter().filter(|submission| submission.kind() == SubmissionKind::Events) {
                let mut looked = !submission.follows_something();
                for (position, event) in submission.events().enumerate() {
                    let here = offset;
                    offset += 1;
                    if here < first_offset || passed_over.binary_search(&here).is_ok() {
                        continue;
                    }
                    if count >= window.events_max || out.len() >= full {
                        (next, first_offset) = (log_entry.index, here);
                        break 'pages;
                    }
                    if !std::mem::replace(&mut looked, true) && held_up(submission) {
                        (next, first_offset, waits) = (log_entry.index, here, true);
                        break 'pages;
                    }
                    if filter.is_none_or(|filter| filter.admits(&event)) {
                        pack_item(&mut out, submission, position as u64, here, log_entry.index, log_entry.term.0, event.bytes());
                        count += 1;
                    }
                }
            }
            (next, first_offset) = (Index(log_entry.index.0 + 1), 0);
            if count >= window.events_max || out.len() >= full {
                break 'pages;
            }
        }
    }
    out[0..8].copy_from_slice(&next.0.to_le_bytes());
    out[8..12].copy_from_slice(&first_offset.to_le_bytes());
    out[12..16].copy_from_slice(&count.to_le_bytes());
    out[16..24].copy_from_slice(&applied.0.to_le_bytes());
    out[24..28].copy_from_slice(&(if waits { WAITS } else { 0 }).to_le_bytes());
    Ok(out)
}

pub(crate) fn pack_item(
    out: &mut Vec<u8>,
    submission: &Submission,
    position: u64,
    offset: u32,
    index: Index,
    term: u64,
    event: &[u8],
) {
    let origin = submission.origin_name();
    let length = ITEM_HEADER_BYTES + origin.len() + event.len();
    out.reserve(length);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&index.0.to_le_bytes());
    out.extend_from_slice(&term.to_le_bytes());
    out.extend_from_slice(&(submission.hlc() + position).to_le_bytes());
    let sequence = if submission.session().is_none() { 0 } else { submission.first_sequence() + position };
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&submission.session().0.to_be_bytes());
    out.extend_from_slice(&[submission.level(), origin.len() as u8, 0, 0]);
    out.extend_from_slice(origin);
    out.extend_from_slice(event);
}
