//! `cowl sim materialise`: crash images as real files, opened by a fresh process.

use std::{path::PathBuf, time::Instant};

use super::{
    super::super::{
        failure::Failure,
        ui::{Ui, Unit},
    },
    proved::{directory, missing, show},
};
use crate::real::{materialise, this_program};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim materialise --images 500
  cowl sim materialise --images 500 --dir /dev/shm

Images that a power cut may leave, as the explorer makes them, are written to real files; a fresh process opens each, and what it reads is \
held against the model.")]
pub struct Args {
    /// Images
    #[arg(long, default_value_t = 500)]
    images: u64,
    /// Directory for the files [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    let dir = directory(args.dir.as_deref())?;
    let program = this_program().map_err(missing)?;
    let mut progress = ui.progress("opening", args.images, Unit::Steps);
    let done = materialise(&program, dir.path(), args.images, &mut |done| progress.set(done));
    progress.finish();
    let again = || format!("cowl sim materialise --images {}", args.images);
    let (count, violation) = match done {
        Ok(count) => (count, None),
        Err(why) => (0, Some((why, again()))),
    };
    show(ui, "materialise", &[("images", count)], violation, started)
}
