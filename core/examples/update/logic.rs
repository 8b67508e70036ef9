//! An update with a way back, for a machine that boots from a volume. Needs no allocator and no clock: take it into firmware as it is.
//!
//! The new image is written to a volume of its own. Then one commit makes it the system and keeps what was the system as the snapshot `previous`:
//! - while `previous` exists, the system is on trial, and the strokes in its description count the boots;
//! - each boot adds a stroke before the system starts. A system that is good *confirms*: `previous` is deleted;
//! - when the strokes are used up, the system goes back to `previous`.
//!
//! Every change of that state is one commit of the pool. So at any power loss the system is the old image or the new one, whole, and each
//! boot has been counted once or not yet.

use cowl::{Attributes, BlockDevice, Error, LayerId, Merge, Pool};

/// The volume that the machine boots from.
pub const SYSTEM: &str = "system";
/// The snapshot of what the system was before the update that is on trial.
pub const PREVIOUS: &str = "previous";
/// What an installation works with, in the order in which it is made.
const WORK: [&str; 3] = ["update base", "update", "update image"];
/// As many strokes as there can be boots on trial.
const STROKES: &str = "||||||||||||||||";

/// What is to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The system as it is.
    Settled,
    /// The new system, for the so-manieth time; it must confirm.
    Trial(usize),
    /// The old system: the new one did not confirm.
    WentBack,
}

/// Why an update was not installed; the system is what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<E> {
    /// The pool's error.
    Pool(Error<E>),
    /// The last update is still on trial.
    OnTrial,
    /// The image ended too early.
    Incomplete,
}

impl<E> From<Error<E>> for Refused<E> {
    fn from(error: Error<E>) -> Self {
        Self::Pool(error)
    }
}

type Result<T, D> = core::result::Result<T, Error<<D as BlockDevice>::Error>>;

fn named(name: &str, time: u64) -> Attributes<'_> {
    Attributes { name, time, ..Attributes::default() }
}

/// The volume to boot from; there must be one of this name.
pub fn system<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<LayerId, D> {
    Ok(pool.find(SYSTEM)?.ok_or(Error::BadParameter("the pool has no volume of the name system"))?.id)
}

/// To be called once at each boot, before the system starts: counts the boot, or goes back after `tries` that were not confirmed (at most 16).
pub fn boot<D: BlockDevice>(pool: &mut Pool<'_, D>, tries: usize) -> Result<Start, D> {
    let system = system(pool)?;
    let Some(previous) = pool.find(PREVIOUS)? else { return Ok(Start::Settled) };
    let attempt = usize::from(previous.description) + 1;
    let strokes = STROKES.get(..attempt).filter(|_| attempt <= tries);
    if let Some(strokes) = strokes {
        pool.describe(previous.id, strokes)?;
        return Ok(Start::Trial(attempt));
    }
    // A power loss between these two: the next boot does both again.
    pool.rollback(system, previous.id, 0, None)?;
    pool.delete(previous.id)?;
    Ok(Start::WentBack)
}

/// Makes the image the system, on trial. `next` fills the buffer with the image's next sectors, and says how many bytes that were; whole
/// sectors, 0 at the end.
///
/// # Errors
/// [`Refused`]: what was written of the image goes with the next installation, or with [`idle`].
pub fn install<D: BlockDevice>(
    pool: &mut Pool<'_, D>,
    time: u64,
    bytes: u64,
    buffer: &mut [u8],
    mut next: impl FnMut(&mut [u8]) -> usize,
) -> core::result::Result<(), Refused<D::Error>> {
    if pool.find(PREVIOUS)?.is_some() {
        return Err(Refused::OnTrial);
    }
    clear(pool)?;
    let system = system(pool)?;
    let [base, work, image] = WORK;
    let base = pool.snapshot(system, &named(base, time))?;
    let volume = pool.clone_snapshot(base, &named(work, time), false)?;
    let (sector_size, mut done) = (u64::from(pool.info().sector_size), 0);
    while done < bytes {
        let count = next(buffer);
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { return Err(Refused::Incomplete) };
        pool.write(volume, done / sector_size, part)?;
        done += part.len() as u64;
    }
    let image = pool.snapshot(volume, &named(image, time))?;
    // The one commit that counts: new system, old system kept, no stroke yet.
    pool.rollback(system, image, time, Some(&named(PREVIOUS, time)))?;
    Ok(clear(pool)?)
}

/// To be called by the new system when it is sure that it works.
pub fn confirm<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<(), D> {
    match pool.find(PREVIOUS)? {
        Some(previous) => pool.delete(previous.id),
        None => Ok(()),
    }
}

/// Gives back the space of what is no longer needed, for about `budget` device operations; to be called when there is nothing else to do, and
/// not during an installation.
pub fn idle<D: BlockDevice>(pool: &mut Pool<'_, D>, budget: u32) -> Result<Merge, D> {
    clear(pool)?;
    pool.merge_step(budget)
}

/// Deletes what an installation left, also one that was cut.
fn clear<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<(), D> {
    for name in WORK.iter().rev() {
        if let Some(left) = pool.find(name)? {
            pool.delete(left.id)?;
        }
    }
    Ok(())
}
