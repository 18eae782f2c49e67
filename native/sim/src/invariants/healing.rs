//! When the faults have stopped, every request ends, one leader leads and all members reach the same state (partial
//! synchrony: Dwork, Lynch and Stockmeyer 1988; the liveness the paper's section 5.6 asks timing for).

use crate::world::World;

pub fn healed(world: &World) -> bool {
    if world.history.open() > 0 {
        return false;
    }
    let states: Vec<_> = world.members.iter().map(|member| member.group().map(|group| group.status())).collect();
    let Some(Some(first)) = states.first() else { return false };
    states.iter().all(|state| {
        state.as_ref().is_some_and(|state| {
            state.leader.is_some() && state.leader == first.leader && state.applied == first.applied
                && state.applied == state.last && state.apply_hash == first.apply_hash && state.pending == 0
        })
    })
}

pub fn check(world: &mut World) {
    if !healed(world) {
        let states: Vec<String> = world
            .members
            .iter()
            .map(|member| match member.group() {
                Some(group) => {
                    let status = group.status();
                    format!(
                        "{} {:?} leader {:?} term {} last {} applied {} pending {}{}",
                        member.name,
                        status.role,
                        status.leader,
                        status.term,
                        status.last,
                        status.applied,
                        status.pending,
                        if group.is_settled() { "" } else { " unsettled" }
                    )
                }
                None => format!("{} down", member.name),
            })
            .collect();
        let what = format!("{} requests open; {}", world.history.open(), states.join("; "));
        world.history.violate("healing", what);
    }
}
