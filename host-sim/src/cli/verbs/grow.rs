//! `cowl grow`: the pool takes in a device that has become larger.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::super::{
    failure::Failure,
    session::{Access, with_pool},
    size::{Bytes, parse_size},
    ui::{Report, Style, Ui},
};

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
    let report = with_pool(ui, &args.pool, Access::Write, |pool| {
        let (before, units) = (pool.space()?.total, pool.units());
        let total = pool.grow(args.size)?;
        Ok(Grown { before: units.blocks(before), total: units.blocks(total), free: units.blocks(pool.space()?.free) })
    })?;
    ui.show(&report)
}
