//! Devices around devices, a layer as a device, a layer as a stream of bytes: each call arrives below as it should.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]
// Bytes that tell sectors apart.
#![allow(clippy::cast_possible_truncation)]

use cowl::{
    Attributes, BlockDevice, Counters, Counting, Error, FormatOptions, Geometry, LayerFlags, LayerId, MountOptions,
    Partition, Pool,
};
use embedded_io::{Read, Seek, SeekFrom, Write};

const SECTOR: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Read(u64, usize),
    Write(u64, usize),
    Flush,
    Discard(u64, u64),
}

/// The device has no such sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PastEnd;

/// A disk that writes down what it is asked.
#[derive(Debug)]
struct Disk {
    bytes: Vec<u8>,
    physical_size: u32,
    calls: Vec<Call>,
}

impl Disk {
    fn new(sectors: usize, physical_size: u32) -> Self {
        let bytes = (0..sectors * SECTOR).map(|at| (at / SECTOR % 251) as u8).collect();
        Self { bytes, physical_size, calls: Vec::new() }
    }

    fn part(&mut self, sector: u64, length: usize) -> Result<&mut [u8], PastEnd> {
        let start = usize::try_from(sector).ok().and_then(|sector| sector.checked_mul(SECTOR)).ok_or(PastEnd)?;
        self.bytes.get_mut(start..start + length).ok_or(PastEnd)
    }
}

impl BlockDevice for Disk {
    type Error = PastEnd;

    fn geometry(&self) -> Geometry {
        let sectors = (self.bytes.len() / SECTOR) as u64;
        Geometry { physical_size: self.physical_size, discard: true, ..Geometry::new(512, sectors) }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), PastEnd> {
        self.calls.push(Call::Read(sector, buffer.len()));
        buffer.copy_from_slice(self.part(sector, buffer.len())?);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), PastEnd> {
        self.calls.push(Call::Write(sector, buffer.len()));
        self.part(sector, buffer.len())?.copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PastEnd> {
        self.calls.push(Call::Flush);
        Ok(())
    }

    fn discard(&mut self, sector: u64, count: u64) -> Result<(), PastEnd> {
        self.calls.push(Call::Discard(sector, count));
        Ok(())
    }
}

#[test]
fn every_call_is_counted_and_passed_on() {
    let mut counting = Counting::new(Disk::new(100, 512));
    assert_eq!(counting.geometry(), counting.inner().geometry());
    let mut bytes = [0; 3 * SECTOR];
    counting.read(7, &mut bytes).unwrap();
    assert_eq!((bytes[0], bytes[SECTOR], bytes[2 * SECTOR]), (7, 8, 9));
    counting.write(20, &bytes[..2 * SECTOR]).unwrap();
    counting.write(30, &bytes[..SECTOR]).unwrap();
    counting.flush().unwrap();
    counting.discard(40, 5).unwrap();
    assert_eq!(counting.read(99, &mut bytes), Err(PastEnd));
    let expected = Counters { reads: 2, writes: 2, flushes: 1, discards: 1, sectors_read: 6, sectors_written: 3 };
    assert_eq!(counting.counters(), expected);
    assert_eq!(counting.take(), expected);
    assert_eq!(counting.counters(), Counters::default());
    let (read, write) = (Call::Read(7, 3 * SECTOR), [Call::Write(20, 2 * SECTOR), Call::Write(30, SECTOR)]);
    let past = Call::Read(99, 3 * SECTOR);
    assert_eq!(counting.into_inner().calls, [read, write[0], write[1], Call::Flush, Call::Discard(40, 5), past]);
}

#[test]
fn a_partition_is_a_window_and_nothing_beside_it_is_reached() {
    for (first, sectors, fits) in [
        (0, 100, true),
        (8, 92, true),
        (8, 93, false),
        (100, 0, false),
        (96, 4, true),
        (4, 10, false),
        (u64::MAX, 1, false),
    ] {
        assert_eq!(Partition::new(Disk::new(100, 4096), first, sectors).is_some(), fits, "{first}, {sectors}");
    }
    let mut partition = Partition::new(Disk::new(100, 512), 10, 20).unwrap();
    assert_eq!(partition.geometry().sectors, 20);
    let mut bytes = [0; 2 * SECTOR];
    partition.read(18, &mut bytes).unwrap();
    assert_eq!((bytes[0], bytes[SECTOR]), (28, 29));
    partition.write(0, &bytes).unwrap();
    partition.flush().unwrap();
    for sector in [19, 20, 90, u64::MAX] {
        assert_eq!(partition.read(sector, &mut bytes), Err(PastEnd), "{sector}");
        assert_eq!(partition.write(sector, &bytes), Err(PastEnd), "{sector}");
    }
    partition.discard(5, 3).unwrap();
    partition.discard(18, 9).unwrap();
    partition.discard(20, 1).unwrap();
    partition.discard(u64::MAX, 1).unwrap();
    let disk = partition.into_inner();
    assert_eq!((disk.bytes[9 * SECTOR], disk.bytes[10 * SECTOR], disk.bytes[12 * SECTOR]), (9, 28, 12));
    let discards: Vec<Call> = disk.calls.into_iter().filter(|call| matches!(call, Call::Discard(..))).collect();
    assert_eq!(discards, [Call::Discard(15, 3), Call::Discard(28, 2)]);
}

/// A pool with a volume of so many sectors, in which each sector holds its number.
fn with_volume<T>(
    block_size: u32,
    physical_size: u32,
    sectors: u64,
    run: impl FnOnce(&mut Pool<'_, Disk>, LayerId) -> T,
) -> T {
    let (mut disk, mut memory) = (Disk::new(8000, physical_size), vec![0; 300_000]);
    Pool::format(&mut disk, &mut memory, &FormatOptions::new(block_size, [7; 16])).unwrap();
    let mut pool = Pool::mount(disk, &mut memory, &MountOptions::default()).unwrap();
    let named = Attributes { name: "v", ..Attributes::default() };
    let volume = pool.create(&named, sectors, LayerFlags::empty()).unwrap();
    (0..sectors).for_each(|sector| pool.write(volume, sector, &[sector as u8; SECTOR]).unwrap());
    run(&mut pool, volume)
}

#[test]
fn a_layer_as_a_device_has_the_geometry_of_what_is_below_and_its_own_size() {
    with_volume(4096, 4096, 33, |pool, volume| {
        let named = Attributes { name: "s", ..Attributes::default() };
        let snapshot = pool.snapshot(volume, &named).unwrap();
        let mut device = pool.volume_device(volume).unwrap();
        let expected = Geometry {
            sector_size: 512,
            sectors: 33,
            physical_size: 4096,
            alignment: 1,
            read_only: false,
            discard: true,
        };
        assert_eq!(device.geometry(), expected);
        let mut bytes = [0; 2 * SECTOR];
        device.read(5, &mut bytes).unwrap();
        assert_eq!((bytes[0], bytes[SECTOR]), (5, 6));
        device.write(8, &[99; 8 * SECTOR]).unwrap();
        device.discard(16, 8).unwrap();
        assert_eq!(device.read(32, &mut bytes), Err(Error::OutOfRange { sectors: 33 }));
        pool.device_mut().calls.clear();
        pool.volume_device(volume).unwrap().flush().unwrap();
        assert_eq!(pool.device_mut().calls.last(), Some(&Call::Flush));
        let mut device = pool.volume_device(snapshot).unwrap();
        assert_eq!(device.geometry(), Geometry { read_only: true, ..expected });
        device.read(15, &mut bytes).unwrap();
        assert_eq!((bytes[0], bytes[SECTOR]), (15, 16), "a snapshot stays");
        assert!(device.write(0, &bytes).is_err());
        for (sector, byte) in [(15, 99), (16, 0), (23, 0), (24, 24)] {
            pool.read(volume, sector, &mut bytes[..SECTOR]).unwrap();
            assert_eq!(bytes[0], byte, "sector {sector}");
        }
    });
}

/// Reads and writes of every length at every place against a plain copy; whole sectors go through in one call.
#[test]
fn a_layer_as_a_stream_is_exact_to_the_byte() {
    with_volume(1024, 512, 9, |pool, volume| {
        let mut plain: Vec<u8> = (0..9 * SECTOR).map(|at| (at / SECTOR) as u8).collect();
        let mut cursor = pool.cursor(volume).unwrap();
        let mut random = 1_u64;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        for round in 0..2000_usize {
            // Often at the edges of sectors.
            let edge = |place: usize| if round % 3 == 0 { place / SECTOR * SECTOR } else { place };
            let (at, length) = (edge(draw(plain.len() + 1)), edge(draw(4 * SECTOR)));
            assert_eq!(cursor.seek(SeekFrom::Start(at as u64)).unwrap(), at as u64);
            let end = (at + length).min(plain.len());
            if draw(2) == 0 {
                let bytes: Vec<u8> = (0..length).map(|i| (round + i) as u8).collect();
                let mut done = 0;
                while at + done < end {
                    let count = cursor.write(&bytes[done..]).unwrap();
                    assert!(count > 0 && at + done + count <= end, "{count} of {length} at {at}");
                    plain[at + done..at + done + count].copy_from_slice(&bytes[done..done + count]);
                    done += count;
                }
            } else {
                let (mut bytes, mut done) = (vec![0xee; length], 0);
                while at + done < end {
                    let count = cursor.read(&mut bytes[done..]).unwrap();
                    assert!(count > 0 && at + done + count <= end, "{count} of {length} at {at}");
                    done += count;
                }
                assert!(bytes[..done] == plain[at..end], "{length} bytes at {at}");
                assert!(bytes[done..].iter().all(|byte| *byte == 0xee));
            }
            assert_eq!(cursor.seek(SeekFrom::Current(0)).unwrap(), end.max(at) as u64);
        }
        assert_eq!(cursor.seek(SeekFrom::End(-10)).unwrap(), plain.len() as u64 - 10);
        assert_eq!(cursor.seek(SeekFrom::Current(-5)).unwrap(), plain.len() as u64 - 15);
        assert!(cursor.seek(SeekFrom::Current(-10_000)).is_err());
        assert_eq!(cursor.seek(SeekFrom::End(0)).unwrap(), plain.len() as u64);
        assert_eq!(cursor.read(&mut [0; 10]).unwrap(), 0, "the end");
        assert_eq!(cursor.write(&[]).unwrap(), 0);
        assert_eq!(cursor.write(&[1]), Err(Error::OutOfRange { sectors: 9 }));
        cursor.flush().unwrap();
        assert_eq!(pool.device_mut().calls.last(), Some(&Call::Flush));
        pool.device_mut().calls.clear();
        let mut cursor = pool.cursor(volume).unwrap();
        assert_eq!(cursor.read(&mut [0; 5 * SECTOR + 7]).unwrap(), 5 * SECTOR, "whole sectors in one piece");
        assert_eq!(cursor.read(&mut [0; 7]).unwrap(), 7);
        assert_eq!(cursor.read(&mut [0; 5 * SECTOR]).unwrap(), SECTOR - 7, "up to the next sector");
    });
}

#[test]
fn an_attachment_as_a_stream_ends_with_its_last_byte() {
    with_volume(1024, 512, 9, |pool, volume| {
        let named = Attributes { name: "a", ..Attributes::default() };
        let staged = pool.stage_attachment(&named, 1000).unwrap();
        pool.write(staged, 0, &[3; 2 * SECTOR]).unwrap();
        pool.attach(volume, staged).unwrap();
        let mut cursor = pool.cursor(staged).unwrap();
        assert_eq!(cursor.seek(SeekFrom::End(0)).unwrap(), 1000);
        cursor.seek(SeekFrom::Start(600)).unwrap();
        let mut bytes = [0; 900];
        assert_eq!(cursor.read(&mut bytes).unwrap(), 400);
        assert_eq!(cursor.read(&mut bytes).unwrap(), 0);
    });
}

#[test]
fn a_base_device_shows_through_where_nothing_was_written_and_zeros_behind_its_end() {
    let mut memory = vec![0; 300_000];
    let (mut disk, mut base) = (Disk::new(4000, 512), Disk::new(25, 512));
    let options = FormatOptions::new(1024, [7; 16]);
    Pool::format_on_base(&mut disk, &mut base, &mut memory, &options).unwrap();
    let mount = MountOptions::default();
    assert_eq!(Pool::mount(&mut disk, &mut memory, &mount).err(), Some(Error::WrongBase));
    let mut longer = Disk::new(26, 512);
    assert_eq!(Pool::mount_on_base(&mut disk, &mut longer, &mut memory, &mount).err(), Some(Error::WrongBase));
    // The first and the last of the sixteen sectors that are looked at.
    for sector in [0, 15] {
        let mut other = Disk::new(25, 512);
        other.bytes[sector * SECTOR + 100] ^= 1;
        assert_eq!(Pool::mount_on_base(&mut disk, &mut other, &mut memory, &mount).err(), Some(Error::WrongBase));
    }
    let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &mount).unwrap();
    let named = Attributes { name: "v", ..Attributes::default() };
    let volume = pool.create(&named, 40, LayerFlags::empty()).unwrap();
    pool.write(volume, 6, &[77; SECTOR]).unwrap();
    let mut bytes = vec![0xee; 40 * SECTOR];
    pool.read(volume, 0, &mut bytes).unwrap();
    for (sector, part) in bytes.chunks(SECTOR).enumerate() {
        let expected = match sector {
            6 => 77,
            0..25 => sector as u8,
            _ => 0,
        };
        assert!(part.iter().all(|byte| *byte == expected), "sector {sector} has {}", part[0]);
        let mut alone = [0xee; SECTOR];
        pool.read(volume, sector as u64, &mut alone).unwrap();
        assert!(alone == *part, "sector {sector} alone");
    }
}
