//! Entries with the same index and term are the same, and so are all before them (Ongaro and Ousterhout 2014, section
//! 5.3). By induction it is enough that equal (index, term) mean equal data and an equal term before.

use crate::support::disk::Disk;
use crate::support::history::History;
use vexfs_core::ids::{Index, Term};
use vexfs_core::log::Op;
use vexfs_core::ordered::effects::Write;

/// Looks at a write on its way to the disk that holds everything queued before it.
pub fn note(history: &mut History, members: usize, disk: &Disk, write: &Write) {
    if members == 1 {
        // A lone voter leads before its term is on disk: what a crash takes from it, nobody has seen.
        return;
    }
    for op in &write.ops {
        let Op::Entries { entries, .. } = op else { continue };
        let Some(first) = entries.first() else { continue };
        let mut before = term_before(disk, first.index);
        for entry in entries {
            let here = (fingerprint(&entry.data), before);
            let known = *history.written.entry((entry.index, entry.term)).or_insert(here);
            if known != here {
                history.violate("log_matching", format!("two entries {} of term {}", entry.index, entry.term));
            }
            before = entry.term;
        }
    }
}

/// Term of the entry before `index`, as it will be once the queue is written.
fn term_before(disk: &Disk, index: Index) -> Term {
    let before = Index(index.0 - 1);
    for (write, _) in disk.queue.iter().rev() {
        for op in write.ops.iter().rev() {
            if let Op::Entries { entries, .. } = op {
                if let Some(entry) = entries.iter().find(|entry| entry.index == before) {
                    return entry.term;
                }
            }
        }
    }
    disk.term_of(before).unwrap_or_default()
}

fn fingerprint(data: &[u8]) -> u64 {
    data.iter().fold(data.len() as u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}
