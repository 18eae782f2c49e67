//! The machine's state as it stood at one index: taken without copying the window, written out while the machine goes
//! on, and read back (docs/formats.md, "Snapshot files").
//!
//! Blocks come in an order that follows from the state alone, so that equal states make equal bytes on every member whose
//! journal begins at the same entry.

use super::consumer::{Consumer, Position};
use super::window::{Place, WindowImage};
use super::{Beginning, Machine, MachineLimits, Milestone};
use crate::event::Malformed;
use crate::ids::{EventId, Index, SessionId, Term};
use crate::journal::{PassedOver, Suppressed};
use crate::membership::Membership;
use crate::packed::{put_text, Unpack};
use crate::replication::Agreed;
use std::collections::BTreeSet;

const TAG_STATE: u16 = 1;
const TAG_PLACES: u16 = 2;
const TAG_SESSIONS: u16 = 3;
const TAG_FENCES: u16 = 4;
const TAG_CONSUMERS: u16 = 5;
const TAG_MEMBERS: u16 = 6;
const TAG_SUPPRESSED: u16 = 7;
const TAG_MILESTONES: u16 = 8;
const TAG_RULES: u16 = 9;
/// A block of a later release with this bit may be passed over.
const TAG_OPTIONAL: u16 = 0x8000;
const TAG_BEGINNING: u16 = TAG_OPTIONAL | 9;
/// Items in one block at most; the largest item is a consumer with a name of 256 bytes.
const BLOCK_ITEMS: usize = 4096;
const PLACE_BYTES: usize = 36;

/// Everything that `Machine` decides by. Cloning shares the window's places.
#[derive(Clone)]
pub struct MachineImage {
    pub index: Index,
    pub hash: u64,
    pub events: u64,
    pub hlc: u64,
    pub bytes: u64,
    pub window: WindowImage,
    pub sessions: Vec<(SessionId, u64, Index)>,
    pub fences: BTreeSet<EventId>,
    pub consumers: Vec<(String, Consumer)>,
    pub membership: Membership,
    pub replication: Agreed,
    pub suppressed: Suppressed,
    pub milestones: Vec<Milestone>,
    /// Of the journal of the member that took it.
    pub beginning: Option<Beginning>,
}

/// Takes a tag and its block.
pub type Emit<'a, E> = dyn FnMut(u16, &[u8]) -> Result<(), E> + 'a;

impl MachineImage {
    /// Of a journal that is to begin here.
    pub fn begin(&mut self, beginning: Beginning) {
        self.beginning = Some(beginning);
        self.suppressed.cut_before(beginning.first);
        self.milestones.retain(|mark| mark.index >= beginning.first);
    }

    /// Hands out (tag, block) pairs, each at most about a MiB.
    pub fn encode<E>(&self, emit: &mut Emit<'_, E>) -> Result<(), E> {
        let mut out = Vec::new();
        for field in [self.index.0, self.hash, self.events, self.hlc, self.bytes, self.window.forgotten] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        emit(TAG_STATE, &out)?;
        out.clear();
        self.membership.encode(&mut out);
        emit(TAG_MEMBERS, &out)?;
        // Releases that know of no rules read whatever has none.
        blocks(TAG_RULES, Some(&self.replication).filter(|agreed| agreed.version > Index(0)).into_iter(), emit, |out, agreed| agreed.encode(out))?;
        blocks(TAG_SESSIONS, self.sessions.iter(), emit, |out, (id, last, active)| {
            out.extend_from_slice(&id.0.to_be_bytes());
            out.extend_from_slice(&last.to_le_bytes());
            out.extend_from_slice(&active.0.to_le_bytes());
        })?;
        blocks(TAG_FENCES, self.fences.iter(), emit, |out, id| out.extend_from_slice(&id.0.to_be_bytes()))?;
        blocks(TAG_CONSUMERS, self.consumers.iter(), emit, |out, (name, consumer)| {
            put_text(out, name);
            out.extend_from_slice(&consumer.epoch.to_le_bytes());
            out.extend_from_slice(&consumer.holder.to_le_bytes());
            for position in [consumer.acknowledged, consumer.claimed] {
                out.extend_from_slice(&position.index.0.to_le_bytes());
                out.extend_from_slice(&position.offset.to_le_bytes());
            }
        })?;
        blocks(TAG_SUPPRESSED, self.suppressed.iter(), emit, |out, event| {
            out.extend_from_slice(&event.index.0.to_le_bytes());
            out.extend_from_slice(&event.offset.to_le_bytes());
            out.push(event.code);
        })?;
        blocks(TAG_MILESTONES, self.milestones.iter(), emit, |out, mark| {
            for field in [mark.index.0, mark.hash, mark.events, mark.bytes, mark.hlc] {
                out.extend_from_slice(&field.to_le_bytes());
            }
        })?;
        blocks(TAG_BEGINNING, self.beginning.iter(), emit, |out, beginning| {
            out.extend_from_slice(&beginning.first.0.to_le_bytes());
            out.extend_from_slice(&beginning.prior_term.0.to_le_bytes());
            out.push(u8::from(beginning.prior_hash.is_some()));
            out.extend_from_slice(&beginning.prior_hash.unwrap_or(0).to_le_bytes());
        })?;
        blocks(TAG_PLACES, self.window.places(), emit, |out, place| {
            out.extend_from_slice(&place.id.0.to_be_bytes());
            out.extend_from_slice(&place.fingerprint.to_le_bytes());
            out.extend_from_slice(&place.index.0.to_le_bytes());
            out.extend_from_slice(&place.offset.to_le_bytes());
        })
    }
}

fn blocks<T, E>(
    tag: u16,
    items: impl Iterator<Item = T>,
    emit: &mut Emit<'_, E>,
    put: impl Fn(&mut Vec<u8>, T),
) -> Result<(), E> {
    let (mut out, mut count) = (Vec::new(), 0);
    for item in items {
        put(&mut out, item);
        count += 1;
        if count == BLOCK_ITEMS {
            emit(tag, &out)?;
            out.clear();
            count = 0;
        }
    }
    if count > 0 {
        emit(tag, &out)?;
    }
    Ok(())
}

fn position(fields: &mut Unpack<'_>) -> Result<Position, Malformed> {
    Ok(Position { index: Index(fields.u64()?), offset: fields.u32()? })
}

/// Puts a machine together from the blocks of an image, in the order they were written.
pub struct Restore {
    machine: Machine,
    stated: bool,
    forgotten: u64,
}

impl Restore {
    /// `key` is that of `Machine::new`.
    pub fn new(limits: MachineLimits, key: u64) -> Self {
        Self { machine: Machine::new(limits, key), stated: false, forgotten: 0 }
    }

    pub fn block(&mut self, tag: u16, bytes: &[u8]) -> Result<(), Malformed> {
        let mut fields = Unpack::new(bytes);
        let machine = &mut self.machine;
        match tag {
            TAG_STATE => {
                machine.applied = Index(fields.u64()?);
                (machine.hash, machine.events) = (fields.u64()?, fields.u64()?);
                (machine.hlc, machine.bytes, self.forgotten) = (fields.u64()?, fields.u64()?, fields.u64()?);
                self.stated = true;
            }
            TAG_MEMBERS => machine.membership = Membership::decode(&mut fields)?,
            TAG_RULES => machine.replication = Agreed::decode(&mut fields)?,
            TAG_PLACES if bytes.len() % PLACE_BYTES == 0 => {
                while !fields.is_empty() {
                    let (id, at) = (EventId(fields.uuid()?), fields.at());
                    let (fingerprint, index, offset) = (fields.u64()?, Index(fields.u64()?), fields.u32()?);
                    if machine.window.find(id).is_some() {
                        return Err(Malformed { at, what: "an event is in the window twice" });
                    }
                    machine.window.insert(Place { id, fingerprint, index, offset });
                }
            }
            TAG_SESSIONS => {
                while !fields.is_empty() {
                    let (id, last) = (SessionId(fields.uuid()?), fields.u64()?);
                    machine.sessions.advance(id, last, Index(fields.u64()?));
                }
            }
            TAG_FENCES => {
                while !fields.is_empty() {
                    machine.fences.insert(EventId(fields.uuid()?));
                }
            }
            TAG_CONSUMERS => {
                while !fields.is_empty() {
                    let name = fields.text()?.to_string();
                    let (epoch, holder) = (fields.u64()?, fields.u64()?);
                    let (acknowledged, claimed) = (position(&mut fields)?, position(&mut fields)?);
                    machine.consumers.put(name, Consumer { epoch, holder, acknowledged, claimed });
                }
            }
            TAG_SUPPRESSED => {
                while !fields.is_empty() {
                    let (index, offset) = (Index(fields.u64()?), fields.u32()?);
                    machine.passed_over.add([PassedOver { index, offset, code: fields.u8()? }]);
                }
            }
            TAG_MILESTONES => {
                while !fields.is_empty() {
                    let (index, hash) = (Index(fields.u64()?), fields.u64()?);
                    let (events, bytes, hlc) = (fields.u64()?, fields.u64()?, fields.u64()?);
                    machine.milestones.push_back(Milestone { index, hash, events, bytes, hlc });
                }
            }
            TAG_BEGINNING => {
                let (first, prior_term) = (Index(fields.u64()?), Term(fields.u64()?));
                let (known, hash) = (fields.u8()? != 0, fields.u64()?);
                machine.beginning = Some(Beginning { first, prior_term, prior_hash: known.then_some(hash) });
            }
            other if other & TAG_OPTIONAL != 0 => return Ok(()),
            _ => return Err(Malformed { at: 0, what: "unknown kind of block" }),
        }
        fields.end()
    }

    pub fn finish(mut self) -> Result<Machine, Malformed> {
        if !self.stated {
            return Err(Malformed { at: 0, what: "the image has no state block" });
        }
        self.machine.window.set_forgotten(self.forgotten);
        Ok(self.machine)
    }
}

impl Machine {
    /// The state at `applied`.
    pub fn image(&self) -> MachineImage {
        MachineImage {
            index: self.applied,
            hash: self.hash,
            events: self.events,
            hlc: self.hlc,
            bytes: self.bytes,
            window: self.window.image(),
            sessions: self.sessions.iter().collect(),
            fences: self.fences.clone(),
            consumers: self.consumers.iter().map(|(name, consumer)| (name.clone(), *consumer)).collect(),
            membership: self.membership.clone(),
            replication: self.replication.clone(),
            suppressed: self.passed_over.clone(),
            milestones: self.milestones.iter().copied().collect(),
            beginning: self.beginning,
        }
    }
}
