//! `cowl sim trace`: the process makes the calls that the simulator predicts.

use std::{path::PathBuf, time::Instant};

use super::{
    super::super::failure::Failure,
    super::super::ui::Ui,
    proved::{directory, missing, show},
};
use crate::real::{SHAPES, Syscall, available, this_program, trace};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim trace
  cowl sim trace --seed 7 --count 400

The system calls of a running process (by strace) are compared with what the simulated disk was asked in the same history: call for call, \
offset for offset, flush for flush, hole for hole. That carries what the explorer proves in memory over to the real program.")]
pub struct Args {
    /// Where the histories begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Operations in each history
    #[arg(long, default_value_t = 150)]
    count: usize,
    /// Directory for the pool's file [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    available().map_err(missing)?;
    let dir = directory(args.dir.as_deref())?;
    let program = this_program().map_err(missing)?;
    let mut made = [0; 3];
    let mut violation = None;
    for shape in 0..SHAPES.len() {
        match trace(&program, dir.path(), shape, args.seed, args.count) {
            Ok(calls) => {
                for call in calls {
                    let kind = match call {
                        Syscall::Write(..) => 0,
                        Syscall::Sync => 1,
                        Syscall::Punch(..) => 2,
                    };
                    made[kind] += 1;
                }
            }
            Err(why) => {
                violation = Some((why, format!("cowl sim trace --seed {} --count {}", args.seed, args.count)));
                break;
            }
        }
    }
    let counts = [
        ("histories", SHAPES.len() as u64),
        ("pwrite64 as predicted", made[0]),
        ("fdatasync as predicted", made[1]),
        ("fallocate as predicted", made[2]),
    ];
    show(ui, "trace", &counts, violation, started)
}
