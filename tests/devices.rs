//! Devices below and above: base images, partitions, pools in volumes, odd geometries, read-only.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]

use cowl::{BlockDevice, Error, FormatOptions, Geometry, LayerFlags, MountOptions, Partition, Pool};
use cowl_tests::{PastEnd, SparseDisk, named};
use embedded_io::{Read, Seek, SeekFrom, Write};

fn image(byte: u8) -> SparseDisk {
    let mut disk = SparseDisk::new(512, 100 * 512);
    for sector in 0..100 {
        disk.write(sector, &[byte ^ sector as u8; 512]).unwrap();
    }
    disk
}

#[test]
fn a_base_device_shows_through_wherever_nothing_was_written() {
    let (mut disk, mut base) = (SparseDisk::new(512, 4 << 20), image(0x80));
    let mut workspace = vec![0; 1 << 20];
    let options = FormatOptions::new(1024, [1; 16]);
    Pool::format_on_base(&mut disk, &mut base, &mut workspace, &options).unwrap();
    let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 200, LayerFlags::empty()).unwrap();
    let read = |pool: &mut Pool<'_, _, _>, sector: u64| {
        let mut bytes = [0; 512];
        pool.read(volume, sector, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(read(&mut pool, 7), [0x87; 512]);
    assert_eq!(read(&mut pool, 150), [0; 512], "behind the base's end");
    pool.write(volume, 7, &[1; 512]).unwrap();
    assert_eq!((read(&mut pool, 6), read(&mut pool, 7)), ([0x86; 512], [1; 512]), "the rest of the block is copied");
    pool.discard(volume, 10, 4).unwrap();
    pool.write_zeroes(volume, 21, 1).unwrap();
    assert_eq!((read(&mut pool, 11), read(&mut pool, 20), read(&mut pool, 21)), ([0; 512], [0x94; 512], [0; 512]));
    pool.checkpoint().unwrap();
    assert_eq!((read(&mut pool, 11), read(&mut pool, 20), read(&mut pool, 21)), ([0; 512], [0x94; 512], [0; 512]));
    let staged = pool.stage_attachment(&named("a"), 4096).unwrap();
    let mut bytes = [1; 512];
    pool.read(staged, 3, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 512], "an attachment is no view of the base");
    pool.unmount().unwrap();
    let wrong = Pool::mount_on_base(&mut disk, image(0x81), &mut workspace, &MountOptions::default()).map(drop);
    assert_eq!(wrong, Err(Error::WrongBase));
    assert_eq!(Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).map(drop), Err(Error::WrongBase));
}

/// A device that refuses buffers that do not lie as it wants.
struct Picky(SparseDisk);

impl BlockDevice for Picky {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        assert_eq!(buffer.as_ptr().align_offset(self.0.geometry.alignment as usize), 0, "sector {sector}");
        self.0.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        assert_eq!(buffer.as_ptr().align_offset(self.0.geometry.alignment as usize), 0, "sector {sector}");
        self.0.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        self.0.flush()
    }
}

#[test]
fn a_base_device_gets_its_buffers_aligned_also_where_the_pool_does_not_care() {
    let aligned = |mut disk: SparseDisk, alignment| {
        disk.geometry.alignment = alignment;
        Picky(disk)
    };
    let options = FormatOptions::new(1024, [1; 16]);
    for (own, bases) in [(1, 64), (64, 1), (16, 512), (512, 16)] {
        let mut disk = aligned(SparseDisk::new(512, 4 << 20), own);
        let mut base = aligned(image(0x80), bases);
        let mut memory = vec![0; 1 << 20];
        let workspace = &mut memory[1..];
        Pool::format_on_base(&mut disk, &mut base, workspace, &options).unwrap();
        let mut pool = Pool::mount_on_base(&mut disk, &mut base, workspace, &MountOptions::default()).unwrap();
        let volume = pool.create(&named("v"), 200, LayerFlags::empty()).unwrap();
        pool.write(volume, 8, &[1; 512]).unwrap();
        let mut buffer = vec![0; 200 * 512 + 600];
        for skip in [0, 1, 8, 511] {
            for (sector, count) in [(0, 200), (3, 10), (7, 1), (99, 2)] {
                let buffer = &mut buffer[skip..skip + count * 512];
                buffer.fill(0xee);
                pool.read(volume, sector, buffer).unwrap();
                for (sector, bytes) in (sector..).zip(buffer.chunks(512)) {
                    let expected = match sector {
                        8 => 1,
                        100.. => 0,
                        _ => 0x80 ^ sector as u8,
                    };
                    assert!(bytes.iter().all(|byte| *byte == expected), "sector {sector}, {skip} behind");
                }
            }
        }
    }
}

#[test]
fn an_alignment_that_cannot_be_kept_is_refused() {
    let mut workspace = vec![0; 1 << 20];
    let options = FormatOptions::new(512, [1; 16]);
    for alignment in [3, 1024] {
        let mut disk = SparseDisk::new(512, 4 << 20);
        disk.geometry.alignment = alignment;
        let refused = Pool::format(&mut disk, &mut workspace, &options);
        assert!(matches!(refused, Err(Error::BadParameter(_))), "{refused:?}");
        let (mut disk, mut base) = (SparseDisk::new(512, 4 << 20), image(1));
        Pool::format_on_base(&mut disk, &mut base, &mut workspace, &options).unwrap();
        base.geometry.alignment = alignment;
        let refused = Pool::mount_on_base(&mut disk, &mut base, &mut workspace, &MountOptions::default()).map(drop);
        assert!(matches!(refused, Err(Error::BadParameter(_))), "{refused:?}");
    }
}

#[test]
fn a_pool_in_a_volume_of_a_pool_in_a_partition_works_like_any_other() {
    let mut disk = SparseDisk::new(512, 16 << 20);
    disk.geometry.physical_size = 4096;
    let mut part = Partition::new(&mut disk, 64, 30_000).expect("inside, and on a physical unit");
    let mut workspace = vec![0; 1 << 20];
    Pool::format(&mut part, &mut workspace, &FormatOptions::new(4096, [1; 16])).unwrap();
    let mut outer = Pool::mount(&mut part, &mut workspace, &MountOptions::default()).unwrap();
    let volume = outer.create(&named("outer"), 12_000, LayerFlags::empty()).unwrap();
    {
        let mut device = outer.volume_device(volume).unwrap();
        assert_eq!(device.geometry().physical_size, 4096);
        let mut memory = vec![0; 1 << 20];
        Pool::format(&mut device, &mut memory, &FormatOptions::new(4096, [2; 16])).unwrap();
        let mut inner = Pool::mount(&mut device, &mut memory, &MountOptions::default()).unwrap();
        let nested = inner.create(&named("inner"), 100, LayerFlags::empty()).unwrap();
        inner.write(nested, 50, &[7; 512]).unwrap();
        inner.snapshot(nested, &named("s")).unwrap();
        inner.unmount().unwrap();
    }
    outer.snapshot(volume, &named("s")).unwrap();
    let snapshot = outer.find("s").unwrap().unwrap().id;
    let mut device = outer.volume_device(snapshot).unwrap();
    assert!(device.geometry().read_only);
    let mut memory = vec![0; 1 << 20];
    let mut inner = Pool::mount(&mut device, &mut memory, &MountOptions::default()).unwrap();
    let nested = inner.find("s").unwrap().unwrap().id;
    let mut read = [0; 512];
    inner.read(nested, 50, &mut read).unwrap();
    assert_eq!(read, [7; 512]);
    assert_eq!(inner.checkpoint(), Err(Error::ReadOnly));
    assert!(Partition::new(SparseDisk::new(512, 1 << 20), 2000, 100).is_none());
}

#[test]
fn the_byte_view_reads_and_writes_at_any_place() {
    for sector_size in [512, 4096] {
        let mut disk = SparseDisk::new(sector_size, 8 << 20);
        let mut workspace = vec![0; 1 << 20];
        Pool::format(&mut disk, &mut workspace, &FormatOptions::new(4096, [1; 16])).unwrap();
        let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
        let volume = pool.create(&named("v"), 16, LayerFlags::empty()).unwrap();
        let length = 16 * u64::from(sector_size);
        let mut plain = vec![0u8; length as usize];
        let mut cursor = pool.cursor(volume).unwrap();
        for (offset, count, byte) in [(3u64, 5, 1u8), (500, 5000, 2), (4095, 2, 3), (length - 7, 7, 4)] {
            assert_eq!(cursor.seek(SeekFrom::Start(offset)).unwrap(), offset);
            cursor.write_all(&vec![byte; count]).unwrap();
            plain[offset as usize..][..count].fill(byte);
        }
        cursor.flush().unwrap();
        assert!(cursor.write(&[1]).is_err(), "at the end");
        cursor.seek(SeekFrom::End(-(length as i64))).unwrap();
        let mut read = vec![9; length as usize];
        cursor.read_exact(&mut read).unwrap();
        assert!(read == plain);
        assert_eq!(cursor.read(&mut read).unwrap(), 0);
        assert!(cursor.seek(SeekFrom::Current(-(length as i64) - 1)).is_err());
    }
}

#[test]
fn devices_that_do_not_fit_are_refused_with_the_numbers() {
    let mut workspace = vec![0; 1 << 20];
    let options = FormatOptions::new(512, [1; 16]);
    let mut tiny = SparseDisk::new(512, 50 * 512);
    let Err(Error::DeviceTooSmall { needed, actual: 50 }) = Pool::format(&mut tiny, &mut workspace, &options) else {
        panic!("fifty sectors are too little")
    };
    let mut enough = SparseDisk::new(512, needed * 512);
    Pool::format(&mut enough, &mut workspace, &options).unwrap();
    assert_eq!(Pool::format(&mut enough, &mut workspace, &options), Err(Error::HoldsPool));
    enough.geometry.sectors -= 1;
    let shrunk = Pool::mount(&mut enough, &mut workspace, &MountOptions::default()).map(drop);
    assert_eq!(shrunk, Err(Error::DeviceTooSmall { needed, actual: needed - 1 }));
    let mut large_units = SparseDisk::new(512, 1 << 20);
    large_units.geometry.physical_size = 4096;
    assert!(matches!(Pool::format(&mut large_units, &mut workspace, &options), Err(Error::BadParameter(_))));
    let blank = Pool::mount(SparseDisk::new(512, 1 << 20), &mut workspace, &MountOptions::default()).map(drop);
    assert_eq!(blank, Err(Error::NotAPool));
    large_units.geometry.read_only = true;
    let options = FormatOptions::new(4096, [1; 16]);
    assert_eq!(Pool::format(&mut large_units, &mut workspace, &options), Err(Error::ReadOnly));
}

/// What `PORTING.md` says of the smallest pools.
#[test]
fn the_smallest_pools_are_as_documented() {
    let mut workspace = vec![0; 1 << 20];
    for (block_size, pending, journal_units) in [(512u32, 12, 16), (4096, 192, 128), (4096, 12, 16), (4096, 2, 3)] {
        let options = FormatOptions { pending, journal_units, ..FormatOptions::new(block_size, [1; 16]) };
        let mut disk = SparseDisk::new(512, 50 * 512);
        disk.geometry.physical_size = block_size;
        let Err(Error::DeviceTooSmall { needed, .. }) = Pool::format(&mut disk, &mut workspace, &options) else {
            panic!("fifty sectors are too little")
        };
        disk.geometry.sectors = needed - 1;
        assert!(Pool::format(&mut disk, &mut workspace, &options).is_err());
        disk.geometry.sectors = needed;
        Pool::format(&mut disk, &mut workspace, &options).unwrap();
        let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
        let volume = pool.create(&named("v"), 8, LayerFlags::empty()).unwrap();
        pool.write(volume, 0, &[1; 512]).unwrap();
        pool.unmount().unwrap();
        let memory = cowl::Limits { pool_blocks: 2048, volume_blocks: 2048, layers: 100, pending };
        let row = format!(
            "| {block_size} | {block_size} | {pending} | {journal_units} | {} KiB | {} B |\n",
            needed / 2,
            cowl::workspace_size(block_size, memory)
        );
        assert!(include_str!("../core/docs/PORTING.md").contains(&row), "PORTING.md lacks {row}");
    }
}

#[test]
fn a_pool_grows_with_its_device() {
    for block_size in [512u32, 4096] {
        let block = u64::from(block_size);
        let mut disk = SparseDisk::new(512, 5000 * block);
        let mut workspace = vec![0; 1 << 20];
        Pool::format(&mut disk, &mut workspace, &FormatOptions::new(block_size, [1; 16])).unwrap();
        let mut written = 0u64;
        for blocks in [5000u64, 5001, 9000, 40_000, 200_000, 40_000_000] {
            disk.geometry.sectors = blocks * block / 512;
            let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
            let before = pool.space();
            let total = pool.grow().unwrap();
            assert!(total + 64 > blocks && total <= blocks);
            assert!(pool.space().free >= before.free + (total - before.total) * 99 / 100);
            let volume = match pool.find("v").unwrap() {
                Some(info) => info.id,
                None => pool.create(&named("v"), 1 << 20, LayerFlags::empty()).unwrap(),
            };
            for _ in 0..50 {
                pool.write(volume, written * block / 512, &vec![written as u8; block_size as usize]).unwrap();
                written += 1;
            }
            pool.checkpoint().unwrap();
            if blocks < 1_000_000 {
                let mut findings = Vec::new();
                pool.check(&mut vec![0; 1 << 16], false, &mut |finding| findings.push(*finding)).unwrap();
                assert_eq!(findings, [], "{block_size} {blocks}");
            }
            for i in 0..written {
                let mut read = vec![0; block_size as usize];
                pool.read(volume, i * block / 512, &mut read).unwrap();
                assert!(read.iter().all(|byte| *byte == i as u8));
            }
        }
    }
}

#[test]
fn after_a_failed_write_the_pool_refuses_changes_and_goes_on_reading() {
    use cowl_host::sim::{
        Config, SimDisk,
        faults::{Calls, Failing, When},
        mount,
    };
    for calls in 0..12 {
        let disk = SimDisk::new(512, 400);
        let mut workspace = Config::TINY.workspace();
        Pool::format(disk.clone(), &mut workspace, &Config::TINY.format()).unwrap();
        let device = Failing::new(disk, Calls::Changes, When::NEVER);
        let mut pool = mount(device, &mut workspace).unwrap();
        let volume = pool.create(&named("v"), 4, LayerFlags::empty()).unwrap();
        pool.write(volume, 0, &[1; 512]).unwrap();
        pool.flush().unwrap();
        pool.device_mut().strike(When::from(calls));
        let mut results = vec![pool.write(volume, 1, &[2; 512]), pool.flush()];
        results.push(pool.snapshot(volume, &named("s")).map(drop));
        results.push(pool.checkpoint());
        let failed = results.iter().position(Result::is_err).expect("it fails sooner or later");
        assert!(matches!(results[failed], Err(Error::Device(_))), "{results:?}");
        assert!(results[failed + 1..].iter().all(|result| *result == Err(Error::Poisoned)), "{results:?}");
        let mut read = [0; 512];
        pool.read(volume, 0, &mut read).unwrap();
        assert_eq!(read, [1; 512]);
        assert!(pool.info().poisoned);
    }
}
