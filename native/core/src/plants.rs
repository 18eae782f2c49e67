//! Known bugs inside the core, for the simulator's checks of its own checks (cargo feature `plants`, never part of a
//! product build). A run is one thread's, and so is its plant. Without the feature `is` is constant and nothing is left.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorePlant {
    /// A follower forgets its leader when a connection to it closes, and stands at once.
    LeaseShortened,
    /// All rounds of all members have one ReadIndex context.
    ReusedContext,
    /// An entry of an earlier term is committed by counting.
    CommitOldTerm,
    /// Voters change one after the other, before the change before is committed.
    SingleStep,
    /// Recycled segments are not zeroed, and checksums do not cover the use and the place.
    StaleRecycled,
    /// Whatever another member has in the place of a lost entry is taken for it.
    RepairUnproven,
    /// What one group's journal has come to is told to the readers of whichever group is flushed next.
    JournalsMixedUp,
    /// Recovery takes every group's term and vote for the first group's.
    RecordsMixedUp,
    /// A member takes a submission for another group than it names.
    SubmissionsMixedUp,
    /// A member that has applied something else than a majority goes on as if it had not.
    NobodyIsolates,
    /// What a snapshot has taken the place of is fetched from nobody.
    GapForgotten,
    /// A snapshot takes the place of the journal, whatever is to be kept of it.
    JournalForgotten,
    /// What fills a gap is not compared with the running hash.
    GapUnhashed,
    /// Readers may begin in front of a gap.
    GapShown,
    /// At the end of a log, whatever is committed elsewhere is taken, whatever stands in front of it here.
    RepairUnanchored,
    /// Whoever hears of a difference isolates itself.
    EverybodyIsolates,
    /// A member that isolates itself says so, and goes on.
    IsolatedGoesOn,
    /// What others know of a member is not compared with what it has.
    PutBackNotCompared,
    /// A member that was told so votes and acknowledges all the same, and is counted.
    PutBackVotes,
    /// A voter that has lost everything votes before it has anything again.
    EmptiedVotes,
    /// The mark of an unsettled log goes before what settled it is on disk.
    MarkGoesEarly,
    /// Reads fail when something has settled a log that is not on disk, and the log counts as settled after the repair.
    SettledKept,
    /// What a member shows of itself is taken for what is on its disk.
    StandingTrusted,
    /// Whatever older entries hold back, they are not moved for it.
    QuotaIgnored,
    /// The ids of what the causal lane holds are forgotten at an open.
    IdsForgotten,
    /// An event that the causal lane has is written again when it is published again.
    WrittenAgain,
    /// Readers get an event in each place where it stands.
    DoubledGiven,
    /// An origin's log goes on after an open, whatever others have of it.
    OriginGoesOn,
    /// That own actors are given up is not noted on disk.
    NothingNoted,
    /// What an earlier process of a member has sent is taken after its member was told that it is not here.
    EarlierLivesHeard,
    /// Own events leave before they are on disk.
    OriginSendsEarly,
    /// Own events are acknowledged before they are on disk.
    OriginAcksEarly,
    /// Events of others are delivered before they are on disk.
    DeliveredBeforeDisk,
    /// An event is delivered whether or not what it follows was.
    DeliveredOutOfOrder,
    /// An entry does not say what it follows.
    NothingFollows,
    /// What did not come by itself is not asked for.
    NothingFetched,
    /// What is on disk here goes as soon as retention lets it.
    CutByTime,
    /// What a majority holds goes.
    CutByMajority,
    /// What the others know of goes, whether or not they hold it.
    CutByKnown,
    /// A log is cut whether or not what is made of it is kept apart.
    StatesIgnored,
    /// States count as kept that never came to disk.
    StatesUnwritten,
    /// A member that lacks states keeps what it makes of nothing for its own.
    StatesOfNothing,
    /// Whoever begins with an older snapshot takes it for the end of the log.
    OlderStateEndsLog,
    /// A batch begins where the one before it ended, within the same block.
    BlocksShared,
    /// Readers pass over what was cut as if it had never been.
    CutsPassedOver,
    /// What a member has let go of is taken to be nothing.
    CutsNotTaken,
    /// An ordered event is handed to its leader before a majority has what it follows.
    HandedEarly,
    /// Readers get an ordered event whether or not what it follows was delivered.
    FollowsIgnored,
    /// Readers wait for ever for what nobody has any more.
    NothingGivenUp,
    /// What waits for what it follows is kept in memory without end.
    BufferIgnored,
    /// Election timeouts follow the nearest voter.
    NearestFollowed,
    /// They are half of what is configured.
    FloorIgnored,
    /// A member tells of stubs as of entries that it holds.
    StubsHeld,
    /// A log is cut up to what the voters know of, whether or not they hold it.
    StubsCut,
    /// A voter does not fetch what it has stubs of.
    StubsKept,
    /// Stubs are given of what only its writer may hold.
    StubsGivenEarly,
    /// Who is to hold an entry is told by the rules of the moment.
    RulesOfTheMoment,
    /// What does not come whole for a while counts as held, whatever others say.
    UnheldUnasked,
}

#[cfg(feature = "plants")]
mod planted {
    use super::CorePlant;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<CorePlant>> = const { Cell::new(None) };
    }

    /// Plants a bug in everything that this thread runs.
    pub fn plant(which: Option<CorePlant>) {
        PLANTED.set(which);
    }

    pub(crate) fn is(which: CorePlant) -> bool {
        PLANTED.get() == Some(which)
    }
}

#[cfg(feature = "plants")]
pub use planted::plant;
#[cfg(feature = "plants")]
pub(crate) use planted::is;

#[cfg(not(feature = "plants"))]
pub(crate) const fn is(_which: CorePlant) -> bool {
    false
}
