//! `cowl resize`: a volume becomes larger or smaller; its snapshots keep their sizes.

use std::path::PathBuf;

use super::super::{
    failure::{Failure, Kind},
    select,
    session::{Access, whole_sectors, with_pool},
    size::{Bytes, parse_size},
    ui::Ui,
};
use super::Done;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl resize p.cowl vm 4G
  cowl resize p.cowl vm 1G --shrink

What is added reads zeros. Shrinking loses what lies beyond the new end, and therefore needs --shrink.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The volume
    volume: String,
    /// Its new size
    #[arg(value_parser = parse_size)]
    size: u64,
    /// Allow the volume to become smaller
    #[arg(long)]
    shrink: bool,
    /// Make a volume smaller that clients of the pool's server are using: these are cut off first
    #[arg(long)]
    force: bool,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let done = with_pool(ui, &args.pool, Access::Write, |pool| {
        let (volume, units) = (select::volume(pool, &args.volume)?, pool.units());
        let sectors = whole_sectors("size", args.size, units.sector)?;
        if sectors < volume.sectors && !args.shrink {
            let what = format!(
                "{} has {}: making it smaller loses what lies beyond {}",
                select::show(&volume),
                Bytes(units.sectors(volume.sectors)),
                Bytes(args.size)
            );
            return Err(Failure::new(Kind::Refused, what).hint("--shrink does it all the same"));
        }
        pool.resize(volume.id, sectors, args.force)
            .map_err(|failure| failure.during(format_args!("cannot resize {}", select::show(&volume))))?;
        Done::new(
            pool,
            &[volume.id],
            format!(
                "{}: {} instead of {}",
                select::show(&volume),
                Bytes(args.size),
                Bytes(units.sectors(volume.sectors))
            ),
        )
    })?;
    ui.show(&done)
}
