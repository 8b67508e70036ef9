//! Power cuts in random histories; after some of them the pool is mounted, goes on, and loses power again.

use cowl::{BlockDevice, FormatOptions, Geometry, LayerFlags, Pool};

use super::{
    Clock,
    contract::many,
    judge::{Judge, after, fates},
    mixes::Mix,
    text,
};
use crate::sim::{
    Config, Failed, Fate, Image, Model, Op, Rng, SimDisk, apply, crash_history, found, garbage_byte, mount, sound,
    start, transfers,
};

/// Device writes at the end of a checkpoint that are looked at: those of the superblock, and those before.
const LAST_WRITES: usize = 4;
/// Cuts one behind the other in the same pool.
const DEPTH: u32 = 3;

pub(super) fn run(clock: &Clock) -> Result<(), String> {
    torn_units()?;
    for seed in 0.. {
        let config = shape(seed);
        short_lives(seed).map_err(|why| format!("short lives, seed {seed}: {why}"))?;
        repeated(&config, seed).map_err(|why| format!("repeated cuts, seed {seed}: {why}"))?;
        if seed % 4 == 0 {
            transfers(&config, seed, 150).map(drop).map_err(|why| format!("transfers, seed {seed}: {why}"))?;
            single(&config, seed)?;
            formatted_again(seed).map_err(|why| format!("format over a pool, seed {seed}: {why}"))?;
            brim(seed).map_err(|why| format!("a full pool, seed {seed}: {why}"))?;
        }
        if clock.is_over() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sectors of the volume whose blocks come and go one by one.
const FRAGMENTED: usize = 108;

/// Small pools: more of what matters happens in them.
pub(super) fn shape(seed: u64) -> Config {
    // In a small one the sweep comes round again and again.
    let blocks = if seed % 2 == 1 { 190 } else { 400 };
    let base = Config { pending: 2 + (seed % 3) as u32, sectors: 8, blocks, ..Config::TINY };
    match seed % 8 {
        // One that is nearly full: the free space is in pieces.
        1 => Config { sectors: 60, blocks: 170, ..base },
        2 => Config { block_size: 1024, blocks: 300, ..base },
        3 => Config { flags: LayerFlags::INTEGRITY, ..base },
        4 => Config { block_size: 1024, blocks: 300, flags: LayerFlags::INTEGRITY, ..base },
        5 => Config { flags: LayerFlags::GUARANTEED, blocks: 700, ..base },
        // Flushes of several units.
        6 => Config { pending: 40, journal_units: 9, sectors: 60, blocks: 900, ..base },
        // A table whose checkpoints need more than the extents at hand.
        0 if seed % 16 == 8 => Config { pending: 24, journal_units: 9, sectors: FRAGMENTED, blocks: 330, ..base },
        // A table that only a large workspace would hold if it were not bounded.
        7 => Config { more_workspace: 1 << 16, journal_units: 12, ..base },
        _ => base,
    }
}

fn ops(rng: &mut Rng, config: &Config, length: usize, few: bool) -> Vec<Op> {
    let mix = match rng.below(8) {
        _ if config.sectors == FRAGMENTED => Mix::Fragments,
        0..3 => Mix::Everything,
        3..6 if config.pending > 16 => Mix::Groups,
        3..6 => Mix::Journal,
        6 => Mix::Merging,
        _ => Mix::Brim,
    };
    mix.ops(rng, config.sectors, length, few)
}

fn single(config: &Config, seed: u64) -> Result<(), String> {
    let ops = ops(&mut Rng::new(seed), config, 40, seed.is_multiple_of(2));
    crash_history(config, &ops, 3, seed).map(drop).map_err(|why| format!("cuts, seed {seed}: {why}"))
}

/// Lives of a few writes and flushes of the same few sectors: what one has lost, the next must not find again.
fn short_lives(seed: u64) -> Result<(), String> {
    let config = Config { sectors: 3, pending: 4, ..Config::TINY };
    lives(&config, seed ^ 0x51f, &mut |rng| {
        let write = |rng: &mut Rng| Op::Write(0, rng.below(2) as u16, 1, rng.below(1 << 20) << 8 | 1);
        let mut ops = vec![write(rng)];
        match rng.below(4) {
            0 => ops.extend([Op::Snapshot(0), write(rng)]),
            1 => ops.push(write(rng)),
            _ => {}
        }
        ops.push(Op::Flush);
        ops
    })
}

/// A history that is cut, goes on from one of the images, and is cut again.
fn repeated(config: &Config, seed: u64) -> Result<(), String> {
    lives(config, seed, &mut |rng| {
        let length = 1 + rng.below(10) as usize;
        ops(rng, config, length, seed.is_multiple_of(2))
    })
}

fn lives(config: &Config, seed: u64, life: &mut dyn FnMut(&mut Rng) -> Vec<Op>) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut disk = SimDisk::new(config.sector_size, config.device_sectors());
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let mut model = start(&mut pool, config).map_err(text("create"))?;
    for op in ops(&mut rng, config, seed as usize % 50, false).iter().filter(|op| **op != Op::Kill) {
        apply(&mut pool, &mut model, *op).map_err(text("operation"))?;
    }
    drop(pool);
    let mut judge = Judge::new(config, 2, 24);
    let mut told = Vec::new();
    for _ in 0..DEPTH {
        let ops = life(&mut rng);
        told.push(format!("{ops:?}"));
        let why = |why: String| format!("{why} after {}", told.join(", cut, "));
        let (cut, during) = play(config, &disk, &mut workspace, &mut model, &ops, &mut judge, &mut rng).map_err(why)?;
        let fates = fates(cut.pending.len(), &mut rng);
        told.push(format!("{fates:?}"));
        disk = SimDisk::from_sectors(config.sector_size, after(&cut, &fates));
        model = during;
    }
    Ok(())
}

/// Mounts, applies, judges every cut; returns one of the last operation's cuts and the model at it.
fn play(
    config: &Config,
    disk: &SimDisk,
    workspace: &mut [u8],
    model: &mut Model,
    ops: &[Op],
    judge: &mut Judge,
    rng: &mut Rng,
) -> Result<(Image, Model), String> {
    let mut pool = mount(disk.clone(), workspace).map_err(text("mount"))?;
    let seen = found(&mut pool).map_err(text("read"))?;
    model.adopt(&seen, config.sector_size)?;
    let mut last = (disk.image(), model.clone());
    for op in ops.iter().filter(|op| **op != Op::Kill) {
        disk.start_cuts();
        let before = model.clone();
        apply(&mut pool, model, *op).map_err(text("operation"))?;
        let during = before.during(model, op.is_barrier());
        let cuts = disk.take_cuts();
        for cut in &cuts {
            judge.cut(cut, &during, rng)?;
        }
        judge.cut(&disk.image(), model, rng)?;
        let pick = rng.below(cuts.len() as u64 + 1) as usize;
        last = cuts.get(pick).map_or_else(|| (disk.image(), model.clone()), |cut| (cut.clone(), during));
    }
    if rng.below(4) == 0 {
        let before = model.clone();
        model.begin(model.now.clone());
        pool.unmount().map_err(text("unmount"))?;
        model.complete();
        judge.cut(&disk.image(), model, rng)?;
        last = (disk.image(), before.during(model, true));
    }
    Ok(last)
}

/// A simulated disk that rewrites two sectors as a whole.
#[derive(Clone)]
struct Wide(SimDisk);

impl BlockDevice for Wide {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        Geometry { physical_size: 1024, ..self.0.geometry() }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        self.0.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Failed> {
        self.0.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.0.flush()
    }
}

/// A write that is torn harms its whole physical unit: nothing that was flushed before may lie in it (F4, J1).
pub(super) fn torn_units() -> Result<(), String> {
    let config = Config { block_size: 1024, blocks: 300, pending: 6, journal_units: 6, sectors: 12, ..Config::TINY };
    let disk = Wide(SimDisk::new(config.sector_size, config.device_sectors()));
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let mut model = start(&mut pool, &config).map_err(text("create"))?;
    model.unit = 2;
    let mut small = config.workspace();
    for block in 0..4u16 {
        for op in [Op::Write(0, 2 * block, 2, u64::from(block) + 50), Op::Flush] {
            disk.0.start_cuts();
            let before = model.clone();
            apply(&mut pool, &mut model, op).map_err(text("operation"))?;
            let during = before.during(&model, op == Op::Flush);
            for cut in disk.0.take_cuts() {
                for torn in &cut.pending {
                    let mut sectors = cut.after_cut(|_| Fate::New);
                    for sector in [torn.0 & !1, torn.0 | 1] {
                        let garbage = (0..config.sector_size).map(|at| garbage_byte(false, at));
                        sectors[sector as usize] = Some(garbage.collect());
                    }
                    let image = SimDisk::from_sectors(config.sector_size, sectors);
                    let mut pool = mount(Wide(image), &mut small).map_err(text("mount with a torn unit"))?;
                    let seen = found(&mut pool).map_err(text("read with a torn unit"))?;
                    during.compare_after_crash(&seen, config.sector_size).map_err(|why| format!("torn unit: {why}"))?;
                }
            }
        }
    }
    Ok(())
}

/// A pool filled to the last block by volumes whose maps a checkpoint changes nearly everywhere: at its last writes, nothing that
/// the old superblock leads to may have been used again (A2).
pub(super) fn brim(seed: u64) -> Result<(), String> {
    let config = many::shape(seed);
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    let mut workspace = config.workspace();
    let mut small = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let mut before = many::Written::new();
    many::fill(&mut pool, seed, &mut |pool, written| {
        disk.start_cuts();
        pool.checkpoint().map_err(text("a checkpoint"))?;
        let cuts = disk.take_cuts();
        for cut in &cuts[cuts.len().saturating_sub(LAST_WRITES)..] {
            let image = SimDisk::from_sectors(config.sector_size, cut.after_cut(|_| Fate::New));
            let mut pool = mount(image, &mut small).map_err(text("mount after a cut"))?;
            // What has been discarded since may be there again, also where it was written anew, and what is new need not be there yet.
            let there = written.iter().filter(|(place, tag)| before.get(place) == Some(tag));
            let there = there.map(|(place, tag)| (*place, *tag)).collect();
            many::holds(&mut pool, &there).map_err(|why| format!("after a cut: {why}"))?;
        }
        before.clone_from(written);
        Ok(())
    })
}

/// Formats over a pool in use: until the new pool is there, the newest state of the old one is whole or gone.
pub(super) fn formatted_again(seed: u64) -> Result<(), String> {
    let config = Config { blocks: 400, ..shape(seed / 4 * 8) };
    let mut rng = Rng::new(seed);
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).map_err(text("format"))?;
    let mut pool = mount(disk.clone(), &mut workspace).map_err(text("mount"))?;
    let mut model = start(&mut pool, &config).map_err(text("create"))?;
    for op in ops(&mut rng, &config, 6, false) {
        apply(&mut pool, &mut model, op).map_err(text("operation"))?;
    }
    for op in [Op::Write(0, 0, 1, 77), Op::Flush, Op::Write(0, 0, 2, 78), Op::Flush] {
        apply(&mut pool, &mut model, op).map_err(text("operation"))?;
    }
    let generation = pool.info().generation;
    drop(pool);
    disk.start_cuts();
    let options = FormatOptions { force: true, ..config.format() };
    Pool::format(disk.clone(), &mut workspace, &options).map_err(text("format again"))?;
    let mut small = Config { more_workspace: 0, ..config }.workspace();
    for cut in disk.take_cuts() {
        for _ in 0..8 {
            let fates = fates(cut.pending.len(), &mut rng);
            let image = SimDisk::from_sectors(config.sector_size, after(&cut, &fates));
            let Ok(mut pool) = mount(image, &mut small) else { continue };
            let seen = found(&mut pool).map_err(text("read"))?;
            // An older generation of the old pool is what format may leave of it; the newest is whole or not there.
            if !seen.is_empty() && pool.info().generation == generation {
                model.compare_after_crash(&seen, config.sector_size)?;
            }
        }
    }
    let mut pool = mount(disk, &mut small).map_err(text("mount of the new pool"))?;
    let seen = found(&mut pool).map_err(text("read of the new pool"))?;
    if seen.is_empty() { sound(&mut pool, true) } else { Err(format!("a new pool with {:?}", seen.keys())) }
}
