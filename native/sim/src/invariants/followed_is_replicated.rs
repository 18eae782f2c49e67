//! What an ordered event follows in the causal lane has been on the disks of a majority before a leader was handed the event,
//! so that its delivery waits for no member that has died (rule R6; docs/decisions/0026). Judged when it is committed.

use crate::history::Delivery;
use crate::lane::Past;
use crate::member::Member;
use crate::world::World;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::{GroupId, MemberId};

pub fn check(world: &mut World, group: GroupId, items: &[Delivery]) {
    for item in items {
        let Some(follows) = world.history.follows.get(&item.id) else { continue };
        let has_had = |id: &MemberId| {
            let member = world.members.iter().find(|member| member.id == *id);
            let whole = |member: &Member, actor: &Actor, counter: u64| {
                let selected = world.history.lane.all(*actor, counter).iter().any(|fact| fact.holders.is_some());
                !selected || member.whole_ever.contains(&(*actor, counter))
            };
            let has = |member: &Member, actor: &Actor, counter: u64| member.held_ever.get(actor).is_some_and(|held| *held >= counter) && whole(member, actor, counter);
            member.is_some_and(|member| follows.iter().all(|(actor, counter)| has(member, actor, *counter)))
        };
        // Of whichever configuration its member knew of at the time.
        let majority = |voters: &[MemberId]| 2 * voters.iter().filter(|id| has_had(id)).count() > voters.len();
        let of_any = world.history.of(group).confs.iter().any(|(_, conf)| majority(&conf.voters) || majority(&conf.outgoing));
        if !of_any {
            let what = format!("event {:x} is committed, and no majority has had {:?}, which it follows", item.id.0, brief(follows));
            return world.history.violate("followed_is_replicated", what);
        }
    }
}

fn brief(follows: &Past) -> Vec<(u32, u64)> {
    follows.iter().map(|(actor, counter)| (actor.incarnation, *counter)).collect()
}
