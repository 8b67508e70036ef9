//! `cowl sim bugs`: the harness is tried on mistakes that are known.

use std::{
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::super::super::{
    failure::{Failure, Kind},
    ui::{Report, Style, Ui, Unit},
};
use crate::bugs::{
    Answer, Bug, Harness, Plan, Row, Verdict, all, build, own_sources, process, run as run_bugs, tasks, used,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim bugs
  cowl sim bugs --bug 4 --bug 5 --seconds 30 --all
  cowl sim bugs --json

A copy of the sources gets every planted bug, each behind a switch, and is built once with cargo, beside the build's own files. \
Then harness after harness runs against each bug, until enough have found it, and each once without any. Exit code 5 if a bug is \
found by too few of them, or anything is reported where there is no bug.")]
pub struct Args {
    /// Only this bug; may be given several times
    #[arg(long, value_name = "NUMBER")]
    bug: Vec<u32>,
    /// Seconds of the processor that each harness gets for a bug that is hard to find, and without any bug
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Every harness is tried, even when enough others have found the bug
    #[arg(long)]
    all: bool,
    /// The checkout, if it is no longer where this program was built
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Processes at a time; default: one for each processor
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
    /// Run one harness in this process, with the bug that this program was told of
    #[arg(long, value_name = "NAME", hide = true, value_parser = harness)]
    harness: Option<Harness>,
    /// Milliseconds of the processor for it
    #[arg(long, default_value_t = 1000, hide = true)]
    milliseconds: u64,
}

fn harness(name: &str) -> Result<Harness, String> {
    let names = Harness::ALL.map(Harness::name).join(", ");
    Harness::by_name(name).ok_or_else(|| format!("the harnesses are {names}"))
}

/// The whole table.
#[derive(Debug, Serialize)]
struct Table {
    bugs: Vec<Line>,
    harnesses: Vec<Score>,
    survivors: usize,
    build_seconds: f64,
    seconds: f64,
}

/// One bug, or none.
#[derive(Debug, Serialize)]
struct Line {
    number: u32,
    rule: &'static str,
    name: &'static str,
    kills: usize,
    needed: usize,
    good: bool,
    verdicts: Vec<Cell>,
}

/// Milliseconds are the processor's: until the bug was found, or of the longest turn.
#[derive(Debug, Serialize)]
struct Cell {
    harness: &'static str,
    killed: bool,
    milliseconds: u64,
    found: Option<String>,
    missing: Option<String>,
}

/// What a harness did for the table.
#[derive(Debug, Serialize)]
struct Score {
    harness: &'static str,
    kills: usize,
    tried: usize,
    longest_milliseconds: u64,
}

impl Cell {
    fn new(verdict: &Verdict) -> Self {
        let (found, missing) = match &verdict.answer {
            Answer::Nothing => (None, None),
            Answer::Found(what) => (Some(what.clone()), None),
            Answer::Missing(what) => (None, Some(what.clone())),
        };
        let milliseconds = u64::try_from(verdict.time.as_millis()).unwrap_or(u64::MAX);
        Self { harness: verdict.harness.name(), killed: found.is_some(), milliseconds, found, missing }
    }
}

impl Line {
    fn new(row: &Row) -> Self {
        Self {
            number: row.bug.map_or(0, |bug| bug.number),
            rule: row.bug.map_or("", |bug| bug.rule),
            name: row.bug.map_or("no bug: nothing may be found", |bug| bug.name),
            kills: row.kills(),
            needed: row.needed(),
            good: row.is_good(),
            verdicts: row.verdicts.iter().map(Cell::new).collect(),
        }
    }

    fn text(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{:>3} {:<4} {:<width$} ", self.number, self.rule, self.name)?;
        let killers: Vec<String> = self
            .verdicts
            .iter()
            .filter(|cell| cell.killed)
            .map(|cell| format!("{} {}", cell.harness, cell.milliseconds))
            .collect();
        writeln!(out, "{}{}", killers.join(", "), if self.good { "" } else { "  !" })?;
        let told = if self.good { &[][..] } else { &self.verdicts[..] };
        for cell in told {
            let what = cell.found.as_deref().or(cell.missing.as_deref()).unwrap_or("nothing");
            writeln!(out, "      {} after {} ms: {what}", cell.harness, cell.milliseconds)?;
        }
        Ok(())
    }
}

/// The scores of all harnesses.
fn scores(lines: &[Line]) -> Vec<Score> {
    let score = |harness: Harness| {
        let cells = || {
            lines
                .iter()
                .filter(|line| line.number > 0)
                .flat_map(|line| &line.verdicts)
                .filter(|cell| cell.harness == harness.name())
        };
        let killing = || cells().filter(|cell| cell.killed);
        Score {
            harness: harness.name(),
            kills: killing().count(),
            tried: cells().count(),
            longest_milliseconds: killing().map(|cell| cell.milliseconds).max().unwrap_or(0),
        }
    };
    Harness::ALL.map(score).into()
}

impl Report for Table {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let width = self.bugs.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        writeln!(out, "{:>3} {:<4} {:<width$} killed by, after milliseconds of the processor", "", "rule", "bug")?;
        self.bugs.iter().try_for_each(|line| line.text(width, out))?;
        for Score { harness, kills, tried, longest_milliseconds } in &self.harnesses {
            writeln!(
                out,
                "{harness:<10} killed {kills} of the {tried} it was tried on, the last after {longest_milliseconds} ms"
            )?;
        }
        let planted = self.bugs.iter().filter(|line| line.number > 0);
        let (killed, all) = (planted.clone().filter(|line| line.good).count(), planted.count());
        let sum = format!("{killed} of {all} bugs killed often enough; {} lines with !", self.survivors);
        writeln!(out, "{}, built in {:.0} s, run in {:.0} s", style.bold(sum), self.build_seconds, self.seconds)
    }
}

/// One harness, here: what it finds is the failure. A panic is a finding too.
fn alone(harness: Harness, time: Duration) -> Result<(), Failure> {
    process::bounded(time).map_err(|what| Failure::new(Kind::Other, what))?;
    if let Some(what) = harness.missing() {
        return Err(Failure::new(Kind::Missing, format!("{}: {what}", harness.name())));
    }
    let found = panic::catch_unwind(AssertUnwindSafe(|| harness.run(time)));
    println!("{}", used().as_micros());
    let found = found.unwrap_or_else(|_| Err("it panicked".to_owned()));
    found.map_err(|what| Failure::new(Kind::Damage, format!("{}: {what}", harness.name())))
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    if let Some(harness) = args.harness {
        return alone(harness, Duration::from_millis(args.milliseconds));
    }
    let bugs = chosen(&args.bug)?;
    let source = args.source.clone().or_else(own_sources).ok_or_else(|| {
        Failure::new(Kind::NotFound, "the sources are not where this program was built").hint("name them: --source DIR")
    })?;
    let started = Instant::now();
    let binary = {
        let _spinner = ui.spinner("building");
        build(&source).map_err(|what| Failure::new(Kind::Other, what))?
    };
    let built = started.elapsed();
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let progress = Mutex::new(ui.progress("bugs", tasks(&bugs), Unit::Steps));
    let plan = Plan { binary: &binary, longest: Duration::from_secs(args.seconds), all: args.all, jobs };
    let rows = run_bugs(&plan, &bugs, &|done| {
        if let Ok(mut progress) = progress.lock() {
            progress.set(done);
        }
    })
    .map_err(|what| Failure::new(Kind::Io, what))?;
    if let Ok(progress) = progress.into_inner() {
        progress.finish();
    }
    let lines: Vec<Line> = rows.iter().map(Line::new).collect();
    let table = Table {
        harnesses: scores(&lines),
        bugs: lines,
        survivors: rows.iter().filter(|row| !row.is_good()).count(),
        build_seconds: built.as_secs_f64(),
        seconds: started.elapsed().saturating_sub(built).as_secs_f64(),
    };
    ui.show(&table)?;
    if table.survivors == 0 {
        return Ok(());
    }
    Err(Failure::new(Kind::Damage, format!("{} lines of the table are not as they must be", table.survivors))
        .hint("a bug that too few harnesses find shows a hole in them; --bug NUMBER --json tells what each one saw"))
}

fn chosen(numbers: &[u32]) -> Result<Vec<Bug>, Failure> {
    let bugs = all();
    if let Some(unknown) = numbers.iter().find(|number| bugs.iter().all(|bug| bug.number != **number)) {
        return Err(Failure::new(Kind::NotFound, format!("there is no bug {unknown}")));
    }
    Ok(bugs.into_iter().filter(|bug| numbers.is_empty() || numbers.contains(&bug.number)).collect())
}
