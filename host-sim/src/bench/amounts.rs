//! Amounts: exact counts of what reaches the device, the same on every machine.

use std::{path::Path, time::Instant};

use cowl::{Counters, LayerFlags};

use super::{
    Line,
    counted::{BLOCK, SECTORS, SIZE, attributes, fill, with_pool},
    nanoseconds,
};
use crate::{cli::failure::Failure, sim::Rng};

/// Writes after a snapshot: several times what fits between two checkpoints.
const AFTER: u64 = 20_000;

fn bytes(counters: Counters) -> u64 {
    counters.sectors_written * 512
}

/// Bytes written for each byte of so many random first writes, with a flush after every `group` of them.
fn amplification(dir: &Path, physical: u32, writes: u64, group: u64) -> Result<f64, Failure> {
    with_pool(dir, 512 << 20, physical, |pool| {
        let volume = pool.create(&attributes("v"), (128 << 20) / 512, LayerFlags::empty())?;
        pool.device_mut().take();
        let mut rng = Rng::new(5);
        let mut order: Vec<u64> = (0..(128 << 20) / BLOCK).collect();
        for i in 0..usize::try_from(writes).unwrap_or(0) {
            let other = i + usize::try_from(rng.below((order.len() - i) as u64)).unwrap_or(0);
            order.swap(i, other);
            pool.write(volume, order[i] * SECTORS, &[1; SIZE])?;
            if (i as u64 + 1).is_multiple_of(group) {
                pool.flush()?;
            }
        }
        pool.flush()?;
        let written = bytes(pool.device_mut().take());
        Ok(written as f64 / (writes * BLOCK) as f64)
    })
}

/// What a snapshot and a delete of a snapshot write, and how long they take.
fn layers(dir: &Path, data: u64) -> Result<Vec<Line>, Failure> {
    with_pool(dir, data * 2 + (256 << 20), 4096, |pool| {
        let volume = pool.create(&attributes("v"), data / 512, LayerFlags::empty())?;
        fill(pool, volume, data)?;
        pool.checkpoint()?;
        pool.device_mut().take();
        let started = Instant::now();
        let snapshot = pool.snapshot(volume, &attributes("s"))?;
        let took = nanoseconds(started.elapsed()) / 1e6;
        let written = pool.device_mut().take();
        let mib = data >> 20;
        let mut lines = vec![
            Line::amount(format!("snapshot with {mib} MiB of data, bytes"), bytes(written) as f64, "B", Some(65_536.0)),
            Line::amount(format!("snapshot with {mib} MiB of data, time"), took, "ms", Some(1.0)),
        ];
        fill(pool, volume, data)?;
        pool.checkpoint()?;
        pool.device_mut().take();
        let started = Instant::now();
        pool.delete(snapshot)?;
        pool.merge_all(1 << 20)?;
        let took = nanoseconds(started.elapsed()) / 1e6;
        let written = bytes(pool.device_mut().take());
        let share = written as f64 / data as f64 * 100.0;
        lines.push(Line::amount(format!("delete a snapshot whose delta is {mib} MiB, time"), took, "ms", Some(50.0)));
        lines.push(Line::amount(format!("delete a snapshot whose delta is {mib} MiB, written"), share, "%", Some(1.0)));
        Ok(lines)
    })
}

/// First writes after a snapshot: bytes for each byte, flushed each.
fn after_snapshot(dir: &Path) -> Result<f64, Failure> {
    with_pool(dir, 512 << 20, 4096, |pool| {
        let volume = pool.create(&attributes("v"), (64 << 20) / 512, LayerFlags::empty())?;
        fill(pool, volume, 64 << 20)?;
        pool.snapshot(volume, &attributes("s"))?;
        pool.device_mut().take();
        let mut rng = Rng::new(6);
        for _ in 0..AFTER {
            pool.write(volume, rng.below((64 << 20) / BLOCK) * SECTORS, &[2; SIZE])?;
            pool.flush()?;
        }
        Ok(bytes(pool.device_mut().take()) as f64 / (AFTER * BLOCK) as f64)
    })
}

/// All amounts; `data` bytes are in the volume of which a snapshot is taken.
///
/// # Errors
/// Those of the files and the pool.
pub fn measure(dir: &Path, data: u64) -> Result<Vec<Line>, Failure> {
    let each = "bytes written per byte, first write, flushed each";
    let mut lines = vec![
        Line::amount(format!("{each}, units of 4 KiB"), amplification(dir, 4096, 20_000, 1)?, "x", Some(2.1)),
        Line::amount(format!("{each}, units of 512 B"), amplification(dir, 512, 20_000, 1)?, "x", Some(1.2)),
        Line::amount(
            "bytes written per byte, sixteen first writes a flush",
            amplification(dir, 4096, 16_000, 16)?,
            "x",
            Some(1.15),
        ),
        Line::amount(
            "bytes written per byte, first writes at leisure",
            amplification(dir, 4096, 30_000, u64::MAX)?,
            "x",
            Some(1.1),
        ),
        Line::amount("bytes written per byte, first write after a snapshot", after_snapshot(dir)?, "x", Some(2.1)),
    ];
    lines.extend(layers(dir, data)?);
    Ok(lines)
}
