//! Members start, are admitted and dismissed, and end; what that means to others.

use super::World;
use crate::history::State;
use crate::invariants;
use crate::lane::{raise, Dot};
use crate::member::{Member, Stage, TICK_US};
use crate::queue::Event;
use crate::record::Happening;
use vexfs_core::ids::{GroupId, Index, RequestId};

impl World {
    /// Starts a member, unless it runs. `crash_after`: the power goes again after so many steps of the disk.
    pub fn start(&mut self, node: usize, crash_after: Option<u64>) {
        let founders = self.members[..self.setup.founders].iter().map(|member| member.name.clone()).collect::<Vec<_>>();
        let member = &mut self.members[node];
        if member.running.is_some() || member.stage != Stage::In {
            return;
        }
        member.life += 1;
        member.restarts_at_us = None;
        if let Some(steps) = crash_after {
            member.disk.crash_after(steps);
        }
        let started = member.start(node, &founders, &self.setup);
        member.disk.crash_never();
        self.history.starts += 1;
        match started {
            Ok(wrong) => {
                let life = self.members[node].life;
                self.say(Happening::Start { node });
                invariants::recovery_is_faithful::check(self, node, wrong);
                self.look_at_origins(node);
                invariants::given_up_stays::note_start(self, node);
                let first_us = self.now_us + self.random.between(1, TICK_US);
                self.events.at(first_us, Event::Tick { node: node as u8, life });
                self.plan_flush(node);
            }
            Err(error) => {
                self.say(Happening::Refused { node, reason: error.to_string() });
                let member = &mut self.members[node];
                if crash_after.is_some() {
                    member.disk.lose_power(&mut self.random);
                } else {
                    member.disk.end_process();
                    invariants::recovery_is_faithful::check_refusal(self, node, &error);
                }
                self.plan_start(node, 200_000);
            }
        }
    }

    /// What the disk of a member that starts has of the causal lane.
    fn look_at_origins(&mut self, node: usize) {
        if std::mem::take(&mut self.members[node].forgets) {
            let (members, lane) = (&self.members, &mut self.history.lane);
            let on_a_disk = |dot: Dot| {
                let has = |member: &Member| member.shadow.origin_of(dot.actor).and_then(|(_, origin)| origin.written_print(dot.counter)) == Some(dot.print);
                members.iter().any(has)
            };
            lane.forget(members[node].id, on_a_disk);
        }
        let member = &mut self.members[node];
        member.on_disk.clear();
        member.selected.clear();
        let origins = member.shadow.origins();
        let dots = origins.flat_map(|(_, origin)| origin.written().map(|(counter, print)| Dot { actor: origin.actor, counter, print }));
        let dots: Vec<Dot> = dots.collect();
        dots.iter().for_each(|dot| raise(&mut member.held_ever, dot.actor, dot.counter));
        invariants::dots_are_unique::check(self, node, &dots);
        invariants::held_is_whole::note_start(self, node);
    }

    /// A member was added: its process is started.
    pub fn admit(&mut self, node: usize) {
        self.members[node].stage = Stage::In;
        self.plan_start(node, 1_000);
    }

    /// A member that knows of its removal ends, and is not started again.
    pub fn dismiss(&mut self, node: usize) {
        self.members[node].stage = Stage::Gone;
        Member::end(&mut self.members[node], 0, None);
        self.ended(node);
    }

    pub fn plan_start(&mut self, node: usize, in_us: u64) {
        let at_us = self.now_us + in_us;
        self.members[node].restarts_at_us = Some(at_us);
        self.events.at(at_us, Event::Start { node: node as u8 });
    }

    /// What a member's end means to others: its requests are lost, every connection of it resets.
    pub fn ended(&mut self, node: usize) {
        self.say(Happening::Down { node });
        for ((_, _), request) in self.history.requests.range_mut((node, RequestId(0))..=(node, RequestId(u64::MAX))) {
            if request.state == State::Open {
                request.state = State::Lost;
            }
        }
        self.ended.retain(|(of, _)| *of != node);
        for other in (0..self.members.len()).filter(|other| *other != node) {
            self.let_linger(node, other);
            self.reset_link(node, other, self.now_us + 1_000);
            self.reset_link(other, node, self.now_us + 1_000);
        }
    }

    /// A member has lost an entry that nobody has: it ends, and whoever watches it tries again.
    pub(super) fn halt(&mut self, node: usize, group: GroupId, index: Index) {
        invariants::repair_is_faithful::check_halt(self, node, group, index);
        self.say(Happening::Failed { node, reason: format!("entry {index} of group {group} is lost") });
        Member::end(&mut self.members[node], 0, None);
        self.ended(node);
        self.plan_start(node, 200_000);
    }
}
