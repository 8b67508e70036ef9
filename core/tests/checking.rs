//! What a check says: the number of its findings, how far it is, torn copies of the superblock; and answers at the edges of lists.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]

use cowl::{
    Attributes, BlockDevice, Error, Finding, FormatOptions, LayerFlags, LayerId, Limits, MountOptions, NoBase,
    OutOfRange, Partition, Pool, RamDisk, workspace_size,
};

const BLOCK: usize = 512;
const BLOCKS: usize = 3000;

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// Works with a new pool on these bytes.
fn with_pool<T>(bytes: &mut [u8], work: impl FnOnce(&mut Pool<'_, RamDisk<'_>>) -> T) -> T {
    let mut memory = vec![0; 1 << 16];
    Pool::format(RamDisk::new(bytes), &mut memory, &FormatOptions::new(512, [1; 16])).unwrap();
    work(&mut Pool::mount(RamDisk::new(bytes), &mut memory, &MountOptions::default()).unwrap())
}

/// What a check finds, what it says it has found, and what it says of its progress.
fn checked(bytes: &mut [u8], scratch: usize) -> (Vec<Finding>, u64, Vec<(u64, u64)>) {
    let mut memory = vec![0; 1 << 16];
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mut pool = Pool::mount(RamDisk::new(bytes), &mut memory, &options).unwrap();
    let (mut findings, mut progress) = (Vec::new(), Vec::new());
    let mut report = |finding: &Finding| findings.push(*finding);
    let mut watch = |done, of| progress.push((done, of));
    let sum = pool.check_watched(&mut vec![0; scratch], true, &mut report, &mut watch).unwrap();
    (findings, sum.findings, progress)
}

#[test]
fn a_check_counts_its_findings_and_says_how_far_it_is() {
    let mut bytes = vec![0; BLOCKS * BLOCK];
    let data = with_pool(&mut bytes, |pool| {
        let volume = pool.create(&named("v"), 1500, LayerFlags::INTEGRITY).unwrap();
        for sector in 0..1100 {
            pool.write(volume, sector, &[1; BLOCK]).unwrap();
        }
        pool.checkpoint().unwrap();
        let place = |sector| match pool.extent(volume, sector).unwrap().kind {
            cowl::ExtentKind::Data { sector } => usize::try_from(sector).unwrap(),
            other => panic!("{other:?}"),
        };
        [3, 700, 1099].map(place)
    });
    for (damaged, sector) in data.into_iter().enumerate() {
        // One walk, and several.
        for (scratch, walks) in [(BLOCKS / 8 + 1, 1), (64, 6)] {
            let (findings, counted, progress) = checked(&mut bytes, scratch);
            assert_eq!((findings.len(), counted), (damaged, damaged as u64), "{findings:?}");
            assert!(progress.len() >= 4 * walks, "{walks} walks: {progress:?}");
            assert!(progress.is_sorted() && progress.iter().all(|(done, of)| done <= of), "{progress:?}");
            let (last, of) = *progress.last().unwrap();
            assert!(of - last <= 256 && of > 1100 * walks as u64 && of < 1600 * walks as u64, "{walks}: {progress:?}");
        }
        bytes[sector * BLOCK] ^= 1;
    }
}

#[test]
fn every_copy_of_the_superblock_that_is_torn_is_told() {
    for generations in 1..5 {
        let mut bytes = vec![0; BLOCKS * BLOCK];
        let generation = with_pool(&mut bytes, |pool| {
            for i in 1..generations {
                pool.create(&named(&format!("v{i}")), 10, LayerFlags::empty()).unwrap();
            }
            pool.info().generation
        });
        for slot in 0..4u8 {
            let mut bytes = bytes.clone();
            let at = usize::from(slot) * BLOCK;
            let written = bytes[at..at + BLOCK].iter().any(|byte| *byte != 0);
            bytes[at + 40] ^= 1;
            let (findings, ..) = checked(&mut bytes, 512);
            let expected = if written { vec![Finding::SuperblockCopy { slot }] } else { Vec::new() };
            assert_eq!(findings, expected, "slot {slot} in generation {generation}");
        }
    }
}

#[test]
fn what_is_gone_is_gone_and_its_neighbours_are_there() {
    let mut bytes = vec![0; BLOCKS * BLOCK];
    with_pool(&mut bytes, |pool| {
        let owner = pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
        let attachments = ["a", "b", "c", "d"].map(|name| {
            let staged = pool.stage_attachment(&named(name), 10).unwrap();
            pool.attach(owner, staged).unwrap();
            staged
        });
        let listed = |pool: &mut Pool<'_, RamDisk<'_>>| {
            let mut found = Vec::new();
            while let Some(next) = pool.next_attachment(owner, found.last().copied()).unwrap() {
                found.push(next.id);
            }
            found.sort();
            found
        };
        assert_eq!(listed(pool), attachments);
        for gone in [1, 0, 2, 3] {
            pool.delete(attachments[gone]).unwrap();
            assert!(!listed(pool).contains(&attachments[gone]));
            pool.merge_all(1000).unwrap();
            assert!(matches!(pool.layer(attachments[gone]), Err(Error::NoSuchLayer(_))), "{gone}");
        }
        assert_eq!(listed(pool), []);
        pool.layer(owner).unwrap();
        assert!(matches!(pool.layer(LayerId(99)), Err(Error::NoSuchLayer(_))));
    });
}

#[test]
fn what_many_heirs_share_stays() {
    let mut bytes = vec![0; BLOCKS * BLOCK];
    with_pool(&mut bytes, |pool| {
        let volume = pool.create(&named("v"), 40, LayerFlags::empty()).unwrap();
        pool.write(volume, 0, &[1; 30 * BLOCK]).unwrap();
        let snapshot = pool.snapshot(volume, &named("s")).unwrap();
        pool.write(volume, 0, &[2; 30 * BLOCK]).unwrap();
        for (sector, name) in (0..).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]) {
            let clone = pool.clone_snapshot(snapshot, &named(name), false).unwrap();
            // The last ones have nothing of their own: all that the snapshot holds is shared by them.
            if sector < 10 {
                pool.write(clone, 0, &[3; 30 * BLOCK]).unwrap();
            }
        }
        assert_eq!(pool.what_if_freed(&[snapshot]).unwrap().data, 0);
        let last = ["k", "l"].map(|name| pool.find(name).unwrap().unwrap().id);
        assert_eq!(pool.what_if_freed(&[snapshot, last[0], last[1]]).unwrap().data, 30);
    });
}

#[test]
fn maps_with_far_holes_are_compared_and_layers_with_far_numbers_found() {
    let mut bytes = vec![0; BLOCKS * BLOCK];
    with_pool(&mut bytes, |pool| {
        let volume = pool.create(&named("v"), 1 << 40, LayerFlags::empty()).unwrap();
        let snapshot = pool.snapshot(volume, &named("s")).unwrap();
        let small = pool.create(&named("small"), 20, LayerFlags::empty()).unwrap();
        let places = [0, 1 << 20, (1 << 39) + 5, (1 << 40) - 1];
        for place in places {
            pool.write(volume, place, &[1; BLOCK]).unwrap();
        }
        pool.write(small, 7, &[1; BLOCK]).unwrap();
        pool.checkpoint().unwrap();
        for (a, expected) in [(snapshot, vec![0, 1 << 20, (1 << 39) + 5, (1 << 40) - 1]), (small, vec![0, 7, 1 << 20])]
        {
            let (mut found, mut from) = (Vec::new(), 0);
            while let Some(extent) = pool.diff(a, volume, from).unwrap() {
                found.push(extent.sector);
                from = extent.sector + extent.count;
            }
            assert!(expected.iter().all(|sector| found.contains(sector)), "{found:?}");
        }
        // Numbers are never given twice: most of those that were are gone.
        for round in 0..400 {
            let layer = pool.create(&named("x"), 10, LayerFlags::empty()).unwrap();
            if round < 399 {
                pool.delete(layer).unwrap();
                pool.merge_all(1000).unwrap();
            }
        }
        let names: Vec<String> = pool.layers().map(|layer| layer.unwrap().name.as_str().to_owned()).collect();
        assert_eq!(names, ["v", "s", "small", "x"]);
        assert_eq!(pool.find("x").unwrap().unwrap().id, LayerId(403));
    });
    assert_eq!(checked(&mut bytes, 1024).0, []);
}

#[test]
fn the_last_sector_is_a_sector_and_a_partition_passes_a_flush_on() {
    struct Flushes(u32);
    impl BlockDevice for Flushes {
        type Error = ();
        fn geometry(&self) -> cowl::Geometry {
            cowl::Geometry::new(512, 100)
        }
        fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), ()> {
            Ok(())
        }
        fn write(&mut self, _: u64, _: &[u8]) -> Result<(), ()> {
            Ok(())
        }
        fn flush(&mut self) -> Result<(), ()> {
            self.0 += 1;
            Ok(())
        }
    }
    let mut partition = Partition::new(Flushes(0), 10, 20).unwrap();
    partition.flush().unwrap();
    assert_eq!(partition.into_inner().0, 1);

    let mut bytes = [0; 10 * BLOCK];
    let mut disk = RamDisk::new(&mut bytes);
    disk.write(9, &[7; BLOCK]).unwrap();
    disk.write(8, &[6; 2 * BLOCK]).unwrap();
    assert_eq!(disk.write(9, &[7; 2 * BLOCK]), Err(OutOfRange { sector: 9, length: 2 * BLOCK }));
    assert_eq!(disk.write(10, &[7; BLOCK]), Err(OutOfRange { sector: 10, length: BLOCK }));
    assert_eq!(bytes[9 * BLOCK], 6);

    let base = NoBase::<()>::new();
    assert!(base.geometry().read_only && base.geometry().sectors == 0);
    // What a workspace too small is told is enough.
    let mut bytes = vec![0; BLOCKS * BLOCK];
    let mut memory = vec![0; 1 << 16];
    Pool::format(RamDisk::new(&mut bytes), &mut memory, &FormatOptions::new(512, [1; 16])).unwrap();
    let least = workspace_size(512, Limits { layers: 8, ..Limits::new(512, BLOCKS as u64) });
    let mounted = Pool::mount(RamDisk::new(&mut bytes), &mut memory[..least], &MountOptions::default());
    assert!(mounted.is_ok());
}
