//! Making the next segment out of a zero-filled file.

use super::disk::{Disk, DiskFile};
use super::layout::{segment_name, segment_salt, SegmentHeader, BLOCK_BYTES};
use super::state::Active;
use super::superblock::{Copies, Superblock};
use super::LogError;
use std::sync::Arc;

/// The newest segment as the writer sees it.
pub(super) struct Newest<F> {
    pub header: SegmentHeader,
    pub file: Arc<F>,
    pub end: u64,
    pub next_batch: u64,
}

impl<F: DiskFile> Newest<F> {
    pub fn active(&self) -> Active<F> {
        let (header, file) = (self.header.clone(), self.file.clone());
        Active { header, file, index: Default::default(), end: self.end, damaged: false }
    }
}

/// Makes segments. The order of its steps is what recovery relies on: a segment's header is durable before it has its
/// name, and its name before the superblock counts on it, and that before any batch goes into it.
pub(super) struct Maker<'a, D: Disk> {
    pub disk: &'a D,
    pub copies: &'a mut Copies,
    pub superblock: &'a mut Superblock,
}

impl<D: Disk> Maker<'_, D> {
    /// Turns the zero-filled file `spare` into the next segment.
    pub fn segment(
        &mut self,
        spare: &str,
        previous_salt: u64,
        first_batch: u64,
        salt_seed: u64,
    ) -> Result<Newest<D::File>, LogError> {
        let file = self.disk.open(spare).map_err(LogError::io("open", spare))?;
        let identity = &self.superblock.identity;
        let sequence = self.superblock.newest + 1;
        let header = SegmentHeader {
            directory: identity.directory,
            sequence,
            salt: segment_salt(salt_seed, sequence, identity.incarnation),
            previous_salt,
            first_batch,
            capacity: file.len().map_err(LogError::io("read", spare))?,
            incarnation: identity.incarnation,
        };
        let name = segment_name(sequence);
        file.write_at(&header.encode(), 0).map_err(LogError::io("write", spare))?;
        file.sync_data().map_err(LogError::io("sync", spare))?;
        self.disk.rename(spare, &name).map_err(LogError::io("rename", spare))?;
        self.disk.sync_dir().map_err(LogError::io("sync", "the directory"))?;
        self.superblock.newest = sequence;
        self.superblock.newest_salt = header.salt;
        self.superblock.floor = first_batch;
        self.copies.update(self.disk, self.superblock.clone())?;
        Ok(Newest { header, file: Arc::new(file), end: BLOCK_BYTES, next_batch: first_batch })
    }
}
