//! `cowl sim replay`: one crash state, told from the beginning.

use std::io::{self, Write};

use serde::Serialize;

use super::super::super::{
    failure::{Failure, Kind},
    ui::{Report, Style, Ui},
};
use crate::sim::explore::{Token, narrate};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl sim replay cowl1:tiny:diverged:0.7:t2:c1:0.1

Exit code 5 if a promise is broken.")]
pub struct Args {
    /// The line that an exploration has printed
    token: String,
}

#[derive(Debug, Serialize)]
struct Story {
    token: String,
    lines: Vec<String>,
    broken: Option<String>,
}

impl Report for Story {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let token: Token = args.token.parse().map_err(|why: String| Failure::new(Kind::Usage, why))?;
    let (lines, broken) = narrate(&token).map_err(|why| Failure::new(Kind::Damage, why))?;
    let broken = broken.map(|broken| format!("{}: {}", broken.promise, broken.what));
    ui.show(&Story { token: token.to_string(), lines, broken: broken.clone() })?;
    broken.map_or(Ok(()), |what| Err(Failure::new(Kind::Damage, what)))
}
