//! Images with something in them damaged.
//!
//! All volumes have checksums of their data, so whatever happens to one sector, a pool that is mounted at all answers every read
//! with the truth or with an error. What may be lost without an error is only what the journal's last, unproven units hold.

use cowl::{BlockDevice, Error, Finding, FormatOptions, LayerFlags, LayerId, Pool, Reader};

use super::{Clock, text};
use crate::sim::{Config, Failed, Found, Op, Rng, Sector, SimDisk, apply, found, mount, random_op, sound, start};

/// Bytes of a block and of a sector here.
const SIZE: usize = 512;

const SHAPE: Config =
    Config { flags: LayerFlags::INTEGRITY, pending: 4, journal_units: 6, sectors: 40, ..Config::TINY };

/// A pool's sectors with nothing pending, those of a while before, and what it shows.
pub(super) struct Reference {
    sectors: Vec<Sector>,
    older: Vec<Sector>,
    shown: Found,
}

pub(super) fn run(clock: &Clock) -> Result<(), String> {
    for seed in 0.. {
        let reference = reference(seed)?;
        proven_units(seed)?;
        wipe_is_lost(seed)?;
        let mut rng = Rng::new(seed);
        for _ in 0..150 {
            harmed(&reference, &mut rng).map_err(|why| format!("seed {seed}: {why}"))?;
            if clock.is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A pool after a random history.
pub(super) fn reference(seed: u64) -> Result<Reference, String> {
    let disk = SimDisk::new(SIZE, SHAPE.device_sectors());
    let mut workspace = SHAPE.workspace();
    Pool::format(disk.clone(), &mut workspace, &SHAPE.format()).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let mut model = start(&mut pool, &SHAPE).map_err(text("create"))?;
    let mut rng = Rng::new(seed);
    let mut older = Vec::new();
    for i in 0..24 {
        if i == 18 {
            pool.checkpoint().map_err(text("checkpoint"))?;
            older = disk.image().durable;
        }
        let op = random_op(&mut rng, SHAPE.sectors, i + 1, false);
        if op != Op::Kill {
            apply(&mut pool, &mut model, op).map_err(text("operation"))?;
        }
    }
    pool.checkpoint().map_err(text("checkpoint"))?;
    let shown = found(&mut pool).map_err(text("read"))?;
    Ok(Reference { sectors: disk.image().durable, older, shown })
}

/// One thing goes wrong somewhere.
fn harmed(reference: &Reference, rng: &mut Rng) -> Result<(), String> {
    let mut sectors = reference.sectors.clone();
    let written: Vec<usize> = (0..sectors.len()).filter(|i| sectors[*i].is_some()).collect();
    let at = if rng.below(8) == 0 { rng.below(4) as usize } else { written[rng.below(written.len() as u64) as usize] };
    let other = written[rng.below(written.len() as u64) as usize];
    let what = match rng.below(6) {
        0 => {
            sectors[at].clone_from(&reference.older[at]);
            format!("the last write of sector {at} was lost")
        }
        1 => {
            let there = sectors[other].clone();
            sectors[at] = there;
            format!("sector {at} has what belongs to {other}")
        }
        2 => {
            sectors[at] = None;
            format!("sector {at} is zeros")
        }
        _ => {
            let (byte, bits) = (rng.below(SIZE as u64) as usize, 1 + rng.below(255) as u8);
            flip(&mut sectors, at, byte, bits);
            format!("byte {byte} of sector {at} has other bits {bits:x}")
        }
    };
    truthful(sectors, at, &reference.shown).map_err(|why| format!("{what}: {why}"))
}

fn flip(sectors: &mut [Sector], at: usize, byte: usize, bits: u8) {
    let mut bytes = sectors[at].as_ref().map_or_else(|| vec![0; SIZE], |bytes| bytes.to_vec());
    bytes[byte] ^= bits;
    sectors[at] = Some(bytes.into());
}

/// Every byte of every used sector, one after the other: bits that change from byte to byte.
pub(super) fn sweep(reference: &Reference, clock: &Clock) -> Result<(), String> {
    let written: Vec<usize> = (0..reference.sectors.len()).filter(|i| reference.sectors[*i].is_some()).collect();
    let (slots, others): (Vec<usize>, Vec<usize>) = written.into_iter().partition(|at| *at < 4);
    // The superblocks, then the rest in an order that visits all sectors early.
    for sectors in [slots, others] {
        for step in 0..SIZE {
            flipped(reference, &sectors, step * 193 % SIZE)?;
            if clock.is_over() {
                break;
            }
        }
    }
    Ok(())
}

fn flipped(reference: &Reference, places: &[usize], byte: usize) -> Result<(), String> {
    for at in places {
        let bits = 1 << ((at + byte) % 8);
        let mut sectors = reference.sectors.clone();
        flip(&mut sectors, *at, byte, bits);
        truthful(sectors, *at, &reference.shown)
            .map_err(|why| format!("bit {bits:x} of byte {byte} of sector {at}: {why}"))?;
    }
    Ok(())
}

/// The small reader shows the truth or errors.
fn truthful_reader(disk: SimDisk, workspace: &mut [u8], shown: &Found) -> Result<(), String> {
    let Ok(mut reader) = Reader::mount(disk, workspace, crate::crc32c) else { return Ok(()) };
    for (id, (name, bytes)) in shown {
        let Ok(image) = reader.find(name) else { continue };
        let image = image.ok_or_else(|| format!("the reader does not find layer {id}, {name}"))?;
        let mut seen = vec![0; bytes.len()];
        if reader.read(&image, 0, &mut seen).is_ok() && seen != *bytes {
            return Err(format!("the reader shows something else of layer {id}, {name}"));
        }
    }
    Ok(())
}

/// The image shows the truth or errors, and nothing that is done with it panics.
fn truthful(sectors: Vec<Sector>, at: usize, shown: &Found) -> Result<(), String> {
    let mut workspace = SHAPE.workspace();
    let disk = SimDisk::from_sectors(SIZE, sectors);
    truthful_reader(disk.clone(), &mut workspace, shown)?;
    let Ok(mut pool) = mount(disk, &mut workspace) else { return Ok(()) };
    let mut listed = Vec::new();
    let mut after = None;
    let whole = loop {
        match pool.next_layer(after) {
            Ok(Some(info)) => {
                listed.push(info.id.0);
                after = Some(info.id);
            }
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    if whole && !listed.iter().eq(shown.keys()) || listed.iter().any(|id| !shown.contains_key(id)) {
        return Err(format!("layers {listed:?} instead of {:?}", shown.keys()));
    }
    for id in listed {
        compare_layer(&mut pool, id, &shown[&id])?;
    }
    let mut scratch = vec![0; 4096];
    let mut findings = Vec::new();
    // Damage may end a check; that it is found at all depends on where it is.
    let _ = pool.check(&mut scratch, true, &mut |finding| findings.push(*finding));
    let _ = pool.checkpoint();
    // A superblock is taken whole or not at all: nothing that hangs off it is wrong because a slot is.
    findings.retain(|finding| !matches!(finding, Finding::SuperblockCopy { .. }));
    if at < 4 && !findings.is_empty() { Err(format!("a damaged superblock was taken: {findings:?}")) } else { Ok(()) }
}

fn compare_layer(pool: &mut Pool<'_, SimDisk>, id: u32, (name, bytes): &(String, Vec<u8>)) -> Result<(), String> {
    let Ok(info) = pool.layer(LayerId(id)) else { return Ok(()) };
    if info.name.to_string() != *name || info.sectors as usize * SIZE != bytes.len() {
        return Err(format!("layer {id} is {} of {} sectors", info.name, info.sectors));
    }
    for (sector, part) in bytes.chunks(SIZE).enumerate() {
        let mut buffer = vec![0; SIZE];
        if pool.read(LayerId(id), sector as u64, &mut buffer).is_ok() && buffer != part {
            return Err(format!("layer {id} sector {sector} has other bytes and no error"));
        }
    }
    Ok(())
}

/// Units whose flush is proven by a later one, and a superblock that units build on, cannot be lost unnoticed (J7, J8).
pub(super) fn proven_units(seed: u64) -> Result<(), String> {
    for units in [3, 1] {
        lost_superblocks(seed, units)?;
    }
    let (disk, mut workspace) = journaled(seed, 3)?;
    let sectors = disk.image().durable;
    let mut rng = Rng::new(seed);
    for place in 0..2 {
        let (at, byte) = (4 + place, rng.below(SIZE as u64) as usize);
        let mut harmed = sectors.clone();
        flip(&mut harmed, at, byte, 1 << rng.below(8));
        let disk = SimDisk::from_sectors(SIZE, harmed);
        match mount(disk, &mut workspace) {
            Ok(_) => return Err(format!("unit {} damaged at byte {byte}, and mounted all the same", place + 1)),
            Err(Error::Corrupt { .. }) => {}
            Err(error) => return Err(text("mount")(error)),
        }
    }
    Ok(())
}

/// Without the superblocks that the journal builds on, no older state is shown as if it were the newest.
fn lost_superblocks(seed: u64, units: u16) -> Result<(), String> {
    let (disk, mut workspace) = journaled(seed, units)?;
    let sectors = disk.image().durable;
    let truth = found(&mut mount(disk, &mut workspace).map_err(text("mount"))?).map_err(text("read"))?;
    for pair in [0, 2] {
        let mut harmed = sectors.clone();
        for slot in [pair, pair + 1] {
            flip(&mut harmed, slot, 100, 1);
        }
        if let Ok(mut pool) = mount(SimDisk::from_sectors(SIZE, harmed), &mut workspace) {
            let shown = found(&mut pool).map_err(text("read"))?;
            if shown != truth {
                return Err(format!("superblocks {pair} and {} damaged: an older state is shown", pair + 1));
            }
        }
    }
    Ok(())
}

/// A pool with so many units in its journal, all but the last proven.
fn journaled(seed: u64, units: u16) -> Result<(SimDisk, Vec<u8>), String> {
    let disk = SimDisk::new(SIZE, SHAPE.device_sectors());
    let mut workspace = SHAPE.workspace();
    Pool::format(disk.clone(), &mut workspace, &SHAPE.format()).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let mut model = start(&mut pool, &SHAPE).map_err(text("create"))?;
    for unit in 0..units {
        let sector = (seed % 7) as u16 + 5 * unit;
        for op in [Op::Write(0, sector, 1, 100 + u64::from(unit)), Op::Flush] {
            apply(&mut pool, &mut model, op).map_err(text("operation"))?;
        }
    }
    drop(pool);
    Ok((disk, workspace))
}

/// A device that loses its next write to one place.
struct Forgetful {
    disk: SimDisk,
    place: u64,
}

impl BlockDevice for Forgetful {
    type Error = Failed;

    fn geometry(&self) -> cowl::Geometry {
        self.disk.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        self.disk.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        if sector == self.place { Ok(()) } else { self.disk.write(sector, buffer) }
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.disk.flush()
    }
}

/// A new pool with another identifier over an old one: units of the old one that were not wiped are nobody's (J2).
pub(super) fn wipe_is_lost(seed: u64) -> Result<(), String> {
    let (disk, mut workspace) = journaled(seed, 3)?;
    let options = FormatOptions { uuid: [9; 16], force: true, ..SHAPE.format() };
    let device = Forgetful { disk: disk.clone(), place: 4 + seed % 3 };
    Pool::format(device, &mut workspace, &options).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount of a pool over an old journal"))?;
    let mut model = start(&mut pool, &SHAPE).map_err(text("create"))?;
    drop(pool);
    let mut pool = mount(disk, &mut workspace).map_err(text("mount over an old journal"))?;
    model.adopt(&found(&mut pool).map_err(text("read"))?, SIZE)?;
    sound(&mut pool, true)
}
