//! `npm run sim`: one history, many, or what there is to know of them (see `args`).

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use vexfs_sim::args::{self, Options, Task, Usage, Window};
use vexfs_sim::hunt::{cores, hunt};
use vexfs_sim::progress::Progress;
use vexfs_sim::record::Recorder;
use vexfs_sim::replay::replay;
use vexfs_sim::run::Report;
use vexfs_sim::setup::{Changes, Setup};
use vexfs_sim::shrink::shrink;
use vexfs_sim::{catalogue, diagram, interrupt, outside, summary};

const HELD: u8 = 0;
const BROKEN: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = match args::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(Usage(sentence)) => {
            eprintln!("USAGE: {sentence}");
            return ExitCode::from(USAGE);
        }
    };
    match carry_out(options) {
        Ok(status) => ExitCode::from(status),
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(BROKEN),
        Err(error) => {
            eprintln!("OUTPUT_FAILED: {error}");
            ExitCode::from(USAGE)
        }
    }
}

fn carry_out(options: Options) -> io::Result<u8> {
    let Options { task, changes, threads } = options;
    let threads = threads.unwrap_or_else(cores);
    match task {
        Task::Help => say(&[args::HELP.trim_end().to_string()]),
        Task::List => say(&catalogue::lines()),
        Task::Replay { seed, window, diagram, quiet } => {
            let began = Instant::now();
            let mut out = BufWriter::new(io::stdout());
            let recorder = if quiet && diagram.is_none() { Recorder::default() } else { Recorder::on() };
            let (report, recorder) = replay(seed, &changes, (!quiet).then_some(window), recorder, &mut out)?;
            writeln!(out, "{}", summary::wall(began.elapsed(), report.virtual_us))?;
            out.flush()?;
            if let Some(path) = diagram {
                let name = path.display().to_string();
                let text = draw(&name, &report, &changes, &recorder, window);
                let written = std::fs::write(&path, text);
                written.map_err(|error| io::Error::other(format!("{name} cannot be written: {error}")))?;
                say(&[format!("drawn: {name}")])?;
            }
            Ok(status(report.violations.is_empty()))
        }
        Task::Outside { seed } => {
            outside::serve(seed, &changes, &mut io::stdin().lock(), &mut io::stdout().lock())?;
            Ok(HELD)
        }
        Task::Shrink { seed, at_most } => reduce(seed, &changes, at_most),
        Task::Seeds { first, count } => search(first, count, &changes, threads, None),
        Task::Hunt { first, at_most } => search(first.unwrap_or_else(seed_of_the_clock), u64::MAX, &changes, threads, Some(at_most)),
    }
}

fn say(lines: &[String]) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(HELD)
}

fn status(held: bool) -> u8 {
    if held { HELD } else { BROKEN }
}

fn draw(name: &str, report: &Report, changes: &Changes, recorder: &Recorder, window: Window) -> String {
    let scene = diagram::Scene::of(report, changes, recorder);
    match name.ends_with(".svg") {
        true => diagram::svg::draw(&scene, window),
        false => diagram::html::page(&scene, window),
    }
}

fn reduce(seed: u64, changes: &Changes, at_most: Duration) -> io::Result<u8> {
    interrupt::listen();
    let (began, progress) = (Instant::now(), Progress::new());
    let stop = || interrupt::asked() || began.elapsed() > at_most;
    let shown = |best: &Changes, runs: u64| {
        let faults = Setup::new(seed, best).faults.len();
        progress.show(|| format!("{runs} runs, {faults} faults left, {} s", began.elapsed().as_secs()));
    };
    let shrunk = shrink(seed, changes, &stop, &shown);
    progress.clear();
    let Some(shrunk) = shrunk else {
        say(&[format!("seed {seed}{} breaks no invariant: there is nothing to shrink", changes.options())])?;
        return Ok(HELD);
    };
    let (before, after) = (Setup::new(seed, &shrunk.before), Setup::new(seed, &shrunk.after));
    let mut lines = vec![format!("{} still fails, of {} runs:", shrunk.invariant, shrunk.runs)];
    let row = |name: &str, before: u64, after: u64| format!("  {name:<12} {before:>6} -> {after}");
    lines.push(row("faults", before.faults.len() as u64, after.faults.len() as u64));
    lines.push(row("until ms", before.until_us / 1_000, after.until_us / 1_000));
    lines.push(row("members", before.members as u64, after.members as u64));
    lines.push(row("groups", u64::from(before.groups), u64::from(after.groups)));
    lines.push(row("publishers", before.publishers as u64, after.publishers as u64));
    lines.push(row("subscribers", before.subscribers as u64, after.subscribers as u64));
    lines.push(row("consumers", before.consumers as u64, after.consumers as u64));
    lines.extend(after.faults.iter().map(|fault| format!("  fault {} at {} s: {}", fault.number, summary::seconds(fault.at_us), fault.kind.name())));
    lines.extend(shrunk.report.violations.iter().map(|what| format!("VIOLATION {what}")));
    if shrunk.stopped {
        lines.push("stopped before nothing more could be left out; --shrink-seconds gives it longer".to_string());
    }
    lines.push(format!("replay: {}", summary::replay(seed, &shrunk.after)));
    lines.push(format!("draw:   {} --quiet --diagram seed-{seed}.html", summary::replay(seed, &shrunk.after)));
    lines.push(format!("wall        {:.2} s", began.elapsed().as_secs_f64()));
    say(&lines)?;
    Ok(BROKEN)
}

fn search(first: u64, count: u64, changes: &Changes, threads: usize, at_most: Option<Duration>) -> io::Result<u8> {
    interrupt::listen();
    let (began, progress) = (Instant::now(), Progress::new());
    say(&[format!("from seed {first}{}", changes.options())])?;
    // Nobody reads any more: there is nothing left to hunt for.
    let unread = AtomicBool::new(false);
    let late = || at_most.is_some_and(|most| began.elapsed() > most);
    let stop = || interrupt::asked() || unread.load(Ordering::Relaxed) || late();
    let totals = hunt(first, count, changes, threads, &stop, &|report, totals| {
        if !report.violations.is_empty() {
            progress.clear();
            if say(&summary::failure(report, changes)).is_err() {
                unread.store(true, Ordering::Relaxed);
            }
        }
        progress.show(|| summary::progress(totals, began.elapsed()));
    });
    progress.clear();
    let mut lines = summary::of_many(&totals);
    lines.extend(totals.failed.iter().take(20).map(|(seed, _)| format!("  {}", summary::replay(*seed, changes))));
    lines.push(summary::wall(began.elapsed(), totals.virtual_us));
    say(&lines)?;
    Ok(status(totals.failed.is_empty()))
}

/// A seed that no hunt has had: the microseconds since 1970.
fn seed_of_the_clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
