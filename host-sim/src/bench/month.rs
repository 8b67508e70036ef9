//! A month in the life of a volume: a snapshot every twenty minutes, kept for a day, while blocks are written at random.
//!
//! Systems that only put work off get slower and fuller as the weeks go by. Here nothing may grow after the first day: what a write
//! costs, what merge has still to do, what is free, how far the volume is scattered. All of it is counted exactly.

use std::{path::Path, time::Instant};

use cowl::{LayerFlags, LayerId};

use super::{
    Line,
    counted::{BLOCK, Counted, SECTORS, SIZE, attributes, full_volume, with_pool},
    nanoseconds,
};
use crate::{cli::failure::Failure, sim::Rng};

/// Snapshots of a day.
const A_DAY: usize = 24 * 3;
/// Writes between two snapshots.
const WRITES: u64 = 100;
/// Device operations that merge may take behind every twentieth write.
const IDLE: u32 = 300;
const VOLUME: u64 = 64 << 20;
const PIECE: usize = 1 << 20;

/// One day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// Bytes written for each byte, merge and snapshots included.
    pub amplification: f64,
    /// Device operations for each write, merge and snapshots included.
    pub operations: f64,
    /// Blocks that deleted layers still hold in the evening.
    pub debt: u64,
    /// Blocks in use in the evening.
    pub used: u64,
    /// Device reads for each mebibyte when the volume is read from end to end.
    pub scattered: f64,
    /// Nanoseconds for each mebibyte of that.
    pub time: f64,
}

/// The days, the first of which is the volume as it was written, before any snapshot.
///
/// # Errors
/// Those of the files and the pool.
pub fn live(dir: &Path, days: u32) -> Result<Vec<Day>, Failure> {
    with_pool(dir, 512 << 20, 4096, |pool| {
        let volume = full_volume(pool, VOLUME)?;
        pool.checkpoint()?;
        let mut month = Month { pool, volume, rng: Rng::new(30), snapshots: Vec::new(), made: 0 };
        let (scattered, time) = month.read()?;
        let used = month.used();
        let mut days_lived = vec![Day { amplification: 1.0, operations: 0.0, debt: 0, used, scattered, time }];
        for _ in 0..days {
            days_lived.push(month.day()?);
        }
        Ok(days_lived)
    })
}

struct Month<'p, 'w> {
    pool: &'p mut Counted<'w>,
    volume: LayerId,
    rng: Rng,
    snapshots: Vec<LayerId>,
    made: u64,
}

impl Month<'_, '_> {
    fn day(&mut self) -> Result<Day, Failure> {
        self.pool.device_mut().take();
        for _ in 0..A_DAY {
            self.interval()?;
        }
        let spent = self.pool.device_mut().take();
        let writes = (A_DAY as u64 * WRITES) as f64;
        let debt = self.debt()?;
        let (scattered, time) = self.read()?;
        Ok(Day {
            amplification: (spent.sectors_written * 512) as f64 / (writes * BLOCK as f64),
            operations: (spent.reads + spent.writes + spent.flushes) as f64 / writes,
            debt,
            used: self.used(),
            scattered,
            time,
        })
    }

    /// Twenty minutes: writes, some work on merge between them, a snapshot, and the oldest goes.
    fn interval(&mut self) -> Result<(), Failure> {
        for i in 0..WRITES {
            let block = self.rng.below(VOLUME / BLOCK);
            self.pool.write(self.volume, block * SECTORS, &[i.to_le_bytes()[0]; SIZE])?;
            if i % 20 == 19 {
                self.pool.flush()?;
                self.pool.merge_step(IDLE)?;
            }
        }
        self.made += 1;
        let name = format!("s{}", self.made);
        self.snapshots.push(self.pool.snapshot(self.volume, &attributes(&name))?);
        if self.snapshots.len() > A_DAY {
            self.pool.delete(self.snapshots.remove(0))?;
        }
        Ok(())
    }

    /// What merge has still to go through.
    fn debt(&mut self) -> Result<u64, Failure> {
        let (mut after, mut blocks) = (None, 0);
        while let Some(layer) = self.pool.next_record(after)? {
            if layer.flags.contains(LayerFlags::DELETED) {
                blocks += layer.delta.data;
            }
            after = Some(layer.id);
        }
        Ok(blocks)
    }

    fn used(&self) -> u64 {
        let space = self.pool.space();
        space.total - space.free
    }

    fn read(&mut self) -> Result<(f64, f64), Failure> {
        let mut piece = vec![0; PIECE];
        self.pool.checkpoint()?;
        self.pool.device_mut().take();
        let started = Instant::now();
        for at in (0..VOLUME).step_by(PIECE) {
            self.pool.read(self.volume, at / 512, &mut piece)?;
        }
        let time = nanoseconds(started.elapsed());
        let pieces = (VOLUME / PIECE as u64) as f64;
        Ok((self.pool.device_mut().take().reads as f64 / pieces, time / pieces))
    }
}

/// The month in a few figures: its last week against its second day, when a day's snapshots were there for the first time.
pub fn lines(days: &[Day]) -> Vec<Line> {
    let (Some(fresh), Some(early)) = (days.first(), days.get(2).or(days.last())) else { return Vec::new() };
    let late = &days[days.len().saturating_sub(7).max(1).min(days.len() - 1)..];
    let mean = |of: fn(&Day) -> f64| late.iter().map(of).sum::<f64>() / late.len() as f64;
    let line = |what: &str, unit, of: fn(&Day) -> f64, before: f64, target| {
        Line::against(what, mean(of), before, unit, target)
    };
    vec![
        line(
            "a month: bytes per byte, last week against day 2",
            "x",
            |day| day.amplification,
            early.amplification,
            1.05,
        ),
        line("a month: operations for a write, the same", "", |day| day.operations, early.operations, 1.05),
        line("a month: device reads for a MiB in order, the same", "", |day| day.scattered, early.scattered, 1.25),
        line("a month: blocks in use, the same", "", |day| day.used as f64, early.used as f64, 1.05),
        line("a month: reading in order against the fresh volume", "ns", |day| day.time, fresh.time, 2.0),
    ]
}
