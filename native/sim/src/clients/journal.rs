//! Reading a member's journal through the product, and taking its packed deliveries apart (docs/formats.md).

use crate::history::Delivery;
use crate::invariants::{followed_is_replicated, groups_are_apart};
use crate::member::Running;
use crate::plants::Plant;
use crate::world::World;
use vexfs_core::causal::followed::Delivered;
use vexfs_core::event::Submission;
use vexfs_core::ids::{EventId, GroupId, Index, SessionId};
use vexfs_core::journal::{self, JournalError, Window, DELIVERIES_HEADER_BYTES};

const ITEM_HEADER_BYTES: usize = 60;

/// Deliveries of a group from `window` on, packed, up to what follows something that was not delivered.
pub fn packed_in_order(running: &Running, group: GroupId, window: Window, plant: Option<Plant>) -> Result<Vec<u8>, JournalError> {
    let lane = &running.lane;
    let delivered = Delivered::of(&lane.origins, &lane.delivered, &lane.gone);
    let held_up = |submission: &Submission| {
        let lacks = delivered.lacks(submission);
        let held_up = !lacks.is_empty();
        lane.wanted.borrow_mut().extend(lacks);
        held_up
    };
    packed_with(running, group, window, plant, &held_up)
}

/// As `packed_in_order`, whatever was delivered.
fn packed(running: &Running, group: GroupId, window: Window, plant: Option<Plant>) -> Result<Vec<u8>, JournalError> {
    packed_with(running, group, window, plant, &|_| false)
}

fn packed_with(running: &Running, group: GroupId, window: Window, plant: Option<Plant>, held_up: &dyn Fn(&Submission) -> bool) -> Result<Vec<u8>, JournalError> {
    let view = running.view(group);
    let suppressed = |index| match plant {
        Some(Plant::SuppressionUnread) => Vec::new(),
        _ => view.suppressed.of(index).to_vec(),
    };
    journal::read(&running.entries, group, view.applied, &suppressed, window, None, held_up)
}

/// As a subscription reads them: what the next one waits for is fetched.
pub fn read_in_order(world: &mut World, node: usize, group: GroupId, window: Window) -> Result<(Vec<Delivery>, Window), JournalError> {
    let plant = world.setup.plant;
    let Some(running) = &mut world.members[node].running else { return Ok((Vec::new(), window)) };
    let packed = packed_in_order(running, group, window, plant)?;
    fetch_wanted(world, node);
    Ok(unpack(&packed, window))
}

/// Has the member fetch what its readers wait for.
pub fn fetch_wanted(world: &mut World, node: usize) {
    let Some(running) = &mut world.members[node].running else { return };
    let wanted = running.lane.wanted.take();
    if !wanted.is_empty() {
        running.groups.touch_lane().want(wanted);
        world.plan_flush(node);
    }
}

/// Deliveries of a group from `window` on, whatever they follow, and where to go on.
pub fn read(running: &Running, group: GroupId, window: Window, plant: Option<Plant>) -> Result<(Vec<Delivery>, Window), JournalError> {
    Ok(unpack(&packed(running, group, window, plant)?, window))
}

fn unpack(packed: &[u8], window: Window) -> (Vec<Delivery>, Window) {
    let next = Window { index: Index(number(packed, 0)), offset: small(packed, 8), ..window };
    let (mut at, mut items) = (DELIVERIES_HEADER_BYTES, Vec::new());
    for _ in 0..small(packed, 12) {
        let record = at + ITEM_HEADER_BYTES + packed[at + 57] as usize;
        items.push(Delivery {
            id: EventId(big(packed, record + 24)),
            place: (Index(number(packed, at + 8)), small(packed, at + 4)),
            session: SessionId(big(packed, at + 40)),
            sequence: number(packed, at + 32),
            hlc: number(packed, at + 24),
        });
        at += small(packed, at) as usize;
    }
    (items, next)
}

/// Moves a reader that is behind the journal's beginning there, as one that is told `CURSOR_COMPACTED` does; the places
/// it is to go on with are those of the first entry that is left.
pub fn catch_up(running: &Running, group: GroupId, window: &mut Window) -> bool {
    let first = running.view(group).first;
    let behind = window.index < first;
    if behind {
        (window.index, window.offset) = (first, 0);
    }
    behind
}

/// Whether a reader has met damage: the member is told, and the reader comes again.
pub fn met_damage(world: &mut World, node: usize, group: GroupId, error: &JournalError) -> bool {
    let member = &mut world.members[node];
    let JournalError::Unreadable { index, .. } = error else { return false };
    let known = member.has_lost(group, *index);
    let Some(running) = &mut member.running else { return false };
    if let Some(group) = running.groups.touch(group).filter(|_| known) {
        group.unreadable(*index);
        world.plan_flush(node);
    }
    known
}

/// What a member has applied since anybody has: the journal that every reader's is compared with, before retention
/// takes any of it.
pub fn observe(world: &mut World, node: usize, group: GroupId) {
    let Some(running) = &world.members[node].running else { return };
    let applied = running.view(group).applied;
    // Index 1 stands for the founding.
    let mut window = Window { index: world.history.of(group).observed.max(Index(2)), offset: 0, bytes_max: 256 * 1024, events_max: 4_096 };
    if window.index < running.view(group).first {
        // It has had a snapshot in their place.
        return;
    }
    let mut found = Vec::new();
    while window.index <= applied {
        let Some(running) = &world.members[node].running else { return };
        match read(running, group, window, None) {
            Ok((items, next)) => {
                found.extend(items);
                window = next;
            }
            // Another member shows it, or this one when it has it back.
            Err(error) if met_damage(world, node, group, &error) => break,
            Err(error) => return world.history.violate("groups_go_on", format!("the journal of {node}: {error}")),
        }
    }
    groups_are_apart::check(world, node, group, &found);
    followed_is_replicated::check(world, group, &found);
    let history = world.history.of_mut(group);
    history.observed = history.observed.max(window.index);
    history.journal.extend(found);
}

/// The whole journal of a member's group; `None` where damage has taken some of it that nobody has any more.
pub fn read_all(world: &World, node: usize, group: GroupId) -> Result<Option<Vec<Delivery>>, JournalError> {
    let member = &world.members[node];
    let Some(running) = &world.members[node].running else { return Ok(None) };
    let mut window = Window { index: Index(1), offset: 0, bytes_max: 256 * 1024, events_max: 4_096 };
    catch_up(running, group, &mut window);
    let mut all = Vec::new();
    while window.index <= running.view(group).applied {
        let (items, next) = match read(running, group, window, world.setup.plant) {
            Err(JournalError::Unreadable { index, .. }) if member.has_lost(group, index) => return Ok(None),
            read => read?,
        };
        all.extend(items);
        window = next;
    }
    Ok(Some(all))
}

pub(super) fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

pub(super) fn small(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn big(bytes: &[u8], at: usize) -> u128 {
    bytes[at..].first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}
