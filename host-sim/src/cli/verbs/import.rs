//! `cowl import`: a disk image becomes a volume's content.
//!
//! Holes and zeros of the image take no space. Into a volume that exists, only blocks that differ are written, so that an
//! import after a snapshot owns the changes alone, and one that was stopped goes on. It flushes every so often and at the end.

use std::{
    io::{self, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use cowl::{ExtentKind, LayerId, LayerInfo};
use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    images::{Image, is_zero, runs},
    interrupt,
    pool::AnyPool,
    select,
    session::{Access, different_files, with_pool},
    size::Bytes,
    ui::{Progress, Report, Style, Ui, Unit},
    view::{LayerView, Units},
};
use super::{attributes, create::VolumeOptions};

/// Bytes moved at a time: a whole number of blocks of any size.
const CHUNK: u64 = 1 << 20;
/// Bytes written between two flushes.
const FLUSH_EVERY: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl import p.cowl vm disk.img
  cowl import p.cowl db db.img --guaranteed --integrity

A volume that does not exist is made, as large as the image. One that exists becomes equal to the image (zeros after \
its end); only blocks that differ are written. Stopped by Ctrl-C, the same command goes on.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The volume
    volume: String,
    /// The image: a file, sparse or not, or a block device
    image: PathBuf,
    #[command(flatten)]
    kind: VolumeOptions,
    /// A text to keep with a new volume
    #[arg(long, short, default_value = "", hide_default_value = true)]
    description: String,
}

#[derive(Debug, Serialize)]
struct Imported {
    layer: LayerView,
    created: bool,
    image: PathBuf,
    image_size: u64,
    written: u64,
    zeros: u64,
    unchanged: u64,
}

impl Report for Imported {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        let made = if self.created { "made, " } else { "" };
        write!(
            out,
            "{} #{}: {made}{} of {}",
            self.layer.name,
            self.layer.id,
            Bytes(self.image_size),
            self.image.display()
        )?;
        write!(out, ", {} written, {} zeros", Bytes(self.written), Bytes(self.zeros))?;
        if self.unchanged > 0 {
            write!(out, ", {} unchanged", Bytes(self.unchanged))?;
        }
        writeln!(out)
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    different_files(&args.pool, &args.image)?;
    let image = Image::open(&args.image)?;
    let report = with_pool(ui, &args.pool, Access::Write, |pool| {
        let sector = u64::from(pool.units().sector);
        let (volume, created) = volume(pool, args, image.size.div_ceil(sector).max(1))?;
        let base = pool.info()?.base_sectors;
        let mut job = Import {
            bar: ui.progress("import", image.size, Unit::Bytes),
            args,
            image: &image,
            units: pool.units(),
            id: volume.id,
            fresh: created && base == 0,
            base,
            buffer: vec![0; usize::try_from(CHUNK).unwrap_or(1 << 20)],
            present: Vec::new(),
            counts: Counts::default(),
        };
        let done = job.copy(pool, volume.sectors);
        let (counts, bar) = (job.counts, job.bar);
        bar.finish();
        // What was copied is kept, whatever stopped the rest.
        let flushed = pool.flush();
        done.and(flushed).map_err(|failure| explain(failure, created, args))?;
        Ok(Imported {
            layer: LayerView::new(&pool.layer(volume.id)?, pool.units()),
            created,
            image: args.image.clone(),
            image_size: image.size,
            written: counts.written,
            zeros: counts.zeros,
            unchanged: counts.unchanged,
        })
    })?;
    ui.show(&report)
}

fn explain(failure: Failure, created: bool, args: &Args) -> Failure {
    let made = if created { " was made and" } else { "" };
    let failure = failure.during(format_args!("cannot import {}", args.image.display()));
    if failure.kind == Kind::NoSpace {
        let hint = format!(
            "`{}`{made} holds a part of the image: make room and run the command again, or `cowl delete` it",
            args.volume
        );
        return failure.hint(hint);
    }
    failure
}

fn volume(pool: &mut dyn AnyPool, args: &Args, sectors: u64) -> Result<(LayerInfo, bool), Failure> {
    if let Some(found) = pool.find(&args.volume)? {
        let volume = select::volume(pool, &args.volume)?;
        if volume.sectors < sectors {
            let sector = u64::from(pool.units().sector);
            let what = format!(
                "the image needs {} and {} has {}",
                Bytes(sectors * sector),
                select::show(&found),
                Bytes(found.sectors * sector)
            );
            return Err(Failure::new(Kind::Refused, what).hint(format!(
                "`cowl resize {} {} {}` makes it larger",
                args.pool.display(),
                args.volume,
                sectors * sector
            )));
        }
        return Ok((volume, false));
    }
    let id = pool
        .create(&attributes(&args.volume, &args.description), sectors, args.kind.flags())
        .map_err(|failure| failure.during(format_args!("cannot create `{}`", args.volume)))?;
    Ok((pool.layer(id)?, true))
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    written: u64,
    zeros: u64,
    unchanged: u64,
}

struct Import<'a> {
    bar: Progress,
    args: &'a Args,
    image: &'a Image,
    units: Units,
    id: LayerId,
    /// The volume is new and reads zeros: zeros need not be written.
    fresh: bool,
    /// Sectors of the base.
    base: u64,
    buffer: Vec<u8>,
    present: Vec<u8>,
    counts: Counts,
}

impl Import<'_> {
    fn copy(&mut self, pool: &mut dyn AnyPool, sectors: u64) -> Result<(), Failure> {
        let failed = |error| Failure::file("read", &self.args.image, &error);
        let (image, end) = (self.image, self.units.sectors(sectors));
        let (mut at, mut flushed) = (0, 0);
        while let Some((start, stop)) = image.next_data(at).map_err(failed)? {
            // Data begins and ends with the chunk that it touches.
            let start = (start / CHUNK * CHUNK).max(at);
            self.zero(pool, at, start)?;
            at = start;
            while at < stop {
                interrupt::check(
                    "the import is not finished; what was copied is kept",
                    "run the same command again to go on",
                )?;
                at = self.chunk(pool, at)?;
                self.bar.set(at.min(image.size));
                if self.counts.written - flushed >= FLUSH_EVERY {
                    pool.flush()?;
                    flushed = self.counts.written;
                }
            }
        }
        self.zero(pool, at.min(end), end)
    }

    /// Brings one chunk of the image over; gives where the next one begins.
    fn chunk(&mut self, pool: &mut dyn AnyPool, at: u64) -> Result<u64, Failure> {
        let (sector, block) = (self.units.sector as usize, self.units.block as usize);
        let want = usize::try_from(CHUNK.min(self.image.size - at)).unwrap_or(0);
        let length = want.next_multiple_of(sector);
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.image.file.read_exact_at(&mut buffer[..want], at);
        read.map_err(|error| Failure::file("read", &self.args.image, &error))?;
        buffer[want..length].fill(0);
        let mut done = Ok(());
        for (start, end, zero) in runs(length, block, |part| is_zero(&buffer[part])) {
            let from = at + start as u64;
            done = done.and_then(|()| {
                if zero { self.zero(pool, from, at + end as u64) } else { self.data(pool, from, &buffer[start..end]) }
            });
        }
        self.buffer = buffer;
        done.map(|()| at + length as u64)
    }

    fn data(&mut self, pool: &mut dyn AnyPool, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let (sector, block) = (u64::from(self.units.sector), self.units.block as usize);
        if self.fresh {
            pool.write(self.id, at / sector, bytes)?;
            self.counts.written += bytes.len() as u64;
            return Ok(());
        }
        let mut present = std::mem::take(&mut self.present);
        present.resize(bytes.len(), 0);
        pool.read(self.id, at / sector, &mut present)?;
        for (start, end, same) in runs(bytes.len(), block, |part| present[part.clone()] == bytes[part]) {
            if same {
                self.counts.unchanged += (end - start) as u64;
            } else {
                pool.write(self.id, (at + start as u64) / sector, &bytes[start..end])?;
                self.counts.written += (end - start) as u64;
            }
        }
        self.present = present;
        Ok(())
    }

    /// Makes a range read zeros, touching only what may not do so already.
    fn zero(&mut self, pool: &mut dyn AnyPool, from: u64, to: u64) -> Result<(), Failure> {
        self.counts.zeros += to.saturating_sub(from);
        if self.fresh {
            return Ok(());
        }
        let (mut sector, end) = (from / u64::from(self.units.sector), to / u64::from(self.units.sector));
        while sector < end {
            interrupt::check(
                "the import is not finished; what was copied is kept",
                "run the same command again to go on",
            )?;
            let extent = pool.extent(self.id, sector)?;
            let next = (extent.sector + extent.count).min(end);
            let shows = match extent.kind {
                ExtentKind::Data { .. } => true,
                ExtentKind::Zero => false,
                ExtentKind::Empty => sector < self.base,
            };
            if shows {
                pool.write_zeroes(self.id, sector, next - sector)?;
            }
            sector = next.max(sector + 1);
        }
        Ok(())
    }
}
