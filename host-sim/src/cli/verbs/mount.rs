//! `cowl mount`: a layer as a file, or the file system in it.
//!
//! The pool is held by a process in the background, which ends when the layer is unmounted. The command waits until it has
//! said over a pipe that the layer is there, or why not.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cowl::LayerKind;
use serde::{Deserialize, Serialize};

use super::super::{
    failure::{Failure, Kind},
    layer_file, mounts, select,
    session::{Access, with_pool},
    ui::{Report, Style, Ui},
};

/// Where the files are whose file systems are mounted.
const RUN: &str = "/run/cowl";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl mount p.cowl monday /mnt/x && cp /mnt/x/monday backup.img; cowl umount /mnt/x
  cowl mount p.cowl vm /mnt/vm --filesystem && cp -a /mnt/vm/etc backup; cowl umount /mnt/vm

The directory shows one file, called as the layer. A snapshot can only be read; the pool can then be read by others too. Of a \
pool that is being served, layers are mounted through the server and count as in use.
A file system in a snapshot that was taken while it was mounted has to be repaired before it can be used, which a snapshot \
does not allow: make a volume of it with `cowl clone`, or try --options noload (ext4) or norecovery (XFS).")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layer: a volume or a snapshot
    layer: String,
    /// Where to mount, an existing directory
    directory: PathBuf,
    /// Mount the file system that is in the layer (root)
    #[arg(long, short)]
    filesystem: bool,
    /// Do not allow writes to a volume
    #[arg(long, short)]
    read_only: bool,
    /// Options for the file system, as for mount -o
    #[arg(long, requires = "filesystem")]
    options: Option<String>,
    /// Serve the mount in this process, until it is unmounted or Ctrl-C
    #[arg(long, conflicts_with = "filesystem")]
    foreground: bool,
    /// Say on standard output, for the command that has started this one, whether it is mounted
    #[arg(long, hide = true, requires = "foreground")]
    tell: bool,
}

#[derive(Debug, Serialize)]
struct Mounted {
    layer: String,
    directory: PathBuf,
    file: Option<PathBuf>,
}

impl Report for Mounted {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        match &self.file {
            Some(file) => writeln!(out, "{}: {}", self.layer, file.display()),
            None => writeln!(out, "{}: the file system is at {}", self.layer, self.directory.display()),
        }
    }
}

/// What the process in the background says when the layer is mounted: the file's name.
#[derive(Debug, Serialize, Deserialize)]
struct Ready(String);

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let directory = fs::canonicalize(&args.directory);
    let directory = directory.map_err(|error| Failure::file("mount on", &args.directory, &error))?;
    if args.foreground {
        return serve(ui, args, &directory);
    }
    if !args.filesystem {
        let file = in_background(ui, args, &directory)?;
        return ui.show(&Mounted { layer: args.layer.clone(), file: Some(directory.join(file)), directory });
    }
    filesystem(ui, args, &directory)?;
    ui.show(&Mounted { layer: args.layer.clone(), directory, file: None })
}

fn serve(ui: &Ui, args: &Args, directory: &Path) -> Result<(), Failure> {
    if args.tell {
        // A terminal that is closed is no reason to end.
        let _ = rustix::process::setsid();
    }
    let mut told = !args.tell;
    let served = look(ui, args).and_then(|kind| {
        let writable = kind == LayerKind::Volume && !args.read_only;
        let access = if writable { Access::Write } else { Access::Read };
        with_pool(ui, &args.pool, access, |pool| {
            let layer = select::layer(pool, &args.layer)?;
            pool.enter(layer.id)?;
            layer_file::serve(pool, &layer, writable, directory, || {
                if !told {
                    told = true;
                    tell(&Ok(Ready(layer_file::file_name(&layer))));
                }
            })
        })
    });
    match served {
        Err(failure) if !told => {
            tell(&Err(failure.clone()));
            Err(failure)
        }
        served => served,
    }
}

/// Whether the layer is a volume decides how the pool is opened.
fn look(ui: &Ui, args: &Args) -> Result<LayerKind, Failure> {
    with_pool(ui, &args.pool, Access::Read, |pool| Ok(select::layer(pool, &args.layer)?.kind))
}

fn tell(ready: &Result<Ready, Failure>) {
    // Without a reader there is nobody to be told.
    let mut out = io::stdout().lock();
    let _ = serde_json::to_writer(&mut out, ready).map_err(io::Error::from).and_then(|()| writeln!(out));
    let _ = out.flush();
}

/// Starts the process that serves the mount; gives the file's name when it is there.
fn in_background(ui: &Ui, args: &Args, directory: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::new(Kind::Other, format!("cannot start a process for the mount: {error}"));
    let mut command = Command::new(env::current_exe().map_err(failed)?);
    command.args(["mount", "--foreground", "--tell"]);
    command.args(args.read_only.then_some("--read-only"));
    let options: [(&str, Option<OsString>); 2] = [
        ("--workspace", ui.workspace.map(|size| size.to_string().into())),
        ("--base", ui.base.as_ref().map(|base| base.clone().into())),
    ];
    for (name, value) in options {
        command.args(value.map(|value| [OsString::from(name), value]).into_iter().flatten());
    }
    command.arg("--").arg(&args.pool).arg(&args.layer).arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let said = child.stdout.take().map(io::BufReader::new).map(|mut out| {
        let mut line = String::new();
        io::BufRead::read_line(&mut out, &mut line).map(|_| line)
    });
    let line = said.transpose().map_err(failed)?.unwrap_or_default();
    match serde_json::from_str::<Result<Ready, Failure>>(&line) {
        Ok(ready) => ready.map(|ready| ready.0),
        Err(_) => Err(Failure::new(Kind::Other, "the process for the mount ended without a word")
            .hint("`cowl mount --foreground` shows what it says")),
    }
}

/// The layer as a file in a directory of our own, and the file system in it where it is wanted.
fn filesystem(ui: &Ui, args: &Args, directory: &Path) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(Kind::Missing, "only root can mount a file system")
            .hint("without --filesystem the layer is a file, for tools that read file systems themselves"));
    }
    let failed = |error: io::Error| Failure::file("make a directory in", Path::new(RUN), &error);
    fs::create_dir_all(RUN).map_err(failed)?;
    let hidden = tempfile::Builder::new().prefix("mount-").tempdir_in(RUN).map_err(failed)?;
    let file = hidden.path().join(in_background(ui, args, hidden.path())?);
    let writable = fs::metadata(&file).is_ok_and(|metadata| !metadata.permissions().readonly());
    let mut options = if writable { "loop,rw".to_owned() } else { "loop,ro".to_owned() };
    if let Some(more) = &args.options {
        options = format!("{options},{more}");
    }
    let words = [OsStr::new("-o"), OsStr::new(&options), OsStr::new("--"), file.as_os_str(), directory.as_os_str()];
    if let Err(failure) = mounts::run("mount", &words) {
        super::umount::file(hidden.path())?;
        return Err(failure.during(format_args!("cannot mount the file system in {}", args.layer)).hint(
            "`cowl mount` without --filesystem shows what is in the layer; one that needs repair: see `cowl help mount`",
        ));
    }
    // From here on it goes when it is unmounted.
    let _ = hidden.keep();
    Ok(())
}
