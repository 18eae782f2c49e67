//! Devices that lie: what was synced, and perhaps acknowledged, is found changed at the next start.

use super::image::{Image, Tail};
use super::pages::{PAGE, SECTOR};
use crate::random::Random;
use vexfs_core::causal::FIRST_ORIGIN;

/// What happens to durable bytes while the member is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A bit of the last batch is flipped.
    FlipTail,
    /// Some sectors of the last batch were never written, though the device said so.
    StaleTail,
    /// The last batch, or a block of it, is found at another place of the file.
    MisplaceTail,
    /// The last batch is gone without a trace.
    LoseTail,
    /// A bit of an earlier batch is flipped.
    FlipMiddle,
    /// Two neighbouring blocks before the last batch are damaged where they meet.
    SharedBlock,
    /// One copy of the superblock is damaged.
    SuperblockCopy,
    /// The index at the end of a sealed segment is damaged.
    Footer,
    /// A spare file is not all zeros any more.
    Spare,
    /// A bit is flipped in the newest states of the causal lane, or in all that there are.
    States,
    /// A bit is flipped in a group's newest snapshot, where there is an older one.
    Snapshot,
}

/// What was damaged, in words.
pub type Struck = String;

fn nonzero(image: &Image, tail: &Tail) -> Vec<usize> {
    let pages = tail.first..tail.first + tail.pages;
    let file = &image.inodes[tail.inode].durable;
    pages.flat_map(|page| (0..PAGE).filter(move |at| file.page(page)[*at] != 0).map(move |at| page * PAGE + at)).collect()
}

/// Changes device and cache alike: the power is off.
fn put(image: &mut Image, inode: usize, at: usize, bytes: &[u8]) {
    let file = &mut image.inodes[inode];
    file.durable.write(bytes, at as u64);
    file.cached = file.durable.clone();
}

fn flip(image: &mut Image, inode: usize, at: usize, random: &mut Random) {
    let byte = image.inodes[inode].durable.page(at / PAGE)[at % PAGE] ^ 1 << random.between(0, 8);
    put(image, inode, at, &[byte]);
}

fn files(image: &Image, wanted: impl Fn(&str) -> bool) -> Vec<usize> {
    image.names.iter().filter(|(name, _)| wanted(name)).map(|(_, inode)| *inode).collect()
}

/// Blocks of batches that were acknowledged, but for those of the last.
fn earlier(image: &Image, tail: &Tail) -> Vec<(usize, usize)> {
    let last = |inode: usize, page: usize| inode == tail.inode && (tail.first..tail.first + tail.pages).contains(&page);
    let segments = files(image, |name| name.ends_with(".seg")).into_iter();
    let pages = segments.flat_map(|inode| image.inodes[inode].acknowledged.iter().map(move |page| (inode, *page)));
    pages.filter(|(inode, page)| !last(*inode, *page)).collect()
}

/// The newest of them, or all: what was written last is what members may differ in.
fn some(mut pages: Vec<(usize, usize)>, tail: &Tail, random: &mut Random) -> Vec<(usize, usize)> {
    if random.chance(500) {
        let near = |(inode, page): &(usize, usize)| *inode == tail.inode && page + 6 >= tail.first;
        if pages.iter().any(near) {
            pages.retain(near);
        }
    }
    pages
}

pub(super) fn strike(image: &mut Image, damage: Damage, random: &mut Random) -> Option<Struck> {
    let synced = image.tail.clone().filter(|tail| tail.synced);
    let struck = change(image, damage, synced.clone(), random);
    let tail = matches!(damage, Damage::FlipTail | Damage::StaleTail | Damage::MisplaceTail | Damage::LoseTail);
    if let (true, true, Some(tail)) = (struck.is_some(), tail, synced) {
        // It is no batch any more: another may take its blocks.
        for page in tail.first..tail.first + tail.pages {
            image.inodes[tail.inode].acknowledged.remove(&page);
        }
        image.tail = None;
    }
    struck
}

fn change(image: &mut Image, damage: Damage, synced: Option<Tail>, random: &mut Random) -> Option<Struck> {
    match damage {
        Damage::FlipTail => {
            let tail = synced?;
            let bytes = nonzero(image, &tail);
            // A byte that becomes zero leaves others, or the batch would be gone without a trace.
            (bytes.len() > 1).then_some(())?;
            let at = random.pick(&bytes);
            flip(image, tail.inode, at, random);
            Some(format!("a bit at byte {at} of the last batch"))
        }
        Damage::StaleTail => {
            let tail = synced?;
            let mut sectors: Vec<usize> = nonzero(image, &tail).iter().map(|at| at / SECTOR).collect();
            sectors.dedup();
            (sectors.len() > 1).then_some(())?;
            let spared = random.pick(&sectors);
            let first = *sectors.iter().find(|sector| **sector != spared)?;
            let stale: Vec<usize> =
                sectors.into_iter().filter(|one| *one != spared && (*one == first || random.chance(500))).collect();
            stale.iter().for_each(|sector| put(image, tail.inode, sector * SECTOR, &[0; SECTOR]));
            Some(format!("{} sectors of the last batch", stale.len()))
        }
        Damage::MisplaceTail => {
            let tail = synced?;
            let file = &image.inodes[tail.inode].durable;
            let from = tail.first + random.between(0, tail.pages as u64) as usize;
            let free: Vec<usize> =
                (tail.first + tail.pages..file.count().saturating_sub(1)).filter(|page| file.is_zero(*page)).collect();
            (!free.is_empty() && !file.is_zero(from)).then_some(())?;
            let (to, bytes) = (random.pick(&free), *file.page(from));
            put(image, tail.inode, to * PAGE, &bytes);
            put(image, tail.inode, from * PAGE, &[0; PAGE]);
            Some(format!("block {from} of the last batch is found at block {to}"))
        }
        Damage::LoseTail => {
            let tail = synced?;
            put(image, tail.inode, tail.first * PAGE, &vec![0; tail.pages * PAGE]);
            Some(format!("{} blocks of the last batch", tail.pages))
        }
        Damage::FlipMiddle => {
            let tail = synced?;
            let pages = some(earlier(image, &tail), &tail, random);
            let (inode, page) = random.choose(&pages)?;
            let bytes: Vec<usize> = (0..PAGE).filter(|at| image.inodes[inode].durable.page(page)[*at] != 0).collect();
            let at = random.choose(&bytes)?;
            flip(image, inode, page * PAGE + at, random);
            Some(format!("a bit of block {page} of file {inode}"))
        }
        Damage::SharedBlock => {
            let tail = synced?;
            let pages = some(earlier(image, &tail), &tail, random);
            let pairs: Vec<(usize, usize)> =
                pages.iter().copied().filter(|(inode, page)| pages.contains(&(*inode, page + 1))).collect();
            let (inode, page) = random.choose(&pairs)?;
            let bytes: Vec<u8> = (0..SECTOR).map(|_| random.between(0, 256) as u8).collect();
            put(image, inode, (page + 1) * PAGE - SECTOR / 2, &bytes);
            Some(format!("the blocks {page} and {} of file {inode} where they meet", page + 1))
        }
        Damage::SuperblockCopy => {
            let copies = files(image, |name| name.starts_with("superblock."));
            (copies.len() == 2).then_some(())?;
            flip(image, random.pick(&copies), random.between(0, 80) as usize, random);
            Some("one copy of the superblock".to_string())
        }
        Damage::Footer => {
            let sealed = files(image, |name| name.ends_with(".seg"));
            (sealed.len() > 1).then_some(())?;
            let inode = sealed[random.between(0, sealed.len() as u64 - 1) as usize];
            // The trailer, without which no footer is found.
            let last = image.inodes[inode].durable.count() - 1;
            flip(image, inode, last * PAGE + random.between(0, 40) as usize, random);
            Some("the index of a sealed segment".to_string())
        }
        Damage::Spare => {
            let spares = files(image, |name| name.starts_with("spare-"));
            let inode = *spares.first()?;
            let pages = image.inodes[inode].durable.count() as u64;
            flip(image, inode, (random.between(0, pages) as usize) * PAGE + 99, random);
            Some("a spare segment".to_string())
        }
        Damage::Snapshot => {
            let origins = format!("snapshot-{:04}-", FIRST_ORIGIN.0);
            let is_snapshot = |name: &str| name.starts_with("snapshot-") && name.ends_with(".snap") && !name.starts_with(&origins);
            let found: Vec<(&str, usize)> = image.names.iter().filter(|(name, _)| is_snapshot(name)).map(|(name, inode)| (name.as_str(), *inode)).collect();
            // By name: of a group the newest is the last.
            let group = |at: usize| found.get(at).map(|(name, _)| name.rsplit_once('-').map(|(group, _)| group));
            let newest: Vec<usize> = (1..found.len()).filter(|at| group(at - 1) == group(*at) && group(at + 1) != group(*at)).map(|at| found[at].1).collect();
            let inode = (!newest.is_empty()).then(|| random.pick(&newest))?;
            let at = random.between(0, image.inodes[inode].durable.len());
            flip(image, inode, at as usize, random);
            Some("the newest snapshot of a group".to_string())
        }
        Damage::States => {
            let prefix = format!("snapshot-{:04}-", FIRST_ORIGIN.0);
            // By name, so the newest is the last.
            let found = files(image, |name| name.starts_with(&prefix) && name.ends_with(".snap"));
            let struck = if random.chance(500) { &found[..] } else { &found[found.len().saturating_sub(1)..] };
            for inode in struck {
                let at = random.between(0, image.inodes[*inode].durable.len());
                flip(image, *inode, at as usize, random);
            }
            (!struck.is_empty()).then(|| format!("{} of {} files of states", struck.len(), found.len()))
        }
    }
}
