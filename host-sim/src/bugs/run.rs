//! Running every bug against every harness, each in a process of its own.

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use super::{Bug, Harness, tree::PLANTED};

/// What a harness may take beyond its time before it counts as not coming to an end.
const GRACE: Duration = Duration::from_secs(10);

/// What one harness made of one bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The harness.
    pub harness: Harness,
    /// What it found, if it found the bug.
    pub found: Option<String>,
    /// How long it took.
    pub time: Duration,
}

/// What all harnesses made of one bug; `bug` is none for the run without any.
#[derive(Debug, Clone)]
pub struct Row {
    /// The bug.
    pub bug: Option<Bug>,
    /// One for each harness.
    pub verdicts: Vec<Verdict>,
}

impl Row {
    /// How many harnesses found something.
    pub fn kills(&self) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.found.is_some()).count()
    }

    /// The row is as it must be: the bug is killed often enough, and nothing is reported where there is no bug.
    pub fn is_good(&self) -> bool {
        match &self.bug {
            None => self.kills() == 0,
            Some(bug) => self.kills() >= bug.kind().kills_needed(),
        }
    }
}

/// Runs the harnesses of a planted binary against these bugs and, first, against none; `jobs` processes at a time. `done` is told
/// after each process how many have ended.
///
/// # Errors
/// The binary cannot be run.
pub fn run(
    binary: &Path,
    bugs: &[Bug],
    seconds: u64,
    jobs: usize,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = vec![Row { bug: None, verdicts: Vec::new() }];
    rows.extend(bugs.iter().map(|bug| Row { bug: Some(*bug), verdicts: Vec::new() }));
    let tasks: Vec<(usize, Harness)> =
        (0..rows.len()).flat_map(|row| Harness::ALL.map(|harness| (row, harness))).collect();
    let numbers: Vec<u32> = rows.iter().map(|row| row.bug.map_or(0, |bug| bug.number)).collect();
    let next = Mutex::new((0, Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let Some((row, harness)) = take(&next, &tasks) else { break };
                    let verdict = one(binary, numbers[row], harness, seconds);
                    let mut state = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    state.1.push((row, verdict));
                    done(state.1.len() as u64);
                }
            });
        }
    });
    let verdicts = next.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).1;
    for (row, verdict) in verdicts {
        rows[row].verdicts.push(verdict?);
    }
    for row in &mut rows {
        row.verdicts.sort_by_key(|verdict| verdict.harness as u8);
    }
    Ok(rows)
}

/// What a run hands from thread to thread: the number of tasks taken, and the verdicts with their rows.
type Shared = Mutex<(usize, Vec<(usize, Result<Verdict, String>)>)>;

fn take(next: &Shared, tasks: &[(usize, Harness)]) -> Option<(usize, Harness)> {
    let mut state = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let task = tasks.get(state.0).copied();
    state.0 += 1;
    task
}

/// One harness against one bug.
fn one(binary: &Path, bug: u32, harness: Harness, seconds: u64) -> Result<Verdict, String> {
    let started = Instant::now();
    let mut child = Command::new(binary)
        .args(["sim", "bugs", "--harness", harness.name(), "--seconds", &seconds.to_string()])
        .env(PLANTED, bug.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", binary.display()))?;
    let limit = Duration::from_secs(seconds) + GRACE;
    let complaint = child.stderr.take().map(|mut pipe| {
        thread::spawn(move || {
            let mut text = Vec::new();
            // What cannot be read is not told; the exit code decides.
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let ended = wait(&mut child, started, limit).map_err(|error| format!("{}: {error}", binary.display()))?;
    let complaint = complaint.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let found = match ended {
        None => Some("it does not come to an end".to_owned()),
        Some(true) => None,
        Some(false) => Some(complaint.lines().take(3).collect::<Vec<_>>().join(" ")),
    };
    Ok(Verdict { harness, found, time: started.elapsed() })
}

/// Waits for a process: whether it ended well, or none if it had to be ended.
fn wait(child: &mut Child, started: Instant, limit: Duration) -> std::io::Result<Option<bool>> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
