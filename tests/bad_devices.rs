//! Devices that are not what they say, or not what the pool was made on: an error that names the condition, with the numbers.

#![allow(clippy::cast_possible_truncation)]

use cowl::{BlockDevice, Error, FormatOptions, Geometry, LayerFlags, MountOptions, Pool};
use cowl_tests::{PastEnd, SparseDisk, named};

/// A division by zero, once: the size of a sector was taken as the device says it.
#[test]
fn a_device_that_names_an_impossible_sector_size_is_refused() {
    let mut workspace = vec![0; 1 << 20];
    let options = FormatOptions::new(4096, [1; 16]);
    let refused = |result: Result<(), Error<PastEnd>>| matches!(result, Err(Error::BadParameter(_)));
    for sector_size in [0, 1, 100, 256, 511, 1000, 3 << 10, 1 << 17, 1 << 31, u32::MAX] {
        let mut disk = SparseDisk::new(512, 4 << 20);
        disk.geometry.sector_size = sector_size;
        disk.geometry.physical_size = sector_size;
        let mount = Pool::mount(disk.clone(), &mut workspace, &MountOptions::default()).map(drop);
        assert!(refused(mount), "mounting with sectors of {sector_size}");
        let format = Pool::format(disk.clone(), &mut workspace, &options);
        assert!(refused(format), "formatting with sectors of {sector_size}");
        let on_base = Pool::mount_on_base(disk.clone(), disk, &mut workspace, &MountOptions::default()).map(drop);
        assert!(on_base.is_err(), "on a base with sectors of {sector_size}");
    }
}

#[test]
fn a_pool_on_a_device_with_other_sectors_is_refused_with_both_sizes() {
    let mut workspace = vec![0; 1 << 20];
    let bytes = 8 << 20;
    for (made, opened) in [(512u32, 4096u32), (4096, 512), (512, 1024), (2048, 4096)] {
        let mut disk = SparseDisk::new(made, bytes);
        Pool::format(&mut disk, &mut workspace, &FormatOptions::new(4096, [1; 16])).unwrap();
        let mut other = SparseDisk::new(opened, bytes);
        let mut whole = vec![0; 1 << 16];
        disk.read(0, &mut whole).unwrap();
        other.write(0, &whole).unwrap();
        let result = Pool::mount(&mut other, &mut workspace, &MountOptions::default()).map(drop);
        assert_eq!(result, Err(Error::WrongSectorSize { pool: made, device: opened }));
    }
}

#[test]
fn a_pool_of_any_block_size_is_opened_and_never_formatted_over_by_mistake() {
    let mut workspace = vec![0; 8 << 20];
    for made in (9..=16).map(|shift| 1u32 << shift) {
        let mut disk = SparseDisk::new(512, 256 << 20);
        Pool::format(&mut disk, &mut workspace, &FormatOptions::new(made, [1; 16])).unwrap();
        for wanted in (9..=16).map(|shift| 1u32 << shift) {
            let refused = Pool::format(&mut disk, &mut workspace, &FormatOptions::new(wanted, [2; 16]));
            assert_eq!(refused, Err(Error::HoldsPool), "{wanted} over {made}");
        }
        let pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
        assert_eq!((pool.info().block_size, pool.info().uuid), (made, [1; 16]));
    }
}

/// A device that says it has more sectors than it has.
struct Boasting(SparseDisk, u64);

impl BlockDevice for Boasting {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        Geometry { sectors: self.1, ..self.0.geometry }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        self.0.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        self.0.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        self.0.flush()
    }
}

#[test]
fn a_device_that_claims_more_than_it_has_is_found_out_and_left_as_it_was() {
    let mut workspace = vec![0; 1 << 20];
    for really in [8u64, 1000, 2000, 3870] {
        let mut device = Boasting(SparseDisk::new(512, really * 512), 4000);
        let options = FormatOptions { force: true, ..FormatOptions::new(512, [1; 16]) };
        let formatted = Pool::format(&mut device, &mut workspace, &options);
        assert_eq!(formatted, Err(Error::DeviceTooSmall { needed: 4000, actual: really }));
        assert_eq!(device.0.written(), 0, "nothing was written");
    }
    // An honest pool is not made larger than there is space.
    let mut device = Boasting(SparseDisk::new(512, 4000 * 512), 4000);
    Pool::format(&mut device, &mut workspace, &FormatOptions::new(512, [1; 16])).unwrap();
    device.1 = 9000;
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
    assert_eq!(pool.grow(), Err(Error::DeviceTooSmall { needed: 9000, actual: 4000 }));
    assert_eq!(pool.space().total, 4000);
    pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
}

/// A device with sectors that cannot be read: bad ones, or all that were never written.
struct Patchy(SparseDisk, Vec<u64>, bool);

impl BlockDevice for Patchy {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        let sectors = sector..sector + buffer.len() as u64 / 512;
        let bad = |sector: u64| self.1.contains(&sector) || self.2 && !self.0.has(sector);
        if sectors.clone().any(bad) { Err(PastEnd) } else { self.0.read(sector, buffer) }
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        self.0.write(sector, buffer)
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        self.0.flush()
    }
}

#[test]
fn a_device_with_bad_sectors_or_one_that_is_read_only_where_it_was_written_is_as_long_as_it_says() {
    let mut workspace = vec![0; 1 << 20];
    let options = FormatOptions { force: true, ..FormatOptions::new(512, [1; 16]) };
    let (last, eight) = (vec![3999], (3992..4000).collect::<Vec<u64>>());
    // Where the search looks first, and where a forged card would begin again.
    let (middle, power) = (vec![1999, 2999, 3999], vec![1024]);
    for (bad, unwritten) in [(last, false), (eight, false), (middle, false), (power, false), (Vec::new(), true)] {
        let mut device = Patchy(SparseDisk::new(512, 4000 * 512), bad, unwritten);
        assert_eq!(Pool::format(&mut device, &mut workspace, &options), Ok(()), "{:?}", device.1);
        device.2 = false;
        let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
        assert_eq!(pool.space().total, 4000);
        pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
    }
    // A pool does not grow as far as a block that cannot be read.
    let mut device = Patchy(SparseDisk::new(512, 4000 * 512), Vec::new(), false);
    Pool::format(&mut device, &mut workspace, &options).unwrap();
    (device.0.geometry.sectors, device.1) = (5000, vec![4999]);
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
    assert_eq!((pool.grow(), pool.space().total), (Err(Error::Device(PastEnd)), 4000));
    // One on which nothing works says so itself.
    let mut dead = Patchy(SparseDisk::new(512, 4000 * 512), (0..4000).collect(), false);
    dead.0.geometry.sectors = 0;
    let mut dead = Boasting(dead.0, 4000);
    assert_eq!(Pool::format(&mut dead, &mut workspace, &options), Err(Error::Device(PastEnd)));
}

/// A card that says that it has more sectors than it has, and begins again at its first one behind the last.
struct Forged(SparseDisk, u64);

impl BlockDevice for Forged {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        Geometry { sectors: self.1, ..self.0.geometry }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        let really = self.0.geometry.sectors;
        (sector..).zip(buffer.chunks_mut(512)).try_for_each(|(sector, part)| self.0.read(sector % really, part))
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        let really = self.0.geometry.sectors;
        (sector..).zip(buffer.chunks(512)).try_for_each(|(sector, part)| self.0.write(sector % really, part))
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        self.0.flush()
    }
}

#[test]
fn a_forged_card_that_begins_again_from_its_start_is_found_out_and_holds_no_pool() {
    let mut workspace = vec![0; 1 << 20];
    for block_size in [512u32, 4096] {
        for (really, claimed) in [(8192u64, 16_384), (8192, 32_768), (8192, 100_000), (65_536, 1 << 40)] {
            let mut device = Forged(SparseDisk::new(512, really * 512), claimed);
            let options = FormatOptions::new(block_size, [1; 16]);
            let Err(Error::DeviceTooSmall { needed, actual }) = Pool::format(&mut device, &mut workspace, &options)
            else {
                panic!("{really} sectors, not {claimed}")
            };
            assert!(actual == really && needed <= claimed && needed > really, "{needed} and {actual}");
            let mounted = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).map(drop);
            assert_eq!(mounted, Err(Error::NotAPool));
        }
    }
}

#[test]
fn a_device_that_becomes_shorter_fails_where_it_ends_and_keeps_what_was_flushed() {
    let (really, claimed) = (2000u64, 4000);
    let mut device = Boasting(SparseDisk::new(512, claimed * 512), claimed);
    let mut workspace = vec![0; 1 << 20];
    Pool::format(&mut device, &mut workspace, &FormatOptions::new(512, [1; 16])).unwrap();
    device.0.geometry.sectors = really;
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), claimed, LayerFlags::empty()).unwrap();
    let mut flushed = 0;
    let failed = (0..claimed).find_map(|sector| {
        let result = pool.write(volume, sector, &[sector as u8; 512]).and_then(|()| pool.flush());
        flushed += u64::from(result.is_ok());
        result.err()
    });
    assert_eq!(failed, Some(Error::Device(PastEnd)), "after {flushed} sectors");
    assert!(flushed > really / 2);
    assert_eq!(pool.flush(), Err(Error::Poisoned));
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
    for sector in 0..flushed {
        let mut read = [0; 512];
        pool.read(volume, sector, &mut read).unwrap();
        assert_eq!(read, [sector as u8; 512], "sector {sector}");
    }
}

/// Counts the calls that change something; a read-only device must not get any, a flush included.
struct Untouchable(SparseDisk);

impl BlockDevice for Untouchable {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        Geometry { read_only: true, ..self.0.geometry }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        self.0.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, _: &[u8]) -> Result<(), PastEnd> {
        panic!("sector {sector} of a read-only device is written")
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        panic!("a read-only device is flushed")
    }
}

#[test]
fn a_read_only_device_is_read_and_every_change_is_refused_before_it_is_tried() {
    let mut disk = SparseDisk::new(512, 4 << 20);
    let mut workspace = vec![0; 1 << 20];
    Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [1; 16])).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 8, LayerFlags::empty()).unwrap();
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    pool.write(volume, 1, &[1; 512]).unwrap();
    pool.flush().unwrap();
    let _ = pool.abandon();
    let mut pool = Pool::mount(Untouchable(disk), &mut workspace, &MountOptions::default()).unwrap();
    let mut read = [0; 512];
    pool.read(volume, 1, &mut read).unwrap();
    assert_eq!(read, [1; 512], "the journal is read");
    let refused = Err(Error::ReadOnly);
    assert_eq!(pool.write(volume, 1, &[2; 512]), refused);
    assert_eq!(pool.discard(volume, 0, 8), refused);
    assert_eq!(pool.write_zeroes(volume, 0, 8), refused);
    assert_eq!(pool.create(&named("w"), 8, LayerFlags::empty()).map(drop), refused);
    assert_eq!(pool.snapshot(volume, &named("t")).map(drop), refused);
    assert_eq!(pool.rollback(volume, snapshot, 0, None).map(drop), refused);
    assert_eq!(pool.delete(snapshot), refused);
    assert_eq!(pool.rename(snapshot, "u"), refused);
    assert_eq!(pool.describe(snapshot, "u"), refused);
    assert_eq!(pool.resize(volume, 16), refused);
    assert_eq!(pool.checkpoint(), refused);
    assert_eq!(pool.grow().map(drop), refused);
    assert_eq!(pool.merge_step(1000).map(drop), refused);
    assert_eq!(pool.flush(), Ok(()), "there is nothing to be flushed");
    assert!(pool.unmount().is_ok());
}
