//! Snapshots that no member of the cluster would offer: the engine panics over some, and would take others in the place of
//! what was committed.

use crate::support::submissions::{Draft, GROUP};
use crate::support::world::World;
use vexfs_core::event::Malformed;
use vexfs_core::ids::{EventId, Index, MemberId, Term, NUMBER_MAX};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::effects::Effects;
use vexfs_core::ordered::receive::Refused;
use vexfs_core::packed::Unpack;
use vexfs_core::peer::frame::{Frame, FrameKind};
use vexfs_core::snapshot::transfer::Offer;
use vexfs_core::snapshot::{SnapshotInfo, SnapshotMeta};

fn ids(list: &[u64]) -> Vec<MemberId> {
    list.iter().copied().map(MemberId).collect()
}

fn conf(voters: &[u64], outgoing: &[u64], learners: &[u64], learners_next: &[u64]) -> Conf {
    Conf { voters: ids(voters), outgoing: ids(outgoing), learners: ids(learners), learners_next: ids(learners_next) }
}

fn offer(index: u64, term: u64, conf: Conf) -> Frame {
    let meta = SnapshotMeta { cluster_id: "test".to_string(), group: GROUP, index: Index(index), term: Term(term), conf };
    let mut body = Vec::new();
    Offer { term, info: SnapshotInfo { meta, bytes: 100, digest: 7 } }.encode(&mut body);
    Frame { kind: FrameKind::SnapshotOffer, group: GROUP, body: body.into() }
}

#[test]
fn what_was_committed_is_not_replaced_by_an_offer_of_the_same_index() {
    let mut world = World::new(1, 3);
    world.elect(0);
    for id in 1..4 {
        world.submit(0, &Draft::events(vec![EventId(id)]), 1);
        world.settle();
    }
    let (from, voters) = (world.nodes[0].id, world.voters());
    let group = world.nodes[1].group.as_mut().expect("it runs");
    let before = group.status();
    let mut effects = Effects::default();
    let received = group.receive(from, offer(before.commit.0, before.term.0 + 1, Conf::of_voters(voters.clone())), 0, &mut effects);
    assert_eq!(received, Err(Refused::Conflicts { from, index: before.commit }));
    assert_eq!(group.status(), before);
    // What it has itself is no news.
    assert_eq!(group.receive(from, offer(before.commit.0, before.term.0, Conf::of_voters(voters)), 0, &mut effects), Ok(()));
    assert_eq!(group.status(), before);
    assert!(effects.jobs.is_empty());
}

#[test]
fn offers_that_the_engine_panics_over_are_malformed() {
    let good = || conf(&[1, 2], &[1, 3], &[4], &[3]);
    let read = |index: u64, term: u64, conf: Conf| Offer::decode(&mut Unpack::new(&offer(index, term, conf).body)).map(drop);
    assert_eq!(read(5, 1, good()), Ok(()));
    assert_eq!(read(NUMBER_MAX, NUMBER_MAX, good()), Ok(()));
    for (index, term) in [(0, 1), (5, 0), (NUMBER_MAX + 1, 1), (5, NUMBER_MAX + 1)] {
        assert!(matches!(read(index, term, good()), Err(Malformed { .. })), "{index} of term {term}");
    }
    let unsound = [
        conf(&[], &[], &[], &[]),
        conf(&[], &[1], &[], &[]),
        conf(&[2, 1], &[], &[], &[]),
        conf(&[1, 1], &[], &[], &[]),
        conf(&[0, 1], &[], &[], &[]),
        conf(&[1], &[], &[1], &[]),
        conf(&[1], &[2], &[2], &[]),
        conf(&[1], &[], &[], &[2]),
        conf(&[1], &[1, 2], &[], &[1]),
        conf(&[1], &[2], &[2], &[2]),
    ];
    for conf in unsound {
        assert!(matches!(read(5, 1, conf.clone()), Err(Malformed { .. })), "{conf:?}");
    }
}
