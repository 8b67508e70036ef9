//! `cowl sim bugs`: the harness is tried on mistakes that are known.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::super::super::{
    failure::{Failure, Kind},
    ui::{Report, Style, Ui, Unit},
};
use crate::bugs::{Bug, Harness, Plan, Row, Verdict, all, build, own_sources, run as run_bugs};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim bugs
  cowl sim bugs --bug 4 --bug 5 --seconds 10
  cowl sim bugs --json

A copy of the sources gets every planted bug, each behind a switch, and is built once with cargo, beside the build's own files. \
Then each harness runs against each bug. Exit code 5 if a bug is found by too few of them, or anything is reported where there is no bug.")]
pub struct Args {
    /// Only this bug; may be given several times
    #[arg(long, value_name = "NUMBER")]
    bug: Vec<u32>,
    /// Seconds that each harness gets for each bug; eight times as many if too few have found it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The checkout, if it is no longer where this program was built
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Processes at a time; default: one for each processor
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
    /// Run one harness in this process, without any bug
    #[arg(long, value_name = "NAME", hide = true, value_parser = harness)]
    harness: Option<Harness>,
}

fn harness(name: &str) -> Result<Harness, String> {
    let names = Harness::ALL.map(Harness::name).join(", ");
    Harness::by_name(name).ok_or_else(|| format!("the harnesses are {names}"))
}

/// The whole table.
#[derive(Debug, Serialize)]
struct Table {
    bugs: Vec<Line>,
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

#[derive(Debug, Serialize)]
struct Cell {
    harness: &'static str,
    killed: bool,
    milliseconds: u64,
    found: Option<String>,
}

impl Line {
    fn new(row: &Row) -> Self {
        let cell = |verdict: &Verdict| Cell {
            harness: verdict.harness.name(),
            killed: verdict.found.is_some(),
            milliseconds: u64::try_from(verdict.time.as_millis()).unwrap_or(u64::MAX),
            found: verdict.found.clone(),
        };
        Self {
            number: row.bug.map_or(0, |bug| bug.number),
            rule: row.bug.map_or("", |bug| bug.rule),
            name: row.bug.map_or("no bug: nothing may be found", |bug| bug.name),
            kills: row.kills(),
            needed: row.bug.map_or(0, |bug| bug.kind().kills_needed()),
            good: row.is_good(),
            verdicts: row.verdicts.iter().map(cell).collect(),
        }
    }
}

impl Report for Table {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let width = self.bugs.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        write!(out, "{:>3} {:<4} {:<width$}", "", "rule", "bug: killed after milliseconds by")?;
        for harness in Harness::ALL {
            write!(out, " {:>10}", harness.name())?;
        }
        writeln!(out)?;
        for line in &self.bugs {
            write!(out, "{:>3} {:<4} {:<width$}", line.number, line.rule, line.name)?;
            for cell in &line.verdicts {
                let text = if cell.killed { cell.milliseconds.to_string() } else { "-".into() };
                write!(out, " {text:>10}")?;
            }
            writeln!(out, "{}", if line.good { "" } else { "  !" })?;
            for cell in line.verdicts.iter().filter(|cell| cell.killed && line.number == 0) {
                writeln!(out, "      {}: {}", cell.harness, cell.found.as_deref().unwrap_or(""))?;
            }
        }
        let planted = self.bugs.iter().filter(|line| line.number > 0).count();
        let killed = planted - self.survivors.min(planted);
        let sum = format!("{killed} of {planted} bugs killed often enough; {} lines with !", self.survivors);
        writeln!(out, "{}, built in {:.0} s, run in {:.0} s", style.bold(sum), self.build_seconds, self.seconds)
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    if let Some(harness) = args.harness {
        let found = harness.run(Duration::from_secs(args.seconds));
        return found.map_err(|what| Failure::new(Kind::Damage, format!("{}: {what}", harness.name())));
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
    let processes = (bugs.len() as u64 + 1) * Harness::ALL.len() as u64;
    let progress = Mutex::new(ui.progress("bugs", processes, Unit::Steps));
    let rows = run_bugs(&Plan { binary: &binary, seconds: args.seconds, jobs }, &bugs, &|done| {
        if let Ok(mut progress) = progress.lock() {
            progress.set(done);
        }
    })
    .map_err(|what| Failure::new(Kind::Io, what))?;
    if let Ok(progress) = progress.into_inner() {
        progress.finish();
    }
    let table = Table {
        bugs: rows.iter().map(Line::new).collect(),
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
