//! What is acknowledged is on the disks of a majority (rule R1; Ongaro 2014, "Consensus: Bridging Theory and Practice",
//! section 3.8). What the logs were told to hold is asked, not the members.

use crate::member::{Member, Stage};
use crate::world::World;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};

/// A disk that lied has had it: that was true when it was said.
fn holds(member: &Member, group: GroupId, index: Index, term: Term) -> bool {
    let begun = member.stage != Stage::Waiting;
    begun && (member.shadow.of(group).holds(index, term) || member.lost_of(group).is_some_and(|(_, _, last)| last >= index))
}

pub fn copies(world: &World, group: GroupId, index: Index, term: Term) -> usize {
    world.members.iter().filter(|member| holds(member, group, index, term)).count()
}

/// Whether a majority holds it, of both sets in a joint configuration. It may have been committed a change or two ago.
fn on_a_majority(world: &World, group: GroupId, index: Index, term: Term) -> bool {
    let of = |voters: &[MemberId]| {
        let there = world.members.iter().filter(|member| voters.contains(&member.id) && holds(member, group, index, term));
        voters.is_empty() || 2 * there.count() > voters.len()
    };
    world.history.of(group).confs.iter().any(|(_, conf)| of(&conf.voters) && of(&conf.outgoing))
}

pub fn check(world: &mut World, group: GroupId, index: Index, term: Term) {
    if !on_a_majority(world, group, index, term) {
        let copies = copies(world, group, index, term);
        let what = format!("entry {index} of group {group}, term {term}, is on {copies} disks when it is acknowledged");
        world.history.violate("acknowledged_is_durable", what);
    }
}
