//! `cowl sim kill`: a process that is killed at any moment.

use std::{
    env,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use super::{
    super::super::{failure::Failure, ui::Ui},
    proved::{Rounds, directory, missing, show},
};
use crate::real::{Kills, Lives, PARTS, this_program};

/// Rounds on one file before the next is begun.
const ROUNDS: u64 = 100;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim kill --kills 1000
  cowl sim kill --kills 500000 --seed 1 --dir /dev/shm
  cowl sim kill --kills 500000 --seed 500001 --dir /dev/shm

A process that writes, snapshots, rolls back, deletes and merges is killed (SIGKILL) at random moments, again and again on the same file. \
What it had acknowledged must be there. A killed process keeps the system's cache: power cuts are `cowl sim powercut`.

Each kill has a seed of its own, --seed and those after it. Runs whose seeds do not overlap, like the last two, have no kill in common: their counts add up, on one \
machine or on several. A run that --seconds or Ctrl-C ends reports what it has done so far. After a violation the file is kept, as the process found it and as it left it.")]
pub struct Args {
    /// Kills
    #[arg(long, default_value_t = 1000)]
    kills: u64,
    /// Where the random moments and histories begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Files, each with its process, at a time [default: one for each processor]
    #[arg(long)]
    jobs: Option<usize>,
    /// Directory for the pools' files [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    let program = this_program().map_err(missing)?;
    let files = AtomicU64::new(0);
    // The directory outlives the file in it.
    let make = |number| {
        let dir = directory(args.dir.as_deref())?;
        files.fetch_add(1, Ordering::Relaxed);
        Ok((Lives::new(&dir.path().join("kill.cowl"), number).map_err(missing)?, dir))
    };
    let rounds = Rounds {
        action: "killing",
        seed: args.seed,
        count: args.kills,
        each: ROUNDS,
        jobs: args.jobs,
        seconds: args.seconds,
        again: &|seed, kills| format!("cowl sim kill --seed {seed} --kills {kills}"),
    };
    let kept = args.dir.clone().unwrap_or_else(env::temp_dir);
    let kill = |lives: &mut Lives, seed| {
        let killed = lives.kill(&program, seed);
        killed.map_err(|why| format!("{why}; {}", lives.keep(&kept, seed).unwrap_or_else(|failed| failed)))
    };
    let mut kills = Kills::default();
    let violation = rounds.play(ui, make, |(lives, _), seed| kill(lives, seed), |came_to| kills.add(&came_to))?;
    let mut counts = vec![
        ("rounds", kills.rounds),
        ("operations acknowledged", kills.acknowledged),
        ("killed at work", kills.at.iter().sum()),
        ("files", files.into_inner()),
    ];
    counts.extend(PARTS.into_iter().zip(kills.at));
    show(ui, "kill", &counts, violation, started)
}
