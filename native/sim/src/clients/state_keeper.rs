//! What an application makes of the causal lane, one at each member, as the product's CRDTs are made: it takes in every
//! entry once, begins with the states that the directory holds, and has them kept when the lane asks for it. A state here is
//! how many entries of each actor are in it, and a sum of them all, so that one that was left out shows.

use crate::clients::journal::number;
use crate::clients::lane_reader::{entry_at, unpack};
use crate::invariants::states_are_whole;
use crate::lane::Past;
use crate::random::Random;
use crate::world::World;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::reader::{Bounds, Place, ReadError, Reader};
use vexfs_core::ids::MemberId;
use vexfs_core::snapshot::states::States;

/// Of each actor: entries up to here, and their sum.
pub type Made = BTreeMap<Actor, (u64, u64)>;

const ROW_BYTES: usize = 28;

pub struct StateKeeper {
    node: usize,
    random: Random,
    life: u32,
    reader: Option<Reader>,
    made: Made,
}

impl StateKeeper {
    pub fn new(seed: u64, node: usize) -> Self {
        Self { node, random: Random::stream(seed, "state keeper", node as u64), life: 0, reader: None, made: Made::new() }
    }

    /// Takes in what has come; microseconds to the next time.
    pub fn act(&mut self, world: &mut World) -> u64 {
        let gap_us = self.random.between(20_000, 400_000);
        let member = &mut world.members[self.node];
        let life = member.life;
        let Some(running) = member.awake() else { return gap_us };
        if std::mem::replace(&mut self.life, life) != life {
            self.reader = None;
            self.made.clear();
        }
        if let Some(states) = running.groups.take_states() {
            join(&mut self.made, &states);
            self.reader = None;
        }
        if running.groups.lane().lacks_states() {
            // What is left of the logs makes none that are whole: nothing is taken from there before others have come.
            states_are_whole::lacking(world, self.node);
            self.keep(world);
            return gap_us;
        }
        let made = &self.made;
        let reader = self.reader.get_or_insert_with(|| {
            let mut had = Place::oldest(&running.lane.origins).had;
            made.iter().for_each(|(actor, (counter, _))| crate::lane::raise(&mut had, *actor, *counter));
            Reader::new(Place { had, parts: BTreeMap::new() })
        });
        let bounds = Bounds { bytes_max: usize::MAX, events_max: u32::MAX };
        match running.read_lane(reader, bounds) {
            Ok(packed) => {
                for (actor, to) in unpack(&packed, &running.lane.origins).moved {
                    let (counter, sum) = self.made.entry(actor).or_default();
                    while *counter < to {
                        *counter += 1;
                        let print = entry_at(world, self.node, actor, *counter).0.print;
                        *sum ^= print;
                        world.history.lane.taken_in.insert((actor, *counter), print);
                    }
                }
            }
            // It comes again.
            Err(ReadError::Unreadable { .. }) => {}
            Err(ReadError::Compacted { index, name, .. }) => {
                states_are_whole::cannot_go_on(world, self.node, index, &name);
                return gap_us;
            }
        }
        world.members[self.node].lacks_states = false;
        self.keep(world);
        gap_us
    }

    /// Has what was made kept, where the lane wants it.
    fn keep(&self, world: &mut World) {
        let Some(running) = world.members[self.node].running.as_ref().filter(|running| running.groups.lane().wants_states()) else { return };
        if running.groups.lane().lacks_states() {
            states_are_whole::check_wanted(world, self.node, &self.made);
        }
        if let Some(running) = &mut world.members[self.node].running {
            running.groups.touch_lane().keep_states(Arc::new(packed(&self.made)));
            world.plan_flush(self.node);
        }
    }

    /// At the end: takes in the rest, and is judged.
    pub fn judge(&mut self, world: &mut World) {
        self.act(world);
        states_are_whole::check(world, self.node, &self.made);
    }
}

/// What is in it.
pub fn place(made: &Made) -> Past {
    made.iter().map(|(actor, (counter, _))| (*actor, *counter)).collect()
}

fn packed(made: &Made) -> States {
    let mut state = Vec::new();
    for (actor, (counter, sum)) in made {
        state.extend_from_slice(&actor.member.0.to_le_bytes());
        state.extend_from_slice(&u64::from(actor.incarnation).to_le_bytes()[..4]);
        state.extend_from_slice(&counter.to_le_bytes());
        state.extend_from_slice(&sum.to_le_bytes());
    }
    States { place: place(made).into_iter().collect(), list: vec![(Bytes::from_static(b"made"), state.into())] }
}

/// Of each actor the one that has more of it.
fn join(made: &mut Made, states: &States) {
    for row in states.list.iter().flat_map(|(_, state)| state.chunks_exact(ROW_BYTES)) {
        let incarnation = u32::from_le_bytes([row[8], row[9], row[10], row[11]]);
        let actor = Actor { member: MemberId(number(row, 0)), incarnation };
        let (counter, sum) = (number(row, 12), number(row, 20));
        let known = made.entry(actor).or_default();
        if known.0 < counter {
            *known = (counter, sum);
        }
    }
}
