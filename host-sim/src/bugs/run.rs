//! The table: every bug against harness after harness, until enough of them have found it.
//!
//! - A bug gets turns that grow longer: in each turn every harness that has not found it yet runs, the quickest first. So what is
//!   easy to find costs little, and only what is not costs the long turns.
//! - Without a bug every harness runs as long as the longest turn, and must find nothing: what it reports with a bug is the bug.
//! - Time is the processor's. A busy machine makes the table late, not different.

use std::{
    collections::VecDeque,
    env,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{
    Bug, Harness,
    process::{self, Answer},
};

/// What one harness made of one bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The harness.
    pub harness: Harness,
    /// What it came to.
    pub answer: Answer,
    /// How long it took: to find the bug, or in its longest turn.
    pub time: Duration,
}

/// What harnesses made of one bug; `bug` is none for the run without any.
#[derive(Debug, Clone)]
pub struct Row {
    /// The bug.
    pub bug: Option<Bug>,
    /// One for each harness that was tried.
    pub verdicts: Vec<Verdict>,
}

impl Row {
    /// How many harnesses found something.
    pub fn kills(&self) -> usize {
        self.verdicts.iter().filter(|verdict| matches!(verdict.answer, Answer::Found(_))).count()
    }

    /// How many must.
    pub fn needed(&self) -> usize {
        self.bug.map_or(0, |bug| bug.kind().kills_needed())
    }

    /// The row is as it must be: the bug is killed often enough; where there is no bug nothing is reported, and where everything
    /// must be there (`COWL_REQUIRE_ALL=1`) no harness lacks anything.
    pub fn is_good(&self) -> bool {
        if self.bug.is_some() {
            return self.kills() >= self.needed();
        }
        let lacking = self.verdicts.iter().any(|verdict| matches!(verdict.answer, Answer::Missing(_)));
        self.kills() == 0 && !(lacking && env::var_os("COWL_REQUIRE_ALL").is_some_and(|all| all == "1"))
    }

    /// What the harness came to.
    pub fn verdict(&self, harness: Harness) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.harness == harness)
    }

    /// There is nothing to be learned from another turn of this harness.
    fn is_done_with(&self, harness: Harness) -> bool {
        self.verdict(harness).is_some_and(|verdict| verdict.answer != Answer::Nothing || harness.is_finite())
    }

    fn note(&mut self, verdict: Verdict) {
        self.verdicts.retain(|old| old.harness != verdict.harness);
        self.verdicts.push(verdict);
        self.verdicts.sort_by_key(|verdict| verdict.harness);
    }
}

/// How a table is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'p> {
    /// The binary with the planted bugs.
    pub binary: &'p Path,
    /// The longest turn of a harness, in time of the processor.
    pub longest: Duration,
    /// Every harness is tried, even if enough others have found the bug.
    pub all: bool,
    /// Processes at a time.
    pub jobs: usize,
}

impl Plan<'_> {
    /// The turns: two short ones, in which most bugs are found, and the longest.
    fn turns(&self) -> [Duration; 3] {
        let usual = self.longest.min(Duration::from_secs(8));
        [usual / 32, usual / 6, self.longest]
    }
}

/// What a thread takes: a harness without a bug, or a bug with all its turns.
#[derive(Debug, Clone, Copy)]
enum Task {
    Clean(Harness),
    Kill(Bug),
}

/// What threads share: the tasks that are left, and the rows.
type Shared = Mutex<State>;
type State = (VecDeque<Task>, Vec<Result<Row, String>>);

fn locked(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many tasks a run has; `done` in [`run`] counts up to it.
pub fn tasks(bugs: &[Bug]) -> u64 {
    (bugs.len() + Harness::ALL.len()) as u64
}

/// Runs the harnesses against no bug and against each of these: the row without a bug first, then one for each. `done` is told how
/// many tasks have ended.
///
/// # Errors
/// The binary cannot be run.
pub fn run(plan: &Plan<'_>, bugs: &[Bug], done: &(dyn Fn(u64) + Sync)) -> Result<Vec<Row>, String> {
    let clean = Harness::ALL.map(Task::Clean);
    let tasks = clean.into_iter().chain(bugs.iter().copied().map(Task::Kill)).collect();
    let shared: Shared = Mutex::new((tasks, Vec::new()));
    thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let Some(task) = locked(&shared).0.pop_front() else { break };
                    let row = match task {
                        Task::Clean(harness) => clean_run(plan, harness),
                        Task::Kill(bug) => hunt(plan, bug),
                    };
                    let rows = &mut locked(&shared).1;
                    rows.push(row);
                    done(rows.len() as u64);
                }
            });
        }
    });
    let rows = std::mem::take(&mut locked(&shared).1);
    gather(rows.into_iter().collect::<Result<_, _>>()?)
}

/// One row without a bug, then the others by number.
fn gather(rows: Vec<Row>) -> Result<Vec<Row>, String> {
    let mut clean = Row { bug: None, verdicts: Vec::new() };
    let mut killed = Vec::new();
    for row in rows {
        if row.bug.is_none() {
            row.verdicts.into_iter().for_each(|verdict| clean.note(verdict));
        } else {
            killed.push(row);
        }
    }
    killed.sort_by_key(|row| row.bug.map(|bug| bug.number));
    if clean.verdicts.is_empty() {
        return Err("no harness ran without a bug".to_owned());
    }
    killed.insert(0, clean);
    Ok(killed)
}

fn clean_run(plan: &Plan<'_>, harness: Harness) -> Result<Row, String> {
    let (answer, time) = process::run(plan.binary, 0, harness, plan.longest)?;
    Ok(Row { bug: None, verdicts: vec![Verdict { harness, answer, time }] })
}

/// Turn after turn until enough harnesses have found the bug.
fn hunt(plan: &Plan<'_>, bug: Bug) -> Result<Row, String> {
    let mut row = Row { bug: Some(bug), verdicts: Vec::new() };
    for turn in plan.turns() {
        for harness in Harness::ALL.into_iter().filter(|harness| harness.concerns(bug.kind())) {
            if row.is_done_with(harness) {
                continue;
            }
            let (answer, time) = process::run(plan.binary, bug.number, harness, turn)?;
            row.note(Verdict { harness, answer, time });
            if row.is_good() && !plan.all {
                return Ok(row);
            }
        }
    }
    Ok(row)
}
