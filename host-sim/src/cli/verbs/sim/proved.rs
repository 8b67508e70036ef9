//! What a proof on real files has to tell.

use std::{
    io::{self, Write},
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

/// Rounds with seeds that follow each other, so many on one subject before the next is made.
pub struct Rounds<'a> {
    /// What is shown while they run.
    pub action: &'static str,
    /// The first seed.
    pub seed: u64,
    /// How many rounds.
    pub count: u64,
    /// How many on one subject.
    pub each: u64,
    /// Stop after so long.
    pub seconds: Option<u64>,
    /// The command that plays these rounds again: the first seed, how many.
    pub again: &'a dyn Fn(u64, u64) -> String,
}

impl Rounds<'_> {
    /// Plays them, to the first violation. How many went well, and the violation with the command that shows it again.
    ///
    /// # Errors
    /// A subject cannot be made.
    pub fn play<T>(
        &self,
        ui: &Ui,
        mut make: impl FnMut(usize) -> Result<T, Failure>,
        mut round: impl FnMut(&mut T, u64) -> Outcome<()>,
    ) -> Result<(u64, Option<(String, String)>), Failure> {
        let started = Instant::now();
        let mut progress = ui.progress(self.action, self.count, Unit::Steps);
        let (end, mut seed, mut violation, mut stopped) = (self.seed + self.count, self.seed, None, false);
        while seed < end && violation.is_none() && !stopped {
            let first = seed;
            let mut subject = make(usize::try_from(first / self.each).unwrap_or(0))?;
            while seed < end.min(first + self.each) && violation.is_none() && !stopped {
                match round(&mut subject, seed) {
                    Ok(()) => seed += 1,
                    Err(why) => violation = Some((why, (self.again)(first, seed - first + 1))),
                }
                progress.set(seed - self.seed);
                stopped = interrupt::asked() || self.seconds.is_some_and(|most| started.elapsed().as_secs() >= most);
            }
        }
        progress.finish();
        Ok((seed - self.seed, violation))
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
