//! Whenever an ordered event is delivered to a reader, all that it follows in the causal lane was delivered there before (rule
//! R6). What no disk has any more nobody can wait for.

use crate::history::Delivery;
use crate::invariants::origins_converge;
use crate::lane::{lacks, raise, Past};
use crate::world::World;

pub fn check(world: &mut World, node: usize, whom: &str, items: &[Delivery]) {
    let Some(running) = &world.members[node].running else { return };
    let delivered = running.lane.vector.clone();
    for item in items {
        let Some(follows) = world.history.follows.get(&item.id).cloned() else { continue };
        let Some((actor, counter)) = lacks(&delivered, &follows) else { continue };
        let mut lacking = Past::new();
        raise(&mut lacking, actor, counter);
        if origins_converge::can_be_delivered(world, &lacking) {
            let what = format!("{whom} at {node} gets event {:x} before entry {counter} of {actor:?}, which it follows; it had {delivered:?}", item.id.0);
            return world.history.violate("followed_first", what);
        }
    }
}
