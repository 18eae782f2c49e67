//! Requests this member took and has not answered: kept until they are applied here, handed in again, in order, to
//! every new leader. Suppression makes handing in twice harmless (rule R3).

use crate::causal::actor::{Actor, Clock};
use crate::event::Submission;
use crate::ids::{Index, RequestId, SessionId, Term};
use crate::machine::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// How far a request has come.
pub enum Progress {
    Waiting,
    /// Applied here; of a strong publish: until enough voters have applied it too.
    Applied { index: Index, term: Term, outcome: Outcome },
}

pub struct Request {
    pub submission: Submission,
    pub taken_at_us: u64,
    /// Voters that must have applied it before it is answered; 1 is this member alone.
    pub applied_quorum: u32,
    pub progress: Progress,
    /// A leader may have seen it: from then on only its application tells its end.
    pub handed: bool,
}

/// Why a request is not handed in yet: what it follows in the causal lane is not on the disks of a majority (rule R6), or
/// an earlier one of its session waits for that.
#[derive(Default)]
pub struct Held {
    pub follows: Vec<(Actor, u64)>,
    /// All that was delivered here when that was; what a majority is to have.
    pub past: Option<Clock>,
}

/// Invariant: `bytes` is the sum of the submissions' sizes, and every request below `cursor` that is neither
/// `held` nor `released` has been handed to the current leader since the last `hand_in_again`. No request is both.
#[derive(Default)]
pub struct Pending {
    requests: BTreeMap<RequestId, Request>,
    cursor: RequestId,
    bytes: usize,
    held: BTreeMap<RequestId, Held>,
    /// Below the cursor, and not held any more.
    released: BTreeSet<RequestId>,
}

impl Pending {
    pub fn insert(&mut self, id: RequestId, request: Request) {
        self.bytes += request.submission.bytes().len();
        let follows: Vec<_> = request.submission.follows().collect();
        if !follows.is_empty() || self.is_behind_held(request.submission.session(), id) {
            self.held.insert(id, Held { follows, past: None });
        }
        self.requests.insert(id, request);
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.held.remove(&id);
        self.released.remove(&id);
        self.bytes -= request.submission.bytes().len();
        Some(request)
    }

    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.requests.get_mut(&id)
    }

    /// Puts another submission in a request's place, that of a withdrawn one.
    pub fn replace(&mut self, id: RequestId, submission: Submission) {
        if let Some(request) = self.requests.get_mut(&id) {
            self.bytes = self.bytes - request.submission.bytes().len() + submission.bytes().len();
            request.submission = submission;
            // What is skipped follows nothing.
            self.held.entry(id).and_modify(|held| *held = Held::default());
            // It is applied for the session's sake: nobody waits for other members to follow.
            request.applied_quorum = 1;
        }
    }

    /// The leader changed, or may have missed some: everything is handed in again.
    pub fn hand_in_again(&mut self) {
        self.cursor = RequestId(0);
        self.released.clear();
    }

    /// Whether an earlier request of the session is held.
    fn is_behind_held(&self, session: SessionId, id: RequestId) -> bool {
        let is_of = |id: &RequestId| self.requests.get(id).is_some_and(|request| request.submission.session() == session);
        !session.is_none() && self.held.range(..id).any(|(id, _)| is_of(id))
    }

    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Lets those from `first` on be handed in, in order, of which `is_due` says that they need not be held for themselves.
    /// Whether there were any.
    pub fn release(&mut self, first: RequestId, mut is_due: impl FnMut(&mut Held) -> bool) -> bool {
        let mut due: Vec<RequestId> = self.held.range_mut(first..).filter_map(|(id, held)| is_due(held).then_some(*id)).collect();
        due.retain(|id| {
            let session = self.requests.get(id).map(|request| request.submission.session());
            if session.is_some_and(|session| self.is_behind_held(session, *id)) {
                return false;
            }
            self.held.remove(id);
            if *id < self.cursor {
                self.released.insert(*id);
            }
            true
        });
        !due.is_empty()
    }

    /// The next requests to hand in, oldest first, up to `bytes_max` (at least one); they count as handed.
    pub fn hand_in(&mut self, bytes_max: usize, mut take: impl FnMut(&Submission)) -> bool {
        let (mut bytes, mut any) = (0, false);
        while let Some(request) = self.released.first().and_then(|id| self.requests.get_mut(id)) {
            let size = request.submission.bytes().len();
            if any && bytes + size > bytes_max {
                return true;
            }
            request.handed = true;
            take(&request.submission);
            (bytes, any) = (bytes + size, true);
            self.released.pop_first();
        }
        for (id, request) in self.requests.range_mut(self.cursor..) {
            if !matches!(request.progress, Progress::Waiting) || self.held.contains_key(id) {
                self.cursor = RequestId(id.0 + 1);
                continue;
            }
            let size = request.submission.bytes().len();
            if any && bytes + size > bytes_max {
                return true;
            }
            request.handed = true;
            take(&request.submission);
            bytes += size;
            any = true;
            self.cursor = RequestId(id.0 + 1);
        }
        any
    }

    /// The first request to be handed in that no application has ended yet.
    pub fn oldest_waiting(&self) -> Option<RequestId> {
        let waits = |(id, request): &(&RequestId, &Request)| matches!(request.progress, Progress::Waiting) && !self.held.contains_key(id);
        self.requests.iter().find(waits).map(|(id, _)| *id)
    }

    /// Whether an earlier request of this session is still waiting here.
    pub fn has_earlier(&self, session: SessionId, sequence: u64) -> bool {
        self.requests.values().any(|request| {
            matches!(request.progress, Progress::Waiting)
                && request.submission.session() == session
                && request.submission.first_sequence() < sequence
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&RequestId, &Request)> {
        self.requests.iter()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.requests.len()
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{stamp, SubmissionKind, FOLLOWING_VERSION, SUBMISSION_HEADER_BYTES, SUBMISSION_VERSION};
    use crate::ids::MemberId;

    const ACTOR: Actor = Actor { member: MemberId(9), incarnation: 0 };

    /// A submission of one event, in a session where there is one, that follows the actor's first entry.
    fn request(id: u64, session: u128, sequence: u64, follows: bool) -> Request {
        let mut record = vec![0; 56];
        record[0] = 56;
        let mut bytes = vec![if follows { FOLLOWING_VERSION } else { SUBMISSION_VERSION }, 1, 2, 1];
        bytes.resize(SUBMISSION_HEADER_BYTES, 0);
        bytes[12] = 1;
        bytes[16..32].copy_from_slice(&session.to_be_bytes());
        bytes[32..40].copy_from_slice(&sequence.to_le_bytes());
        bytes.push(b'a');
        if follows {
            bytes.extend_from_slice(&[1, 0, 0, 0]);
            ACTOR.put(&mut bytes);
            bytes.extend_from_slice(&1u64.to_le_bytes());
        }
        bytes.extend_from_slice(&record);
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        stamp(&mut bytes, MemberId(1), RequestId(id), 0);
        let submission = Submission::parse(bytes.into()).expect("it is whole");
        assert_eq!(submission.follows().collect::<Vec<_>>(), if follows { vec![(ACTOR, 1)] } else { Vec::new() });
        assert_eq!(submission.events().count(), 1);
        Request { submission, taken_at_us: 0, applied_quorum: 1, progress: Progress::Waiting, handed: false }
    }

    fn handed_in(pending: &mut Pending) -> Vec<u64> {
        let mut out = Vec::new();
        pending.hand_in(usize::MAX, |submission| out.push(submission.request().0));
        out
    }

    #[test]
    fn what_follows_is_held_and_its_session_behind_it() {
        let mut pending = Pending::default();
        let requests = [(1, 5, 1, false), (2, 5, 2, true), (3, 5, 3, false), (4, 0, 0, false), (5, 6, 1, true), (6, 0, 0, true)];
        for (id, session, sequence, follows) in requests {
            pending.insert(RequestId(id), request(id, session, sequence, follows));
        }
        assert_eq!(handed_in(&mut pending), [1, 4]);
        assert_eq!(pending.oldest_waiting(), Some(RequestId(1)));
        assert!(!pending.release(RequestId(0), |held| held.follows.is_empty()), "what is behind a held one stays");
        assert!(!pending.release(RequestId(7), |_| true), "those before are not looked at");
        assert!(pending.release(RequestId(0), |_| true));
        assert_eq!(handed_in(&mut pending), [2, 3, 5, 6], "once, in their order");
        assert!(handed_in(&mut pending).is_empty() && !pending.holds_any());
        pending.hand_in_again();
        assert_eq!(handed_in(&mut pending), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_taken_back_holds_nobody_up() {
        let mut pending = Pending::default();
        for (id, sequence, follows) in [(1, 1, true), (2, 2, false)] {
            pending.insert(RequestId(id), request(id, 5, sequence, follows));
        }
        assert!(handed_in(&mut pending).is_empty());
        let skip = pending.get_mut(RequestId(1)).map(|request| request.submission.skipped()).expect("it waits");
        assert_eq!(skip.follows().count(), 0);
        pending.replace(RequestId(1), Submission::parse(skip.bytes().clone()).expect("it is whole"));
        assert!(pending.release(RequestId(0), |held| held.follows.is_empty()));
        assert_eq!(handed_in(&mut pending), [1, 2]);
        pending.remove(RequestId(1));
        pending.remove(RequestId(2));
        assert_eq!(pending.bytes(), 0);
    }

    #[test]
    fn what_follows_is_checked() {
        let good = request(1, 0, 0, true).submission.bytes().to_vec();
        let at = SUBMISSION_HEADER_BYTES + 1;
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            Submission::parse(bytes.into()).is_err()
        };
        assert!(refused(&|bytes| bytes[at] = 0), "nothing");
        assert!(refused(&|bytes| bytes[at] = 2), "more than there is");
        assert!(refused(&|bytes| bytes[at + 2] = 1), "reserved");
        assert!(refused(&|bytes| bytes[at + 4 + Actor::BYTES] = 0), "entry 0");
        assert!(refused(&|bytes| bytes[0] = 3), "a version to come");
        assert!(refused(&|bytes| bytes[1] = SubmissionKind::Skip as u8), "of a skip");
        for length in 0..good.len() {
            assert!(refused(&|bytes| {
                bytes.truncate(length);
                if length >= 8 {
                    bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
                }
            }), "{length}");
        }
    }
}
