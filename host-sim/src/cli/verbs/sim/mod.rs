//! `cowl sim`: the proofs of crash-consistency, in memory and on real files, one file for each.

mod bugs;
mod explore;
mod full;
mod kill;
mod materialise;
mod powercut;
mod proved;
mod replay;
mod syscalls;
mod trace;
mod worker;

pub use worker::{alone as worker_alone, run as work};

use super::super::{failure::Failure, ui::Ui};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim explore --bound 2
  cowl sim replay cowl1:tiny:diverged:0.7:t2:c1:0.1
  cowl sim kill --kills 1000")]
pub struct Args {
    #[command(subcommand)]
    proof: Proof,
}

/// What to prove.
#[derive(Debug, clap::Subcommand)]
enum Proof {
    /// Go through every crash state up to a bound, in memory
    Explore(explore::Args),
    /// Plant bugs into a copy of the sources and see which harness finds them
    Bugs(bugs::Args),
    /// Tell the story of one crash state
    Replay(replay::Args),
    /// Open crash images as real files in a fresh process
    Materialise(materialise::Args),
    /// Compare a process's system calls with what the simulator predicts
    Trace(trace::Args),
    /// Let the n-th system call kill the process or fail, for every n
    Syscalls(syscalls::Args),
    /// Kill a process at random moments
    Kill(kill::Args),
    /// Cut the power under a process
    Powercut(powercut::Args),
    /// Leave no room below the pool
    Full(full::Args),
    #[command(hide = true)]
    Worker(worker::Args),
    #[command(hide = true)]
    Judge(worker::JudgeArgs),
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    match &args.proof {
        Proof::Explore(args) => explore::run(ui, args),
        Proof::Bugs(args) => bugs::run(ui, args),
        Proof::Replay(args) => replay::run(ui, args),
        Proof::Materialise(args) => materialise::run(ui, args),
        Proof::Trace(args) => trace::run(ui, args),
        Proof::Syscalls(args) => syscalls::run(ui, args),
        Proof::Kill(args) => kill::run(ui, args),
        Proof::Powercut(args) => powercut::run(ui, args),
        Proof::Full(args) => full::run(ui, args),
        Proof::Worker(args) => work(args),
        Proof::Judge(args) => worker::judge(ui, args),
    }
}
