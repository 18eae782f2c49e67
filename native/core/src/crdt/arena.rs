//! Bytes of many small things in one buffer.

/// A stretch of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    at: u32,
    length: u32,
}

impl Span {
    pub fn len(self) -> usize {
        self.length as usize
    }
}

/// Grows only; who owns it copies what is still needed to a new one when `garbage` is much.
/// Invariant: no longer than a u32 says, which its owner checks.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    garbage: usize,
}

impl Arena {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), garbage: 0 }
    }

    pub fn put(&mut self, bytes: &[u8]) -> Span {
        let span = Span { at: self.bytes.len() as u32, length: bytes.len() as u32 };
        self.bytes.extend_from_slice(bytes);
        span
    }

    /// Puts what `shared` bytes of an earlier span and `rest` make together.
    pub fn put_joined(&mut self, earlier: Span, shared: usize, rest: &[u8]) -> Span {
        let at = self.bytes.len() as u32;
        let from = earlier.at as usize;
        self.bytes.extend_from_within(from..from + shared.min(earlier.len()));
        self.bytes.extend_from_slice(rest);
        Span { at, length: self.bytes.len() as u32 - at }
    }

    /// Puts two parts as one.
    pub fn put_both(&mut self, first: &[u8], second: &[u8]) -> Span {
        let span = Span { at: self.bytes.len() as u32, length: (first.len() + second.len()) as u32 };
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
        span
    }

    pub fn get(&self, span: Span) -> &[u8] {
        &self.bytes[span.at as usize..span.at as usize + span.len()]
    }

    pub fn forget(&mut self, span: Span) {
        self.garbage += span.len();
    }

    /// Bytes that are still needed.
    pub fn used(&self) -> usize {
        self.bytes.len() - self.garbage
    }

    pub fn is_mostly_garbage(&self) -> bool {
        self.garbage > 64 * 1024 && self.garbage > self.bytes.len() / 2
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
