//! Which keys have changed since somebody asked.

/// More than this is told as "everything may have changed".
const BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// A u32 length and the key, for each; a key may be there more than once.
    pub packed: Vec<u8>,
    /// Keys were left out.
    pub overflow: bool,
}

impl Touched {
    pub fn note(&mut self, key: &[u8]) {
        if self.overflow {
            return;
        }
        if self.packed.len() + key.len() + 4 > BYTES_MAX {
            self.packed = Vec::new();
            self.overflow = true;
            return;
        }
        self.packed.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.packed.extend_from_slice(key);
    }

    pub fn is_empty(&self) -> bool {
        self.packed.is_empty() && !self.overflow
    }
}
