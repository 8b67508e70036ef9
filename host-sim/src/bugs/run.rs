//! Running every bug against every harness, each in a process of its own.

use std::{
    collections::VecDeque,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
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

/// How a table is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'p> {
    /// The binary with the planted bugs.
    pub binary: &'p Path,
    /// What each harness gets for each bug, in seconds.
    pub seconds: u64,
    /// Processes at a time.
    pub jobs: usize,
}

/// How much longer the harnesses get for a bug that too few of them have found.
const PATIENCE: u64 = 8;

/// Runs every harness against no bug and against each of these. Bugs that too few harnesses find get a second, longer run. `done` is told
/// after each process of the first run how many have ended.
///
/// # Errors
/// The binary cannot be run.
pub fn run(plan: &Plan<'_>, bugs: &[Bug], done: &(dyn Fn(u64) + Sync)) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = vec![Row { bug: None, verdicts: Vec::new() }];
    rows.extend(bugs.iter().map(|bug| Row { bug: Some(*bug), verdicts: Vec::new() }));
    let all = (0..rows.len()).flat_map(|row| Harness::ALL.map(|harness| (row, harness))).collect();
    pass(plan, &mut rows, all, done)?;
    let mut again = Vec::new();
    for (number, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.bug.is_some() && !row.is_good()) {
        row.verdicts.retain(|verdict| {
            if verdict.found.is_none() {
                again.push((number, verdict.harness));
            }
            verdict.found.is_some()
        });
    }
    pass(&Plan { seconds: plan.seconds * PATIENCE, ..*plan }, &mut rows, again, &|_| ())?;
    for row in &mut rows {
        row.verdicts.sort_by_key(|verdict| verdict.harness);
    }
    Ok(rows)
}

/// Runs these harnesses against the bugs of these rows.
fn pass(
    plan: &Plan<'_>,
    rows: &mut [Row],
    tasks: Vec<(usize, Harness)>,
    done: &(dyn Fn(u64) + Sync),
) -> Result<(), String> {
    let numbers: Vec<u32> = rows.iter().map(|row| row.bug.map_or(0, |bug| bug.number)).collect();
    let shared: Shared = Mutex::new((tasks.into(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let Some((row, harness)) = locked(&shared).0.pop_front() else { break };
                    let verdict = one(plan, numbers[row], harness);
                    let verdicts = &mut locked(&shared).1;
                    verdicts.push((row, verdict));
                    done(verdicts.len() as u64);
                }
            });
        }
    });
    for (row, verdict) in std::mem::take(&mut locked(&shared).1) {
        rows[row].verdicts.push(verdict?);
    }
    Ok(())
}

/// What threads share: the tasks that are left, and the verdicts with their rows.
type Shared = Mutex<State>;
type State = (VecDeque<(usize, Harness)>, Vec<(usize, Result<Verdict, String>)>);

fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One harness against one bug.
fn one(plan: &Plan<'_>, bug: u32, harness: Harness) -> Result<Verdict, String> {
    let Plan { binary, seconds, .. } = *plan;
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
