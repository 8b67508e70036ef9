//! `cowl grow`: the pool takes in a device that has become larger.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    session::{Access, with_pool},
    size::{Bytes, parse_size},
    ui::{Report, Style, Ui},
    view::Units,
};
use crate::{FileOptions, HostDevice};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl grow p.cowl --size 8G
  cowl grow /dev/vg0/pool

A file is made longer (it stays sparse); a block device is taken as large as it is now.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The new size of the pool's file
    #[arg(long, value_parser = parse_size)]
    size: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Grown {
    before: u64,
    total: u64,
    free: u64,
}

impl Report for Grown {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "the pool has {} instead of {}, {} free", Bytes(self.total), Bytes(self.before), Bytes(self.free))
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    if let Some(size) = args.size {
        let mut device = HostDevice::open(&args.pool, &FileOptions::new())?;
        if size < device.size() {
            let what =
                format!("{} has {} already; a pool does not become smaller", args.pool.display(), Bytes(device.size()));
            return Err(Failure::new(Kind::Refused, what).hint("export its layers into a smaller pool"));
        }
        device.extend(size)?;
    }
    let report = with_pool(ui, &args.pool, Access::Write, |pool| {
        let (before, units) = (pool.space().total, Units::of(pool));
        let total = pool.grow()?;
        Ok(Grown { before: units.blocks(before), total: units.blocks(total), free: units.blocks(pool.space().free) })
    })?;
    ui.show(&report)
}
