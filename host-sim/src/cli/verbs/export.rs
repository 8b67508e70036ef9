//! `cowl export`: a layer, or an attachment, becomes a file.
//!
//! A regular file is written beside its final name and renamed when it is whole and durable; zeros become holes. Block
//! devices and pipes are written in place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use cowl::{ExtentKind, LayerInfo, LayerKind};
use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    images::{is_zero, runs},
    interrupt,
    pool::AnyPool,
    select,
    session::{Access, different_files, with_pool},
    size::Bytes,
    ui::{Report, Style, Ui, Unit, settle},
};
use crate::{FileOptions, HostDevice, device::is_block_device};

/// Bytes moved at a time: a whole number of blocks of any size.
const CHUNK: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl export p.cowl vm out.img
  cowl export p.cowl before-upgrade - | zstd > before.img.zst
  cowl export p.cowl before-upgrade --attachment memory vm.mem")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layer: a volume or a snapshot
    layer: String,
    /// The file to be made, a block device, or - for standard output
    output: PathBuf,
    /// Export this attachment of the layer instead
    #[arg(long, value_name = "NAME")]
    attachment: Option<String>,
    /// Replace a file that exists, or write over a block device
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Serialize)]
struct Exported {
    layer: String,
    output: PathBuf,
    size: u64,
    data: u64,
}

impl Report for Exported {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}: {} of `{}`, {} data", self.output.display(), Bytes(self.size), self.layer, Bytes(self.data))
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    if args.output.as_os_str() == "-" {
        return with_pool(ui, &args.pool, Access::Read, |pool| {
            let source = Source::find(pool, args)?;
            let (mut out, mut gone) = (io::stdout().lock(), false);
            let copied = source.copy(ui, pool, false, |_, bytes| {
                out.write_all(bytes).inspect_err(|error| gone = error.kind() == io::ErrorKind::BrokenPipe)
            });
            // Whoever closes the pipe has read enough.
            if gone { Ok(()) } else { copied.and_then(|_| settle(out.flush())) }
        });
    }
    different_files(&args.pool, &args.output)?;
    if args.output.exists() && !args.force {
        return Err(Failure::new(Kind::Refused, format!("{} exists", args.output.display()))
            .hint("choose another name, or replace it with --force"));
    }
    let report = with_pool(ui, &args.pool, Access::Read, |pool| {
        let source = Source::find(pool, args)?;
        let data = match fs::canonicalize(&args.output) {
            Ok(existing) if is_block_device(&existing).unwrap_or(false) => to_device(ui, pool, &source, &existing)?,
            Ok(existing) if !existing.is_file() => to_stream(ui, pool, &source, &existing)?,
            Ok(existing) => to_file(ui, pool, &source, &existing)?,
            Err(_) => to_file(ui, pool, &source, &args.output)?,
        };
        Ok(Exported { layer: source.layer.name.to_string(), output: args.output.clone(), size: source.bytes, data })
    })?;
    ui.show(&report)
}

fn to_file(ui: &Ui, pool: &mut dyn AnyPool, source: &Source, output: &Path) -> Result<u64, Failure> {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(format!(".cowl-{}", std::process::id()));
    let part = output.with_file_name(name);
    let failed = |error: io::Error| Failure::file("write", output, &error);
    let file = File::create_new(&part).map_err(failed)?;
    let done = file.set_len(source.bytes).map_err(failed).and_then(|()| {
        let data = source.copy(ui, pool, true, |at, bytes| file.write_all_at(bytes, at))?;
        file.sync_all().and_then(|()| fs::rename(&part, output)).map_err(failed)?;
        Ok(data)
    });
    if done.is_err() {
        // The first error is the one that matters.
        let _ = fs::remove_file(&part);
    }
    done
}

/// A pipe, a terminal, a null device: never replaced, only written to.
fn to_stream(ui: &Ui, pool: &mut dyn AnyPool, source: &Source, output: &Path) -> Result<u64, Failure> {
    let file = OpenOptions::new().write(true).open(output);
    let mut file = file.map_err(|error| Failure::file("write", output, &error))?;
    source.copy(ui, pool, false, |_, bytes| file.write_all(bytes))
}

fn to_device(ui: &Ui, pool: &mut dyn AnyPool, source: &Source, output: &Path) -> Result<u64, Failure> {
    let device = HostDevice::open(output, &FileOptions::new())?;
    if device.size() < source.bytes {
        return Err(Failure::new(
            Kind::Refused,
            format!("{} has {}, {} are needed", output.display(), Bytes(device.size()), Bytes(source.bytes)),
        ));
    }
    let failed = |error: io::Error| Failure::file("write", output, &error);
    // `device` keeps the exclusive hold while the bytes go through a handle of their own.
    let file = OpenOptions::new().write(true).open(output).map_err(failed)?;
    let data = source.copy(ui, pool, false, |at, bytes| file.write_all_at(bytes, at))?;
    file.sync_all().map_err(failed)?;
    drop(device);
    Ok(data)
}

/// What is exported.
struct Source {
    layer: LayerInfo,
    bytes: u64,
    sectors: u64,
}

impl Source {
    fn find(pool: &mut dyn AnyPool, args: &Args) -> Result<Self, Failure> {
        let mut layer = select::layer(pool, &args.layer)?;
        if let Some(name) = &args.attachment {
            layer = select::attachment(pool, &layer, name)?;
        }
        let bytes =
            if layer.kind == LayerKind::Attachment { layer.length } else { pool.units().sectors(layer.sectors) };
        Ok(Self { layer, bytes, sectors: layer.sectors })
    }

    /// Hands every part to `put`, in order; with `sparse` zeros are left out. Gives the number of bytes that were data.
    fn copy(
        &self,
        ui: &Ui,
        pool: &mut dyn AnyPool,
        sparse: bool,
        mut put: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<u64, Failure> {
        let units = pool.units();
        let (size, base) = (u64::from(units.sector), pool.info()?.base_sectors);
        let mut bar = ui.progress("export", self.bytes, Unit::Bytes);
        let mut buffer = vec![0; usize::try_from(CHUNK).unwrap_or(1 << 20)];
        let (mut sector, mut data) = (0, 0);
        while sector < self.sectors && sector * size < self.bytes {
            interrupt::check("the export is not finished", "run the same command again")?;
            let extent = pool.extent(self.layer.id, sector)?;
            let left = (extent.sector + extent.count).min(self.sectors) - sector;
            let zero = matches!(extent.kind, ExtentKind::Zero) || (extent.kind == ExtentKind::Empty && sector >= base);
            let count = if zero && sparse { left } else { left.min(CHUNK / size) };
            if !(zero && sparse) {
                let length = usize::try_from(count * size).unwrap_or(0);
                let bytes = &mut buffer[..length];
                pool.read(self.layer.id, sector, bytes).map_err(|failure| {
                    failure.during(format_args!("cannot read {} at {}", select::show(&self.layer), sector * size))
                })?;
                // The last sector of an attachment may be longer than what is left.
                let wanted = usize::try_from(self.bytes - sector * size).unwrap_or(length).min(length);
                for (start, end, hole) in runs(wanted, units.block as usize, |part| sparse && is_zero(&bytes[part])) {
                    if !hole {
                        put(sector * size + start as u64, &bytes[start..end])
                            .map_err(|error| Failure::new(Kind::Io, format!("cannot write the export: {error}")))?;
                        data += (end - start) as u64;
                    }
                }
            }
            sector += count.max(1);
            bar.set((sector * size).min(self.bytes));
        }
        bar.finish();
        Ok(data)
    }
}
