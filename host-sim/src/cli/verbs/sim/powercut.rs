//! `cowl sim powercut`: a real process on a real file whose disk loses its power.

use std::{path::PathBuf, time::Instant};

use super::{
    super::super::{failure::Failure, ui::Ui},
    proved::{Rounds, directory, missing, show},
};
use crate::real::{Cuts, Victim, this_program};

/// Cuts on one pool before another shape is taken.
const ROUNDS: u64 = 300;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim powercut --cuts 1000

The pool's file lies on a filesystem of one file (FUSE). The working process is killed at random moments; of the sectors that it had \
written and not synced, each is kept, dropped or torn. What had been acknowledged as durable must be there. Needs /dev/fuse and the right to mount.")]
pub struct Args {
    /// Power cuts
    #[arg(long, default_value_t = 1000)]
    cuts: u64,
    /// Where the random moments and histories begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Disks, each with its process, at a time [default: one for each processor]
    #[arg(long)]
    jobs: Option<usize>,
    /// Directory to mount in [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    let program = this_program().map_err(missing)?;
    let mut cuts = Cuts::default();
    // The directory outlives the disk that is mounted in it.
    let make = |number| {
        let dir = directory(args.dir.as_deref())?;
        Ok((Victim::new(dir.path(), number).map_err(missing)?, dir))
    };
    let rounds = Rounds {
        action: "cutting",
        seed: args.seed,
        count: args.cuts,
        each: ROUNDS,
        jobs: args.jobs,
        seconds: args.seconds,
        again: &|seed, cuts| format!("cowl sim powercut --seed {seed} --cuts {cuts}"),
    };
    let violation =
        rounds.play(ui, make, |(victim, _), seed| victim.cut(&program, seed), |came_to| cuts.add(&came_to))?;
    let [kept, dropped, torn] = cuts.fates;
    let counts = [
        ("power cuts", cuts.cuts),
        ("operations acknowledged", cuts.acknowledged),
        ("sectors in flight kept", kept),
        ("sectors in flight dropped", dropped),
        ("sectors in flight torn", torn),
    ];
    show(ui, "powercut", &counts, violation, started)
}
