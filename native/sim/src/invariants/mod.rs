//! What must hold, each rule in a file with its source. Safety is judged at every flush, completion, delivery and start,
//! the whole journal and liveness at the end.

pub mod acknowledged_is_durable;
pub mod alarms_are_true;
pub mod barrier_is_real_time;
pub mod causal_order;
pub mod clocks_cover_the_past;
pub mod clocks_follow;
pub mod commit_is_final;
pub mod commits_own_term;
pub mod configurations_agree;
pub mod consumers;
pub mod cut_is_held_by_all;
pub mod cuts_are_told;
pub mod delivered_stays_delivered;
pub mod dots_are_unique;
pub mod duplicates_keep_first_place;
pub mod election_safety;
pub mod events_come_once;
pub mod exactly_once;
pub mod fence_is_final;
pub mod followed_comes;
pub mod followed_first;
pub mod followed_is_replicated;
pub mod given_up_stays;
pub mod groups_are_apart;
pub mod groups_go_on;
pub mod hashes_agree;
pub mod healing;
pub mod held_back_is_bounded;
pub mod held_is_whole;
pub mod ids_are_written_once;
pub mod journals_are_kept;
pub mod kept_is_durable;
pub mod leader_completeness;
pub mod leaders_stay;
pub mod log_matching;
pub mod mark_goes_last;
pub mod memory_is_bounded;
pub mod minority_is_isolated;
pub mod one_change_at_a_time;
pub mod origins_converge;
pub mod own_events_leave_from_disk;
pub mod receipts_are_modest;
pub mod recovery_is_faithful;
pub mod repair_is_faithful;
pub mod session_guarantees;
pub mod session_order;
pub mod state_machine_safety;
pub mod states_are_whole;
pub mod strong_is_applied;
pub mod subscriptions_are_complete;
pub mod withdrawn_is_absent;

use crate::clients::{journal, lane_reader, operator};
use crate::history::{Asked, State};
use crate::lane::Dot;
use crate::world::World;
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::ordered::effects::{Completion, End};

pub fn after_flush(world: &mut World, node: usize, group: GroupId) {
    let Some(status) = world.members[node].group(group).map(|group| group.status()) else { return };
    election_safety::check(world, node, group, &status);
    commit_is_final::check(world, node, group, &status);
    commits_own_term::check(world, node, group, &status);
    state_machine_safety::check(world, node, group, &status);
    memory_is_bounded::check(world, node);
    hashes_agree::check(world, node, group, &status);
    minority_is_isolated::check(world, node, group, &status);
    alarms_are_true::check(world, node, group, &status);
    configurations_agree::check(world, node, group, &status);
    leaders_stay::check(world, node, group, &status);
    mark_goes_last::note(world, node, group, &status);
    held_is_whole::note_rules(world, node);
    if status.applied >= world.history.of(group).observed {
        journal::observe(world, node, group);
    }
}

/// As `after_flush`, of the causal lane.
pub fn after_lane_flush(world: &mut World, node: usize) {
    delivered_stays_delivered::check(world, node);
    held_is_whole::note_rules(world, node);
    held_is_whole::check_told(world, node);
    memory_is_bounded::check(world, node);
    memory_is_bounded::check_lane(world, node);
}

pub fn on_completion(world: &mut World, node: usize, completion: &Completion) {
    world.history.answers += 1;
    minority_is_isolated::check_end(world, node, completion);
    let Some(request) = world.history.requests.get_mut(&(node, completion.request)) else {
        world.history.violate("ends_are_asked_for", format!("{node} ends unknown request {}", completion.request));
        return;
    };
    if request.state != State::Open {
        let what = format!("{node} ends request {} twice", completion.request);
        world.history.violate("ends_are_asked_for", what);
        return;
    }
    request.state = State::Ended;
    let request = request.clone();
    if request.group != completion.group {
        let what = format!("group {} of {node} ends request {} of group {}", completion.group, completion.request, request.group);
        return world.history.violate("groups_are_apart", what);
    }
    match &completion.end {
        End::Applied { index, term, outcome, durable_members, applied_members, .. } => {
            acknowledged_is_durable::check(world, request.group, *index, *term);
            receipts_are_modest::check(world, request.group, *index, *term, *durable_members);
            strong_is_applied::check(world, &request, *index, *applied_members);
            match request.asked {
                Asked::Events { .. } => {
                    duplicates_keep_first_place::check(world, &request, *index, *term, outcome);
                    session_order::check_outcome(world, &request, outcome);
                    barrier_is_real_time::check_publish(world, &request, *index, outcome);
                }
                Asked::Fence { .. } => fence_is_final::note(world, &request, outcome),
                Asked::Barrier | Asked::Members { .. } | Asked::Consumer { .. } | Asked::Kept { .. } => {}
            }
            answered(world, request.group, *index);
        }
        End::Barrier { applied } => {
            barrier_is_real_time::check_barrier(world, &request, *applied);
            answered(world, request.group, *applied);
        }
        End::Withdrawn => withdrawn_is_absent::note(world, &request),
        End::Kept { incarnation, counter, offset, clock, .. } => {
            let actor = Actor { member: world.members[node].id, incarnation: *incarnation };
            if let Some(dot) = kept_is_durable::check(world, &request, actor, counter.0, *offset) {
                let clock = clocks_cover_the_past::of_receipt(world, clock);
                clocks_cover_the_past::check(world, "a publisher", dot, clock);
            }
        }
        End::KeptInPart { entry, events } => {
            let of_entry = entry.as_ref().map(|entry| (entry, Actor { member: world.members[node].id, incarnation: entry.incarnation }));
            ids_are_written_once::check_end(world, &request, of_entry, events);
            if let Some((entry, actor)) = of_entry {
                let print = world.members[node].shadow.origin_of(actor).and_then(|(_, origin)| origin.print(entry.counter.0));
                let clock = clocks_cover_the_past::of_receipt(world, &entry.clock);
                let dot = Dot { actor, counter: entry.counter.0, print: print.unwrap_or(0) };
                clocks_cover_the_past::check(world, "a publisher", dot, clock);
            }
        }
        End::Declined(_) => {}
    }
}

fn answered(world: &mut World, group: GroupId, index: Index) {
    let history = world.history.of_mut(group);
    history.highest_answered = history.highest_answered.max(index);
}

/// Judges the whole run, after the faults have stopped and the cluster had time to heal.
pub fn at_the_end(world: &mut World) {
    healing::check(world);
    followed_comes::check(world);
    let table = operator::table(world).unwrap_or_default();
    let members: Vec<usize> = (0..world.members.len()).filter(|node| operator::belongs(&table, &world.members[*node])).collect();
    for group in world.groups().collect::<Vec<_>>() {
        members.iter().for_each(|node| judge_journal(world, *node, group));
        journals_are_kept::check(world, group);
    }
    origins_converge::check(world);
    held_is_whole::check(world);
    kept_is_durable::check_everywhere(world, &members);
    members.iter().for_each(|node| lane_reader::read_all(world, *node));
}

fn judge_journal(world: &mut World, node: usize, group: GroupId) {
    let found = match journal::read_all(world, node, group) {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => return world.history.violate("groups_go_on", format!("the journal of {node}: {error}")),
    };
    // As readers know it: a mark of this instant may not have been told to them.
    let first = world.members[node].running.as_ref().map_or(Index(0), |running| running.view(group).first);
    let mut ordinal = world.history.of(group).ordinal_of(first);
    subscriptions_are_complete::check(world, group, &format!("the last reader at {node}"), &mut ordinal, &found);
    groups_are_apart::check(world, node, group, &found);
    exactly_once::check(world, node, group, first, &found);
    session_order::check_journal(world, node, group, &found);
    fence_is_final::check(world, node, group, &found);
    withdrawn_is_absent::check(world, node, group, &found);
}
