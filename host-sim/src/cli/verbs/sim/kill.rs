//! `cowl sim kill`: a process that is killed at any moment.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    super::super::{failure::Failure, ui::Ui},
    proved::{Rounds, directory, missing, show},
};
use crate::{
    real::{Round, Stop, Target, this_program},
    sim::Rng,
};

/// Rounds on one file before the next is begun.
const ROUNDS: u64 = 150;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim kill --kills 1000
  cowl sim kill --kills 1000000 --dir /var/tmp

A process that writes, snapshots, rolls back, deletes and merges is killed (SIGKILL) at random moments, again and again on the same file. \
What it had acknowledged must be there. A killed process keeps the system's cache: power cuts are `cowl sim powercut`.")]
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
    /// Directory for the pool's file [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    let dir = directory(args.dir.as_deref())?;
    let path = dir.path().join("kill.cowl");
    let program = this_program().map_err(missing)?;
    let (mut acknowledged, mut killed, mut files) = (0, 0, 0);
    let make = |number| {
        files += 1;
        Target::create(&path, number).map_err(missing)
    };
    let rounds = Rounds {
        action: "killing",
        seed: args.seed,
        count: args.kills,
        each: ROUNDS,
        seconds: args.seconds,
        again: &|seed, kills| format!("cowl sim kill --seed {seed} --kills {kills}"),
    };
    let (kills, violation) = rounds.play(ui, make, |target, seed| {
        let mut rng = Rng::new(seed);
        let stop = match rng.below(3) {
            0 => Stop::After(Duration::from_micros(rng.below(6000))),
            _ => Stop::Acknowledged(usize::try_from(rng.below(60)).unwrap_or(0)),
        };
        let round = Round { program: program.clone(), path: path.clone(), seed, count: 4000, stop };
        let ended = round.play(target)?;
        acknowledged += ended.answers.len() as u64;
        killed += u64::from(ended.killed);
        Ok(())
    })?;
    let counts =
        [("rounds", kills), ("operations acknowledged", acknowledged), ("killed at work", killed), ("files", files)];
    show(ui, "kill", &counts, violation, started)
}
