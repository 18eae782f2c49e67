//! How long it takes to each member and back, by connection: a question now and then, which is answered at once by
//! whoever takes frames there. So it is the time that a message and its answer take, queues and sleeping threads of
//! either side included, and not the line's alone. How long elections may take goes by it, where they are to (`ordered::pace`).

use super::frame::{self, Channel, Frame, FrameKind};
use crate::bytes_le::u64_at;
use crate::ids::{GroupId, MemberId};
use std::collections::{BTreeMap, VecDeque};

/// Answers that percentiles are of.
const KEPT: usize = 256;
/// Answers that a member's distance is of.
const LATELY: usize = 8;
/// After which a question counts as lost: the way out may have been full.
const PATIENCE_US: u64 = 10_000_000;
/// Time of the question, as the asker has it, and the channel.
const BODY_BYTES: usize = 9;

/// A frame for a member, on one of its connections.
pub type Outgoing = (MemberId, Channel, Vec<u8>);

/// Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundTrip {
    /// Answers since the connection was made.
    pub answers: u64,
    /// Of the last 256.
    pub least_us: u32,
    pub p50_us: u32,
    pub p99_us: u32,
    /// Smoothed, and how far single ones are from it (RFC 6298, section 2).
    pub smoothed_us: f64,
    pub deviation_us: f64,
    /// For how long the question under way has had no answer; 0 where none is.
    pub waiting_us: u64,
}

#[derive(Default)]
struct Asked {
    since_us: Option<u64>,
    recent: Vec<u32>,
    answers: u64,
    smoothed_us: f64,
    deviation_us: f64,
}

impl Asked {
    fn note(&mut self, took_us: u32) {
        match self.recent.len() {
            KEPT => self.recent[self.answers as usize % KEPT] = took_us,
            _ => self.recent.push(took_us),
        }
        let took = f64::from(took_us);
        if self.answers == 0 {
            (self.smoothed_us, self.deviation_us) = (took, took / 2.0);
        } else {
            self.deviation_us += ((self.smoothed_us - took).abs() - self.deviation_us) / 4.0;
            self.smoothed_us += (took - self.smoothed_us) / 8.0;
        }
        self.answers += 1;
    }

    fn told(&self, now_us: u64) -> RoundTrip {
        let mut sorted = self.recent.clone();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0);
        RoundTrip {
            answers: self.answers,
            least_us: rank(0),
            p50_us: rank(50),
            p99_us: rank(99),
            smoothed_us: self.smoothed_us,
            deviation_us: self.deviation_us,
            waiting_us: self.since_us.map_or(0, |since| now_us.saturating_sub(since)),
        }
    }
}

/// How far a member is: what most of its last answers took at most. Those that came late, since something was lost or stood
/// still, are left out, if they are few; and who is not connected is as far as it was.
#[derive(Default)]
struct Distance {
    lately: VecDeque<u32>,
}

impl Distance {
    fn note(&mut self, took_us: u32) {
        if self.lately.len() == LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back(took_us);
    }

    fn us(&self) -> u32 {
        let mut sorted: Vec<u32> = self.lately.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * 3 / 4).copied().unwrap_or(0)
    }
}

#[derive(Default)]
pub struct RoundTrips {
    links: BTreeMap<(MemberId, Channel), Asked>,
    /// Of those who have ever answered on their urgent connection.
    distances: BTreeMap<MemberId, Distance>,
}

impl RoundTrips {
    /// A connection of ours to a member is there, a new one: what was asked on the old one has no answer.
    pub fn link_up(&mut self, member: MemberId, channel: Channel) {
        self.links.insert((member, channel), Asked::default());
    }

    pub fn link_down(&mut self, member: MemberId, channel: Channel) {
        self.links.remove(&(member, channel));
    }

    /// Whether any connection to a member is there.
    pub fn is_linked(&self, member: MemberId) -> bool {
        [Channel::Urgent, Channel::Bulk].into_iter().any(|channel| self.links.contains_key(&(member, channel)))
    }

    /// Questions to all who have answered the last one.
    pub fn ask(&mut self, now_us: u64) -> Vec<Outgoing> {
        let due = |asked: &Asked| asked.since_us.is_none_or(|since| now_us >= since + PATIENCE_US);
        let asked = self.links.iter_mut().filter(|(_, asked)| due(asked));
        let question = |((member, channel), asked): (&(MemberId, Channel), &mut Asked)| {
            asked.since_us = Some(now_us);
            (*member, *channel, build(FrameKind::Probe, now_us, *channel))
        };
        asked.map(question).collect()
    }

    /// Takes a question, whose answer it gives, or an answer. None also for what no member sends, or nobody has asked.
    pub fn receive(&mut self, from: MemberId, frame: &Frame, now_us: u64) -> Option<Outgoing> {
        let channel = match frame.body.get(BODY_BYTES - 1) {
            Some(0) if frame.body.len() == BODY_BYTES => Channel::Urgent,
            Some(1) if frame.body.len() == BODY_BYTES => Channel::Bulk,
            _ => return None,
        };
        let at_us = u64_at(&frame.body, 0);
        if frame.kind == FrameKind::Probe {
            return Some((from, channel, build(FrameKind::ProbeAnswer, at_us, channel)));
        }
        let asked = self.links.get_mut(&(from, channel))?;
        if asked.since_us.take_if(|since| *since == at_us).is_some() {
            let took_us = now_us.saturating_sub(at_us).min(u64::from(u32::MAX)) as u32;
            asked.note(took_us);
            if channel == Channel::Urgent {
                self.distances.entry(from).or_default().note(took_us);
            }
        }
        None
    }

    /// How far members are, there and back, in ticks of so many microseconds.
    pub fn distances(&self, tick_us: u32) -> BTreeMap<MemberId, usize> {
        self.distances.iter().map(|(member, distance)| (*member, distance.us().div_ceil(tick_us) as usize)).collect()
    }

    /// By connection.
    pub fn told(&self, now_us: u64) -> BTreeMap<(MemberId, Channel), RoundTrip> {
        self.links.iter().map(|(link, asked)| (*link, asked.told(now_us))).collect()
    }
}

/// Whether a frame is one of these: they belong to no group.
pub fn is_of_no_group(kind: FrameKind) -> bool {
    matches!(kind, FrameKind::Probe | FrameKind::ProbeAnswer)
}

fn build(kind: FrameKind, at_us: u64, channel: Channel) -> Vec<u8> {
    frame::build(kind, GroupId(0), BODY_BYTES, |out| {
        out.extend_from_slice(&at_us.to_le_bytes());
        out.push(channel as u8);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::frame::Assembler;

    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);

    fn frame_of((_, _, bytes): &Outgoing) -> Frame {
        let mut frames = Vec::new();
        Assembler::default().push(bytes, &mut frames).unwrap();
        frames.remove(0)
    }

    /// `b` asks `a` at a time, and has the answer so much later.
    fn trip(a: &mut RoundTrips, b: &mut RoundTrips, now_us: u64, took_us: u64) {
        for question in b.ask(now_us) {
            let answer = a.receive(B, &frame_of(&question), 5).unwrap();
            assert_eq!((answer.0, answer.1), (B, question.1));
            assert_eq!(b.receive(A, &frame_of(&answer), now_us + took_us), None);
        }
    }

    fn linked() -> (RoundTrips, RoundTrips) {
        let (a, mut b) = (RoundTrips::default(), RoundTrips::default());
        b.link_up(A, Channel::Urgent);
        b.link_up(A, Channel::Bulk);
        (a, b)
    }

    #[test]
    fn each_connection_has_its_own_times() {
        let (mut a, mut b) = linked();
        for trips in 0..300 {
            trip(&mut a, &mut b, trips * 1_000_000, 100 + trips);
        }
        let told = b.told(300_000_000);
        assert_eq!(told.len(), 2);
        let times = told[&(A, Channel::Bulk)];
        // The last 256 of them took 144 to 399.
        assert_eq!((times.answers, times.least_us, times.p50_us, times.p99_us), (300, 144, 271, 397));
        assert!((385.0..399.0).contains(&times.smoothed_us), "{}", times.smoothed_us);
        assert!(times.deviation_us > 1.0 && times.deviation_us < 20.0, "{}", times.deviation_us);
        assert_eq!(times.waiting_us, 0);
    }

    #[test]
    fn one_question_is_under_way_and_only_its_answer_counts() {
        let (mut a, mut b) = linked();
        let first = b.ask(1_000);
        assert_eq!(first.len(), 2);
        assert_eq!(b.ask(2_000), []);
        let late = a.receive(B, &frame_of(&first[0]), 0).unwrap();
        // What was lost is asked again.
        assert_eq!(b.ask(1_000 + PATIENCE_US).len(), 2);
        b.receive(A, &frame_of(&late), 2_000 + PATIENCE_US);
        let told = b.told(3_000 + PATIENCE_US)[&(A, Channel::Urgent)];
        assert_eq!((told.answers, told.waiting_us), (0, 2_000));
        // Nobody else answers for it, and nothing is kept of whoever tries.
        assert_eq!(b.receive(B, &frame_of(&late), 0), None);
        assert_eq!(b.told(0).len(), 2);
    }

    #[test]
    fn a_new_connection_begins_anew() {
        let (mut a, mut b) = linked();
        trip(&mut a, &mut b, 0, 50);
        b.link_down(A, Channel::Urgent);
        assert_eq!(b.told(0).len(), 1);
        assert!(b.is_linked(A), "the other one is there");
        b.link_up(A, Channel::Urgent);
        assert_eq!(b.told(0)[&(A, Channel::Urgent)], RoundTrip::default());
        b.link_down(A, Channel::Urgent);
        b.link_down(A, Channel::Bulk);
        assert!(!b.is_linked(A));
    }

    #[test]
    fn a_distance_is_what_most_answers_take_and_outlasts_the_connection() {
        let (mut a, mut b) = linked();
        let mut at_us = 0;
        let mut take = |b: &mut RoundTrips, took_us: u64| {
            at_us += 10_000_000;
            trip(&mut a, b, at_us, took_us);
            b.distances(1_000)[&A]
        };
        assert_eq!(take(&mut b, 80_500), 81);
        for _ in 0..9 {
            assert_eq!(take(&mut b, 20_000), 20);
        }
        // What was lost and sent again, and what waited for a line to come back.
        for took_us in [360_000, 20_000, 20_000, 5_000_000, 20_000] {
            assert_eq!(take(&mut b, took_us), 20);
        }
        b.link_down(A, Channel::Urgent);
        assert_eq!(b.distances(1_000)[&A], 20);
        b.link_up(A, Channel::Urgent);
        let farther: Vec<usize> = (0..6).map(|_| take(&mut b, 150_000)).collect();
        assert_eq!(farther.last(), Some(&150));
    }

    #[test]
    fn what_no_member_sends_is_answered_by_nothing() {
        let (mut a, _) = linked();
        for body in [vec![], vec![0; BODY_BYTES - 1], vec![0; BODY_BYTES + 1], vec![2; BODY_BYTES]] {
            let frame = Frame { kind: FrameKind::Probe, group: GroupId(0), body: body.into() };
            assert_eq!(a.receive(B, &frame, 0), None);
        }
    }
}
