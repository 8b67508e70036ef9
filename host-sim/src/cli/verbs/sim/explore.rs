//! `cowl sim explore`: every crash state up to a bound.

// Rates are for reading.
#![allow(clippy::cast_precision_loss)]

use std::{
    io::{self, Write},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::super::super::{
    failure::{Failure, Kind},
    interrupt,
    ui::{Report, Style, Ui, Unit},
};
use crate::sim::explore::{self, Bound, Seed, Shape, Shard, TEARINGS, Watch};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim explore --bound 2
  cowl sim explore --bound 3 --seeds empty,chain --shapes tiny
  cowl sim explore --deep --shard 3/8 --json

An image is one state that a power cut may leave: every un-flushed sector old, new or torn, independently. What nobody reads is \
not branched on, so one run stands for many images; both are printed, exact and sampled ones apart. Exit code 5 if a promise is broken; the line \
that is then printed is for `cowl sim replay`.")]
pub struct Args {
    /// Operations in a sequence
    #[arg(long, value_name = "N")]
    bound: Option<usize>,
    /// Sequences up to this length go on after the cut, with another operation and another cut [default: bound - 2]
    #[arg(long, value_name = "N")]
    second: Option<usize>,
    /// Sequences up to this length run with every device call of the last operation failing [default: bound - 1]
    #[arg(long, value_name = "N")]
    errors: Option<usize>,
    /// Ways to tear a sector: garbage, other garbage, new before old, old before new
    #[arg(long, value_name = "1-4")]
    tearings: Option<usize>,
    /// Runs at one cut; the rest is sampled
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// States to start from [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    seeds: Vec<Seed>,
    /// Shapes of pools [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    shapes: Vec<Shape>,
    /// The long run: one operation more
    #[arg(long)]
    deep: bool,
    /// One of several equal parts, such as 2/8; their counts add up
    #[arg(long, value_parser = parse_shard, default_value = "1/1", value_name = "I/N")]
    shard: Shard,
    /// A device whose flush says yes and does nothing: promises must then be broken
    #[arg(long)]
    lying_flush: bool,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<u64>,
    /// Stop after so many seconds, wherever it is
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse::<u64>().ok()?, of.parse().ok()?)));
    match numbers {
        Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index: index - 1, of }),
        _ => Err(format!("{text:?} is not a part such as 1/4, 2/4, 3/4 or 4/4")),
    }
}

#[derive(Debug, Serialize)]
struct Broken {
    token: String,
    promise: String,
    what: String,
}

#[derive(Debug, Serialize)]
struct Explored {
    bound: Bound,
    shapes: Vec<String>,
    seeds: Vec<String>,
    shard: String,
    workloads: u64,
    cuts: u64,
    faults: u64,
    runs: u64,
    images_exact: u128,
    images_sampled: u64,
    sampled_cuts: u64,
    exhaustive: bool,
    stopped: bool,
    violations: Vec<Broken>,
    seconds: f64,
    images_per_second: f64,
    runs_per_second_and_core: f64,
}

impl Report for Explored {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let Bound { ops, second, errors, tearings, runs, lying } = self.bound;
        writeln!(
            out,
            "bound       {ops} operations; a second cut from {second}; failing calls from {errors}; {tearings} ways to tear a sector"
        )?;
        if lying {
            writeln!(out, "flush       lies")?;
        }
        writeln!(out, "shapes      {}", self.shapes.join(", "))?;
        writeln!(out, "seeds       {}", self.seeds.join(", "))?;
        writeln!(out, "workloads   {}", self.workloads)?;
        writeln!(out, "power cuts  {}", self.cuts)?;
        writeln!(out, "failures    {} device calls", self.faults)?;
        let part = if self.sampled_cuts == 0 {
            "none left out".to_string()
        } else {
            format!("but for {} cuts of more than {runs} runs", self.sampled_cuts)
        };
        writeln!(out, "images      {} exact, {part}", style.bold(self.images_exact))?;
        writeln!(out, "            {} sampled beyond that", self.images_sampled)?;
        writeln!(out, "runs        {} recoveries, each judged by O1 to O15", self.runs)?;
        writeln!(
            out,
            "time        {:.1} s, {:.0} images/s, {:.0} recoveries/s and core",
            self.seconds, self.images_per_second, self.runs_per_second_and_core
        )?;
        for Broken { token, promise, what } in &self.violations {
            writeln!(out, "BROKEN      {promise}: {what}\n            cowl sim replay {token}")?;
        }
        let verdict = if self.violations.is_empty() { "no promise was broken" } else { "promises were broken" };
        writeln!(out, "{verdict}{}", if self.stopped { "; stopped before the end" } else { "" })
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let shapes = if args.shapes.is_empty() { Shape::ALL.to_vec() } else { args.shapes.clone() };
    let seeds = if args.seeds.is_empty() { Seed::ALL.to_vec() } else { args.seeds.clone() };
    let places: Vec<_> = shapes.iter().flat_map(|shape| seeds.iter().map(|seed| (*shape, *seed))).collect();
    let plain = Bound::new(args.bound.unwrap_or(2) + usize::from(args.deep));
    let bound = Bound {
        second: args.second.unwrap_or(plain.second),
        errors: args.errors.unwrap_or(plain.errors),
        tearings: args.tearings.unwrap_or(plain.tearings).clamp(1, TEARINGS),
        runs: args.runs.unwrap_or(plain.runs),
        lying: args.lying_flush,
        ..plain
    };
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |jobs| jobs.get() as u64)).max(1);
    let started = Instant::now();
    let watch = Watch { until: args.seconds.map(|seconds| started + Duration::from_secs(seconds)), ..Watch::default() };
    let report = std::thread::scope(|scope| {
        let work = scope.spawn(|| explore::explore(&places, &bound, args.shard, jobs, &watch));
        let mut progress = ui.progress("exploring", places.len() as u64, Unit::Steps);
        while !work.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            progress.set(watch.places.load(Ordering::Relaxed) / jobs);
            if interrupt::asked() {
                watch.stop.store(true, Ordering::Relaxed);
            }
        }
        progress.finish();
        work.join()
    });
    let report = report
        .unwrap_or_else(|_| Err("the exploration itself failed".into()))
        .map_err(|why| Failure::new(Kind::Damage, why))?;
    let seconds = started.elapsed().as_secs_f64();
    let images = report.exact as f64 + report.sampled as f64;
    let explored = Explored {
        bound,
        shapes: shapes.iter().map(ToString::to_string).collect(),
        seeds: seeds.iter().map(ToString::to_string).collect(),
        shard: format!("{}/{}", args.shard.index + 1, args.shard.of),
        workloads: report.workloads,
        cuts: report.cuts,
        faults: report.faults,
        runs: report.runs,
        images_exact: report.exact,
        images_sampled: report.sampled,
        sampled_cuts: report.sampled_cuts,
        stopped: report.stopped,
        exhaustive: !report.stopped && report.sampled_cuts == 0,
        violations: report
            .violations
            .iter()
            .map(|violation| Broken {
                token: violation.token.to_string(),
                promise: violation.broken.promise.to_string(),
                what: violation.broken.what.clone(),
            })
            .collect(),
        seconds,
        images_per_second: images / seconds,
        runs_per_second_and_core: report.runs as f64 / seconds / jobs as f64,
    };
    ui.show(&explored)?;
    match explored.violations.first() {
        Some(first) => Err(Failure::new(Kind::Damage, format!("{}: {}", first.promise, first.what))
            .hint(format!("cowl sim replay {}", first.token))),
        None if interrupt::asked() => Err(Failure::new(Kind::Interrupted, "stopped")),
        None => Ok(()),
    }
}
