//! Known bugs, planted in the harness around the core, so that each check is seen to fail.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The log says "on disk" when a write is only queued.
    PersistedBeforeDurable,
    /// A barrier is answered from local state without asking the leader.
    BarrierWithoutReadIndex,
    /// The id window forgets almost everything, on every member.
    TinyWindow,
    /// One member's window has another size than the others'.
    UnequalWindow,
    /// A restart loses the last entries that were synced.
    LosesTail,
    /// A restart after a torn write does not tell the group of it.
    ForgetsTorn,
    /// A restart forgets whom this member has voted for.
    ForgetsVote,
    /// `absent` is answered by a look into the window, without a committed fence.
    FenceWithoutCommit,
    /// A strong publish is answered when it is applied at its origin alone.
    StrongIsAlone,
    /// Forwarded submissions never arrive.
    DropsForwards,
    /// Receipts count every voter as durable.
    InflatedReceipts,
    /// A publish is called withdrawn whether or not a leader has seen it.
    WithdrawsAll,
    /// A publisher's events get each other's sequences.
    SwappedSequences,
}
