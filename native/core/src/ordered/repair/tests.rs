//! Rounds over short logs: who is asked, and what a round may end with.

use super::words::Answer;
use super::*;

const ME: MemberId = MemberId(1);

fn conf(voters: u64) -> Conf {
    Conf::of_voters((1..=voters).map(MemberId).collect())
}

fn repair(voters: u64, first: u64, last: u64, next_term: Option<u64>) -> Repair {
    let mut repair = Repair::default();
    repair.set_others((2..=voters).map(MemberId).collect(), &BTreeSet::new());
    let next_term = next_term.map(Term);
    repair.add(Lost { first: Index(first), last: Index(last), next_term, terms: Vec::new(), weight: Weight::Grave });
    repair
}

fn says(repair: &Repair, log_last: u64, settled: bool) -> Answer {
    let lost = repair.front().expect("a range is asked for");
    Answer {
        first: lost.first,
        last: lost.last,
        commit: Index(0),
        log_first: Index(1),
        log_last: Index(log_last),
        prior_term: Term(0),
        last_term: Term(0),
        next_term: Term(0),
        settled,
        entries: Vec::new(),
    }
}

/// Asks around until something other than a question comes up; `answers` says how far each member's log goes: `None` for
/// no answer at all. A log that reaches the range has it damaged.
fn round(repair: &mut Repair, conf: &Conf, commit: u64, answers: &dyn Fn(MemberId) -> Option<(u64, bool)>) -> Step {
    for _ in 0..4_000 {
        match repair.next(ME, Some(conf), Index(commit)) {
            Step::Ask { to, .. } => {
                if let Some((log_last, settled)) = answers(to) {
                    let answer = says(repair, log_last, settled);
                    assert_eq!(repair.answered(to, answer, Index(commit), None), None);
                }
            }
            Step::Nothing => repair.tick(ANSWER_TICKS),
            other => return other,
        }
    }
    Step::Nothing
}

#[test]
fn what_a_majority_never_had_is_forgotten() {
    let lacks = |_| Some((4, true));
    assert_eq!(round(&mut repair(3, 5, 7, None), &conf(3), 4, &lacks), Step::Forget { from: Index(5) });
    let one_is_away = |member| (member != MemberId(2)).then_some((4, true));
    assert_eq!(round(&mut repair(5, 5, 7, Some(3)), &conf(5), 4, &one_is_away), Step::Forget { from: Index(5) });
}

#[test]
fn silence_and_damage_and_forgetfulness_count_as_having_had_it() {
    let one_is_away = |member| (member != MemberId(2)).then_some((4, true));
    assert_eq!(round(&mut repair(3, 5, 7, None), &conf(3), 4, &one_is_away), Step::Nothing);
    let one_is_torn = |member| Some((4, member != MemberId(2)));
    let mut torn = repair(3, 5, 7, None);
    assert_eq!(round(&mut torn, &conf(3), 4, &one_is_torn), Step::Forget { from: Index(5) });
    assert_eq!(torn.in_vain, ROUNDS_IN_VAIN, "a majority never had it only if the torn one did not either");
    assert_eq!(round(&mut repair(3, 5, 7, None), &conf(3), 5, &one_is_torn), Step::Halt { index: Index(5) });
    let one_is_damaged = |member| Some((if member == MemberId(2) { 9 } else { 4 }, true));
    assert_eq!(round(&mut repair(3, 5, 7, None), &conf(3), 4, &one_is_damaged), Step::Halt { index: Index(5) });
}

#[test]
fn what_was_committed_is_never_forgotten() {
    let lacks = |_| Some((4, true));
    assert_eq!(round(&mut repair(3, 5, 7, None), &conf(3), 5, &lacks), Step::Halt { index: Index(5) });
}

#[test]
fn a_member_alone_halts_at_once() {
    assert_eq!(repair(1, 5, 7, Some(2)).next(ME, Some(&conf(1)), Index(4)), Step::Halt { index: Index(5) });
}

#[test]
fn a_joint_configuration_needs_both_majorities() {
    let joint = Conf { outgoing: vec![ME, MemberId(4), MemberId(5)], ..conf(3) };
    let mut both = repair(5, 5, 7, None);
    let old_away = |member| (member < MemberId(4)).then_some((4, true));
    assert_eq!(round(&mut both, &joint, 4, &old_away), Step::Nothing);
    assert_eq!(round(&mut both, &joint, 4, &|_| Some((4, true))), Step::Forget { from: Index(5) });
}

#[test]
fn answers_to_other_questions_are_passed_over() {
    let mut repair = repair(3, 5, 7, None);
    assert!(matches!(repair.next(ME, Some(&conf(3)), Index(4)), Step::Ask { to: MemberId(2), .. }));
    let answer = says(&repair, 4, true);
    assert_eq!(repair.answered(MemberId(3), answer.clone(), Index(4), None), None);
    assert!(repair.said.is_empty());
    let other = Answer { last: Index(6), ..answer.clone() };
    assert_eq!(repair.answered(MemberId(2), other, Index(4), None), None);
    assert!(repair.said.is_empty());
    assert_eq!(repair.answered(MemberId(2), answer, Index(4), None), None);
    assert_eq!(repair.said.len(), 1);
}

#[test]
fn what_came_back_is_not_asked_for_again() {
    let mut repair = repair(3, 5, 7, Some(3));
    repair.add(Lost { first: Index(2), last: Index(3), next_term: Some(Term(1)), terms: Vec::new(), weight: Weight::Light });
    repair.restored(Index(5), Index(6));
    assert_eq!(repair.front().map(|lost| (lost.first, lost.last)), Some((Index(7), Index(7))));
    assert!(repair.has_grave());
    repair.restored(Index(7), Index(7));
    assert!(!repair.has_grave() && !repair.is_idle());
    assert_eq!(repair.restored, 3);
    repair.covered(Index(3));
    assert_eq!(repair.front().map(|lost| lost.first), Some(Index(3)));
    repair.covered(Index(9));
    assert!(repair.is_idle());
}

#[test]
fn a_range_at_the_end_after_a_cut_has_nothing_behind_it() {
    let mut repair = repair(3, 5, 7, Some(3));
    repair.add(Lost { first: Index(9), last: Index(9), next_term: None, terms: Vec::new(), weight: Weight::Grave });
    repair.cut(Index(8));
    assert_eq!(repair.lost.len(), 1);
    assert_eq!(repair.front().and_then(|lost| lost.next_term), None);
}

#[test]
fn what_nobody_keeps_does_not_stand_before_what_somebody_has() {
    let mut repair = Repair::default();
    repair.set_others([2, 3].map(MemberId).into(), &BTreeSet::new());
    let lost = Lost { first: Index(5), last: Index(9), next_term: Some(Term(4)), terms: Vec::new(), weight: Weight::Light };
    repair.add(lost.clone());
    for (member, log_first) in [(2, 8), (3, 20)] {
        assert!(matches!(repair.next(ME, None, Index(30)), Step::Ask { to, .. } if to == MemberId(member)));
        let answer = Answer { log_first: Index(log_first), ..says(&repair, 40, true) };
        assert_eq!(repair.answered(MemberId(member), answer, Index(30), None), None);
    }
    assert_eq!(repair.next(ME, None, Index(30)), Step::Nothing);
    assert_eq!(repair.front(), Some(&Lost { first: Index(8), ..lost.clone() }));
    repair.restored(Index(8), Index(9));
    assert_eq!(repair.front(), Some(&Lost { last: Index(7), next_term: None, ..lost }));
}

/// What comes after it is asked of this member all the same (found with seed 502172 of the simulator).
#[test]
fn what_only_readers_miss_ends_where_its_range_ends() {
    let mut repair = repair(3, 9, 9, None);
    for (first, last, weight) in [(2, 3, Weight::Gap), (6, 7, Weight::Light)] {
        repair.add(Lost { first: Index(first), last: Index(last), next_term: None, terms: Vec::new(), weight });
    }
    let through = [2, 3, 4, 6, 7, 9].map(|index| repair.missed_through(Index(index)).map(|last| last.0));
    assert_eq!(through, [Some(3), Some(3), None, Some(7), Some(7), None]);
}

/// Damage in what retention has taken everywhere else: readers are told that it is gone, instead of waiting.
#[test]
fn what_nobody_keeps_any_more_is_a_gap() {
    let mut repair = Repair::default();
    repair.set_others([MemberId(2), MemberId(3)].into(), &BTreeSet::new());
    repair.add(Lost { first: Index(2), last: Index(3), next_term: None, terms: Vec::new(), weight: Weight::Light });
    let mut ask_all = |begins: [u64; 2]| {
        for _ in 0..4_000 {
            match repair.next(ME, None, Index(9)) {
                Step::Ask { to, .. } => {
                    let answer = Answer { log_first: Index(begins[to.0 as usize - 2]), ..says(&repair, 9, true) };
                    assert_eq!(repair.answered(to, answer, Index(9), None), None);
                }
                _ => repair.tick(ANSWER_TICKS),
            }
        }
        repair.gap_end()
    };
    assert_eq!(ask_all([2, 7]), None, "one of them has it damaged too, and may get it back");
    assert_eq!(ask_all([4, 7]), Some(Index(3)));
}
