//! `cowl delete`: layers go, wherever in the tree they stand; their space is given back at once.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::super::{
    failure::Failure,
    merging,
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    size::Bytes,
    ui::{Report, Style, Ui},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl delete p.cowl before-upgrade
  cowl delete p.cowl test monday tuesday --no-merge

Layers above a deleted one keep their content, to the byte. `cowl what-if` tells beforehand what a delete gives back.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layers
    #[arg(required = true)]
    layers: Vec<String>,
    /// Only mark them; `cowl merge` gives back the space
    #[arg(long)]
    no_merge: bool,
    /// Do not punch holes into the pool's file
    #[arg(long)]
    no_trim: bool,
    /// Delete layers that clients of the pool's server are using: these are cut off first
    #[arg(long)]
    force: bool,
}

/// What deleting or merging has given back.
#[derive(Debug, Serialize)]
pub struct Reclaimed {
    /// The layers deleted.
    pub deleted: Vec<String>,
    /// Bytes that became free.
    pub freed: u64,
    /// Bytes that are free now.
    pub free: u64,
    /// Bytes that merge can still give back.
    pub reclaimable: u64,
}

impl Report for Reclaimed {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        if !self.deleted.is_empty() {
            write!(out, "deleted {}: ", self.deleted.join(", "))?;
        }
        write!(out, "{} given back, {} free", Bytes(self.freed), Bytes(self.free))?;
        if self.reclaimable > 0 {
            write!(out, ", {} left for `cowl merge`", Bytes(self.reclaimable))?;
        }
        writeln!(out)
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    ui.show(&with_pool(ui, &args.pool, Access::Write, |pool| delete(ui, pool, args))?)
}

fn delete(ui: &Ui, pool: &mut dyn AnyPool, args: &Args) -> Result<Reclaimed, Failure> {
    // All are looked up first: a name that does not exist deletes nothing.
    let mut layers = Vec::new();
    for text in &args.layers {
        let layer = select::layer(pool, text)?;
        if !layers.iter().any(|other: &cowl::LayerInfo| other.id == layer.id) {
            layers.push(layer);
        }
    }
    let before = pool.space()?.free;
    for layer in &layers {
        pool.delete(layer.id, args.force)
            .map_err(|failure| failure.during(format_args!("cannot delete {}", select::show(layer))))?;
    }
    let deleted = layers.iter().map(select::show).collect();
    if !args.no_merge {
        merging::merge_all(ui, pool)?;
        if !args.no_trim {
            merging::trim(ui, pool)?;
        }
    }
    reclaimed(pool, deleted, before)
}

/// The report after a merge; `before` is the number of blocks that were free.
///
/// # Errors
/// Those of the pool.
pub fn reclaimed(pool: &mut dyn AnyPool, deleted: Vec<String>, before: u64) -> Result<Reclaimed, Failure> {
    let (space, units) = (pool.space()?, pool.units());
    Ok(Reclaimed {
        deleted,
        freed: units.blocks(space.free.saturating_sub(before)),
        free: units.blocks(space.free),
        reclaimable: units.blocks(space.reclaimable),
    })
}
