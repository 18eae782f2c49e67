//! What uses the cluster: publishers, readers with barriers, subscriptions and named consumers; publishers,
//! readers and sessions of the causal lane. Each has a stream of chance of its own, and hops between members.

pub mod consumer;
pub mod draft;
pub mod journal;
pub mod lane_publisher;
pub mod lane_reader;
pub mod lane_session;
pub mod operator;
pub mod publisher;
pub mod rule_setter;
pub mod state_keeper;
pub mod subscriber;

use crate::queue::Event;
use crate::world::World;
use consumer::Consumer;
use lane_publisher::LanePublishers;
use lane_reader::LaneReader;
use lane_session::LaneSession;
use operator::Operator;
use publisher::Publishers;
use rule_setter::RuleSetter;
use state_keeper::StateKeeper;
use subscriber::Subscriber;

pub struct Clients {
    publishers: Publishers,
    subscribers: Vec<Subscriber>,
    consumers: Vec<Consumer>,
    lane_publishers: LanePublishers,
    lane_readers: Vec<LaneReader>,
    lane_sessions: Vec<LaneSession>,
    state_keepers: Vec<StateKeeper>,
    operator: Operator,
    rule_setter: RuleSetter,
}

impl Clients {
    pub fn new(world: &mut World) -> Self {
        let setup = &world.setup;
        let seed = setup.seed;
        let clients = Self {
            publishers: Publishers::new(seed, setup.publishers, setup.pace_us),
            subscribers: (0..setup.subscribers).map(|number| Subscriber::new(setup, number)).collect(),
            consumers: (0..setup.consumers).map(|number| Consumer::new(seed, number)).collect(),
            lane_publishers: LanePublishers::new(setup),
            lane_readers: (0..setup.causal).map(|number| LaneReader::new(seed, number)).collect(),
            lane_sessions: (0..setup.causal).map(|number| LaneSession::new(seed, number)).collect(),
            state_keepers: (0..if setup.has_states { setup.members } else { 0 }).map(|node| StateKeeper::new(seed, node)).collect(),
            operator: Operator::new(seed),
            rule_setter: RuleSetter::new(seed),
        };
        let counts = (setup.publishers, setup.subscribers, setup.consumers);
        (0..counts.0).for_each(|number| world.events.at(400_000, Event::Publisher { number: number as u8 }));
        (0..counts.1).for_each(|number| world.events.at(500_000, Event::Subscriber { number: number as u8 }));
        (0..counts.2).for_each(|number| world.events.at(600_000, Event::Consumer { number: number as u8 }));
        for number in 0..world.setup.causal as u8 {
            world.events.at(450_000, Event::LanePublisher { number });
            world.events.at(550_000, Event::LaneReader { number });
            world.events.at(650_000, Event::LaneSession { number });
        }
        (0..clients.state_keepers.len()).for_each(|number| world.events.at(350_000, Event::StateKeeper { number: number as u8 }));
        if world.setup.founders < world.setup.members {
            world.events.at(700_000, Event::Operator);
        }
        if world.setup.selective {
            world.events.at(750_000, Event::RuleSetter);
        }
        clients
    }

    /// Carries out a client's event, and plans its next.
    pub fn act(&mut self, world: &mut World, event: Event) {
        let gap_us = match event {
            Event::Publisher { number } => self.publishers.act(world, number as usize),
            Event::Subscriber { number } => self.subscribers[number as usize].act(world),
            Event::Consumer { number } => self.consumers[number as usize].act(world),
            Event::LanePublisher { number } => self.lane_publishers.act(world, number as usize),
            Event::LaneReader { number } => self.lane_readers[number as usize].act(world),
            Event::LaneSession { number } => self.lane_sessions[number as usize].act(world),
            Event::StateKeeper { number } => self.state_keepers[number as usize].act(world),
            Event::Operator => self.operator.act(world),
            Event::RuleSetter => self.rule_setter.act(world),
            _ => return,
        };
        let at_us = world.now_us + gap_us;
        // Subscriptions go on while the cluster heals; nothing new is asked of it then.
        if at_us < world.setup.until_us || matches!(event, Event::Subscriber { .. } | Event::LaneReader { .. } | Event::StateKeeper { .. }) {
            world.events.at(at_us, event);
        }
    }

    /// At the end of a run.
    pub fn judge(&mut self, world: &mut World) {
        self.state_keepers.iter_mut().for_each(|keeper| keeper.judge(world));
    }

    /// Learns of the requests that have ended.
    pub fn learn(&mut self, world: &mut World) {
        for (node, completion) in std::mem::take(&mut world.ended) {
            self.publishers.learn(node, completion.request);
            for session in &mut self.lane_sessions {
                session.learn(world, node, &completion);
            }
            for consumer in &mut self.consumers {
                consumer.learn(world, node, &completion);
            }
        }
    }
}
