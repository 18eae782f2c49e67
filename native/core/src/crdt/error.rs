use thiserror::Error;

/// Why an operation or a delta was refused. The state is as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CrdtError {
    /// `at` is a byte offset: within the encoded form before its content, within the unpacked content after.
    #[error("malformed CRDT state at byte {at}: {what}")]
    Malformed { at: usize, what: &'static str },
    #[error("CRDT state of format version {found}; allowed: {known}")]
    Version { found: u8, known: u8 },
    #[error("CRDT state of type {found}, where {expected} is expected")]
    Type { found: String, expected: String },
    #[error("over the limit of {max} {what}")]
    Limit { what: &'static str, max: u64 },
    /// Stamps in milliseconds since 1970.
    #[error("a value is stamped {ahead_ms} ms ahead of the clock here; allowed: {max_ms} ms")]
    ClockAhead { ahead_ms: u64, max_ms: u64 },
}
