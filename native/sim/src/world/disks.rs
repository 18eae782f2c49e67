//! The log thread's and the snapshot thread's turns.

use super::World;
use crate::describe;
use crate::invariants;
use crate::lane;
use crate::member::Member;
use crate::plants::{self, Plant};
use crate::queue::Event;
use crate::record::Happening;
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::ids::Index;
use vexfs_core::log::{LogError, Op};
use vexfs_core::ordered::effects::Write;

/// Microseconds between two attempts to write to a full disk.
const FULL_RETRY_US: u64 = 100_000;

impl World {
    pub(super) fn plan_job(&mut self, node: usize) {
        let Some(running) = &mut self.members[node].running else { return };
        if running.jobs.is_empty() || std::mem::replace(&mut running.job_planned, true) {
            return;
        }
        let (low, high) = self.setup.sync_us;
        let life = self.members[node].life;
        let at_us = self.now_us + self.random.between(low, 4 * high);
        self.events.at(at_us, Event::Job { node: node as u8, life });
    }

    /// A job on snapshot files is done.
    pub fn job(&mut self, node: usize, life: u32) {
        let member = &mut self.members[node];
        if member.life != life {
            return;
        }
        let Some(done) = member.do_job() else { return };
        if let Some(running) = &mut member.running {
            if let Err(error) = running.groups.job_done(done, &mut running.effects) {
                self.history.violate("groups_go_on", format!("{node}: {error}"));
            }
        }
        self.plan_flush(node);
        self.plan_job(node);
    }

    pub(super) fn take_writes(&mut self, node: usize, writes: Vec<Write>) {
        for mut write in writes {
            if self.setup.plant == Some(Plant::SnapshotOverNewer) {
                drop_newer(&mut write);
            }
            if self.setup.plant == Some(Plant::RepairTruncates) && write.group != FIRST_ORIGIN {
                write.ops = plants::truncating(write.ops);
            }
            if write.group == FIRST_ORIGIN {
                self.note_origins(node, &write);
            } else {
                invariants::repair_is_faithful::check(self, node, &write);
                invariants::log_matching::check(self, node, &write);
            }
            self.say_with(|world| Happening::Write { node, group: write.group, text: describe::write(world, &write) });
            let early = self.setup.plant == Some(Plant::AckBeforeSync);
            let Some(running) = &mut self.members[node].running else { return };
            let (group, number) = (write.group, write.number);
            running.queue.push(write);
            if let Some(group) = running.groups.touch(group).filter(|_| early && number > 0) {
                group.persisted(number);
                self.plan_flush(node);
            }
        }
        self.begin_write(node);
    }

    /// Takes note of entries of the causal lane that a member writes.
    fn note_origins(&mut self, node: usize, write: &Write) {
        let id = self.members[node].id;
        for op in &write.ops {
            if let Op::Mark { group, mark } = op {
                let lane = self.members[node].running.as_ref().map(|running| running.groups.lane());
                let actor = lane.and_then(|lane| lane.origins().find(|view| view.group == *group)).map(|view| view.actor);
                if let Some(actor) = actor {
                    invariants::cut_is_held_by_all::check(self, node, actor, mark.first.0 - 1);
                }
            }
            let (Op::Entries { entries, .. } | Op::Repair { entries, .. }) = op else { continue };
            for entry in entries {
                invariants::ids_are_written_once::check(self, node, entry);
                invariants::held_is_whole::check_written(self, node, entry);
                let Some(running) = &mut self.members[node].running else { return };
                let known = lane::note_written(&mut self.history, node, id, &mut running.lane.own, entry);
                invariants::dots_are_unique::check_author(self, node, known);
            }
        }
    }

    fn begin_write(&mut self, node: usize) {
        let (low, high) = self.setup.sync_us;
        let member = &mut self.members[node];
        let Some(batch) = member.begin_write() else { return };
        let slow = if self.now_us < member.slow_until_us { self.random.between(10_000, 120_000) } else { 0 };
        let began_us = self.now_us.max(member.stalled_until_us);
        let at_us = began_us + self.random.between(low, high) + slow;
        let life = self.members[node].life;
        self.events.at(at_us, Event::Written { node: node as u8, life, batch });
    }

    /// A batch of a member is on disk, or the disk has failed.
    pub fn written(&mut self, node: usize, life: u32, batch: u32) {
        let member = &mut self.members[node];
        if member.life != life || !member.is_writing(batch) {
            return;
        }
        if self.now_us < member.stalled_until_us {
            let at_us = member.stalled_until_us;
            return self.events.at(at_us, Event::Written { node: node as u8, life, batch });
        }
        match member.finish_write() {
            Ok(mut finished) => {
                let marked = !finished.marks.is_empty();
                if self.setup.plant == Some(Plant::AckBeforeSync) {
                    finished.persisted.retain(|group, _| *group == FIRST_ORIGIN);
                }
                if let Some(running) = &mut member.running {
                    running.groups.finished(&finished, &mut running.effects);
                }
                if finished.settled {
                    invariants::mark_goes_last::check(self, node);
                }
                let dots = std::mem::take(&mut self.members[node].on_disk);
                dots.iter().for_each(|dot| lane::raise(&mut self.members[node].held_ever, dot.actor, dot.counter));
                let selected = std::mem::take(&mut self.members[node].selected);
                invariants::held_is_whole::note_written(self, node, &selected);
                invariants::dots_are_unique::check(self, node, &dots);
                invariants::given_up_stays::check(self, node, &dots);
                invariants::recovery_is_faithful::check_blocks(self, node);
                invariants::held_back_is_bounded::check(self, node, marked);
                self.begin_write(node);
                self.plan_flush(node);
            }
            Err(LogError::Full { .. }) => {
                // It waits for room, as for a disk that is stalled.
                let at_us = self.now_us + FULL_RETRY_US;
                self.events.at(at_us, Event::Written { node: node as u8, life, batch });
            }
            Err(error) => {
                // The node ends (rule L4), and is started again by whoever watches it.
                invariants::groups_go_on::check_end_of_log(self, node, &error);
                self.say(Happening::Failed { node, reason: error.to_string() });
                Member::end(&mut self.members[node], 0, None);
                self.ended(node);
                let in_us = self.random.between(10_000, 400_000);
                self.plan_start(node, in_us);
            }
        }
    }
}

/// The planted bug: where a snapshot is marked, the log ends with it.
fn drop_newer(write: &mut Write) {
    let mark = write.ops.iter().find_map(|op| match op {
        Op::Mark { mark, .. } => Some(mark.index),
        _ => None,
    });
    if let Some(index) = mark {
        write.ops.push(Op::Truncate { group: write.group, from: Index(index.0 + 1) });
    }
}
