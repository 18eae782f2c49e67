//! Newtypes for everything that must not be mixed by accident, as the formats document spells them.

use xxhash_rust::xxh3::xxh3_64_with_seed;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// An ordered group: one Raft log.
    GroupId, u32
);
id!(
    /// Position of an entry in a group's Raft log; the first is 1.
    Index, u64
);
id!(
    /// Raft term; the first election makes it 1.
    Term, u64
);
id!(
    /// A member as Raft knows it, derived from its node id.
    MemberId, u64
);
id!(
    /// An event's UUID, as the big-endian number of its sixteen bytes.
    EventId, u128
);
id!(
    /// A session's UUID, likewise; zero stands for "no session".
    SessionId, u128
);
id!(
    /// A submission's number at its origin: the member's incarnation << 32, or'ed with a counter.
    RequestId, u64
);

/// No index and no term of a cluster comes so far: who names a higher one wants what counts on from there to turn over.
pub const NUMBER_MAX: u64 = u64::MAX >> 1;

impl MemberId {
    /// The raft id of a node id: its first non-zero XXH3, seeds counted from 0 (docs/formats.md, "Submission").
    pub fn of(node_id: &str) -> Self {
        (0..)
            .map(|seed| xxh3_64_with_seed(node_id.as_bytes(), seed))
            .find(|id| *id != 0)
            .map(MemberId)
            .expect("some seed gives a non-zero hash")
    }
}

impl SessionId {
    pub const NONE: SessionId = SessionId(0);

    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}
