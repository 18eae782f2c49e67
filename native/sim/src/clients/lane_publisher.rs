//! Publishers to the causal lane: causal and eventual events, several at a time, through whichever member; some are taken
//! back.

use crate::clients::draft::Draft;
use crate::history::State;
use crate::random::Random;
use crate::setup::Setup;
use crate::world::World;
use vexfs_core::ids::{EventId, RequestId};

/// Open requests of a publisher at most.
const OPEN_MAX: usize = 12;

struct Publisher {
    random: Random,
    node: usize,
    open: Vec<(usize, RequestId)>,
}

pub struct LanePublishers {
    publishers: Vec<Publisher>,
    pace_us: u64,
    next_id: u128,
}

impl LanePublishers {
    pub fn new(setup: &Setup) -> Self {
        let publisher = |number: usize| Publisher {
            random: Random::stream(setup.seed, "lane publisher", number as u64),
            node: number,
            open: Vec::new(),
        };
        Self { publishers: (0..setup.causal).map(publisher).collect(), pace_us: setup.causal_pace_us, next_id: 0 }
    }

    /// One thing this publisher does; microseconds to its next.
    pub fn act(&mut self, world: &mut World, number: usize) -> u64 {
        let publisher = &mut self.publishers[number];
        let random = &mut publisher.random;
        if random.chance(100) || publisher.node >= world.members.len() {
            publisher.node = random.between(0, world.members.len() as u64) as usize;
        }
        let node = publisher.node;
        let is_open = |(node, id): &(usize, RequestId)| world.history.requests.get(&(*node, *id)).is_some_and(|request| request.state == State::Open && !request.unattended);
        publisher.open.retain(is_open);
        if random.chance(60) && !publisher.open.is_empty() {
            let (node, request) = random.pick(&publisher.open);
            world.withdraw(node, request);
        }
        let times = if random.chance(20) { 6 } else { 1 };
        for _ in 0..times {
            if publisher.open.len() >= OPEN_MAX {
                break;
            }
            let level = if random.chance(250) { 0 } else { 1 };
            let events = (0..random.between(1, 4)).map(|_| {
                self.next_id += 1;
                // Apart from the ids of the ordered groups' events.
                EventId(self.next_id << 64 | 0xCA)
            });
            let draft = Draft::kept(level, events.collect());
            let request = world.publish(node, &draft);
            publisher.open.extend(request.map(|request| (node, request)));
        }
        publisher.random.gap_us(self.pace_us)
    }
}
