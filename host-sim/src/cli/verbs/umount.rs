//! `cowl umount`: undoes `cowl mount`, and returns when everything is in the pool and the pool is let go.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    layer_file::SOURCE,
    mounts::{self, Mount},
    ui::{Report, Style, Ui},
};

/// Seconds that the process of a mount may take for its last flush.
const PATIENCE: i64 = 120;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cowl umount /mnt/x")]
pub struct Args {
    /// Where a layer, or the file system in one, is mounted
    directory: PathBuf,
}

#[derive(Debug, Serialize)]
struct Unmounted {
    directory: PathBuf,
}

impl Report for Unmounted {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} is unmounted", self.directory.display())
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let directory = fs::canonicalize(&args.directory);
    let directory = directory.map_err(|error| Failure::file("unmount", &args.directory, &error))?;
    let mount = mounts::on(&directory)?.ok_or_else(|| foreign(&directory, "nothing is mounted there"))?;
    if server_of(&mount).is_some() {
        file(&directory)?;
        return ui.show(&Unmounted { directory });
    }
    let hidden = mounts::file_behind(&mount.source).and_then(|file| file.parent().map(Path::to_owned));
    let hidden = hidden.filter(|hidden| matches!(mounts::on(hidden), Ok(Some(below)) if server_of(&below).is_some()));
    let hidden = hidden.ok_or_else(|| foreign(&directory, "what is mounted there is not of cowl"))?;
    mounts::unmount(&directory, false)?;
    file(&hidden)?;
    fs::remove_dir(&hidden).map_err(|error| Failure::file("remove", &hidden, &error))?;
    ui.show(&Unmounted { directory })
}

/// Unmounts the file of a layer and waits for the process that served it.
///
/// # Errors
/// It is not mounted or busy, or the process does not end.
pub fn file(directory: &Path) -> Result<(), Failure> {
    let mount = mounts::on(directory)?.ok_or_else(|| foreign(directory, "nothing is mounted there"))?;
    // Taken before it can end, so that it is the right one.
    let server = server_of(&mount).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    mounts::unmount(directory, true)?;
    let Some(server) = server else { return Ok(()) };
    let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    match poll(&mut [PollFd::new(&server, PollFlags::IN)], Some(&patience)) {
        Ok(0) => Err(Failure::new(Kind::Busy, "it is unmounted, but the process that served it is still at work")
            .hint("the pool is in use until it ends")),
        _ => Ok(()),
    }
}

/// The process that serves a mount, if it is one of ours.
fn server_of(mount: &Mount) -> Option<Pid> {
    let number = mount.source.strip_prefix(SOURCE).filter(|_| mount.kind.starts_with("fuse"))?;
    number.parse().ok().and_then(Pid::from_raw)
}

fn foreign(directory: &Path, what: &str) -> Failure {
    Failure::new(Kind::NotFound, format!("{}: {what}", directory.display()))
}
