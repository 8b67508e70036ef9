//! Transfers outside the pool, many at once and in any order, with power cuts in between.
//!
//! One thread plays all clients. For every sector of one volume it keeps what it may hold now and what it may hold after a power
//! cut; two writes under way at the same place leave either. Snapshots must stay what they were.

use std::collections::BTreeSet;
use std::ops::Range;

use cowl::{BlockDevice, Error, ExtentKind, Flushing, LayerId, Pool, Reading, Writing};

use super::{
    config::Config,
    disk::{Failed, Fate, SimDisk},
    history::{Prepared, mount},
    model::{bytes_of, value_of},
    random::Rng,
    verdict::{sound, text},
};

/// What every sector may hold.
type Sets = Vec<BTreeSet<u64>>;

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Apart {
    /// Writes and reads that were made outside the pool.
    pub transfers: u64,
    /// Operations that were refused because of them.
    pub busy: u64,
    /// Power cuts judged.
    pub cuts: u64,
}

struct Write {
    writing: Writing,
    range: Range<usize>,
    tag: u64,
    written: bool,
    overlapped: bool,
}

struct Read {
    reading: Reading,
    range: Range<usize>,
    seen: Sets,
}

struct Run<'w> {
    config: Config,
    disk: SimDisk,
    pool: Pool<'w, SimDisk>,
    rng: Rng,
    volume: LayerId,
    now: Sets,
    crash: Sets,
    writes: Vec<Write>,
    reads: Vec<Read>,
    /// Flushes under way, the latest last, with what each will have made durable.
    flushes: Vec<(Flushing, Sets)>,
    snapshots: Vec<(LayerId, Vec<u64>)>,
    serial: u64,
    tally: Apart,
}

/// Runs so many random steps on a pool of this shape.
///
/// # Errors
/// What went wrong, and at which step.
pub fn transfers(config: &Config, seed: u64, steps: usize) -> Result<Apart, String> {
    let Prepared { disk, model, .. } = Prepared::new(config).map_err(text("a new pool"))?;
    let mut tally = Apart::default();
    let mut rng = Rng::new(seed);
    let mut now: Sets = vec![BTreeSet::from([0]); config.sectors];
    let mut snapshots = Vec::new();
    let mut done = 0;
    while done < steps {
        let mut workspace = config.workspace();
        let pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
        let mut run = Run {
            config: *config,
            disk: disk.clone(),
            pool,
            rng: rng.clone(),
            volume: LayerId(model.ids(true)[0]),
            crash: now.clone(),
            now,
            writes: Vec::new(),
            reads: Vec::new(),
            flushes: Vec::new(),
            snapshots,
            serial: done as u64,
            tally,
        };
        loop {
            done += 1;
            run.step().map_err(|what| format!("step {done}: {what}"))?;
            if done >= steps || run.rng.below(60) == 0 {
                break;
            }
        }
        // The process ends with everything under way; what the device has taken is still there.
        (rng, snapshots, tally) = (run.rng.clone(), std::mem::take(&mut run.snapshots), run.tally);
        let crash = std::mem::take(&mut run.crash);
        drop(run);
        let seen = judge(&disk, config, &crash, &snapshots).map_err(|what| format!("step {done}: killed: {what}"))?;
        now = seen.into_iter().map(|value| BTreeSet::from([value])).collect();
    }
    Ok(tally)
}

/// Mounts the disk and looks at the volume and at all snapshots; what the volume holds.
fn judge(
    disk: &SimDisk,
    config: &Config,
    allowed: &Sets,
    snapshots: &[(LayerId, Vec<u64>)],
) -> Result<Vec<u64>, String> {
    let mut workspace = config.workspace();
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let volume = pool.find("v").map_err(text("find"))?.ok_or("the volume is gone")?.id;
    let seen = values(&mut pool, volume, config)?;
    within(&seen, allowed, 0)?;
    for (id, content) in snapshots {
        if values(&mut pool, *id, config)? != *content {
            return Err(format!("snapshot {id} has changed"));
        }
    }
    sound(&mut pool, true)?;
    Ok(seen)
}

fn values(pool: &mut Pool<'_, SimDisk>, layer: LayerId, config: &Config) -> Result<Vec<u64>, String> {
    let mut bytes = vec![0; config.sectors * config.sector_size];
    pool.read(layer, 0, &mut bytes).map_err(text("read"))?;
    Ok(bytes.chunks(config.sector_size).map(value_of).collect())
}

fn within(seen: &[u64], allowed: &[BTreeSet<u64>], first: usize) -> Result<(), String> {
    let wrong = seen.iter().zip(allowed).enumerate().find(|(_, (value, allowed))| !allowed.contains(value));
    match wrong {
        None => Ok(()),
        Some((at, (value, allowed))) => Err(format!("sector {} holds {value:#x}, not one of {allowed:x?}", first + at)),
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

impl Run<'_> {
    fn step(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..28 => self.prepare()?,
            28..46 => self.device_write()?,
            46..62 => self.commit()?,
            62..66 => self.cancel(),
            66..76 => self.resolve()?,
            76..84 => self.release()?,
            84..92 => self.flush()?,
            92..96 => self.verb()?,
            96..98 => self.drain()?,
            _ => self.plain()?,
        }
        self.look()?;
        if self.rng.below(4) == 0 { self.cut() } else { Ok(()) }
    }

    fn spb(&self) -> usize {
        self.config.block_size as usize / self.config.sector_size
    }

    /// A range that often begins and ends with a block.
    fn range(&mut self) -> Range<usize> {
        let (sectors, spb) = (self.config.sectors, self.spb());
        let start = self.rng.below(sectors as u64) as usize;
        let count = 1 + self.rng.below(12) as usize;
        if self.rng.below(3) == 0 {
            return start..(start + count).min(sectors);
        }
        start / spb * spb..(start + count).next_multiple_of(spb).min(sectors)
    }

    fn bytes(&self, tag: u64, range: &Range<usize>) -> Vec<u8> {
        bytes_of(tag, range.len() * self.config.sector_size)
    }

    fn tag(&mut self) -> u64 {
        self.serial += 1;
        self.serial << 20 | self.rng.below(1 << 20)
    }

    /// The volume holds the tag from now on, or may do so.
    fn put(&mut self, range: &Range<usize>, tag: u64, certain: bool) {
        for sector in range.clone() {
            if certain {
                self.now[sector].clear();
            }
            self.now[sector].insert(tag);
            self.crash[sector].insert(tag);
            for (_, durable) in &mut self.flushes {
                durable[sector].insert(tag);
            }
        }
        for write in self.writes.iter_mut().filter(|write| overlap(&write.range, range)) {
            write.overlapped = true;
        }
        for read in &mut self.reads {
            for sector in range.clone().filter(|sector| read.range.contains(sector)) {
                read.seen[sector - read.range.start].insert(tag);
            }
        }
    }

    fn prepare(&mut self) -> Result<(), String> {
        let (range, tag) = (self.range(), self.tag());
        match self.pool.prepare(self.volume, range.start as u64, range.len() as u64) {
            Ok(Some(writing)) => {
                let range = range.start..range.start + writing.sectors() as usize;
                self.writes.push(Write { writing, range, tag, written: false, overlapped: false });
                self.tally.transfers += 1;
                Ok(())
            }
            Ok(None) => self.write(range, tag),
            Err(error) => self.refused(&error),
        }
    }

    /// Only what is under way may be the reason.
    fn refused(&mut self, error: &Error<Failed>) -> Result<(), String> {
        match error {
            Error::Busy { transfers } if *transfers > 0 && !(self.writes.is_empty() && self.reads.is_empty()) => {
                self.tally.busy += 1;
                self.drain()
            }
            Error::NoSpace { .. } => Ok(()),
            error => Err(format!("refused: {error:?}")),
        }
    }

    fn write(&mut self, range: Range<usize>, tag: u64) -> Result<(), String> {
        let bytes = self.bytes(tag, &range);
        let result = self.pool.write(self.volume, range.start as u64, &bytes);
        let certain = result.is_ok() && !self.writes.iter().any(|write| overlap(&write.range, &range));
        self.put(&range, tag, certain);
        result.or_else(|error| self.refused(&error))
    }

    fn device_write(&mut self) -> Result<(), String> {
        let waiting: Vec<usize> = (0..self.writes.len()).filter(|i| !self.writes[*i].written).collect();
        let Some(i) = self.rng.pick(&waiting).copied() else { return Ok(()) };
        self.move_data(i)
    }

    fn move_data(&mut self, i: usize) -> Result<(), String> {
        let (range, tag, sector) = (self.writes[i].range.clone(), self.writes[i].tag, self.writes[i].writing.sector());
        let overlapped = self.writes[i].overlapped;
        let bytes = self.bytes(tag, &range);
        self.disk.write(sector, &bytes).map_err(text("device"))?;
        self.put(&range, tag, false);
        self.writes[i].written = true;
        self.writes[i].overlapped = overlapped;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let written: Vec<usize> = (0..self.writes.len()).filter(|i| self.writes[*i].written).collect();
        let Some(i) = self.rng.pick(&written).copied() else { return Ok(()) };
        self.finish(i)
    }

    fn finish(&mut self, i: usize) -> Result<(), String> {
        let Write { writing, range, tag, overlapped, .. } = self.writes.swap_remove(i);
        let whole = range.start.is_multiple_of(self.spb()) && range.len().is_multiple_of(self.spb());
        let bytes = self.bytes(tag, &range);
        let block = self.config.block_size as usize;
        let sums: Vec<u32> = bytes.chunks(block).filter(|_| whole).map(|block| crate::crc32c(0, block)).collect();
        self.pool.commit(writing, &sums).map_err(text("commit"))?;
        self.put(&range, tag, !overlapped);
        Ok(())
    }

    fn cancel(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let i = self.rng.below(self.writes.len() as u64) as usize;
        let write = self.writes.swap_remove(i);
        self.pool.cancel(write.writing);
    }

    fn resolve(&mut self) -> Result<(), String> {
        let range = self.range();
        let resolved =
            self.pool.resolve(self.volume, range.start as u64, range.len() as u64).map_err(text("resolve"))?;
        if let Some(reading) = resolved {
            let range = range.start..range.start + reading.extent().count as usize;
            let seen = self.now[range.clone()].to_vec();
            self.reads.push(Read { reading, range, seen });
            self.tally.transfers += 1;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), String> {
        if self.reads.is_empty() {
            return Ok(());
        }
        let i = self.rng.below(self.reads.len() as u64) as usize;
        let Read { reading, range, seen } = self.reads.swap_remove(i);
        let mut bytes = vec![0; range.len() * self.config.sector_size];
        if let ExtentKind::Data { sector } = reading.extent().kind {
            self.disk.read(sector, &mut bytes).map_err(text("device"))?;
        }
        self.pool.release(reading);
        let found: Vec<u64> = bytes.chunks(self.config.sector_size).map(value_of).collect();
        within(&found, &seen, range.start).map_err(|what| format!("read outside the pool: {what}"))
    }

    fn flush(&mut self) -> Result<(), String> {
        if self.flushes.len() < 2 && self.rng.below(2) == 0 {
            return match self.pool.begin_flush() {
                Ok(Some(flushing)) => {
                    self.flushes.push((flushing, self.now.clone()));
                    Ok(())
                }
                Ok(None) => {
                    self.crash = self.now.clone();
                    Ok(())
                }
                Err(error) => self.refused(&error),
            };
        }
        if self.flushes.is_empty() {
            return Ok(());
        }
        let i = self.rng.below(self.flushes.len() as u64) as usize;
        let (flushing, durable) = self.flushes.remove(i);
        self.disk.flush().map_err(text("device"))?;
        self.pool.end_flush(flushing, Ok(())).map_err(text("end of a flush"))?;
        for (crash, durable) in self.crash.iter_mut().zip(durable) {
            // What an earlier flush made durable stays so when a still earlier one ends.
            crash.retain(|value| durable.contains(value));
        }
        Ok(())
    }

    fn verb(&mut self) -> Result<(), String> {
        let under_way = self.pool.transfers();
        let snapshot = self.rng.below(2) == 0 && self.snapshots.len() < 3;
        let name = format!("s{}", self.tag());
        let result = if snapshot {
            let attributes = cowl::Attributes { name: &name, ..cowl::Attributes::default() };
            self.pool.snapshot(self.volume, &attributes).map(Some)
        } else if let Some(i) = (self.rng.below(2) == 0).then(|| self.snapshots.len().checked_sub(1)).flatten() {
            let deleted = self.pool.delete(self.snapshots[i].0);
            if deleted.is_ok() {
                self.snapshots.truncate(i);
            }
            deleted.and_then(|()| self.pool.merge_all(400)).map(|()| None)
        } else {
            self.pool.checkpoint().map(|()| None)
        };
        match result {
            Ok(_) if under_way > 0 => Err("a checkpoint while a transfer was under way".into()),
            Ok(made) => {
                self.crash = self.now.clone();
                if let Some(id) = made {
                    let content = values(&mut self.pool, id, &self.config)?;
                    self.snapshots.push((id, content));
                }
                Ok(())
            }
            Err(error) => self.refused(&error),
        }
    }

    /// Ends everything that is under way.
    fn drain(&mut self) -> Result<(), String> {
        while let Some(last) = self.writes.len().checked_sub(1) {
            if !self.writes[last].written {
                self.move_data(last)?;
            }
            self.finish(last)?;
        }
        while !self.reads.is_empty() {
            self.release()?;
        }
        match self.pool.transfers() {
            0 => Ok(()),
            left => Err(format!("{left} transfers are left")),
        }
    }

    fn plain(&mut self) -> Result<(), String> {
        let range = self.range();
        if self.rng.below(2) == 0 {
            let tag = self.tag();
            return self.write(range, tag);
        }
        let result = self.pool.write_zeroes(self.volume, range.start as u64, range.len() as u64);
        let certain = result.is_ok() && !self.writes.iter().any(|write| overlap(&write.range, &range));
        self.put(&range, 0, certain);
        result.or_else(|error| self.refused(&error))
    }

    /// What the pool shows is one of the things that it may show, and that is what it shows until something changes it.
    fn look(&mut self) -> Result<(), String> {
        let seen = values(&mut self.pool, self.volume, &self.config)?;
        within(&seen, &self.now, 0)?;
        for (value, now) in seen.into_iter().zip(&mut self.now) {
            *now = BTreeSet::from([value]);
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), String> {
        self.tally.cuts += 1;
        let image = self.disk.image();
        let fates: Vec<Fate> = image.pending.iter().map(|_| Fate::nth(self.rng.below(2))).collect();
        let disk = SimDisk::from_sectors(self.config.sector_size, image.after_cut(|i| fates[i]));
        judge(&disk, &self.config, &self.crash, &self.snapshots).map(drop).map_err(|what| format!("cut: {what}"))
    }
}
