//! Columns of numbers as runs: most columns of a state say the same, or the next, over and over.

use super::CrdtError;
use crate::clock::Ranges;

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads fields in order; the first that does not fit is an error that names its byte.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begins in the content.
    base: usize,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, base: 0 }
    }

    pub fn error(&self, what: &'static str) -> CrdtError {
        CrdtError::Malformed { at: self.base + self.at, what }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, CrdtError> {
        if let Some(byte) = self.bytes.get(self.at).filter(|byte| **byte < 0x80) {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        let (mut value, mut shift) = (0u64, 0);
        for (length, byte) in self.bytes[self.at..].iter().enumerate() {
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if *byte < 0x80 {
                self.at += length + 1;
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                break;
            }
        }
        Err(self.error("a number is cut off or too large"))
    }

    /// A number that counts things of which each takes a byte at least, somewhere in what follows or was promised.
    pub fn count(&mut self, max: usize) -> Result<usize, CrdtError> {
        let at = self.clone();
        usize::try_from(self.varint()?).ok().filter(|count| *count <= max).ok_or_else(|| at.error("a count is out of range"))
    }

    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], CrdtError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.error("a field is cut off"))?;
        let found = &self.bytes[self.at..end];
        self.at = end;
        Ok(found)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CrdtError> {
        let mut found = [0; N];
        found.copy_from_slice(self.take(N)?);
        Ok(found)
    }

    /// Ranges of counters: how many, of each the gap before it and how many counters follow its first.
    pub fn ranges(&mut self) -> Result<Ranges, CrdtError> {
        let (mut ranges, mut after) = (Ranges::default(), 0u64);
        for _ in 0..self.count(self.left())? {
            let (gap, more) = (self.varint()?, self.varint()?);
            let first = after.checked_add(gap).and_then(|before| before.checked_add(1));
            let range = first.and_then(|first| Some((first, first.checked_add(more)?)));
            let pushed = range.filter(|(first, last)| ranges.push(*first, *last));
            after = pushed.ok_or_else(|| self.error("ranges of a context overlap, touch or go too far"))?.1;
        }
        Ok(ranges)
    }

    /// A length and a column of it.
    pub fn column(&mut self) -> Result<Fields<'a>, CrdtError> {
        let length = self.count(self.bytes.len())?;
        let base = self.base + self.at;
        Ok(Fields { bytes: self.take(length)?, at: 0, base })
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn end(&self) -> Result<(), CrdtError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.error("bytes after the last field"))
        }
    }
}

const RUN_MIN: usize = 3;

/// Writes runs: `zigzag(n)` and a number n times over, or `zigzag(-n)` and n numbers.
#[derive(Default)]
pub(super) struct Runs {
    out: Vec<u8>,
    /// Written once a run begins or the column ends.
    literals: Vec<u64>,
    value: u64,
    times: usize,
}

impl Runs {
    #[inline]
    pub fn put(&mut self, value: u64) {
        if self.times > 0 && value == self.value {
            self.times += 1;
            return;
        }
        self.close_run();
        (self.value, self.times) = (value, 1);
    }

    fn close_run(&mut self) {
        if self.times >= RUN_MIN {
            self.close_literals();
            put_varint(&mut self.out, zigzag(self.times as i64));
            put_varint(&mut self.out, self.value);
        } else {
            self.literals.extend(std::iter::repeat_n(self.value, self.times));
        }
        self.times = 0;
    }

    fn close_literals(&mut self) {
        if !self.literals.is_empty() {
            put_varint(&mut self.out, zigzag(-(self.literals.len() as i64)));
            self.literals.drain(..).for_each(|value| put_varint(&mut self.out, value));
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.close_run();
        self.close_literals();
        self.out
    }
}

/// Reads what `Runs` wrote.
pub(super) struct RunReader<'a> {
    fields: Fields<'a>,
    value: u64,
    same: u64,
    literal: u64,
}

impl<'a> RunReader<'a> {
    pub fn new(fields: Fields<'a>) -> Self {
        Self { fields, value: 0, same: 0, literal: 0 }
    }

    #[inline]
    pub fn next(&mut self) -> Result<u64, CrdtError> {
        if self.same > 0 {
            self.same -= 1;
            return Ok(self.value);
        }
        if self.literal > 0 {
            self.literal -= 1;
            return self.fields.varint();
        }
        let times = unzigzag(self.fields.varint()?);
        match times {
            0 => Err(self.fields.error("a run of nothing")),
            1.. => {
                self.value = self.fields.varint()?;
                self.same = times as u64 - 1;
                Ok(self.value)
            }
            _ => {
                self.literal = times.unsigned_abs() - 1;
                self.fields.varint()
            }
        }
    }

    pub fn error(&self, what: &'static str) -> CrdtError {
        self.fields.error(what)
    }

    pub fn end(&self) -> Result<(), CrdtError> {
        if self.same > 0 || self.literal > 0 {
            return Err(self.fields.error("a run goes on after the last fact"));
        }
        self.fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_come_back(runs in prop::collection::vec((prop_oneof![0..3u64, any::<u64>()], 1..9usize), 0..20)) {
            let values: Vec<u64> = runs.iter().flat_map(|(value, times)| std::iter::repeat_n(*value, *times)).collect();
            let mut written = Runs::default();
            values.iter().for_each(|value| written.put(*value));
            let bytes = written.finish();
            let mut reader = RunReader::new(Fields::new(&bytes));
            for value in values {
                prop_assert_eq!(reader.next(), Ok(value));
            }
            prop_assert_eq!(reader.end(), Ok(()));
            prop_assert!(reader.next().is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = RunReader::new(Fields::new(&bytes));
            for _ in 0..100 {
                if reader.next().is_err() {
                    break;
                }
            }
        }

        #[test]
        fn zigzags_come_back(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
