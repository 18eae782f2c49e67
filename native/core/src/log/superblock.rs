//! The superblock: whose log this is and which segments there must be, in two copies (docs/formats.md, "Superblock").
//!
//! An update writes and syncs one copy, then the other, the worse one first. So at every moment one copy is whole, and
//! after an update both say the same: damage to either loses nothing.

use super::disk::{read_full, Disk, DiskFile};
use super::layout::{BLOCK, FORMAT_VERSION};
use super::types::{Identity, Wanted};
use super::LogError;
use crate::bytes_le::{u16_at, u32_at, u64_at};
use crc32c::{crc32c, crc32c_append};

pub(super) const COPY_NAMES: [&str; 2] = ["superblock.0", "superblock.1"];
const MAGIC: &[u8; 8] = b"VXLOGSUP";
const NAMES_AT: usize = 80;
/// Behind the longest names there can be; the first release left it zero.
const FLOOR_AT: usize = BLOCK - 8;
/// Longest cluster id and longest node id, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Grows with every update; of two whole copies the higher counts.
    pub generation: u64,
    pub identity: Identity,
    /// Sequence of the oldest segment.
    pub oldest: u64,
    /// Sequence of the newest segment that may hold batches; 0 before the first. One more may exist, just created.
    pub newest: u64,
    pub newest_salt: u64,
    /// Batches with lower numbers were on disk when this was written; 0 where that was not noted yet.
    pub floor: u64,
}

impl Superblock {
    pub fn fresh(wanted: &Wanted) -> Result<Self, LogError> {
        for (what, name) in [("the cluster id", &wanted.cluster_id), ("the node id", &wanted.node_id)] {
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                return Err(LogError::BadName { what, limit: NAME_BYTES_MAX });
            }
        }
        let identity = Identity {
            cluster_id: wanted.cluster_id.clone(),
            node_id: wanted.node_id.clone(),
            directory: wanted.fresh_directory_id,
            incarnation: 1,
        };
        Ok(Self { generation: 1, identity, oldest: 1, newest: 0, newest_salt: 0, floor: 0 })
    }

    pub fn check(&self, wanted: &Wanted) -> Result<(), LogError> {
        let pairs = [
            ("cluster", &wanted.cluster_id, &self.identity.cluster_id),
            ("node", &wanted.node_id, &self.identity.node_id),
        ];
        for (what, expected, found) in pairs {
            if expected != found {
                let (expected, found) = (expected.clone(), found.clone());
                return Err(LogError::IdentityMismatch { what, expected, found });
            }
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let (cluster, node) = (self.identity.cluster_id.as_bytes(), self.identity.node_id.as_bytes());
        let mut block = vec![0; BLOCK];
        block[..8].copy_from_slice(MAGIC);
        block[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[16..32].copy_from_slice(&self.identity.directory);
        let words = [self.generation, self.identity.incarnation, self.oldest, self.newest, self.newest_salt];
        for (i, word) in words.iter().enumerate() {
            block[32 + i * 8..40 + i * 8].copy_from_slice(&word.to_le_bytes());
        }
        block[72..74].copy_from_slice(&(cluster.len() as u16).to_le_bytes());
        block[74..76].copy_from_slice(&(node.len() as u16).to_le_bytes());
        let node_at = NAMES_AT + cluster.len();
        block[NAMES_AT..node_at].copy_from_slice(cluster);
        block[node_at..node_at + node.len()].copy_from_slice(node);
        block[FLOOR_AT..].copy_from_slice(&self.floor.to_le_bytes());
        let crc = block_crc(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// `None` for anything but a whole copy.
    fn decode(block: &[u8], name: &str) -> Result<Option<Self>, LogError> {
        if block.len() < BLOCK || &block[..8] != MAGIC || u32_at(block, 12) != block_crc(block) {
            return Ok(None);
        }
        let version = u16_at(block, 8);
        if version != FORMAT_VERSION {
            let file = name.to_owned();
            return Err(LogError::UnsupportedVersion { file, version, supported: FORMAT_VERSION });
        }
        let node_at = NAMES_AT + u16_at(block, 72) as usize;
        let end = node_at + u16_at(block, 74) as usize;
        let text = |from: usize, to: usize| block.get(from..to).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let (Some(cluster_id), Some(node_id)) = (text(NAMES_AT, node_at), text(node_at, end)) else {
            return Ok(None);
        };
        let mut directory = [0; 16];
        directory.copy_from_slice(&block[16..32]);
        let identity = Identity { cluster_id, node_id, directory, incarnation: u64_at(block, 40) };
        Ok(Some(Self {
            generation: u64_at(block, 32),
            identity,
            oldest: u64_at(block, 48),
            newest: u64_at(block, 56),
            newest_salt: u64_at(block, 64),
            floor: u64_at(block, FLOOR_AT),
        }))
    }
}

fn block_crc(block: &[u8]) -> u32 {
    crc32c_append(crc32c(&block[..12]), &block[16..BLOCK])
}

/// Both copies as found, for the decision what kind of directory this is.
pub(super) struct Copies {
    copies: [Option<Superblock>; 2],
    exists: [bool; 2],
}

impl Copies {
    /// With `settle`, what a cache holds is written out or dropped first: an update that a dying process left half
    /// done must not be taken for durable.
    pub fn read<D: Disk>(disk: &D, names: &[String], settle: bool) -> Result<Self, LogError> {
        let mut found = Self { copies: [None, None], exists: [false, false] };
        for (i, name) in COPY_NAMES.iter().enumerate() {
            if !names.iter().any(|other| other == name) {
                continue;
            }
            let file = disk.open(name).map_err(LogError::io("open", *name))?;
            if settle {
                file.sync_data().map_err(LogError::io("sync", *name))?;
                file.forget_cache().map_err(LogError::io("read", *name))?;
            }
            let mut block = vec![0; BLOCK];
            let read = read_full(&file, &mut block, 0).map_err(LogError::io("read", *name))?;
            found.exists[i] = true;
            found.copies[i] = Superblock::decode(&block[..read], name)?;
        }
        Ok(found)
    }

    pub fn newest(&self) -> Option<&Superblock> {
        self.copies.iter().flatten().max_by_key(|copy| copy.generation)
    }

    /// True when nothing here was ever acknowledged: creation writes the second copy after the first is durable.
    pub fn never_written(&self) -> bool {
        self.newest().is_none() && !self.exists[1]
    }

    fn generation(&self, i: usize) -> u64 {
        self.copies[i].as_ref().map_or(0, |copy| copy.generation)
    }

    /// Makes `next` durable in both copies. Invariant: at least one copy on disk is whole at every step.
    pub fn update<D: Disk>(&mut self, disk: &D, mut next: Superblock) -> Result<(), LogError> {
        let generation = self.generation(0).max(self.generation(1)) + 1;
        next.generation = generation;
        let block = next.encode();
        let order = if self.generation(1) < self.generation(0) { [1, 0] } else { [0, 1] };
        for i in order {
            let name = COPY_NAMES[i];
            let file = if self.exists[i] { disk.open(name) } else { disk.create(name) };
            let file = file.map_err(LogError::io("open", name))?;
            file.write_at(&block, 0).map_err(LogError::io("write", name))?;
            file.sync_data().map_err(LogError::io("sync", name))?;
            if !self.exists[i] {
                disk.sync_dir().map_err(LogError::io("sync", "the directory"))?;
                self.exists[i] = true;
            }
            self.copies[i] = Some(next.clone());
        }
        Ok(())
    }
}
