//! One line on a terminal that says how far a long task is; nothing where standard error is no terminal.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(200);

pub struct Progress {
    shown: bool,
    last: Mutex<Option<Instant>>,
}

impl Progress {
    pub fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: Mutex::new(None) }
    }

    /// Shows a line, unless the last one is very new.
    pub fn show(&self, line: impl FnOnce() -> String) {
        let Ok(mut last) = self.last.lock() else { return };
        if !self.shown || last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        *last = Some(Instant::now());
        let mut stderr = std::io::stderr();
        // A terminal that has gone away is no reason to stop.
        let _ = write!(stderr, "\r\x1b[K{}", line()).and_then(|()| stderr.flush());
    }

    /// Clears the line, for something that stays.
    pub fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
