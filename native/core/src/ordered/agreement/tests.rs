//! Members that apply the same, and one that does not.

use super::*;

struct Cluster {
    members: Vec<(MemberId, Agreement)>,
    ticks: u64,
    applied: u64,
    /// Member that applies something else, and from which entry on.
    differs: Option<(MemberId, u64)>,
    /// Whatever is said is lost before this tick.
    cut_until: u64,
}

impl Cluster {
    fn new(members: u64, differs: Option<(u64, u64)>) -> Self {
        let mut members: Vec<_> = (1..=members).map(|id| (MemberId(id), Agreement::default())).collect();
        members.iter_mut().for_each(|(_, one)| one.begin(Index(1), 7, 0));
        Self { members, ticks: 0, applied: 1, differs: differs.map(|(id, from)| (MemberId(id), from)), cut_until: 0 }
    }

    fn apply(&mut self, entries: u64) {
        for _ in 0..entries {
            self.applied += 1;
            for (id, one) in &mut self.members {
                let other = self.differs.is_some_and(|(which, from)| which == *id && self.applied >= from);
                one.note(Index(self.applied), self.applied * 31 + u64::from(other));
            }
        }
    }

    /// One tick of all, and all that is said because of it.
    fn tick(&mut self) {
        self.ticks += 1;
        let ids: BTreeSet<MemberId> = self.members.iter().map(|(id, _)| *id).collect();
        for at in 0..self.members.len() {
            let (id, one) = &mut self.members[at];
            let (from, others) = (*id, ids.iter().copied().filter(|other| other != id).collect());
            let lost = self.ticks < self.cut_until;
            for say in one.tick(self.ticks, self.applied, &others).into_iter().filter(|_| !lost) {
                let (Say::Report { to, .. } | Say::Ask { to, .. }) = say;
                let to = self.members.iter().position(|(other, _)| *other == to).expect("a member");
                match say {
                    Say::Report { index, hash, .. } => self.members[to].1.told(from, index, hash, self.ticks),
                    Say::Ask { low, high, .. } => {
                        let answer = self.members[to].1.between(low, high);
                        assert!(answer.hashes.len() as u64 <= ANSWER_HASHES);
                        let asker = self.members[to].0;
                        self.members[at].1.answered(asker, &answer, self.ticks);
                    }
                }
            }
        }
    }

    fn divergence(&self, member: usize) -> Option<Divergence> {
        let voters: Vec<MemberId> = self.members.iter().map(|(id, _)| *id).collect();
        self.members[member].1.divergence(self.members[member].0, &voters)
    }
}

#[test]
fn members_that_apply_the_same_agree_on_everything() {
    let mut cluster = Cluster::new(3, None);
    for _ in 0..600 {
        cluster.apply(3);
        cluster.tick();
    }
    for (member, (_, one)) in cluster.members.iter().enumerate() {
        let (agreed, all) = one.pairs();
        assert!(all > 3_000 && agreed == all, "{agreed} of {all}");
        assert_eq!((cluster.divergence(member), one.divergences), (None, 0));
    }
}

/// Wherever the difference is, however long ago, all name the same first entry and the same member.
#[test]
fn the_first_difference_is_named_by_all() {
    for (entries, from) in [(10, 2), (10, 11), (900, 417), (60_000, 2), (60_000, 31_007), (60_000, 60_000)] {
        let mut cluster = Cluster::new(3, Some((2, from)));
        cluster.apply(entries);
        (0..400).for_each(|_| cluster.tick());
        for member in 0..3 {
            let expected = Divergence { first: Index(from), exact: true, minority: vec![MemberId(2)] };
            assert_eq!(cluster.divergence(member), Some(expected), "{from} of {entries} at {member}");
        }
    }
}

#[test]
fn a_member_that_differs_lowers_the_share() {
    let mut cluster = Cluster::new(3, Some((2, 1_000)));
    for _ in 0..2_000 {
        cluster.apply(1);
        cluster.tick();
    }
    let (agreed, all) = cluster.members[0].1.pairs();
    assert!(agreed < all && 3 * agreed > 2 * all, "{agreed} of {all}");
    let (own, all) = cluster.members[1].1.pairs();
    assert!(all > 0 && own < agreed, "the member itself agrees with nobody after it: {own} of {all}");
}

/// Nothing more is applied: what was said of it is said again.
#[test]
fn a_report_that_was_lost_is_made_up_for() {
    let mut cluster = Cluster::new(3, Some((2, 9)));
    cluster.cut_until = 100;
    cluster.apply(9);
    (0..99).for_each(|_| cluster.tick());
    assert_eq!(cluster.divergence(0), None);
    (0..2 * REPEAT_TICKS).for_each(|_| cluster.tick());
    for member in 0..3 {
        let found = cluster.divergence(member).expect("it is noticed");
        assert_eq!((found.first, found.minority), (Index(9), vec![MemberId(2)]));
    }
}

/// Member 3 has begun anew from a later snapshot: it does not know what it had at the first difference.
#[test]
fn a_member_that_keeps_less_has_its_say_too() {
    let mut cluster = Cluster::new(3, Some((2, 9)));
    cluster.cut_until = 100;
    cluster.apply(50);
    let (_, third) = &mut cluster.members[2];
    let hash = third.hash_at(40).expect("it is kept");
    third.begin(Index(40), hash, 40);
    let later: Vec<u64> = (41..=51).filter_map(|index| cluster.members[0].1.hash_at(index)).collect();
    later.iter().zip(41..).for_each(|(hash, index)| cluster.members[2].1.note(Index(index), *hash));
    (0..1_000).for_each(|_| cluster.tick());
    for member in 0..2 {
        let expected = Divergence { first: Index(9), exact: true, minority: vec![MemberId(2)] };
        assert_eq!(cluster.divergence(member), Some(expected), "at {member}");
    }
    let found = cluster.divergence(2).expect("they differ");
    assert_eq!((found.exact, found.minority), (false, vec![MemberId(2)]), "it names an entry that it keeps");
}

/// A second member that differs is seen beside the first.
#[test]
fn each_member_that_differs_is_named() {
    let mut cluster = Cluster::new(5, Some((2, 9)));
    cluster.apply(20);
    (0..200).for_each(|_| cluster.tick());
    // From here on the second one has stopped, and another one goes astray.
    cluster.apply(10);
    let (_, fourth) = &mut cluster.members[3];
    if let Some(hash) = fourth.hashes.back_mut() {
        *hash ^= 8;
    }
    (0..2_000).for_each(|_| cluster.tick());
    for member in [0, 2, 4] {
        let expected = Divergence { first: Index(9), exact: true, minority: vec![MemberId(2), MemberId(4)] };
        assert_eq!(cluster.divergence(member), Some(expected), "at {member}");
    }
    assert!(cluster.divergence(3).is_some_and(|found| found.minority.contains(&MemberId(4))));
}

#[test]
fn of_two_nobody_can_tell_who_is_right() {
    let mut cluster = Cluster::new(2, Some((2, 5)));
    cluster.apply(9);
    (0..400).for_each(|_| cluster.tick());
    for member in 0..2 {
        assert_eq!(cluster.divergence(member), Some(Divergence { first: Index(5), exact: true, minority: Vec::new() }));
    }
}

#[test]
fn a_difference_that_is_not_kept_any_more_is_named_as_such() {
    let mut cluster = Cluster::new(3, Some((2, 5)));
    cluster.apply(HASHES as u64 + 500);
    (0..1_000).for_each(|_| cluster.tick());
    let found = cluster.divergence(0).expect("they differ");
    assert!(!found.exact && found.minority == [MemberId(2)], "{found:?}");
}

#[test]
fn a_member_that_starts_again_with_the_right_state_is_one_of_them() {
    let mut cluster = Cluster::new(3, Some((2, 5)));
    cluster.apply(9);
    (0..400).for_each(|_| cluster.tick());
    cluster.differs = None;
    let right: Vec<u64> = cluster.members[0].1.hashes.iter().copied().collect();
    cluster.members[1].1 = Agreement::default();
    cluster.members[1].1.begin(Index(1), right[0], 0);
    right[1..].iter().zip(2..).for_each(|(hash, index)| cluster.members[1].1.note(Index(index), *hash));
    cluster.apply(3);
    (0..400).for_each(|_| cluster.tick());
    assert!((0..3).all(|member| cluster.divergence(member).is_none()));
    assert_eq!(cluster.members[0].1.divergences, 1);
}

#[test]
fn reports_that_come_early_wait() {
    let mut one = Agreement::default();
    one.begin(Index(1), 7, 0);
    one.told(MemberId(2), Index(3), 93, 0);
    one.note(Index(2), 62);
    one.catch_up(0);
    assert_eq!(one.peers[&MemberId(2)].agreed, Index(0));
    one.note(Index(3), 93);
    one.catch_up(0);
    assert_eq!(one.peers[&MemberId(2)].agreed, Index(3));
    assert_eq!(one.divergences, 0);
}

#[test]
fn an_answer_with_numbers_beyond_all_entries_is_none() {
    let mut one = Agreement::default();
    one.begin(Index(1), 7, 0);
    for (from, stride) in [(u64::MAX, 1), (u64::MAX - 1, u64::MAX), (1, u64::MAX), (0, 0)] {
        one.answered(MemberId(2), &Hashes { from: Index(from), stride, hashes: vec![1, 2, 3] }, 5);
    }
    assert_eq!(one.divergence(MemberId(1), &[MemberId(1), MemberId(2)]), None);
}
