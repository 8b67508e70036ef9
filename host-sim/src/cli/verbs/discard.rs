//! `cowl discard`: a range of a volume is no longer needed.

use std::path::PathBuf;

use super::super::{
    failure::Failure,
    select,
    session::{Access, whole_sectors, with_pool},
    size::{Bytes, parse_size},
    ui::Ui,
};
use super::Done;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl discard p.cowl vm --offset 1G --length 512M
  cowl discard p.cowl vm --offset 0 --length 512 --zero

Whole blocks inside the range read zeros from now on and give back their space (snapshots keep theirs); blocks that the \
range covers only in part keep their content. With --zero every byte of the range reads zeros.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The volume
    volume: String,
    /// Where the range begins, in bytes
    #[arg(long, value_parser = parse_size)]
    offset: u64,
    /// How long it is
    #[arg(long, value_parser = parse_size)]
    length: u64,
    /// Make every byte zero, also in blocks that are covered in part
    #[arg(long)]
    zero: bool,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let done = with_pool(ui, &args.pool, Access::Write, |pool| {
        let (volume, units) = (select::volume(pool, &args.volume)?, pool.units());
        let sector = whole_sectors("offset", args.offset, units.sector)?;
        let count = whole_sectors("length", args.length, units.sector)?;
        let before = pool.layer(volume.id)?.delta.data;
        let discarded = if args.zero {
            pool.write_zeroes(volume.id, sector, count)
        } else {
            pool.discard(volume.id, sector, count)
        };
        discarded
            .and_then(|()| pool.checkpoint())
            .map_err(|failure| failure.during(format_args!("cannot discard in {}", select::show(&volume))))?;
        let freed = units.blocks(before.saturating_sub(pool.layer(volume.id)?.delta.data));
        Done::new(
            pool,
            &[volume.id],
            format!(
                "{}: {} at {} discarded, {} of data given back",
                select::show(&volume),
                Bytes(args.length),
                args.offset,
                Bytes(freed)
            ),
        )
    })?;
    ui.show(&done)
}
