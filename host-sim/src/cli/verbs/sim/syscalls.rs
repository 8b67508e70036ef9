//! `cowl sim syscalls`: the n-th system call kills the process or fails, for every n.

use std::{path::PathBuf, time::Instant};

use super::{
    super::super::{
        failure::Failure,
        interrupt,
        ui::{Ui, Unit},
    },
    proved::{directory, missing, show},
};
use crate::real::{Inject, Round, SHAPES, Stop, Target, available, inject, this_program};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim syscalls
  cowl sim syscalls --count 10

For every n, the n-th pwrite64 or fdatasync of a process kills it, or fails with EIO or ENOSPC (injected by strace). After a failure nothing may report \
success until the pool is opened again; what was acknowledged must be there. Writes are cut short or refused by a limit on the size of files (RLIMIT_FSIZE) in \
the middle of each.")]
pub struct Args {
    /// Where the history begins
    #[arg(long, default_value_t = 3)]
    seed: u64,
    /// Operations in the history
    #[arg(long, default_value_t = 40)]
    count: usize,
    /// Directory for the pool's file [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

const WAYS: [(&str, Inject); 7] = [
    ("pwrite64", Inject::Kill),
    ("pwrite64", Inject::Error("EIO")),
    ("pwrite64", Inject::Error("ENOSPC")),
    ("fdatasync", Inject::Kill),
    ("fdatasync", Inject::Error("EIO")),
    ("fdatasync", Inject::Error("ENOSPC")),
    ("pwrite64", Inject::Short),
];

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    available().map_err(missing)?;
    let dir = directory(args.dir.as_deref())?;
    let program = this_program().map_err(missing)?;
    let mut progress = ui.progress("failing", WAYS.len() as u64 * SHAPES.len() as u64, Unit::Steps);
    let mut counts = [0; WAYS.len()];
    let mut violation = None;
    'ways: for shape in 0..SHAPES.len() {
        for (way, (call, how)) in WAYS.into_iter().enumerate() {
            for number in 1.. {
                let path = dir.path().join("syscalls.cowl");
                let mut target = Target::create(&path, shape).map_err(missing)?;
                let round =
                    Round { program: program.clone(), path, seed: args.seed, count: args.count, stop: Stop::Never };
                match inject(&round, &mut target, call, number, how) {
                    Ok(true) => counts[way] += 1,
                    Ok(false) => break,
                    Err(why) => {
                        let again = format!("cowl sim syscalls --seed {} --count {}", args.seed, args.count);
                        violation = Some((format!("{call} {number}, {how:?}, shape {shape}: {why}"), again));
                        break 'ways;
                    }
                }
                if interrupt::asked() {
                    break 'ways;
                }
            }
            progress.add(1);
        }
    }
    progress.finish();
    let names = [
        "killed before a pwrite64",
        "pwrite64 with EIO",
        "pwrite64 with ENOSPC",
        "killed before a fdatasync",
        "fdatasync with EIO",
        "fdatasync with ENOSPC",
        "pwrite64 cut short or refused",
    ];
    let counts: Vec<_> = names.into_iter().zip(counts).collect();
    show(ui, "syscalls", &counts, violation, started)
}
