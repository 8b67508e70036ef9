//! `cowl sim`: the proofs of crash-consistency, in memory and on real files, one file for each.

mod bugs;
mod explore;
mod replay;

use super::super::{failure::Failure, ui::Ui};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim explore --bound 2
  cowl sim replay cowl1:tiny:diverged:0.7:t2:c1:0.1")]
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
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    match &args.proof {
        Proof::Explore(args) => explore::run(ui, args),
        Proof::Bugs(args) => bugs::run(ui, args),
        Proof::Replay(args) => replay::run(ui, args),
    }
}
