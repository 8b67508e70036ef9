//! The worker under strace: its system calls compared with the simulator's trace, and made to fail one by one.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{ACK_DONE, Outcome, Round, Shadow, Stop, Target, open_and_judge, said, worker::history};
use crate::sim::Call;

/// A system call on the pool's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syscall {
    /// `pwrite64`: offset, bytes.
    Write(u64, u64),
    /// `fdatasync` or `fsync`.
    Sync,
    /// `fallocate`: offset, bytes.
    Punch(u64, u64),
}

/// Reads a line that strace writes.
pub fn parse_line(line: &str) -> Option<Syscall> {
    // "1234 pwrite64(3, "..."..., 512, 2048) = 512"
    let call = line
        .split_once(' ')
        .map_or(line, |(number, rest)| if number.parse::<u32>().is_ok() { rest.trim() } else { line });
    let (name, rest) = call.split_once('(')?;
    let arguments = rest.rsplit_once(" = ")?.0.trim_end().strip_suffix(')')?;
    let mut last = arguments.rsplit(", ");
    match name {
        "fdatasync" | "fsync" => Some(Syscall::Sync),
        "pwrite64" => {
            let offset = last.next()?.parse().ok()?;
            Some(Syscall::Write(offset, last.next()?.parse().ok()?))
        }
        "fallocate" => {
            let length = last.next()?.parse().ok()?;
            Some(Syscall::Punch(last.next()?.parse().ok()?, length))
        }
        _ => None,
    }
}

const CALLS: &str = "pwrite64,pwritev,pwritev2,write,fdatasync,fsync,fallocate,ftruncate,sync_file_range,msync";

/// strace is there, and may trace.
///
/// # Errors
/// It is not, or may not.
pub fn available() -> Outcome<()> {
    let run =
        Command::new("strace").args(["-o", "/dev/null", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("strace may not trace processes here".into()),
        Err(error) => Err(format!("strace is needed (`apt-get install strace`): {error}")),
    }
}

/// Runs a history in a worker under strace and compares its calls with the simulator's; the calls, if they agree.
///
/// # Errors
/// Where they differ.
pub fn trace(program: &Path, dir: &Path, shape: usize, seed: u64, count: usize) -> Outcome<Vec<Syscall>> {
    available()?;
    let target = Target::create(&dir.join("trace.cowl"), shape)?;
    let ops = history(&target.config, seed, count);
    let expected = Shadow::new(&target.config, &target.bytes()?, &target.model).calls(&ops)?;
    let log = dir.join("trace.log");
    let round = Round { program: program.to_path_buf(), path: target.path.clone(), seed, count, stop: Stop::Never };
    let before = ["strace", "-f", "-o", &log.display().to_string(), "-e", &format!("trace={CALLS}")].map(String::from);
    let ended = round.run(&mut round.command(&target, &before))?;
    if !ended.said.is_empty() || ended.answers.len() != count {
        return Err(format!("the worker did {} of {count} operations: {}", ended.answers.len(), ended.said));
    }
    let text = fs::read_to_string(&log).map_err(said("the trace cannot be read"))?;
    // The acknowledgements are writes to standard output.
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" write(1,")).collect();
    if let Some(other) = lines.iter().find(|line| line.contains('(') && parse_line(line).is_none()) {
        return Err(format!("the process did what the simulator does not know: {other}"));
    }
    let seen: Vec<Syscall> = lines.into_iter().filter_map(parse_line).collect();
    let size = target.config.sector_size as u64;
    let expected: Vec<Syscall> = expected
        .into_iter()
        .map(|call| match call {
            Call::Write(sector, sectors) => Syscall::Write(sector * size, sectors * size),
            Call::Flush => Syscall::Sync,
        })
        .collect();
    let differ = (0..seen.len().max(expected.len())).find(|at| seen.get(*at) != expected.get(*at));
    match differ {
        None => Ok(seen),
        Some(at) => Err(format!(
            "call {at}: the process did {:?}, the simulator {:?} (shape {shape}, seed {seed})",
            seen.get(at),
            expected.get(at)
        )),
    }
}

/// How a system call is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inject {
    /// The process is killed before it.
    Kill,
    /// It reports an error and does nothing.
    Error(&'static str),
    /// A limit on the size of files lies in the middle of it: half of it is written, the rest reports an error.
    Short,
}

/// Lets the n-th call of a kind fail while a worker works off a history, and judges what is left. False if there was no such call.
///
/// # Errors
/// The promise that is broken.
pub fn inject(round: &Round, target: &mut Target, call: &str, number: usize, how: Inject) -> Outcome<bool> {
    let ops = history(&target.config, round.seed, round.count);
    let shadow = || Ok::<_, String>(Shadow::new(&target.config, &target.bytes()?, &target.model));
    let log = target.path.with_extension("log");
    let what = match how {
        Inject::Kill => "signal=KILL".to_string(),
        Inject::Error(name) => format!("error={name}"),
        Inject::Short => String::new(),
    };
    let words = if how == Inject::Short {
        let calls = shadow()?.calls(&ops)?;
        let mut writes = calls.into_iter().filter_map(|call| match call {
            Call::Write(sector, sectors) => Some(sector * 512 + sectors * 512 / 2),
            Call::Flush => None,
        });
        let Some(limit) = writes.nth(number - 1) else { return Ok(false) };
        vec!["prlimit".to_string(), format!("--fsize={limit}")]
    } else {
        let trace =
            ["strace", "-f", "-o", &log.display().to_string(), "-e", &format!("trace={call}")].map(String::from);
        let inject = ["-e".to_string(), format!("inject={call}:{what}:when={number}")];
        [&trace[..], &inject].concat()
    };
    let shadow = shadow()?;
    let ended = round.run(&mut round.command(target, &words))?;
    let hit = match how {
        Inject::Kill => ended.answers.len() < round.count,
        Inject::Error(_) => fs::read_to_string(&log).map_err(said("the trace cannot be read"))?.contains("(INJECTED)"),
        Inject::Short => true,
    };
    if hit && how != Inject::Kill {
        // What came before the failure is as it is; nothing after it may succeed.
        let Some(failed) = ended.answers.iter().position(|answer| *answer == super::ACK_FAILED) else {
            return if ended.said.contains("mount") {
                Ok(true)
            } else {
                Err(format!("{call} {number} failed and nothing was reported"))
            };
        };
        let after = &ended.answers[failed..];
        let changed = ops[failed..]
            .iter()
            .zip(after)
            .find(|(op, answer)| **answer == ACK_DONE && !matches!(op, crate::sim::Op::Merge(_)));
        if let Some((op, _)) = changed {
            return Err(format!("{call} {number} failed, and later {op:?} reported success"));
        }
    }
    let failed =
        ended.answers.iter().position(|answer| *answer == super::ACK_FAILED).map_or(ended.answers.len(), |at| at + 1);
    let mut model = shadow.after(&ops, &ended.answers[..failed])?;
    open_and_judge(&target.path, &target.config, &mut model)?;
    target.model = model;
    Ok(hit)
}
