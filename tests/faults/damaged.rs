//! F11, F12, F13, F19: rot, misdirected and lost transfers, hostile images. What is exhaustive about them is in `damage.rs`.

use std::collections::BTreeSet;

use cowl::{BlockDevice, Error, FormatOptions, Geometry, LayerFlags, LayerId, MountOptions, Pool};
use cowl_host::sim::{
    Config, Op, Rng, Sector, SimDisk,
    faults::{Misplaced, Place, Rot, Rotten, When},
    mount,
};
use cowl_tests::contents::{Detected, damage, findings, is_spare_copy};

use crate::script::{SCRIPT, Seen, Step, World, configs, mount_any, prepared, see};

/// Integrity, so that data can be verified, and no attachments, whose data cannot.
fn script() -> Vec<Step> {
    let steps = SCRIPT.into_iter().filter(|step| !matches!(step, Step::Attach(_)));
    steps.chain([Step::Do(Op::Checkpoint)]).collect()
}

/// What the script leaves, and the sectors that mounting, reading and checking touch.
fn left() -> (World, Vec<Sector>, Seen, Vec<u64>) {
    let config = configs()[2];
    let (sectors, mut world) = prepared(config);
    let disk = SimDisk::from_sectors(config.sector_size, sectors);
    let mut workspace = config.workspace();
    let mut pool = mount(disk.clone(), &mut workspace).expect("mount");
    for step in script() {
        world.step(&mut pool, step).expect("sound");
    }
    drop(pool);
    let mut traced = cowl_host::sim::Traced::new(disk.clone());
    let mut pool = mount_any(&mut traced, &mut workspace).expect("mount");
    let seen = see(&mut pool).expect("read");
    assert!(findings(&mut pool).expect("check").iter().all(is_spare_copy));
    world.shows(&seen).expect("sound");
    let touched: BTreeSet<u64> = traced.lines().iter().flat_map(|line| line.sector..line.sector + line.count).collect();
    (world, disk.image().durable, seen, touched.into_iter().collect())
}

/// Mounts, reads and checks: what is there is right, or damage is reported.
fn judged<D: BlockDevice>(mut device: D, world: &World, workspace: &mut [u8]) -> Result<(), Detected> {
    let mut pool = damage(mount_any(&mut device, workspace))?;
    let seen = damage(see(&mut pool))?;
    world.shows(&seen).unwrap_or_else(|why| panic!("unnoticed: {why}"));
    let found = damage(findings(&mut pool))?;
    if found.iter().all(is_spare_copy) { Ok(()) } else { Err(Detected) }
}

#[test]
fn f11_rot_of_any_size_in_any_reachable_sector_is_found_or_survived() {
    let (world, sectors, _, reachable) = left();
    let mut workspace = world.config.workspace();
    let (mut detected, mut survived) = (0, BTreeSet::new());
    for sector in &reachable {
        let mut kinds = vec![vec![Rot::Garbage], vec![Rot::Zeros]];
        for byte in (0..512).step_by(3) {
            kinds.push(vec![Rot::Bits { byte, mask: 0x40 }, Rot::Bits { byte: 511 - byte, mask: 0x06 }]);
            kinds.push(vec![Rot::Bits { byte, mask: 0xff }]);
        }
        for kind in kinds {
            let disk = SimDisk::from_sectors(world.config.sector_size, sectors.clone());
            let rotten = Rotten::new(disk, kind.iter().map(|rot| (*sector, *rot))).stuck();
            match judged(rotten, &world, &mut workspace) {
                Err(Detected) => detected += 1,
                Ok(()) => drop(survived.insert(*sector)),
            }
        }
    }
    // One slot of the superblock, and units of the journal that nobody needs.
    let per_block = u64::from(world.config.block_size) / world.config.sector_size as u64;
    let fixed = 4 * per_block + u64::from(world.config.journal_units);
    let unused: Vec<&u64> = survived.iter().filter(|sector| **sector >= fixed).collect();
    // A slot takes half a block: the other half, and the spare places of the space map, hold nothing.
    for sector in &unused {
        let zero = sectors[**sector as usize].as_ref().is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0));
        assert!(zero, "rot in sector {sector} is neither found nor harmless");
    }
    assert!(detected > 5000, "{detected}");
    for slot in 0..4 {
        assert!(survived.contains(&(slot * per_block)), "a bad slot {slot} is survived");
    }
}

#[test]
fn f12_a_read_from_the_wrong_place_is_found_or_survived() {
    let (world, sectors, _, reachable) = left();
    let mut workspace = world.config.workspace();
    let mut detected = 0;
    for number in 0.. {
        let mut calls = 0;
        for other in &reachable {
            let disk = SimDisk::from_sectors(world.config.sector_size, sectors.clone());
            let mut device = Misplaced::reads(disk, When::once(number), Place::At(*other));
            detected += u64::from(judged(&mut device, &world, &mut workspace).is_err());
            calls = calls.max(device.calls());
        }
        if calls <= number {
            break;
        }
    }
    assert!(detected > 500, "{detected}");
}

/// Runs the script with one bad write, and looks, warm and cold.
fn bad_write(
    number: u64,
    place: Place,
    start: &(Vec<Sector>, World),
    workspace: &mut [u8],
) -> (Result<(), Detected>, u64) {
    let mut world = start.1.clone();
    let disk = SimDisk::from_sectors(world.config.sector_size, start.0.clone());
    let mut device = Misplaced::writes(disk.clone(), When::once(number), place);
    let ran = (|| {
        let mut pool = damage(mount_any(&mut device, workspace))?;
        for step in script() {
            damage(world.step(&mut pool, step))?;
        }
        world
            .shows(&damage(see(&mut pool))?)
            .unwrap_or_else(|why| panic!("write {number} {place:?}, unnoticed: {why}"));
        Ok(())
    })();
    let calls = device.calls();
    (ran.and_then(|()| judged(disk, &world, workspace)), calls)
}

#[test]
fn f12_f13_a_lost_misdirected_or_doubled_write_is_found_or_survived() {
    let (_, _, _, reachable) = left();
    let start = prepared(configs()[2]);
    let mut workspace = start.1.config.workspace();
    let (mut detected, mut survived) = (0, 0);
    for number in 0.. {
        let mut calls = 0;
        // A write of several sectors may go over both copies of the superblock: targets lie behind them.
        let targets = reachable.iter().filter(|sector| **sector >= 8).skip(number as usize % 3).step_by(3);
        let places = targets.flat_map(|sector| [Place::At(*sector), Place::AlsoAt(*sector)]);
        for place in places.chain([Place::Nowhere]) {
            let (result, seen) = bad_write(number, place, &start, &mut workspace);
            *(if result.is_err() { &mut detected } else { &mut survived }) += 1;
            calls = seen;
        }
        if calls <= number {
            break;
        }
    }
    assert!(detected > 500 && survived > 100, "{detected} detected, {survived} survived");
}

/// Takes everything for intact: whatever is on the device gets past the checksums.
fn blind(_: u32, _: &[u8]) -> u32 {
    0
}

/// Counts calls, so that nothing goes on for ever.
#[derive(Debug)]
struct Patient {
    disk: SimDisk,
    calls: u64,
}

impl BlockDevice for Patient {
    type Error = cowl_host::sim::Failed;

    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.calls += 1;
        assert!(self.calls < 400_000, "endless");
        self.disk.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Self::Error> {
        self.calls += 1;
        assert!(self.calls < 400_000, "endless");
        self.disk.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.disk.flush()
    }
}

/// Everything that a caller can do; errors are welcome, panics are not.
fn everything(pool: &mut Pool<'_, Patient>) -> Result<(), Error<cowl_host::sim::Failed>> {
    let mut records = Vec::new();
    let mut after = None;
    while let Some(info) = pool.next_record(after)? {
        after = Some(info.id);
        records.push(info);
        if records.len() > 100 {
            break;
        }
    }
    let mut bytes = vec![0; 8 * 512];
    for info in &records {
        let _ = pool.read(info.id, 0, &mut bytes);
        let _ = pool.read(info.id, info.sectors.saturating_sub(1), &mut bytes[..512]);
        let _ = pool.extent(info.id, 0);
        let _ = pool.description(info.id, &mut bytes);
        let _ = pool.next_attachment(info.id, None);
        let _ = pool.what_if_freed(&[info.id]);
    }
    let _ = findings(pool);
    for info in &records {
        let _ = pool.write(info.id, 1, &bytes[..1024]);
        let _ = pool.snapshot(info.id, &cowl_tests::named("x"));
        let _ = pool.rollback(info.id, LayerId(info.id.0 + 1), 1, None);
        let _ = pool.clone_snapshot(info.id, &cowl_tests::named("y"), false);
        let _ = pool.discard(info.id, 0, 4);
        let _ = pool.resize(info.id, 3);
        let _ = pool.flush();
        let _ = pool.delete(info.id);
        let _ = pool.merge_step(500);
    }
    let _ = pool.grow();
    let _ = findings(pool);
    Ok(())
}

#[test]
fn f19_a_hostile_image_whose_checksums_are_right_ends_in_errors_and_never_in_a_panic() {
    let config = Config { flags: LayerFlags::empty(), ..configs()[0] };
    let format = FormatOptions { checksum: blind, ..config.format() };
    let options = MountOptions { checksum: blind, ..MountOptions::default() };
    let mut workspace = config.workspace();
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    Pool::format(disk.clone(), &mut workspace, &format).expect("format");
    let mut pool = Pool::mount(disk.clone(), &mut workspace, &options).expect("mount");
    let model = cowl_host::sim::start(&mut pool, &config).expect("create");
    let mut world = World::new(config, model);
    for step in &SCRIPT[..19] {
        world.step(&mut pool, *step).expect("sound");
    }
    drop(pool);
    let sectors = disk.image().durable;
    let used: Vec<usize> = (0..sectors.len()).filter(|sector| sectors[*sector].is_some()).collect();
    let mut rng = Rng::new(19);
    for seed in 0..8_000u64 {
        let mut hostile = sectors.clone();
        let mut changes = Vec::new();
        for _ in 0..=rng.below(4) {
            let sector = used[rng.below(used.len() as u64) as usize];
            let mut bytes = hostile[sector].clone().expect("used").to_vec();
            let at = rng.below(512) as usize;
            bytes[at] =
                [0, 1, 0x7f, 0x80, 0xff, bytes[at].wrapping_add(1), rng.below(256) as u8][rng.below(7) as usize];
            changes.push((sector, at, bytes[at]));
            hostile[sector] = Some(bytes.into());
        }
        let device = Patient { disk: SimDisk::from_sectors(config.sector_size, hostile), calls: 0 };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if let Ok(mut pool) = Pool::mount(device, &mut workspace, &options) {
                let _ = everything(&mut pool);
            }
        }));
        assert!(done.is_ok(), "hostile image {seed}: {changes:?}");
    }
}
