//! Carrying out one fault, where it makes sense at the moment; one that does not is passed over and not counted.

use super::kinds::FaultKind;
use super::plan::Fault;
use crate::disk::Damage;
use crate::invariants::{given_up_stays, recovery_is_faithful, states_are_whole};
use crate::member::{opens_foreign, Member, Running, Stage};
use crate::network::NEVER;
use crate::queue::{Event, Lane};
use crate::random::Random;
use crate::record::Happening;
use crate::shadow::farther;
use crate::world::World;
use vexfs_core::ids::GroupId;

pub fn strike(world: &mut World, fault: &Fault) {
    let struck = leaves_peace(world, fault.kind) && carry_out(world, fault);
    if struck {
        world.counts.note(fault.kind);
        world.history.note(&[u64::from(fault.number), world.now_us]);
        let (number, kind, node, other) = (fault.number, fault.kind, fault.node, fault.other);
        let length_us = fault.length_us;
        world.say(Happening::Fault { number, kind, node, other, length_us });
    }
}

/// Ends all faults that are under way, and starts what is down.
pub fn calm(world: &mut World) {
    for (lane, at_us) in world.network.heal(world.now_us) {
        world.events.at(at_us, Event::Arrive(lane));
    }
    for node in 0..world.members.len() {
        let member = &mut world.members[node];
        (member.slow_until_us, member.garbles_until_us, member.stalled_until_us) = (0, 0, world.now_us);
        member.disk.set_full(false);
        if member.running.is_none() {
            world.plan_start(node, 0);
        }
        resume(world, node);
    }
}

pub fn resume(world: &mut World, node: usize) {
    let (life, now_us) = (world.members[node].life, world.now_us);
    let Some(running) = &mut world.members[node].running else { return };
    if !std::mem::take(&mut running.paused) {
        return;
    }
    running.flush_planned = false;
    if std::mem::take(&mut running.clock_stands) {
        // One tick however long the pause was: the backlog of messages decides whether the leader is alive.
        world.events.at(now_us, Event::Tick { node: node as u8, life });
    }
    world.say(Happening::Resume { node });
    for from in (0..world.members.len() as u8).filter(|from| *from as usize != node) {
        for channel in 0..2 {
            world.events.at(now_us, Event::Arrive(Lane { from, to: node as u8, channel }));
        }
    }
}

fn carry_out(world: &mut World, fault: &Fault) -> bool {
    let Fault { node, other, length_us, word, .. } = *fault;
    let until_us = world.now_us + length_us;
    let mut random = Random::new(word);
    let alone = node == other;
    let runs = world.members[node].running.is_some();
    match fault.kind {
        FaultKind::Loss if !alone => {
            world.network.lose(node, other);
            let member = world.members[other].id;
            if let (Some(running), true) = (&mut world.members[node].running, random.chance(500)) {
                // A queue that overflowed: the sender is told, or the network itself never knew.
                running.groups.overflowed(member);
                world.plan_flush(node);
            }
            true
        }
        FaultKind::SlowNetwork => {
            world.network.slow = (until_us, random.pick(&[5_000, 50_000, 300_000]));
            true
        }
        FaultKind::OneWay if !alone => {
            cut(world, node, other, until_us, random.chance(500));
            true
        }
        FaultKind::Partition if !alone => {
            let (sides, resets) = (random.number(), random.chance(500));
            for from in 0..world.members.len() {
                for to in (0..world.members.len()).filter(|to| *to != from) {
                    let side = |at: usize| at == node || (at != other && sides >> at & 1 == 1);
                    if side(from) != side(to) {
                        cut(world, from, to, until_us, resets);
                    }
                }
            }
            true
        }
        FaultKind::Reset if !alone => {
            let until_us = world.now_us + length_us.min(50_000);
            world.reset_link(node, other, until_us);
            true
        }
        FaultKind::StalledChannel if !alone => {
            stall(world, node, other, random.between(0, 2) as u8, until_us);
            true
        }
        FaultKind::Pause => pause(world, node, until_us),
        FaultKind::PowerLoss if runs => {
            end(world, node, random.between(0, 14), true);
            world.plan_start(node, length_us);
            true
        }
        FaultKind::ProcessEnd if runs => {
            end(world, node, random.between(0, 14), false);
            world.plan_start(node, length_us);
            true
        }
        // A crash between the cut of a damaged tail and the mark that tells of it is a known gap (decision 9).
        FaultKind::CrashInOpen if !world.members[node].damaged => {
            if runs {
                end(world, node, random.between(0, 14), true);
            }
            world.start(node, Some(random.between(0, 24)));
            true
        }
        FaultKind::CleanRestart if runs => {
            let now_us = world.now_us;
            world.flush(node);
            // What cannot be written at the close is lost like any unsynced write.
            let _ = world.members[node].close(now_us);
            world.ended(node);
            world.plan_start(node, length_us);
            true
        }
        FaultKind::FailedSync if runs => {
            world.members[node].disk.fail_next_sync();
            true
        }
        FaultKind::SlowDisk => {
            world.members[node].slow_until_us = until_us;
            true
        }
        FaultKind::GarbledAnswer => {
            world.members[node].garbles_until_us = until_us;
            true
        }
        FaultKind::StalledDisk => {
            world.members[node].stalled_until_us = until_us;
            true
        }
        FaultKind::FullDisk => {
            world.members[node].disk.set_full(true);
            world.events.at(until_us, Event::Room { node: node as u8 });
            true
        }
        FaultKind::FlippedTail => lie(world, fault, Damage::FlipTail, true),
        FaultKind::StaleSector => lie(world, fault, Damage::StaleTail, true),
        FaultKind::MisdirectedWrite => lie(world, fault, Damage::MisplaceTail, true),
        FaultKind::LostTail => lie(world, fault, Damage::LoseTail, true),
        FaultKind::DamagedMiddle => lie(world, fault, Damage::FlipMiddle, true),
        FaultKind::SharedBlock => lie(world, fault, Damage::SharedBlock, true),
        FaultKind::DamagedSuperblock => lie(world, fault, Damage::SuperblockCopy, false),
        FaultKind::DamagedFooter => lie(world, fault, Damage::Footer, false),
        FaultKind::DamagedSpare => lie(world, fault, Damage::Spare, false),
        FaultKind::DamagedStates => states_are_whole::are_elsewhere(world, node) && lie(world, fault, Damage::States, false),
        FaultKind::DamagedSnapshot => world.members[node].has_older_snapshots() && lie(world, fault, Damage::Snapshot, false),
        FaultKind::WrongDirectory if !alone && world.members[other].life_id > 0 => {
            let opened = opens_foreign(&world.members[node], &world.members[other], world.setup.plant);
            recovery_is_faithful::check_foreign(world, node, opened);
            true
        }
        FaultKind::WallClockJump => {
            let jump_ms = random.between(0, 200_000) as i64 - 100_000;
            world.members[node].wall_offset_ms += jump_ms;
            true
        }
        FaultKind::RolledBack => roll_back(world, node, length_us),
        FaultKind::Emptied => empty(world, node, length_us),
        _ => false,
    }
}

/// Silence in one direction, or a reset and no new connection.
fn cut(world: &mut World, from: usize, to: usize, until_us: u64, resets: bool) {
    if resets {
        world.reset_link(from, to, until_us);
    } else {
        (0..2).for_each(|channel| stall(world, from, to, channel, until_us));
    }
}

fn stall(world: &mut World, from: usize, to: usize, channel: u8, until_us: u64) {
    let lane = Lane { from: from as u8, to: to as u8, channel };
    debug_assert!(until_us != NEVER);
    if let Some(at_us) = world.network.stall(lane, until_us, world.now_us) {
        world.events.at(at_us, Event::Arrive(lane));
    }
}

fn pause(world: &mut World, node: usize, until_us: u64) -> bool {
    let Some(running) = world.members[node].running.as_mut().filter(|running| !running.paused) else { return false };
    running.paused = true;
    world.events.at(until_us, Event::Resume { node: node as u8 });
    true
}

fn end(world: &mut World, node: usize, steps: u64, power: bool) {
    let mut random = Random::stream(world.setup.seed, "power", world.random.number());
    world.members[node].end(steps, power.then_some(&mut random));
    world.ended(node);
}

/// The power goes while nothing is being written, and the device is found changed. `loses`: what was acknowledged may be
/// lost, so that the budget has to allow it.
fn lie(world: &mut World, fault: &Fault, damage: Damage, loses: bool) -> bool {
    let node = fault.node;
    let quiet = |member: &Member| {
        let writes = member.running.as_ref().is_none_or(|running| running.writing.is_some());
        !writes && member.maybe.is_none() && !member.struck && member.shadow.undone().is_some()
    };
    if !quiet(&world.members[node]) || (loses && !world.may_lose(node)) {
        return false;
    }
    end(world, node, 0, true);
    world.plan_start(node, fault.length_us);
    let member = &mut world.members[node];
    let struck = member.disk.damage(damage, &mut Random::new(fault.word));
    let Some(what) = struck else { return false };
    if matches!(damage, Damage::FlipMiddle | Damage::SharedBlock) {
        member.holed = true;
        member.count_holes();
    } else {
        member.damaged |= loses;
    }
    member.lacks_states |= damage == Damage::States;
    if loses {
        member.struck = true;
        member.note_loss(world.now_us);
        member.lost = Some(farther(member.lost.as_deref(), member.shadow.reach()));
    }
    world.say(Happening::Damage { node, what });
    true
}

/// Somebody who was told of more than the older state shows can say so: all others run, and every connection is whole.
fn is_known(world: &World, node: usize) -> bool {
    let member = &world.members[node];
    let Some((_, shadow)) = &member.set_aside else { return false };
    let others = || (0..world.members.len()).filter(|at| *at != node && world.members[*at].stage == Stage::In);
    let knows = |other: usize, group: GroupId| {
        let (term, last_term, last) = shadow.of(group).reach();
        world.members[other].group(group).is_some_and(|known| known.knows_more_of(member.id, term, last_term, last))
    };
    others().all(|other| world.members[other].runs() && world.network.is_whole(node, other, world.now_us))
        && others().any(|other| world.groups().any(|group| knows(other, group)))
}

/// Until a member whose directory was put back is settled, those who know must be there to say so: nothing ends, pauses,
/// parts or damages anybody.
fn leaves_peace(world: &mut World, kind: FaultKind) -> bool {
    use FaultKind::{FullDisk, SlowDisk, StalledDisk, WallClockJump, WrongDirectory};
    for member in &mut world.members {
        let settled = |running: &Running| running.groups.groups().all(|(_, group)| group.was_put_back().is_some_and(|put_back| put_back.settled));
        member.put_back &= member.stage == Stage::In && !member.running.as_ref().is_some_and(settled);
    }
    let waits = world.members.iter().any(|member| member.put_back);
    !waits || matches!(kind, SlowDisk | StalledDisk | FullDisk | WallClockJump | WrongDirectory)
}

/// Nothing is being written, and what the log holds is known.
fn is_at_rest(member: &Member) -> bool {
    member.running.as_ref().is_some_and(|running| running.writing.is_none()) && member.maybe.is_none() && !member.damaged
}

/// Two others have all that a member's journals hold: what is in front of a snapshot comes back later than the state, and
/// an operator may remove one of them meanwhile.
fn is_kept_elsewhere(world: &World, node: usize) -> bool {
    let mine = &world.members[node].shadow;
    let keeps = |(at, member): &(usize, &Member)| {
        let whole = member.lost.is_none() && member.stage == Stage::In;
        *at != node && whole && mine.groups().all(|(group, mine)| {
            let theirs = member.shadow.of(group);
            theirs.first() <= mine.first() && theirs.gaps.is_empty() && theirs.holes.is_empty()
        })
    };
    world.members.iter().enumerate().filter(keeps).count() >= 2
}

/// The disk is another one, empty: the member starts as one that joins.
fn empty(world: &mut World, node: usize, length_us: u64) -> bool {
    if !is_at_rest(&world.members[node]) || !world.may_lose(node) || !is_kept_elsewhere(world, node) {
        return false;
    }
    end(world, node, 0, true);
    world.plan_start(node, length_us);
    world.members[node].replace_disk(&world.setup);
    world.members[node].note_loss(world.now_us);
    true
}

/// The directory is put back to what it was when it was last set aside; the first strike sets it aside.
fn roll_back(world: &mut World, node: usize, length_us: u64) -> bool {
    let member = &world.members[node];
    if !is_at_rest(member) {
        return false;
    }
    if member.set_aside.is_none() {
        let member = &mut world.members[node];
        member.set_aside = Some((member.disk.copy(), member.shadow.clone()));
        return false;
    }
    if !is_known(world, node) || !world.may_lose(node) {
        return false;
    }
    end(world, node, 0, true);
    world.plan_start(node, length_us);
    let member = &mut world.members[node];
    member.put_back = true;
    member.note_loss(world.now_us);
    if let Some((mut disk, shadow)) = member.set_aside.take() {
        disk.end_process();
        member.lost = Some(farther(member.lost.as_deref(), member.shadow.reach()));
        (member.disk, member.shadow) = (disk, shadow);
    }
    given_up_stays::note_put_back(world, node);
    true
}
