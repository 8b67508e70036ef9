//! `cowl sim full`: no room below the pool.

use std::{path::PathBuf, time::Instant};

use super::{
    super::super::failure::{Failure, Kind},
    super::super::ui::Ui,
    proved::{directory, missing, show},
};
use crate::real::{Outcome, Quota, Refused, SmallFilesystem, run_out, this_program};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim full

A process works on a pool in a sparse file until a small ext4 below it is full, until a quota (of a btrfs subvolume) is used up, and until the system's limit \
on the size of files (RLIMIT_FSIZE) refuses. It must report that, also by its exit code, lose nothing it had acknowledged, and go on when there is \
room. Needs root for the loop devices, mke2fs, btrfs-progs and prlimit.")]
pub struct Args {
    /// Directory for the files [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

const KINDS: [&str; 6] = [
    "4 KiB of room",
    "64 KiB of room",
    "256 KiB of room",
    "a quota of 192 KiB",
    "a quota of 384 KiB",
    "a limit of 300,000 bytes",
];

/// What the cases need.
struct Places {
    program: PathBuf,
    small: SmallFilesystem,
    quota: Quota,
    // The others are mounted in it: it goes last.
    dir: tempfile::TempDir,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    let dir = directory(args.dir.as_deref())?;
    let small = SmallFilesystem::mount(dir.path(), 8 << 20).map_err(missing)?;
    let quota = Quota::mount(dir.path()).map_err(missing)?;
    let program = this_program().map_err(missing)?;
    let places = Places { program, small, quota, dir };
    let mut counts = Vec::new();
    let mut violation = None;
    for (case, name) in KINDS.into_iter().enumerate() {
        match places.run_out(case) {
            Ok(count) => counts.push((name, count as u64)),
            Err(why) => {
                violation = Some((format!("{name}: {why}"), "cowl sim full".to_string()));
                break;
            }
        }
    }
    show(ui, "operations before the refusal", &counts, violation, started)
}

impl Places {
    fn run_out(&self, case: usize) -> Outcome<usize> {
        match case {
            0 => self.filled(4096),
            1 => self.filled(65_536),
            2 => self.filled(262_144),
            3 => self.within(192 << 10),
            4 => self.within(384 << 10),
            _ => self.limited(300_000),
        }
    }

    fn filled(&self, room: u64) -> Outcome<usize> {
        let path = self.small.dir().join("pool.cowl");
        let refused = Refused { words: "No space left", code: Kind::NoSpace as i32 };
        run_out(&self.program, &path, &|| self.small.fill(room), &[], refused, &|| self.small.empty())
    }

    fn within(&self, bytes: u64) -> Outcome<usize> {
        let path = self.quota.dir().join("pool.cowl");
        let refused = Refused { words: "quota exceeded", code: Kind::NoSpace as i32 };
        run_out(&self.program, &path, &|| self.quota.limit(Some(bytes)), &[], refused, &|| self.quota.limit(None))
    }

    fn limited(&self, bytes: u64) -> Outcome<usize> {
        let limit = ["prlimit".to_string(), format!("--fsize={bytes}")];
        let refused = Refused { words: "File too large", code: Kind::Io as i32 };
        run_out(&self.program, &self.dir.path().join("limited.cowl"), &|| Ok(()), &limit, refused, &|| Ok(()))
    }
}
