//! A barrier covers everything that anybody was answered before it was asked (rule R12; Herlihy and Wing 1990;
//! Ongaro 2014, section 6.4).

use crate::support::history::{Asked, Request};
use crate::support::world::World;
use vexfs_core::ids::Index;

pub fn check(world: &mut World, request: &Request, applied: Index) {
    let Asked::Barrier { after } = request.asked else { return };
    if applied < after {
        let what = format!("{} passes at {applied}, somebody knew of {after} before", request.node);
        world.history.violate("barrier_is_real_time", what);
    }
}
