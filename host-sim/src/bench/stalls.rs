//! How long others wait: writers while snapshots are taken, and while what was deleted is merged beside them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cowl::LayerId;

use super::{
    Line, Size,
    counted::{SECTORS, SIZE, attributes, full_volume},
    device, fill, format, median, nanoseconds, remove,
};
use crate::{
    cli::failure::{Failure, Kind},
    device::Base,
    serve::{
        merger::{Merger, State, debt},
        metrics::{Metrics, Operation},
        mount, open,
        shared::Shared,
    },
    sim::Rng,
};

/// The pool's file.
const NAME: &str = "stalls.cowl";
/// Snapshots taken, one for each wait that is looked at.
const SNAPSHOTS: u32 = 100;
/// From one to the next.
const BETWEEN: Duration = Duration::from_millis(5);
/// Bytes that are written to meanwhile: no snapshot's delta is larger.
const REGION: u64 = 16 << 20;

/// When a write began and ended.
#[derive(Debug, Clone, Copy)]
struct Write {
    began: Instant,
    ended: Instant,
}

impl Write {
    fn took(&self) -> f64 {
        nanoseconds(self.ended - self.began)
    }
}

/// A pool for threads, and what they tell merge by.
struct Bench {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    volume: LayerId,
    blocks: u64,
}

impl Bench {
    /// A volume of this size, written from end to end. The pool's memory is given back when the process ends.
    fn new(dir: &Path, size: u64) -> Result<Self, Failure> {
        let mut device = device(dir, NAME, size * 3 + (256 << 20) + u64::from(SNAPSHOTS) * REGION, 4096)?;
        format(&mut device, &mut vec![0; 16 << 20])?;
        let mut pool = mount::mount(device, Base::None, 64 << 20, true, false)?;
        let volume = full_volume(&mut pool, size)?;
        pool.checkpoint()?;
        let metrics = Metrics::new().map_err(|error| Failure::new(Kind::Other, format!("no counters: {error}")))?;
        Ok(Self { shared: Arc::new(Shared::new(pool)), metrics: Arc::new(metrics), volume, blocks: size / SIZE as u64 })
    }

    /// Writes some of the first blocks, at random, until it is told to end and has made so many writes.
    fn write(&self, seed: u64, blocks: u64, least: usize, done: &AtomicBool) -> Result<Vec<Write>, Failure> {
        let (mut rng, mut writes) = (Rng::new(seed), Vec::new());
        while !done.load(Ordering::Relaxed) || writes.len() < least {
            let block = rng.below(blocks);
            let began = Instant::now();
            self.shared.write(self.volume, block * SECTORS, &[7; SIZE])?;
            let ended = Instant::now();
            self.metrics.count(Operation::Write, SIZE as u64, ended - began);
            writes.push(Write { began, ended });
        }
        Ok(writes)
    }

    /// Writes beside some work, at least once.
    fn write_beside<T: Send>(
        &self,
        seed: u64,
        blocks: u64,
        work: impl FnOnce() -> Result<T, Failure> + Send,
    ) -> Result<(Vec<Write>, T), Failure> {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| self.write(seed, blocks, 1, &done));
            let worked = work();
            done.store(true, Ordering::Relaxed);
            let writes = writer.join().map_err(|_| Failure::new(Kind::Other, "the writer panicked"))??;
            Ok((writes, worked?))
        })
    }
}

/// The value that only one in so many is above.
fn quantile(writes: &[Write], of: usize) -> f64 {
    let mut times: Vec<f64> = writes.iter().map(Write::took).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() - 1 - times.len() / of).copied().unwrap_or(f64::NAN)
}

fn mean(writes: &[Write]) -> f64 {
    writes.iter().map(Write::took).sum::<f64>() / writes.len().max(1) as f64
}

/// Waits beside snapshots and beside a merge.
///
/// # Errors
/// Those of the file and the pool.
pub fn measure(dir: &Path, size: Size) -> Result<Vec<Line>, Failure> {
    let bench = Bench::new(dir, size.volume)?;
    let mut lines = beside_snapshots(&bench)?;
    lines.extend(beside_merge(&bench, size)?);
    open::close(bench.shared, &dir.join(NAME))?;
    remove(dir, &[NAME])?;
    Ok(lines)
}

/// What a writer waits while a snapshot is taken, without the time that the snapshot itself takes.
fn beside_snapshots(bench: &Bench) -> Result<Vec<Line>, Failure> {
    let (writes, snapshots) = bench.write_beside(1, bench.blocks.min(REGION / SIZE as u64), || {
        let mut taken = Vec::new();
        for number in 0..SNAPSHOTS {
            thread::sleep(BETWEEN);
            let mut pool = bench.shared.lock();
            let began = Instant::now();
            pool.snapshot(bench.volume, &attributes(&format!("s{number}")))?;
            taken.push(Write { began, ended: Instant::now() });
        }
        Ok(taken)
    })?;
    let mut beyond: Vec<f64> = Vec::new();
    for snapshot in &snapshots {
        let waited = writes.iter().filter(|write| write.began < snapshot.ended && write.ended > snapshot.began);
        let longest = waited.map(Write::took).fold(0.0, f64::max);
        beyond.push((longest - snapshot.took()).max(0.0) / 1e6);
    }
    let mut took: Vec<f64> = snapshots.iter().map(|snapshot| snapshot.took() / 1e6).collect();
    let (longest, typical) = (beyond.iter().copied().fold(0.0, f64::max), median(&mut beyond));
    Ok(vec![
        Line::amount("a snapshot beside a writer", median(&mut took), "ms", None),
        Line::amount("a write's wait beyond the snapshot, median of 100", typical, "ms", Some(1.0)),
        Line::amount("a write's wait beyond the snapshot, longest of 100", longest, "ms", None),
    ])
}

/// Writes while the delta of a deleted snapshot is merged, and writes of the same kind alone, round by round.
fn beside_merge(bench: &Bench, size: Size) -> Result<Vec<Line>, Failure> {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..size.rounds {
        let seed = round as u64 * 2;
        let delta = full_delta(bench)?;
        alone.extend(bench.write(seed, bench.blocks, size.operations, &AtomicBool::new(true))?);
        bench.shared.lock().delete(delta)?;
        // The writer is there before the merge, which takes milliseconds.
        let (writes, merger) = bench.write_beside(seed + 1, bench.blocks, || {
            let merger = Merger::start(bench.shared.clone(), bench.metrics.clone(), Arc::new(State::default()))
                .map_err(|error| Failure::file("start a thread for", Path::new("merge"), &error))?;
            while debt(&bench.shared)? > 0 {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(merger)
        })?;
        merger.stop();
        beside.extend(writes);
    }
    let mib = size.volume >> 20;
    let what = format!("writes while {mib} MiB of delta merge, beside alone");
    let (rare, rare_alone) = (quantile(&beside, 100), quantile(&alone, 100));
    Ok(vec![
        Line::against(what, mean(&beside), mean(&alone), "ns", 1.11),
        Line::against("the same, one in a hundred is above", rare, rare_alone, "ns", 1.2),
    ])
}

/// A snapshot with a delta as large as the volume, below a last one: every block of the volume is its own then.
fn full_delta(bench: &Bench) -> Result<LayerId, Failure> {
    let delta = bench.shared.lock().snapshot(bench.volume, &attributes("before"))?;
    fill(bench.blocks * SIZE as u64, |at, bytes| Ok(bench.shared.write(bench.volume, at / 512, bytes)?))?;
    bench.shared.lock().checkpoint()?;
    Ok(delta)
}
