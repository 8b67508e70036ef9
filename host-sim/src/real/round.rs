//! A round: a worker is started on a pool, ended, and what it left is judged.

use std::{
    env,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{PoisonError, RwLock},
    thread,
    time::Duration,
};

use super::{
    Outcome, Power, said,
    shadow::Shadow,
    target::{Target, open_and_judge},
    worker::history,
};

/// When the worker is killed.
#[derive(Debug, Clone)]
pub enum Stop {
    /// When the disk below does not answer any more, or has answered everything.
    Power(Power),
    /// After so many acknowledgements.
    Acknowledged(usize),
    /// After so long.
    After(Duration),
    /// Never: it works off its history.
    Never,
}

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct Round {
    /// The program.
    pub program: PathBuf,
    /// Where the worker finds the file; the parent may know it by another name.
    pub path: PathBuf,
    /// The seed of its history.
    pub seed: u64,
    /// The length of its history.
    pub count: usize,
    /// When it is killed.
    pub stop: Stop,
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The acknowledgements.
    pub answers: Vec<u8>,
    /// What the worker said on its standard error.
    pub said: String,
    /// Its exit code, if it came to its end.
    pub code: Option<i32>,
    /// It was killed before it had come to its end.
    pub killed: bool,
}

impl Round {
    /// The command that is the worker, after what may stand before it.
    pub fn command(&self, target: &Target, before: &[String]) -> Command {
        let mut words: Vec<std::ffi::OsString> = before.iter().map(Into::into).collect();
        words.push(self.program.clone().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["sim", "worker"]).arg(&self.path);
        let Some(shape) = super::target::SHAPES.iter().position(|shape| *shape == target.config) else {
            return command;
        };
        command.args([
            "--seed",
            &self.seed.to_string(),
            "--count",
            &self.count.to_string(),
            "--shape",
            &shape.to_string(),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the worker to its end, whatever ends it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, command: &mut Command) -> Outcome<Ended> {
        let mut child = alone(|| command.spawn()).map_err(said("the worker cannot be started"))?;
        let mut answers = Vec::new();
        let ended = self.wait(&mut child, &mut answers);
        if !matches!(self.stop, Stop::Never) || ended.is_err() {
            // It may have ended by itself.
            let _ = child.kill();
        }
        if let Stop::Power(power) = &self.stop {
            power.release();
        }
        let output = child.wait_with_output().map_err(said("the worker cannot be waited for"))?;
        ended?;
        answers.extend(output.stdout);
        let killed = output.status.signal().is_some();
        Ok(Ended {
            answers,
            killed,
            code: output.status.code(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn wait(&self, child: &mut Child, answers: &mut Vec<u8>) -> Outcome<()> {
        let wanted = match &self.stop {
            Stop::After(time) => {
                thread::sleep(*time);
                return Ok(());
            }
            Stop::Power(power) => {
                while !power.is_gone() && child.try_wait().map_err(said("the worker"))?.is_none() {
                    thread::sleep(Duration::from_micros(100));
                }
                return Ok(());
            }
            Stop::Acknowledged(count) => *count,
            Stop::Never => usize::MAX,
        };
        let out = child.stdout.as_mut().ok_or("the worker has no output")?;
        let mut byte = [0];
        while answers.len() < wanted && out.read(&mut byte).map_err(said("the worker's output"))? == 1 {
            answers.push(byte[0]);
        }
        Ok(())
    }

    /// A whole round on a file: the worker, its end, the judgement. How it ended.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn play(&self, target: &mut Target) -> Outcome<Ended> {
        let bytes = target.bytes()?;
        self.play_from(&bytes, target, || {})
    }

    /// As [`play`](Self::play) on a file that has these bytes; `then` something happens to it, when the worker has ended.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn play_from(&self, bytes: &[u8], target: &mut Target, then: impl FnOnce()) -> Outcome<Ended> {
        let ops = history(&target.config, self.seed, self.count);
        let shadow = Shadow::new(&target.config, bytes, &target.model);
        let ended = self.run(&mut self.command(target, &[]))?;
        if let Some(failed) = ended.said.lines().next() {
            return Err(format!("the worker failed: {failed}"));
        }
        then();
        let done = ended.answers.len();
        let at = |why| {
            format!(
                "{why}, with {done} operations of seed {} acknowledged and {:?} in flight",
                self.seed,
                ops.get(done)
            )
        };
        let mut model = shadow.after(&ops, &ended.answers).map_err(at)?;
        open_and_judge(&target.path, &target.config, &mut model).map_err(at)?;
        target.model = model;
        Ok(ended)
    }
}

/// Processes are started while no thread has a pool open: a new process holds every open file, and the lock on it, until it becomes
/// another program, and would keep the pool's next worker out.
static STARTING: RwLock<()> = RwLock::new(());

/// Does something that may start a process.
pub fn alone<T>(start: impl FnOnce() -> T) -> T {
    let _held = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    start()
}

/// Does something that has a pool open.
pub fn while_open<T>(open: impl FnOnce() -> T) -> T {
    let _held = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    open()
}

/// This program, to be run again as a worker.
///
/// # Errors
/// The operating system does not tell.
pub fn this_program() -> Outcome<PathBuf> {
    env::current_exe().map_err(said("cannot find this program"))
}
