//! Requests this member took and has not answered: kept until they are applied here, handed in again, in order, to
//! every new leader. Suppression makes handing in twice harmless (rule R3).

use super::conf::Conf;
use super::held::{Held, Replication};
use crate::causal::actor::Actor;
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

/// Invariant: `bytes` is the sum of the submissions' sizes, and every one of `requests` below `cursor` that is not
/// `released` has been handed to the current leader since the last `hand_in_again`. No request is also in `held`.
#[derive(Default)]
pub struct Pending {
    requests: BTreeMap<RequestId, Request>,
    cursor: RequestId,
    bytes: usize,
    held: Held,
    /// Below the cursor, and not held any more.
    released: BTreeSet<RequestId>,
}

impl Pending {
    pub fn insert(&mut self, id: RequestId, request: Request) {
        self.bytes += request.submission.bytes().len();
        if let Some(request) = self.held.keep(id, request) {
            self.requests.insert(id, request);
        }
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id).or_else(|| self.held.remove(id))?;
        self.take_free();
        self.released.remove(&id);
        self.bytes -= request.submission.bytes().len();
        Some(request)
    }

    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.requests.get_mut(&id).or_else(|| self.held.get_mut(id))
    }

    /// Puts another submission in a request's place, that of a withdrawn one.
    pub fn replace(&mut self, id: RequestId, submission: Submission) {
        let (before, after) = (self.bytes, submission.bytes().len());
        if let Some(request) = self.get_mut(id) {
            let bytes = before - request.submission.bytes().len() + after;
            request.submission = submission;
            // It is applied for the session's sake: nobody waits for other members to follow.
            request.applied_quorum = 1;
            self.bytes = bytes;
            self.held.follow_nothing(id);
            self.take_free();
        }
    }

    /// The leader changed, or may have missed some: everything is handed in again.
    pub fn hand_in_again(&mut self) {
        self.cursor = RequestId(0);
        self.released.clear();
    }

    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Lets a request be handed in that has just come, if it need not be held.
    pub fn look_at(&mut self, id: RequestId, lane: &mut impl Replication, conf: &Conf) {
        self.held.look_at(id, lane, conf);
        self.take_free();
    }

    /// Lets those be handed in that need not be held any more; whether there were any. `arrived`: of each actor the last entry
    /// that was delivered here, where that has changed.
    pub fn release(&mut self, arrived: &[(Actor, u64)], lane: &mut impl Replication, conf: &Conf) -> bool {
        self.held.arrived(arrived, lane, conf);
        self.held.told(lane, conf);
        self.take_free()
    }

    fn take_free(&mut self) -> bool {
        let free = self.held.take_free();
        let any = !free.is_empty();
        for (id, request) in free {
            if id < self.cursor {
                self.released.insert(id);
            }
            self.requests.insert(id, request);
        }
        any
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
            if !matches!(request.progress, Progress::Waiting) {
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
        let waits = |(_, request): &(&RequestId, &Request)| matches!(request.progress, Progress::Waiting);
        self.requests.iter().find(waits).map(|(id, _)| *id)
    }

    /// Whether an earlier request of this session is still waiting here.
    pub fn has_earlier(&self, session: SessionId, sequence: u64) -> bool {
        self.requests.values().chain(self.held.iter()).any(|request| {
            matches!(request.progress, Progress::Waiting)
                && request.submission.session() == session
                && request.submission.first_sequence() < sequence
        })
    }

    /// All that are not held.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestId, &Request)> {
        self.requests.iter()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.requests.len() + self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::actor::{Clock, OriginId};
    use crate::event::{stamp, SubmissionKind, FOLLOWING_VERSION, SUBMISSION_HEADER_BYTES, SUBMISSION_VERSION};
    use crate::ids::MemberId;
    use std::cell::Cell;

    const ACTOR: Actor = Actor { member: MemberId(9), incarnation: 0 };

    /// A submission of one event, in a session where there is one, that follows the actor's first entry.
    fn request(id: u64, session: u128, sequence: u64, follows: bool) -> Request {
        request_of(id, session, sequence, follows.then_some(1))
    }

    fn request_of(id: u64, session: u128, sequence: u64, follows: Option<u64>) -> Request {
        let mut record = vec![0; 56];
        record[0] = 56;
        let mut bytes = vec![if follows.is_some() { FOLLOWING_VERSION } else { SUBMISSION_VERSION }, 1, 2, 1];
        bytes.resize(SUBMISSION_HEADER_BYTES, 0);
        bytes[12] = 1;
        bytes[16..32].copy_from_slice(&session.to_be_bytes());
        bytes[32..40].copy_from_slice(&sequence.to_le_bytes());
        bytes.push(b'a');
        if let Some(counter) = follows {
            bytes.extend_from_slice(&[1, 0, 0, 0]);
            ACTOR.put(&mut bytes);
            bytes.extend_from_slice(&counter.to_le_bytes());
        }
        bytes.extend_from_slice(&record);
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        stamp(&mut bytes, MemberId(1), RequestId(id), 0);
        let submission = Submission::parse(bytes.into()).expect("it is whole");
        assert_eq!(submission.follows().collect::<Vec<_>>(), follows.map(|counter| (ACTOR, counter)).into_iter().collect::<Vec<_>>());
        assert_eq!(submission.events().count(), 1);
        Request { submission, taken_at_us: 0, applied_quorum: 1, progress: Progress::Waiting, handed: false }
    }

    /// A lane of one actor, of which a majority has something once it is told.
    #[derive(Default)]
    struct Lane {
        delivered: Clock,
        majority: Clock,
        looks: Cell<usize>,
        asked: usize,
    }

    impl Replication for Lane {
        fn lacking(&self, follows: &[(Actor, u64)], stage: Option<&Clock>) -> Option<usize> {
            self.looks.set(self.looks.get() + 1);
            follows.iter().position(|(actor, counter)| *actor != ACTOR || stage.unwrap_or(&self.delivered).get(OriginId(0)) < *counter)
        }

        fn stage(&self) -> Clock {
            self.delivered.clone()
        }

        fn is_replicated(&self, _: &[(Actor, u64)], _: &Conf) -> bool {
            false
        }

        fn majority_has(&mut self, stage: &Clock, _: &Conf) -> bool {
            self.looks.set(self.looks.get() + 1);
            self.majority.covers(stage)
        }

        fn ask_for(&mut self, _: &Clock, _: &Conf) {
            self.asked += 1;
        }
    }

    impl Lane {
        fn deliver(&mut self, counter: u64) -> [(Actor, u64); 1] {
            self.delivered.set(OriginId(0), counter);
            [(ACTOR, counter)]
        }

        fn tell(&mut self) {
            self.majority.clone_from(&self.delivered);
        }
    }

    fn insert(pending: &mut Pending, lane: &mut Lane, requests: &[(u64, u128, u64, bool)]) {
        for (id, session, sequence, follows) in requests {
            pending.insert(RequestId(*id), request(*id, *session, *sequence, *follows));
            pending.look_at(RequestId(*id), lane, &Conf::default());
        }
    }

    fn handed_in(pending: &mut Pending) -> Vec<u64> {
        let mut out = Vec::new();
        pending.hand_in(usize::MAX, |submission| out.push(submission.request().0));
        out
    }

    #[test]
    fn what_follows_is_held_and_its_session_behind_it() {
        let (mut pending, mut lane, conf) = (Pending::default(), Lane::default(), Conf::default());
        let requests = [(1, 5, 1, false), (2, 5, 2, true), (3, 5, 3, false), (4, 0, 0, false), (5, 6, 1, true), (6, 0, 0, true)];
        insert(&mut pending, &mut lane, &requests);
        assert_eq!(handed_in(&mut pending), [1, 4]);
        assert_eq!((pending.oldest_waiting(), pending.len()), (Some(RequestId(1)), 6));
        assert!(pending.has_earlier(SessionId(6), 2));
        assert!(!pending.release(&[], &mut lane, &conf));
        assert!(!pending.release(&lane.deliver(1), &mut lane, &conf), "it is here, and that is not enough");
        insert(&mut pending, &mut lane, &[(7, 0, 0, true)]);
        assert_eq!(lane.asked, 1, "nobody is asked twice for the same");
        lane.tell();
        assert!(pending.release(&[], &mut lane, &conf));
        assert_eq!(handed_in(&mut pending), [2, 3, 5, 6, 7], "once, in their order");
        assert!(handed_in(&mut pending).is_empty() && !pending.holds_any());
        pending.hand_in_again();
        assert_eq!(handed_in(&mut pending), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn what_cannot_move_is_not_looked_at() {
        let (mut pending, mut lane, conf) = (Pending::default(), Lane::default(), Conf::default());
        for id in 1..=1_000 {
            insert(&mut pending, &mut lane, &[(id, u128::from(id % 7), id, true)]);
        }
        let elsewhere = [(Actor { incarnation: 1, ..ACTOR }, 1)];
        let looks = lane.looks.get();
        assert!((0..1_000).all(|_| !pending.release(&elsewhere, &mut lane, &conf)));
        assert_eq!(lane.looks.get(), looks, "what they follow is not here");
        assert!(!pending.release(&lane.deliver(1), &mut lane, &conf));
        let looks = lane.looks.get();
        assert!((0..1_000).all(|_| !pending.release(&[], &mut lane, &conf)));
        assert_eq!(lane.looks.get(), looks + 1_000, "one look for all that a majority lacks");
        lane.tell();
        assert!(pending.release(&[], &mut lane, &conf));
        assert_eq!(handed_in(&mut pending), (1..=1_000).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        let (mut pending, mut lane, conf) = (Pending::default(), Lane::default(), Conf::default());
        for counter in 1..=100 {
            // Each finds more delivered than the one before, which had it all.
            lane.deliver(counter);
            pending.insert(RequestId(counter), request_of(counter, 0, 0, Some(counter)));
            pending.look_at(RequestId(counter), &mut lane, &conf);
        }
        lane.majority.set(OriginId(0), 3);
        assert!(pending.release(&[], &mut lane, &conf));
        assert_eq!(handed_in(&mut pending), [1, 2, 3]);
        lane.tell();
        assert!(pending.release(&[], &mut lane, &conf));
        assert_eq!(handed_in(&mut pending), (4..=100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_taken_back_holds_nobody_up() {
        let (mut pending, mut lane) = (Pending::default(), Lane::default());
        insert(&mut pending, &mut lane, &[(1, 5, 1, true), (2, 5, 2, false), (3, 5, 3, true), (4, 5, 4, false)]);
        assert!(handed_in(&mut pending).is_empty());
        let skip = pending.get_mut(RequestId(1)).map(|request| request.submission.skipped()).expect("it waits");
        assert_eq!(skip.follows().count(), 0);
        pending.replace(RequestId(1), Submission::parse(skip.bytes().clone()).expect("it is whole"));
        assert_eq!(handed_in(&mut pending), [1, 2]);
        assert!(pending.remove(RequestId(3)).is_some());
        assert_eq!(handed_in(&mut pending), [4]);
        assert!([1, 2, 4].iter().all(|id| pending.remove(RequestId(*id)).is_some()));
        assert!(pending.bytes() == 0 && pending.is_empty() && !pending.holds_any());
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
