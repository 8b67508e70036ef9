//! Power cuts: work until the disk loses its power at a random write, then recover and compare, again and again.

use cowl::{BlockDevice, Error, MountOptions, Pool};

use super::{
    bench::{Bench, Change, Outcome},
    plain::Plains,
    power::PowerCut,
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        interrupt,
    },
    sim::Rng,
};

/// Snapshots above which the next change of the tree is a delete.
const SNAPSHOTS: usize = 6;
/// Steps of work between two cuts, if the cut does not come before.
const STEPS: u64 = 60;

/// What the cuts did.
#[derive(Debug, Default)]
pub struct Toll {
    /// Power cuts.
    pub cuts: u64,
    /// Of those, cuts in the middle of a change of the tree.
    pub in_changes: u64,
    /// Of those, changes that were there after the recovery.
    pub completed: u64,
    /// Sectors that were open at a cut.
    pub open: u64,
    /// Of those, sectors that were lost.
    pub lost: u64,
    /// Bytes compared.
    pub compared: u64,
}

/// Cuts the power so many times. Gives the device back, with the pool on it unmounted.
///
/// # Errors
/// [`Kind::Damage`] if anything is not what a plain disk could hold; the message says how to see it again.
pub fn run(
    mut device: PowerCut,
    workspace: &mut [u8],
    plains: &mut Plains,
    random: &mut Rng,
    cuts: u32,
) -> Result<(PowerCut, Toll), Failure> {
    let mut toll = Toll::default();
    let options = MountOptions { read_only: false, checksum: crate::crc32c };
    for cut in 0..cuts {
        interrupt::check("the demonstration is not finished", "run it again")?;
        let pool = Pool::mount(device, workspace, &options)
            .map_err(|error| Failure::from(error).during(format_args!("mounting before power cut {cut}")))?;
        let mut bench = Bench { pool, plains };
        bench.pool.device_mut().plan(random.below(120), random.number());
        let mut in_flight = None;
        match work(&mut bench, random, cut, &mut in_flight) {
            Ok(()) | Err(Error::Device(_) | Error::Poisoned) => {}
            Err(error) => {
                return Err(
                    Failure::from(error).during(format_args!("before power cut {cut}, {in_flight:?} under way"))
                );
            }
        }
        device = bench.pool.abandon();
        let loss = device.restore()?;
        toll.cuts += 1;
        toll.open += loss.open;
        toll.lost += loss.lost;
        let pool = Pool::mount(device, workspace, &options)
            .map_err(|error| Failure::from(error).during(format_args!("mounting after power cut {cut}")))?;
        let mut bench = Bench { pool, plains };
        if let Some(change) = &in_flight {
            toll.in_changes += 1;
            toll.completed += u64::from(bench.settle(change)?);
        }
        toll.compared += bench
            .verify()
            .map_err(|failure| failure.during(format_args!("after power cut {cut}, {in_flight:?} under way")))?;
        check(&mut bench)
            .map_err(|failure| failure.during(format_args!("after power cut {cut}, {in_flight:?} under way")))?;
        device = bench.pool.unmount()?;
    }
    Ok((device, toll))
}

/// The pool's own check, which must find nothing.
///
/// # Errors
/// [`Kind::Damage`] if it does.
pub fn check(bench: &mut Bench<'_, '_>) -> Result<u64, Failure> {
    let mut first = None;
    let mut scratch = vec![0; 1 << 20];
    let checked = bench.pool.check(&mut scratch, false, &mut |finding| {
        first.get_or_insert_with(|| format!("{finding:?}"));
    })?;
    match first {
        None => Ok(checked.blocks),
        Some(first) => {
            Err(Failure::new(Kind::Damage, format!("check found {first} and {} more", checked.findings - 1)))
        }
    }
}

/// Random work on all volumes; `in_flight` is the change of the tree that was under way when an error came.
fn work(bench: &mut Bench<'_, '_>, random: &mut Rng, cut: u32, in_flight: &mut Option<Change>) -> Outcome<()> {
    for step in 0..STEPS {
        let names: Vec<String> = bench.plains.volumes.keys().cloned().collect();
        let Some(volume) = random.pick(&names) else { return Ok(()) };
        match random.below(16) {
            0..8 => drop(bench.scribble(random, volume, 1)?),
            8..11 => bench.flush()?,
            11..13 => bench.merge_a_little()?,
            _ => {
                let change = choose(bench.plains, random, volume, u64::from(cut) * STEPS + step);
                *in_flight = Some(change.clone());
                bench.change(&change)?;
                *in_flight = None;
            }
        }
    }
    Ok(())
}

fn choose(plains: &Plains, random: &mut Rng, volume: &str, number: u64) -> Change {
    // `install` stays: it is the one that is checked as a file system at the end.
    let snapshots: Vec<&String> = plains.snapshots.keys().filter(|name| *name != "install").collect();
    let some = random.pick(&snapshots).map(|name| (*name).clone());
    let family = |name: &String| plains.snapshots.contains_key(name);
    match (some, random.below(3)) {
        (Some(name), _) if snapshots.len() >= SNAPSHOTS => Change::Delete { name },
        (Some(name), 0) => Change::Delete { name },
        (Some(to), 1) if family(&to) => {
            let keep = (random.below(2) == 0).then(|| format!("kept-{number}"));
            Change::Rollback { volume: volume.to_owned(), to, keep, time: 4_000_000_000 + number }
        }
        _ => Change::Snapshot { volume: volume.to_owned(), name: format!("cut-{number}") },
    }
}

/// The device's size, for the story.
pub fn size(device: &PowerCut) -> u64 {
    let geometry = device.geometry();
    geometry.sectors * u64::from(geometry.sector_size)
}

/// Says how to see a failure again.
pub fn replay(failure: Failure, seed: u64, cuts: u32) -> Failure {
    if failure.kind == Kind::Damage {
        failure.hint(format!("`cowl demo --seed {seed} --cuts {cuts}` shows it again"))
    } else {
        failure
    }
}
