//! Readies between leaving raft and being on disk: what may be said at once, and what only afterwards.
//!
//! Rule R1 lives here: a vote or an append is acknowledged by a message that waits for its write.

use crate::ids::Index;
use raft::eraftpb::{Message, MessageType};
use std::collections::VecDeque;

struct Held {
    number: u64,
    /// False for a ready that had nothing to write: it is as durable as the ones before it.
    writes: bool,
    /// Highest entry it made durable, lowered when a later ready cuts the log.
    last: Option<Index>,
    changes_vote: bool,
    messages: Vec<Message>,
    /// Its write is that of a received snapshot.
    installs: bool,
}

/// A ready as it goes to the log.
pub struct Written {
    pub number: u64,
    pub writes: bool,
    /// Highest entry in it.
    pub last: Option<Index>,
    pub changes_vote: bool,
    pub installs: bool,
}

/// What finished writes set free.
#[derive(Default)]
pub struct Released {
    pub number: u64,
    pub durable: Option<Index>,
    pub messages: Vec<Message>,
    pub installed: bool,
}

/// Invariant: numbers ascend, and the front, if any, writes.
#[derive(Default)]
pub struct Persistence {
    held: VecDeque<Held>,
}

impl Persistence {
    /// Whether a term or vote is on its way to the disk, this ready's included.
    pub fn changes_vote(&self, now: bool) -> bool {
        now || self.held.iter().any(|held| held.changes_vote)
    }

    /// Splits off the messages that need not wait. A heartbeat's answer and a forwarded read say nothing about the
    /// log, so that a stalled disk does not make this member look dead; but while a term or vote is on its way to
    /// the disk, nothing may be said in that term.
    pub fn speak_early(&self, messages: Vec<Message>, changes_vote: bool) -> (Vec<Message>, Vec<Message>) {
        if self.changes_vote(changes_vote) {
            return (Vec::new(), messages);
        }
        messages.into_iter().partition(|message| {
            matches!(
                message.get_msg_type(),
                MessageType::MsgHeartbeatResponse | MessageType::MsgReadIndex | MessageType::MsgReadIndexResp
            )
        })
    }

    /// Remembers a ready. `cut`: the index from which its entries replace earlier ones.
    pub fn hold(&mut self, ready: Written, cut: Option<Index>, messages: Vec<Message>) -> Option<Released> {
        let Written { number, writes, last, changes_vote, installs } = ready;
        if let Some(cut) = cut {
            for held in &mut self.held {
                held.last = held.last.map(|last| last.min(Index(cut.0 - 1)));
            }
        }
        if !writes && self.held.is_empty() {
            return Some(Released { number, durable: None, messages, installed: false });
        }
        self.held.push_back(Held { number, writes, last, changes_vote, messages, installs });
        None
    }

    /// The write of ready `number`, and so of all before it, is on disk.
    pub fn persisted(&mut self, number: u64) -> Option<Released> {
        let mut released: Option<Released> = None;
        while self.held.front().is_some_and(|held| held.number <= number || !held.writes) {
            if let Some(held) = self.held.pop_front() {
                let out = released.get_or_insert_with(Released::default);
                out.number = held.number;
                out.durable = out.durable.max(held.last);
                out.installed |= held.installs;
                out.messages.extend(held.messages);
            }
        }
        released
    }

    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }
}
