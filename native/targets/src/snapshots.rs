//! Files of snapshots and of states, as they come from another member or from a disk: written as they should be, and
//! struck, with checksums that are right where the fuzzer wants them to be.

use crate::allocations::peak_of;
use crate::disk::MemoryFile;
use crate::state::{blocks_of, some_blocks, Blocks, LIMITS};
use crate::strikes::{number, some_bytes, strike};
use arbitrary::{Result, Unstructured};
use vexfs_core::causal::actor::Actor;
use vexfs_core::ids::{GroupId, Index, MemberId, Term};
use vexfs_core::log::DiskFile;
use vexfs_core::ordered::conf::Conf;
use vexfs_core::snapshot::states::{self, States};
use vexfs_core::snapshot::{file, SnapshotMeta};

const NAME: &str = "s";
/// One chunk, packed and not, before any of it is believed; the rest is what it says, restored.
const WORK_BYTES: usize = 10 * 1024 * 1024;
const TIMES: usize = 16;
/// The beginning of the header's, of a chunk's and of the trailer's checksummed part, behind its mark.
const MARKS: [(&[u8], usize, usize); 3] = [(b"VXSNAP", 8, 12), (b"VXSC", 4, 8), (b"VXST", 4, 8)];

pub fn run(bytes: &[u8]) {
    let _ = play(&mut Unstructured::new(bytes));
}

fn play(from: &mut Unstructured<'_>) -> Result<()> {
    let of_states = from.arbitrary()?;
    let (mut bytes, raw) = match from.int_in_range(0..=7u8)? {
        0 => (from.bytes(from.len())?.to_vec(), 0),
        1 if of_states => {
            let states = some_states(from)?;
            let bytes = written_states(&states);
            let read = states::read(&MemoryFile::of(bytes.clone()), NAME).map(|(info, read)| (info.bytes, read));
            assert_eq!(read.ok(), Some((bytes.len() as u64, states)));
            (bytes, 0)
        }
        _ => {
            let blocks = some_blocks(from)?;
            let raw = blocks.iter().map(|(_, block)| block.len()).sum();
            (written(&some_meta(from, of_states)?, &blocks), raw)
        }
    };
    if from.arbitrary()? {
        strike(from, &mut bytes)?;
        if from.ratio(3u8, 4u8)? {
            seal(&mut bytes);
        }
    }
    judge(bytes, raw, of_states);
    Ok(())
}

fn judge(bytes: Vec<u8>, raw: usize, of_states: bool) {
    let bound = WORK_BYTES + TIMES * (bytes.len() + raw);
    let file = MemoryFile::of(bytes.clone());
    let told = file::read_meta(&file, NAME);
    if of_states {
        let (read, peak) = peak_of(|| states::read(&file, NAME));
        assert!(peak <= bound, "{peak} bytes for {}", bytes.len());
        let Ok((info, states)) = read else { return };
        assert_eq!((info.bytes, told.ok()), (bytes.len() as u64, Some(info.meta)));
        let again = states::read(&MemoryFile::of(written_states(&states)), NAME);
        assert_eq!(again.map(|(_, again)| again).ok(), Some(states));
    } else {
        let (read, peak) = peak_of(|| file::read(&file, NAME, LIMITS, 1));
        assert!(peak <= bound, "{peak} bytes for {}", bytes.len());
        let Ok((info, machine)) = read else { return };
        assert_eq!((info.bytes, told.ok()), (bytes.len() as u64, Some(info.meta.clone())));
        assert_eq!(machine.applied(), info.meta.index);
        let again = MemoryFile::default();
        let written = file::write(&again, NAME, &info.meta, &machine.image(), &mut || {});
        let read = file::read(&again, NAME, LIMITS, 2).map(|(info, machine)| (info, blocks_of(&machine)));
        assert_eq!(read.ok(), Some((written.unwrap_or(info), blocks_of(&machine))));
    }
}

/// Puts right what checks the bytes of each part, by its marks and lengths.
fn seal(bytes: &mut [u8]) {
    let length_at = |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
    let mut at = 0;
    let mut digest_to = 0;
    while at < bytes.len() {
        let Some((mark, crc, covered)) = MARKS.iter().find(|(mark, ..)| bytes[at..].starts_with(mark)) else { break };
        let length = match mark.len() {
            6 => 16 + length_at(bytes, at + 12),
            _ if *mark == b"VXSC" => 24 + length_at(bytes, at + 12),
            _ => 32,
        };
        let Some(part) = bytes.get_mut(at..at + length) else { break };
        if *mark == b"VXST" {
            digest_to = at;
        } else {
            let check = crc32c::crc32c(&part[*covered..]);
            part[*crc..*crc + 4].copy_from_slice(&check.to_le_bytes());
        }
        at += length;
    }
    if digest_to > 0 {
        // The digest is of all before: no hash of ours, so that the trailer's own says it.
        let sealed = written_trailer(bytes, digest_to);
        bytes[digest_to..digest_to + 32].copy_from_slice(&sealed);
    }
}

fn written_trailer(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut trailer = bytes[at..at + 32].to_vec();
    trailer[24..32].copy_from_slice(&xxhash_rust::xxh3::xxh3_64(&bytes[..at]).to_le_bytes());
    let check = crc32c::crc32c(&trailer[8..]);
    trailer[4..8].copy_from_slice(&check.to_le_bytes());
    trailer
}

fn written(meta: &SnapshotMeta, blocks: &Blocks) -> Vec<u8> {
    let out = MemoryFile::default();
    let done = file::write_blocks(&out, NAME, meta, &mut || {}, |put| blocks.iter().try_for_each(|(tag, block)| put(*tag, block)));
    assert!(done.is_ok_and(|info| out.len().is_ok_and(|length| length == info.bytes)));
    out.content()
}

fn written_states(states: &States) -> Vec<u8> {
    let out = MemoryFile::default();
    assert!(states::write(&out, NAME, &states::meta("c", 1), states, &mut || {}).is_ok());
    out.content()
}

fn some_meta(from: &mut Unstructured<'_>, of_states: bool) -> Result<SnapshotMeta> {
    if of_states && from.ratio(7u8, 8u8)? {
        return Ok(states::meta("c", number(from)?));
    }
    // As the state's own block begins, so that it may fit.
    let index = if from.arbitrary()? { 0 } else { number(from)? };
    let list = |from: &mut Unstructured<'_>| -> Result<Vec<MemberId>> { (0..from.int_in_range(0..=2u8)?).map(|_| number(from).map(MemberId)).collect() };
    let conf = Conf { voters: list(from)?, outgoing: list(from)?, learners: list(from)?, learners_next: list(from)? };
    Ok(SnapshotMeta { cluster_id: "c".to_string(), group: GroupId(from.int_in_range(0..=1)?), index: Index(index), term: Term(number(from)?), conf })
}

fn some_states(from: &mut Unstructured<'_>) -> Result<States> {
    let mut states = States::default();
    for _ in 0..from.int_in_range(0..=3u8)? {
        states.place.push((Actor { member: MemberId(number(from)?), incarnation: from.arbitrary()? }, number(from)?));
    }
    for _ in 0..from.int_in_range(0..=3u8)? {
        let times = *from.choose(&[1, 1, 2_000])?;
        states.list.push((some_bytes(from)?.into(), some_bytes(from)?.repeat(times).into()));
    }
    Ok(states)
}
