//! How much of what can happen was seen: abstract states of the whole cluster, counted once each.
//!
//! A state is of one group: for each member regardless of its name: whether it runs, its role, how its term and log compare with the
//! others', how far it has applied, whether its disk lies behind or its log is unsettled.

use crate::world::World;
use vexfs_core::ids::{GroupId, Index, Term};

/// Differences by powers of two, so that runs of any length compare.
fn rough(difference: u64) -> u64 {
    match difference {
        0..=2 => difference,
        more => 2 + u64::from(more.ilog2()),
    }
}

/// The fingerprint of a group's present state.
pub fn fingerprint(world: &World, group: GroupId) -> u64 {
    let statuses: Vec<_> = world.members.iter().map(|member| member.group(group).map(|group| group.status())).collect();
    let newest = |of: fn(&vexfs_core::ordered::status::GroupStatus) -> u64| statuses.iter().flatten().map(of).max().unwrap_or(0);
    let (Term(term), Index(last)) = (Term(newest(|status| status.term.0)), Index(newest(|status| status.last.0)));
    let mut parts: Vec<u64> = world
        .members
        .iter()
        .zip(&statuses)
        .map(|(member, status)| {
            let Some(status) = status else { return 1 | u64::from(member.lost.is_some()) << 1 };
            let settled = member.group(group).is_some_and(|group| group.is_settled());
            let mut part = 2 + status.role as u64;
            for one in [
                rough(term - status.term.0),
                rough(last - status.last.0),
                rough(status.last.0 - status.applied.0),
                rough(status.pending as u64),
                u64::from(settled) << 1 | u64::from(member.runs()),
                u64::from(member.lost.is_some()) << 1 | u64::from(member.disk.is_full()),
            ] {
                part = part * 24 + one.min(23);
            }
            part
        })
        .collect();
    parts.sort_unstable();
    parts.iter().fold(parts.len() as u64, |sum, part| (sum ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(27))
}

impl World {
    pub fn note_state(&mut self) {
        let states: Vec<u64> = self.groups().map(|group| fingerprint(self, group)).collect();
        self.states.extend(states);
    }
}
