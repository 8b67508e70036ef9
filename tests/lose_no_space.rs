//! No space in the middle of anything: refused before anything changes, and the way out stays open.

#![allow(clippy::cast_possible_truncation)]

use cowl::{BlockDevice, Error, FormatOptions, LayerFlags, LayerId, Merge, MountOptions, Pool};
use cowl_tests::{SparseDisk, named};

fn small(pending: u32, blocks: u64) -> SparseDisk {
    let mut disk = SparseDisk::new(512, blocks * 512);
    let options = FormatOptions { pending, journal_units: 4, ..FormatOptions::new(512, [1; 16]) };
    Pool::format(&mut disk, &mut vec![0; 1 << 16], &options).unwrap();
    disk
}

/// Writes to a volume until it is refused: the number of blocks that went in.
fn fill<D: BlockDevice>(pool: &mut Pool<'_, D>, volume: LayerId, from: u64) -> u64 {
    let mut sector = from;
    loop {
        match pool.write(volume, sector, &[sector as u8; 512]) {
            Ok(()) => sector += 1,
            Err(Error::NoSpace { missing }) => {
                assert!(missing > 0);
                return sector - from;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn merge_all<D: BlockDevice>(pool: &mut Pool<'_, D>) {
    let mut budget = 1;
    loop {
        match pool.merge_step(budget) {
            Ok(Merge::Idle) => return,
            Ok(Merge::Progress { .. }) => {}
            Err(Error::BudgetTooSmall { needed }) => budget = needed,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn clean<D: BlockDevice>(pool: &mut Pool<'_, D>) {
    let mut findings = Vec::new();
    pool.check(&mut [0; 4096], true, &mut |finding| findings.push(*finding)).unwrap();
    assert_eq!(findings, []);
}

#[test]
fn a_full_thin_pool_still_overwrites_discards_deletes_merges_and_rolls_back() {
    for blocks in 300..340 {
        let mut disk = small(3, blocks);
        let mut workspace = vec![0; 1 << 16];
        let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
        let volume = pool.create(&named("v"), 1000, LayerFlags::empty()).unwrap();
        fill(&mut pool, volume, 500);
        pool.discard(volume, 500, 20).unwrap();
        pool.checkpoint().unwrap();
        let snapshot = pool.snapshot(volume, &named("s")).unwrap();
        fill(&mut pool, volume, 0);
        pool.write(volume, 0, &[9; 512]).expect("its own block");
        pool.flush().unwrap();
        pool.write(volume, 0, &[8; 512]).expect("its own block, moved");
        pool.discard(volume, 0, 1).expect("its own nodes");
        clean(&mut pool);
        pool.rollback(volume, snapshot, 1, None).unwrap();
        merge_all(&mut pool);
        pool.delete(snapshot).unwrap();
        merge_all(&mut pool);
        assert!(fill(&mut pool, volume, 0) > 0, "there is space again");
        clean(&mut pool);
    }
}

#[test]
fn a_write_that_is_refused_has_changed_nothing() {
    let mut disk = small(4, 320);
    let mut workspace = vec![0; 1 << 16];
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 2000, LayerFlags::empty()).unwrap();
    let went_in = fill(&mut pool, volume, 0);
    let Err(Error::NoSpace { missing }) = pool.write(volume, went_in - 2, &vec![0xee; 512 * 400]) else {
        panic!("too much")
    };
    assert!(missing > 0);
    for sector in 0..went_in + 300 {
        let mut read = [0; 512];
        pool.read(volume, sector, &mut read).unwrap();
        assert_eq!(read, [if sector < went_in { sector as u8 } else { 0 }; 512], "sector {sector}");
    }
}

#[test]
fn a_guaranteed_volume_never_runs_out_whatever_the_thin_ones_take() {
    for flags in [LayerFlags::GUARANTEED, LayerFlags::GUARANTEED | LayerFlags::INTEGRITY] {
        for blocks in 380..420 {
            let mut disk = small(3, blocks);
            let mut workspace = vec![0; 1 << 16];
            let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
            let sure = pool.create(&named("sure"), 50, flags).unwrap();
            let thin = pool.create(&named("thin"), 2000, LayerFlags::empty()).unwrap();
            fill(&mut pool, thin, 0);
            for round in 0..3u8 {
                for sector in 0..50 {
                    pool.write(sure, (sector * 7 + u64::from(round)) % 50, &[round; 512]).expect("it was guaranteed");
                    if sector % 3 == 0 {
                        pool.flush().unwrap();
                    }
                }
                fill(&mut pool, thin, 300);
            }
            pool.discard(sure, 10, 30).unwrap();
            fill(&mut pool, thin, 900);
            for sector in 0..50 {
                pool.write(sure, sector, &[7; 512]).expect("it was guaranteed");
            }
            clean(&mut pool);
        }
    }
}

/// A cut through a map that belongs to layers below copies the nodes on its way, and those stay.
#[test]
fn making_volumes_smaller_takes_nothing_from_a_guaranteed_one() {
    let (mut done, mut refused) = (0, 0);
    for blocks in 420..440 {
        let mut disk = small(3, blocks);
        let mut workspace = vec![0; 1 << 16];
        let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
        let sure = pool.create(&named("sure"), 50, LayerFlags::GUARANTEED).unwrap();
        let thin = pool.create(&named("thin"), 2000, LayerFlags::empty()).unwrap();
        for sector in (0..2000).step_by(200) {
            pool.write(thin, sector, &[1; 512]).unwrap();
        }
        let snapshot = pool.snapshot(thin, &named("s")).unwrap();
        let clones = ["a", "b", "c", "d", "e", "f"].map(|name| {
            let clone = pool.clone_snapshot(snapshot, &named(name), false);
            clone.expect("there is room for a record")
        });
        fill(&mut pool, thin, 0);
        pool.discard(thin, 0, blocks - 420).unwrap();
        pool.checkpoint().unwrap();
        for clone in clones {
            match pool.resize(clone, 777) {
                Ok(()) => done += 1,
                Err(Error::NoSpace { missing }) => {
                    assert!((1..=8).contains(&missing), "{missing}");
                    assert_eq!(pool.layer(clone).unwrap().sectors, 2000);
                    refused += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        for sector in 0..50 {
            pool.write(sure, sector, &[7; 512]).expect("it was guaranteed");
        }
        // What owns its map can be made smaller at any time.
        pool.resize(thin, 100).expect("it gives space back");
        merge_all(&mut pool);
        for clone in clones {
            pool.resize(clone, 777).expect("there is space again");
        }
        clean(&mut pool);
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
}

#[test]
fn a_snapshot_that_would_break_a_guarantee_is_refused_with_what_is_missing() {
    let mut disk = small(3, 400);
    let mut workspace = vec![0; 1 << 16];
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let sure = pool.create(&named("sure"), 60, LayerFlags::GUARANTEED).unwrap();
    for sector in 0..60 {
        pool.write(sure, sector, &[1; 512]).unwrap();
    }
    let thin = pool.create(&named("thin"), 2000, LayerFlags::empty()).unwrap();
    fill(&mut pool, thin, 0);
    let before = pool.space();
    let Err(Error::NoSpace { missing }) = pool.snapshot(sure, &named("s")) else { panic!("there is no room for it") };
    assert!((50..=70).contains(&missing), "{missing}");
    assert_eq!(pool.find("s").unwrap(), None);
    assert_eq!(pool.space().guaranteed, before.guaranteed);
    pool.discard(thin, 0, missing + 4).unwrap();
    pool.checkpoint().unwrap();
    let snapshot = pool.snapshot(sure, &named("s")).expect("now there is room");
    for sector in 0..60 {
        pool.write(sure, sector, &[2; 512]).expect("it was guaranteed");
    }
    pool.rollback(sure, snapshot, 1, None).unwrap();
    for sector in 0..60 {
        pool.write(sure, sector, &[3; 512]).expect("it was guaranteed, the old head makes room");
    }
    clean(&mut pool);
}
