//! Named consumers (rule R8): nothing that was not acknowledged is passed over, what was acknowledged does not come again,
//! what may have been seen is marked, and a holder that was fenced delivers no more.

use crate::history::{Delivery, Placed};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::machine::consumer::Position;

/// What is known of one name of a group, over all its holders.
#[derive(Default)]
pub struct Name {
    /// Places that were delivered as new. A holder that was slow may deliver what it claimed after a later one has, with
    /// a mark: by the order of claims it is still the first.
    new: BTreeSet<Placed>,
    /// Highest place that anybody asked to acknowledge.
    pub asked: Placed,
    /// Highest place whose acknowledgement was confirmed.
    pub confirmed: Placed,
    /// Where each epoch began in the log.
    epochs: BTreeMap<u64, Index>,
}

pub fn placed(position: Position) -> Placed {
    (position.index, position.offset)
}

/// A holder's deliveries: `first` says that they begin its stream. `confirmed`: what was acknowledged for certain before
/// it attached.
pub struct Handed<'a> {
    pub items: &'a [Delivery],
    pub first: bool,
    pub redelivered_through: Placed,
    pub confirmed: Placed,
    pub epoch: u64,
    /// Where the claim that covers them was applied.
    pub claimed_at: Option<Index>,
}

pub fn note_epoch(world: &mut World, of: (GroupId, &'static str), epoch: u64, at: Index) {
    world.consumers.entry(of).or_default().epochs.insert(epoch, at);
}

pub fn check(world: &mut World, of: (GroupId, &'static str), handed: &Handed<'_>) {
    let Some(first) = handed.items.first() else { return };
    let (group, name) = of;
    let known = world.consumers.entry(of).or_default();
    let mut wrong: Vec<(&str, String)> = Vec::new();
    if handed.first {
        let journal = &world.history.of(group).journal;
        let before = journal.partition_point(|one| one.place < first.place).checked_sub(1).map(|at| journal[at].place);
        if before.is_some_and(|before| before > known.asked) {
            let what = format!("{name} begins at {:?}, acknowledged was {:?} at most", first.place, known.asked);
            wrong.push(("consumers_lose_nothing", what));
        }
        if first.place <= handed.confirmed {
            let what = format!("{name} gets {:?} again, acknowledged was {:?}", first.place, handed.confirmed);
            wrong.push(("consumers_lose_nothing", what));
        }
    }
    for item in handed.items {
        if item.place > handed.redelivered_through && !known.new.insert(item.place) {
            let what = format!("{name} gets {:?} again without a mark", item.place);
            wrong.push(("redelivery_is_marked", what));
            break;
        }
    }
    let later = known.epochs.range(handed.epoch + 1..).next();
    if let (Some((epoch, at)), Some(claimed_at)) = (later, handed.claimed_at) {
        if *at < claimed_at {
            let what = format!("epoch {} of {name} delivers what it claimed at {claimed_at}, epoch {epoch} began at {at}", handed.epoch);
            wrong.push(("consumers_are_fenced", what));
        }
    }
    for (invariant, what) in wrong {
        world.history.violate(invariant, what);
    }
}
