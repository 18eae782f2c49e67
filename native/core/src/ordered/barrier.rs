//! Read barriers by ReadIndex (rule R12; Ongaro 2014, section 6.4): many callers share one round, and a round that the
//! engine silently dropped (no committed entry of its term yet, no leader) is asked again under a new context.

use crate::ids::{Index, MemberId, RequestId};

/// Ticks after which a round without an answer is asked again.
const RETRY_TICKS: u32 = 5;
pub const CONTEXT_BYTES: usize = 24;

struct Round {
    context: [u8; CONTEXT_BYTES],
    callers: Vec<(RequestId, u64)>,
    index: Option<Index>,
    age_ticks: u32,
}

pub struct Barriers {
    me: MemberId,
    incarnation: u64,
    rounds: u64,
    /// Callers that came after the current round was asked: its answer may be too old for them.
    waiting: Vec<(RequestId, u64)>,
    current: Option<Round>,
}

impl Barriers {
    pub fn new(me: MemberId, incarnation: u64) -> Self {
        Self { me, incarnation, rounds: 0, waiting: Vec::new(), current: None }
    }

    pub fn add(&mut self, request: RequestId, now_us: u64) {
        self.waiting.push((request, now_us));
    }

    pub fn remove(&mut self, request: RequestId) {
        self.waiting.retain(|(id, _)| *id != request);
        if let Some(round) = &mut self.current {
            round.callers.retain(|(id, _)| *id != request);
        }
    }

    pub fn tick(&mut self) {
        if let Some(round) = &mut self.current {
            round.age_ticks += 1;
        }
    }

    /// Another leader, another round: the old one's context may be lost with its leader.
    pub fn ask_again(&mut self) {
        if let Some(round) = &mut self.current {
            round.age_ticks = RETRY_TICKS;
        }
    }

    /// The context to ask ReadIndex with now, if a round is due. Contexts are unique across members (raft keeps them
    /// in one map at the leader), incarnations and rounds.
    pub fn due(&mut self) -> Option<[u8; CONTEXT_BYTES]> {
        let retry = match &self.current {
            Some(round) if round.index.is_some() || round.age_ticks < RETRY_TICKS => return None,
            Some(_) => true,
            None => false,
        };
        if !retry && self.waiting.is_empty() {
            return None;
        }
        self.rounds += 1;
        let mut context = [0; CONTEXT_BYTES];
        context[..8].copy_from_slice(&self.me.0.to_le_bytes());
        context[8..16].copy_from_slice(&self.incarnation.to_le_bytes());
        context[16..].copy_from_slice(&self.rounds.to_le_bytes());
        let mut callers = self.current.take().map_or(Vec::new(), |round| round.callers);
        callers.append(&mut self.waiting);
        self.current = Some(Round { context, callers, index: None, age_ticks: 0 });
        Some(context)
    }

    /// Raft's answer to a round; answers to older rounds are of no use any more.
    pub fn answered(&mut self, context: &[u8], index: Index) {
        if let Some(round) = &mut self.current {
            if round.context == context {
                round.index = Some(index);
            }
        }
    }

    /// Callers whose barrier is passed at `applied`, with the time they came.
    pub fn passed(&mut self, applied: Index) -> Vec<(RequestId, u64)> {
        match &self.current {
            Some(round) if round.index.is_some_and(|index| index <= applied) => {
                self.current.take().map_or(Vec::new(), |round| round.callers)
            }
            _ => Vec::new(),
        }
    }
}
