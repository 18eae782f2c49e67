//! A session of the causal lane that moves to another member reads there what it has written, and all that it has read
//! before; what it publishes comes after both everywhere (Terry et al. 1994, "Session guarantees for weakly consistent
//! replicated data"). That its writes follow its reads and its earlier writes `causal_order` judges: they belong to what
//! its publishes had seen.

use crate::clients::lane_session::Known;
use crate::lane::{lacks, Past};
use crate::world::World;

/// `here`: what was delivered where the session reads or publishes.
pub fn check(world: &mut World, whom: &str, here: &Past, known: &Known) {
    for (past, what) in [(&known.written, "it has written"), (&known.read, "it has read before")] {
        if let Some((actor, counter)) = lacks(here, past) {
            let what = format!("{whom} is shown {:?} entries of {actor:?}, {what} entry {counter}", here.get(&actor));
            world.history.violate("session_guarantees", what);
        }
    }
}
