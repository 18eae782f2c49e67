//! What a member has delivered is on its disk, and is delivered there for good, through every restart that does not lose
//! the disk (rules R7 and R8; docs/ARCHITECTURE.md). So nobody has to take back what it has shown or built upon.

use crate::invariants::causal_order;
use crate::lane::{lacks, raise, Dot};
use crate::world::World;
use std::sync::Arc;

/// Judges what a flush of the causal lane has told its readers.
pub fn check(world: &mut World, node: usize) {
    let Some(running) = &mut world.members[node].running else { return };
    let vector = running.lane.vector.clone();
    let before = std::mem::replace(&mut running.lane.judged, vector.clone());
    if Arc::ptr_eq(&before, &vector) {
        return;
    }
    let ever = &world.members[node].delivered_ever;
    if let Some((actor, counter)) = lacks(&vector, &before).or_else(|| lacks(&vector, ever)) {
        let what = format!("{node} had delivered entry {counter} of {actor:?}, and now {:?} of them", vector.get(&actor));
        return world.history.violate("delivered_stays_delivered", what);
    }
    for (actor, last) in vector.iter() {
        // What was cut before it came here is delivered as a whole.
        let begins = world.members[node].shadow.origin_of(*actor).map_or(1, |(_, origin)| origin.first());
        let first = (before.get(actor).copied().unwrap_or(0) + 1).max(begins);
        for counter in first..=*last {
            let there = world.members[node].shadow.origin_of(*actor).and_then(|(_, origin)| origin.written_print(counter));
            let Some(print) = there else {
                let what = format!("{node} delivers entry {counter} of {actor:?} before it is on its disk");
                return world.history.violate("delivered_stays_delivered", what);
            };
            let dot = Dot { actor: *actor, counter, print };
            causal_order::check(world, &format!("member {node}"), dot, &vector);
            let stamp = world.history.lane.fact(dot).map_or(0, |fact| fact.stamp);
            let member = &mut world.members[node];
            member.stamp_delivered = member.stamp_delivered.max(stamp);
        }
        raise(&mut world.members[node].delivered_ever, *actor, *last);
    }
}
