//! `cowl sim worker` and `cowl sim judge`: the processes of the proofs on real files. Not for people.

use std::{env, io, path::PathBuf};

use clap::Parser;

use super::super::super::{
    failure::{Failure, Kind},
    ui::Ui,
};
use crate::real;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cowl sim worker p.cowl --seed 1 --count 10 --shape 0")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Seed of its history
    #[arg(long)]
    seed: u64,
    /// Operations
    #[arg(long)]
    count: usize,
    /// Shape of the pool
    #[arg(long)]
    shape: usize,
    /// Punch no holes
    #[arg(long)]
    no_discard: bool,
}

/// The command line of a worker, without the grammar of all other verbs: workers are started by the million.
#[derive(Debug, Parser)]
#[command(name = "cowl sim worker")]
struct Alone {
    #[command(flatten)]
    args: Args,
}

/// The arguments of the worker that this process is, if it is one.
pub fn alone() -> Option<Args> {
    let mut words = env::args_os().skip(1);
    let is_worker = words.next()? == "sim" && words.next()? == "worker";
    is_worker.then(|| Alone::parse_from(env::args_os().skip(2)).args)
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = real::SHAPES[args.shape % real::SHAPES.len()];
    let ops = real::operations(&config, args.seed).take(args.count);
    let mut out = io::stdout().lock();
    Ok(real::work(&args.pool, &config, ops, !args.no_discard, &mut out)?)
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cowl sim judge p.cowl --workspace-bytes 1048576")]
pub struct JudgeArgs {
    /// The pool
    pool: PathBuf,
    /// Bytes of workspace
    #[arg(long)]
    workspace_bytes: usize,
}

pub fn judge(_ui: &Ui, args: &JudgeArgs) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    real::judge(&args.pool, args.workspace_bytes, &mut out).map_err(|why| Failure::new(Kind::Damage, why))
}
