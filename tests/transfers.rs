//! Transfers outside the pool: resolve, prepare, commit, and flushes in two halves (rules T1 to T6).

use cowl::{Attributes, BlockDevice, Counting, Error, ExtentKind, FormatOptions, LayerFlags, LayerId, Pool, RamDisk};
use cowl_host::sim::{Config, Failed, SimDisk, mount, transfers};

const BLOCK: usize = 512;

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// A pool of 512-byte blocks with one volume, mounted, its first checkpoint made.
fn with_pool(work: impl FnOnce(&mut Pool<'_, SimDisk>, &mut SimDisk, LayerId)) {
    let config = Config { pending: 8, journal_units: 8, ..Config::TINY };
    let mut disk = SimDisk::new(BLOCK, config.device_sectors());
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).unwrap();
    let mut pool = mount(disk.clone(), &mut workspace).unwrap();
    let volume = pool.create(&named("v"), 8, LayerFlags::empty()).unwrap();
    work(&mut pool, &mut disk, volume);
}

fn sum(bytes: &[u8]) -> u32 {
    cowl::crc32c(0, bytes)
}

fn byte(pool: &mut Pool<'_, SimDisk>, layer: LayerId, sector: u64) -> u8 {
    let mut bytes = [0; BLOCK];
    pool.read(layer, sector, &mut bytes).unwrap();
    bytes[0]
}

#[test]
fn what_is_written_outside_the_pool_is_lost_or_kept_like_any_write() {
    let (mut done, mut busy, mut cuts) = (0, 0, 0);
    for (number, config) in Config::shapes().iter().enumerate().filter(|(_, config)| config.base == 0) {
        for seed in 0..12 {
            let tally = transfers(config, seed, 300).unwrap_or_else(|why| panic!("shape {number} seed {seed}: {why}"));
            done += tally.transfers;
            busy += tally.busy;
            cuts += tally.cuts;
        }
    }
    assert!(done > 20_000 && busy > 1000 && cuts > 20_000, "{done} transfers, {busy} refused, {cuts} cuts");
}

#[test]
fn what_is_prepared_is_seen_once_it_is_committed() {
    with_pool(|pool, disk, volume| {
        pool.write(volume, 0, &[1; 2 * BLOCK]).unwrap();
        pool.checkpoint().unwrap();
        pool.snapshot(volume, &named("s")).unwrap();
        let writing = pool.prepare(volume, 0, 2).unwrap().expect("there is plenty of room");
        assert_eq!((writing.sectors(), writing.checksums()), (2, 2));
        disk.write(writing.sector(), &[2; 2 * BLOCK]).unwrap();
        assert_eq!(byte(pool, volume, 0), 1);
        pool.commit(writing, &[sum(&[2; BLOCK]); 2]).unwrap();
        assert_eq!((byte(pool, volume, 0), byte(pool, volume, 1)), (2, 2));
        let snapshot = pool.find("s").unwrap().unwrap().id;
        assert_eq!(byte(pool, snapshot, 1), 1);
    });
}

#[test]
fn while_a_transfer_is_under_way_nothing_is_committed() {
    with_pool(|pool, disk, volume| {
        pool.write(volume, 0, &[1; BLOCK]).unwrap();
        pool.checkpoint().unwrap();
        let snapshot = pool.snapshot(volume, &named("s")).unwrap();
        let writing = pool.prepare(volume, 0, 1).unwrap().unwrap();
        let reading = pool.resolve(snapshot, 0, 1).unwrap().unwrap();
        assert_eq!(pool.transfers(), 2);
        let generation = pool.info().generation;
        let busy = Err(Error::Busy { transfers: 2 });
        assert_eq!(pool.checkpoint(), busy);
        assert_eq!(pool.snapshot(volume, &named("t")).map(drop), busy);
        assert_eq!(pool.rollback(volume, snapshot, 0, None).map(drop), busy);
        assert_eq!(pool.clone_snapshot(snapshot, &named("c"), false).map(drop), busy);
        assert_eq!(pool.create(&named("n"), 4, LayerFlags::empty()).map(drop), busy);
        assert_eq!(pool.resize(volume, 16), busy);
        assert_eq!(pool.rename(volume, "w"), busy);
        assert_eq!(pool.delete(snapshot), busy);
        assert_eq!(pool.grow().map(drop), busy);
        assert_eq!((pool.info().generation, pool.info().layers), (generation, 2));
        disk.write(writing.sector(), &[2; BLOCK]).unwrap();
        pool.commit(writing, &[sum(&[2; BLOCK])]).unwrap();
        pool.release(reading);
        assert_eq!(pool.transfers(), 0);
        pool.snapshot(volume, &named("t")).unwrap();
        pool.delete(snapshot).unwrap();
        assert_eq!(byte(pool, volume, 0), 2);
    });
}

#[test]
fn a_full_table_under_a_transfer_is_busy_and_not_an_error_of_the_pool() {
    with_pool(|pool, _, volume| {
        pool.write(volume, 0, &[1; BLOCK]).unwrap();
        pool.checkpoint().unwrap();
        let reading = pool.resolve(volume, 0, 1).unwrap().unwrap();
        for sector in 1..8 {
            pool.write(volume, sector, &[2; BLOCK]).unwrap();
        }
        let results = (3..16).map(|round| pool.write(volume, 7, &[round; BLOCK]).and_then(|()| pool.flush()));
        let refused = results.into_iter().find(Result::is_err);
        assert_eq!(refused, Some(Err(Error::Busy { transfers: 1 })), "the journal has eight units");
        pool.release(reading);
        pool.flush().unwrap();
        assert!(byte(pool, volume, 7) > 2);
    });
}

#[test]
fn what_is_resolved_stays_where_it_is_until_it_is_released() {
    with_pool(|pool, disk, volume| {
        pool.write(volume, 0, &[1; BLOCK]).unwrap();
        pool.checkpoint().unwrap();
        let reading = pool.resolve(volume, 0, 8).unwrap().unwrap();
        let extent = reading.extent();
        let ExtentKind::Data { sector } = extent.kind else { panic!("{extent:?}") };
        assert_eq!((extent.sector, extent.count), (0, 1));
        pool.discard(volume, 0, 1).unwrap();
        for round in 2..40 {
            // Whatever fits into the pool without a checkpoint.
            let _ = pool.write(volume, u64::from(round) % 8, &[round; BLOCK]);
            let _ = pool.flush();
        }
        let mut bytes = [0; BLOCK];
        disk.read(sector, &mut bytes).unwrap();
        assert_eq!(bytes, [1; BLOCK]);
        pool.release(reading);
        let hole = pool.resolve(volume, 0, 1).unwrap().map(|reading| {
            let kind = reading.extent().kind;
            pool.release(reading);
            kind
        });
        assert!(hole.is_some());
    });
}

#[test]
fn a_flush_waits_for_writes_whose_checksum_it_would_take() {
    with_pool(|pool, disk, volume| {
        pool.checkpoint().unwrap();
        pool.write(volume, 0, &[1; BLOCK]).unwrap();
        // The record is in no unit yet, so the block may be written over; the unit must wait for that.
        let first = pool.prepare(volume, 0, 1).unwrap().unwrap();
        let second = pool.prepare(volume, 0, 1).unwrap().unwrap();
        assert_eq!(first.sector(), second.sector());
        assert_eq!(pool.begin_flush().map(drop), Err(Error::Busy { transfers: 2 }));
        assert_eq!(pool.flush(), Err(Error::Busy { transfers: 2 }));
        disk.write(second.sector(), &[3; BLOCK]).unwrap();
        disk.write(first.sector(), &[2; BLOCK]).unwrap();
        pool.commit(first, &[sum(&[2; BLOCK])]).unwrap();
        pool.commit(second, &[sum(&[3; BLOCK])]).unwrap();
        let flushing = pool.begin_flush().unwrap().expect("a unit was written");
        disk.flush().unwrap();
        pool.end_flush(flushing, Ok(())).unwrap();
        // What was written last is what the record's checksum must be of.
        let mut workspace = Config { pending: 8, journal_units: 8, ..Config::TINY }.workspace();
        let image = disk.image();
        let copy = SimDisk::from_sectors(BLOCK, image.durable);
        let mut after = mount(copy, &mut workspace).unwrap();
        let volume = after.find("v").unwrap().unwrap().id;
        assert_eq!(byte(&mut after, volume, 0), 2);
    });
}

#[test]
fn two_flushes_at_once_end_each_for_itself() {
    with_pool(|pool, disk, volume| {
        pool.checkpoint().unwrap();
        pool.write(volume, 0, &[1; BLOCK]).unwrap();
        let first = pool.begin_flush().unwrap().unwrap();
        pool.write(volume, 1, &[1; BLOCK]).unwrap();
        let second = pool.begin_flush().unwrap().unwrap();
        disk.flush().unwrap();
        pool.end_flush(second, Ok(())).unwrap();
        pool.end_flush(first, Ok(())).unwrap();
        assert_eq!(pool.stats().groups, 2);
        // Neither is proven: a write moves the block instead of going over what the journal names.
        pool.write(volume, 1, &[2; BLOCK]).unwrap();
        let old = pool.begin_flush().unwrap().unwrap();
        pool.checkpoint().unwrap();
        pool.end_flush(old, Ok(())).unwrap();
        pool.write(volume, 2, &[1; BLOCK]).unwrap();
        pool.flush().unwrap();
        let copy = SimDisk::from_sectors(BLOCK, disk.image().durable);
        let mut workspace = Config { pending: 8, journal_units: 8, ..Config::TINY }.workspace();
        let mut after = mount(copy, &mut workspace).unwrap();
        assert_eq!((0..4).map(|sector| byte(&mut after, volume, sector)).collect::<Vec<_>>(), [1, 2, 1, 0]);
    });
}

#[test]
fn a_failed_flush_of_the_owner_poisons_the_pool() {
    with_pool(|pool, _, volume| {
        pool.checkpoint().unwrap();
        pool.write(volume, 0, &[1; BLOCK]).unwrap();
        let flushing = pool.begin_flush().unwrap().unwrap();
        assert_eq!(pool.end_flush(flushing, Err(Failed)), Err(Error::Device(Failed)));
        assert_eq!(pool.prepare(volume, 1, 1), Err(Error::Poisoned));
        assert_eq!(byte(pool, volume, 0), 1);
    });
}

#[test]
fn a_cancelled_write_changes_nothing_and_its_block_comes_back() {
    with_pool(|pool, disk, volume| {
        pool.write(volume, 0, &[1; BLOCK]).unwrap();
        pool.checkpoint().unwrap();
        let free = pool.space().free;
        let writing = pool.prepare(volume, 1, 1).unwrap().unwrap();
        disk.write(writing.sector(), &[2; BLOCK]).unwrap();
        pool.cancel(writing);
        let short = pool.prepare(volume, 1, 2).unwrap().unwrap();
        assert_eq!(short.checksums(), 2);
        assert!(matches!(pool.commit(short, &[1]), Err(Error::BadParameter(_))));
        assert_eq!((pool.transfers(), byte(pool, volume, 1)), (0, 0));
        pool.checkpoint().unwrap();
        assert_eq!(pool.space().free, free);
    });
}

#[test]
fn where_there_is_not_plenty_of_room_the_pool_writes_itself() {
    let config = Config { blocks: 160, sectors: 200, ..Config::TINY };
    let mut disk = SimDisk::new(BLOCK, config.device_sectors());
    let mut workspace = config.workspace();
    Pool::format(disk.clone(), &mut workspace, &config.format()).unwrap();
    let mut pool = mount(disk.clone(), &mut workspace).unwrap();
    let volume = pool.create(&named("v"), 200, LayerFlags::empty()).unwrap();
    let (mut apart, mut within) = (0, 0);
    for sector in 0..200 {
        match pool.prepare(volume, sector, 1).unwrap() {
            Some(writing) => {
                disk.write(writing.sector(), &[1; BLOCK]).unwrap();
                pool.commit(writing, &[sum(&[1; BLOCK])]).unwrap();
                apart += 1;
            }
            None => match pool.write(volume, sector, &[1; BLOCK]) {
                Ok(()) => within += 1,
                Err(Error::NoSpace { .. }) => break,
                Err(error) => panic!("{error:?}"),
            },
        }
    }
    assert!(apart > 20 && within > 20, "{apart} outside the pool, {within} by it");
    let full = pool.space();
    assert_eq!(full.available(), 0, "{full:?}");
    pool.delete(volume).unwrap();
    pool.merge_all(400).unwrap();
}

#[test]
fn what_has_a_checksum_or_shows_a_base_is_read_by_the_pool() {
    with_pool(|pool, disk, _| {
        let safe = pool.create(&named("safe"), 8, LayerFlags::INTEGRITY).unwrap();
        let writing = pool.prepare(safe, 0, 2).unwrap().unwrap();
        disk.write(writing.sector(), &[5; 2 * BLOCK]).unwrap();
        pool.commit(writing, &[sum(&[5; BLOCK]); 2]).unwrap();
        assert_eq!(pool.resolve(safe, 0, 2), Ok(None));
        assert_eq!(byte(pool, safe, 1), 5);
        assert_eq!(pool.prepare(safe, 0, 0), Ok(None));
        assert!(matches!(pool.prepare(safe, 8, 1), Err(Error::OutOfRange { .. })));
        assert!(matches!(pool.resolve(safe, 7, 2), Err(Error::OutOfRange { .. })));
    });
}

#[test]
fn planning_costs_no_device_operation_once_the_map_is_in_memory() {
    let mut memory = vec![0; 8 << 20];
    let mut device = Counting::new(RamDisk::new(&mut memory));
    let mut workspace = vec![0; 1 << 20];
    Pool::format(&mut device, &mut workspace, &FormatOptions::new(4096, [7; 16])).unwrap();
    let mut pool = Pool::mount(&mut device, &mut workspace, &cowl::MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 8000, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &[1; 4096]).unwrap();
    pool.flush().unwrap();
    let before = pool.device().counters();
    let writing = pool.prepare(volume, 8, 64).unwrap().unwrap();
    assert_eq!(writing.sectors(), 64);
    pool.commit(writing, &[0; 8]).unwrap();
    let reading = pool.resolve(volume, 8, 64).unwrap().unwrap();
    assert_eq!(reading.extent().count, 64);
    pool.release(reading);
    let mut expected = before;
    assert_eq!(pool.device().counters(), expected);
    let flushing = pool.begin_flush().unwrap().unwrap();
    pool.end_flush(flushing, Ok(())).unwrap();
    expected.writes += 1;
    expected.sectors_written += 1;
    assert_eq!(pool.device().counters(), expected);
}
