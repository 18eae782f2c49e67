//! Repair of damage (rule L2; Alagappan et al. 2018, protocol-aware recovery): what comes back is what was written there, or
//! what was committed in its place; nothing committed is cut off; and a member that halts had nobody to ask.

use crate::shadow::{fingerprint, GroupShadow};
use crate::world::World;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::log::{LogEntry, Op};
use vexfs_core::ordered::effects::{Purpose, Write};

pub fn check(world: &mut World, node: usize, write: &Write) {
    let (mut wrong, group) = (None, write.group);
    for op in write.ops.iter().filter(|_| write.purpose != Purpose::Usual) {
        match op {
            Op::Repair { entries, .. } => {
                let other = entries.iter().find(|entry| !is_right(world, node, group, entry));
                wrong = wrong.or(other.map(|entry| format!("{node} takes another entry {} of term {}", entry.index, entry.term)));
            }
            Op::Truncate { from, .. } => wrong = wrong.or(cuts_committed(world, node, group, *from)),
            _ => {}
        }
    }
    if let Some(what) = wrong {
        world.history.violate("repair_is_faithful", what);
    }
}

fn is_right(world: &World, node: usize, group: GroupId, entry: &LogEntry) -> bool {
    let (history, shadow) = (world.history.of(group), world.members[node].shadow.of(group));
    // What a lone voter wrote is on its disk and nowhere else.
    let has = |shadow: &GroupShadow| shadow.term_of(entry.index) == Some(entry.term) && !shadow.gaps.contains(&entry.index);
    // Of what is in front of a log that began with a snapshot a shadow knows the term alone.
    let has = |shadow: &GroupShadow| has(shadow) && entry.index >= shadow.first();
    let shadows = || world.members.iter().map(|member| member.shadow.of(group));
    let on_disk = || shadows().filter(|shadow| has(shadow)).find_map(|shadow| shadow.fingerprint_of(entry.index));
    let known = history.written.get(&(entry.index, entry.term)).map(|(known, _)| *known).or_else(on_disk);
    let own = shadow.term_of(entry.index) == Some(entry.term);
    let committed = history.committed_at(entry.index) == Some(entry.term);
    (own || committed) && known == Some(fingerprint(entry))
}

fn cuts_committed(world: &World, node: usize, group: GroupId, from: Index) -> Option<String> {
    let shadow = world.members[node].shadow.of(group);
    let committed = (from.0..=shadow.last().0).map(Index).find(|index| {
        world.history.of(group).committed_at(*index).is_some_and(|term| shadow.term_of(*index) == Some(term))
    });
    committed.map(|index| format!("{node} cuts its log from {from} on, though {index} is committed"))
}

pub fn check_halt(world: &mut World, node: usize, group: GroupId, index: Index) {
    let member = &world.members[node];
    let lost = (member.shadow.of(group).term_of(index), member.shadow.of(group).fingerprint_of(index));
    let has = |other: &crate::member::Member| {
        let shadow = other.shadow.of(group);
        other.id != member.id
            && ((shadow.term_of(index), shadow.fingerprint_of(index)) == lost || index < shadow.first())
            && !shadow.holes.contains(&index)
            && !shadow.gaps.contains(&index)
    };
    if let Some(other) = world.members.iter().find(|other| has(other)) {
        let what = format!("{node} halts for entry {index} of group {group}, which {} has", other.name);
        world.history.violate("repair_is_faithful", what);
    }
}
