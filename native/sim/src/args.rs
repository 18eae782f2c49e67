//! The command line: what is to be done, and what of it is not as the seed has it.

use crate::faults::kinds::FaultKind;
use crate::plants::Plant;
use crate::setup::Changes;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

pub const HELP: &str = "\
Whole clusters and their clients on virtual time, one history for each seed.

  npm run sim -- --seed N                   one history: a trace, what broke, how to shrink it
  npm run sim -- --seed N --diagram D.html  draws it (.svg: a window of it)
  npm run sim -- --seed N --shrink          makes a failing history smaller
  npm run sim -- --seeds N [--first M]      N histories from seed M (0)
  npm run sim -- --minutes N [--first M]    hunts from a seed of the clock
  npm run sim -- --seed N --outside         serves the cluster to clients on its standard input (test/policy)
  npm run sim -- --list                     kinds of faults, planted bugs, invariants

Of one history:
  --diagram FILE       a space-time diagram, .svg or .html
  --from-ms, --to-ms   what of it to trace and draw, in virtual milliseconds
  --quiet              no trace, only what it came to
  --shrink-seconds N   stop shrinking after so long (60)

What is not as the seed has it:
  --members N, --publishers N, --subscribers N, --consumers N, --groups N
  --causal N           publishers, and as many readers, of the causal lane
  --regions            members in regions, far apart, if there are three of them
  --until-ms N         faults and clients stop then
  --only KIND,...      kinds of faults to draw from, those that seeds do not draw included
  --keep N,...|none    faults that strike, by number
  --plant NAME         a known bug

Of many:
  --threads N          runs at a time (one for each core)

Exit status: 0 when every invariant held, 1 when one did not, 2 on bad usage.
SIGTERM and SIGINT end a hunt with what it came to.
";

/// A part of a history, in microseconds; `None` is for the one who draws or prints it to decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub from_us: Option<u64>,
    pub to_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    Help,
    List,
    Replay { seed: u64, window: Window, diagram: Option<PathBuf>, quiet: bool },
    Shrink { seed: u64, at_most: Duration },
    /// The cluster without clients, for those of another process.
    Outside { seed: u64 },
    Seeds { first: u64, count: u64 },
    /// `first`: `None` for a seed of the clock.
    Hunt { first: Option<u64>, at_most: Duration },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub task: Task,
    pub changes: Changes,
    pub threads: Option<usize>,
}

/// A sentence that says what is wrong with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub String);

/// As it was written; which options go together is judged afterwards.
#[derive(Default)]
struct Given {
    help: bool,
    list: bool,
    shrink: bool,
    quiet: bool,
    outside: bool,
    seed: Option<u64>,
    seeds: Option<u64>,
    minutes: Option<u64>,
    first: Option<u64>,
    threads: Option<u64>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
    shrink_seconds: Option<u64>,
    diagram: Option<PathBuf>,
    changes: Changes,
}

pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, Usage> {
    let (mut given, mut args) = (Given::default(), args.into_iter());
    while let Some(arg) = args.next() {
        let (name, mut value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (arg, None),
        };
        let mut next = || {
            let value = value.take().or_else(|| args.next());
            value.ok_or_else(|| Usage(format!("{name} needs a value")))
        };
        if given.flag(&name) {
            if value.is_some() {
                return Err(Usage(format!("{name} takes no value")));
            }
        } else if !given.number(&name, &mut next)? && !given.word(&name, &mut next)? {
            return Err(Usage(format!("{name} is not an option; --help lists them")));
        }
    }
    given.judge()
}

impl Given {
    fn flag(&mut self, name: &str) -> bool {
        match name {
            "--help" | "-h" => self.help = true,
            "--list" => self.list = true,
            "--shrink" => self.shrink = true,
            "--quiet" => self.quiet = true,
            "--outside" => self.outside = true,
            "--regions" => self.changes.regions = true,
            _ => return false,
        }
        true
    }

    fn number(&mut self, name: &str, next: &mut dyn FnMut() -> Result<String, Usage>) -> Result<bool, Usage> {
        let (low, high) = match name {
            "--seed" | "--first" => (0, u64::MAX),
            "--seeds" => (1, 1_000_000_000),
            "--minutes" => (1, 100_000),
            "--threads" => (1, 1_024),
            "--from-ms" | "--to-ms" => (0, 3_600_000),
            "--shrink-seconds" => (1, 86_400),
            "--until-ms" => (1, 3_600_000),
            "--members" => (1, 9),
            "--groups" => (1, 4),
            "--publishers" | "--subscribers" | "--consumers" | "--causal" => (0, 16),
            _ => return Ok(false),
        };
        let text = next()?;
        let value: Option<u64> = text.parse().ok().filter(|value| (low..=high).contains(value));
        let Some(value) = value else {
            return Err(Usage(format!("{name} wants a whole number from {low} to {high}, not {text:?}")));
        };
        let count = Some(value as usize);
        match name {
            "--members" => self.changes.members = count,
            "--publishers" => self.changes.publishers = count,
            "--subscribers" => self.changes.subscribers = count,
            "--consumers" => self.changes.consumers = count,
            "--causal" => self.changes.causal = count,
            "--groups" => self.changes.groups = count,
            _ => {
                let place = match name {
                    "--seed" => &mut self.seed,
                    "--first" => &mut self.first,
                    "--seeds" => &mut self.seeds,
                    "--minutes" => &mut self.minutes,
                    "--threads" => &mut self.threads,
                    "--from-ms" => &mut self.from_ms,
                    "--to-ms" => &mut self.to_ms,
                    "--shrink-seconds" => &mut self.shrink_seconds,
                    _ => &mut self.changes.until_ms,
                };
                *place = Some(value);
            }
        }
        Ok(true)
    }

    fn word(&mut self, name: &str, next: &mut dyn FnMut() -> Result<String, Usage>) -> Result<bool, Usage> {
        match name {
            "--plant" => {
                let text = next()?;
                let plant = Plant::of(&text).ok_or_else(|| Usage(format!("there is no planted bug {text:?}; --list names them")))?;
                self.changes.plant = Some(plant);
            }
            "--only" => {
                let kind = |text: &str| {
                    FaultKind::of(text).ok_or_else(|| Usage(format!("there is no kind of fault {text:?}; --list names them")))
                };
                self.changes.only = next()?.split(',').map(kind).collect::<Result<_, _>>()?;
            }
            "--keep" => {
                let text = next()?;
                let number = |part: &str| {
                    part.parse().map_err(|_| Usage(format!("--keep wants numbers of faults, or none, not {part:?}")))
                };
                let numbers = match text.as_str() {
                    "none" => BTreeSet::new(),
                    list => list.split(',').map(number).collect::<Result<_, _>>()?,
                };
                self.changes.keep = Some(numbers);
            }
            "--diagram" => {
                let path = PathBuf::from(next()?);
                if !path.extension().is_some_and(|ending| ending == "svg" || ending == "html") {
                    return Err(Usage("--diagram wants a file that ends in .svg or .html".to_string()));
                }
                self.diagram = Some(path);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn judge(self) -> Result<Options, Usage> {
        let tasks = [
            ("--help", self.help),
            ("--list", self.list),
            ("--seed", self.seed.is_some()),
            ("--seeds", self.seeds.is_some()),
            ("--minutes", self.minutes.is_some()),
        ];
        let asked: Vec<&str> = tasks.iter().filter(|(_, asked)| *asked).map(|(name, _)| *name).collect();
        let task = match asked[..] {
            ["--help", ..] => "--help",
            [one] => one,
            [one, other, ..] => return Err(Usage(format!("{one} and {other} do not go together"))),
            [] => return Err(Usage("say --seed N, --seeds N, --minutes N or --list; --help explains them".to_string())),
        };
        let belongs = [
            ("--shrink", self.shrink, &["--seed"][..]),
            ("--shrink-seconds", self.shrink_seconds.is_some(), &["--seed"]),
            ("--diagram", self.diagram.is_some(), &["--seed"]),
            ("--quiet", self.quiet, &["--seed"]),
            ("--outside", self.outside, &["--seed"]),
            ("--from-ms", self.from_ms.is_some(), &["--seed"]),
            ("--to-ms", self.to_ms.is_some(), &["--seed"]),
            ("--first", self.first.is_some(), &["--seeds", "--minutes"]),
            ("--threads", self.threads.is_some(), &["--seeds", "--minutes"]),
        ];
        for (name, given, to) in belongs {
            if given && task != "--help" && !to.contains(&task) {
                return Err(Usage(format!("{name} goes with {}, not with {task}", to.join(" and "))));
            }
        }
        if self.shrink && (self.diagram.is_some() || self.from_ms.is_some() || self.to_ms.is_some()) {
            return Err(Usage("--shrink first, then draw what it has come to".to_string()));
        }
        if self.outside && (self.shrink || self.quiet || self.diagram.is_some()) {
            return Err(Usage("--outside goes alone with --seed".to_string()));
        }
        if self.shrink_seconds.is_some() && !self.shrink {
            return Err(Usage("--shrink-seconds goes with --shrink".to_string()));
        }
        if let (Some(from), Some(to)) = (self.from_ms, self.to_ms) {
            if from >= to {
                return Err(Usage(format!("--from-ms {from} is not before --to-ms {to}")));
            }
        }
        let us = |ms: Option<u64>| ms.map(|ms| ms * 1_000);
        let task = match (task, self.seed, self.seeds, self.minutes) {
            ("--help", ..) => Task::Help,
            (_, Some(seed), ..) if self.outside => Task::Outside { seed },
            (_, Some(seed), ..) if self.shrink => {
                Task::Shrink { seed, at_most: Duration::from_secs(self.shrink_seconds.unwrap_or(60)) }
            }
            (_, Some(seed), ..) => {
                let window = Window { from_us: us(self.from_ms), to_us: us(self.to_ms) };
                Task::Replay { seed, window, diagram: self.diagram, quiet: self.quiet }
            }
            (_, _, Some(count), _) => Task::Seeds { first: self.first.unwrap_or(0), count },
            (_, _, _, Some(minutes)) => Task::Hunt { first: self.first, at_most: Duration::from_secs(60 * minutes) },
            _ => Task::List,
        };
        Ok(Options { task, changes: self.changes, threads: self.threads.map(|count| count as usize) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, Usage> {
        parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn what_changes_say_of_themselves_is_read_back() {
        let changes = Changes {
            members: Some(5),
            publishers: Some(2),
            subscribers: Some(0),
            consumers: Some(1),
            causal: Some(4),
            groups: Some(3),
            regions: true,
            until_ms: Some(12_345),
            keep: Some(BTreeSet::from([3, 17])),
            only: vec![FaultKind::Loss, FaultKind::RolledBack],
            plant: Some(Plant::SkippedTail),
        };
        for keep in [changes.keep.clone(), Some(BTreeSet::new()), None] {
            let changes = Changes { keep, ..changes.clone() };
            let read = parsed(&format!("--seed 7{}", changes.options())).expect("it is well spelled");
            assert_eq!(read.changes, changes);
        }
        assert_eq!(parsed("--seed 7").expect("it is well spelled").changes, Changes::default());
    }

    #[test]
    fn a_bad_line_is_a_sentence() {
        for (line, says) in [
            ("", "say --seed"),
            ("--sed 1", "--sed is not an option"),
            ("--seed", "--seed needs a value"),
            ("--seed x", "--seed wants a whole number"),
            ("--seed -1", "--seed wants a whole number"),
            ("--seeds 0", "--seeds wants a whole number from 1"),
            ("--seed 1 --seeds 2", "--seed and --seeds do not go together"),
            ("--seed 1 --members 99", "--members wants a whole number from 1 to 9"),
            ("--seed 1 --plant nothing", "there is no planted bug \"nothing\""),
            ("--seed 1 --only loss,nothing", "there is no kind of fault \"nothing\""),
            ("--seed 1 --keep 1,x", "--keep wants numbers"),
            ("--seed 1 --diagram d.png", "--diagram wants a file"),
            ("--seed 1 --from-ms 5 --to-ms 5", "--from-ms 5 is not before"),
            ("--seed 1 --shrink --diagram d.svg", "--shrink first"),
            ("--seeds 1 --shrink", "--shrink goes with --seed"),
            ("--seed 1 --first 2", "--first goes with --seeds and --minutes"),
            ("--list=yes", "--list takes no value"),
            ("7", "7 is not an option"),
        ] {
            let Usage(sentence) = parsed(line).expect_err(line);
            assert!(sentence.starts_with(says), "{line}: {sentence}");
        }
    }
}
