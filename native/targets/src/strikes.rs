//! What happens to bytes between who wrote and who reads them.

use arbitrary::{Result, Unstructured};

/// Values at which lengths and counters turn over.
const NUMBERS: [u64; 14] = [0, 1, 2, 15, 16, 255, 256, 0x7FFF, 0xFFFF, 1 << 16, 0x7FFF_FFFF, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// One to four changes of `bytes`, which may leave them as they are.
pub fn strike(from: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    for _ in 0..from.int_in_range(1..=4u8)? {
        strike_once(from, bytes)?;
    }
    Ok(())
}

pub fn strike_once(from: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    let at = from.choose_index(bytes.len() + 1)?;
    match from.int_in_range(0..=5u8)? {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, from.arbitrary()?),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 if at < bytes.len() => bytes[at] ^= 1 << from.int_in_range(0..=7u8)?,
        4 if at < bytes.len() => bytes[at] = from.arbitrary()?,
        _ => {
            let width = [1, 2, 4, 8][from.choose_index(4)?].min(bytes.len() - at);
            let number = number(from)?.to_le_bytes();
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
    }
    Ok(())
}

/// Any number; often one where something turns over.
pub fn number(from: &mut Unstructured<'_>) -> Result<u64> {
    match from.arbitrary()? {
        true => Ok(*from.choose(&NUMBERS)?),
        false => from.arbitrary(),
    }
}

/// Some bytes, a few as a rule.
pub fn some_bytes(from: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = usize::from(from.arbitrary::<u8>()?).min(from.len());
    Ok(from.bytes(length)?.to_vec())
}
