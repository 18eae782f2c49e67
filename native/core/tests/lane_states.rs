//! States of the causal lane on disk: what is damaged is never taken for what was written, and the last two stay.

use crate::log_support::disk::SimDisk;
use bytes::Bytes;
use std::sync::Arc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::ids::{Index, MemberId};
use vexfs_core::machine::MachineLimits;
use vexfs_core::snapshot::keeper::{file_name, Done, Job, Keeper, SnapshotKey};
use vexfs_core::snapshot::states::States;

fn keeper(disk: &SimDisk) -> Keeper<SimDisk> {
    Keeper::new(Arc::new(disk.clone()), "test".to_string(), MachineLimits::default())
}

/// A state of nothing, one that is in several blocks, and a small one.
fn states(counter: u64) -> States {
    let place = (1..=3).map(|member| (Actor { member: MemberId(member), incarnation: member as u32 }, counter + member));
    let large = (0..700_000u32).flat_map(|at| (at ^ counter as u32).to_le_bytes()).collect::<Vec<u8>>();
    let named = |name: &'static [u8], state: Vec<u8>| (Bytes::from_static(name), Bytes::from(state));
    States { place: place.collect(), list: vec![named(b"none", Vec::new()), named(b"large", large), named(b"small", vec![7; 3])] }
}

fn write(disk: &SimDisk, states: &States, before: u64) -> SnapshotKey {
    match keeper(disk).carry_out(Job::WriteStates { states: Arc::new(states.clone()), before: Index(before) }, &mut || {}) {
        Done::StatesWritten { info, .. } => info.key(),
        _ => panic!("they are not written"),
    }
}

fn found(disk: &SimDisk) -> Vec<Option<States>> {
    let found = keeper(disk).load_states().expect("the directory can be listed");
    found.into_iter().map(|read| read.ok().map(|(_, states)| states)).collect()
}

#[test]
fn the_last_two_come_back_after_a_loss_of_power() {
    let disk = SimDisk::default();
    for counter in 1..=4 {
        write(&disk, &states(counter), counter - 1);
        let disk = disk.after_power_loss(counter);
        let expected = (counter.saturating_sub(1).max(1)..=counter).rev().map(|counter| Some(states(counter)));
        // Older ones may come back.
        let expected: Vec<_> = expected.collect();
        assert_eq!(found(&disk)[..expected.len()], expected);
    }
}

#[test]
fn what_is_damaged_is_an_error_and_makes_way_for_the_next() {
    let disk = SimDisk::default();
    write(&disk, &states(1), 0);
    write(&disk, &states(2), 1);
    let name = file_name(FIRST_ORIGIN, Index(2));
    let whole = disk.read(&name);
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        disk.overwrite(&name, &bytes);
        assert_eq!(found(&disk), [None, Some(states(1))], "byte {at}");
    }
    write(&disk, &states(3), 1);
    assert_eq!(found(&disk), [Some(states(3)), Some(states(1))]);
}

#[test]
fn they_come_to_another_member_as_they_are() {
    let (from, to) = (SimDisk::default(), SimDisk::default());
    let key = write(&from, &states(1), 0);
    let mut offset = 0;
    loop {
        let Done::Piece { bytes: Some(bytes), .. } = keeper(&from).carry_out(Job::Read { to: MemberId(1), key, offset, length: 1 << 18 }, &mut || {}) else {
            panic!("there is no piece")
        };
        if bytes.is_empty() {
            break;
        }
        let stored = keeper(&to).carry_out(Job::Store { key, offset, bytes: bytes.clone().into() }, &mut || {});
        offset += bytes.len() as u64;
        assert!(matches!(stored, Done::Found { bytes, .. } if bytes == offset));
    }
    let other = SnapshotKey { digest: key.digest ^ 1, ..key };
    assert!(matches!(keeper(&to).carry_out(Job::RestoreStates { key: other }, &mut || {}), Done::NotRestored { .. }));
    match keeper(&to).carry_out(Job::RestoreStates { key }, &mut || {}) {
        Done::StatesRestored { states: read, .. } => assert_eq!(*read, states(1)),
        _ => panic!("they are not restored"),
    }
    assert!(to.names().iter().all(|name| !name.starts_with("snapshot-")), "nothing of it stays");
}
