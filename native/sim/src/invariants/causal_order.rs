//! Nothing is delivered before what happened before it (Lamport 1978, "Time, Clocks, and the Ordering of Events in a
//! Distributed System"; Birman, Schiper and Stephenson 1991), neither by a member nor to a reader. Before an event happened
//! all that its publisher could have had where it was published, and what was published there before. What was published
//! as eventual follows nothing.
//!
//! By induction it is enough that whatever is delivered finds delivered what its publisher had seen.

use crate::lane::{lacks, Dot, Past};
use crate::world::World;

/// `vector`: what was delivered with it or before.
pub fn check(world: &mut World, whom: &str, dot: Dot, vector: &Past) {
    let Some(fact) = world.history.lane.fact(dot) else {
        let what = format!("{whom} gets entry {} of {:?}, which nobody has written", dot.counter, dot.actor);
        return world.history.violate("causal_order", what);
    };
    if let Some((actor, counter)) = lacks(vector, &fact.past) {
        let what = format!(
            "{whom} gets entry {} of {:?} before entry {counter} of {actor:?}, which its publisher had seen; it had {:?}",
            dot.counter,
            dot.actor,
            vector.get(&actor)
        );
        world.history.violate("causal_order", what);
    }
}
