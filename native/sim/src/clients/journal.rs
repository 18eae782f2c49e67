//! Reading a member's journal through the product, and taking its packed deliveries apart (docs/formats.md).

use crate::history::Delivery;
use crate::member::{Running, GROUP};
use crate::plants::Plant;
use crate::world::World;
use vexfs_core::ids::{EventId, Index, SessionId};
use vexfs_core::journal::{self, JournalError, Window, DELIVERIES_HEADER_BYTES};

const ITEM_HEADER_BYTES: usize = 60;

/// Deliveries from `window` on, and where to go on.
pub fn read(running: &Running, window: Window, plant: Option<Plant>) -> Result<(Vec<Delivery>, Window), JournalError> {
    let applied = running.group.machine().applied();
    let suppressed = |index| match plant {
        Some(Plant::SuppressionUnread) => Vec::new(),
        _ => running.suppressed.of(index).to_vec(),
    };
    let packed = journal::read(&running.entries, GROUP, applied, &suppressed, window, None)?;
    let next = Window { index: Index(number(&packed, 0)), offset: small(&packed, 8), ..window };
    let (mut at, mut items) = (DELIVERIES_HEADER_BYTES, Vec::new());
    for _ in 0..small(&packed, 12) {
        let record = at + ITEM_HEADER_BYTES + packed[at + 57] as usize;
        items.push(Delivery {
            id: EventId(big(&packed, record + 24)),
            place: (Index(number(&packed, at + 8)), small(&packed, at + 4)),
            session: SessionId(big(&packed, at + 40)),
            sequence: number(&packed, at + 32),
            hlc: number(&packed, at + 24),
        });
        at += small(&packed, at) as usize;
    }
    Ok((items, next))
}

/// Moves a reader that is behind the journal's beginning there, as one that is told `CURSOR_COMPACTED` does; the places
/// it is to go on with are those of the first entry that is left.
pub fn catch_up(running: &Running, window: &mut Window) -> bool {
    let first = running.group.status().first;
    let behind = window.index < first;
    if behind {
        (window.index, window.offset) = (first, 0);
    }
    behind
}

/// Whether a reader has met damage: the member is told, and the reader comes again.
pub fn met_damage(world: &mut World, node: usize, error: &JournalError) -> bool {
    let member = &mut world.members[node];
    let (JournalError::Unreadable { index, .. }, Some(running)) = (error, &mut member.running) else { return false };
    let known = member.shadow.holes.contains(index);
    if known {
        running.group.unreadable(*index);
        running.dirty = true;
        world.plan_flush(node);
    }
    known
}

/// What a member has applied since anybody has: the journal that every reader's is compared with, before retention
/// takes any of it.
pub fn observe(world: &mut World, node: usize) {
    let Some(running) = &world.members[node].running else { return };
    let applied = running.group.machine().applied();
    // Index 1 stands for the founding.
    let mut window = Window { index: world.history.observed.max(Index(2)), offset: 0, bytes_max: 256 * 1024, events_max: 4_096 };
    let mut found = Vec::new();
    while window.index <= applied {
        let Some(running) = &world.members[node].running else { return };
        match read(running, window, None) {
            Ok((items, next)) => {
                found.extend(items);
                window = next;
            }
            // Another member shows it, or this one when it has it back.
            Err(error) if met_damage(world, node, &error) => break,
            Err(error) => return world.history.violate("groups_go_on", format!("the journal of {node}: {error}")),
        }
    }
    world.history.observed = world.history.observed.max(window.index);
    world.history.journal.extend(found);
}

/// The whole journal of a member; `None` where damage has taken some of it that nobody has any more.
pub fn read_all(world: &World, node: usize) -> Result<Option<Vec<Delivery>>, JournalError> {
    let holes = &world.members[node].shadow.holes;
    let Some(running) = &world.members[node].running else { return Ok(None) };
    let mut window = Window { index: Index(1), offset: 0, bytes_max: 256 * 1024, events_max: 4_096 };
    catch_up(running, &mut window);
    let mut all = Vec::new();
    while window.index <= running.group.machine().applied() {
        let (items, next) = match read(running, window, world.setup.plant) {
            Err(JournalError::Unreadable { index, .. }) if holes.contains(&index) => return Ok(None),
            read => read?,
        };
        all.extend(items);
        window = next;
    }
    Ok(Some(all))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn small(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn big(bytes: &[u8], at: usize) -> u128 {
    bytes[at..].first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}
