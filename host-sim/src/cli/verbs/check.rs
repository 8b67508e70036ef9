//! `cowl check`: every structure is walked and counted again; with `--scrub` the data is read too.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    pool::{AnyPool, Order},
    session::{Access, with_pool},
    size::{Bytes, parse_size},
    ui::{Report, Style, Ui, Unit},
};

/// Findings that are told one by one.
const TOLD: usize = 1000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl check p.cowl
  cowl check p.cowl --scrub

Nothing is changed. Exit code 5 if anything was found; a copy of the superblock that a power cut tore is told and is no damage. --scrub reads every data block, which finds unreadable places \
everywhere and silent damage in volumes with --integrity.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Read the data too
    #[arg(long)]
    scrub: bool,
    /// Memory for counting: less means more passes
    #[arg(long, default_value = "16M", value_parser = parse_size)]
    memory: u64,
}

#[derive(Debug, Serialize)]
struct Health {
    pool: PathBuf,
    clean: bool,
    findings: u64,
    told: Vec<String>,
    unreadable_copies: Vec<u8>,
    blocks: u64,
    used: u64,
    passes: u64,
    scrubbed: bool,
}

impl Report for Health {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        for finding in &self.told {
            writeln!(out, "found: {finding}")?;
        }
        let hidden = self.findings.saturating_sub(self.told.len() as u64);
        if hidden > 0 {
            writeln!(out, "… and {hidden} more")?;
        }
        for slot in &self.unreadable_copies {
            writeln!(
                out,
                "slot {slot} of the superblock cannot be read, as after a power cut during a checkpoint; another is whole, \
                and this one is written anew by one of the next two checkpoints"
            )?;
        }
        let data = if self.scrubbed { ", data read" } else { "" };
        let verdict = if self.clean { "clean".to_owned() } else { format!("{} findings", self.findings) };
        writeln!(
            out,
            "{}: {verdict}; {} blocks checked ({} in use){data}",
            self.pool.display(),
            self.blocks,
            Bytes(self.used)
        )
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let health = with_pool(ui, &args.pool, Access::Read, |pool| check(ui, pool, args))?;
    ui.show(&health)?;
    if health.clean {
        return Ok(());
    }
    Err(Failure::new(Kind::Damage, format!("{} is damaged: {} findings", args.pool.display(), health.findings))
        .hint("export what can still be read (`cowl export`), then restore the pool from a backup"))
}

fn check(ui: &Ui, pool: &mut dyn AnyPool, args: &Args) -> Result<Health, Failure> {
    let memory = usize::try_from(args.memory.clamp(64, 1 << 32)).unwrap_or(1 << 24);
    let mut progress = ui.progress("checking", 0, Unit::Steps);
    let order = Order { memory, scrub: args.scrub, told: TOLD };
    let checked = pool.check(&order, &mut |done, of| {
        progress.set_total(of);
        progress.set(done);
    })?;
    progress.finish();
    let (space, units) = (pool.space()?, pool.units());
    Ok(Health {
        pool: args.pool.clone(),
        clean: checked.findings == 0,
        findings: checked.findings,
        told: checked.told,
        unreadable_copies: checked.unreadable_copies,
        blocks: checked.blocks,
        used: units.blocks(space.total - space.free),
        passes: checked.passes,
        scrubbed: args.scrub,
    })
}
