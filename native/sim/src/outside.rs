//! The cluster for clients that live in another process (`--outside`; test/policy has the other side): a line asks, a line
//! answers, and time goes on only when asked to. Bytes travel in hexadecimal.
//!
//! | line | answer |
//! |---|---|
//! | `submit NODE REQUEST QUORUM BYTES` | 0, or why it was not taken: 1 too much waits, 2 no such member runs |
//! | `barrier NODE REQUEST GROUP`, `withdraw …`, `find NODE REQUEST GROUP ID` | likewise |
//! | `read NODE GROUP INDEX OFFSET BYTES EVENTS` | `journal BYTES`, `compacted FIRST` or `unreadable WHY` |
//! | `first NODE GROUP`, `applied NODE GROUP` | an index; 0 where no such member runs |
//! | `led NODE GROUP` | 1 where the member knows of a leader, else 0 |
//! | `step US` | `up NODE`, `down NODE`, `ends NODE BYTES`, in order, then `now US`: that moment, or the first of these before |
//! | `verdict` | `violation WHAT`, any number of times, then `healed` or `waiting` |
//! | `end` | nothing |
//!
//! The first line is `cluster US NODE…`: when faults stop, and the members' names by their numbers.
//!
//! A member that stands still takes its callers' requests when it goes on, as a process does that was stopped.

use crate::clients::journal;
use crate::invariants::healing;
use crate::member::Running;
use crate::panics;
use crate::record::Recorder;
use crate::run::Run;
use crate::setup::{Changes, Setup};
use crate::world::World;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use vexfs_core::ends;
use vexfs_core::ids::{EventId, GroupId, Index, RequestId};
use vexfs_core::journal::Window;

/// What `submit` and the others answer (`TAKEN` in src/native/core.ts).
const TAKEN: &str = "0";
const FULL: &str = "1";
const ENDED: &str = "2";

/// A request that waits for its member to go on.
struct Held {
    node: usize,
    line: String,
}

struct Outside {
    run: Run,
    /// Lines of the next step's answer.
    news: Vec<String>,
    /// Life of each member that runs, as it was last told.
    told: Vec<Option<u32>>,
    held: Vec<Held>,
}

/// Serves until `end` or the end of the input.
pub fn serve(seed: u64, changes: &Changes, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    // The clients are outside; what they ask is numbered by them.
    let none = Some(0);
    let changes = Changes { publishers: none, subscribers: none, consumers: none, causal: none, groups: Some(1), ..changes.clone() };
    let run = Run::new(Setup::new(seed, &changes), Recorder::default());
    let names: Vec<&str> = run.world.members.iter().map(|member| member.name.as_str()).collect();
    writeln!(output, "cluster {} {}", run.world.setup.until_us, names.join(" "))?;
    output.flush()?;
    let told = vec![None; run.world.members.len()];
    let mut outside = Outside { run, news: Vec::new(), told, held: Vec::new() };
    outside.look();
    for line in input.lines() {
        let line = line?;
        if line == "end" {
            break;
        }
        let answer = outside.answer(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("not understood: {line}")))?;
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

impl Outside {
    fn answer(&mut self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["step", until] => Some(self.step(until.parse().ok()?)),
            ["verdict"] => Some(self.verdict()),
            ["first", node, group] => {
                Some(self.running(node)?.map_or(0, |running| running.view(group_of(group)).first.0).to_string())
            }
            ["applied", node, group] => {
                Some(self.running(node)?.map_or(0, |running| running.view(group_of(group)).applied.0).to_string())
            }
            ["led", node, group] => {
                let group = |running: &Running| running.groups.group(group_of(group)).is_some_and(|group| group.status().leader.is_some());
                Some(u8::from(self.running(node)?.is_some_and(group)).to_string())
            }
            ["read", node, ref place @ ..] => self.read(node.parse().ok()?, place),
            [_, node, ..] => {
                let node: usize = node.parse().ok()?;
                let running = self.run.world.members.get(node)?.running.as_ref();
                match running.map(|running| running.paused) {
                    None => Some(ENDED.to_string()),
                    Some(true) => {
                        self.held.push(Held { node, line: line.to_string() });
                        Some(TAKEN.to_string())
                    }
                    Some(false) if self.is_full(node, &words) => Some(FULL.to_string()),
                    Some(false) => self.hand_in(node, &words).map(str::to_string),
                }
            }
            _ => None,
        }
    }

    fn running(&self, node: &str) -> Option<Option<&Running>> {
        Some(self.run.world.members.get(node.parse::<usize>().ok()?)?.running.as_ref())
    }

    fn is_full(&self, node: usize, words: &[&str]) -> bool {
        matches!(words, ["submit", _, _, _, bytes] if !self.run.world.has_room(node, bytes.len() / 2))
    }

    /// Hands a request to a member that runs.
    fn hand_in(&mut self, node: usize, words: &[&str]) -> Option<&'static str> {
        let world = &mut self.run.world;
        let number: u64 = words.get(2)?.parse().ok()?;
        let request = RequestId(world.members[node].life_id << 32 | number);
        match *words {
            ["submit", _, _, quorum, bytes] => {
                let understood = world.submit_packed(node, request, unhex(bytes)?, quorum.parse().ok()?);
                return understood.then_some(TAKEN);
            }
            ["barrier", _, _, group] => drop(world.barrier_as(node, group_of(group), request)),
            ["withdraw", _, _, _] => {
                if let Some(clean) = world.withdraw(node, request) {
                    self.tell(node, |out| ends::withdrawn(out, number as u32, clean));
                }
            }
            ["find", _, _, group, id] => {
                let id = EventId(u128::from_be_bytes(unhex(id)?.try_into().ok()?));
                let groups = &world.members[node].running.as_ref()?.groups;
                let group = group_of(group);
                let found = groups.find(group, id).map(|place| {
                    let term = groups.group(group).and_then(|group| group.term_of(place.index));
                    (place.index, place.offset, term.map_or(0, |term| term.0))
                });
                self.tell(node, |out| ends::place(out, number as u32, found));
            }
            _ => return None,
        }
        Some(TAKEN)
    }

    fn tell(&mut self, node: usize, pack: impl FnOnce(&mut Vec<u8>)) {
        let mut packed = Vec::new();
        pack(&mut packed);
        self.news.push(format!("ends {node} {}", hex(&packed)));
    }

    fn step(&mut self, until_us: u64) -> String {
        loop {
            let run = &mut self.run;
            let stepped = self.news.is_empty() && run.world.history.violations.is_empty();
            let stepped = stepped && panics::caught(|| run.step(until_us)).unwrap_or_else(|what| {
                run.world.history.violate("no_panic", what);
                false
            });
            if !stepped {
                break;
            }
            for (node, completion) in std::mem::take(&mut self.run.world.ended) {
                self.tell(node, |out| ends::completion(out, &completion));
            }
            self.look();
        }
        if self.news.is_empty() {
            self.run.world.now_us = self.run.world.now_us.max(until_us);
        }
        let mut lines = std::mem::take(&mut self.news);
        lines.push(format!("now {}", self.run.world.now_us));
        lines.join("\n")
    }

    /// Notices who has come and gone, and who goes on.
    fn look(&mut self) {
        for (node, member) in self.run.world.members.iter().enumerate() {
            let life = member.running.as_ref().map(|_| member.life);
            if life != self.told[node] {
                if self.told[node].is_some() {
                    self.held.retain(|held| held.node != node);
                    self.news.push(format!("down {node}"));
                }
                if life.is_some() {
                    self.news.push(format!("up {node}"));
                }
                self.told[node] = life;
            }
        }
        let goes_on = |held: &Held| self.run.world.members[held.node].runs();
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(goes_on);
        self.held = held;
        let due: Vec<Held> = due;
        for Held { node, line } in due {
            // It was told that it is taken, and is.
            self.hand_in(node, &line.split(' ').collect::<Vec<_>>());
        }
    }

    fn verdict(&self) -> String {
        let world: &World = &self.run.world;
        let mut lines: Vec<String> = world.history.violations.iter().map(|what| format!("violation {what}")).collect();
        let healed = self.run.is_calm() && healing::healed(world);
        lines.push(if healed { "healed" } else { "waiting" }.to_string());
        lines.join("\n")
    }

    fn read(&mut self, node: usize, place: &[&str]) -> Option<String> {
        let [group, index, offset, bytes, events] = *place else { return None };
        let group = group_of(group);
        let world = &mut self.run.world;
        let Some(running) = &world.members.get(node)?.running else { return Some("unreadable it does not run".to_string()) };
        let first = running.view(group).first;
        let mut window = Window {
            index: Index(index.parse().ok()?),
            offset: offset.parse().ok()?,
            bytes_max: bytes.parse().ok()?,
            events_max: events.parse().ok()?,
        };
        if window.index == Index(0) {
            (window.index, window.offset) = (first, 0);
        }
        if window.index < first {
            return Some(format!("compacted {first}"));
        }
        Some(match journal::packed_in_order(running, group, window, None) {
            Ok(packed) => {
                journal::fetch_wanted(world, node);
                format!("journal {}", hex(&packed))
            }
            Err(error) => {
                journal::met_damage(world, node, group, &error);
                format!("unreadable {error}")
            }
        })
    }
}

fn group_of(word: &str) -> GroupId {
    GroupId(word.parse().unwrap_or(u32::MAX))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digit).collect()
}
