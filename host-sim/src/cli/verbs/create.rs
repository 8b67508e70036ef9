//! `cowl create`: an empty volume.

use std::path::PathBuf;

use cowl::LayerFlags;

use super::super::{
    failure::Failure,
    session::{Access, whole_sectors, with_pool},
    size::{Bytes, parse_size},
    ui::Ui,
};
use super::{Done, attributes};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl create p.cowl vm --size 2G
  cowl create p.cowl db --size 2G --guaranteed --integrity

A thin volume takes space as it is written and can run out of it; a guaranteed one cannot.
With --integrity every block carries a checksum: damage is found when it is read, and every write moves its block.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The new volume's name
    name: String,
    /// Its size
    #[arg(long, value_parser = parse_size)]
    size: u64,
    #[command(flatten)]
    kind: VolumeOptions,
    /// A text to keep with it
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
}

/// Properties of new volumes.
#[derive(Debug, clap::Args)]
pub struct VolumeOptions {
    /// Reserve space for all of it: it never runs out
    #[arg(long)]
    guaranteed: bool,
    /// Keep a checksum of every data block
    #[arg(long)]
    integrity: bool,
}

impl VolumeOptions {
    /// As cowl wants them.
    pub fn flags(&self) -> LayerFlags {
        let mut flags = LayerFlags::empty();
        flags.set(LayerFlags::GUARANTEED, self.guaranteed);
        flags.set(LayerFlags::INTEGRITY, self.integrity);
        flags
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let done = with_pool(ui, &args.pool, Access::Write, |pool| {
        let sectors = whole_sectors("size", args.size, pool.units().sector)?;
        let id = pool
            .create(&attributes(&args.name, &args.description), sectors, args.kind.flags())
            .map_err(|failure| failure.during(format_args!("cannot create `{}`", args.name)))?;
        Done::new(pool, &[id], format!("{} {id}: a volume of {}", args.name, Bytes(args.size)))
    })?;
    ui.show(&done)
}
