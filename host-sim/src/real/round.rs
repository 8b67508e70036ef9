//! A round: a worker is started on a pool, ended, and what it left is judged.

use std::{
    env,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Outcome, Power, said,
    shadow::Shadow,
    target::{Target, judge_bytes},
    worker::{ACK_OPENED, ACK_OPENING, history},
};

/// When the worker is killed.
#[derive(Debug, Clone)]
pub enum Stop {
    /// When the disk below does not answer any more, or has answered everything.
    Power(Power),
    /// When it has begun to open the pool, and so long after that.
    Opening(Duration),
    /// When it has acknowledged so many operations, and so long after that.
    Acknowledged(usize, Duration),
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

/// How long the power is waited for before the worker is looked after, which may have ended by itself.
const POLL: Duration = Duration::from_millis(1);

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// It had opened the pool.
    pub opened: bool,
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
        let mut child = command.spawn().map_err(said("the worker cannot be started"))?;
        let mut told = Vec::new();
        let ended = self.wait(&mut child, &mut told);
        if !matches!(self.stop, Stop::Never) || ended.is_err() {
            // It may have ended by itself.
            let _ = child.kill();
        }
        if let Stop::Power(power) = &self.stop {
            power.release();
        }
        let output = child.wait_with_output().map_err(said("the worker cannot be waited for"))?;
        ended?;
        told.extend(output.stdout);
        let opened = told.starts_with(&[ACK_OPENING, ACK_OPENED]);
        let answers = told.split_off(told.len().min(2));
        let killed = output.status.signal().is_some();
        Ok(Ended {
            opened,
            answers,
            killed,
            code: output.status.code(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn wait(&self, child: &mut Child, told: &mut Vec<u8>) -> Outcome<()> {
        let (wanted, longer) = match &self.stop {
            Stop::Power(power) => {
                while !power.is_gone_within(POLL) && child.try_wait().map_err(said("the worker"))?.is_none() {}
                return Ok(());
            }
            Stop::Opening(time) => (1, *time),
            Stop::Acknowledged(count, time) => (2 + count, *time),
            Stop::Never => (usize::MAX, Duration::ZERO),
        };
        let out = child.stdout.as_mut().ok_or("the worker has no output")?;
        let mut some = [0; 64];
        while told.len() < wanted {
            match out.read(&mut some).map_err(said("the worker's output"))? {
                0 => return Ok(()),
                read => told.extend(&some[..read]),
            }
        }
        // An operation takes less time than the system needs to put somebody to sleep.
        let until = Instant::now() + longer;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// A whole round on a file: the worker, its end, the judgement. How it ended.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn play(&self, target: &mut Target) -> Outcome<Ended> {
        let mut bytes = target.bytes()?;
        self.play_from(&mut bytes, target, Target::bytes)
    }

    /// As [`play`](Self::play) on a file that has these bytes; if all is well they become those that are `left` when the worker has
    /// ended. The judgement takes place on a copy of them, so the next worker finds what this one has left.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn play_from(
        &self,
        bytes: &mut Vec<u8>,
        target: &mut Target,
        left: impl FnOnce(&Target) -> Outcome<Vec<u8>>,
    ) -> Outcome<Ended> {
        let shadow = Shadow::new(&target.config, bytes.clone(), &target.model);
        let ended = self.run(&mut self.command(target, &[]))?;
        if let Some(failed) = ended.said.lines().next() {
            return Err(format!("the worker failed: {failed}"));
        }
        let left = left(target)?;
        let done = ended.answers.len();
        let begun = if ended.opened { self.count.min(done + 1) } else { 0 };
        let ops = history(&target.config, self.seed, begun);
        let at = |why| {
            let in_flight = ops.get(done);
            format!("{why}, with {done} operations of seed {} acknowledged and {in_flight:?} in flight", self.seed)
        };
        let mut model = shadow.after(&ops, &ended.answers).map_err(at)?;
        judge_bytes(&mut left.clone(), &target.config, &mut model).map_err(at)?;
        target.model = model;
        *bytes = left;
        Ok(ended)
    }
}

/// This program, to be run again as a worker.
///
/// # Errors
/// The operating system does not tell.
pub fn this_program() -> Outcome<PathBuf> {
    env::current_exe().map_err(said("cannot find this program"))
}
