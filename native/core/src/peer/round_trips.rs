//! How long it takes to each member and back, by connection: a question now and then, which is answered at once by
//! whoever takes frames there. So it is the time that a message and its answer take, queues and sleeping threads of
//! either side included, and not the line's alone. How long elections may take goes by it, where they are to (`ordered::pace`).
//!
//! An answer says what the clock on the wall shows there. One's own is ahead by the time since the question, halved, and
//! what is left between both (RFC 5905, section 8); of the last eight answers that of the shortest round trip counts, which
//! says most (section 10).

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
/// An urgent question that has waited so long waits for a process that stands still.
const STUCK_US: u64 = 3_000_000;
/// Time of the question, as the asker has it, and the channel.
const QUESTION_BYTES: usize = 9;
/// The same, and milliseconds since 1970 of whoever answers.
const ANSWER_BYTES: usize = 17;
/// The clock here was set where it goes on by so much more or less than time does; a smaller step is left to new answers.
const STEP_MS: i64 = 1_000;
/// Answers of which one tells the difference of the clocks.
const CLOCK_ANSWERS: usize = 8;

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
    /// By how much the other's clock is ahead, in milliseconds; below 0 it is behind.
    pub clock_offset_ms: i64,
}

/// The way to a member and back on its connection for bulk, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BulkLine {
    /// What most questions took of late, or what the one under way has taken already.
    pub distance: u64,
    /// How long ago the last question was asked that has an answer.
    pub answered_ago: Option<u64>,
    /// Not even what is urgent is answered.
    pub is_stuck: bool,
}

/// What the clock on the wall shows here, and one that never stands still or jumps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub us: u64,
    pub wall_ms: u64,
}

#[derive(Default)]
struct Asked {
    since_us: Option<u64>,
    /// When the last question was asked that was answered.
    answered_us: Option<u64>,
    /// Since when no question has had an answer, those included that count as lost.
    silent_since_us: Option<u64>,
    recent: Vec<u32>,
    /// Of the last answers how long they took, and the other clock's lead in milliseconds.
    clocks: VecDeque<(u32, i64)>,
    answers: u64,
    smoothed_us: f64,
    deviation_us: f64,
}

impl Asked {
    fn note(&mut self, took_us: u32, offset_ms: i64) {
        if self.clocks.len() == CLOCK_ANSWERS {
            self.clocks.pop_front();
        }
        self.clocks.push_back((took_us, offset_ms));
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

    fn waiting_us(&self, now_us: u64) -> u64 {
        self.silent_since_us.map_or(0, |since| now_us.saturating_sub(since))
    }

    /// The shortest way of late, and what it has told.
    fn clock(&self) -> Option<(u32, i64)> {
        self.clocks.iter().min_by_key(|(took_us, _)| *took_us).copied()
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
            clock_offset_ms: self.clock().map_or(0, |(_, offset_ms)| offset_ms),
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
    /// What the clock here showed when the one that never jumps stood at 0.
    began_ms: Option<i64>,
    /// Of those who have ever answered there. A new connection for bulk has nothing queued yet.
    distances: BTreeMap<(MemberId, Channel), Distance>,
}

impl RoundTrips {
    /// A connection of ours to a member is there, a new one: what was asked on the old one has no answer.
    pub fn link_up(&mut self, member: MemberId, channel: Channel) {
        self.links.insert((member, channel), Asked::default());
        if channel == Channel::Bulk {
            self.distances.remove(&(member, channel));
        }
    }

    pub fn link_down(&mut self, member: MemberId, channel: Channel) {
        self.links.remove(&(member, channel));
    }

    /// Whether any connection to a member is there.
    pub fn is_linked(&self, member: MemberId) -> bool {
        [Channel::Urgent, Channel::Bulk].into_iter().any(|channel| self.links.contains_key(&(member, channel)))
    }

    /// Questions to all who have answered the last one.
    pub fn ask(&mut self, now: Now) -> Vec<Outgoing> {
        self.note_step(now);
        let now_us = now.us;
        let due = |asked: &Asked| asked.since_us.is_none_or(|since| now_us >= since + PATIENCE_US);
        let asked = self.links.iter_mut().filter(|(_, asked)| due(asked));
        let question = |((member, channel), asked): (&(MemberId, Channel), &mut Asked)| {
            asked.since_us = Some(now_us);
            asked.silent_since_us.get_or_insert(now_us);
            (*member, *channel, build_question(now_us, *channel))
        };
        asked.map(question).collect()
    }

    /// What is known of other clocks holds on when the one here is set.
    fn note_step(&mut self, now: Now) {
        let began_ms = (now.wall_ms as i64).wrapping_sub((now.us / 1_000) as i64);
        let step_ms = self.began_ms.replace(began_ms).map_or(0, |before| began_ms.wrapping_sub(before));
        if step_ms.unsigned_abs() < STEP_MS as u64 {
            return;
        }
        for (_, offset_ms) in self.links.values_mut().flat_map(|asked| &mut asked.clocks) {
            *offset_ms = offset_ms.saturating_sub(step_ms);
        }
    }

    /// Takes a question, whose answer it gives, or an answer. None also for what no member sends, or nobody has asked.
    pub fn receive(&mut self, from: MemberId, frame: &Frame, now: Now) -> Option<Outgoing> {
        let bytes = if frame.kind == FrameKind::Probe { QUESTION_BYTES } else { ANSWER_BYTES };
        let channel = match frame.body.get(QUESTION_BYTES - 1) {
            Some(0) if frame.body.len() == bytes => Channel::Urgent,
            Some(1) if frame.body.len() == bytes => Channel::Bulk,
            _ => return None,
        };
        let at_us = u64_at(&frame.body, 0);
        if frame.kind == FrameKind::Probe {
            return Some((from, channel, build_answer(at_us, channel, now.wall_ms)));
        }
        // Before what it shows is compared with the clock as it is set now.
        self.note_step(now);
        let asked = self.links.get_mut(&(from, channel))?;
        if asked.since_us.take_if(|since| *since == at_us).is_some() {
            let took_us = now.us.saturating_sub(at_us).min(u64::from(u32::MAX)) as u32;
            let there_now_ms = u64_at(&frame.body, QUESTION_BYTES).saturating_add(u64::from(took_us) / 2_000);
            (asked.answered_us, asked.silent_since_us) = (Some(at_us), None);
            asked.note(took_us, there_now_ms.wrapping_sub(now.wall_ms) as i64);
            self.distances.entry((from, channel)).or_default().note(took_us);
        } else if at_us <= now.us && asked.silent_since_us.is_some_and(|since| since <= at_us) {
            // It counted as lost. What was asked behind it is still under way.
            (asked.answered_us, asked.silent_since_us) = (Some(at_us), asked.since_us);
            self.distances.entry((from, channel)).or_default().note((now.us - at_us).min(u64::from(u32::MAX)) as u32);
        }
        None
    }

    /// By how much the clock here is ahead of those of more than half of the members that have answered, in milliseconds;
    /// 0 where it is not, or none has.
    pub fn clock_ahead_ms(&self) -> u64 {
        let mut by_member: BTreeMap<MemberId, (u32, i64)> = BTreeMap::new();
        for ((member, _), asked) in &self.links {
            let Some(clock) = asked.clock() else { continue };
            let known = by_member.entry(*member).or_insert(clock);
            *known = clock.min(*known);
        }
        let mut leads: Vec<i64> = by_member.values().map(|(_, offset_ms)| offset_ms.saturating_neg()).collect();
        leads.sort_unstable_by(|a, b| b.cmp(a));
        leads.get(leads.len() / 2).map_or(0, |lead| (*lead).max(0) as u64)
    }

    /// How far members are, there and back on their urgent connections, in ticks of so many microseconds.
    pub fn distances(&self, tick_us: u32) -> BTreeMap<MemberId, usize> {
        let urgent = self.distances.iter().filter(|((_, channel), _)| *channel == Channel::Urgent);
        urgent.map(|((member, _), distance)| (*member, distance.us().div_ceil(tick_us) as usize)).collect()
    }

    /// Of the connections for bulk, with what is queued there.
    pub fn bulk_lines(&self, now_us: u64, tick_us: u32) -> BTreeMap<MemberId, BulkLine> {
        let ticks = |us: u64| us.div_ceil(u64::from(tick_us));
        let bulk = self.links.iter().filter(|((_, channel), _)| *channel == Channel::Bulk);
        let line = |(link, asked): (&(MemberId, Channel), &Asked)| {
            let distance_us = self.distances.get(link).map_or(0, |distance| u64::from(distance.us()));
            let urgent = self.links.get(&(link.0, Channel::Urgent));
            let line = BulkLine {
                distance: ticks(distance_us.max(asked.waiting_us(now_us))),
                answered_ago: asked.answered_us.map(|at| ticks(now_us.saturating_sub(at))),
                is_stuck: urgent.is_none_or(|urgent| urgent.waiting_us(now_us) >= STUCK_US),
            };
            (link.0, line)
        };
        bulk.map(line).collect()
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

fn build_question(at_us: u64, channel: Channel) -> Vec<u8> {
    frame::build(FrameKind::Probe, GroupId(0), QUESTION_BYTES, |out| put(out, at_us, channel))
}

fn build_answer(at_us: u64, channel: Channel, wall_ms: u64) -> Vec<u8> {
    frame::build(FrameKind::ProbeAnswer, GroupId(0), ANSWER_BYTES, |out| {
        put(out, at_us, channel);
        out.extend_from_slice(&wall_ms.to_le_bytes());
    })
}

fn put(out: &mut Vec<u8>, at_us: u64, channel: Channel) {
    out.extend_from_slice(&at_us.to_le_bytes());
    out.push(channel as u8);
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
        for question in b.ask(at(now_us)) {
            let answer = a.receive(B, &frame_of(&question), at(5)).unwrap();
            assert_eq!((answer.0, answer.1), (B, question.1));
            assert_eq!(b.receive(A, &frame_of(&answer), at(now_us + took_us)), None);
        }
    }

    fn at(us: u64) -> Now {
        Now { us, wall_ms: 0 }
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
        let first = b.ask(at(1_000));
        assert_eq!(first.len(), 2);
        assert_eq!(b.ask(at(2_000)), []);
        let late = a.receive(B, &frame_of(&first[0]), at(0)).unwrap();
        // What was lost is asked again.
        assert_eq!(b.ask(at(1_000 + PATIENCE_US)).len(), 2);
        b.receive(A, &frame_of(&late), at(2_000 + PATIENCE_US));
        let told = b.told(3_000 + PATIENCE_US)[&(A, Channel::Urgent)];
        assert_eq!((told.answers, told.waiting_us), (0, 2_000));
        // Nobody else answers for it, and nothing is kept of whoever tries.
        assert_eq!(b.receive(B, &frame_of(&late), at(0)), None);
        assert_eq!(b.told(0).len(), 2);
    }

    #[test]
    fn a_full_line_is_far_from_the_first_question_on() {
        let (mut a, mut b) = linked();
        trip(&mut a, &mut b, 0, 30_000);
        let line = |b: &RoundTrips, now_us| b.bulk_lines(now_us, 10_000)[&A];
        assert_eq!((b.distances(10_000)[&A], line(&b, 1_000_000)), (3, BulkLine { distance: 3, answered_ago: Some(100), is_stuck: false }));
        let asked = b.ask(at(1_000_000));
        assert_eq!(line(&b, 5_000_000), BulkLine { distance: 400, answered_ago: Some(500), is_stuck: true });
        let answer = a.receive(B, &frame_of(&asked[0]), at(0)).unwrap();
        b.receive(A, &frame_of(&answer), at(5_000_000));
        // What counts as lost is still waited for: the line has not become shorter.
        b.ask(at(1_000_000 + PATIENCE_US));
        assert_eq!(line(&b, 2_000_000 + PATIENCE_US), BulkLine { distance: 1_100, answered_ago: Some(1_200), is_stuck: false });
        // Nor is it for nothing that its answer comes late.
        let answer = a.receive(B, &frame_of(&asked[1]), at(0)).unwrap();
        b.receive(A, &frame_of(&answer), at(3_000_000 + PATIENCE_US));
        assert_eq!(line(&b, 3_000_000 + PATIENCE_US), BulkLine { distance: 200, answered_ago: Some(1_200), is_stuck: false });
        b.link_up(A, Channel::Bulk);
        assert_eq!(line(&b, 0), BulkLine::default(), "nothing is queued there");
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
        for (kind, bytes) in [(FrameKind::Probe, QUESTION_BYTES), (FrameKind::ProbeAnswer, ANSWER_BYTES)] {
            for body in [vec![], vec![0; bytes - 1], vec![0; bytes + 1], vec![2; bytes]] {
                let frame = Frame { kind, group: GroupId(0), body: body.into() };
                assert_eq!(a.receive(B, &frame, at(0)), None);
            }
        }
    }

    /// What a member makes of the clocks of others, which are ahead of its own by so many milliseconds each.
    fn ahead_of(offsets_ms: &[i64]) -> u64 {
        let mut here = RoundTrips::default();
        for (member, offset_ms) in (2..).map(MemberId).zip(offsets_ms) {
            here.link_up(member, Channel::Bulk);
            let questions = here.ask(at(1_000));
            let (_, _, question) = questions.iter().find(|(to, _, _)| *to == member).unwrap();
            let mut there = RoundTrips::default();
            let now = Now { us: 0, wall_ms: 5_000_000u64.wrapping_add_signed(*offset_ms) };
            let answer = there.receive(A, &frame_of(&(A, Channel::Bulk, question.clone())), now).unwrap();
            here.receive(member, &frame_of(&answer), Now { us: 3_000, wall_ms: 5_000_001 });
        }
        here.clock_ahead_ms()
    }

    #[test]
    fn a_clock_is_ahead_when_it_is_of_more_than_half_of_the_others() {
        assert_eq!(ahead_of(&[]), 0);
        assert_eq!(ahead_of(&[-500]), 500);
        assert_eq!(ahead_of(&[500]), 0);
        // Of two one may be behind, and nobody knows which is right.
        assert_eq!(ahead_of(&[-500, 0]), 0);
        assert_eq!(ahead_of(&[-500, -700]), 500);
        // Two of five are wrong alike.
        assert_eq!(ahead_of(&[0, -500, -510, -520]), 500);
        assert_eq!(ahead_of(&[500, 500, 0, 0]), 0);
        assert!(ahead_of(&[-4_000_000, -4_000_000]) > 3_999_000);
    }

    #[test]
    fn a_clock_that_is_set_is_known_to_be_ahead_before_new_answers() {
        let (mut a, mut b) = linked();
        for question in b.ask(Now { us: 0, wall_ms: 7_000 }) {
            let answer = a.receive(B, &frame_of(&question), Now { us: 0, wall_ms: 7_000 }).unwrap();
            b.receive(A, &frame_of(&answer), Now { us: 0, wall_ms: 7_000 });
        }
        b.ask(Now { us: 1_000_000, wall_ms: 8_000 });
        assert_eq!(b.clock_ahead_ms(), 0);
        b.ask(Now { us: 2_000_000, wall_ms: 109_000 });
        assert_eq!(b.clock_ahead_ms(), 100_000);
        b.ask(Now { us: 3_000_000, wall_ms: 10_000 });
        assert_eq!(b.clock_ahead_ms(), 0);
    }

    /// Between the setting and the next question: it was taken for set twice as far.
    #[test]
    fn an_answer_that_comes_after_the_clock_was_set_knows_of_it() {
        let (mut a, mut b) = linked();
        for (us, asked_ms, answered_ms) in [(0, 7_000, 7_000), (1_000_000, 8_000, 58_000)] {
            for question in b.ask(Now { us, wall_ms: asked_ms }) {
                let answer = a.receive(B, &frame_of(&question), Now { us, wall_ms: asked_ms }).unwrap();
                b.receive(A, &frame_of(&answer), Now { us, wall_ms: answered_ms });
            }
        }
        assert_eq!(b.clock_ahead_ms(), 50_000);
        b.ask(Now { us: 2_000_000, wall_ms: 59_000 });
        assert_eq!(b.clock_ahead_ms(), 50_000);
    }

    #[test]
    fn of_the_last_answers_the_quickest_tells_the_clock() {
        let (mut a, mut b) = linked();
        let mut answered = |asked_us: u64, took_us: u64, there_ms: u64, here_ms: u64| {
            for question in b.ask(Now { us: asked_us, wall_ms: here_ms }) {
                let answer = a.receive(B, &frame_of(&question), Now { us: 0, wall_ms: there_ms }).unwrap();
                b.receive(A, &frame_of(&answer), Now { us: asked_us + took_us, wall_ms: here_ms });
            }
            b.told(0)[&(A, Channel::Urgent)].clock_offset_ms
        };
        // 20 ms there and back: 10 of them have passed since the answer.
        assert_eq!(answered(0, 20_000, 1_000, 1_000), 10);
        assert_eq!(answered(1_000_000, 200_000, 9_000, 2_000), 10);
        assert_eq!(answered(2_000_000, 2_000, 3_301, 3_000), 302);
        // What was is forgotten, also of clocks that were set since.
        for trip in 3..11 {
            answered(trip * 1_000_000, 4_000, 998 + trip * 1_000, 1_000 + trip * 1_000);
        }
        assert_eq!(answered(11_000_000, 6_000, 11_998, 12_000), 0);
    }
}
