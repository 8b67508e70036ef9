//! One harness against one bug, in a process of its own.

use std::{
    io::Read,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Harness, tree::PLANTED};

/// What a harness may take beyond its time before it counts as not coming to an end; the longest step of a harness is far shorter.
const GRACE: Duration = Duration::from_secs(5);
/// After so long a process does not work, it waits for something: nothing is learned from that.
const STUCK: Duration = Duration::from_secs(1800);

/// The exit code of a harness that found something.
pub const FOUND: u8 = 5;
/// The exit code of a harness that needs what is not there.
pub const MISSING: u8 = 9;

/// What a harness came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is wrong, as far as it came.
    Nothing,
    /// What is wrong.
    Found(String),
    /// What it needs is not there.
    Missing(String),
}

/// Runs the harness of this binary with this bug, or none if it is 0; what it found, and the processor's time that it took.
///
/// # Errors
/// The binary cannot be run, or ends as no harness does.
pub fn run(binary: &Path, bug: u32, harness: Harness, time: Duration) -> Result<(Answer, Duration), String> {
    let told = |what: &str| format!("{} for bug {bug}: {what}", harness.name());
    let scratch = folder().map_err(|error| told(&error.to_string()))?;
    let mut child = Command::new(binary)
        .args(["sim", "bugs", "--harness", harness.name(), "--milliseconds", &time.as_millis().to_string()])
        .env(PLANTED, bug.to_string())
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| told(&format!("{}: {error}", binary.display())))?;
    let (out, complaint) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = wait(&mut child).map_err(|error| told(&error.to_string()))?;
    let status = status.ok_or_else(|| told("it waits for something that does not come"))?;
    if status.signal().is_some() {
        harness.clear(scratch.path());
    }
    let (out, complaint) = (out.join().unwrap_or_default(), complaint.join().unwrap_or_default());
    let said = complaint.lines().take(3).collect::<Vec<_>>().join(" ");
    let took = out.trim().parse().map_or(time, Duration::from_micros);
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok((Answer::Nothing, took)),
        (Some(code), _) if code == i32::from(FOUND) => Ok((Answer::Found(said), took)),
        (Some(code), _) if code == i32::from(MISSING) => Ok((Answer::Missing(said), took)),
        (Some(code), _) => Err(told(&format!("exit code {code}: {said}"))),
        (None, signal) => {
            Ok((Answer::Found(ended_by(signal, &said)), if ran_out(status) { time + GRACE } else { took }))
        }
    }
}

/// A folder for the files of a process, in memory if possible: bugs are looked for, not disks that lose their power.
fn folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

/// What a harness does first in its process: it may not take longer than this.
///
/// # Errors
/// The system refuses.
pub fn bounded(time: Duration) -> Result<(), String> {
    super::harness::end_after(time + GRACE)
}

/// The system ends what has used up its time with SIGKILL; nobody else does.
fn ran_out(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

fn ended_by(signal: Option<i32>, said: &str) -> String {
    match signal {
        Some(9) => "it does not come to an end".to_owned(),
        Some(signal) => format!("ended by signal {signal}: {said}"),
        None => said.to_owned(),
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        // What cannot be read is not told; the exit code decides.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Waits for a process; none if it had to be ended because it was stuck.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > STUCK {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
