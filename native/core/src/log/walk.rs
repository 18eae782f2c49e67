//! Reading a segment front to back through a buffer.

use super::disk::{read_full, DiskFile};
use std::cell::Cell;
use std::io;

thread_local! {
    /// The last window's buffer, for the next: most windows live for one short read, and zeroing a new buffer would take
    /// longer than that.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stretch of a file in memory, moved forward as reads ask for it.
pub(super) struct Window<'a, F> {
    file: &'a F,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
    /// Read next time at least; doubles up to `read_bytes_max`, since most readers want little and some want all.
    read_bytes: usize,
    read_bytes_max: usize,
}

const READ_BYTES_FIRST: usize = 4 * 1024;
/// A longer buffer was for a long read, and is let go of.
const SPARE_BYTES_MAX: usize = 128 * 1024;

impl<'a, F: DiskFile> Window<'a, F> {
    /// Up to `read_bytes_max` are read at a time, more where one request is longer.
    pub fn new(file: &'a F, read_bytes_max: usize) -> Self {
        let read_bytes = READ_BYTES_FIRST.min(read_bytes_max);
        Self { file, buffer: SPARE.take(), start: 0, filled: 0, read_bytes, read_bytes_max }
    }

    /// The bytes at `offset`, fewer than `length` only where the file ends.
    pub fn get(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let held = offset >= self.start && offset + length as u64 <= self.start + self.filled as u64;
        if !held {
            self.filled = 0;
            let mut wanted = length.max(self.read_bytes);
            if wanted > self.read_bytes_max {
                // A damaged record may state any length: no buffer for what is not in the file.
                let rest = self.file.len()?.saturating_sub(offset);
                wanted = wanted.min(usize::try_from(rest).unwrap_or(usize::MAX));
            }
            self.read_bytes = (2 * self.read_bytes).min(self.read_bytes_max);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            self.filled = read_full(self.file, &mut self.buffer[..wanted], offset)?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..(from + length).min(self.filled)])
    }
}

impl<F> Drop for Window<'_, F> {
    fn drop(&mut self) {
        if self.buffer.len() <= SPARE_BYTES_MAX {
            SPARE.set(std::mem::take(&mut self.buffer));
        }
    }
}
