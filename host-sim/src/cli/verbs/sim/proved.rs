//! What a proof on real files has to tell.

use std::io::{self, Write};

use serde::Serialize;

use super::super::super::{
    failure::{Failure, Kind},
    ui::{Report, Style, Ui},
};

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
    started: std::time::Instant,
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

/// Something that the machine does not have.
pub fn missing(why: String) -> Failure {
    Failure::new(Kind::Missing, why)
}

/// A directory for the files of a proof: the one that was named, or a new one that goes away.
pub fn directory(named: Option<&std::path::Path>) -> Result<tempfile::TempDir, Failure> {
    let dir = named.map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    dir.map_err(|error| Failure::new(Kind::Io, format!("cannot make a directory for the files: {error}")))
}
