//! Compression of bytes: one file a codec, one owner of what they need to work. No I/O; what comes from outside is
//! unpacked into no more memory than the caller allows, which is checked before any is taken.
//!
//! Nothing here has a checksum of its own: LZ4 and Zstd frames of others are checked where they carry one, and whoever
//! keeps or sends packed bytes puts one around them.

mod lz4;
mod snappy;
mod zstd;

use thiserror::Error;

/// More than this at once is neither packed nor unpacked.
pub const RAW_BYTES_MAX: usize = 1 << 30;

/// The level of Zstd that is meant where nobody says another.
pub const LEVEL_DEFAULT: i32 = 3;
/// Beyond 19 a packer takes hundreds of MiB.
pub const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// How bytes are packed. The numbers are those of docs/formats.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Codec {
    /// LZ4's frame format: one frame, its blocks independent, with the size of its content.
    Lz4 = 1,
    /// One Zstd frame, with the size of its content.
    Zstd = 2,
    /// Snappy's block format.
    Snappy = 3,
}

impl Codec {
    pub const ALL: [Self; 3] = [Self::Lz4, Self::Zstd, Self::Snappy];

    pub fn of_number(number: u8) -> Result<Self, CompressionError> {
        Self::ALL.into_iter().find(|codec| *codec as u8 == number).ok_or(CompressionError::UnknownCodec(number))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
        }
    }
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CompressionError {
    #[error("damaged {codec} data: {what}", codec = codec.name())]
    Damaged { codec: Codec, what: &'static str },
    #[error("more than {bytes_max} bytes come out")]
    TooLarge { bytes_max: usize },
    #[error("unknown compression {0}")]
    UnknownCodec(u8),
}

/// What a codec's file provides.
trait Algorithm {
    /// Room that `pack` asks for.
    fn packed_bytes_max(&self, raw_bytes: usize) -> usize;

    /// Packs `raw` into the beginning of `out`, which has that much room. Answers the packed size.
    fn pack(&mut self, level: i32, raw: &[u8], out: &mut [u8]) -> usize;

    /// What the packed bytes say of the size of their content, which may be a lie. None: they do not say.
    fn told_bytes(&self, packed: &[u8]) -> Result<Option<u64>, CompressionError>;

    /// Content of exactly `out.len()` bytes.
    fn unpack_into(&mut self, packed: &[u8], out: &mut [u8]) -> Result<(), CompressionError>;

    /// Content that does not tell its size.
    fn unpack_untold(&mut self, packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError>;
}

/// Packs and unpacks, one call at a time. What a codec needs is made at its first use and used again: tens of KiB for
/// LZ4 and Snappy; for Zstd a few hundred KiB, and MiB where levels are high and what is packed is long.
#[derive(Default)]
pub struct Coder {
    lz4: lz4::Lz4,
    zstd: zstd::Zstd,
    snappy: snappy::Snappy,
}

impl Coder {
    fn algorithm(&mut self, codec: Codec) -> &mut dyn Algorithm {
        match codec {
            Codec::Lz4 => &mut self.lz4,
            Codec::Zstd => &mut self.zstd,
            Codec::Snappy => &mut self.snappy,
        }
    }

    /// Room that packing so many bytes asks for.
    pub fn packed_bytes_max(&mut self, codec: Codec, raw_bytes: usize) -> usize {
        self.algorithm(codec).packed_bytes_max(raw_bytes)
    }

    /// Packs `raw`, at most `RAW_BYTES_MAX`, into the beginning of `out`, which has `packed_bytes_max` of room. Answers
    /// the packed size. `level` is Zstd's; the others have none.
    pub fn pack_into(&mut self, codec: Codec, level: i32, raw: &[u8], out: &mut [u8]) -> usize {
        debug_assert!(raw.len() <= RAW_BYTES_MAX && out.len() >= self.packed_bytes_max(codec, raw.len()));
        self.algorithm(codec).pack(level, raw, out)
    }

    pub fn pack(&mut self, codec: Codec, level: i32, raw: &[u8]) -> Vec<u8> {
        let mut packed = vec![0; self.packed_bytes_max(codec, raw.len())];
        let length = self.pack_into(codec, level, raw, &mut packed);
        packed.truncate(length);
        packed.shrink_to_fit();
        packed
    }

    /// How long the content says that it is. None where it does not say. Refused where it is more than `bytes_max`.
    pub fn told_bytes(&mut self, codec: Codec, packed: &[u8], bytes_max: usize) -> Result<Option<usize>, CompressionError> {
        match self.algorithm(codec).told_bytes(packed)? {
            Some(told) if told > bytes_max as u64 => Err(CompressionError::TooLarge { bytes_max }),
            told => Ok(told.map(|bytes| bytes as usize)),
        }
    }

    /// Unpacks content of exactly `out.len()` bytes. After an error `out` holds anything.
    pub fn unpack_into(&mut self, codec: Codec, packed: &[u8], out: &mut [u8]) -> Result<(), CompressionError> {
        self.algorithm(codec).unpack_into(packed, out)
    }

    /// Unpacks at most `bytes_max`; no more is ever allocated.
    pub fn unpack(&mut self, codec: Codec, packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
        match self.told_bytes(codec, packed, bytes_max)? {
            Some(bytes) => {
                let mut content = vec![0; bytes];
                self.unpack_into(codec, packed, &mut content)?;
                Ok(content)
            }
            None => self.algorithm(codec).unpack_untold(packed, bytes_max),
        }
    }
}
