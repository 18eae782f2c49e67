//! Read barriers by ReadIndex (rule R12; Ongaro 2014, section 6.4): many callers share one round, and a round that the
//! engine silently dropped (no committed entry of its term yet, no leader) is asked again under a new context.

use crate::ids::{Index, MemberId, RequestId};
use crate::plants::{self, CorePlant};

/// Ticks after which a round without an answer is asked again; twice as long each time, up to the second figure.
const RETRY_TICKS: u32 = 5;
const RETRY_TICKS_MAX: u32 = 80;
/// Contexts under which a round is listened for: where an answer takes long, it is to an earlier asking.
const CONTEXTS_MAX: usize = 8;
pub const CONTEXT_BYTES: usize = 24;

/// Invariant: every caller came before any of the contexts was asked with.
struct Round {
    /// Each with the time it was asked at.
    contexts: Vec<([u8; CONTEXT_BYTES], u64)>,
    callers: Vec<(RequestId, u64)>,
    index: Option<Index>,
    age_ticks: u32,
    retry_ticks: u32,
}

pub struct Barriers {
    me: MemberId,
    life: u64,
    rounds: u64,
    /// Callers that came after the current round was asked: its answer may be too old for them.
    waiting: Vec<(RequestId, u64)>,
    current: Option<Round>,
    /// Callers that need no round, with the index they wait for.
    granted: Vec<(RequestId, u64, Index)>,
}

impl Barriers {
    pub fn new(me: MemberId, life: u64) -> Self {
        Self { me, life, rounds: 0, waiting: Vec::new(), current: None, granted: Vec::new() }
    }

    pub fn add(&mut self, request: RequestId, now_us: u64) {
        self.waiting.push((request, now_us));
    }

    pub fn remove(&mut self, request: RequestId) {
        self.waiting.retain(|(id, _)| *id != request);
        self.granted.retain(|(id, ..)| *id != request);
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
            (round.age_ticks, round.retry_ticks) = (RETRY_TICKS, RETRY_TICKS);
        }
    }

    /// The context to ask ReadIndex with now, if a round is due. Contexts are unique across members (raft keeps them
    /// in one map at the leader), lives and rounds.
    pub fn due(&mut self, now_us: u64) -> Option<[u8; CONTEXT_BYTES]> {
        match &self.current {
            Some(round) if round.index.is_some() || round.age_ticks < round.retry_ticks => return None,
            None if self.waiting.is_empty() => return None,
            _ => self.rounds += 1,
        }
        let mut context = [0; CONTEXT_BYTES];
        context[..8].copy_from_slice(&self.me.0.to_le_bytes());
        context[8..16].copy_from_slice(&self.life.to_le_bytes());
        context[16..].copy_from_slice(&self.rounds.to_le_bytes());
        if plants::is(CorePlant::ReusedContext) {
            context = [7; CONTEXT_BYTES];
        }
        let waiting = &mut self.waiting;
        let round = self.current.get_or_insert_with(|| Round {
            contexts: Vec::new(),
            callers: std::mem::take(waiting),
            index: None,
            age_ticks: 0,
            retry_ticks: RETRY_TICKS / 2,
        });
        if round.contexts.len() == CONTEXTS_MAX {
            round.contexts.remove(0);
        }
        round.contexts.push((context, now_us));
        (round.age_ticks, round.retry_ticks) = (0, (2 * round.retry_ticks).clamp(RETRY_TICKS, RETRY_TICKS_MAX));
        Some(context)
    }

    /// Raft's answer to a round, under whichever of its contexts; answers to older rounds are of no use any more.
    /// When it was asked.
    pub fn answered(&mut self, context: &[u8], index: Index) -> Option<u64> {
        let round = self.current.as_mut()?;
        let (_, asked_us) = round.contexts.iter().find(|(asked, _)| asked == context)?;
        round.index = Some(index);
        Some(*asked_us)
    }

    /// Lets everybody who waits pass at `index` without a round.
    pub fn grant(&mut self, index: Index) {
        self.granted.extend(self.waiting.drain(..).map(|(request, since_us)| (request, since_us, index)));
    }

    /// Callers whose barrier is passed at `applied`, with the time they came.
    pub fn passed(&mut self, applied: Index) -> Vec<(RequestId, u64)> {
        let mut passed = Vec::new();
        self.granted.retain(|(request, since_us, index)| {
            if *index <= applied {
                passed.push((*request, *since_us));
            }
            *index > applied
        });
        if self.current.as_ref().is_some_and(|round| round.index.is_some_and(|index| index <= applied)) {
            passed.extend(self.current.take().map_or(Vec::new(), |round| round.callers));
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barriers() -> Barriers {
        let mut barriers = Barriers::new(MemberId(1), 1);
        barriers.add(RequestId(1), 0);
        barriers
    }

    /// Where a round takes longer than the time after which it is asked again, every answer is to an earlier asking.
    #[test]
    fn a_late_answer_counts() {
        let mut barriers = barriers();
        let first = barriers.due(0).unwrap();
        (0..RETRY_TICKS).for_each(|_| barriers.tick());
        assert_ne!(barriers.due(0).unwrap(), first);
        assert_eq!(barriers.answered(&first, Index(7)), Some(0));
        assert_eq!(barriers.passed(Index(7)), [(RequestId(1), 0)]);
    }

    /// An answer to what was asked before a caller came may be too old for it.
    #[test]
    fn a_later_caller_waits_for_a_round_of_its_own() {
        let mut barriers = barriers();
        let first = barriers.due(0).unwrap();
        barriers.add(RequestId(2), 1);
        (0..RETRY_TICKS).for_each(|_| barriers.tick());
        barriers.due(0).unwrap();
        assert_eq!(barriers.answered(&first, Index(7)), Some(0));
        assert_eq!(barriers.passed(Index(7)), [(RequestId(1), 0)]);
        let second = barriers.due(0).unwrap();
        barriers.answered(&second, Index(9));
        assert_eq!(barriers.passed(Index(9)), [(RequestId(2), 1)]);
    }
}
