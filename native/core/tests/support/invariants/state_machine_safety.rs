//! Members that have applied as much have applied the same (Ongaro and Ousterhout 2014, section 5.4.3), decisions
//! about duplicates, fences and sessions included (rule R3).

use crate::support::world::World;

pub fn check(world: &mut World, node: usize) {
    let Some(group) = &world.nodes[node].group else { return };
    let (applied, hash) = (group.machine().applied(), group.machine().hash());
    let known = *world.history.hash_at.entry(applied).or_insert(hash);
    if known != hash {
        let what = format!("{node} has another state at {applied} than the others");
        world.history.violate("state_machine_safety", what);
    }
}
