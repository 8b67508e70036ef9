//! Promises that random histories on roomy pools do not put to the test.

mod base;
pub(super) mod many;
mod merging;
mod promised;
mod sizes;
mod sparse;
mod thin;
mod transfers;
mod verbs;

use cowl::{BlockDevice, Error, LayerId, Merge, Pool};

use super::{Clock, medium::Medium};
use crate::sim::{bytes_of, merge_step, value_of};

pub(super) fn run(medium: &impl Medium, clock: &Clock) -> Result<(), String> {
    for seed in 0.. {
        round(medium, seed, clock)?;
        if clock.is_over() {
            break;
        }
    }
    Ok(())
}

/// A part by name, and what it does.
type Part<'a> = (&'a str, &'a dyn Fn() -> Result<(), String>);

/// Every part once, while there is time.
pub(super) fn round(medium: &impl Medium, seed: u64, clock: &Clock) -> Result<(), String> {
    let parts: [Part<'_>; 10] = [
        ("operations on layers", &|| verbs::run(medium, seed)),
        ("a base device", &|| base::run(medium, seed)),
        ("a full pool", &|| thin::run(medium, seed)),
        ("a guaranteed volume", &|| promised::run(medium, seed)),
        ("a guaranteed volume beside smaller ones", &|| promised::beside_smaller(medium, seed)),
        ("a sparse volume", &|| sparse::run(medium, seed)),
        ("merge in small steps", &|| merging::run(medium, seed)),
        ("sizes", &|| sizes::run(medium, seed)),
        ("many volumes", &|| many::run(medium, seed)),
        ("transfers", &|| transfers::run(medium, seed)),
    ];
    for (name, part) in parts {
        part().map_err(|why| format!("{name}, seed {seed}: {why}"))?;
        if clock.is_over() {
            break;
        }
    }
    Ok(())
}

/// What a layer holds, a value for each sector.
fn values<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    layer: LayerId,
    sectors: usize,
) -> Result<Vec<u64>, Error<D::Error>> {
    let size = pool.info().sector_size as usize;
    let mut bytes = vec![0; sectors * size];
    pool.read(layer, 0, &mut bytes)?;
    Ok(bytes.chunks(size).map(value_of).collect())
}

/// Both are the same, or where they differ.
fn same(found: &[u64], expected: &[u64]) -> Result<(), String> {
    match found.iter().zip(expected).position(|(found, expected)| found != expected) {
        Some(sector) => Err(format!("sector {sector} is {:x} instead of {:x}", found[sector], expected[sector])),
        None if found.len() == expected.len() => Ok(()),
        None => Err(format!("{} sectors instead of {}", found.len(), expected.len())),
    }
}

/// Bytes of so many sectors with a value.
fn filled(value: u64, sectors: usize) -> Vec<u8> {
    bytes_of(value, sectors * 512)
}

/// Merges until nothing is left.
fn merge_all<D: BlockDevice>(pool: &mut Pool<'_, D>) -> Result<(), Error<D::Error>> {
    loop {
        match pool.merge_step(1) {
            Ok(Merge::Idle) => return Ok(()),
            Ok(_) | Err(Error::BudgetTooSmall { .. }) => merge_step(pool, 20)?,
            Err(error) => return Err(error),
        }
    }
}
