//! When the faults have stopped, every request ends, one leader leads and all members reach the same state (partial
//! synchrony: Dwork, Lynch and Stockmeyer 1988; the liveness the paper's section 5.6 asks timing for).

use crate::support::world::World;

pub fn healed(world: &World) -> bool {
    let states: Vec<_> = world.nodes.iter().map(|node| node.group.as_ref().map(|group| group.status())).collect();
    let Some(Some(first)) = states.first() else { return false };
    let alike = states.iter().all(|state| {
        state.as_ref().is_some_and(|state| {
            state.leader.is_some() && state.leader == first.leader && state.applied == first.applied
                && state.applied == state.last && state.apply_hash == first.apply_hash && state.pending == 0
        })
    });
    alike && world.history.open() == 0
}

pub fn check(world: &mut World) {
    if !healed(world) {
        let states: Vec<String> = world
            .nodes
            .iter()
            .map(|node| match &node.group {
                Some(group) => {
                    let status = group.status();
                    format!(
                        "{} {:?} leader {:?} term {} last {} applied {} pending {}",
                        node.name, status.role, status.leader, status.term, status.last, status.applied, status.pending
                    )
                }
                None => format!("{} down", node.name),
            })
            .collect();
        let what = format!("{} requests open; {}", world.history.open(), states.join("; "));
        world.history.violate("healing", what);
    }
}
