//! A worker under strace: the system calls that change its file.

use std::{
    fs,
    process::{Command, Stdio},
};

use super::{Ended, Outcome, Round, Target, said};

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

/// A system call, and whether strace made it fail instead of letting it through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The call.
    pub call: Syscall,
    /// strace answered it.
    pub injected: bool,
}

const CALLS: &str =
    "pwrite64,pwritev,pwritev2,write,fdatasync,fsync,fallocate,ftruncate,copy_file_range,sync_file_range,msync";

/// strace is there, and may trace.
///
/// # Errors
/// It is not, or may not.
pub fn available() -> Outcome<()> {
    let run = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-e", "trace=fsync", "-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("strace may not trace processes here, or is older than 5.3".into()),
        Err(error) => Err(format!("strace is needed (`apt-get install strace`): {error}")),
    }
}

/// Runs a worker under strace, with a rule for injections if one is given: how it ended, and its calls.
///
/// # Errors
/// It cannot be run, or it made a call that the simulator does not know.
pub fn listen(round: &Round, target: &Target, rule: Option<&str>) -> Outcome<(Ended, Vec<Heard>)> {
    let log = target.path.with_extension("log");
    let mut before =
        ["strace", "-f", "-o", &log.display().to_string(), "-e", &format!("trace={CALLS}")].map(String::from).to_vec();
    // The process then stops at these calls alone, not at every call; but strace sends no signal from there.
    if !rule.is_some_and(|rule| rule.contains(":signal=")) {
        before.push("--seccomp-bpf".into());
    }
    before.extend(rule.into_iter().flat_map(|rule| ["-e".to_string(), format!("inject={rule}")]));
    let ended = round.run(&mut round.command(target, &before))?;
    let text = fs::read(&log).map_err(said("the trace cannot be read"))?;
    Ok((ended, heard(&String::from_utf8_lossy(&text))?))
}

fn heard(text: &str) -> Outcome<Vec<Heard>> {
    // What the worker acknowledges and says are writes too, to its standard output and error.
    let spoken = |line: &str| line.contains(" write(1,") || line.contains(" write(2,");
    // A process that is killed before a call has not made it.
    let killed = text.contains("+++ killed by SIGKILL +++");
    let unmade = |line: &str| killed && line.ends_with("<unfinished ...>");
    let mut heard = Vec::new();
    for line in text.lines().filter(|line| line.contains('(') && !spoken(line) && !unmade(line)) {
        let call =
            parse_line(line).ok_or_else(|| format!("the process did what the simulator does not know: {line}"))?;
        heard.push(Heard { call, injected: line.ends_with("(INJECTED)") });
    }
    Ok(heard)
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
            let offset = last.next()?.parse().ok()?;
            (last.next()? == "FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE").then_some(Syscall::Punch(offset, length))
        }
        _ => None,
    }
}
