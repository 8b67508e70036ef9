//! `cowl diff`: which ranges differ between two layers of a tree.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use cowl::{Extent, ExtentKind};
use serde::Serialize;

use super::super::{
    failure::Failure,
    interrupt,
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    size::Bytes,
    ui::{Report, Style, Ui, Unit},
    view::Units,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl diff p.cowl before-upgrade vm
  cowl diff p.cowl monday tuesday --summary

The ranges are in bytes, and told by what the second layer holds there. The cost is that of the change, not of the disks.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The first layer
    a: String,
    /// The second layer
    b: String,
    /// Only the totals
    #[arg(long, short)]
    summary: bool,
}

#[derive(Debug, Serialize)]
struct Range {
    offset: u64,
    length: u64,
    content: &'static str,
}

#[derive(Debug, Serialize)]
struct Difference {
    a: String,
    b: String,
    ranges: u64,
    data: u64,
    zeros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Range>>,
}

impl Report for Difference {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        for range in self.changes.iter().flatten() {
            writeln!(out, "{:>16} {:>14}  {}", range.offset, range.length, range.content)?;
        }
        if self.ranges == 0 {
            return writeln!(out, "{} and {} are the same", self.a, self.b);
        }
        writeln!(
            out,
            "{} {}: {} with data in {}, {} empty there",
            self.ranges,
            if self.ranges == 1 { "range differs" } else { "ranges differ" },
            Bytes(self.data),
            self.b,
            Bytes(self.zeros)
        )
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    ui.show(&with_pool(ui, &args.pool, Access::Read, |pool| compare(ui, pool, args))?)
}

fn compare(ui: &Ui, pool: &mut dyn AnyPool, args: &Args) -> Result<Difference, Failure> {
    let (a, b, units) = (select::layer(pool, &args.a)?, select::layer(pool, &args.b)?, pool.units());
    let mut found = Difference {
        a: select::show(&a),
        b: select::show(&b),
        ranges: 0,
        data: 0,
        zeros: 0,
        changes: (!args.summary).then(Vec::new),
    };
    let (mut from, mut last) = (0, None::<Range>);
    let mut bar = ui.progress("compare", units.sectors(b.sectors), Unit::Bytes);
    loop {
        interrupt::check("the comparison is not finished", "run the command again")?;
        let next = pool
            .diff(a.id, b.id, from)
            .map_err(|failure| failure.during(format_args!("cannot compare {} and {}", found.a, found.b)))?;
        let Some(extent) = next else { break };
        from = extent.sector + extent.count;
        bar.set(units.sectors(from));
        let range = range(&extent, units);
        match &mut last {
            Some(last) if last.offset + last.length == range.offset && last.content == range.content => {
                last.length += range.length;
            }
            _ => found.add(last.replace(range)),
        }
    }
    bar.finish();
    found.add(last);
    Ok(found)
}

impl Difference {
    fn add(&mut self, range: Option<Range>) {
        let Some(range) = range else { return };
        self.ranges += 1;
        *(if range.content == "data" { &mut self.data } else { &mut self.zeros }) += range.length;
        if let Some(changes) = &mut self.changes {
            changes.push(range);
        }
    }
}

fn range(extent: &Extent, units: Units) -> Range {
    let content = match extent.kind {
        ExtentKind::Data { .. } => "data",
        ExtentKind::Zero => "zeros",
        ExtentKind::Empty => "empty",
    };
    Range { offset: units.sectors(extent.sector), length: units.sectors(extent.count), content }
}
