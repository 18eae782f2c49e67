//! No two entries ever have the same actor and counter, whatever a disk has lost (rule R7; Almeida, Shoker and Baquero 2018,
//! "Delta state replicated data types", section 7, where dots name what was written). What was on one disk alone and is
//! lost with it is nobody's to know: its name may be given again.

use crate::lane::Dot;
use crate::world::World;

/// Entries have come to the disk of a member, or were found there.
pub fn check(world: &mut World, node: usize, dots: &[Dot]) {
    for dot in dots {
        let Some(fact) = world.history.lane.fact_mut(*dot) else { continue };
        if std::mem::replace(&mut fact.there, true) {
            continue;
        }
        let others = world.history.lane.all(dot.actor, dot.counter).iter().filter(|fact| fact.there && fact.print != dot.print);
        if others.count() > 0 {
            let what = format!("{node} has another entry {} of {:?} on its disk than there was", dot.counter, dot.actor);
            world.history.violate("dots_are_unique", what);
        }
    }
}

pub fn check_author(world: &mut World, node: usize, known: bool) {
    if !known {
        world.history.violate("dots_are_unique", format!("{node} writes an entry that its actor has not written"));
    }
}
