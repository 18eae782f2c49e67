//! A subscription: reads where it stands, goes on elsewhere with its cursor.

use crate::clients::journal;
use crate::invariants::subscriptions_are_complete;
use crate::plants::Plant;
use crate::random::Random;
use crate::world::World;
use vexfs_core::ids::Index;
use vexfs_core::journal::Window;

pub struct Subscriber {
    name: String,
    random: Random,
    node: usize,
    cursor: Window,
    /// Events it has had, or passed over by beginning later.
    ordinal: usize,
    begun: bool,
    moved: bool,
}

impl Subscriber {
    pub fn new(seed: u64, number: usize) -> Self {
        Self {
            name: format!("subscriber {number}"),
            random: Random::stream(seed, "subscriber", number as u64),
            node: number,
            cursor: Window { index: Index(1), offset: 0, bytes_max: 1, events_max: 1 },
            ordinal: 0,
            begun: false,
            moved: false,
        }
    }

    /// Reads a buffer; microseconds to the next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.pick(&[50_000, 200_000, 800_000]);
        let gap_us = self.random.between(gap_us / 2, gap_us);
        if self.random.chance(80) || self.node >= world.members.len() {
            self.node = self.random.between(0, world.members.len() as u64) as usize;
            self.moved = true;
        }
        self.cursor.bytes_max = self.random.pick(&[1, 700, 16_000, 64_000]);
        self.cursor.events_max = self.random.pick(&[1, 9, 4_096]);
        let member = &world.members[self.node];
        let Some(running) = member.running.as_ref().filter(|running| !running.paused) else { return gap_us };
        if !std::mem::replace(&mut self.begun, true) && self.random.chance(300) {
            // From the latest on.
            let machine = running.group.machine();
            (self.cursor.index, self.ordinal) = (Index(machine.applied().0 + 1), machine.events() as usize);
            // What nobody has read yet cannot be compared.
            if self.ordinal > world.history.journal.len() {
                (self.cursor.index, self.ordinal) = (Index(1), 0);
            }
        }
        if journal::catch_up(running, &mut self.cursor) {
            self.ordinal = world.history.ordinal_of(self.cursor.index);
        }
        match journal::read(running, self.cursor, world.setup.plant) {
            Ok((mut items, next)) => {
                if std::mem::take(&mut self.moved) && !items.is_empty() {
                    match world.setup.plant {
                        Some(Plant::SubscriptionGap) => drop(items.remove(0)),
                        Some(Plant::SubscriptionRepeats) => items.insert(0, items[0]),
                        _ => {}
                    }
                }
                subscriptions_are_complete::check(world, &self.name, &mut self.ordinal, &items);
                subscriptions_are_complete::check_end(world, self.node, &self.name, self.ordinal, next);
                self.cursor = next;
            }
            Err(error) if journal::met_damage(world, self.node, &error) => {}
            Err(error) => world.history.violate("groups_go_on", format!("{} at {}: {error}", self.name, self.node)),
        }
        gap_us
    }
}
