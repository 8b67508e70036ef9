//! F8, F10, F14, F15, F20: calls that fail, devices that change, operations that are given up.

use cowl::{BlockDevice, Error, LayerId, Pool};
use cowl_host::sim::{
    Config, Op, SimDisk,
    faults::{Abandoning, Calls, Change, Changing, Failing, Injected, Left, Loss, When, WriteCache, finished},
    mount,
};

use crate::script::{SCRIPT, Step, World, configs, mount_any, outcomes, prepared, see, survives, works};

/// A disk as it was prepared.
fn disk_of(config: &Config, sectors: &[cowl_host::sim::Sector]) -> SimDisk {
    SimDisk::from_sectors(config.sector_size, sectors.to_vec())
}

/// Runs the script until something fails; the step that did, and its error. The world is then in the middle of it.
fn until_failure<D: BlockDevice>(
    pool: &mut Pool<'_, D>,
    world: &mut World,
    script: &[Step],
) -> Option<(usize, World, Error<D::Error>)> {
    for (i, step) in script.iter().enumerate() {
        let before = world.clone();
        if let Err(error) = world.step(pool, *step) {
            return Some((i, before, error));
        }
    }
    None
}

/// Nothing can be changed, and no flush says yes.
fn is_poisoned<D: BlockDevice>(pool: &mut Pool<'_, D>, volume: LayerId) {
    assert!(pool.info().poisoned);
    assert!(matches!(pool.flush(), Err(Error::Poisoned)), "a flush after a failed one");
    assert!(matches!(pool.checkpoint(), Err(Error::Poisoned)));
    assert!(matches!(pool.write(volume, 0, &[1; 512]), Err(Error::Poisoned)));
    assert!(matches!(pool.discard(volume, 0, 1), Err(Error::Poisoned)));
    assert!(matches!(pool.snapshot(volume, &cowl_tests::named("no")), Err(Error::Poisoned)));
    assert!(matches!(pool.delete(volume), Err(Error::Poisoned)));
    assert!(matches!(pool.merge_step(10_000), Err(Error::Poisoned)));
    assert!(matches!(pool.discard_free(0, 10), Err(Error::Poisoned)));
    assert!(matches!(pool.flush(), Err(Error::Poisoned)), "a second flush after a failed one");
}

/// After a failed write or flush: poisoned, readable, silent; mounted again, all that was promised is there.
fn failed_change(config: Config, left: Left, when: fn(u64) -> When) -> u64 {
    let (sectors, prepared_world) = prepared(config);
    let (mut workspace, mut other) = (config.workspace(), config.workspace());
    let volume = LayerId(prepared_world.model.ids(true)[0]);
    for number in 0.. {
        let (disk, mut world) = (disk_of(&config, &sectors), prepared_world.clone());
        let mut device = Failing::new(disk.clone(), Calls::Changes, when(number)).leaving(left);
        let mut pool = match mount_any(&mut device, &mut workspace) {
            Ok(pool) => pool,
            Err(error) => {
                assert_eq!((error, number), (Error::Device(Injected::Fault), 0), "the flush of the mount");
                continue;
            }
        };
        let Some((_, _, error)) = until_failure(&mut pool, &mut world, &SCRIPT) else { return number };
        assert_eq!(error, Error::Device(Injected::Fault), "call {number}");
        disk.take_calls();
        is_poisoned(&mut pool, volume);
        let warm = see(&mut pool).expect("reads go on");
        world.may_show(&warm).unwrap_or_else(|why| panic!("call {number}, while poisoned: {why}"));
        assert_eq!(pool.unmount().map(drop), Err(Error::Poisoned), "an unmount that says that all is well");
        assert_eq!(disk.take_calls(), [], "a poisoned pool writes and flushes nothing");
        for image in outcomes(&disk.image()) {
            survives(&world, image, &mut other);
        }
        let seen = see(&mut mount(disk.clone(), &mut other).expect("mount again")).expect("read again");
        world.may_show(&seen).unwrap_or_else(|why| panic!("call {number}, mounted again: {why}"));
        works(disk, &seen, &mut other);
    }
    unreachable!("some number is past the last call")
}

#[test]
fn f8_a_failed_write_or_flush_poisons_until_reopened_and_nothing_is_lost() {
    let mut calls = 0;
    for config in configs() {
        for left in [Left::Nothing, Left::All, Left::Half] {
            calls += failed_change(config, left, When::once);
            calls += failed_change(config, left, When::from);
        }
    }
    assert!(calls > 1000, "{calls}");
}

#[test]
fn f8_a_failed_flush_that_drops_what_it_held_loses_nothing_that_was_flushed_before() {
    for config in configs() {
        for loss in [Loss::Kept, Loss::Dropped, Loss::Half] {
            let (sectors, prepared_world) = prepared(config);
            let mut workspace = config.workspace();
            for number in 1.. {
                let (disk, mut world) = (disk_of(&config, &sectors), prepared_world.clone());
                let mut device = WriteCache::losing(disk.clone(), When::once(number), loss);
                let mut pool = mount_any(&mut device, &mut workspace).expect("mount");
                let Some((_, _, error)) = until_failure(&mut pool, &mut world, &SCRIPT) else { break };
                assert_eq!(error, Error::Device(Injected::Fault));
                is_poisoned(&mut pool, LayerId(prepared_world.model.ids(true)[0]));
                let seen = see(&mut mount_any(&mut device, &mut workspace).expect("mount again")).expect("read again");
                world.may_show(&seen).unwrap_or_else(|why| panic!("flush {number}, {loss:?}: {why}"));
                // What has been shown is durable: the power goes.
                device.cut(|_| false);
                let after = see(&mut mount_any(&mut device, &mut workspace).expect("mount after")).expect("read after");
                assert!(after == seen, "flush {number}, {loss:?}: what was shown is gone");
                works(&mut device, &seen, &mut workspace);
            }
        }
    }
}

#[test]
fn f8_after_a_failure_and_a_new_mount_every_later_crash_leaves_what_a_plain_disk_could() {
    let mut images = 0;
    for config in [configs()[1], configs()[2]] {
        let (sectors, prepared_world) = prepared(config);
        let (mut workspace, mut other) = (config.workspace(), config.workspace());
        for (number, left) in (1..).flat_map(|n| [(n, Left::Nothing), (n, Left::Half), (n, Left::All)]) {
            let (disk, mut world) = (disk_of(&config, &sectors), prepared_world.clone());
            let mut device = Failing::new(disk.clone(), Calls::Changes, When::once(number)).leaving(left);
            let Some((failed, _, _)) =
                until_failure(&mut mount_any(&mut device, &mut workspace).expect("mount"), &mut world, &SCRIPT)
            else {
                break;
            };
            let mut pool = mount(disk.clone(), &mut workspace).expect("mount again");
            let seen = see(&mut pool).expect("read");
            if world.adopt(&seen).is_err() {
                // A sector was left half written: it has no tag that the model could go on with.
                world.may_show(&seen).expect("half a sector");
                continue;
            }
            for step in SCRIPT.iter().skip(failed + 1).filter(|step| matches!(step, Step::Do(_))).take(2) {
                let before = world.clone();
                disk.start_cuts();
                world.step(&mut pool, *step).expect("sound again");
                let during = before.during(&world, *step);
                for image in disk.take_cuts().iter().flat_map(outcomes) {
                    survives(&during, image, &mut other);
                    images += 1;
                }
            }
        }
    }
    assert!(images > 2000, "{images}");
}

/// A read that fails once: nothing has changed, the same step works when it is done again.
#[test]
fn f10_a_read_error_changes_nothing_and_the_step_can_be_done_again() {
    let mut failures = 0;
    for config in configs() {
        let (sectors, prepared_world) = prepared(config);
        // Little is kept in memory, so that much is read.
        let Err(Error::WorkspaceTooSmall { needed }) = mount(disk_of(&config, &sectors), &mut [0; 1600]).map(drop)
        else {
            panic!("too small")
        };
        let mut workspace = vec![0; needed + 2 * config.block_size as usize];
        for number in 0.. {
            let (disk, mut world) = (disk_of(&config, &sectors), prepared_world.clone());
            let mut device = Failing::new(disk.clone(), Calls::Reads, When::once(number)).leaving(Left::Half);
            let mut pool = match mount_any(&mut device, &mut workspace) {
                Ok(pool) => pool,
                Err(error) => {
                    assert_eq!(error, Error::Device(Injected::Fault), "read {number} of the mount");
                    works(
                        disk,
                        &see(&mut mount(device.inner().clone(), &mut workspace).unwrap()).unwrap(),
                        &mut config.workspace(),
                    );
                    continue;
                }
            };
            let mut rest = &SCRIPT[..];
            let failed = until_failure(&mut pool, &mut world, rest);
            let Some((i, before, error)) = failed else {
                if device.calls() > number {
                    continue; // Survived: a slot of the superblock.
                }
                break;
            };
            failures += 1;
            assert_eq!(error, Error::Device(Injected::Fault));
            assert!(!pool.info().poisoned, "a read has failed, no write");
            let seen = see(&mut pool).expect("reads go on");
            unchanged(&before, &world, SCRIPT[i], &seen, number);
            world = before;
            rest = &rest[i..];
            let again = until_failure(&mut pool, &mut world, rest);
            assert!(again.is_none(), "read {number}: {:?}", again.map(|(i, _, error)| (rest[i], error)));
            world.shows(&see(&mut pool).expect("read")).expect("the end of the script");
            pool.flush().expect("flush");
            let seen = see(&mut mount(disk.clone(), &mut workspace).expect("mount")).expect("read");
            world.shows(&seen).unwrap_or_else(|why| panic!("read {number}, mounted again: {why}"));
            works(disk, &seen, &mut workspace);
        }
    }
    assert!(failures > 50, "{failures}");
}

/// After a failed read the pool shows what it showed before the step; a write or discard of several blocks may have done some.
fn unchanged(before: &World, during: &World, step: Step, seen: &crate::script::Seen, number: u64) {
    let several = matches!(step, Step::Do(Op::Write(..) | Op::Discard(..) | Op::Zero(..)));
    let result = before.shows(seen).or_else(|why| if several { during.may_show(seen) } else { Err(why) });
    result.unwrap_or_else(|why| panic!("read {number}, {step:?} failed but: {why}"));
}

#[test]
fn f10_a_device_that_cannot_be_read_is_never_taken_for_a_blank_one() {
    let config = configs()[0];
    let (sectors, world) = prepared(config);
    let mut workspace = config.workspace();
    for number in 0..12 {
        let disk = disk_of(&config, &sectors);
        let mut device = Failing::new(disk, Calls::Reads, When::from(number));
        let result = mount_any(&mut device, &mut workspace).map(drop);
        assert!(matches!(result, Ok(()) | Err(Error::Device(_))), "from read {number} on: {result:?}");
    }
    for bad in 0..config.device_sectors() as u64 {
        let mut device = Failing::new(disk_of(&config, &sectors), Calls::Reads, When::ALWAYS).at(bad);
        match mount_any(&mut device, &mut workspace) {
            Ok(mut pool) => match see(&mut pool) {
                Ok(seen) => world.shows(&seen).expect("what can be read is right"),
                Err(error) => assert_eq!(error, Error::Device(Injected::Fault)),
            },
            Err(error) => {
                assert_eq!(error, Error::Device(Injected::Fault));
                assert!(bad >= 4, "one bad slot of the superblock is survived");
            }
        }
    }
}

#[test]
fn f14_on_a_pool_of_any_size_no_space_changes_nothing_and_deleting_and_merging_work() {
    let mut refused = 0;
    for more in 0..60 {
        let config = Config { blocks: 115 + more, sectors: 30, ..Config::TINY };
        let disk = SimDisk::new(config.sector_size, config.device_sectors());
        let mut workspace = config.workspace();
        match Pool::format(disk.clone(), &mut workspace, &config.format()) {
            Ok(()) => {}
            Err(Error::DeviceTooSmall { .. }) => continue,
            Err(error) => panic!("{error:?}"),
        }
        let mut pool = mount(disk.clone(), &mut workspace).expect("mount");
        let Ok(model) = cowl_host::sim::start(&mut pool, &config) else { continue };
        let mut world = World::new(config, model);
        let mut full = false;
        for round in 0..40 {
            for op in [Op::Write(0, round, 3, u64::from(round) + 1), Op::Flush, Op::Snapshot(0), Op::Clone(round as u8)]
            {
                let before = world.clone();
                if !world.step(&mut pool, Step::Do(op)).expect("space or none") {
                    refused += 1;
                    full = true;
                    before.shows(&see(&mut pool).expect("read")).expect("it was refused, so nothing has changed");
                }
            }
        }
        assert!(full, "{more}");
        for op in [Op::Discard(0, 0, 30), Op::Delete(0), Op::Merge(500), Op::Delete(1), Op::Merge(500), Op::Merge(500)]
        {
            world.step(&mut pool, Step::Do(op)).expect("works on a full pool");
            world.shows(&see(&mut pool).expect("read")).expect("shown");
        }
        drop(pool);
        let seen = see(&mut mount(disk.clone(), &mut workspace).expect("mount")).expect("read");
        world.may_show(&seen).expect("mounted again");
        works(disk, &seen, &mut workspace);
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn f15_a_device_that_turns_read_only_vanishes_or_shrinks_is_noticed_and_reads_go_on_where_they_can() {
    for config in [configs()[0], configs()[2]] {
        let (sectors, prepared_world) = prepared(config);
        let mut workspace = config.workspace();
        let all = config.device_sectors() as u64;
        for change in [
            Change::ReadOnly,
            Change::Vanished,
            Change::Sectors(40),
            Change::Sectors(all - 1),
            Change::Sectors(2 * all),
        ] {
            for number in (0..).step_by(3) {
                let (disk, mut world) = (disk_of(&config, &sectors), prepared_world.clone());
                let mut device = Changing::new(disk.clone(), When::from(number), change);
                let mut pool = match mount_any(&mut device, &mut workspace) {
                    Ok(pool) => pool,
                    Err(error) => {
                        assert!(
                            matches!(error, Error::Device(_) | Error::DeviceTooSmall { .. }),
                            "{change:?} {error:?}"
                        );
                        assert!(number < 40, "{change:?}");
                        continue;
                    }
                };
                let failed = until_failure(&mut pool, &mut world, &SCRIPT);
                if let Some((_, _, error)) = &failed {
                    assert!(matches!(error, Error::Device(_) | Error::ReadOnly), "{change:?}: {error:?}");
                    let seen = see(&mut pool);
                    if change == Change::ReadOnly {
                        world.may_show(&seen.expect("reads go on")).expect("read-only");
                        assert!(!matches!(pool.flush(), Ok(())) || pool.info().read_only, "{change:?}");
                    } else if let Ok(seen) = seen {
                        world.may_show(&seen).expect("what can be read is right");
                    }
                }
                let seen = see(&mut mount(disk.clone(), &mut workspace).expect("mount")).expect("read");
                world.may_show(&seen).unwrap_or_else(|why| panic!("{change:?} from {number}: {why}"));
                works(disk, &seen, &mut workspace);
                if device.calls() <= number {
                    break;
                }
            }
        }
    }
}

#[test]
fn f20_an_operation_that_is_given_up_at_any_device_call_is_like_a_failed_one() {
    let mut given_up = 0;
    for config in configs() {
        let (sectors, prepared_world) = prepared(config);
        let (mut workspace, mut other) = (config.workspace(), config.workspace());
        for (number, after) in (0..).flat_map(|number| [(number, false), (number, true)]) {
            let (disk, mut world) = (disk_of(&config, &sectors), prepared_world.clone());
            let when = When::once(number);
            let wrap = if after { Abandoning::after } else { Abandoning::before };
            let mut device = wrap(disk.clone(), when);
            let done = finished(|| {
                let mut pool = mount_any(&mut device, &mut workspace).expect("mount");
                for step in SCRIPT {
                    world.step(&mut pool, step).expect("no error, only silence");
                }
            });
            if done.is_some() {
                break;
            }
            given_up += 1;
            let seen = see(&mut mount_any(&mut device, &mut workspace).expect("mount again")).expect("read again");
            world.may_show(&seen).unwrap_or_else(|why| panic!("call {number}: {why}"));
            for image in outcomes(&disk.image()) {
                survives(&world, image, &mut other);
            }
            works(disk, &seen, &mut workspace);
        }
    }
    assert!(given_up > 900, "{given_up}");
}
