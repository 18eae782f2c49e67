//! The members, the network between them and what was seen of both. Steps are explicit: a transcript says what
//! happens next.

use super::describe;
use super::disk::DiskReader;
use super::history::{Asked, History, Request, State};
use super::invariants;
use super::network::Network;
use super::node::Node;
use super::random::Random;
use super::submissions::Draft;
use vexfs_core::event::SubmissionKind;
use vexfs_core::ids::{EventId, Index, MemberId, RequestId, SessionId};
use vexfs_core::machine::MachineLimits;
use vexfs_core::ordered::effects::{Completion, Effects, Purpose};
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::status::Role;
use vexfs_core::ordered::Group;
use vexfs_core::peer::frame::{Assembler, FrameKind};

pub const TICK_US: u64 = 10_000;

pub struct World {
    pub now_us: u64,
    pub seed: u64,
    pub random: Random,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub history: History,
    /// Duration of a write and sync, `[low, high)`.
    pub sync_us: (u64, u64),
    /// Completions since they were last taken, for clients and transcripts.
    pub ended: Vec<(usize, Completion)>,
    /// What happened, in words, if anybody reads it.
    pub lines: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, members: usize) -> Self {
        Self::with(seed, members, Profile::Lan)
    }

    pub fn with(seed: u64, members: usize, profile: Profile) -> Self {
        let limits = MachineLimits { window_events: 100_000, sessions: 1_000, fences: 1_000, consumers: 10, ..MachineLimits::default() };
        let nodes = (0..members).map(|at| Node::new(((b'a' + at as u8) as char).to_string(), limits)).collect();
        let mut world = Self {
            now_us: 0,
            seed,
            random: Random::new(seed),
            network: Network::new(members, (100, 3_000)),
            nodes,
            history: History::default(),
            sync_us: (200, 4_000),
            ended: Vec::new(),
            lines: None,
        };
        for node in 0..members {
            world.nodes[node].profile = profile;
            world.start(node);
        }
        world
    }

    pub fn voters(&self) -> Vec<MemberId> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    pub fn start(&mut self, node: usize) {
        let (voters, seed) = (self.voters(), self.seed);
        self.nodes[node].next_tick_us = self.now_us + self.random.between(1, TICK_US);
        self.nodes[node].start(&voters, seed);
    }

    /// Ends a member's process; every connection of it resets.
    pub fn crash(&mut self, node: usize, surviving: usize) {
        self.nodes[node].crash(surviving);
        for ((at, _), request) in &mut self.history.requests {
            if *at == node && request.state == State::Open {
                request.state = State::Lost;
            }
        }
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.reset_link(node, other, self.now_us + 1_000);
            self.reset_link(other, node, self.now_us + 1_000);
        }
    }

    /// Takes the last durable write from a member that has just crashed.
    pub fn tear(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let before = at.reach();
        if at.disk.borrow_mut().tear() {
            at.torn = true;
            at.lost = at.lost.max(Some(before));
        }
    }

    pub fn reset_link(&mut self, from: usize, to: usize, until_us: u64) {
        self.network.reset(from, to, until_us);
        let member = self.nodes[to].id;
        if let Some(group) = &mut self.nodes[from].group {
            group.link_down(member);
            group.deserted_by(member);
            self.nodes[from].dirty = true;
        }
    }

    /// Links whose time has come are up again, if both ends run.
    pub fn raise_links(&mut self) {
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                let both = self.nodes[from].group.is_some() && self.nodes[to].group.is_some();
                let link = self.network.link(from, to);
                if both && link.down_until_us.is_some_and(|until| until <= self.now_us) {
                    link.down_until_us = None;
                    let member = self.nodes[to].id;
                    if let Some(group) = &mut self.nodes[from].group {
                        group.link_up(member);
                    }
                    self.nodes[from].dirty = true;
                }
            }
        }
    }

    /// Hands a member at most `max` frames of each incoming channel.
    pub fn deliver(&mut self, to: usize, max: usize) {
        for from in (0..self.nodes.len()).filter(|from| *from != to) {
            for channel in 0..2 {
                for frame in self.network.arrived(from, to, channel, self.now_us, max) {
                    let sender = self.nodes[from].id;
                    let node = &mut self.nodes[to];
                    let Some(group) = &mut node.group else { continue };
                    node.dirty = true;
                    if let Err(refused) = group.receive(sender, frame, self.now_us, &mut node.effects) {
                        // Members that keep their promises never refuse each other's frames. One that has lost a write
                        // may not know what it is told was acknowledged to it.
                        if node.lost.is_some() {
                            continue;
                        }
                        self.history.violate("frames_are_taken", format!("{to} refuses {from}: {refused}"));
                    }
                }
            }
        }
    }

    pub fn tick(&mut self, node: usize) {
        if let Some(group) = &mut self.nodes[node].group {
            group.tick();
            self.nodes[node].dirty = true;
        }
    }

    /// Finishes the writes of a member whose time has come.
    pub fn sync(&mut self, node: usize) {
        loop {
            let finished = self.nodes[node].disk.borrow_mut().sync_one(self.now_us);
            let Some(number) = finished else { return };
            if let Some(group) = &mut self.nodes[node].group {
                group.persisted(number);
                self.nodes[node].dirty = true;
            }
        }
    }

    pub fn submit(&mut self, node: usize, draft: &Draft, applied_quorum: u32) -> RequestId {
        let hlc = (self.now_us / 1000) << 16;
        let at = &mut self.nodes[node];
        let request = at.next_request();
        let submission = draft.stamped(&at.name, request, hlc);
        let Some(group) = &mut at.group else { return request };
        group.submit(submission, applied_quorum, self.now_us);
        at.dirty = true;
        let asked = match draft.kind {
            SubmissionKind::Fence => Asked::Fence { id: draft.events[0] },
            _ => {
                let (session, first_sequence) = (draft.session, draft.first_sequence);
                for (sequence, id) in (first_sequence..).zip(&draft.events).filter(|_| !session.is_none()) {
                    self.history.by_sequence.insert((session, sequence), *id);
                }
                Asked::Events { events: draft.events.clone(), session }
            }
        };
        self.remember(node, request, asked, applied_quorum);
        request
    }

    pub fn barrier(&mut self, node: usize) -> RequestId {
        let request = self.nodes[node].next_request();
        self.remember(node, request, Asked::Barrier { after: self.history.highest_answered }, 1);
        if let Some(group) = &mut self.nodes[node].group {
            group.barrier(request, self.now_us);
            self.nodes[node].dirty = true;
        }
        request
    }

    /// Gives a publish up; answers what the core answered.
    pub fn withdraw(&mut self, node: usize, request: RequestId) -> bool {
        self.nodes[node].dirty = true;
        let Some(group) = &mut self.nodes[node].group else { return false };
        let clean = group.withdraw(request);
        if let Some(known) = self.history.requests.get_mut(&(node, request)) {
            known.unattended = true;
            known.withdrawn |= clean;
            if let (Asked::Events { events, .. }, true) = (&known.asked, clean) {
                self.history.withdrawn.extend(events.iter().copied());
            }
        }
        clean
    }

    fn remember(&mut self, node: usize, request: RequestId, asked: Asked, applied_quorum: u32) {
        let state = State::Open;
        let request_ = Request { node, asked, applied_quorum, state, withdrawn: false, unattended: false };
        self.history.requests.insert((node, request), request_);
    }

    /// Flushes a member if anything happened to it, and carries out its effects.
    pub fn flush(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].dirty) {
            return;
        }
        let members = self.nodes.len();
        let at = &mut self.nodes[node];
        let Some(group) = &mut at.group else { return };
        if let Err(error) = group.flush(self.now_us, &mut at.effects) {
            self.history.violate("groups_go_on", format!("{}: {error}", at.name));
            return;
        }
        if group.is_settled() {
            at.torn = false;
            // As a member of several groups does, once its log is no longer marked.
            group.unmarked();
        }
        at.applied_ever = at.applied_ever.max(group.machine().applied());
        for event in at.effects.suppressed.drain(..) {
            at.suppressed.entry(event.index).or_default().push(event.offset);
        }
        let writes = std::mem::take(&mut at.effects.writes);
        for write in &writes {
            self.say(|world| describe::write(world, node, write));
        }
        let at = &mut self.nodes[node];
        for write in writes {
            invariants::log_matching::note(&mut self.history, members, &at.disk.borrow(), &write);
            let ready_us = self.now_us + self.random.between(self.sync_us.0, self.sync_us.1);
            at.disk.borrow_mut().push(write, ready_us);
        }
        for (to, channel, bytes) in std::mem::take(&mut at.effects.frames) {
            let Some(to) = self.nodes.iter().position(|node| node.id == to) else { continue };
            self.history.note(&[node as u64, to as u64, channel as u64, bytes.len() as u64, self.now_us]);
            self.say(|world| describe::frame(world, node, to, channel, &bytes));
            self.network.send(node, to, channel, bytes, self.now_us, &mut self.random);
        }
        invariants::after_flush(self, node);
        for completion in std::mem::take(&mut self.nodes[node].effects.completions) {
            self.history.note(&[node as u64, completion.request.0, self.now_us]);
            self.say(|world| describe::end(world, node, &completion));
            invariants::on_completion(self, node, &completion);
            self.ended.push((node, completion));
        }
    }

    /// Everything that needs no tick: frames arrive, writes finish, members flush, until nothing is left.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.now_us += 1_000;
            self.raise_links();
            for node in 0..self.nodes.len() {
                if self.nodes[node].runs(self.now_us) {
                    self.deliver(node, usize::MAX);
                    self.sync(node);
                    self.flush(node);
                }
            }
            let waiting = |node: &Node| {
                let disk = node.disk.borrow();
                node.dirty || (!disk.queue.is_empty() && disk.stalled_until_us <= self.now_us)
            };
            if self.network.in_flight() == 0 && !self.nodes.iter().any(waiting) {
                return;
            }
        }
        panic!("the members find no rest");
    }

    /// What a flush asks of the others, handed to them, and their answers about damage, handed back; nothing else reaches it.
    pub fn ask_for_repair(&mut self, node: usize) {
        let mut effects = Effects::default();
        self.group(node).tick();
        assert!(self.group(node).flush(0, &mut effects).is_ok());
        let asker = self.nodes[node].id;
        for (to, _, bytes) in std::mem::take(&mut effects.frames) {
            let (Some(to), mut asked, mut answers) = (self.nodes.iter().position(|other| other.id == to), Vec::new(), Vec::new()) else { continue };
            Assembler::default().push(&bytes, &mut asked).expect("it is well formed");
            for frame in asked.into_iter().filter(|frame| frame.kind == FrameKind::RepairQuery) {
                let mut told = Effects::default();
                assert_eq!(self.group(to).receive(asker, frame, 0, &mut told), Ok(()));
                assert!(self.group(to).flush(0, &mut told).is_ok());
                told.frames.iter().for_each(|(_, _, bytes)| Assembler::default().push(bytes, &mut answers).expect("it is well formed"));
            }
            let from = self.nodes[to].id;
            for frame in answers.into_iter().filter(|frame| frame.kind == FrameKind::RepairAnswer) {
                assert_eq!(self.group(node).receive(from, frame, 0, &mut effects), Ok(()));
            }
        }
        let repairs = effects.writes.iter().any(|write| write.purpose == Purpose::Repair);
        effects.writes.into_iter().for_each(|write| self.nodes[node].disk.borrow_mut().push(write, 0));
        loop {
            let written = self.nodes[node].disk.borrow_mut().sync_one(0);
            let Some(number) = written else { break };
            self.group(node).persisted(number);
        }
        if repairs {
            self.group(node).repaired(&mut Effects::default());
        }
    }

    pub fn group(&mut self, node: usize) -> &mut Group<DiskReader> {
        self.nodes[node].group.as_mut().expect("it runs")
    }

    /// Ticks one member until it leads.
    pub fn elect(&mut self, node: usize) {
        for _ in 0..400 {
            self.tick(node);
            self.settle();
            let leads = self.nodes[node].group.as_ref().is_some_and(|group| group.status().role == Role::Leader);
            if leads {
                return;
            }
        }
        panic!("{node} is not elected");
    }

    /// Accepted events of a member's journal, in order: id, place, session, sequence.
    pub fn journal(&self, node: usize) -> Vec<(EventId, (Index, u32), SessionId, u64)> {
        use vexfs_core::journal::{self, Window};
        let at = &self.nodes[node];
        let Some(group) = &at.group else { return Vec::new() };
        let suppressed = |index: Index| at.suppressed.get(&index).cloned().unwrap_or_default();
        let reader = super::disk::DiskReader(at.disk.clone());
        let mut window = Window { index: Index(1), offset: 0, bytes_max: 700, events_max: 9 };
        let applied = group.machine().applied();
        let mut out = Vec::new();
        while window.index <= applied {
            let packed = journal::read(&reader, super::submissions::GROUP, applied, &suppressed, window, None, &|_| false)
                .expect("the applied prefix can be read");
            let number = |at: usize| u64::from_le_bytes(packed[at..at + 8].try_into().expect("eight bytes"));
            let small = |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().expect("four bytes"));
            let big = |at: usize| u128::from_be_bytes(packed[at..at + 16].try_into().expect("sixteen bytes"));
            (window.index, window.offset) = (Index(number(0)), small(8));
            let mut item = journal::DELIVERIES_HEADER_BYTES;
            for _ in 0..small(12) {
                let record = item + 60 + packed[item + 57] as usize;
                let place = (Index(number(item + 8)), small(item + 4));
                out.push((EventId(big(record + 24)), place, SessionId(big(item + 40)), number(item + 32)));
                item += small(item) as usize;
            }
        }
        out
    }

    fn say(&mut self, what: impl FnOnce(&World) -> String) {
        if self.lines.is_some() {
            let line = what(self);
            self.lines.get_or_insert_default().push(line);
        }
    }
}
