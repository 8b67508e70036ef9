//! F1 to F7, F9, F16, F17: power cuts, flushes that lie, discards, sectors that read differently each time.

use std::collections::BTreeSet;

use cowl::{BlockDevice, Error, LayerFlags, Pool};
use cowl_host::sim::{
    Config, Fate, Image, Op, Rng, Sector, SimDisk, bytes_of,
    faults::{Calls, Discarded, Discarding, Failing, Injected, LyingFlush, Shown, Stale, Tearing, When},
    mount, tag_of,
};
use cowl_tests::contents::{Detected, damage, findings, is_spare_copy};

use crate::script::{
    SCRIPT, Seen, Step, World, configs, every_cut, mount_any, outcomes, prepared, see, survives, works,
};

/// What a mount of these sectors shows; it must be admissible.
fn shown(world: &World, sectors: Vec<Sector>, workspace: &mut [u8]) -> Seen {
    let disk = SimDisk::from_sectors(world.config.sector_size, sectors);
    let seen = see(&mut mount(disk, workspace).expect("mount after a cut")).expect("read after a cut");
    world.may_show(&seen).unwrap_or_else(|why| panic!("after a cut: {why}"));
    seen
}

#[test]
fn f1_f2_whatever_subset_of_the_sectors_in_flight_arrives_is_survived() {
    let (mut images, mut rng) = (0, Rng::new(1));
    for config in configs() {
        let mut workspace = config.workspace();
        every_cut(config, &SCRIPT, |image, world| {
            let pending = image.pending.len();
            let all = pending <= 5;
            for number in 0..if all { 1 << pending } else { 12 } {
                let choice = if all { number } else { rng.below(u64::MAX) };
                let fate = |i: usize| if choice >> (i % 64) & 1 == 0 { Fate::Old } else { Fate::New };
                shown(world, image.after_cut(fate), &mut workspace);
                images += 1;
            }
        });
    }
    assert!(images > 2500, "{images}");
}

/// A torn sector: two kinds of garbage, and the halves of old and new.
fn torn(kind: usize, old: &[u8], new: &[u8]) -> Vec<u8> {
    let half = new.len() / 2;
    match kind {
        0 => (0..new.len()).map(|i| (i * 13 + 1) as u8).collect(),
        1 => vec![0xf1; new.len() - 1].into_iter().chain([0]).collect(),
        2 => [&new[..half], &old[half..]].concat(),
        _ => [&old[..half], &new[half..]].concat(),
    }
}

#[test]
fn f3_a_torn_sector_is_survived_and_the_outcome_does_not_depend_on_what_is_in_it() {
    let mut images = 0;
    for config in configs() {
        let mut workspace = config.workspace();
        every_cut(config, &SCRIPT, |image, world| {
            let Some((sector, new)) = image.pending.last() else { return };
            let old = image.durable[*sector as usize].clone().unwrap_or_else(|| bytes_of(0, new.len()).into());
            let mut outcomes = BTreeSet::new();
            for others in [Fate::Old, Fate::New] {
                for kind in 0..4 {
                    let bytes = torn(kind, &old, new);
                    let mut sectors = image.after_cut(|_| others);
                    sectors[*sector as usize] = Some(bytes.clone().into());
                    let disk = SimDisk::from_sectors(config.sector_size, sectors);
                    let mut seen = see(&mut mount(disk, &mut workspace).expect("mount")).expect("read");
                    if tag_of(&bytes).is_none() {
                        seen.call_torn(&bytes, config.sector_size);
                    }
                    world.may_show(&seen).unwrap_or_else(|why| panic!("torn: {why}"));
                    if kind < 2 {
                        outcomes.insert((others, format!("{:?}", seen.found)));
                    }
                    images += 1;
                }
            }
            assert_eq!(outcomes.len(), 2, "the outcome depends on the garbage");
        });
    }
    assert!(images > 2000, "{images}");
}

/// Tears each write in turn, with the physical unit that it lies in.
fn tearing(config: Config, script: &[Step], unit: u32, said: u32) -> u64 {
    let disk = SimDisk::new(config.sector_size, config.device_sectors());
    let (mut workspace, mut other) = (config.workspace(), config.workspace());
    let wrap = |disk: &SimDisk, when| Tearing::new(disk.clone(), unit, when).saying(said);
    Pool::format(wrap(&disk, When::NEVER), &mut workspace, &config.format()).expect("format");
    let model =
        cowl_host::sim::start(&mut mount(disk.clone(), &mut workspace).expect("mount"), &config).expect("create");
    let sectors = disk.image().durable;
    for number in 0.. {
        let mut world = World::new(config, model.clone());
        let disk = SimDisk::from_sectors(config.sector_size, sectors.clone());
        let mut device = wrap(&disk, When::once(number));
        let mut pool = mount_any(&mut device, &mut workspace).expect("mount");
        let mut past = Vec::new();
        let failed = script.iter().find_map(|step| {
            past.push(world.clone());
            world.step(&mut pool, *step).err()
        });
        if failed.is_none() {
            return number;
        }
        assert!(device.is_dead());
        for image in outcomes(&disk.image()) {
            let torn = SimDisk::from_sectors(config.sector_size, image);
            let seen = damage(mount(torn.clone(), &mut other)).and_then(|mut pool| damage(see(&mut pool)));
            if unit == said {
                let seen = seen.expect("nothing outside the unit is harmed");
                world.may_show(&seen).unwrap_or_else(|why| panic!("write {number}: {why}"));
                works(torn, &seen, &mut other);
            } else if let Ok(seen) = seen {
                let known = world.may_show(&seen).is_ok() || past.iter().any(|world| world.may_show(&seen).is_ok());
                assert!(known, "write {number}: neither an older state nor an error");
            }
        }
    }
    unreachable!("some number is past the last write")
}

#[test]
fn f4_a_torn_physical_unit_harms_nothing_outside_it() {
    for block_size in [1024, 4096] {
        let config = Config { block_size, sectors: 16, flags: LayerFlags::INTEGRITY, ..Config::TINY };
        assert!(tearing(config, &SCRIPT, block_size, block_size) > 50);
    }
}

/// A disk that rewrites two blocks at once and says that it does not: a torn unit takes finished blocks with it. That is damage, or an older
/// state: the superblock's other pair is in another unit, a flushed unit of the journal may be lost together with the next one.
#[test]
fn f4_a_physical_unit_that_is_hidden_gives_an_older_state_or_an_error() {
    let config = Config { block_size: 1024, sectors: 16, flags: LayerFlags::INTEGRITY, ..Config::TINY };
    assert!(tearing(config, &without_attachments(), 2048, 1024) > 50);
}

#[test]
fn f5_a_second_crash_in_what_follows_the_first_is_survived() {
    let (mut images, mut cuts) = (0, 0);
    let config = configs()[1];
    let (mut workspace, mut other) = (config.workspace(), config.workspace());
    every_cut(config, &SCRIPT, |image, world| {
        cuts += 1;
        let ops =
            [Op::Flush, Op::Write(0, 0, 3, 91), Op::Snapshot(0), Op::Merge(400), Op::Discard(0, 0, 4), Op::Delete(0)];
        for (i, sectors) in outcomes(image).enumerate() {
            let disk = SimDisk::from_sectors(config.sector_size, sectors);
            let mut pool = mount(disk.clone(), &mut workspace).expect("mount");
            let seen = see(&mut pool).expect("read");
            let mut next = world.clone();
            if next.adopt(&seen).is_err() {
                next.may_show(&seen).expect("a torn sector in flight");
                continue;
            }
            let step = Step::Do(ops[(cuts + i) % ops.len()]);
            let before = next.clone();
            disk.start_cuts();
            next.step(&mut pool, step).expect("after a crash");
            let during = before.during(&next, step);
            for again in disk.take_cuts().iter().flat_map(outcomes) {
                shown(&during, again, &mut other);
                images += 1;
            }
        }
    });
    assert!(images > 5000, "{images}");
}

#[test]
fn f6_what_a_mount_shows_after_a_kill_survives_a_later_power_cut() {
    for config in configs() {
        let mut workspace = config.workspace();
        every_cut(config, &SCRIPT, |image, world| {
            // The process was killed, the device's cache lives on.
            let disk = SimDisk::from_sectors(config.sector_size, image.after_cut(|_| Fate::Old));
            for (sector, bytes) in &image.pending {
                disk.clone().write(*sector, bytes).expect("in the cache");
            }
            let seen = see(&mut mount(disk.clone(), &mut workspace).expect("mount")).expect("read");
            world.may_show(&seen).expect("after a kill");
            let after = disk.image().after_cut(|_| Fate::Old);
            assert!(shown(world, after, &mut workspace) == seen, "what was shown is gone");
        });
    }
}

#[test]
fn f7_a_write_that_is_durable_by_itself_says_nothing_of_those_before_it() {
    for config in configs() {
        let mut workspace = config.workspace();
        every_cut(config, &SCRIPT, |image, world| {
            let last = image.pending.len().saturating_sub(1);
            for others in [Fate::Old, Fate::Garbage] {
                shown(world, image.after_cut(|i| if i == last { Fate::New } else { others }), &mut workspace);
            }
        });
    }
}

/// The script without what has no checksums even on a volume with integrity.
fn without_attachments() -> Vec<Step> {
    SCRIPT.into_iter().filter(|step| !matches!(step, Step::Attach(_))).collect()
}

/// Runs the script on a device some of whose flushes lie and cuts the power behind every step: the states that are older, or damage.
fn lied(config: Config, script: &[Step], when: When, seed: u64) -> (u64, u64) {
    let (sectors, mut world) = prepared(config);
    let disk = SimDisk::from_sectors(config.sector_size, sectors);
    let (mut workspace, mut other) = (config.workspace(), config.workspace());
    let (mut rng, mut sound, mut damaged) = (Rng::new(seed), 0, 0);
    let mut device = LyingFlush::new(disk.clone(), when);
    let mut pool = mount_any(&mut device, &mut workspace).expect("mount");
    let mut states = vec![world.clone()];
    for step in script {
        let before = world.clone();
        if damage(world.step(&mut pool, *step)).is_err() {
            return (sound, damaged + 1);
        }
        states.push(before.during(&world, *step));
        states.push(world.clone());
        let image = disk.image();
        let some: Vec<bool> = image.pending.iter().map(|_| rng.below(2) == 0).collect();
        let mut images: Vec<Vec<Sector>> = outcomes(&image).collect();
        images.push(image.after_cut(|i| if some[i] { Fate::New } else { Fate::Old }));
        for image in images {
            // All four slots of the superblock are torn where no flush has stored any of them: nothing is left to see.
            let no_slot =
                image[..4].iter().all(|slot| slot.as_ref().is_none_or(|bytes| !bytes.starts_with(b"COWLPOOL")));
            let disk = SimDisk::from_sectors(config.sector_size, image);
            let mounted = match mount(disk, &mut other) {
                Err(Error::NotAPool) if no_slot => Err(Detected),
                mounted => damage(mounted),
            };
            let seen = mounted.and_then(|mut pool| damage(see(&mut pool)));
            let Ok(seen) = seen else {
                damaged += 1;
                continue;
            };
            sound += 1;
            assert!(states.iter().any(|state| state.may_show(&seen).is_ok()), "{when:?}: a blend: {seen:?}");
        }
    }
    (sound, damaged)
}

/// With integrity data is noticed too. Without it a lying flush can put old data under new maps, which nothing can see: DESIGN.md
/// names such devices as not supported.
#[test]
fn f9_a_flush_that_lies_gives_an_older_state_or_an_error_and_never_a_blend() {
    let config = Config { flags: LayerFlags::INTEGRITY, ..configs()[2] };
    let script = without_attachments();
    let (mut sound, mut damaged) = (0, 0);
    for first in 0..60 {
        for count in [1, 2, 3, u64::MAX] {
            let (more, found) = lied(config, &script, When::times(first, count), first);
            sound += more;
            damaged += found;
        }
    }
    assert!(sound > 5000 && damaged > 500, "{sound} sound, {damaged} damaged");
}

#[test]
fn f16_discards_may_leave_anything_come_late_fail_or_be_undone() {
    let mut discarded = 0;
    for config in configs() {
        for leaves in [Discarded::Old, Discarded::Zeros, Discarded::Garbage, Discarded::Late] {
            for failing in (0..4).map(When::once).chain([When::NEVER]) {
                discarded += discarding(config, leaves, failing);
            }
        }
    }
    assert!(discarded > 10_000, "{discarded}");
}

fn discarding(config: Config, leaves: Discarded, failing: When) -> u64 {
    let (sectors, mut world) = prepared(config);
    let disk = SimDisk::from_sectors(config.sector_size, sectors);
    let (mut workspace, mut other) = (config.workspace(), config.workspace());
    let mut device = Failing::new(Discarding::new(disk.clone(), leaves), Calls::Discards, failing);
    {
        let mut pool = mount_any(&mut device, &mut workspace).expect("mount");
        for step in SCRIPT.iter().flat_map(|step| [*step, Step::DiscardFree]) {
            let before = world.clone();
            disk.start_cuts();
            match world.step(&mut pool, step) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, Error::Device(Injected::Fault));
                    before.shows(&see(&mut pool).expect("read")).expect("a discard that failed has changed nothing");
                }
            }
            let during = before.during(&world, step);
            // Discards are many and alike: some of the cuts.
            for image in disk.take_cuts().iter().rev().step_by(37).chain([&disk.image()]) {
                for sectors in outcomes(image) {
                    shown(&during, sectors, &mut other);
                }
            }
        }
        world.shows(&see(&mut pool).expect("read")).expect("the end");
        assert!(findings(&mut pool).expect("check").iter().all(is_spare_copy));
    }
    device.inner().discarded()
}

/// One sector in flight shows its old and its new content in turn.
fn metastable(image: &Image, number: usize, others: Fate, old_first: bool, size: usize) -> Stale<SimDisk> {
    let (sector, new) = &image.pending[number];
    let mut sectors = image.after_cut(|_| others);
    let old = image.durable[*sector as usize].clone().unwrap_or_else(|| bytes_of(0, new.len()).into());
    sectors[*sector as usize] = Some(new.clone());
    let disk = SimDisk::from_sectors(size, sectors);
    let mut device = Stale::new(disk, When::ALWAYS, Shown::Alternating { old_first });
    device.remember(*sector, &old);
    device
}

#[test]
fn f17_a_sector_that_reads_differently_each_time_is_survived_in_a_commit_and_noticed_elsewhere() {
    let mut images = 0;
    for config in configs() {
        let mut workspace = config.workspace();
        every_cut(config, &SCRIPT, |image, world| {
            for number in image.pending.len().saturating_sub(8)..image.pending.len() {
                // Without integrity nothing tells one content of a data block from another.
                let data = tag_of(&image.pending[number].1).is_some();
                if data && !config.flags.contains(LayerFlags::INTEGRITY) {
                    continue;
                }
                for (others, old_first) in
                    [(Fate::Old, true), (Fate::Old, false), (Fate::New, true), (Fate::New, false)]
                {
                    images += 1;
                    let mut device = metastable(image, number, others, old_first, config.sector_size);
                    let slots = 4 * u64::from(config.block_size) / config.sector_size as u64;
                    let commit = image.pending[number].0 < slots + u64::from(config.journal_units);
                    let seen =
                        damage(mount_any(&mut device, &mut workspace)).and_then(|mut pool| damage(see(&mut pool)));
                    match seen {
                        Ok(seen) => world
                            .may_show(&seen)
                            .unwrap_or_else(|why| panic!("sector {}: {why}", image.pending[number].0)),
                        Err(_) => assert!(!commit, "a commit sector was not survived: {}", image.pending[number].0),
                    }
                    // The first change settles it: what is shown then stays.
                    let Ok(mut pool) = damage(mount_any(&mut device, &mut workspace)) else { continue };
                    if damage(pool.checkpoint()).is_ok()
                        && let Ok(seen) = damage(see(&mut pool))
                    {
                        world.may_show(&seen).expect("settled");
                    }
                }
            }
        });
    }
    assert!(images > 1000, "{images}");
}

#[test]
fn what_survives_is_alive() {
    for config in configs() {
        let mut workspace = config.workspace();
        every_cut(config, &SCRIPT, |image, world| {
            for sectors in outcomes(image).step_by(2) {
                survives(world, sectors, &mut workspace);
            }
        });
    }
}
