//! `cowl demo`: see `crate::demo`.

use std::path::PathBuf;

use super::super::{failure::Failure, ui::Ui};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl demo
  cowl demo /var/tmp/cowl-demo

Without a directory everything happens in a temporary one, which is removed at the end.")]
pub struct Args {
    /// Where to make the pool and the images, which then stay
    dir: Option<PathBuf>,
    /// Seed of the changes and of the power cuts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Power cuts
    #[arg(long, default_value_t = 25)]
    cuts: u32,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    crate::demo::run(ui, args.dir.as_deref(), args.seed, args.cuts)
}
