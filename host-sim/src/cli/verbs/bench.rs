//! `cowl bench`: see `crate::bench`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    size::parse_size,
    ui::{Report, Style, Ui},
};
use crate::bench::{Line, Size, amounts, process};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl bench
  cowl bench /dev/shm --volume 1G --rounds 9
  cowl bench /var/tmp --json

Each time is a median over rounds in which a plain file is measured right before or after. Amounts are exact counts. \
Files are made in the directory and removed again.")]
pub struct Args {
    /// Where the files are made
    #[arg(default_value = "/dev/shm")]
    dir: PathBuf,
    /// Size of the volumes
    #[arg(long, default_value = "256M", value_parser = parse_size)]
    volume: u64,
    /// Operations in a round
    #[arg(long, default_value_t = 50_000)]
    operations: usize,
    /// Rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Snapshots of the deep chain
    #[arg(long, default_value_t = 255)]
    depth: u32,
}

#[derive(Debug, Serialize)]
struct Table {
    dir: PathBuf,
    lines: Vec<Line>,
}

impl Report for Table {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{:<58} {:>12} {:>12} {:>9} {:>9}", "", "cowl", "plain file", "ratio", "target")?;
        for line in &self.lines {
            let other = line.other.map_or(String::new(), |other| format!("{other:.0} {}", line.unit));
            let ratio = line.other.map_or(String::new(), |_| format!("{:.2}", line.ratio));
            let target = line.target.map_or(String::new(), |target| format!("{target:.2}"));
            let missed = line.target.is_some_and(|target| line.ratio > target);
            let mark = if missed { style.bold(" missed") } else { String::new() };
            let ours = format!("{} {}", rounded(line.ours), line.unit);
            writeln!(out, "{:<58} {ours:>12} {other:>12} {ratio:>9} {target:>9}{mark}", line.what)?;
        }
        Ok(())
    }
}

fn rounded(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    if args.volume < 16 << 20 || !args.volume.is_multiple_of(1 << 20) || args.rounds == 0 || args.operations == 0 {
        return Err(Failure::new(
            Kind::Usage,
            "the volume is a whole number of MiB, at least 16, and all else at least 1",
        ));
    }
    let size = Size { volume: args.volume, operations: args.operations, rounds: args.rounds, depth: args.depth };
    let mut lines = process::measure(&args.dir, size)?;
    lines.extend(amounts::measure(&args.dir, args.volume)?);
    ui.show(&Table { dir: args.dir.clone(), lines })
}
