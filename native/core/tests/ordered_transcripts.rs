//! Protocol tests that read as what happened: `tests/testdata/*`, regenerated with `REWRITE=1` and reviewed as a diff.
//!
//! Commands: `cluster members=n` (a new one) · `tick node=x times=n` · `elect node=x` · `settle` (frames arrive, writes
//! finish, nothing ticks) · `publish node=x ids=(1,2) [session=s sequence=n] [applied=n]` · `fence node=x id=n` ·
//! `barrier node=x` · `withdraw node=x request=n` · `stall node=x` and `unstall node=x` (the disk) · `cut from=x to=y`
//! and `mend` (connections) · `lose from=x to=y` (what is on its way, unnoticed) · `crash node=x [torn]` (loses the last durable
//! write too) and `start node=x` · `step node=x` (arrivals, writes, one flush) ·
//! `status` · `journal node=x`. `quiet` leaves a command's trace out.

use crate::support::submissions::Draft;
use crate::support::world::World;
use datadriven::{walk, TestCase};
use vexfs_core::ids::{EventId, RequestId, SessionId};

#[test]
fn transcripts() {
    walk("tests/testdata", |file| {
        let mut world = fresh(3);
        file.run(|case| {
            let mut case = case.clone();
            command(&mut world, &mut case)
        });
    });
}

fn fresh(members: usize) -> World {
    let mut world = World::new(1, members);
    (world.network.delay_us, world.sync_us) = ((0, 1), (0, 1));
    world.lines = Some(Vec::new());
    (0..members).for_each(|node| world.flush(node));
    world
}

fn node(world: &World, case: &mut TestCase, argument: &str) -> usize {
    let name: String = case.take_arg(argument).expect("the member's name");
    world.nodes.iter().position(|node| node.name == name).expect("a member")
}

fn number(case: &mut TestCase, argument: &str, otherwise: u64) -> u64 {
    case.try_take_arg(argument).expect("a number").unwrap_or(otherwise)
}

fn command(world: &mut World, case: &mut TestCase) -> String {
    let quiet = case.take_flag("quiet").expect("a flag");
    let mut answer = String::new();
    match case.directive.as_str() {
        "cluster" => *world = fresh(number(case, "members", 3) as usize),
        "tick" => {
            let at = node(world, case, "node");
            for _ in 0..number(case, "times", 1) {
                world.tick(at);
                world.flush(at);
            }
        }
        "elect" => {
            let at = node(world, case, "node");
            world.elect(at);
        }
        "settle" => world.settle(),
        "step" => {
            let at = node(world, case, "node");
            world.now_us += 1_000;
            world.deliver(at, usize::MAX);
            world.sync(at);
            world.flush(at);
        }
        "publish" => {
            let at = node(world, case, "node");
            let ids: Vec<u64> = case.take_args("ids").expect("ids");
            let mut draft = Draft::events(ids.into_iter().map(|id| EventId(u128::from(id))).collect());
            let session = SessionId(u128::from(number(case, "session", 0)));
            if !session.is_none() {
                draft = draft.in_session(session, number(case, "sequence", 1), 0);
            }
            world.submit(at, &draft, number(case, "applied", 1) as u32);
            world.flush(at);
        }
        "fence" => {
            let at = node(world, case, "node");
            world.submit(at, &Draft::fence(EventId(u128::from(number(case, "id", 0)))), 1);
            world.flush(at);
        }
        "barrier" => {
            let at = node(world, case, "node");
            world.barrier(at);
            world.flush(at);
        }
        "withdraw" => {
            let at = node(world, case, "node");
            let request = RequestId(world.nodes[at].incarnation << 32 | number(case, "request", 1));
            answer = format!("no leader has seen it: {}\n", world.withdraw(at, request));
            world.flush(at);
        }
        "stall" | "unstall" => {
            let at = node(world, case, "node");
            let until = if case.directive == "stall" { u64::MAX } else { 0 };
            world.nodes[at].disk.borrow_mut().stalled_until_us = until;
        }
        "cut" => {
            let (from, to) = (node(world, case, "from"), node(world, case, "to"));
            world.reset_link(from, to, u64::MAX);
            world.reset_link(to, from, u64::MAX);
            world.flush(from);
            world.flush(to);
        }
        "lose" => {
            let (from, to) = (node(world, case, "from"), node(world, case, "to"));
            world.network.lose(from, to);
        }
        "mend" => {
            for from in 0..world.nodes.len() {
                for to in 0..world.nodes.len() {
                    let link = world.network.link(from, to);
                    link.down_until_us = link.down_until_us.map(|_| 0);
                }
            }
        }
        "crash" => {
            let at = node(world, case, "node");
            let torn = case.take_flag("torn").expect("a flag");
            world.crash(at, 0);
            if torn {
                world.tear(at);
            }
        }
        "start" => {
            let at = node(world, case, "node");
            world.start(at);
            world.flush(at);
        }
        "status" => answer = status(world),
        "journal" => {
            let at = node(world, case, "node");
            for (id, (index, offset), session, sequence) in world.journal(at) {
                answer += &format!("{index}.{offset} event {id}");
                answer += &if session.is_none() { "\n".to_string() } else { format!(", sequence {sequence}\n") };
            }
        }
        other => panic!("unknown command {other}"),
    }
    case.expect_empty().expect("every argument is used");
    let lines = world.lines.replace(Vec::new()).unwrap_or_default();
    crate::support::invariants::judge_journals(world);
    assert!(world.history.violations.is_empty(), "{:?}", world.history.violations);
    if !quiet {
        answer.extend(lines.iter().map(|line| format!("{line}\n")));
    }
    if answer.is_empty() {
        answer = "ok\n".to_string();
    }
    answer
}

fn status(world: &World) -> String {
    let lines = world.nodes.iter().map(|node| match &node.group {
        None => format!("{} down\n", node.name),
        Some(group) => {
            let status = group.status();
            format!(
                "{} {:?} term {} last {} commit {} applied {} pending {} durable {}\n",
                node.name,
                status.role,
                status.term,
                status.last,
                status.commit,
                status.applied,
                status.pending,
                node.disk.borrow().last()
            )
        }
    });
    lines.collect()
}
