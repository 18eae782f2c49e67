//! Publishers to the causal lane: causal and eventual events, several at a time, through whichever member; some are taken
//! back, some are published again, there or elsewhere.

use crate::clients::draft::Draft;
use crate::history::State;
use crate::random::Random;
use crate::setup::Setup;
use crate::world::World;
use std::collections::VecDeque;
use vexfs_core::ids::{EventId, RequestId};

/// Open requests of a publisher at most.
const OPEN_MAX: usize = 12;
/// Events that one may publish again.
const RECENT_MAX: usize = 40;

struct Publisher {
    random: Random,
    node: usize,
    open: Vec<(usize, RequestId)>,
    recent: VecDeque<EventId>,
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
            recent: VecDeque::new(),
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
            let again = random.chance(250);
            let mut events: Vec<EventId> = Vec::new();
            for _ in 0..random.between(1, 4) {
                let known = if again && random.chance(700) { publisher.recent.get(random.between(0, RECENT_MAX as u64) as usize).copied() } else { None };
                if let Some(id) = known.filter(|id| !events.contains(id)) {
                    world.history.lane.retried.insert(id);
                    events.push(id);
                    continue;
                }
                self.next_id += 1;
                // Apart from the ids of the ordered groups' events.
                events.push(EventId(self.next_id << 64 | 0xCA));
            }
            let draft = Draft::kept(level, events.clone());
            let request = world.publish(node, &draft);
            publisher.recent.extend(events);
            while publisher.recent.len() > RECENT_MAX {
                publisher.recent.pop_front();
            }
            publisher.open.extend(request.map(|request| (node, request)));
        }
        publisher.random.gap_us(self.pace_us)
    }
}
