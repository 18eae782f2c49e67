//! What must hold, each rule in a file with its source. Judged at every flush and completion, and the whole
//! journals after every command of a transcript.

pub mod acknowledged_is_durable;
pub mod barrier_is_real_time;
pub mod commit_is_final;
pub mod duplicates_keep_first_place;
pub mod election_safety;
pub mod exactly_once;
pub mod fence_is_final;
pub mod leader_completeness;
pub mod log_matching;
pub mod receipts_are_modest;
pub mod session_order;
pub mod state_machine_safety;
pub mod strong_is_applied;
pub mod withdrawn_is_absent;

use super::history::State;
use super::world::World;
use vexfs_core::ids::Index;
use vexfs_core::ordered::effects::{Completion, End};

pub fn after_flush(world: &mut World, node: usize) {
    election_safety::check(world, node);
    commit_is_final::check(world, node);
    state_machine_safety::check(world, node);
}

pub fn on_completion(world: &mut World, node: usize, completion: &Completion) {
    world.history.completions += 1;
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
    match &completion.end {
        End::Applied { index, term, outcome, durable_members, applied_members, .. } => {
            acknowledged_is_durable::check(world, *index, *term);
            receipts_are_modest::check(world, *index, *term, *durable_members);
            strong_is_applied::check(world, &request, *index, *applied_members);
            duplicates_keep_first_place::check(world, &request, *index, *term, outcome);
            session_order::check_outcome(world, &request, outcome);
            fence_is_final::note(world, &request, outcome);
            answered(world, *index);
        }
        End::Barrier { applied } => {
            barrier_is_real_time::check(world, &request, *applied);
            answered(world, *applied);
        }
        End::Withdrawn => withdrawn_is_absent::note(world, &request),
        End::Declined(_) | End::Kept { .. } | End::KeptInPart { .. } => {}
    }
}

fn answered(world: &mut World, index: Index) {
    world.history.highest_answered = world.history.highest_answered.max(index);
}

/// Judges the journals of all who have applied what anybody was answered with.
pub fn judge_journals(world: &mut World) {
    for node in 0..world.nodes.len() {
        let applied = world.nodes[node].group.as_ref().map(|group| group.machine().applied());
        if applied.is_none_or(|applied| applied < world.history.highest_answered) {
            continue;
        }
        let journal = world.journal(node);
        exactly_once::check(world, node, &journal);
        session_order::check_journal(world, node, &journal);
        fence_is_final::check(world, node, &journal);
        withdrawn_is_absent::check(world, node, &journal);
    }
}
