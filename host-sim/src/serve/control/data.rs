//! Calls that read and change data.
//!
//! Data goes the way of all clients, through what is shared; a command waits for nobody and keeps nobody waiting for long.

use cowl::LayerId;
use serde_json::Value;

use super::{Service, answer::value, call::Call, wire::MOST_DATA};
use crate::{
    cli::{
        failure::{Failure, Kind},
        pool::AnyPool,
    },
    serve::shared::Outcome,
};

/// Bytes of a range that are discarded or zeroed in one hold of the pool.
const STEP: u64 = 4 << 20;

/// Does what is asked; `bytes` is what came with the call, and afterwards what goes with the answer.
///
/// # Errors
/// As the call of the same name fails on a pool.
pub fn perform(service: &Service, call: &Call, bytes: &mut Vec<u8>) -> Result<Value, Failure> {
    let shared = &service.shared;
    match *call {
        Call::Read { layer, sector, length } => return read(service, LayerId(layer), sector, length, bytes),
        Call::Write { volume, sector } => write(service, LayerId(volume), sector, bytes)?,
        Call::WriteBytes { volume, offset } => write_bytes(service, LayerId(volume), offset, bytes)?,
        Call::Discard { volume, sector, count } => {
            // The core goes by whole blocks; parts that meet at multiples of their size make no difference.
            in_steps(service, LayerId(volume), sector, count, |at, count| shared.discard(LayerId(volume), at, count))?;
        }
        Call::WriteZeroes { volume, sector, count } => {
            in_steps(service, LayerId(volume), sector, count, |at, count| {
                shared.write_zeroes(LayerId(volume), at, count)
            })?;
        }
        _ => return Err(Failure::new(Kind::Other, "this call is not about data")),
    }
    bytes.clear();
    value(&())
}

fn read(service: &Service, layer: LayerId, sector: u64, length: u32, data: &mut Vec<u8>) -> Result<Value, Failure> {
    let length = usize::try_from(length).ok().filter(|length| *length <= MOST_DATA);
    let length = length.ok_or_else(|| Failure::new(Kind::Usage, "that is more than a message can hold"))?;
    whole(service, sector, length)?;
    data.resize(length, 0);
    value(&service.shared.read(layer, sector, data)?)
}

fn write(service: &Service, volume: LayerId, sector: u64, data: &[u8]) -> Result<(), Failure> {
    whole(service, sector, data.len())?;
    has_room(service, data.len())?;
    Ok(service.shared.write(volume, sector, data)?)
}

/// As for clients: before the pool's own structures find no room.
fn has_room(service: &Service, length: usize) -> Result<(), Failure> {
    service.room.take(length as u64).map_err(|_full| {
        Failure::new(Kind::NoSpace, "the file system that holds the pool's file is full").hint("make room on it")
    })
}

/// Refuses what is not a whole number of sectors, or ends behind what can be numbered.
fn whole(service: &Service, sector: u64, length: usize) -> Result<(), Failure> {
    let (size, length) = (u64::from(service.shared.sector_size()), length as u64);
    if length.is_multiple_of(size) && sector.checked_add(length / size).is_some() {
        return Ok(());
    }
    Err(Failure::new(Kind::Usage, format!("{length} bytes at sector {sector} are no range of sectors of {size} bytes")))
}

/// A long range, worked off with others in between; the parts meet at multiples of any block size. What does not lie inside is
/// refused as a whole.
fn in_steps(
    service: &Service,
    volume: LayerId,
    sector: u64,
    count: u64,
    work: impl Fn(u64, u64) -> Outcome<()>,
) -> Result<(), Failure> {
    let sectors = service.shared.lock().layer(volume)?.sectors;
    let step = STEP / u64::from(service.shared.sector_size());
    let Some(end) = sector.checked_add(count).filter(|end| *end <= sectors) else {
        return Ok(work(sector, count)?);
    };
    let mut at = sector;
    while at < end {
        let next = ((at / step + 1) * step).min(end);
        work(at, next - at)?;
        at = next;
    }
    Ok(())
}

/// Whole sectors go the way of all data; the rest of a sector is read and written in one hold of the pool.
fn write_bytes(service: &Service, volume: LayerId, offset: u64, data: &[u8]) -> Result<(), Failure> {
    let sector = u64::from(service.shared.sector_size());
    if offset.is_multiple_of(sector) && (data.len() as u64).is_multiple_of(sector) {
        return write(service, volume, offset / sector, data);
    }
    has_room(service, data.len())?;
    AnyPool::write_bytes(&mut *service.shared.lock(), volume, offset, data)
}
