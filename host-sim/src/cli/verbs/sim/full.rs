//! `cowl sim full`: no room below the pool.

use std::{path::PathBuf, time::Instant};

use super::{
    super::super::failure::Failure,
    super::super::ui::Ui,
    proved::{directory, missing, show},
};
use crate::real::{SmallFilesystem, run_out, this_program};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim full

A process works on a pool in a sparse file until a small ext4 below it is full, and until the system's limit on the size of files (RLIMIT_FSIZE) \
refuses. It must report that, lose nothing it had acknowledged, and go on when there is room. Needs root for the loop device, mke2fs and prlimit.")]
pub struct Args {
    /// Directory for the files [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    let dir = directory(args.dir.as_deref())?;
    let program = this_program().map_err(missing)?;
    let small = SmallFilesystem::mount(dir.path(), 8 << 20).map_err(missing)?;
    let mut counts = Vec::new();
    let mut violation = None;
    let cases: [(&str, u64); 3] = [("4 KiB of room", 4096), ("64 KiB of room", 65_536), ("256 KiB of room", 262_144)];
    for (name, room) in cases {
        let path = small.dir().join("pool.cowl");
        let prepare = || small.fill(room);
        match run_out(&program, &path, &prepare, &[], "No space left", &|| small.empty()) {
            Ok(count) => counts.push((name, count as u64)),
            Err(why) => {
                violation = Some((format!("{name}: {why}"), "cowl sim full".to_string()));
                break;
            }
        }
    }
    if violation.is_some() {
        return show(ui, "operations before the refusal", &counts, violation, started);
    }
    let limit = ["prlimit".to_string(), "--fsize=300000".to_string()];
    let path = dir.path().join("limited.cowl");
    match run_out(&program, &path, &|| Ok(()), &limit, "File too large", &|| Ok(())) {
        Ok(count) => counts.push(("a limit of 300,000 bytes", count as u64)),
        Err(why) => violation = Some((format!("RLIMIT_FSIZE: {why}"), "cowl sim full".to_string())),
    }
    show(ui, "operations before the refusal", &counts, violation, started)
}
