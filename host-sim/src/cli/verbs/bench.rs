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
use crate::bench::{Line, Size, amounts, curves, month, nbd, plot, process, stalls};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl bench
  cowl bench /dev/shm --volume 1G --rounds 9
  cowl bench /var/tmp --json
  cowl bench --only curves --only month --plots .

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
    /// Days that a volume lives through
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Snapshots at the end of the curve over depth
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    deepest: u32,
    /// Draws curves and the month as SVG files in this directory
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Measure only this; can be given several times
    #[arg(long, value_enum)]
    only: Vec<Group>,
}

/// What can be measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// In this process, beside a plain file
    Process,
    /// Through a server, beside nbdkit and qemu-nbd
    Nbd,
    /// Amounts
    Amounts,
    /// How long writers wait beside snapshots and merge
    Stalls,
    /// Device reads by workspace and by depth
    Curves,
    /// A month of snapshots and random writes
    Month,
}

#[derive(Debug, Serialize)]
struct Table {
    dir: PathBuf,
    lines: Vec<Line>,
    /// Programs without which some of it was not measured.
    missing: Vec<&'static str>,
}

impl Report for Table {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{:<62} {:>12} {:>12} {:>9} {:>9}", "", "cowl", "beside it", "ratio", "target")?;
        for line in &self.lines {
            let other = line.other.map_or(String::new(), |other| format!("{} {}", rounded(other), line.unit));
            let ratio = line.other.map_or(String::new(), |_| format!("{:.2}", line.ratio));
            let target = line.target.map_or(String::new(), |target| format!("{target:.2}"));
            let missed = line.target.is_some_and(|target| line.ratio > target);
            let mark = if missed { style.bold(" missed") } else { String::new() };
            let ours = format!("{} {}", rounded(line.ours), line.unit);
            writeln!(out, "{:<62} {ours:>12} {other:>12} {ratio:>9} {target:>9}{mark}", line.what)?;
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        writeln!(out, "not measured, for want of {}: servers", self.missing.join(", "))
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
    let wanted = |group| args.only.is_empty() || args.only.contains(&group);
    let (mut lines, mut missing) = (Vec::new(), Vec::new());
    if wanted(Group::Process) {
        lines.extend(process::measure(&args.dir, size)?);
    }
    if wanted(Group::Nbd) {
        missing = nbd::missing();
        if missing.is_empty() {
            let program = std::env::current_exe().map_err(|error| Failure::file("find", &args.dir, &error))?;
            lines.extend(nbd::measure(&args.dir, size, &program)?);
        }
    }
    if wanted(Group::Amounts) {
        lines.extend(amounts::measure(&args.dir, args.volume)?);
    }
    if wanted(Group::Stalls) {
        lines.extend(stalls::measure(&args.dir, size)?);
    }
    if wanted(Group::Curves) {
        lines.extend(draw_curves(args)?);
    }
    if wanted(Group::Month) {
        let days = month::live(&args.dir, args.days)?;
        if let Some(folder) = &args.plots {
            plot::month(folder, &days)?;
        }
        lines.extend(month::lines(&days));
    }
    ui.show(&Table { dir: args.dir.clone(), lines, missing })
}

fn draw_curves(args: &Args) -> Result<Vec<Line>, Failure> {
    let workspace = curves::by_workspace(&args.dir, args.volume)?;
    let depth = curves::by_depth(&args.dir, args.deepest)?;
    if let Some(folder) = &args.plots {
        plot::workspace(folder, &workspace)?;
        plot::depth(folder, &depth)?;
    }
    let line = |what: String, reads: f64| Line::amount(what, reads, "", None);
    let mib = args.volume >> 20;
    let by_workspace = |(kib, reads): &(f64, f64)| {
        line(format!("device reads for a random read of {mib} MiB, workspace {kib:.0} KiB"), *reads)
    };
    let by_depth =
        |(depth, reads): &(f64, f64)| line(format!("device reads for a random read, {depth:.0} snapshots"), *reads);
    Ok(workspace.iter().map(by_workspace).chain(depth.iter().map(by_depth)).collect())
}
