//! States that an application makes of the causal lane's logs (CRDTs), kept apart from them: one file covers the logs up to
//! a vector, so that they can go that far (rule R11; docs/formats.md, "Snapshot files"). What the states are is not known here.

use super::file;
use super::{SnapshotError, SnapshotInfo, SnapshotMeta};
use crate::causal::actor::Actor;
use crate::causal::head::take_actor;
use crate::causal::FIRST_ORIGIN;
use crate::event::Malformed;
use crate::ids::{Index, Term};
use crate::log::DiskFile;
use crate::packed::Unpack;
use bytes::{Bytes, BytesMut};

const TAG_PLACE: u16 = 16;
const TAG_NAME: u16 = 17;
const TAG_STATE: u16 = 18;
/// A larger state is in several blocks.
const PIECE_BYTES: usize = 256 * 1024;
const NAME_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// Of each actor the counter up to which its entries are in the states.
    pub place: Vec<(Actor, u64)>,
    /// Names and states.
    pub list: Vec<(Bytes, Bytes)>,
}

/// The `number`th of a directory.
pub fn meta(cluster_id: &str, number: u64) -> SnapshotMeta {
    SnapshotMeta { cluster_id: cluster_id.to_string(), group: FIRST_ORIGIN, index: Index(number), term: Term(0), conf: Default::default() }
}

pub fn write<F: DiskFile>(file: &F, name: &str, meta: &SnapshotMeta, states: &States, pace: &mut dyn FnMut()) -> Result<SnapshotInfo, SnapshotError> {
    file::write_blocks(file, name, meta, pace, |put| {
        let mut place = Vec::new();
        for (actor, counter) in &states.place {
            actor.put(&mut place);
            place.extend_from_slice(&counter.to_le_bytes());
        }
        put(TAG_PLACE, &place)?;
        for (name, state) in &states.list {
            let mut head = (state.len() as u64).to_le_bytes().to_vec();
            head.extend_from_slice(name);
            put(TAG_NAME, &head)?;
            state.chunks(PIECE_BYTES).try_for_each(|piece| put(TAG_STATE, piece))?;
        }
        Ok(())
    })
}

/// Reads all of it and checks every byte.
pub fn read<F: DiskFile>(file: &F, name: &str) -> Result<(SnapshotInfo, States), SnapshotError> {
    let mut reading = Reading::default();
    let info = file::read_blocks(file, name, |tag, block| reading.block(tag, block))?;
    let damaged = |what: &str| SnapshotError::Damaged { file: name.to_string(), offset: info.bytes, what: what.to_string() };
    if info.meta.group != FIRST_ORIGIN {
        return Err(damaged("it is of an ordered group"));
    }
    match reading.finish() {
        Ok(states) => Ok((info, states)),
        Err(error) => Err(damaged(error.what)),
    }
}

#[derive(Default)]
struct Reading {
    placed: bool,
    states: States,
    /// The state that is being read: its name, its length, and what there is.
    open: Option<(Bytes, u64, BytesMut)>,
}

impl Reading {
    fn block(&mut self, tag: u16, block: &[u8]) -> Result<(), Malformed> {
        let mut fields = Unpack::new(block);
        match tag {
            TAG_PLACE if !self.placed => {
                self.placed = true;
                while !fields.is_empty() {
                    self.states.place.push((take_actor(&mut fields)?, fields.u64()?));
                }
            }
            TAG_NAME if block.len() <= NAME_BYTES_MAX => {
                self.close()?;
                let length = fields.u64()?;
                self.open = Some((Bytes::copy_from_slice(&block[8..]), length, BytesMut::new()));
            }
            TAG_STATE => match &mut self.open {
                Some((_, length, state)) if (state.len() + block.len()) as u64 <= *length => state.extend_from_slice(block),
                _ => return Err(Malformed { at: 0, what: "more of a state than there is" }),
            },
            tag if tag & 0x8000 != 0 => {}
            _ => return Err(Malformed { at: 0, what: "an unknown block among states" }),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        match self.open.take() {
            Some((name, length, state)) if state.len() as u64 == length => self.states.list.push((name, state.freeze())),
            Some(_) => return Err(Malformed { at: 0, what: "a state is cut off" }),
            None => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<States, Malformed> {
        self.close()?;
        match self.placed {
            true => Ok(self.states),
            false => Err(Malformed { at: 0, what: "states that do not say what they cover" }),
        }
    }
}
