//! Readers of the causal lane, and what they are told of its origins.

use crate::app::status_of;
use crate::filter;
use crate::registry::{self, coded};
use napi::bindgen_prelude::{BigInt, Buffer, Result};
use napi_derive::napi;
use parking_lot::Mutex;
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::reader::{Bounds, Place, ReadError, Reader};
use vexfs_core::ids::MemberId;

/// An origin, under the number that packed causal deliveries have for it.
#[napi(object)]
pub struct CausalOrigin {
    /// As clocks spell it.
    pub name: String,
    /// Raft id of the member that writes it.
    pub member: BigInt,
    pub incarnation: u32,
}

/// The origins in the order of their numbers; there may be more of them later.
#[napi]
pub fn causal_origins(handle: u32) -> Result<Vec<CausalOrigin>> {
    let node = registry::get(handle)?;
    let lane = node.shared().lane.read();
    let row = |origin: &vexfs_core::causal::OriginView| CausalOrigin {
        name: origin.name.clone(),
        member: origin.actor.member.0.into(),
        incarnation: origin.actor.incarnation,
    };
    Ok(lane.origins.iter().map(row).collect())
}

/// What the causal lane has come to here.
#[napi(object)]
pub struct NativeLane {
    /// Who writes here; empty while that is not decided.
    pub actor: String,
    pub origins: Vec<NativeLaneOrigin>,
    pub lacking: Vec<NativeLaneLack>,
    pub pending: u32,
}

/// An entry that is missing, and that no member that is connected has.
#[napi(object)]
pub struct NativeLaneLack {
    pub name: String,
    pub counter: BigInt,
}

#[napi(object)]
pub struct NativeLaneOrigin {
    pub name: String,
    /// Entries delivered, on disk here, and known of.
    pub delivered: BigInt,
    pub held: BigInt,
    pub known: BigInt,
}

/// Who the lane writes as; empty while that is not decided.
#[napi]
pub fn causal_actor(handle: u32) -> Result<String> {
    Ok(registry::get(handle)?.shared().lane.read().actor.to_string())
}

#[napi]
pub fn causal_status(handle: u32) -> Result<NativeLane> {
    let node = registry::get(handle)?;
    let status = node.shared().lane_status.lock();
    let row = |(name, delivered, held, known): &(String, u64, u64, u64)| NativeLaneOrigin {
        name: name.clone(),
        delivered: (*delivered).into(),
        held: (*held).into(),
        known: (*known).into(),
    };
    let lack = |(name, counter): &(String, u64)| NativeLaneLack { name: name.clone(), counter: (*counter).into() };
    Ok(NativeLane {
        actor: status.actor.clone(),
        origins: status.origins.iter().map(row).collect(),
        lacking: status.lacking.iter().map(lack).collect(),
        pending: status.pending as u32,
    })
}

/// Whether everything that a cursor's place names is delivered here.
#[napi]
pub fn causal_reaches(handle: u32, place: &[u8]) -> Result<bool> {
    let place = Place::decode(place).map_err(|error| coded("CURSOR_INVALID", error))?;
    let node = registry::get(handle)?;
    let lane = node.shared().lane.read().clone();
    Ok(place.is_within(&lane.origins, &lane.delivered))
}

/// Has an entry fetched that is not held here; readers find it whole once it is on disk. Answers as `submit`.
#[napi]
pub fn causal_fetch(handle: u32, member: BigInt, incarnation: u32, counter: BigInt) -> Result<u32> {
    let actor = Actor { member: MemberId(member.get_u64().1), incarnation };
    Ok(status_of(registry::get(handle)?.fetch(actor, counter.get_u64().1)))
}

/// The place where what the origins' logs still have begins, as a cursor names it.
#[napi]
pub fn causal_oldest(handle: u32) -> Result<Buffer> {
    let node = registry::get(handle)?;
    let lane = node.shared().lane.read();
    Ok(Place::oldest(&lane.origins).encode().into())
}

/// Where one subscription to the causal lane stands.
#[napi]
pub struct CausalReader {
    handle: u32,
    reader: Mutex<Reader>,
}

#[napi]
impl CausalReader {
    /// `place` is what a cursor names (docs/formats.md, "Cursor"); without one it begins after what is delivered by now.
    #[napi(constructor)]
    pub fn new(handle: u32, place: Option<&[u8]>) -> Result<Self> {
        let place = match place {
            Some(bytes) => Place::decode(bytes).map_err(|error| coded("CURSOR_INVALID", error))?,
            None => {
                let node = registry::get(handle)?;
                let lane = node.shared().lane.read();
                Place::latest(&lane.origins, &lane.delivered)
            }
        };
        Ok(Self { handle, reader: Mutex::new(Reader::new(place)) })
    }

    /// Packed causal deliveries, at least one event where there is any. `filter` is a number of `makeFilter`, 0 for none.
    #[napi]
    pub fn read(&self, bytes_max: u32, events_max: u32, filter: u32) -> Result<Buffer> {
        let filter = filter::get(filter)?;
        let bounds = Bounds { bytes_max: bytes_max as usize, events_max };
        let packed = registry::get(self.handle)?.read_causal(&mut self.reader.lock(), bounds, filter.as_deref());
        packed.map(Buffer::from).map_err(|error| match error {
            ReadError::Unreadable { .. } => coded("LOG_DAMAGED", error),
            ReadError::Compacted { .. } => coded("CURSOR_COMPACTED", error),
        })
    }

    /// Where it stands now.
    #[napi]
    pub fn place(&self) -> Result<Buffer> {
        let node = registry::get(self.handle)?;
        let lane = node.shared().lane.read();
        Ok(self.reader.lock().place(&lane.origins).encode().into())
    }
}
