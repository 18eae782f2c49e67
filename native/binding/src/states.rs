//! States that the application makes of the causal lane, kept apart from its logs (rule R11).

use crate::registry::{self, coded};
use napi::bindgen_prelude::{Buffer, Result};
use napi_derive::napi;
use parking_lot::Mutex;
use std::sync::atomic::Ordering;
use vexfs_core::causal::reader::Place;
use vexfs_core::snapshot::states::States;

#[napi(object)]
pub struct NativeState {
    pub name: Buffer,
    pub state: Buffer,
}

#[napi(object)]
pub struct NativeStates {
    /// What they cover, as a cursor names it.
    pub place: Buffer,
    pub list: Vec<NativeState>,
}

/// States for the application to take in, each once: those that the directory held.
#[napi]
pub fn take_causal_states(handle: u32) -> Result<Option<NativeStates>> {
    let node = registry::get(handle)?;
    let Some(states) = node.shared().lane_states.found.lock().take() else { return Ok(None) };
    let place = Place { had: states.place.iter().copied().collect(), ..Place::default() };
    let list = states.list.iter().map(|(name, state)| NativeState { name: name.to_vec().into(), state: state.to_vec().into() });
    Ok(Some(NativeStates { place: place.encode().into(), list: list.collect() }))
}

/// Whether newer states are to be kept, so that more of the logs can go.
#[napi]
pub fn causal_wants_states(handle: u32) -> Result<bool> {
    Ok(registry::get(handle)?.shared().lane_states.wanted.load(Ordering::Relaxed))
}

/// Whether some of the logs have gone that no states here cover.
#[napi]
pub fn causal_lacks_states(handle: u32) -> Result<bool> {
    Ok(registry::get(handle)?.shared().lane_states.lacking.load(Ordering::Relaxed))
}

/// States on their way to the disk.
#[napi]
pub struct CausalStates {
    states: Mutex<States>,
}

#[napi]
impl CausalStates {
    /// `place`: what is in them for certain.
    #[napi(constructor)]
    pub fn new(place: &[u8]) -> Result<Self> {
        let place = Place::decode(place).map_err(|error| coded("CURSOR_INVALID", error))?;
        Ok(Self { states: Mutex::new(States { place: place.had.into_iter().collect(), list: Vec::new() }) })
    }

    #[napi]
    pub fn add(&self, name: &[u8], state: &[u8]) {
        self.states.lock().list.push((name.to_vec().into(), state.to_vec().into()));
    }

    /// Has them kept, and is empty then.
    #[napi]
    pub fn keep(&self, handle: u32) -> Result<()> {
        let states = std::mem::take(&mut *self.states.lock());
        // A node that has ended keeps nothing, and lets go of nothing.
        let _ = registry::get(handle)?.keep_states(states);
        Ok(())
    }
}
