//! What members say to each other about lost entries (docs/formats.md, "Repair").

use crate::event::Malformed;
use crate::ids::{Index, Term};
use crate::log::LogEntry;
use crate::packed::Unpack;
use bytes::Bytes;

/// Bytes of entries in one answer, exceeded by at most one entry.
pub const ANSWER_BYTES: u64 = 1024 * 1024;

/// Asks for the entries `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    pub first: Index,
    pub last: Index,
    /// Where they are compacted, a snapshot is taken instead: it may be offered.
    pub takes_snapshot: bool,
}

/// What the asked member has of them, and what shows whether they are the right ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub first: Index,
    pub last: Index,
    /// Up to here its entries are committed.
    pub commit: Index,
    pub log_first: Index,
    pub log_last: Index,
    /// Of its entries `first - 1`, `last` and `last + 1`; 0 where it has none or does not know.
    pub prior_term: Term,
    pub last_term: Term,
    pub next_term: Term,
    /// It has forgotten nothing that it acknowledged, as far as it knows.
    pub settled: bool,
    /// From `first` on, as many as fit; none after one that it cannot read.
    pub entries: Vec<LogEntry>,
}

impl Query {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.push(u8::from(self.takes_snapshot));
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(bytes);
        let (first, last) = range(&mut fields)?;
        let takes_snapshot = fields.u8()? != 0;
        fields.end()?;
        Ok(Self { first, last, takes_snapshot })
    }
}

fn range(fields: &mut Unpack<'_>) -> Result<(Index, Index), Malformed> {
    let (first, last) = (fields.u64()?, fields.u64()?);
    match first > 0 && first <= last && last < u64::MAX {
        true => Ok((Index(first), Index(last))),
        false => Err(Malformed { at: 0, what: "a range of entries that cannot be" }),
    }
}

impl Answer {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let numbers = [self.first, self.last, self.commit, self.log_first, self.log_last].map(|index| index.0);
        for number in numbers.into_iter().chain([self.prior_term.0, self.last_term.0, self.next_term.0]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(u8::from(self.settled));
        for entry in &self.entries {
            out.extend_from_slice(&entry.term.0.to_le_bytes());
            out.push(entry.kind);
            out.extend_from_slice(&(entry.data.len() as u32).to_le_bytes());
            out.extend_from_slice(&(entry.context.len() as u32).to_le_bytes());
            out.extend_from_slice(&entry.data);
            out.extend_from_slice(&entry.context);
        }
    }

    /// The entries share the frame's bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut fields = Unpack::new(bytes);
        let (first, last) = range(&mut fields)?;
        let mut index = || fields.u64().map(Index);
        let (commit, log_first, log_last) = (index()?, index()?, index()?);
        let (prior_term, last_term, next_term) = (Term(fields.u64()?), Term(fields.u64()?), Term(fields.u64()?));
        let settled = fields.u8()? != 0;
        let mut entries = Vec::new();
        while !fields.is_empty() {
            let index = Index(first.0 + entries.len() as u64);
            if index > last {
                return Err(Malformed { at: fields.at(), what: "entries that were not asked for" });
            }
            let (term, kind) = (Term(fields.u64()?), fields.u8()?);
            let (data, context) = (fields.u32()? as usize, fields.u32()? as usize);
            let mut part = |length: usize| -> Result<Bytes, Malformed> {
                let at = fields.at();
                fields.bytes(length)?;
                Ok(bytes.slice(at..at + length))
            };
            let (data, context) = (part(data)?, part(context)?);
            entries.push(LogEntry { index, term, kind, data, context });
        }
        Ok(Self { first, last, commit, log_first, log_last, prior_term, last_term, next_term, settled, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(lengths: &[(usize, usize)]) -> Answer {
        let entry = |(at, (data, context)): (usize, &(usize, usize))| LogEntry {
            index: Index(7 + at as u64),
            term: Term(3),
            kind: 2,
            data: vec![at as u8; *data].into(),
            context: vec![9; *context].into(),
        };
        Answer {
            first: Index(7),
            last: Index(40),
            commit: Index(9),
            log_first: Index(2),
            log_last: Index(50),
            prior_term: Term(2),
            last_term: Term(3),
            next_term: Term(4),
            settled: true,
            entries: lengths.iter().enumerate().map(entry).collect(),
        }
    }

    proptest! {
        #[test]
        fn answers_are_read_as_they_were_written(lengths in proptest::collection::vec((0usize..80, 0usize..9), 0..20)) {
            let said = answer(&lengths);
            let mut bytes = Vec::new();
            said.encode(&mut bytes);
            prop_assert_eq!(Answer::decode(&bytes.into()).unwrap(), said);
        }

        #[test]
        fn cut_answers_are_refused_or_shorter(lengths in proptest::collection::vec((1usize..80, 0usize..9), 1..6), cut in 1usize..60) {
            let said = answer(&lengths);
            let mut bytes = Vec::new();
            said.encode(&mut bytes);
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Ok(read) = Answer::decode(&bytes.into()) {
                prop_assert!(read.entries.len() < said.entries.len());
                prop_assert_eq!(&read.entries[..], &said.entries[..read.entries.len()]);
            }
        }
    }

    #[test]
    fn ranges_that_cannot_be_are_refused() {
        for (first, last) in [(0, 4), (5, 4), (1, u64::MAX)] {
            let mut bytes = Vec::new();
            Query { first: Index(first), last: Index(last), takes_snapshot: true }.encode(&mut bytes);
            assert!(Query::decode(&bytes).is_err(), "{first} to {last}");
        }
        let mut more = answer(&[(1, 0); 3]);
        more.last = Index(8);
        let mut bytes = Vec::new();
        more.encode(&mut bytes);
        assert!(Answer::decode(&bytes.into()).is_err());
    }
}
