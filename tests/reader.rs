//! The small reader: what it costs, what it wants, what it refuses. That it shows what a pool shows is part of the oracle (O15) and of the
//! tests of damage.

// Sectors and tags are small.
#![allow(clippy::cast_possible_truncation)]

use std::fs;

use cowl::{
    BlockDevice, Counters, Counting, Error, FormatOptions, Geometry, LayerFlags, MountOptions, Object, Pool, RamDisk,
    Reader, crc32c, format::Superblock, reader_workspace_size,
};
use cowl_tests::{
    SparseDisk,
    edit::{Image, change_superblocks},
    named,
};

/// A pool of 512-byte blocks with a volume of `sectors` sectors, written from end to end; a record is left in the journal.
fn pool_with(sectors: u64, flags: LayerFlags) -> SparseDisk {
    let mut disk = SparseDisk::new(512, 4000 * 512);
    let mut workspace = vec![0; 1 << 17];
    let options = FormatOptions { pending: 8, journal_units: 4, ..FormatOptions::new(512, [1; 16]) };
    Pool::format(&mut disk, &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("image"), sectors, flags).unwrap();
    for sector in 0..sectors {
        pool.write(volume, sector, &[sector as u8 ^ 0x5a; 512]).unwrap();
    }
    pool.unmount().unwrap();
    disk
}

fn reader<D: BlockDevice>(disk: D, workspace: &mut [u8]) -> Result<Reader<'_, D>, Error<D::Error>> {
    Reader::mount(disk, workspace, crc32c)
}

/// The device operations since the last time: reads, and nothing else but flushes.
fn taken(reader: &mut Reader<'_, &mut Counting<SparseDisk>>) -> (u64, u64) {
    let Counters { reads, writes, flushes, discards, .. } = reader.device_mut().take();
    assert_eq!((writes, discards), (0, 0));
    (reads, flushes)
}

#[test]
fn mounting_finding_and_reading_cost_what_they_must() {
    // Maps of one level, of two, of three: 32 entries in a node.
    for (sectors, levels) in [(30, 1), (900, 2), (2000, 3)] {
        let mut disk = Counting::new(pool_with(sectors, LayerFlags::empty()));
        disk.take();
        let mut workspace = vec![0; reader_workspace_size(512, 8)];
        let mut reader = reader(&mut disk, &mut workspace).unwrap();
        // Four superblocks, four places of the journal.
        assert_eq!(taken(&mut reader), (4 + 4, 1), "{sectors} sectors");
        let image = reader.find("image").unwrap().expect("it is there");
        assert_eq!((image.id().0, image.sectors(), image.length()), (1, sectors, 0));
        // The node of the catalog and its page.
        assert_eq!(taken(&mut reader), (2, 0), "{sectors} sectors");
        let mut seen = vec![0; sectors as usize * 512];
        reader.read(&image, 0, &mut seen).unwrap();
        assert!(
            seen.chunks(512).zip(0u64..).all(|(part, sector)| part.iter().all(|byte| *byte == sector as u8 ^ 0x5a))
        );
        // Each block, and the way from the root for each lowest node.
        assert_eq!(taken(&mut reader), (sectors + levels * sectors.div_ceil(32), 0), "{sectors} sectors");
        // The same block again is there, and so is the node of its neighbours.
        reader.read(&image, sectors - 1, &mut [0; 512]).unwrap();
        assert_eq!(taken(&mut reader), (0, 0));
        reader.read(&image, sectors - 2, &mut [0; 512]).unwrap();
        assert_eq!(taken(&mut reader), (1, 0));
    }
}

#[test]
fn the_records_of_the_journal_are_read_twice_and_the_blocks_of_its_tail_once() {
    let mut disk = pool_with(30, LayerFlags::empty());
    let mut workspace = vec![0; 1 << 16];
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.find("image").unwrap().unwrap().id;
    let snapshot = pool.snapshot(volume, &named("before")).unwrap();
    for (sector, value) in [(3, 1), (4, 2), (3, 3)] {
        pool.write(volume, sector, &[value; 512]).unwrap();
        pool.flush().unwrap();
    }
    pool.abandon();
    let mut disk = Counting::new(disk);
    let mut reader = reader(&mut disk, &mut workspace).unwrap();
    // Two units: the second write to sector 3 went in place. The first is vouched for by the second, whose one block is looked at.
    assert_eq!(taken(&mut reader), (4 + 4 + 2 + 1, 1));
    let (image, before) = (reader.find("image").unwrap().unwrap(), reader.find("before").unwrap().unwrap());
    assert_eq!((image.id(), before.id()), (volume, snapshot));
    for (layer, expected) in [(&image, [3, 2]), (&before, [3 ^ 0x5a, 4 ^ 0x5a])] {
        let mut seen = [0; 1024];
        reader.read(layer, 3, &mut seen).unwrap();
        assert_eq!([seen[0], seen[512]], expected);
    }
}

#[test]
fn the_workspace_is_what_is_said_and_not_a_byte_less() {
    let mut disk = pool_with(30, LayerFlags::empty());
    let needed = reader_workspace_size(512, 8);
    let mut workspace = vec![0; needed];
    assert_eq!(needed, 2 * 512 + 8 * 32 + Superblock::FIELDS);
    for size in 0..needed {
        match reader(&mut disk, &mut workspace[..size]).map(drop) {
            Err(Error::WorkspaceTooSmall { needed: told }) => {
                assert!(told > size && told <= needed, "{told} at {size}");
            }
            other => panic!("{other:?} with {size} bytes"),
        }
    }
    reader(&mut disk, &mut workspace).unwrap();
    assert_eq!([0, 511, 513, 131_072].map(|size| reader_workspace_size(size, 8)), [0; 4]);
}

#[test]
fn a_device_that_wants_aligned_memory_gets_it() {
    struct Aligned(SparseDisk);
    impl BlockDevice for Aligned {
        type Error = cowl_tests::PastEnd;
        fn geometry(&self) -> Geometry {
            Geometry { alignment: 64, ..self.0.geometry }
        }
        fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
            assert_eq!(buffer.as_ptr().addr() % 64, 0);
            self.0.read(sector, buffer)
        }
        fn write(&mut self, _: u64, _: &[u8]) -> Result<(), Self::Error> {
            panic!("a reader that writes");
        }
        fn flush(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    let mut disk = Aligned(pool_with(30, LayerFlags::INTEGRITY));
    let mut workspace = vec![0; reader_workspace_size(512, 8) + 63 + 64];
    for skip in [0, 1, 13, 63] {
        let mut reader = reader(&mut disk, &mut workspace[skip..]).unwrap();
        let image = reader.find("image").unwrap().unwrap();
        // The caller's memory may lie anywhere.
        let mut seen = [0; 1025];
        reader.read(&image, 7, &mut seen[1..]).unwrap();
        assert_eq!([seen[1], seen[513]], [7 ^ 0x5a, 8 ^ 0x5a]);
    }
}

#[test]
fn blocks_of_several_sectors_are_read_in_any_part() {
    let mut bytes = vec![0; 1 << 20];
    let mut workspace = vec![0; 1 << 16];
    let options = FormatOptions { pending: 8, journal_units: 4, ..FormatOptions::new(4096, [1; 16]) };
    Pool::format(RamDisk::new(&mut bytes), &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(RamDisk::new(&mut bytes), &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 60, LayerFlags::INTEGRITY).unwrap();
    for sector in 5..45 {
        pool.write(volume, sector, &[sector as u8; 512]).unwrap();
    }
    pool.discard(volume, 16, 8).unwrap();
    pool.flush().unwrap();
    let mut expected = vec![0; 60 * 512];
    pool.read(volume, 0, &mut expected).unwrap();
    pool.abandon();
    let mut reader = reader(RamDisk::new(&mut bytes), &mut workspace).unwrap();
    let image = reader.find("v").unwrap().unwrap();
    for first in 0..60usize {
        for end in first..=60 {
            let mut seen = vec![0xaa; (end - first) * 512];
            reader.read(&image, first as u64, &mut seen).unwrap();
            assert!(seen == expected[first * 512..end * 512], "{first}..{end}");
        }
    }
    let range = Err(Error::OutOfRange { sectors: 60 });
    assert_eq!(reader.read(&image, 60, &mut [0; 512]), range);
    assert_eq!(reader.read(&image, u64::MAX, &mut [0; 512]), range);
    assert_eq!(reader.read(&image, 0, &mut [0; 511]), range);
    reader.read(&image, 60, &mut []).unwrap();
}

#[test]
fn what_it_cannot_read_is_said_with_the_numbers() {
    let sound = pool_with(30, LayerFlags::INTEGRITY);
    let mut workspace = vec![0; 1 << 16];
    let mut mount = |disk: &mut SparseDisk| reader(disk, &mut workspace).map(drop);
    assert_eq!(mount(&mut SparseDisk::new(512, 1 << 20)), Err(Error::NotAPool));
    let mut short = sound.clone();
    short.geometry.sectors = 100;
    assert!(matches!(mount(&mut short), Err(Error::DeviceTooSmall { needed: 4000, actual: 100 })));
    let mut newer = sound.clone();
    change_superblocks(&mut newer, &|sb| sb.version = (2, 7));
    assert_eq!(mount(&mut newer), Err(Error::UnsupportedVersion { major: 2, minor: 7 }));
    let mut features = sound.clone();
    change_superblocks(&mut features, &|sb| (sb.read_only_compatible, sb.incompatible) = (1, 4));
    assert_eq!(mount(&mut features), Err(Error::UnsupportedFeatures { bits: 4 }));
    let mut based = sound.clone();
    change_superblocks(&mut based, &|sb| sb.base.sectors = 9);
    assert_eq!(mount(&mut based), Err(Error::WrongBase));
    let mut wide = SparseDisk::new(4096, 4000 * 512);
    let mut first = vec![0; 4096];
    sound.clone().read(0, &mut first[..512]).unwrap();
    wide.write(0, &first).unwrap();
    assert_eq!(mount(&mut wide), Err(Error::WrongSectorSize { pool: 512, device: 4096 }));
}

#[test]
fn a_catalog_that_claims_four_billion_layers_is_searched_at_once() {
    let mut disk = pool_with(30, LayerFlags::empty());
    change_superblocks(&mut disk, &|sb| sb.next_layer = u32::MAX);
    let mut disk = Counting::new(disk);
    let mut workspace = vec![0; 1 << 16];
    let mut reader = reader(&mut disk, &mut workspace).unwrap();
    assert!(reader.find("nobody").unwrap().is_none());
    assert!(taken(&mut reader).0 < 100);
}

#[test]
fn a_record_with_an_impossible_map_is_damage() {
    let mut image = Image::new(pool_with(30, LayerFlags::empty()));
    image.change_layer(1, |layer| layer.height = 200);
    let mut disk = image.seal();
    let mut workspace = vec![0; 1 << 16];
    let mut reader = reader(&mut disk, &mut workspace).unwrap();
    assert!(matches!(reader.find("image"), Err(Error::Corrupt { what: Object::Layer, .. })));
}

#[test]
fn the_pool_of_the_first_version_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/pool-1.0.img");
    let mut bytes = fs::read(path).unwrap();
    let (mut workspace, mut beside) = (vec![0; 1 << 16], vec![0; reader_workspace_size(512, 6)]);
    let mut again = bytes.clone();
    let mut pool = Pool::mount(RamDisk::new(&mut bytes), &mut workspace, &MountOptions::default()).unwrap();
    let mut reader = reader(RamDisk::new(&mut again), &mut beside).unwrap();
    let mut layers = 0;
    let mut after = None;
    while let Some(info) = pool.next_layer(after).unwrap() {
        (after, layers) = (Some(info.id), layers + 1);
        let image = reader.find(&info.name).unwrap().expect("the same layers");
        let (mut one, mut other) = (vec![1; 40 * 512], vec![2; 40 * 512]);
        pool.read(info.id, 0, &mut one).unwrap();
        reader.read(&image, 0, &mut other).unwrap();
        assert!(image.id() == info.id && one == other, "{}", info.name);
    }
    assert!(layers >= 4);
    let first = reader.find("first").unwrap().unwrap();
    let memory = reader.attachment(&first, "memory").unwrap().expect("it is attached");
    assert_eq!((memory.sectors(), memory.length()), (2, 700));
    let mut seen = [0; 1024];
    reader.read(&memory, 0, &mut seen).unwrap();
    assert_eq!([seen[0], seen[511], seen[512]], [0x11, 0x11, 0]);
    assert!(reader.attachment(&first, "first").unwrap().is_none() && reader.find("memory").unwrap().is_none());
}

/// A second layer beside the first, with three blocks.
fn with_another(disk: &mut SparseDisk) {
    let mut workspace = vec![0; 1 << 17];
    let mut pool = Pool::mount(disk, &mut workspace, &MountOptions::default()).unwrap();
    let other = pool.create(&named("other"), 900, LayerFlags::empty()).unwrap();
    pool.write(other, 0, &[0x77; 3 * 512]).unwrap();
    pool.unmount().unwrap();
}

#[test]
fn a_layer_that_was_deleted_is_not_found_and_its_name_is_the_next_ones() {
    let mut disk = pool_with(30, LayerFlags::empty());
    let mut workspace = vec![0; 1 << 17];
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let first = pool.find("image").unwrap().unwrap().id;
    let snapshot = pool.snapshot(first, &named("kept")).unwrap();
    pool.write(first, 0, &[1; 512]).unwrap();
    pool.delete(snapshot).unwrap();
    pool.delete(first).unwrap();
    assert_eq!(pool.info().deleted, 2, "nothing was merged");
    let names = |disk: &mut SparseDisk| {
        let mut workspace = vec![0; 1 << 16];
        let mut reader = reader(disk, &mut workspace).unwrap();
        ["image", "kept"].map(|name| reader.find(name).unwrap().map(|image| image.id()))
    };
    pool.abandon();
    assert_eq!(names(&mut disk), [None, None]);
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let second = pool.create(&named("image"), 5, LayerFlags::empty()).unwrap();
    pool.abandon();
    assert_eq!(names(&mut disk), [Some(second), None]);
}

#[test]
fn a_device_that_wants_more_alignment_than_a_block_has_is_refused() {
    let mut disk = pool_with(30, LayerFlags::INTEGRITY);
    disk.geometry.alignment = 1024;
    let mut workspace = vec![0; 1 << 17];
    let pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).map(drop);
    assert!(matches!(pool, Err(Error::BadParameter(_))));
    assert_eq!(reader(&mut disk, &mut workspace).map(drop), pool);
    disk.geometry.alignment = 512;
    assert!(reader(&mut disk, &mut workspace).unwrap().find("image").unwrap().unwrap().has_integrity());
}

/// The node in memory was known by the tree's root alone: a record that was made to lead to another one's root, a level lower, had its nodes taken for
/// data.
#[test]
fn two_layers_of_one_root_and_two_heights_are_two_trees() {
    let mut disk = pool_with(900, LayerFlags::empty());
    with_another(&mut disk);
    let mut image = Image::new(disk);
    let first = image.layer(1);
    image.change_layer(2, |layer| (layer.root, layer.height) = (first.root, first.height - 1));
    let mut disk = image.seal();
    let mut workspace = vec![0; 1 << 17];
    let mut reader = reader(&mut disk, &mut workspace).unwrap();
    let (image, other) = (reader.find("image").unwrap().unwrap(), reader.find("other").unwrap().unwrap());
    for _ in 0..2 {
        let mut seen = [0; 512];
        reader.read(&other, 0, &mut seen).unwrap();
        assert_ne!(seen, [0x5a; 512], "a node");
        reader.read(&image, 0, &mut seen).unwrap();
        assert_eq!(seen, [0x5a; 512]);
    }
}

#[test]
fn a_size_that_no_layer_has_is_damage() {
    let mut workspace = vec![0; 1 << 17];
    for (sectors, possible) in [(1 << 48, true), ((1 << 48) + 1, false), (u64::MAX, false)] {
        let mut image = Image::new(pool_with(30, LayerFlags::empty()));
        image.change_layer(1, |layer| layer.sectors = sectors);
        let mut disk = image.seal();
        let mut reader = reader(&mut disk, &mut workspace).unwrap();
        match reader.find("image") {
            Ok(Some(image)) => assert!(possible && image.sectors() == sectors),
            Err(Error::Corrupt { what: Object::Layer, .. }) => assert!(!possible, "{sectors} sectors"),
            other => panic!("{sectors} sectors: {other:?}"),
        }
    }
}

#[test]
fn a_read_that_fails_once_leaves_nothing_wrong_behind() {
    struct Flaky {
        disk: SparseDisk,
        /// Reads until one fails.
        left: Option<u32>,
    }
    impl BlockDevice for Flaky {
        type Error = cowl_tests::PastEnd;
        fn geometry(&self) -> Geometry {
            self.disk.geometry
        }
        fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
            let fails = self.left == Some(0);
            self.left = self.left.and_then(|left| left.checked_sub(1));
            // What it leaves in the buffer looks like a block.
            self.disk.read(if fails { sector ^ 1 } else { sector }, buffer)?;
            if fails { Err(cowl_tests::PastEnd) } else { Ok(()) }
        }
        fn write(&mut self, _: u64, _: &[u8]) -> Result<(), Self::Error> {
            panic!("a reader that writes");
        }
        fn flush(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    let mut disk = pool_with(900, LayerFlags::empty());
    with_another(&mut disk);
    let mut workspace = vec![0; 1 << 17];
    let mut failures = 0;
    for fails in 0..150 {
        let mut reader = reader(Flaky { disk: disk.clone(), left: None }, &mut workspace).unwrap();
        reader.device_mut().left = Some(fails);
        for sector in [0, 1, 40, 2, 33, 899, 500, 1].repeat(3) {
            for (name, expected) in [("image", sector as u8 ^ 0x5a), ("other", if sector < 3 { 0x77 } else { 0 })] {
                let mut seen = [0; 512];
                let Ok(found) = reader.find(name) else {
                    failures += 1;
                    continue;
                };
                match reader.read(&found.expect("it is there"), sector, &mut seen) {
                    Ok(()) => assert_eq!(seen, [expected; 512], "sector {sector} of {name}, read {fails} failed"),
                    Err(_) => failures += 1,
                }
            }
        }
    }
    assert_eq!(failures, 150, "each has failed once");
}
