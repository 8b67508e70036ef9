//! The n-th system call of a worker is struck: it kills, fails, is interrupted, or does only half of its work.

use std::path::Path;

use super::{
    ACK_DONE, ACK_FAILED, CutDisk, Ended, Halved, Outcome, Round, Shadow, Stop, Syscall, Target,
    shadow::Refusal,
    strace::{Heard, listen},
    target::{SHAPES, fresh, judge_bytes},
    trace::agree,
    worker::history,
};
use crate::sim::{Model, Op};

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// The process is killed before it.
    Kill,
    /// It reports this error and does nothing; the process reports it by this exit code, and nothing after it succeeds.
    Error(&'static str, i32),
    /// It is interrupted (EINTR) and does nothing; the process repeats it, and nobody notices.
    Interrupt,
    /// A hole is refused with this error, by this exit code; it was a hint, and everything after it succeeds.
    NoHole(&'static str, i32),
    /// A hole is refused with EOPNOTSUPP; no other is asked for, and nobody notices.
    NoHoles,
    /// Half of it is written, and that is what it returns; the process writes the rest, and nobody notices.
    Half,
    /// A limit on the size of files lies in the middle of it (EFBIG): at the first write that goes beyond it half is written, the rest
    /// refused.
    Limit,
}

/// A kind of system call, and what happens to it.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// What it is called in a report.
    pub name: &'static str,
    /// The system call.
    pub call: &'static str,
    /// What happens to it.
    pub strike: Strike,
}

const fn way(name: &'static str, call: &'static str, strike: Strike) -> Way {
    Way { name, call, strike }
}

/// Everything that is tried, each at every call.
pub const WAYS: [Way; 14] = [
    way("killed before a pwrite64", "pwrite64", Strike::Kill),
    way("pwrite64 with EIO", "pwrite64", Strike::Error("EIO", 8)),
    way("pwrite64 with ENOSPC", "pwrite64", Strike::Error("ENOSPC", 4)),
    way("pwrite64 interrupted", "pwrite64", Strike::Interrupt),
    way("pwrite64 cut short", "pwrite64", Strike::Half),
    way("pwrite64 beyond a limit", "pwrite64", Strike::Limit),
    way("killed before a fdatasync", "fdatasync", Strike::Kill),
    way("fdatasync with EIO", "fdatasync", Strike::Error("EIO", 8)),
    way("fdatasync with ENOSPC", "fdatasync", Strike::Error("ENOSPC", 4)),
    way("fdatasync interrupted", "fdatasync", Strike::Interrupt),
    way("killed before a fallocate", "fallocate", Strike::Kill),
    way("fallocate with EIO", "fallocate", Strike::NoHole("EIO", 8)),
    way("fallocate with EOPNOTSUPP", "fallocate", Strike::NoHoles),
    way("fallocate interrupted", "fallocate", Strike::Interrupt),
];

/// A history on a pool of one shape, to be struck again and again.
#[derive(Debug)]
pub struct Struck<'a> {
    /// The program.
    pub program: &'a Path,
    /// Where the pool's file lies.
    pub dir: &'a Path,
    /// The pool's shape.
    pub shape: usize,
    /// The history's seed.
    pub seed: u64,
    /// The history's length.
    pub count: usize,
}

/// What a run was, and what it should have been.
struct Run {
    round: Round,
    target: Target,
    ops: Vec<Op>,
    expected: Vec<Syscall>,
}

impl Struck<'_> {
    /// Strikes the first, the second, and so on, up to the last; how many there were.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn all(&self, way: Way, asked: &dyn Fn() -> bool) -> Outcome<u64> {
        let config = SHAPES[self.shape % SHAPES.len()];
        let disk = match way.strike {
            Strike::Half => {
                let (bytes, _) = fresh(&config)?;
                Some(CutDisk::mount(self.dir, bytes)?)
            }
            _ => None,
        };
        self.each(way, disk.as_ref(), asked)
    }

    fn each(&self, way: Way, disk: Option<&CutDisk>, asked: &dyn Fn() -> bool) -> Outcome<u64> {
        let mut number = 0;
        while !asked() {
            let run = self.run(disk)?;
            let kind = |call: &&Syscall| kind(**call) == way.call;
            let Some(call) = run.expected.iter().filter(kind).nth(number).copied() else { break };
            number += 1;
            let judged = match way.strike {
                Strike::Half => run.halved(disk.ok_or("there is no disk")?, number),
                Strike::Limit => run.limited(call),
                _ => run.injected(way, number),
            };
            judged.map_err(|why| format!("{} {number}, {:?}, shape {}: {why}", way.call, way.strike, self.shape))?;
        }
        Ok(number as u64)
    }

    fn run(&self, disk: Option<&CutDisk>) -> Outcome<Run> {
        let target = match disk {
            Some(disk) => {
                let config = SHAPES[self.shape % SHAPES.len()];
                let (bytes, model) = fresh(&config)?;
                disk.replace(bytes);
                Target { path: disk.path().to_path_buf(), config, model }
            }
            None => Target::create(&self.dir.join("syscalls.cowl"), self.shape)?,
        };
        let ops = history(&target.config, self.seed, self.count);
        let expected = Shadow::new(&target.config, target.bytes()?, &target.model).calls(&ops)?;
        let (program, path) = (self.program.to_path_buf(), target.path.clone());
        let round = Round { program, path, seed: self.seed, count: self.count, stop: Stop::Never };
        Ok(Run { round, target, ops, expected })
    }
}

fn kind(call: Syscall) -> &'static str {
    match call {
        Syscall::Write(..) => "pwrite64",
        Syscall::Sync => "fdatasync",
        Syscall::Punch(..) => "fallocate",
    }
}

impl Run {
    /// Half of a write is stored.
    fn halved(&self, disk: &CutDisk, number: usize) -> Outcome<()> {
        let shadow = self.shadow()?;
        disk.halve(number);
        let ended = self.round.run(&mut self.round.command(&self.target, &[]))?;
        if matches!(disk.halved(), Halved::In(_)) {
            return Err(format!("the write never came: {}", ended.said));
        }
        if disk.halved() != Halved::Completed {
            return Err(format!("the rest of a write that was cut short never came: {:?}", disk.halved()));
        }
        self.unnoticed(&ended)?;
        self.judge(shadow.after(&self.ops, &ended.answers)?)
    }

    /// A limit lies in the middle of a write.
    fn limited(&self, call: Syscall) -> Outcome<()> {
        let Syscall::Write(offset, length) = call else { return Err(format!("{call:?} has no middle")) };
        let shadow = self.shadow()?;
        let limit = ["prlimit".to_string(), format!("--fsize={}", offset + length / 2)];
        let ended = self.round.run(&mut self.round.command(&self.target, &limit))?;
        self.refused(&ended, 8, shadow)
    }

    /// strace strikes.
    fn injected(&self, way: Way, number: usize) -> Outcome<()> {
        let shadow = self.shadow()?;
        let what = match way.strike {
            Strike::Kill => "signal=KILL".to_string(),
            Strike::Interrupt => "error=EINTR".to_string(),
            Strike::NoHoles => "error=EOPNOTSUPP".to_string(),
            Strike::Error(name, _) | Strike::NoHole(name, _) => format!("error={name}"),
            Strike::Half | Strike::Limit => return Err("strace cannot do that".into()),
        };
        let refusal = match way.strike {
            Strike::NoHole(..) => Refusal::Fails(number),
            Strike::NoHoles => Refusal::Unsupported(number),
            _ => Refusal::Never,
        };
        let expected = self.shadow()?.refusing(refusal).calls(&self.ops)?;
        let struck = self.index(way.call, number);
        let rule = format!("{}:{what}:when={number}", way.call);
        let (ended, heard) = listen(&self.round, &self.target, Some(&rule))?;
        let calls = |heard: &[Heard]| heard.iter().map(|heard| heard.call).collect::<Vec<_>>();
        match way.strike {
            Strike::Kill => {
                // strace may write down the call that was not made any more.
                let made = &heard[..heard.len().min(struck)];
                agree(&calls(made), &expected[..struck])?;
                return self.killed(&ended, struck, shadow);
            }
            Strike::Error(_, code) => {
                agree(&calls(&heard), &expected[..=struck])?;
                return self.refused(&ended, code, shadow);
            }
            Strike::Interrupt => {
                let through: Vec<Heard> = heard.iter().filter(|heard| !heard.injected).copied().collect();
                agree(&calls(&through), &expected)?;
                repeated(&heard)?;
            }
            _ => agree(&calls(&heard), &expected)?,
        }
        match way.strike {
            Strike::NoHole(_, code) => self.reported_once(&ended, code)?,
            _ => self.unnoticed(&ended)?,
        }
        self.judge(shadow.refusing(refusal).after(&self.ops, &ended.answers)?)
    }

    fn killed(&self, ended: &Ended, struck: usize, shadow: Shadow) -> Outcome<()> {
        if !ended.killed {
            return Err("it was not killed".into());
        }
        // The first call is the mount's: no operation has begun before it.
        let ops = if struck == 0 { &[] } else { &self.ops[..] };
        self.judge(shadow.after(ops, &ended.answers)?)
    }

    fn reported_once(&self, ended: &Ended, code: i32) -> Outcome<()> {
        let failed: Vec<&u8> = ended.answers.iter().filter(|answer| **answer == ACK_FAILED).collect();
        if failed.len() == 1 && ended.code == Some(code) && ended.answers.len() == self.ops.len() {
            return Ok(());
        }
        Err(format!("{} failures were reported, exit code {:?}: {}", failed.len(), ended.code, ended.said))
    }

    fn shadow(&self) -> Outcome<Shadow> {
        Ok(Shadow::new(&self.target.config, self.target.bytes()?, &self.target.model))
    }

    /// Where the n-th call of a kind is among all.
    fn index(&self, call: &str, number: usize) -> usize {
        let mut of_kind = self.expected.iter().enumerate().filter(|(_, expected)| kind(**expected) == call);
        of_kind.nth(number - 1).map_or(self.expected.len(), |(index, _)| index)
    }

    /// The failure was reported, and what came before it is there.
    fn refused(&self, ended: &Ended, code: i32, shadow: Shadow) -> Outcome<()> {
        let begun = refusal(&self.ops, ended, code)?;
        self.judge(shadow.after(&self.ops[..begun], &ended.answers[..begun])?)
    }

    fn unnoticed(&self, ended: &Ended) -> Outcome<()> {
        let failed = ended.answers.contains(&ACK_FAILED);
        if !failed && ended.code == Some(0) && ended.said.is_empty() && ended.answers.len() == self.ops.len() {
            return Ok(());
        }
        Err(format!("{} operations, exit code {:?}: {}", ended.answers.len(), ended.code, ended.said))
    }

    fn judge(&self, mut model: Model) -> Outcome<()> {
        judge_bytes(&mut self.target.bytes()?, &self.target.config, &mut model)
    }
}

/// The failure of a call was reported, by an operation or while the pool was opened, and nothing after it succeeded. How many
/// operations had begun when it came.
///
/// # Errors
/// The promise that is broken.
pub fn refusal(ops: &[Op], ended: &Ended, code: i32) -> Outcome<usize> {
    if ended.code != Some(code) || ended.said.is_empty() {
        return Err(format!("exit code {:?} instead of {code}: {}", ended.code, ended.said));
    }
    let Some(failed) = ended.answers.iter().position(|answer| *answer == ACK_FAILED) else {
        if ended.answers.is_empty() {
            return Ok(0);
        }
        return Err(format!("a call failed, and none of {} operations reported it", ended.answers.len()));
    };
    let mut later = ops.iter().zip(&ended.answers).skip(failed);
    match later.find(|(_, answer)| **answer == ACK_DONE) {
        Some((op, _)) => Err(format!("a call failed, and later {op:?} reported success")),
        None => Ok(failed + 1),
    }
}

/// The call that was interrupted is the next one again.
fn repeated(heard: &[Heard]) -> Outcome<()> {
    let at = heard.iter().position(|heard| heard.injected).ok_or("no call was interrupted")?;
    match heard.get(at + 1) {
        Some(next) if next.call == heard[at].call && !next.injected => Ok(()),
        next => Err(format!("{:?} was interrupted, and {next:?} came next", heard[at].call)),
    }
}
