//! What facts mean: one file a type, and one line here.

pub mod g_counter;
pub mod lww_register;
pub mod map;
pub mod mv_register;
pub mod or_set;
pub mod pn_counter;
pub mod two_phase_set;

/// A stamp, u64 little-endian, at the start of the payload of a stamped type.
pub const STAMP_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    GCounter = 1,
    PnCounter = 2,
    LwwRegister = 3,
    MvRegister = 4,
    OrSet = 5,
    TwoPhaseSet = 6,
}

/// What the engine has to know of a type.
pub(super) struct Descriptor {
    pub of: Type,
    pub name: &'static str,
    /// Its payloads begin with a stamp.
    pub stamped: bool,
    /// Its facts have keys: the elements.
    pub keyed: bool,
    /// Whether a payload, without the stamp, is one of its.
    pub allows: fn(&[u8]) -> bool,
}

const TYPES: [&Descriptor; 6] = [
    &g_counter::DESCRIPTOR,
    &pn_counter::DESCRIPTOR,
    &lww_register::DESCRIPTOR,
    &mv_register::DESCRIPTOR,
    &or_set::DESCRIPTOR,
    &two_phase_set::DESCRIPTOR,
];

impl Type {
    pub fn all() -> impl Iterator<Item = Type> {
        TYPES.iter().map(|descriptor| descriptor.of)
    }

    fn descriptor(self) -> &'static Descriptor {
        TYPES[self as usize - 1]
    }

    pub fn name(self) -> &'static str {
        self.descriptor().name
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|of| of.name() == name)
    }

    pub fn is_stamped(self) -> bool {
        self.descriptor().stamped
    }

    pub fn is_keyed(self) -> bool {
        self.descriptor().keyed
    }
}

/// The type of an object: one of the types, or a map that has one under each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub of: Type,
    pub map: bool,
}

const MAP: u8 = 0x10;

impl Shape {
    pub fn all() -> impl Iterator<Item = Shape> {
        Type::all().flat_map(|of| [false, true].map(|map| Shape { of, map }))
    }

    pub fn byte(self) -> u8 {
        self.of as u8 | if self.map { MAP } else { 0 }
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::all().find(|shape| shape.byte() == byte)
    }

    pub fn name(self) -> String {
        let name = self.of.name();
        if self.map {
            format!("map of {name}")
        } else {
            name.to_owned()
        }
    }

    /// Whether a state of this shape can hold a fact. `payload` is without the stamp.
    pub fn allows(self, key: &[u8], payload: &[u8]) -> bool {
        let key_fits = match (self.map, self.of.is_keyed()) {
            (false, false) => key.is_empty(),
            (true, true) => map::split(key).is_some(),
            _ => true,
        };
        key_fits && (self.of.descriptor().allows)(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_registered_in_its_place() {
        for (at, descriptor) in TYPES.iter().enumerate() {
            assert_eq!(descriptor.of as usize, at + 1);
            assert_eq!(Type::named(descriptor.name), Some(descriptor.of));
        }
        assert_eq!(Shape::all().filter_map(|shape| Shape::from_byte(shape.byte())).count(), 12);
    }
}
