//! Entries with the same index and term are the same, and so are all before them (Ongaro and Ousterhout 2014, section
//! 5.3). By induction it is enough that equal (index, term) mean equal data and an equal term before.

use crate::member::{queued_term, Member};
use crate::shadow::fingerprint;
use crate::world::World;
use vexfs_core::ids::{GroupId, Index, Term};
use vexfs_core::log::Op;
use vexfs_core::ordered::effects::Write;

/// Looks at a write on its way to the queue of a log.
pub fn check(world: &mut World, node: usize, write: &Write) {
    // A lone voter leads before its term is on disk: what a crash takes from it, nobody else has seen.
    let me = world.members[node].id;
    let group = write.group;
    let alone = world.members[node].group(group).is_some_and(|group| group.conf().voting_but(me).is_empty());
    for op in &write.ops {
        let Op::Entries { entries, .. } = op else { continue };
        let Some(first) = entries.first() else { continue };
        let mut before = term_before(&world.members[node], group, first.index);
        for entry in entries {
            let here = (fingerprint(entry), before);
            let known = world.history.of(group).written.get(&(entry.index, entry.term)).copied();
            if known.is_none() && !alone {
                world.history.of_mut(group).written.insert((entry.index, entry.term), here);
            }
            if known.is_some_and(|known| known != here) {
                let what = format!("two entries {} of group {group}, term {}", entry.index, entry.term);
                world.history.violate("log_matching", what);
            }
            before = entry.term;
        }
    }
}

/// Term of the entry before `index`, as it will be once the queue is written.
fn term_before(member: &Member, group: GroupId, index: Index) -> Term {
    let before = Index(index.0 - 1);
    let queued = member.running.as_ref().and_then(|running| queued_term(running, group, before));
    queued.or_else(|| member.shadow.of(group).term_of(before)).unwrap_or_default()
}
