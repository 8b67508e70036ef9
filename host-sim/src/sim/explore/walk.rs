//! The walk over all sequences of operations, in parts for several threads or machines.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use super::{
    judge::{Bench, Broken},
    play::Played,
    scenario::{Scenario, Seed, Shape},
    search::Search,
    token::Token,
};
use crate::sim::history::Op;

/// How far an exploration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Bound {
    /// Operations in a sequence.
    pub ops: usize,
    /// Sequences up to this length go on after the power cut, with another operation and another cut.
    pub second: usize,
    /// Sequences up to this length are also run with every device call of the last operation failing.
    pub errors: usize,
    /// Ways to tear a sector, at most [`TEARINGS`](super::TEARINGS).
    pub tearings: usize,
    /// Runs at one cut; what is beyond is sampled.
    pub runs: usize,
    /// The device's flush lies; promises must be broken.
    pub lying: bool,
}

impl Bound {
    /// Sequences of that length.
    pub fn new(ops: usize) -> Self {
        Self {
            ops,
            second: ops.saturating_sub(2),
            errors: ops.saturating_sub(1),
            tearings: 2,
            runs: 200_000,
            lying: false,
        }
    }
}

/// A part of an exploration: of `of` equal ones the one with this index. The reports of all parts add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// Number of parts.
    pub of: u64,
}

/// A promise that was broken, with the line that shows it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// How to see it again.
    pub token: Token,
    /// What was broken.
    pub broken: Broken,
}

/// What was explored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Sequences of operations.
    pub workloads: u64,
    /// Moments at which the power failed.
    pub cuts: u64,
    /// Recoveries that were run and judged.
    pub runs: u64,
    /// Distinct crash states that these runs stand for, with nothing left out.
    pub exact: u128,
    /// Crash states that were drawn at random beyond that.
    pub sampled: u64,
    /// Cuts of which not every image was seen.
    pub sampled_cuts: u64,
    /// Device calls that were made to fail.
    pub faults: u64,
    /// Promises that were broken.
    pub violations: Vec<Violation>,
    /// It was stopped before the end.
    pub stopped: bool,
}

impl Report {
    /// Adds another part.
    pub fn add(&mut self, other: Self) {
        self.workloads += other.workloads;
        self.cuts += other.cuts;
        self.runs += other.runs;
        self.exact = self.exact.saturating_add(other.exact);
        self.sampled += other.sampled;
        self.sampled_cuts += other.sampled_cuts;
        self.faults += other.faults;
        self.violations.extend(other.violations);
        self.stopped |= other.stopped;
    }
}

/// Shared between an exploration and who watches it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Recoveries so far.
    pub runs: AtomicU64,
    /// States that were gone through, by each thread.
    pub places: AtomicU64,
    /// Set to end the exploration.
    pub stop: AtomicBool,
    /// When it ends by itself.
    pub until: Option<Instant>,
}

impl Watch {
    /// It was ended, or has come to its end.
    pub(super) fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() > until)
    }
}

/// After so many violations a part gives up.
const ENOUGH: usize = 5;

/// Explores shapes and seeds to a bound, in `jobs` threads.
///
/// # Errors
/// A seed could not be built.
pub fn explore(
    places: &[(Shape, Seed)],
    bound: &Bound,
    shard: Shard,
    jobs: u64,
    watch: &Watch,
) -> Result<Report, String> {
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let part = |job: u64| Shard { index: shard.index * jobs + job, of: shard.of * jobs };
        let threads: Vec<_> =
            (0..jobs).map(|job| scope.spawn(move || explore_part(places, bound, part(job), watch))).collect();
        for thread in threads {
            report.add(thread.join().map_err(|_| "a thread of the exploration ended".to_string())??);
        }
        Ok(report)
    })
}

fn explore_part(places: &[(Shape, Seed)], bound: &Bound, shard: Shard, watch: &Watch) -> Result<Report, String> {
    let mut report = Report::default();
    let mut number = 0;
    for (shape, seed) in places {
        let scenario = Scenario { lying: bound.lying, ..Scenario::new(*shape, *seed)? };
        let mut walk = Walk {
            bench: scenario.bench(),
            scenario,
            bound,
            shard,
            watch,
            number: &mut number,
            report: Report::default(),
        };
        walk.below(&mut Vec::new());
        report.add(walk.report);
        watch.places.fetch_add(1, Ordering::Relaxed);
    }
    Ok(report)
}

struct Walk<'a> {
    bench: Bench,
    scenario: Scenario,
    bound: &'a Bound,
    shard: Shard,
    watch: &'a Watch,
    number: &'a mut u64,
    report: Report,
}

impl Walk<'_> {
    /// Every sequence that begins with this one. The first two operations say to which part it belongs.
    fn below(&mut self, ops: &mut Vec<u8>) {
        for letter in 0..self.scenario.alphabet.len() as u8 {
            if self.report.violations.len() >= ENOUGH || self.watch.over() {
                self.report.stopped = true;
                return;
            }
            ops.push(letter);
            let mine = match ops.len() {
                1 | 2 => {
                    *self.number += 1;
                    *self.number % self.shard.of == self.shard.index
                }
                _ => true,
            };
            // What does nothing need not be followed; a single operation is played to know that.
            if (mine || ops.len() == 1) && self.sequence(ops, mine) && ops.len() < self.bound.ops {
                self.below(ops);
            }
            ops.pop();
        }
    }

    /// Looks at one sequence; false if its last operation did nothing.
    fn sequence(&mut self, ops: &[u8], mine: bool) -> bool {
        let played =
            match self.scenario.play(&self.scenario.operations(ops), self.tearings(ops), &mut self.bench.workspace) {
                Ok(played) => played,
                Err(what) => {
                    let token = Token::new(&self.scenario, ops, self.tearings(ops));
                    self.violation(Violation { token, broken: Broken { promise: "O13", what } });
                    return false;
                }
            };
        let did = played.applied || played.cuts.len() > 1;
        if mine && did {
            self.report.workloads += 1;
            self.cuts(ops, &played);
            if ops.len() <= self.bound.errors {
                let faults = super::errors::sweep(&self.scenario, ops, &mut self.bench, self.watch);
                self.report.faults += faults.calls;
                self.report.runs += faults.runs;
                self.report.exact += faults.images;
                self.report.violations.extend(faults.violations);
                self.report.stopped |= self.watch.over();
            }
        }
        did
    }

    fn violation(&mut self, violation: Violation) {
        self.report.violations.push(violation.shrink(&self.scenario, self.bound, &mut self.bench));
    }

    /// Where a second cut follows, one kind of tearing must do.
    fn tearings(&self, ops: &[u8]) -> usize {
        if ops.len() <= self.bound.second { 1 } else { self.bound.tearings }
    }

    fn cuts(&mut self, ops: &[u8], played: &Played) {
        let second = ops.len() <= self.bound.second;
        let Self { scenario, bench, watch, .. } = self;
        let mut search = Search { scenario, bench, limit: self.bound.runs, second, watch };
        let tally = search.sequence(played);
        self.watch.runs.fetch_add(tally.runs, Ordering::Relaxed);
        self.report.cuts += tally.cuts;
        self.report.runs += tally.runs;
        self.report.exact = self.report.exact.saturating_add(tally.exact);
        self.report.sampled += tally.sampled;
        self.report.sampled_cuts += tally.sampled_cuts;
        self.report.stopped |= tally.stopped;
        if let Some((cut, choices, broken)) = tally.broken {
            let token = Token { cut, second, choices, ..Token::new(&self.scenario, ops, self.tearings(ops)) };
            self.violation(Violation { token, broken });
        }
    }
}

impl Scenario {
    /// Memory to judge its images with.
    pub fn bench(&self) -> Bench {
        Bench::new(self.config.workspace(), self.config.sector_size)
    }

    /// The operations of a sequence of letters.
    pub fn operations(&self, letters: &[u8]) -> Vec<Op> {
        letters.iter().filter_map(|letter| self.alphabet.get(usize::from(*letter)).copied()).collect()
    }
}
