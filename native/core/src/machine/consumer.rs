//! Named consumers: where each stands, who holds its name, and how far delivery may have gone (rule R8).

use crate::ids::Index;
use std::collections::BTreeMap;

/// A place in the journal, ordered as the journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub index: Index,
    pub offset: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// Fencing token: grows with each holder of the name.
    pub epoch: u64,
    /// Random number of the holder: an attachment handed in twice counts once.
    pub holder: u64,
    /// Everything up to and including this event is done.
    pub acknowledged: Position,
    /// Delivery may have gone up to and including this event: claimed before it is handed out, so that
    /// `redelivered` is never missing from an event that was seen before.
    pub claimed: Position,
}

/// A later holder has taken the name over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    pub epoch: u64,
}

pub struct Consumers {
    consumers: BTreeMap<String, Consumer>,
    max: usize,
}

impl Consumers {
    pub fn new(max: usize) -> Self {
        Self { consumers: BTreeMap::new(), max }
    }

    pub fn get(&self, name: &str) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Consumer)> {
        self.consumers.iter()
    }

    /// Puts a consumer back as a snapshot has it.
    pub fn put(&mut self, name: String, consumer: Consumer) {
        self.consumers.insert(name, consumer);
    }

    /// Takes the name over; a new one starts right after `from`. `None`: there are as many names as allowed.
    pub fn attach(&mut self, name: String, holder: u64, from: Position) -> Option<Consumer> {
        if !self.consumers.contains_key(&name) && self.consumers.len() >= self.max {
            return None;
        }
        let fresh = Consumer { epoch: 0, holder: 0, acknowledged: from, claimed: from };
        let consumer = self.consumers.entry(name).or_insert(fresh);
        if consumer.epoch == 0 || consumer.holder != holder {
            consumer.epoch += 1;
            consumer.holder = holder;
        }
        Some(*consumer)
    }

    pub fn claim(&mut self, name: &str, epoch: u64, through: Position) -> Result<Consumer, Fenced> {
        let consumer = self.held(name, epoch)?;
        consumer.claimed = consumer.claimed.max(through);
        Ok(*consumer)
    }

    pub fn acknowledge(&mut self, name: &str, epoch: u64, through: Position) -> Result<Consumer, Fenced> {
        let consumer = self.held(name, epoch)?;
        consumer.acknowledged = consumer.acknowledged.max(through);
        consumer.claimed = consumer.claimed.max(through);
        Ok(*consumer)
    }

    fn held(&mut self, name: &str, epoch: u64) -> Result<&mut Consumer, Fenced> {
        match self.consumers.get_mut(name) {
            Some(consumer) if consumer.epoch == epoch => Ok(consumer),
            Some(consumer) => Err(Fenced { epoch: consumer.epoch }),
            None => Err(Fenced { epoch: 0 }),
        }
    }
}
