//! A disk that keeps what was synced and forgets the rest. Writes wait in a queue until they are made durable; a crash
//! loses the queue, but for a prefix that may have made it without anyone being told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::{HardState, LogEntry, Op};
use vexfs_core::ordered::effects::Write;
use vexfs_core::ordered::store::EntryReader;

#[derive(Default)]
pub struct Disk {
    pub durable: Vec<LogEntry>,
    pub hard: HardState,
    pub queue: VecDeque<(Write, u64)>,
    /// How to take back the newest durable write.
    undo: Option<Undo>,
    /// No write finishes before.
    pub stalled_until_us: u64,
    /// Reads fail, as after damage.
    pub unreadable: bool,
}

/// State before a write: `kept` entries stayed, `cut` followed them.
struct Undo {
    kept: usize,
    cut: Vec<LogEntry>,
    hard: HardState,
}

impl Disk {
    pub fn push(&mut self, write: Write, ready_us: u64) {
        let ready_us = self.queue.back().map_or(ready_us, |(_, before)| ready_us.max(*before));
        self.queue.push_back((write, ready_us));
    }

    /// Makes the oldest write durable if its time has come; answers its number.
    pub fn sync_one(&mut self, now_us: u64) -> Option<u64> {
        if now_us < self.stalled_until_us || self.queue.front().is_none_or(|(_, ready_us)| *ready_us > now_us) {
            return None;
        }
        let (write, _) = self.queue.pop_front()?;
        let number = write.number;
        self.carry_out_all(write);
        Some(number)
    }

    fn carry_out_all(&mut self, write: Write) {
        let cut_from = write.ops.iter().find_map(|op| match op {
            Op::Truncate { from, .. } => Some(from.0 as usize - 1),
            _ => None,
        });
        let kept = cut_from.unwrap_or(self.durable.len());
        self.undo = Some(Undo { kept, cut: self.durable[kept..].to_vec(), hard: self.hard });
        write.ops.into_iter().for_each(|op| self.carry_out(op));
    }

    /// The newest durable write turns out to be torn, whether or not it was acknowledged. At most one: recovery would
    /// call damage before the last batch by another name.
    pub fn tear(&mut self) -> bool {
        let Some(undo) = self.undo.take() else { return false };
        self.durable.truncate(undo.kept);
        self.durable.extend(undo.cut);
        self.hard = undo.hard;
        true
    }

    fn carry_out(&mut self, op: Op) {
        match op {
            Op::Truncate { from, .. } => self.durable.truncate(from.0 as usize - 1),
            Op::Entries { entries, .. } => {
                for entry in entries {
                    assert_eq!(entry.index.0, self.durable.len() as u64 + 1, "the log has no gaps");
                    self.durable.push(entry);
                }
            }
            Op::HardState { state, .. } => self.hard = state,
            // What came back from the others can be read again.
            Op::Repair { entries, .. } => {
                for entry in entries {
                    let at = entry.index.0 as usize - 1;
                    self.durable[at] = entry;
                }
                self.unreadable = false;
            }
            Op::Mark { .. } | Op::Relocate { .. } => unreachable!("no group writes these by itself"),
        }
    }

    /// The process ends: of the queue, the first `surviving` writes turn out to have been durable.
    pub fn crash(&mut self, surviving: usize) {
        for _ in 0..surviving {
            let Some((write, _)) = self.queue.pop_front() else { break };
            self.carry_out_all(write);
        }
        self.queue.clear();
        self.stalled_until_us = 0;
    }

    pub fn term_of(&self, index: Index) -> Option<Term> {
        self.durable.get(index.0.checked_sub(1)? as usize).map(|entry| entry.term)
    }

    pub fn last(&self) -> Index {
        Index(self.durable.len() as u64)
    }

    pub fn terms(&self) -> Vec<(Index, Term)> {
        let mut terms: Vec<(Index, Term)> = Vec::new();
        for entry in &self.durable {
            if terms.last().is_none_or(|(_, term)| *term != entry.term) {
                terms.push((entry.index, entry.term));
            }
        }
        terms
    }

    /// What recovery would give: the commit mark never beyond the log.
    pub fn hard_state(&self) -> HardState {
        HardState { commit: self.hard.commit.min(self.last()), ..self.hard }
    }
}

/// Reads only what is durable: asking for more is a mistake of the caller.
#[derive(Clone)]
pub struct DiskReader(pub Rc<RefCell<Disk>>);

impl EntryReader for DiskReader {
    fn entries(&self, _group: GroupId, low: Index, high: Index, bytes_max: u64) -> Result<Vec<LogEntry>, String> {
        let disk = self.0.borrow();
        if disk.unreadable || low.0 == 0 || high.0 > disk.durable.len() as u64 + 1 || low >= high {
            return Err(format!("entries [{low}, {high}) are not on a disk with {}", disk.durable.len()));
        }
        let mut bytes = 0;
        let fitting = disk.durable[low.0 as usize - 1..high.0 as usize - 1].iter().take_while(|entry| {
            bytes += entry.data.len() as u64;
            bytes <= bytes_max || bytes == entry.data.len() as u64
        });
        Ok(fitting.cloned().collect())
    }
}
