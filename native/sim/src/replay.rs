//! One history again, for reading: a line for each happening, and what it came to.

use crate::args::Window;
use crate::describe;
use crate::record::Recorder;
use crate::run::{run_recorded, Report};
use crate::setup::{Changes, Setup};
use crate::summary;
use std::io::{self, Write};

/// `window`: `None` prints no trace, and needs no recorder that is on. What is printed repeats for equal seeds and changes.
pub fn replay(seed: u64, changes: &Changes, window: Option<Window>, recorder: Recorder, out: &mut dyn Write) -> io::Result<(Report, Recorder)> {
    for line in summary::setup(&Setup::new(seed, changes)) {
        writeln!(out, "{line}")?;
    }
    let (report, recorder) = run_recorded(seed, changes, recorder);
    if let Some(window) = window {
        let (from_us, to_us) = (window.from_us.unwrap_or(0), window.to_us.unwrap_or(u64::MAX));
        for (at_us, what) in recorder.happenings.iter().filter(|(at_us, _)| (from_us..=to_us).contains(at_us)) {
            writeln!(out, "{:>11} {}", summary::seconds(*at_us), describe::happening(what))?;
        }
    }
    for line in summary::of_one(&report, changes) {
        writeln!(out, "{line}")?;
    }
    Ok((report, recorder))
}
