//! What runs came to, in words. Lines that begin with `wall` are of real time; all others repeat for equal seeds.

use crate::describe::node_name;
use crate::faults::counts::Counts;
use crate::hunt::Totals;
use crate::regions::Regions;
use crate::run::Report;
use crate::setup::{Changes, Setup};
use std::time::Duration;

/// The command that does `what` (an option and its value) again, with the same changes.
pub fn command(what: &str, changes: &Changes) -> String {
    format!("npm run sim -- {what}{}", changes.options())
}

pub fn replay(seed: u64, changes: &Changes) -> String {
    command(&format!("--seed {seed}"), changes)
}

/// 12,345,678
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// 1 fault, 2 faults
fn counted(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// Seconds of virtual time, to the microsecond.
pub fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// The invariant that a violation is of.
pub fn invariant(violation: &str) -> &str {
    violation.split(':').next().unwrap_or(violation)
}

fn faults(counts: &Counts) -> String {
    let struck: Vec<String> = counts.by_name().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {}", grouped(count))).collect();
    if struck.is_empty() { "none".to_string() } else { struck.join(", ") }
}

/// What a seed's run is made of.
pub fn setup(setup: &Setup) -> Vec<String> {
    let names = |from: usize, to: usize| (from..to).map(|node| node_name(node).to_string()).collect::<Vec<_>>().join(" ");
    let later = match names(setup.founders, setup.members) {
        none if none.is_empty() => String::new(),
        some => format!(" (an operator may add {some})"),
    };
    let mut lines = vec![format!(
        "seed {}: members {}{later}; {}{}, {}, {}, {}",
        setup.seed,
        names(0, setup.founders),
        if setup.groups > 1 { format!("{} groups, ", setup.groups) } else { String::new() },
        counted(setup.publishers, "publisher"),
        counted(setup.subscribers, "subscriber"),
        counted(setup.consumers, "consumer"),
        counted(setup.causal, "causal client")
    )];
    lines.push(format!(
        "{} drawn; faults and clients stop at {} s; frames take {} to {} us, a sync {} to {} us",
        counted(setup.faults.len(), "fault"),
        seconds(setup.until_us),
        setup.delay_us.0,
        setup.delay_us.1,
        setup.sync_us.0,
        setup.sync_us.1
    ));
    lines.extend(setup.regions.as_ref().map(Regions::describe));
    lines.extend(setup.plant.map(|plant| format!("planted: {}, {}", plant.name(), plant.row().what)));
    lines
}

pub fn of_one(report: &Report, changes: &Changes) -> Vec<String> {
    let mut lines = vec![
        format!(
            "simulated {} s: {} answers, {} deliveries, {} elections, {} starts, {} states",
            seconds(report.virtual_us),
            grouped(report.answers),
            grouped(report.deliveries),
            grouped(report.elections),
            grouped(report.starts),
            grouped(report.states.len() as u64)
        ),
        format!("faults: {}", faults(&report.faults)),
        format!("trace {:016x}", report.trace),
    ];
    if report.violations.is_empty() {
        lines.push("every invariant held".to_string());
    } else {
        lines.extend(report.violations.iter().map(|what| format!("VIOLATION {what}")));
        lines.push(format!("replay: {}", replay(report.seed, changes)));
        lines.push(format!("shrink: {} --shrink", replay(report.seed, changes)));
    }
    lines
}

/// A failing seed, as a hunt meets it.
pub fn failure(report: &Report, changes: &Changes) -> Vec<String> {
    let first = report.violations.first().map_or("", String::as_str);
    vec![format!("FAILED seed {}: {first}", report.seed), format!("  replay: {}", replay(report.seed, changes))]
}

pub fn of_many(totals: &Totals) -> Vec<String> {
    let mut lines = vec![
        format!("runs        {}", grouped(totals.runs)),
        format!("simulated   {} s", grouped(totals.virtual_us / 1_000_000)),
        format!("answers     {}", grouped(totals.answers)),
        format!("deliveries  {}", grouped(totals.deliveries)),
        format!("elections   {}", grouped(totals.elections)),
        format!("starts      {}", grouped(totals.starts)),
        format!("states      {}", grouped(totals.states.len() as u64)),
        format!("faults      {}", grouped(totals.faults.total())),
    ];
    let width = totals.faults.by_name().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.extend(totals.faults.by_name().map(|(name, count)| format!("  {name:width$}  {}", grouped(count))));
    lines.push(format!("failed      {}", grouped(totals.failed.len() as u64)));
    lines
}

pub fn wall(spent: Duration, virtual_us: u64) -> String {
    let ratio = virtual_us as f64 / spent.as_micros().max(1) as f64;
    format!("wall        {:.2} s, simulated time is {} x real time", spent.as_secs_f64(), grouped(ratio as u64))
}

/// A hunt on the way.
pub fn progress(totals: &Totals, spent: Duration) -> String {
    format!(
        "{} runs, {} s simulated, {} states, {} failed, {} s",
        grouped(totals.runs),
        grouped(totals.virtual_us / 1_000_000),
        grouped(totals.states.len() as u64),
        totals.failed.len(),
        spent.as_secs()
    )
}
