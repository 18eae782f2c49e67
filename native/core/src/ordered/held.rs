//! Requests that are not handed in yet: what they follow in the causal lane is not on the disks of a majority (rule R6), or
//! an earlier one of their session waits for that. Each is found by what it waits for, so that those that cannot move cost
//! nothing, however many they are.

use super::conf::Conf;
use super::pending::Request;
use crate::causal::actor::{Actor, Clock};
use crate::ids::{RequestId, SessionId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Stages of the causal lane that a majority is asked for at a time; each is a clock in memory.
const STAGES_MAX: usize = 8;

/// What the causal lane knows of the entries that requests follow.
pub trait Replication {
    /// The first of these entries that is not within a stage; without one, that was not delivered here.
    fn lacking(&self, follows: &[(Actor, u64)], stage: Option<&Clock>) -> Option<usize>;
    /// All that was delivered here by now.
    fn stage(&self) -> Clock;
    /// Whether a majority was found before to have these entries on disk.
    fn is_replicated(&self, follows: &[(Actor, u64)], conf: &Conf) -> bool;
    /// Whether a majority of the voters has said to have it on disk.
    fn majority_has(&mut self, stage: &Clock, conf: &Conf) -> bool;
    /// Asks the voters that lack something of it to tell as soon as they have it on disk.
    fn ask_for(&mut self, stage: &Clock, conf: &Conf);
}

#[derive(Clone, Copy)]
enum Wait {
    /// For an entry to be delivered here.
    Delivery(Actor, u64),
    /// For a majority to have one of `stages`.
    Majority,
    /// For those before it in its session.
    Session,
}

struct One {
    request: Request,
    follows: Vec<(Actor, u64)>,
    /// Of `follows`, how many were delivered here.
    met: usize,
    wait: Wait,
}

/// All that was delivered here at some time, and the requests that wait for a majority to have it.
struct Stage {
    delivered: Clock,
    requests: BTreeSet<RequestId>,
}

/// Invariant: a request is in `undelivered` or in one of `stages` where its `wait` says so, and in `sessions` if it has one.
/// Each of `stages` covers the one before: while a majority lacks the first, it lacks all.
#[derive(Default)]
pub struct Held {
    all: BTreeMap<RequestId, One>,
    sessions: BTreeMap<SessionId, BTreeSet<RequestId>>,
    undelivered: BTreeMap<Actor, BTreeSet<(u64, RequestId)>>,
    stages: VecDeque<Stage>,
    /// Those that need not be held any more, until they are taken.
    free: Vec<(RequestId, Request)>,
}

impl Held {
    /// Keeps a request that has to wait; gives back any other.
    pub fn keep(&mut self, id: RequestId, request: Request) -> Option<Request> {
        let session = request.submission.session();
        let follows: Vec<_> = request.submission.follows().collect();
        let is_behind = self.sessions.get(&session).is_some_and(|held| held.range(..id).next().is_some());
        if follows.is_empty() && !is_behind {
            return Some(request);
        }
        if !session.is_none() {
            self.sessions.entry(session).or_default().insert(id);
        }
        let first = follows.first().copied();
        self.all.insert(id, One { request, follows, met: 0, wait: Wait::Session });
        if let Some((actor, counter)) = first {
            self.wait_for(id, actor, counter);
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.all.get_mut(&id).map(|one| &mut one.request)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Request> {
        self.all.values().map(|one| &one.request)
    }

    pub fn take_free(&mut self) -> Vec<(RequestId, Request)> {
        std::mem::take(&mut self.free)
    }

    /// Those behind it need not wait for it any more.
    pub fn remove(&mut self, id: RequestId) -> Option<Request> {
        self.unwait(id);
        let One { request, .. } = self.all.remove(&id)?;
        let session = request.submission.session();
        if let Some(held) = self.sessions.get_mut(&session) {
            held.remove(&id);
            self.go_on(session);
        }
        Some(request)
    }

    /// It follows nothing any more, and waits for its session alone.
    pub fn follow_nothing(&mut self, id: RequestId) {
        self.unwait(id);
        if let Some(one) = self.all.get_mut(&id) {
            one.follows.clear();
            self.met(id);
        }
    }

    /// Looks at those that wait for what was delivered here: of each actor the last entry.
    pub fn arrived(&mut self, arrived: &[(Actor, u64)], lane: &mut impl Replication, conf: &Conf) {
        for (actor, counter) in arrived {
            while let Some(id) = self.undelivered.get(actor).and_then(BTreeSet::first).filter(|(of, _)| of <= counter).map(|(_, id)| *id) {
                self.look_at(id, lane, conf);
            }
        }
    }

    /// Looks at those that wait for a majority.
    pub fn told(&mut self, lane: &mut impl Replication, conf: &Conf) {
        while self.stages.front().is_some_and(|stage| stage.requests.is_empty() || lane.majority_has(&stage.delivered, conf)) {
            let stage = self.stages.pop_front();
            stage.into_iter().flat_map(|stage| stage.requests).for_each(|id| self.met(id));
        }
    }

    pub fn look_at(&mut self, id: RequestId, lane: &mut impl Replication, conf: &Conf) {
        self.unwait(id);
        let Some(one) = self.all.get_mut(&id).filter(|one| !matches!(one.wait, Wait::Session)) else { return };
        if let Some(lacking) = lane.lacking(&one.follows[one.met..], None) {
            one.met += lacking;
            let (actor, counter) = one.follows[one.met];
            return self.wait_for(id, actor, counter);
        }
        one.met = one.follows.len();
        if lane.is_replicated(&one.follows, conf) {
            return self.met(id);
        }
        one.wait = Wait::Majority;
        if let Some(stage) = self.stages.iter_mut().find(|stage| lane.lacking(&one.follows, Some(&stage.delivered)).is_none()) {
            stage.requests.insert(id);
            return;
        }
        let delivered = lane.stage();
        if lane.majority_has(&delivered, conf) {
            return self.met(id);
        }
        lane.ask_for(&delivered, conf);
        let last = if self.stages.len() == STAGES_MAX { self.stages.pop_back() } else { None };
        // Those of the last wait for more than they follow then, but not for more than a majority is asked for.
        let mut requests = last.map_or_else(BTreeSet::new, |last| last.requests);
        requests.insert(id);
        self.stages.push_back(Stage { delivered, requests });
    }

    fn wait_for(&mut self, id: RequestId, actor: Actor, counter: u64) {
        if let Some(one) = self.all.get_mut(&id) {
            one.wait = Wait::Delivery(actor, counter);
            self.undelivered.entry(actor).or_default().insert((counter, id));
        }
    }

    fn unwait(&mut self, id: RequestId) {
        match self.all.get(&id).map(|one| one.wait) {
            Some(Wait::Delivery(actor, counter)) => {
                if let Some(waiting) = self.undelivered.get_mut(&actor) {
                    waiting.remove(&(counter, id));
                    if waiting.is_empty() {
                        self.undelivered.remove(&actor);
                    }
                }
            }
            Some(Wait::Majority) => {
                self.stages.iter_mut().any(|stage| stage.requests.remove(&id));
            }
            Some(Wait::Session) | None => {}
        }
    }

    /// A majority has what a request follows.
    fn met(&mut self, id: RequestId) {
        let Some(one) = self.all.get_mut(&id) else { return };
        one.wait = Wait::Session;
        match one.request.submission.session() {
            session if session.is_none() => self.free.extend(self.all.remove(&id).map(|one| (id, one.request))),
            session => self.go_on(session),
        }
    }

    /// Frees the first ones of a session, up to one that waits for something else.
    fn go_on(&mut self, session: SessionId) {
        let Some(held) = self.sessions.get_mut(&session) else { return };
        while let Some(id) = held.first().copied().filter(|id| self.all.get(id).is_none_or(|one| matches!(one.wait, Wait::Session))) {
            held.remove(&id);
            self.free.extend(self.all.remove(&id).map(|one| (id, one.request)));
        }
        if held.is_empty() {
            self.sessions.remove(&session);
        }
    }
}
