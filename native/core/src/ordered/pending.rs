//! Requests this member took and has not answered: kept until they are applied here, handed in again, in order, to
//! every new leader. Suppression makes handing in twice harmless (rule R3).

use crate::event::Submission;
use crate::ids::{Index, RequestId, SessionId, Term};
use crate::machine::Outcome;
use std::collections::BTreeMap;

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

/// Invariant: `bytes` is the sum of the submissions' sizes, and every request below `cursor` has been handed to the
/// current leader since the last `hand_in_again`.
#[derive(Default)]
pub struct Pending {
    requests: BTreeMap<RequestId, Request>,
    cursor: RequestId,
    bytes: usize,
}

impl Pending {
    pub fn insert(&mut self, id: RequestId, request: Request) {
        self.bytes += request.submission.bytes().len();
        self.requests.insert(id, request);
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
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
            // It is applied for the session's sake: nobody waits for other members to follow.
            request.applied_quorum = 1;
        }
    }

    /// The leader changed, or may have missed some: everything is handed in again.
    pub fn hand_in_again(&mut self) {
        self.cursor = RequestId(0);
    }

    /// The next requests to hand in, oldest first, up to `bytes_max` (at least one); they count as handed.
    pub fn hand_in(&mut self, bytes_max: usize, mut take: impl FnMut(&Submission)) -> bool {
        let (mut bytes, mut any) = (0, false);
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

    /// The first request that no application has ended yet.
    pub fn oldest_waiting(&self) -> Option<RequestId> {
        self.requests.iter().find(|(_, request)| matches!(request.progress, Progress::Waiting)).map(|(id, _)| *id)
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
