//! The replicated state: entries as they come out of the log, and its image. A state that was taken apart and put
//! together again goes on as the one that was not; blocks of chance are refused or are an image like any other.

use crate::allocations::peak_of;
use crate::strikes::{some_bytes, strike};
use crate::submissions::{submission, Shape};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use vexfs_core::entry;
use vexfs_core::event::{Malformed, Submission};
use vexfs_core::ids::{Index, Term};
use vexfs_core::machine::image::Restore;
use vexfs_core::machine::{Machine, MachineLimits};
use vexfs_core::membership::Membership;

pub const LIMITS: MachineLimits = MachineLimits { window_events: 4, sessions: 2, fences: 3, consumers: 2, milestone_entries: 3 };
/// What is restored takes at most so many times as much as the blocks say it in.
const TIMES: usize = 16;
const LEAST_BYTES: usize = 512 * 1024;

pub type Blocks = Vec<(u16, Vec<u8>)>;

pub fn run(bytes: &[u8]) {
    let _ = play(&mut Unstructured::new(bytes));
}

fn play(from: &mut Unstructured<'_>) -> Result<()> {
    if from.ratio(1u8, 4u8)? {
        let _ = restored(&some_blocks(from)?);
        return Ok(());
    }
    let founders = ["a", "b", "c"].map(|name| (name.to_string(), String::new()));
    let mut machine = Machine::founded(LIMITS, 1, Membership::founded(&founders), Index(1));
    // From some entry on, the same once more: a state that was restored.
    let mut twin: Option<Machine> = None;
    for index in (2..).map(Index).take(24) {
        if from.is_empty() {
            break;
        }
        match from.int_in_range(0..=9u8)? {
            0 => {
                let (data, context) = (some_bytes(from)?, some_bytes(from)?);
                machine.apply_change(index, Term(1), &data, &context);
                twin.iter_mut().for_each(|twin| twin.apply_change(index, Term(1), &data, &context));
            }
            _ => {
                let data = entry(from)?;
                let before = machine.hash();
                let outcomes = apply(&mut machine, index, &data);
                if outcomes.is_err() {
                    // Nobody goes on behind an entry that cannot be read.
                    return Ok(());
                }
                assert_ne!(machine.hash(), before);
                if let Some(twin) = &mut twin {
                    assert_eq!(apply(twin, index, &data), outcomes, "the one that was restored decides alike");
                }
            }
        }
        let image = blocks_of(&machine);
        match &twin {
            Some(twin) => {
                assert_eq!(twin.agreed_hash(), machine.agreed_hash());
                assert_eq!(blocks_of(twin), image);
            }
            None if from.ratio(1u8, 4u8)? => twin = restored(&image).ok(),
            None => {}
        }
        assert!(machine.sessions() <= LIMITS.sessions && machine.consumers() <= LIMITS.consumers);
    }
    Ok(())
}

fn entry(from: &mut Unstructured<'_>) -> Result<Bytes> {
    if from.ratio(1u8, 16u8)? {
        return Ok(some_bytes(from)?.into());
    }
    let mut submissions = Vec::new();
    for _ in 0..from.int_in_range(1..=2u8)? {
        let mut bytes = submission(from, &Shape::default())?;
        if from.ratio(1u8, 8u8)? {
            strike(from, &mut bytes)?;
        }
        submissions.extend(Submission::parse(bytes.into()).ok());
    }
    Ok(entry::pack(&submissions).into())
}

/// What became of each submission, in words that can be compared.
fn apply(machine: &mut Machine, index: Index, data: &Bytes) -> std::result::Result<Vec<String>, Malformed> {
    let applied = machine.apply(index, Term(1), data)?;
    let suppressed = machine.take_suppressed();
    Ok(applied.iter().map(|one| format!("{:?}", one.outcome)).chain([format!("{suppressed:?}")]).collect())
}

pub fn blocks_of(machine: &Machine) -> Blocks {
    let mut blocks = Vec::new();
    let done: std::result::Result<(), ()> = machine.image().encode(&mut |tag, block| {
        blocks.push((tag, block.to_vec()));
        Ok(())
    });
    assert_eq!(done, Ok(()));
    blocks
}

/// A machine of these blocks, if they are an image: its own image then says the same, whatever they said it in.
fn restored(blocks: &Blocks) -> std::result::Result<Machine, Malformed> {
    let restore = || {
        let mut restore = Restore::new(LIMITS, 1);
        blocks.iter().try_for_each(|(tag, block)| restore.block(*tag, block))?;
        restore.finish()
    };
    let (machine, peak) = peak_of(restore);
    let bytes: usize = blocks.iter().map(|(_, block)| block.len() + 8).sum();
    assert!(peak <= TIMES * bytes + LEAST_BYTES, "{peak} bytes for {bytes} of blocks");
    let machine = machine?;
    let image = blocks_of(&machine);
    let mut again = Restore::new(LIMITS, 2);
    for (tag, block) in &image {
        assert_eq!(again.block(*tag, block), Ok(()), "an image can be restored");
    }
    let again = again.finish()?;
    assert_eq!(blocks_of(&again), image);
    Ok(machine)
}

pub fn some_blocks(from: &mut Unstructured<'_>) -> Result<Blocks> {
    let mut blocks = Vec::new();
    for _ in 0..from.int_in_range(1..=6u8)? {
        let tag = match from.ratio(1u8, 8u8)? {
            true => from.arbitrary()?,
            false => *from.choose(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0x8009, 16, 17, 18])?,
        };
        blocks.push((tag, some_bytes(from)?.repeat(*from.choose(&[1, 1, 1, 3, 40])?)));
    }
    Ok(blocks)
}
