//! A subscription: reads where it stands in each group, goes on elsewhere with its cursors.

use crate::clients::journal;
use crate::invariants::{followed_first, subscriptions_are_complete};
use crate::plants::Plant;
use crate::random::Random;
use crate::setup::Setup;
use crate::world::World;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::journal::Window;

pub struct Subscriber {
    name: String,
    random: Random,
    node: usize,
    places: Vec<Place>,
}

/// How far it has come in one group.
struct Place {
    cursor: Window,
    /// Events it has had, or passed over by beginning later.
    ordinal: usize,
    begun: bool,
    moved: bool,
}

impl Subscriber {
    pub fn new(setup: &Setup, number: usize) -> Self {
        let place = |_| Place {
            cursor: Window { index: Index(1), offset: 0, bytes_max: 1, events_max: 1 },
            ordinal: 0,
            begun: false,
            moved: false,
        };
        Self {
            name: format!("subscriber {number}"),
            random: Random::stream(setup.seed, "subscriber", number as u64),
            node: number,
            places: (0..setup.groups).map(place).collect(),
        }
    }

    /// Reads a buffer; microseconds to the next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.pick(&[50_000, 200_000, 800_000]);
        let gap_us = self.random.between(gap_us / 2, gap_us);
        if self.random.chance(80) || self.node >= world.members.len() {
            self.node = self.random.between(0, world.members.len() as u64) as usize;
            self.places.iter_mut().for_each(|place| place.moved = true);
        }
        let (bytes_max, events_max) = (self.random.pick(&[1, 700, 16_000, 64_000]), self.random.pick(&[1, 9, 4_096]));
        let group = world.setup.pick_group(world.now_us, &mut self.random);
        let place = &mut self.places[group.0 as usize];
        (place.cursor.bytes_max, place.cursor.events_max) = (bytes_max, events_max);
        if world.members[self.node].runs() {
            place.read(world, self.node, group, &self.name, &mut self.random);
        }
        gap_us
    }
}

impl Place {
    fn read(&mut self, world: &mut World, node: usize, group: GroupId, name: &str, random: &mut Random) {
        let Some(running) = &world.members[node].running else { return };
        if !std::mem::replace(&mut self.begun, true) && random.chance(300) {
            // From the latest on.
            let machine = running.group(group).machine();
            (self.cursor.index, self.ordinal) = (Index(machine.applied().0 + 1), machine.events() as usize);
            // What nobody has read yet cannot be compared.
            if self.ordinal > world.history.of(group).journal.len() {
                (self.cursor.index, self.ordinal) = (Index(1), 0);
            }
        }
        let behind = self.cursor.index;
        if journal::catch_up(running, group, &mut self.cursor) {
            self.ordinal = world.history.of(group).ordinal_of(self.cursor.index);
            subscriptions_are_complete::check_compacted(world, node, group, name, behind);
        }
        match journal::read_in_order(world, node, group, self.cursor) {
            Ok((mut items, next)) => {
                if std::mem::take(&mut self.moved) && !items.is_empty() {
                    match world.setup.plant {
                        Some(Plant::SubscriptionGap) => drop(items.remove(0)),
                        Some(Plant::SubscriptionRepeats) => items.insert(0, items[0]),
                        _ => {}
                    }
                }
                followed_first::check(world, node, name, &items);
                subscriptions_are_complete::check(world, group, name, &mut self.ordinal, &items);
                subscriptions_are_complete::check_end(world, node, group, name, self.ordinal, next);
                self.cursor = next;
            }
            Err(error) if journal::met_damage(world, node, group, &error) => {}
            Err(error) => world.history.violate("groups_go_on", format!("{name} at {node}: {error}")),
        }
    }
}
