//! What the simulator knows by name: invariants with their sources, kinds of faults, planted bugs.

use crate::faults::kinds::KINDS;
use crate::plants::PLANTS;

pub struct InvariantRow {
    pub name: &'static str,
    pub what: &'static str,
    pub source: &'static str,
}

const fn row(name: &'static str, what: &'static str, source: &'static str) -> InvariantRow {
    InvariantRow { name, what, source }
}

/// By the names that violations begin with.
pub static INVARIANTS: &[InvariantRow] = &[
    row("election_safety", "at most one leader is elected in a term", "Ongaro and Ousterhout 2014, section 5.2"),
    row("log_matching", "entries with the same index and term are the same, and so are all before them", "Ongaro and Ousterhout 2014, section 5.3"),
    row("leader_completeness", "a new leader's log holds every entry that was ever committed", "Ongaro and Ousterhout 2014, section 5.4.3"),
    row("state_machine_safety", "members that have applied as much have applied the same, decisions about duplicates included", "Ongaro and Ousterhout 2014, section 5.4.3; rule R3"),
    row("commit_is_final", "a committed position never gets another entry", "Ongaro and Ousterhout 2014, section 5.4"),
    row("commits_own_term", "a leader commits by counting copies only what is of its own term", "Ongaro and Ousterhout 2014, section 5.4.2, figure 8"),
    row("configurations_agree", "members that have applied as much have the same configuration; one left out of it never leads again", "Ongaro 2014, sections 4.1 to 4.3"),
    row("one_change_at_a_time", "a change of members waits for the one before and for an entry of the leader's own term, and goes through a joint configuration", "Ongaro 2014, section 4.3, and its author's report of 2015"),
    row("acknowledged_is_durable", "what is acknowledged is on the disks of a majority", "rule R1; Ongaro 2014, section 3.8"),
    row("exactly_once", "an acknowledged event is in every later journal, once, where its receipt says", "rules R1, R3 and R8"),
    row("duplicates_keep_first_place", "a retry is answered with the place of the first", "rule R3; Ongaro 2014, section 6.3"),
    row("session_order", "a session's events take their places in order and without gaps", "rule R3; Ongaro 2014, section 6.3"),
    row("fence_is_final", "once a fence has said \"absent\", its event never takes a place", "rule R4"),
    row("withdrawn_is_absent", "a publish that was taken back before any leader saw it never commits by that request", "rules R4 and R5"),
    row("receipts_are_modest", "a receipt never claims more copies than there are", "rules R1 and R2"),
    row("strong_is_applied", "a strong publish is answered once as many voters as asked for have applied it", "rule R2"),
    row("own_writes_are_read", "every publish is answered once it is applied where it was taken", "rule R2"),
    row("barrier_is_real_time", "a barrier covers everything that anybody was answered before it was asked", "rule R12; Herlihy and Wing 1990; Ongaro 2014, section 6.4"),
    row("publish_is_real_time", "an event that is published after an answer takes its place after it", "rule R12; Herlihy and Wing 1990"),
    row("subscriptions_are_complete", "every subscription gets the same events in the same order, without gap and without repetition, however often it moves", "rule R8"),
    row("consumers_lose_nothing", "a named consumer passes over nothing that was not acknowledged", "rule R8"),
    row("consumers_are_fenced", "a holder of a name that was fenced delivers no more", "rule R8"),
    row("redelivery_is_marked", "what a consumer may have seen before is marked", "rule R8"),
    row("clocks_follow", "a stamp is later than everything its member had seen, whatever the wall clock does", "Kulkarni et al. 2014, theorem 1"),
    row("memory_is_bounded", "what waits at a member is bounded: requests in bytes, entries of an origin that wait for what they follow in number", "byte budgets of docs/ARCHITECTURE.md; `causal.bufferEvents`"),
    row("held_back_is_bounded", "what a quiet group holds back of the log that all share becomes less again, once it is more than twice the limit", "rule L6; docs/decisions/0018"),
    row("recovery_is_faithful", "opening a log finds every batch that was synced and nothing that was not written", "rules L1, L2 and L4"),
    row("repair_is_faithful", "a repaired entry is the one that was written there, and a member halts only where nobody has it", "rule L2; Alagappan et al. 2018"),
    row("members_start_again", "a member can be started again unless its disk lost more than a last batch", "rules L1 and L2"),
    row("hashes_agree", "members that compare what they have applied find no difference", "rule R3; docs/decisions/0017"),
    row("divergence_is_named", "where they differ they name the first entry and the member, which keeps out of everything", "docs/decisions/0017"),
    row("groups_are_apart", "an event stands in the journal of the group it was published in, and that group answers for it", "rule R9"),
    row("mark_goes_last", "the mark of an unsettled log goes when what settled each group is on disk", "rule L2; Alagappan et al. 2018, section 3.4"),
    row("minority_is_isolated", "a member that differs from a majority isolates itself in time, and neither leads nor acknowledges from then on; no other member does", "docs/decisions/0017"),
    row("alarms_are_true", "only a member that has lost what it told is told that its directory was put back", "docs/decisions/0019"),
    row("directories_are_known", "nobody takes another's directory for its own", "rule L4"),
    row("blocks_are_not_shared", "no batch is written over a block that holds an acknowledged one", "rule L3"),
    row("frames_are_taken", "members that keep their promises never refuse each other's frames", "docs/network.md"),
    row("groups_go_on", "a group does not end by itself, and what it has committed can be read", "docs/ARCHITECTURE.md, \"When something fails\""),
    row("ends_are_asked_for", "a request ends once, and only one that was asked", "docs/ARCHITECTURE.md, \"Requests through a change of leader\""),
    row("no_panic", "nothing panics", "docs/ARCHITECTURE.md, \"When something fails\""),
    row("journals_are_kept", "without limits of retention the whole journal is somewhere in the cluster", "rule L5"),
    row("causal_order", "nothing is delivered, by a member or to a reader, before what its publisher had seen", "rule R8, level causal; Lamport 1978; Birman, Schiper and Stephenson 1991"),
    row("ids_are_written_once", "what a member has delivered of the causal lane it does not write again when it is published again, and it says where it stands", "rule R3"),
    row("events_come_once", "a reader of the causal lane gets every event once, and each origin's without a gap, however often it moves", "rule R8"),
    row("dots_are_unique", "no two entries ever have the same actor and counter, whatever a disk has lost", "rule R7; docs/decisions/0022; Almeida, Shoker and Baquero 2018"),
    row("given_up_stays", "an actor that its member has given up is never written again, whatever comes of it from others", "rule R7; docs/decisions/0022"),
    row("own_events_leave_from_disk", "an own causal event leaves its member only after fdatasync", "rule R7"),
    row("kept_is_durable", "a causal or eventual publish is answered once it is on disk where it was taken, and is delivered everywhere in the end", "rule R1"),
    row("delivered_stays_delivered", "what a member has delivered is on its disk, and is delivered there after every restart", "rules R7 and R8"),
    row("clocks_cover_the_past", "a receipt's clock is what its entry follows, with all that its publisher had seen; readers get the same", "rules R2 and R9; Fidge 1988; Mattern 1989"),
    row("origins_converge", "when the faults have stopped, every member has delivered all that any of them has", "rule R8, level eventual; Shapiro et al. 2011"),
    row("cut_is_held_by_all", "nothing is cut from an origin's log before every member of the agreed table has had it on its disk", "rule R11; Wuu and Bernstein 1984"),
    row("held_is_whole", "what a member says it holds is whole on its disk; a stub stands only where its member is not to hold the entry and a majority of the voters does; what one is to hold comes to be held", "rule R10; docs/decisions/0034"),
    row("cuts_are_told", "a reader is told that what it comes to is gone where that is so, and only there", "rule R8; docs/decisions/0024"),
    row("states_are_whole", "what is made of the origins' logs has everything in it that was ever in them, cut or not, at every member", "rule R11; Almeida, Shoker and Baquero 2018"),
    row("session_guarantees", "a session of the causal lane that moves reads what it has written, and all that it has read before", "level causal; Terry et al. 1994"),
    row("followed_is_replicated", "what an ordered event follows in the causal lane was on the disks of a majority before a leader was handed the event", "rule R6; docs/decisions/0026"),
    row("followed_first", "an ordered event comes to a reader only where all that it follows in the causal lane was delivered", "rule R6"),
    row("followed_comes", "when the faults have stopped, no reader of the ordered lane waits for what its events follow", "rule R6"),
    row("leaders_stay", "where members are far apart, a little is lost on the way and nothing else happens, whoever leads goes on leading, and nobody gives it up", "docs/decisions/0032"),
    row("healing", "when the faults have stopped, every request ends, one leader leads and all members reach the same state", "Dwork, Lynch and Stockmeyer 1988"),
];

/// Everything, for `--list`.
pub fn lines() -> Vec<String> {
    let mut lines = vec!["Kinds of faults:".to_string()];
    let width = KINDS.iter().map(|row| row.name.len()).max().unwrap_or(0);
    lines.extend(KINDS.iter().map(|row| match row.off {
        None => format!("  {:width$}  drawn, weight {}", row.name, row.weight),
        Some(reason) => format!("  {:width$}  not drawn: {reason}", row.name),
    }));
    lines.push(String::new());
    lines.push("Planted bugs, and the invariants of which one must catch each:".to_string());
    let width = PLANTS.iter().map(|row| row.name.len()).max().unwrap_or(0);
    lines.extend(PLANTS.iter().map(|row| format!("  {:width$}  {} ({})", row.name, row.what, row.caught_by.join(", "))));
    lines.push(String::new());
    lines.push("Invariants:".to_string());
    let width = INVARIANTS.iter().map(|row| row.name.len()).max().unwrap_or(0);
    lines.extend(INVARIANTS.iter().map(|row| format!("  {:width$}  {} ({})", row.name, row.what, row.source)));
    lines
}
