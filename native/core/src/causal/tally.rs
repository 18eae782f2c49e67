//! What retention lets go of an origin's log: events and bytes are counted back from its end, block by block, as far as
//! the limits ask for. What was in the log before an open is counted when its turn comes.

use super::WHOLE_EVERY;
use std::collections::VecDeque;

/// What an origin's log keeps (`None`: as much as there is). As for the ordered journals, what lies behind as much as any
/// of the limits says may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub events: Option<u64>,
    pub bytes: Option<u64>,
    pub age_ms: Option<u64>,
}

impl Retention {
    pub fn keeps_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what lies behind that much may go.
    fn is_enough(&self, events: u64, bytes: u64) -> bool {
        let over = |limit: Option<u64>, kept: u64| limit.is_some_and(|limit| kept > limit);
        over(self.events, events) || over(self.bytes, bytes)
    }

    fn is_old(&self, hlc: u64, now: u64) -> bool {
        self.age_ms.is_some_and(|limit| (now >> 16).saturating_sub(hlc >> 16) > limit)
    }
}

/// One entry as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub events: u64,
    pub bytes: u64,
    /// Stamp of its last event.
    pub hlc: u64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.hlc = self.hlc.max(other.hlc);
    }
}

/// Invariant: what is counted are the entries `begin..next`, in blocks that begin where entries name all that they follow,
/// the first of them perhaps in part; `all` is their sum.
#[derive(Debug)]
pub struct Tally {
    blocks: VecDeque<Sum>,
    begin: u64,
    next: u64,
    all: Sum,
    /// Retention lets go of everything up to here.
    goes: u64,
    /// Of what goes and is still there, as far as it was counted: last entry of a block, and its bytes.
    behind: VecDeque<(u64, u64)>,
}

impl Tally {
    /// Of a log that goes up to `last`, of which nothing is counted.
    pub fn new(last: u64) -> Self {
        Self { blocks: VecDeque::new(), begin: last + 1, next: last + 1, all: Sum::default(), goes: 0, behind: VecDeque::new() }
    }

    pub fn goes(&self) -> u64 {
        self.goes
    }

    /// An entry has come to the end of the log.
    pub fn append(&mut self, counter: u64, sum: Sum) {
        if counter != self.next {
            *self = Self::new(counter - 1);
        }
        match self.blocks.back_mut() {
            Some(block) if !begins_block(counter) => block.add(sum),
            _ => self.blocks.push_back(sum),
        }
        self.next = counter + 1;
        self.all.add(sum);
    }

    /// The last entry that is to be counted next, of a log that begins with `first`.
    pub fn wants(&self, first: u64) -> Option<u64> {
        (self.begin > first && self.goes + 1 != self.begin).then(|| self.begin - 1)
    }

    /// The entry before those that are counted.
    pub fn prepend(&mut self, sum: Sum) {
        match self.blocks.front_mut() {
            Some(block) if !begins_block(self.begin) => block.add(sum),
            _ => self.blocks.push_front(sum),
        }
        self.begin -= 1;
        self.all.add(sum);
    }

    /// Lets go of whole blocks, but for the last.
    pub fn expire(&mut self, retention: &Retention, now: u64) {
        while self.blocks.len() > 1 {
            let front = self.blocks[0];
            let enough = retention.is_enough(self.all.events - front.events, self.all.bytes - front.bytes);
            if !enough && !retention.is_old(front.hlc, now) {
                break;
            }
            self.blocks.pop_front();
            self.all.events -= front.events;
            self.all.bytes -= front.bytes;
            self.begin += WHOLE_EVERY - (self.begin - 1) % WHOLE_EVERY;
            self.goes = self.begin - 1;
            self.behind.push_back((self.goes, front.bytes));
        }
    }

    /// The log begins with `first` now.
    pub fn begin(&mut self, first: u64) {
        self.behind.retain(|(last, _)| *last >= first);
    }

    /// Bytes of what goes, of blocks that end behind `covered` and not behind `most`.
    pub fn bytes_behind(&self, covered: u64, most: u64) -> u64 {
        self.behind.iter().filter(|(last, _)| (covered + 1..=most).contains(last)).map(|(_, bytes)| bytes).sum()
    }
}

pub fn begins_block(counter: u64) -> bool {
    counter % WHOLE_EVERY == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Sum = Sum { events: 2, bytes: 10, hlc: 5 << 16 };

    fn counted(entries: u64) -> Tally {
        let mut tally = Tally::new(0);
        (1..=entries).for_each(|counter| tally.append(counter, ONE));
        tally
    }

    #[test]
    fn as_much_stays_as_the_limits_say() {
        let limit = |events| Retention { events: Some(events), ..Retention::default() };
        let mut tally = counted(4 * WHOLE_EVERY);
        tally.expire(&limit(2 * 3 * WHOLE_EVERY), 0);
        assert_eq!(tally.goes(), 0, "no more than that is behind the first block");
        tally.expire(&limit(2 * 3 * WHOLE_EVERY - 1), 0);
        assert_eq!(tally.goes(), WHOLE_EVERY);
        tally.expire(&limit(0), 0);
        assert_eq!(tally.goes(), 3 * WHOLE_EVERY, "the last block stays");
        assert_eq!(tally.wants(1), None);
    }

    #[test]
    fn what_is_old_goes_when_there_is_something_newer() {
        let mut tally = counted(WHOLE_EVERY + 1);
        let age = Retention { age_ms: Some(3), ..Retention::default() };
        tally.expire(&age, 8 << 16);
        assert_eq!(tally.goes(), 0);
        tally.expire(&age, 9 << 16);
        assert_eq!(tally.goes(), WHOLE_EVERY);
    }

    #[test]
    fn what_was_there_before_is_counted_back_no_further_than_it_takes() {
        let last = 5 * WHOLE_EVERY + 3;
        let mut tally = Tally::new(last);
        tally.append(last + 1, ONE);
        let retention = Retention { bytes: Some(10 * WHOLE_EVERY), ..Retention::default() };
        let mut counted = 0;
        while let Some(at) = tally.wants(1) {
            assert_eq!(at, last - counted);
            tally.prepend(ONE);
            tally.expire(&retention, 0);
            counted += 1;
        }
        assert_eq!(tally.goes(), 4 * WHOLE_EVERY);
        assert!(counted <= WHOLE_EVERY + 4, "{counted}");
    }
}
