//! No room below the pool: a full file system, and a limit on the size of files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    ACK_FAILED, Outcome, Round, Shadow, Stop, Target, open_and_judge, said,
    target::{SHAPES, fresh},
    worker::history,
};

/// A small ext4 in a file, mounted by a loop device. It is unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallFilesystem {
    dir: PathBuf,
}

fn command(words: &[&str]) -> Outcome<()> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

impl SmallFilesystem {
    /// Makes and mounts it below a directory.
    ///
    /// # Errors
    /// There is no `mke2fs`, no loop device, or no right to mount.
    pub fn mount(below: &Path, bytes: u64) -> Outcome<Self> {
        let (image, dir) = (below.join("small.img"), below.join("small"));
        let file = fs::File::create(&image).map_err(said("the image"))?;
        file.set_len(bytes).map_err(said("the image"))?;
        fs::create_dir_all(&dir).map_err(said("the directory"))?;
        let (image, mounted) = (image.display().to_string(), dir.display().to_string());
        command(&["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", &image])?;
        command(&["mount", "-o", "loop", &image, &mounted])?;
        Ok(Self { dir })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fills it up but for so many bytes.
    ///
    /// # Errors
    /// It cannot be filled.
    pub fn fill(&self, but: u64) -> Outcome<()> {
        let room = rustix::fs::statvfs(&self.dir).map_err(said("statvfs"))?;
        let free = room.f_bavail * room.f_frsize;
        let filler = fs::File::create(self.dir.join("filler")).map_err(said("the filler"))?;
        let length = free.saturating_sub(but);
        rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, length).map_err(said("the filler"))
    }

    /// Makes room again.
    ///
    /// # Errors
    /// It cannot be emptied.
    pub fn empty(&self) -> Outcome<()> {
        fs::remove_file(self.dir.join("filler")).map_err(said("the filler"))
    }
}

impl Drop for SmallFilesystem {
    fn drop(&mut self) {
        // Whoever cannot unmount it now cannot do so later either; the directory then stays.
        let _ = command(&["umount", &self.dir.display().to_string()]);
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

/// Works on the pool until the system refuses, judges it, makes room, and works on. How many operations came before the refusal.
///
/// # Errors
/// The promise that is broken, or there was no refusal.
pub fn run_out(
    program: &Path,
    path: &Path,
    prepare: &dyn Fn() -> Outcome<()>,
    before: &[String],
    wanted: &str,
    make_room: &dyn Fn() -> Outcome<()>,
) -> Outcome<usize> {
    let mut target = sparse(path)?;
    prepare()?;
    make_room_later(program, &mut target, before, wanted).and_then(|acknowledged| {
        make_room()?;
        let round = Round { program: program.into(), path: path.into(), seed: 77, count: 60, stop: Stop::Never };
        round.play(&mut target).map_err(|why| format!("with room again: {why}"))?;
        Ok(acknowledged)
    })
}

fn make_room_later(program: &Path, target: &mut Target, before: &[String], wanted: &str) -> Outcome<usize> {
    let round = Round { program: program.into(), path: target.path.clone(), seed: 5, count: 400, stop: Stop::Never };
    let ops = history(&target.config, round.seed, round.count);
    let shadow = Shadow::new(&target.config, &target.bytes()?, &target.model);
    let ended = round.run(&mut round.command(target, before))?;
    let failed = ended.answers.iter().position(|answer| *answer == ACK_FAILED);
    let failed = failed
        .ok_or_else(|| format!("the system refused nothing in {} operations: {}", ended.answers.len(), ended.said))?;
    if !ended.said.contains(wanted) {
        return Err(format!("instead of {wanted:?} the worker said: {}", ended.said));
    }
    let mut model = shadow.after(&ops, &ended.answers[..=failed])?;
    open_and_judge(&target.path, &target.config, &mut model)?;
    target.model = model;
    Ok(failed)
}
