//! `cowl read`: bytes of a layer on standard output.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::super::{
    failure::{Failure, Kind},
    interrupt, select,
    session::{Access, with_pool},
    size::parse_size,
    ui::{Ui, Unit, settle},
};

/// Bytes moved at a time: a whole number of sectors of any size.
const CHUNK: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl read p.cowl vm --offset 0 --length 512 | xxd
  cowl read p.cowl before-upgrade --offset 1M > tail.bin")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layer: a volume or a snapshot
    layer: String,
    /// Where to begin, in bytes
    #[arg(long, default_value = "0", value_parser = parse_size)]
    offset: u64,
    /// How many bytes; default: to the end
    #[arg(long, value_parser = parse_size)]
    length: Option<u64>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    with_pool(ui, &args.pool, Access::Read, |pool| {
        let (layer, units) = (select::layer(pool, &args.layer)?, pool.units());
        let (size, total) = (u64::from(units.sector), units.sectors(layer.sectors));
        let length = args.length.unwrap_or(total.saturating_sub(args.offset));
        let end = args.offset.checked_add(length).filter(|end| *end <= total);
        let end = end.ok_or_else(|| {
            Failure::new(
                Kind::Usage,
                format!("{} ends at byte {total}, before the end of that range", select::show(&layer)),
            )
        })?;
        let mut out = io::stdout().lock();
        let mut buffer = vec![0; usize::try_from(CHUNK).unwrap_or(1 << 20)];
        let mut at = args.offset;
        let mut bar = ui.progress("read", length, Unit::Bytes);
        while at < end {
            interrupt::check("not everything was read", "give a later --offset to go on")?;
            let first = at / size;
            let last = end.div_ceil(size).min(first + CHUNK / size);
            let bytes = &mut buffer[..usize::try_from((last - first) * size).unwrap_or(0)];
            pool.read(layer.id, first, bytes)
                .map_err(|failure| failure.during(format_args!("cannot read {} at {at}", select::show(&layer))))?;
            let start = usize::try_from(at - first * size).unwrap_or(0);
            let stop = usize::try_from(end - first * size).unwrap_or(usize::MAX).min(bytes.len());
            match out.write_all(&bytes[start..stop]) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                written => settle(written)?,
            }
            at = first * size + stop as u64;
            bar.set(at - args.offset);
        }
        bar.finish();
        settle(out.flush())
    })
}
