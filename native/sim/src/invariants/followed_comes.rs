//! When the faults have stopped, no reader of the ordered lane waits for ever: what events follow was delivered, or is known to
//! be on no disk any more (rule R6).

use crate::clients::operator;
use crate::world::World;

/// A member at which something is waited for.
pub fn waiting(world: &World) -> Option<usize> {
    let table = operator::table(world).unwrap_or_default();
    let waits = |node: &usize| world.members[*node].running.as_ref().is_some_and(|running| running.groups.lane().wanted() > 0);
    (0..world.members.len()).filter(|node| operator::belongs(&table, &world.members[*node])).find(waits)
}

pub fn check(world: &mut World) {
    if let Some(node) = waiting(world) {
        world.history.violate("followed_comes", format!("readers at {node} wait for what ordered events follow"));
    }
}
