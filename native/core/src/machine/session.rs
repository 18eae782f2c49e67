//! Sessions: contiguous sequences, so that a retry is recognised and a session's order survives pipelining (rule R3).

use crate::ids::{Index, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// What a sequence is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The next one: apply it.
    Next,
    /// Applied before: answer as then.
    Repeated,
    /// An earlier one has not been applied: not yet.
    Early,
    /// The session is not known (any more), although its owner has receipts from it.
    Expired,
}

impl Standing {
    /// Of `sequence` in a session whose last applied one is `last`. `acknowledged`: the highest sequence its owner has
    /// an answer for; zero says that it may be its very first.
    pub fn of(last: Option<u64>, sequence: u64, acknowledged: u64) -> Self {
        match last {
            Some(last) if sequence <= last => Standing::Repeated,
            Some(last) if sequence == last + 1 => Standing::Next,
            Some(_) => Standing::Early,
            None if acknowledged > 0 => Standing::Expired,
            None if sequence == 1 => Standing::Next,
            None => Standing::Early,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Session {
    last_sequence: u64,
    last_active: Index,
}

/// Invariant: `by_activity` holds exactly one pair for each session, and `sessions.len() <= max`.
pub struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    by_activity: BTreeSet<(Index, SessionId)>,
    max: usize,
}

impl Sessions {
    pub fn new(max: usize) -> Self {
        Self { sessions: BTreeMap::new(), by_activity: BTreeSet::new(), max: max.max(1) }
    }

    /// The last sequence applied; `None` for a session that is not known.
    pub fn last_sequence(&self, id: SessionId) -> Option<u64> {
        self.sessions.get(&id).map(|session| session.last_sequence)
    }

    /// Moves a session on to `last_sequence`. Over the limit, the session that was quiet longest (by log order, the
    /// same on every member) is forgotten.
    pub fn advance(&mut self, id: SessionId, last_sequence: u64, at: Index) {
        if let Some(session) = self.sessions.get_mut(&id) {
            if session.last_active != at {
                self.by_activity.remove(&(session.last_active, id));
                self.by_activity.insert((at, id));
            }
            *session = Session { last_sequence, last_active: at };
            return;
        }
        if self.sessions.len() >= self.max {
            if let Some((_, quiet)) = self.by_activity.pop_first() {
                self.sessions.remove(&quiet);
            }
        }
        self.sessions.insert(id, Session { last_sequence, last_active: at });
        self.by_activity.insert((at, id));
    }

    /// Every session with its last sequence and the index that moved it last, in order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, u64, Index)> + '_ {
        self.sessions.iter().map(|(id, session)| (*id, session.last_sequence, session.last_active))
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId(1);

    fn standing(sessions: &Sessions, id: SessionId, sequence: u64, acknowledged: u64) -> Standing {
        Standing::of(sessions.last_sequence(id), sequence, acknowledged)
    }

    #[test]
    fn sequences_apply_contiguously() {
        let mut sessions = Sessions::new(2);
        assert_eq!(standing(&sessions, A, 2, 0), Standing::Early);
        assert_eq!(standing(&sessions, A, 1, 0), Standing::Next);
        sessions.advance(A, 1, Index(1));
        assert_eq!(standing(&sessions, A, 1, 0), Standing::Repeated);
        assert_eq!(standing(&sessions, A, 2, 1), Standing::Next);
        assert_eq!(standing(&sessions, A, 3, 1), Standing::Early);
    }

    #[test]
    fn the_quietest_session_goes_first() {
        let mut sessions = Sessions::new(2);
        sessions.advance(A, 1, Index(1));
        sessions.advance(SessionId(2), 1, Index(2));
        sessions.advance(A, 2, Index(3));
        sessions.advance(SessionId(3), 1, Index(4));
        assert_eq!(sessions.len(), 2);
        assert_eq!(standing(&sessions, SessionId(2), 2, 1), Standing::Expired);
        assert_eq!(standing(&sessions, A, 3, 2), Standing::Next);
    }
}
