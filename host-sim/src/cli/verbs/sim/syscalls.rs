//! `cowl sim syscalls`: the n-th system call kills the process, fails or does half of its work, for every n.

use std::{
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Instant,
};

use super::{
    super::super::{
        failure::{Failure, Kind},
        interrupt,
        ui::{Ui, Unit},
    },
    proved::{directory, missing, show},
};
use crate::real::{CutDisk, Outcome, SHAPES, Struck, WAYS, available, this_program};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim syscalls
  cowl sim syscalls --count 10

For every n, the n-th pwrite64, fdatasync or fallocate of a process kills it, fails or is interrupted (injected by strace), or writes only half of its bytes (on \
a file by FUSE), or goes beyond a limit on the size of files (RLIMIT_FSIZE). After a failure nothing may report success until the pool is opened again, and what \
was acknowledged must be there; a call that was interrupted or cut short must be made good; a hole that cannot be punched must harm nothing. Needs \
strace, /dev/fuse and the right to mount.")]
pub struct Args {
    /// Where the history begins
    #[arg(long, default_value_t = 3)]
    seed: u64,
    /// Operations in the history
    #[arg(long, default_value_t = 40)]
    count: usize,
    /// Processes at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Directory for the pool's file [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// All ways of all shapes, taken by several threads.
struct Work<'a> {
    args: &'a Args,
    program: &'a Path,
    next: AtomicUsize,
    stop: AtomicBool,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    available().map_err(missing)?;
    {
        let dir = directory(args.dir.as_deref())?;
        CutDisk::mount(dir.path(), vec![0; 4096]).map_err(missing)?;
    }
    let program = this_program().map_err(missing)?;
    let mut progress = ui.progress("failing", (WAYS.len() * SHAPES.len()) as u64, Unit::Steps);
    let mut counts = WAYS.map(|way| (way.name, 0));
    let mut violation = None;
    let work = Work { args, program: &program, next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
    thread::scope(|scope| {
        let (tell, told) = channel();
        for _ in 0..args.jobs.max(1) {
            let (work, tell) = (&work, tell.clone());
            scope.spawn(move || work.some(&tell));
        }
        drop(tell);
        for (way, result) in told {
            match result {
                Ok(count) => counts[way].1 += count,
                // A process that was interrupted together with this one has broken nothing.
                Err(why) if !interrupt::asked() => violation = violation.take().or(Some(why)),
                Err(_) => {}
            }
            progress.add(1);
        }
    });
    progress.finish();
    if violation.is_none() && interrupt::asked() {
        return Err(Failure::new(Kind::Interrupted, "interrupted: not every call was tried"));
    }
    let again = format!("cowl sim syscalls --seed {} --count {}", args.seed, args.count);
    show(ui, "syscalls", &counts, violation.map(|why| (why, again)), started)
}

impl Work<'_> {
    fn some(&self, tell: &Sender<(usize, Outcome<u64>)>) {
        while !self.ended() {
            let job = self.next.fetch_add(1, Ordering::Relaxed);
            if job >= WAYS.len() * SHAPES.len() {
                return;
            }
            let (shape, way) = (job / WAYS.len(), job % WAYS.len());
            let result = self.one(shape, way);
            self.stop.fetch_or(result.is_err(), Ordering::Relaxed);
            if tell.send((way, result)).is_err() {
                return;
            }
        }
    }

    fn one(&self, shape: usize, way: usize) -> Outcome<u64> {
        let dir = directory(self.args.dir.as_deref()).map_err(|failure| failure.what)?;
        let (seed, count) = (self.args.seed, self.args.count);
        let struck = Struck { program: self.program, dir: dir.path(), shape, seed, count };
        struck.all(WAYS[way], &|| self.ended())
    }

    fn ended(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || interrupt::asked()
    }
}
