//! Known bugs, planted around the core, so that each check is seen to fail. A plant changes what a member is given, is
//! told or tells; a few are in the core itself, behind a feature that no product build has (`vexfs_core::plants`).

use crate::disk::DiskPlants;
use crate::random::Random;
use vexfs_core::ids::GroupId;
use vexfs_core::plants::CorePlant;
use vexfs_core::log::Op;
use vexfs_core::ordered::repair::words::Answer;
use vexfs_core::peer::frame::{Frame, FrameKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    AckBeforeSync,
    BarrierWithoutReadIndex,
    TinyWindow,
    UnequalWindow,
    SkippedTail,
    DamagedTailVotes,
    VoteForgotten,
    EarlyAbsent,
    StrongIsAlone,
    ForwardsDropped,
    InflatedReceipts,
    WithdrawsAll,
    SwappedSequences,
    FsyncRetried,
    CacheTrusted,
    DirectoryNotSynced,
    SubscriptionGap,
    SubscriptionRepeats,
    LostCursor,
    ClaimSkipped,
    FencingIgnored,
    WallClockStamps,
    SuppressionUnread,
    IdentityUnchecked,
    BackpressureIgnored,
    LeaseShortened,
    SuppressionForgotten,
    SnapshotOverNewer,
    ReusedContext,
    CommitOldTerm,
    SingleStep,
    StaleRecycled,
    RepairTruncates,
    RepairFromStaleMember,
    RepairUnchecked,
    Divergence,
    FramesMixedUp,
    RecordsMixedUp,
    SubmissionsMixedUp,
    JournalsMixedUp,
    GapForgotten,
    GapShown,
    GapUnhashed,
    JournalForgotten,
    RepairUnanchored,
    StatesPart,
    NobodyIsolates,
    EverybodyIsolates,
    IsolatedGoesOn,
    PutBackNotCompared,
    PutBackVotes,
    EmptiedVotes,
    MarkGoesEarly,
    SettledKept,
    StandingTrusted,
    QuotaIgnored,
    OriginGoesOn,
    NothingNoted,
    EarlierLivesHeard,
    OriginSendsEarly,
    OriginAcksEarly,
    DeliveredBeforeDisk,
    DeliveredOutOfOrder,
    NothingFollows,
    NothingFetched,
    IdsForgotten,
    WrittenAgain,
    DoubledGiven,
    CutByTime,
    CutByMajority,
    CutByKnown,
    CutsPassedOver,
    CutsNotTaken,
    StatesIgnored,
    StatesUnwritten,
    StatesOfNothing,
    OlderStateEndsLog,
    BlocksShared,
    HandedEarly,
    FollowsIgnored,
    NothingGivenUp,
    ContextDropped,
    BufferIgnored,
    NearestFollowed,
    FloorIgnored,
    StubsHeld,
    StubsCut,
    StubsKept,
    StubsGivenEarly,
    RulesOfTheMoment,
    UnheldUnasked,
}

use Plant::*;

pub struct PlantRow {
    pub plant: Plant,
    pub name: &'static str,
    pub what: &'static str,
    /// Invariants of which one must catch it.
    pub caught_by: &'static [&'static str],
}

const fn row(plant: Plant, name: &'static str, what: &'static str, caught_by: &'static [&'static str]) -> PlantRow {
    PlantRow { plant, name, what, caught_by }
}

pub static PLANTS: &[PlantRow] = &[
    row(AckBeforeSync, "ack-before-sync", "the log says \"on disk\" when a write is only queued", &["acknowledged_is_durable"]),
    row(BarrierWithoutReadIndex, "read-without-barrier", "a barrier is answered from local state without asking the leader", &["barrier_is_real_time"]),
    row(TinyWindow, "tiny-window", "the id window forgets almost everything, on every member", &["exactly_once", "duplicates_keep_first_place", "fence_is_final"]),
    row(UnequalWindow, "unequal-window", "one member's window has another size than the others'", &["state_machine_safety"]),
    row(SkippedTail, "skipped-tail", "recovery ends before the last synced batch", &["recovery_is_faithful"]),
    row(DamagedTailVotes, "damaged-tail-votes", "a member whose last batch is damaged votes and acknowledges at once", &["leader_completeness", "commit_is_final", "frames_are_taken"]),
    row(VoteForgotten, "vote-twice", "a restart forgets whom the member has voted for", &["election_safety"]),
    row(EarlyAbsent, "early-absent", "`absent` is answered by a look into the window, without a committed fence", &["fence_is_final"]),
    row(StrongIsAlone, "strong-is-alone", "a strong publish is answered when it is applied at its origin alone", &["strong_is_applied"]),
    row(ForwardsDropped, "forwards-dropped", "forwarded submissions never arrive", &["healing"]),
    row(InflatedReceipts, "inflated-receipts", "receipts count every voter as durable", &["receipts_are_modest"]),
    row(WithdrawsAll, "withdraws-all", "a publish is called withdrawn whether or not a leader has seen it", &["withdrawn_is_absent"]),
    row(SwappedSequences, "swapped-sequences", "a publisher's events get each other's sequences", &["session_order"]),
    row(FsyncRetried, "fsync-retried", "a failed fdatasync is tried again, and the second answer believed", &["recovery_is_faithful", "members_start_again"]),
    row(CacheTrusted, "cache-trusted", "opening believes what a dead process left in the cache", &["recovery_is_faithful", "members_start_again"]),
    row(DirectoryNotSynced, "directory-not-synced", "new files are used before their names are on disk", &["members_start_again", "recovery_is_faithful"]),
    row(SubscriptionGap, "subscription-gap", "a subscription that moves to another member leaves an event out", &["subscriptions_are_complete"]),
    row(SubscriptionRepeats, "subscription-repeats", "a subscription that moves begins with the event it had last", &["subscriptions_are_complete"]),
    row(LostCursor, "lost-cursor", "a consumer goes on after what was claimed, not after what was acknowledged", &["consumers_lose_nothing"]),
    row(ClaimSkipped, "claim-skipped", "a consumer hands out events before its claim is committed", &["redelivery_is_marked"]),
    row(FencingIgnored, "fencing-ignored", "a consumer that was fenced goes on delivering", &["consumers_are_fenced"]),
    row(WallClockStamps, "wall-clock-stamps", "events are stamped with the wall clock alone", &["clocks_follow"]),
    row(SuppressionUnread, "suppression-unread", "readers of the journal are not told which events do not count", &["subscriptions_are_complete", "exactly_once"]),
    row(IdentityUnchecked, "identity-unchecked", "a member opens whatever directory it finds, as that of whoever it belongs to", &["directories_are_known"]),
    row(BackpressureIgnored, "backpressure-ignored", "a member takes publishes without end", &["memory_is_bounded"]),
    row(LeaseShortened, "lease-shortened", "a follower whose connection to its leader does not come back forgets it, under a lease too", &["barrier_is_real_time"]),
    row(SuppressionForgotten, "suppression-forgotten", "a snapshot leaves out the id window", &["duplicates_keep_first_place", "exactly_once", "state_machine_safety", "fence_is_final", "subscriptions_are_complete"]),
    row(SnapshotOverNewer, "snapshot-over-newer", "a snapshot takes the place of the whole log, entries after it included", &["acknowledged_is_durable", "recovery_is_faithful", "commit_is_final", "leader_completeness", "exactly_once", "frames_are_taken", "groups_go_on", "healing"]),
    row(ReusedContext, "reused-context", "all rounds of all members have the same ReadIndex context", &["barrier_is_real_time"]),
    row(CommitOldTerm, "commit-old-term", "an entry of an earlier term is committed by counting its copies", &["commits_own_term"]),
    row(SingleStep, "single-step", "voters change one by one, before the change before is committed", &["one_change_at_a_time", "election_safety", "leader_completeness"]),
    row(StaleRecycled, "stale-recycled", "a recycled segment's old records are taken for new ones", &["recovery_is_faithful", "members_start_again", "groups_go_on"]),
    row(RepairTruncates, "repair-truncates", "lost entries are appended anew, in the place of all that follows them", &["repair_is_faithful"]),
    row(RepairFromStaleMember, "repair-from-stale-member", "whatever any member has at the place of a lost entry is taken for it", &["repair_is_faithful"]),
    row(RepairUnchecked, "repair-unchecked", "what comes back is not checked to be what was sent", &["repair_is_faithful"]),
    row(Divergence, "divergence", "one member's window has another size than the others', and only the members themselves look", &["hashes_agree"]),
    row(FramesMixedUp, "frames-mixed-up", "now and then a frame of one group is handed to the next", &["frames_are_taken", "election_safety", "log_matching", "leader_completeness", "commit_is_final", "state_machine_safety", "groups_are_apart"]),
    row(RecordsMixedUp, "records-mixed-up", "recovery takes every group's term and vote for the first group's", &["recovery_is_faithful"]),
    row(SubmissionsMixedUp, "submissions-mixed-up", "a member takes what it is given for its first group, whichever it is for", &["groups_are_apart"]),
    row(JournalsMixedUp, "journals-mixed-up", "readers of one group are told where another's journal begins", &["subscriptions_are_complete", "groups_go_on"]),
    row(GapForgotten, "gap-forgotten", "entries that a snapshot has taken the place of are fetched from nobody", &["healing", "groups_go_on"]),
    row(GapShown, "gap-shown", "readers may begin in front of entries that a snapshot has taken the place of", &["groups_go_on", "subscriptions_are_complete"]),
    row(JournalForgotten, "journal-forgotten", "a snapshot takes the place of the journal, whatever is to be kept of it", &["journals_are_kept"]),
    row(GapUnhashed, "gap-unhashed", "what fills a gap is not compared with the running hash", &["repair_is_faithful", "subscriptions_are_complete", "exactly_once"]),
    row(RepairUnanchored, "repair-unanchored", "at a log's end, what is committed elsewhere is taken whatever stands in front of it here", &["repair_is_faithful", "commit_is_final", "state_machine_safety", "log_matching"]),
    row(StatesPart, "states-part", "one member's window has another size than the others', and only what the members make of it is judged", &["healing"]),
    row(NobodyIsolates, "nobody-isolates", "one member's window has another size than the others', and it goes on when they tell it", &["minority_is_isolated"]),
    row(EverybodyIsolates, "everybody-isolates", "one member's window has another size than the others', and whoever hears of it isolates itself", &["minority_is_isolated"]),
    row(IsolatedGoesOn, "isolated-goes-on", "one member's window has another size than the others'; it says that it is isolated, and goes on", &["minority_is_isolated"]),
    row(PutBackNotCompared, "put-back-not-compared", "what others know of a member is not compared with what it has", &["healing"]),
    row(PutBackVotes, "put-back-votes", "a member that was told that its directory was put back votes and acknowledges all the same, and is counted", &["leader_completeness", "log_matching", "election_safety", "commit_is_final"]),
    row(EmptiedVotes, "emptied-votes", "a voter that has lost everything votes before it has anything again", &["leader_completeness", "log_matching", "election_safety", "commit_is_final", "acknowledged_is_durable"]),
    row(MarkGoesEarly, "mark-goes-early", "the mark of an unsettled log goes before what settled it is on disk", &["mark_goes_last"]),
    row(SettledKept, "settled-kept", "a torn log counts as settled when a repair has Raft forget what settled it", &["mark_goes_last"]),
    row(StandingTrusted, "standing-trusted", "what a member shows of itself is taken for what is on its disk", &["alarms_are_true"]),
    row(QuotaIgnored, "quota-ignored", "what a quiet group holds back of the log is not moved, however much it is", &["held_back_is_bounded"]),
    row(OriginGoesOn, "origin-goes-on", "an origin's log goes on after every start, whatever others have of it", &["dots_are_unique"]),
    row(NothingNoted, "nothing-noted", "what own origins are given up is not noted on disk, and forgotten with the next start", &["given_up_stays"]),
    row(EarlierLivesHeard, "earlier-lives-heard", "what an earlier process of a member has sent is taken after its member was told that it is not there", &["dots_are_unique"]),
    row(OriginSendsEarly, "origin-sends-early", "own causal events leave a member before they are on its disk", &["own_events_leave_from_disk", "dots_are_unique"]),
    row(OriginAcksEarly, "origin-acks-early", "causal publishes are answered before they are on disk", &["kept_is_durable"]),
    row(DeliveredBeforeDisk, "delivered-before-disk", "others' causal events are delivered before they are on disk", &["delivered_stays_delivered"]),
    row(DeliveredOutOfOrder, "delivered-out-of-order", "a causal event is delivered whether or not what it follows was", &["causal_order"]),
    row(NothingFollows, "nothing-follows", "a causal event does not say what it follows", &["causal_order", "clocks_cover_the_past"]),
    row(NothingFetched, "nothing-fetched", "what did not come by itself of another's log is not asked for", &["origins_converge"]),
    row(IdsForgotten, "ids-forgotten", "the ids of what the causal lane holds are forgotten at a start", &["ids_are_written_once", "events_come_once"]),
    row(WrittenAgain, "written-again", "what the causal lane has is written again when it is published again", &["ids_are_written_once"]),
    row(DoubledGiven, "doubled-given", "readers get an event wherever it stands in the causal lane", &["events_come_once"]),
    row(CutByTime, "cut-by-time", "an origin's log is cut where it is as old as retention says, whoever lacks it", &["cut_is_held_by_all"]),
    row(CutByMajority, "cut-by-majority", "an origin's log is cut up to what a majority holds", &["cut_is_held_by_all"]),
    row(CutByKnown, "cut-by-known", "an origin's log is cut up to what the others know of, whether or not they hold it", &["cut_is_held_by_all"]),
    row(CutsPassedOver, "cuts-passed-over", "readers go on behind what was cut, and are not told", &["events_come_once"]),
    row(CutsNotTaken, "cuts-not-taken", "a member that is told that what it lacks was cut asks on for it", &["origins_converge"]),
    row(StatesIgnored, "states-ignored", "an origin's log is cut whether or not the states that are made of it cover it", &["states_are_whole"]),
    row(StatesUnwritten, "states-unwritten", "states count as kept that never came to disk", &["states_are_whole"]),
    row(BlocksShared, "blocks-shared", "a batch begins where the one before it ended, within the same block", &["blocks_are_not_shared"]),
    row(OlderStateEndsLog, "older-state-ends-log", "a member whose newest snapshot is damaged takes the one before for the end of its log", &["alarms_are_true", "leader_completeness", "commit_is_final"]),
    row(StatesOfNothing, "states-of-nothing", "a member whose states are damaged keeps what it makes without them for its own", &["states_are_whole"]),
    row(HandedEarly, "handed-early", "an ordered event is handed to its leader before a majority has what it follows in the causal lane", &["followed_is_replicated"]),
    row(FollowsIgnored, "follows-ignored", "readers get an ordered event whether or not what it follows was delivered where they are", &["followed_first"]),
    row(NothingGivenUp, "nothing-given-up", "readers wait for ever for what no disk has any more", &["followed_comes"]),
    row(BufferIgnored, "buffer-ignored", "of an origin any number of entries wait in memory for what they follow", &["memory_is_bounded"]),
    row(NearestFollowed, "nearest-followed", "election timeouts follow the nearest voter instead of the farthest", &["leaders_stay"]),
    row(FloorIgnored, "floor-ignored", "election timeouts are shorter than those that are configured, which leases count on", &["barrier_is_real_time"]),
    row(StubsHeld, "stubs-held", "a member tells of stubs as of entries that it holds", &["held_is_whole"]),
    row(StubsCut, "stubs-cut", "an origin's log is cut up to what the voters know of, whether or not they hold it", &["cut_is_held_by_all"]),
    row(StubsKept, "stubs-kept", "a learner that becomes a voter does not fetch what it has stubs of", &["held_is_whole"]),
    row(StubsGivenEarly, "stubs-given-early", "stubs are given of what only its writer may hold", &["held_is_whole"]),
    row(RulesOfTheMoment, "rules-of-the-moment", "who is to hold an entry is told by the rules that a member has just now, not by those that its writer went by", &["held_is_whole"]),
    row(UnheldUnasked, "unheld-unasked", "what does not come whole for a while counts as held, though others have it", &["held_is_whole"]),
    row(ContextDropped, "context-dropped", "a session of the causal lane that moves goes on at once, whatever was delivered where it comes to", &["session_guarantees"]),
];

/// Operations of a repair that forgets what follows.
pub fn truncating(ops: Vec<Op>) -> Vec<Op> {
    let instead = |op| match op {
        Op::Repair { group, entries } if !entries.is_empty() => {
            vec![Op::Truncate { group, from: entries[0].index }, Op::Entries { group, entries }]
        }
        other => vec![other],
    };
    ops.into_iter().flat_map(instead).collect()
}

impl Plant {
    pub fn row(self) -> &'static PlantRow {
        let at = PLANTS.iter().position(|row| row.plant == self);
        &PLANTS[at.unwrap_or(0)]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn of(name: &str) -> Option<Self> {
        PLANTS.iter().find(|row| row.name == name).map(|row| row.plant)
    }

    /// Whether it shows only where leaders answer barriers by leases.
    pub fn needs_leases(self) -> bool {
        matches!(self, LeaseShortened | FloorIgnored)
    }

    /// Whether members must be far apart for it to show.
    pub fn needs_regions(self) -> bool {
        matches!(self, NearestFollowed | FloorIgnored)
    }

    /// Whether members must come and go for it to show.
    pub fn needs_changes(self) -> bool {
        matches!(self, SingleStep | CutsNotTaken) || self.has_rules()
    }

    /// Whether there must be several groups for it to show.
    pub fn needs_groups(self) -> bool {
        matches!(self, FramesMixedUp | RecordsMixedUp | SubmissionsMixedUp | JournalsMixedUp | QuotaIgnored)
    }

    /// Whether it is in the causal lane.
    pub fn is_in_the_lane(self) -> bool {
        matches!(
            self,
            OriginGoesOn | NothingNoted | EarlierLivesHeard | OriginSendsEarly | OriginAcksEarly | DeliveredBeforeDisk | DeliveredOutOfOrder | NothingFollows | NothingFetched
                | IdsForgotten | WrittenAgain | DoubledGiven | HandedEarly | FollowsIgnored | NothingGivenUp | ContextDropped | BufferIgnored
        ) || self.cuts() || self.has_rules()
    }

    /// Whether rules must say who holds what for it to show.
    pub fn has_rules(self) -> bool {
        matches!(self, StubsHeld | StubsCut | StubsKept | StubsGivenEarly | RulesOfTheMoment | UnheldUnasked)
    }

    /// Whether something must be cut for it to show.
    pub fn cuts(self) -> bool {
        matches!(self, StubsCut | CutByTime | CutByMajority | CutByKnown | CutsPassedOver | CutsNotTaken) || self.has_states()
    }

    /// Whether states must be made of the logs for it to show.
    pub fn has_states(self) -> bool {
        matches!(self, StatesIgnored | StatesUnwritten | StatesOfNothing)
    }

    /// One member applies something else than the others.
    pub fn parts_states(self) -> bool {
        matches!(self, UnequalWindow | Divergence) || self.is_left_to_isolation()
    }

    /// The difference itself is passed over: what the members make of it is judged.
    pub fn is_left_to_isolation(self) -> bool {
        matches!(self, StatesPart | NobodyIsolates | EverybodyIsolates | IsolatedGoesOn)
    }

    /// What the core itself is to do wrong.
    pub fn in_core(self) -> Option<CorePlant> {
        Some(match self {
            LeaseShortened => CorePlant::LeaseShortened,
            ReusedContext => CorePlant::ReusedContext,
            CommitOldTerm => CorePlant::CommitOldTerm,
            SingleStep => CorePlant::SingleStep,
            StaleRecycled => CorePlant::StaleRecycled,
            RepairFromStaleMember => CorePlant::RepairUnproven,
            RecordsMixedUp => CorePlant::RecordsMixedUp,
            SubmissionsMixedUp => CorePlant::SubmissionsMixedUp,
            JournalsMixedUp => CorePlant::JournalsMixedUp,
            GapForgotten => CorePlant::GapForgotten,
            GapShown => CorePlant::GapShown,
            GapUnhashed => CorePlant::GapUnhashed,
            JournalForgotten => CorePlant::JournalForgotten,
            RepairUnanchored => CorePlant::RepairUnanchored,
            NobodyIsolates => CorePlant::NobodyIsolates,
            EverybodyIsolates => CorePlant::EverybodyIsolates,
            IsolatedGoesOn => CorePlant::IsolatedGoesOn,
            PutBackNotCompared => CorePlant::PutBackNotCompared,
            PutBackVotes => CorePlant::PutBackVotes,
            EmptiedVotes => CorePlant::EmptiedVotes,
            MarkGoesEarly => CorePlant::MarkGoesEarly,
            SettledKept => CorePlant::SettledKept,
            StandingTrusted => CorePlant::StandingTrusted,
            QuotaIgnored => CorePlant::QuotaIgnored,
            OriginGoesOn => CorePlant::OriginGoesOn,
            NothingNoted => CorePlant::NothingNoted,
            EarlierLivesHeard => CorePlant::EarlierLivesHeard,
            OriginSendsEarly => CorePlant::OriginSendsEarly,
            OriginAcksEarly => CorePlant::OriginAcksEarly,
            DeliveredBeforeDisk => CorePlant::DeliveredBeforeDisk,
            DeliveredOutOfOrder => CorePlant::DeliveredOutOfOrder,
            NothingFollows => CorePlant::NothingFollows,
            NothingFetched => CorePlant::NothingFetched,
            IdsForgotten => CorePlant::IdsForgotten,
            WrittenAgain => CorePlant::WrittenAgain,
            DoubledGiven => CorePlant::DoubledGiven,
            CutByTime => CorePlant::CutByTime,
            CutByMajority => CorePlant::CutByMajority,
            CutByKnown => CorePlant::CutByKnown,
            CutsPassedOver => CorePlant::CutsPassedOver,
            CutsNotTaken => CorePlant::CutsNotTaken,
            StatesIgnored => CorePlant::StatesIgnored,
            StatesUnwritten => CorePlant::StatesUnwritten,
            StatesOfNothing => CorePlant::StatesOfNothing,
            OlderStateEndsLog => CorePlant::OlderStateEndsLog,
            BlocksShared => CorePlant::BlocksShared,
            HandedEarly => CorePlant::HandedEarly,
            FollowsIgnored => CorePlant::FollowsIgnored,
            NothingGivenUp => CorePlant::NothingGivenUp,
            BufferIgnored => CorePlant::BufferIgnored,
            NearestFollowed => CorePlant::NearestFollowed,
            FloorIgnored => CorePlant::FloorIgnored,
            StubsHeld => CorePlant::StubsHeld,
            StubsCut => CorePlant::StubsCut,
            StubsKept => CorePlant::StubsKept,
            StubsGivenEarly => CorePlant::StubsGivenEarly,
            RulesOfTheMoment => CorePlant::RulesOfTheMoment,
            UnheldUnasked => CorePlant::UnheldUnasked,
            _ => return None,
        })
    }

    /// Changes what another member says.
    pub fn spoil_frame(self, frame: &mut Frame, groups: u32, random: &mut Random) {
        match self {
            FramesMixedUp if frame.group.0 < groups && random.chance(20) => frame.group = GroupId((frame.group.0 + 1) % groups),
            RepairUnchecked => garble(frame),
            _ => {}
        }
    }

    pub fn disk(plant: Option<Self>) -> DiskPlants {
        DiskPlants {
            retries_sync: plant == Some(FsyncRetried),
            trusts_cache: plant == Some(CacheTrusted),
            skips_dir_sync: plant == Some(DirectoryNotSynced),
        }
    }
}

/// Changes what another member says of lost entries.
pub fn garble(frame: &mut Frame) {
    let (FrameKind::RepairAnswer, Ok(mut answer)) = (frame.kind, Answer::decode(&frame.body)) else { return };
    for entry in answer.entries.iter_mut().filter(|entry| !entry.data.is_empty()).take(1) {
        let mut data = entry.data.to_vec();
        let middle = data.len() / 2;
        data[middle] ^= 1;
        entry.data = data.into();
    }
    let mut body = Vec::new();
    answer.encode(&mut body);
    frame.body = body.into();
}
