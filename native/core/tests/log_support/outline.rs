//! Operations and segments in short, for messages.

use super::disk::SimDisk;
use super::replayed;
use vexfs_core::log::{plan, LogEntry, Op};

/// Runs of equal terms: `3..=5 t2`.
fn runs(entries: &[LogEntry]) -> String {
    let runs = entries.chunk_by(|low, high| low.term == high.term);
    let run = |run: &[LogEntry]| format!("{}..={} t{}", run[0].index.0, run[run.len() - 1].index.0, run[0].term.0);
    runs.map(run).collect::<Vec<_>>().join(" ")
}

pub fn outline(ops: &[Op]) -> String {
    let one = |op: &Op| {
        let what = match op {
            Op::Entries { entries, .. } => format!("append {}", runs(entries)),
            Op::Repair { entries, .. } => format!("repair {}", runs(entries)),
            Op::Relocate { entries, .. } => format!("relocate {}", runs(entries)),
            Op::HardState { state, .. } => format!("state t{} vote {} commit {}", state.term.0, state.vote.0, state.commit.0),
            Op::Truncate { from, .. } => format!("truncate {}", from.0),
            Op::Mark { mark, .. } => {
                format!("mark {} t{}, first {} behind t{}", mark.index.0, mark.term.0, mark.first.0, mark.prior_term.0)
            }
        };
        format!("group {} {what}", op.group())
    };
    ops.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Every readable record, by segment and offset.
pub fn held(disk: &SimDisk) -> String {
    let mut lines = Vec::new();
    match plan(disk) {
        Ok(plan) => plan.segments.iter().enumerate().for_each(|(nth, segment)| {
            let scanned = segment.scan(disk, &mut |offset, record| {
                let what = match &record {
                    vexfs_core::log::ScannedRecord::Carry { .. } => format!("{record:?}"),
                    _ => replayed(record).as_slice().first().map_or_else(String::new, |op| outline(std::slice::from_ref(op))),
                };
                lines.push(format!("segment {nth} at {offset}: {what}"));
            });
            lines.extend(scanned.err().map(|error| format!("segment {nth}: {error}")));
        }),
        Err(error) => lines.push(error.to_string()),
    }
    lines.join("\n")
}
