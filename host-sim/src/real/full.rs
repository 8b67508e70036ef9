//! No room below the pool: a full file system, a quota, and a limit on the size of files.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Outcome, Round, Shadow, Stop, Target, open_and_judge, said,
    shadow::Refusal,
    syscalls::refusal,
    target::{SHAPES, fresh, open_and_compare},
    worker::history,
};

/// A file system in a file, mounted by a loop device. It is unmounted when it is dropped.
#[derive(Debug)]
struct Mounted {
    dir: PathBuf,
}

/// A small ext4 that can be filled up.
#[derive(Debug)]
pub struct SmallFilesystem(Mounted);

/// A btrfs with a subvolume that has a quota.
#[derive(Debug)]
pub struct Quota {
    /// What keeps it mounted.
    _mounted: Mounted,
    dir: PathBuf,
}

/// What a command says, if it succeeds.
fn command(words: &[&str]) -> Outcome<String> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

impl Mounted {
    fn new(below: &Path, name: &str, bytes: u64, format: &[&str]) -> Outcome<Self> {
        let (image, dir) = (below.join(name).with_extension("img"), below.join(name));
        let file = fs::File::create(&image).map_err(said("the image"))?;
        file.set_len(bytes).map_err(said("the image"))?;
        fs::create_dir_all(&dir).map_err(said("the directory"))?;
        let (image, mounted) = (image.display().to_string(), dir.display().to_string());
        command(&[format, &[&image]].concat())?;
        command(&["mount", "-o", "loop", &image, &mounted])?;
        Ok(Self { dir })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever cannot unmount it now cannot do so later either; the directory then stays.
        let _ = command(&["umount", &self.dir.display().to_string()]);
    }
}

impl SmallFilesystem {
    /// Makes and mounts it below a directory.
    ///
    /// # Errors
    /// There is no `mke2fs`, no loop device, or no right to mount.
    pub fn mount(below: &Path, bytes: u64) -> Outcome<Self> {
        Mounted::new(below, "small", bytes, &["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0"]).map(Self)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Fills it up but for so many bytes.
    ///
    /// # Errors
    /// It cannot be filled.
    pub fn fill(&self, but: u64) -> Outcome<()> {
        let room = rustix::fs::statvfs(&self.0.dir).map_err(said("statvfs"))?;
        let free = room.f_bavail * room.f_frsize;
        let filler = fs::File::create(self.0.dir.join("filler")).map_err(said("the filler"))?;
        let length = free.saturating_sub(but);
        rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, length).map_err(said("the filler"))
    }

    /// Fills it up to the last block.
    ///
    /// # Errors
    /// It cannot be filled.
    pub fn fill_up(&self) -> Outcome<()> {
        self.fill(1 << 20)?;
        let mut filler =
            fs::File::options().append(true).open(self.0.dir.join("filler")).map_err(said("the filler"))?;
        for size in [4096, 1] {
            while filler.write_all(&[0; 4096][..size]).is_ok() {}
        }
        // What the system has promised and not yet placed may come back.
        filler.sync_all().map_err(said("the filler"))?;
        while filler.write_all(&[0; 512]).is_ok() {}
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// It cannot be emptied.
    pub fn empty(&self) -> Outcome<()> {
        fs::remove_file(self.0.dir.join("filler")).map_err(said("the filler"))
    }
}

impl Quota {
    /// Makes and mounts it below a directory.
    ///
    /// # Errors
    /// There is no `mkfs.btrfs` or `btrfs`, no loop device, or no right to mount; or the system knows no btrfs.
    pub fn mount(below: &Path) -> Outcome<Self> {
        // The least that mkfs.btrfs takes is a little over 100 MiB; the file is sparse.
        let mounted = Mounted::new(below, "quota", 128 << 20, &["mkfs.btrfs", "-q", "-f"])?;
        let dir = mounted.dir.join("limited");
        command(&["btrfs", "quota", "enable", &mounted.dir.display().to_string()])?;
        command(&["btrfs", "subvolume", "create", &dir.display().to_string()])?;
        Ok(Self { _mounted: mounted, dir })
    }

    /// The directory that has the quota.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sets it, or takes it away.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn limit(&self, bytes: Option<u64>) -> Outcome<()> {
        let limit = bytes.map_or("none".into(), |bytes| bytes.to_string());
        command(&["btrfs", "qgroup", "limit", &limit, &self.dir.display().to_string()]).map(drop)
    }
}

/// A pool in a sparse file, so that every new block needs room below.
fn sparse(path: &Path) -> Outcome<Target> {
    use std::os::unix::fs::FileExt;
    let config = SHAPES[1];
    let (bytes, model) = fresh(&config)?;
    let file = fs::File::create(path).map_err(said("the pool"))?;
    file.set_len(bytes.len() as u64).map_err(said("the pool"))?;
    for (at, block) in bytes.chunks(4096).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0)) {
        file.write_all_at(block, at as u64 * 4096).map_err(said("the pool"))?;
    }
    file.sync_all().map_err(said("the pool"))?;
    Ok(Target { path: path.to_path_buf(), config, model })
}

/// How the system refuses, and how the process says so.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// The system's words.
    pub words: &'static str,
    /// The exit code.
    pub code: i32,
}

/// Works on the pool until the system refuses, judges it, makes room, and works on. How many operations came before the refusal.
///
/// # Errors
/// The promise that is broken, or there was no refusal.
pub fn run_out(
    program: &Path,
    path: &Path,
    prepare: &dyn Fn() -> Outcome<()>,
    before: &[String],
    wanted: Refused,
    make_room: &dyn Fn() -> Outcome<()>,
) -> Outcome<usize> {
    let mut target = sparse(path)?;
    prepare()?;
    let acknowledged = work_until_refused(program, &mut target, before, wanted)?;
    make_room()?;
    open_and_judge(path, &target.config, &mut target.model)?;
    let round = Round { program: program.into(), path: path.into(), seed: 77, count: 60, stop: Stop::Never };
    let ended = round.play(&mut target).map_err(|why| format!("with room again: {why}"))?;
    if ended.code != Some(0) || ended.answers.len() != round.count {
        return Err(format!("with room again: {} operations, exit code {:?}", ended.answers.len(), ended.code));
    }
    Ok(acknowledged)
}

fn work_until_refused(program: &Path, target: &mut Target, before: &[String], wanted: Refused) -> Outcome<usize> {
    let round = Round { program: program.into(), path: target.path.clone(), seed: 5, count: 400, stop: Stop::Never };
    let ops = history(&target.config, round.seed, round.count);
    // Holes would make room again, or be what the system refuses first.
    let shadow = Shadow::new(&target.config, target.bytes()?, &target.model).refusing(Refusal::Unsupported(0));
    let ended = round.run(round.command(target, before).arg("--no-discard"))?;
    let begun = refusal(&ops, &ended, wanted.code)?;
    if !ended.said.contains(wanted.words) {
        return Err(format!("instead of {:?} the worker said: {}", wanted.words, ended.said));
    }
    target.model = shadow.after(&ops[..begun], &ended.answers[..begun])?;
    // There is no room for a check to bring what is pending into the trees: that comes later.
    open_and_compare(&target.path, &target.config, &mut target.model, &mut target.config.workspace())?;
    Ok(begun.saturating_sub(1))
}
