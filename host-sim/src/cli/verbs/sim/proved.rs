//! What a proof on real files has to tell.

use std::{
    io::{self, Write},
    num::NonZero,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Instant,
};

use serde::Serialize;

use super::super::super::{
    failure::{Failure, Kind},
    interrupt,
    ui::{Report, Style, Ui, Unit},
};
use crate::real::Outcome;

/// Counts of a proof, by name, and how long it took.
#[derive(Debug, Serialize)]
pub struct Proved {
    proof: &'static str,
    counts: Vec<(&'static str, u64)>,
    violations: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<String>,
    seconds: f64,
}

impl Report for Proved {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        for (name, count) in &self.counts {
            writeln!(out, "{name:<32} {count}")?;
        }
        writeln!(out, "{:<32} {:.1}", "seconds", self.seconds)?;
        match &self.violation {
            Some(what) => writeln!(out, "BROKEN: {what}"),
            None => writeln!(out, "{}: no promise was broken", self.proof),
        }
    }
}

/// Shows the counts; a violation is damage, with the command that shows it again.
pub fn show(
    ui: &Ui,
    proof: &'static str,
    counts: &[(&'static str, u64)],
    violation: Option<(String, String)>,
    started: Instant,
) -> Result<(), Failure> {
    let (what, again) = violation.unzip();
    let violations = u64::from(what.is_some());
    let seconds = started.elapsed().as_secs_f64();
    ui.show(&Proved { proof, counts: counts.to_vec(), violations, violation: what.clone(), seconds })?;
    match what {
        Some(what) => Err(Failure::new(Kind::Damage, what).hint(again.unwrap_or_default())),
        None => Ok(()),
    }
}

/// Rounds with seeds that follow each other, so many on one subject before the next is made, several subjects at a time.
pub struct Rounds<'a> {
    /// What is shown while they run.
    pub action: &'static str,
    /// The first seed.
    pub seed: u64,
    /// How many rounds.
    pub count: u64,
    /// How many on one subject.
    pub each: u64,
    /// Subjects at a time; one for each processor if it is not said.
    pub jobs: Option<usize>,
    /// Stop after so long.
    pub seconds: Option<u64>,
    /// The command that plays these rounds again: the first seed, how many.
    pub again: &'a dyn Fn(u64, u64) -> String,
}

/// What a thread has to tell.
enum Told<C> {
    /// A round went well, and came to this.
    Round(C),
    /// The violation, and the seeds that led to it: the first, how many.
    Broken(String, u64, u64),
    /// A subject could not be made.
    Failed(Failure),
}

/// What the threads share.
struct Shared {
    started: Instant,
    seconds: Option<u64>,
    next: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn ended(&self) -> bool {
        let over = self.seconds.is_some_and(|most| self.started.elapsed().as_secs() >= most);
        over || self.stop.load(Ordering::Relaxed) || interrupt::asked()
    }
}

impl Rounds<'_> {
    /// Plays them, to the first violation, and tells what each has come to. The violation, with the command that shows it again.
    ///
    /// # Errors
    /// A subject cannot be made.
    pub fn play<T, C: Send>(
        &self,
        ui: &Ui,
        make: impl Fn(usize) -> Result<T, Failure> + Sync,
        round: impl Fn(&mut T, u64) -> Outcome<C> + Sync,
        mut add: impl FnMut(C),
    ) -> Result<Option<(String, String)>, Failure> {
        let mut progress = ui.progress(self.action, self.count, Unit::Steps);
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let shared = Shared {
            started: Instant::now(),
            seconds: self.seconds,
            next: AtomicU64::new(self.seed),
            stop: AtomicBool::new(false),
        };
        let (tell, told) = channel();
        let seeds = Seeds { end: self.seed + self.count, each: self.each };
        let result = thread::scope(|scope| {
            for _ in 0..self.jobs.unwrap_or(processors).max(1) {
                let (shared, make, round, tell) = (&shared, &make, &round, tell.clone());
                scope.spawn(move || seeds.play(shared, make, round, &tell));
            }
            drop(tell);
            let mut violation = None;
            for told in told {
                match told {
                    Told::Round(came_to) => add(came_to),
                    Told::Broken(why, first, count) => {
                        violation = violation.or_else(|| Some((why, (self.again)(first, count))));
                    }
                    Told::Failed(failure) => return Err(failure),
                }
                progress.add(1);
            }
            Ok(violation)
        });
        progress.finish();
        result
    }
}

/// The seeds of all rounds.
#[derive(Clone, Copy)]
struct Seeds {
    end: u64,
    each: u64,
}

impl Seeds {
    /// One thread's part: subject after subject.
    fn play<T, C>(
        self,
        shared: &Shared,
        make: &impl Fn(usize) -> Result<T, Failure>,
        round: &impl Fn(&mut T, u64) -> Outcome<C>,
        tell: &Sender<Told<C>>,
    ) {
        while !shared.ended() {
            let first = shared.next.fetch_add(self.each, Ordering::Relaxed);
            if first >= self.end {
                return;
            }
            let played = make(usize::try_from(first / self.each).unwrap_or(0))
                .map_err(Told::Failed)
                .and_then(|mut subject| self.subject(shared, &mut subject, first, round, tell));
            if let Err(bad) = played {
                shared.stop.store(true, Ordering::Relaxed);
                // Who listens no more has heard of a failure.
                let _ = tell.send(bad);
            }
        }
    }

    /// The rounds on one subject.
    fn subject<T, C>(
        self,
        shared: &Shared,
        subject: &mut T,
        first: u64,
        round: &impl Fn(&mut T, u64) -> Outcome<C>,
        tell: &Sender<Told<C>>,
    ) -> Result<(), Told<C>> {
        for seed in first..self.end.min(first + self.each) {
            let came_to = round(subject, seed).map_err(|why| Told::Broken(why, first, seed - first + 1))?;
            if tell.send(Told::Round(came_to)).is_err() || shared.ended() {
                break;
            }
        }
        Ok(())
    }
}

/// Something that the machine does not have.
pub fn missing(why: String) -> Failure {
    Failure::new(Kind::Missing, why)
}

/// A directory for the files of a proof: the one that was named, or a new one that goes away.
pub fn directory(named: Option<&std::path::Path>) -> Result<tempfile::TempDir, Failure> {
    let dir = named.map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    dir.map_err(|error| Failure::new(Kind::Io, format!("cannot make a directory for the files: {error}")))
}
