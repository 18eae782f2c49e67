//! A leader proposes a change of members only when it has committed an entry of its own term and the change before is
//! committed; and voters change through a joint configuration (Ongaro 2014, section 4.3; the bug of single-server changes
//! that its author reported in 2015).

use crate::history::History;
use crate::member::DiskReader;
use vexfs_core::ids::{Index, Term};
use vexfs_core::log::Op;
use vexfs_core::ordered::effects::Write;
use vexfs_core::ordered::status::Role;
use vexfs_core::ordered::Group;

/// Raft's number for an ordinary entry.
const NORMAL: u8 = 0;

pub fn check(history: &mut History, group: &Group<DiskReader>, write: &Write) {
    let (status, id) = (group.status(), write.group);
    if status.role != Role::Leader {
        return;
    }
    for entry in write.ops.iter().flat_map(|op| match op {
        Op::Entries { entries, .. } => entries.as_slice(),
        _ => &[],
    }) {
        if entry.kind == NORMAL || entry.term != status.term {
            continue;
        }
        let before = history.of(id).last_change.filter(|(index, _)| *index < entry.index);
        let pending = before.is_some_and(|(index, term)| index > status.commit && group.term_of(index) == Some(term));
        let own: Term = group.term_of(status.commit).unwrap_or_default();
        if pending || (own != status.term && status.commit >= status.first) {
            let what = format!("change {} is proposed with {} of term {own} committed, after {before:?}", entry.index, status.commit);
            history.violate("one_change_at_a_time", what);
        }
        history.of_mut(id).last_change = Some((Index(entry.index.0), entry.term));
    }
}
