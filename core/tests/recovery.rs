//! What a mount makes of a journal, unit by unit: all of it, up to a torn one, none of another pool's, and damage where it is damage.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]
// A method as an argument is not general enough in its lifetimes.
#![allow(clippy::redundant_closure_for_method_calls)]

use cowl::{
    Attributes, BlockDevice, Error, FormatOptions, Geometry, LayerFlags, LayerId, MountOptions, Pool, Reader, crc32c,
    format::{Record, UNIT_HEADER, Unit},
};

const BLOCK: usize = 512;
const BLOCKS: usize = 400;
/// First sector of the journal: behind the four superblocks.
const JOURNAL: usize = 4;
const VOLUME: LayerId = LayerId(1);

/// A disk that counts writes, and that may answer the second read of a sector with something else.
#[derive(Clone)]
struct Disk {
    bytes: Vec<u8>,
    writes: u64,
    second: Option<(u64, Vec<u8>)>,
    read_once: bool,
}

impl BlockDevice for Disk {
    type Error = ();

    fn geometry(&self) -> Geometry {
        Geometry::new(512, BLOCKS as u64)
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), ()> {
        let at = usize::try_from(sector).unwrap() * BLOCK;
        buffer.copy_from_slice(&self.bytes[at..at + buffer.len()]);
        if let Some((_, other)) = self.second.as_ref().filter(|(place, _)| *place == sector) {
            if self.read_once {
                buffer.copy_from_slice(other);
            }
            self.read_once = true;
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), ()> {
        let at = usize::try_from(sector).unwrap() * BLOCK;
        self.bytes[at..at + buffer.len()].copy_from_slice(buffer);
        self.writes += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

impl Disk {
    /// A pool with a volume of a hundred blocks, and nothing in its journal.
    fn with_volume() -> Self {
        let mut disk = Self { bytes: vec![0; BLOCKS * BLOCK], writes: 0, second: None, read_once: false };
        let options = FormatOptions { pending: 40, journal_units: 8, ..FormatOptions::new(512, [7; 16]) };
        Pool::format(&mut disk, &mut memory(), &options).unwrap();
        disk.work(|pool| {
            pool.create(&Attributes { name: "v", ..Attributes::default() }, 100, LayerFlags::empty()).map(drop)
        });
        disk
    }

    /// Works on the pool, and then the power fails: the disk has kept every write.
    fn work(&mut self, work: impl FnOnce(&mut Pool<'_, &mut Self>) -> Result<(), Error<()>>) {
        let mut memory = memory();
        let mut pool = Pool::mount(&mut *self, &mut memory, &MountOptions::default()).unwrap();
        work(&mut pool).unwrap();
    }

    /// Three flushes with a block each: the marks of units 1 to 3 are 0, 1 and 2.
    fn with_three_units() -> Self {
        let mut disk = Self::with_volume();
        disk.work(|pool| {
            pool.checkpoint()?;
            for sector in 0..3 {
                pool.write(VOLUME, sector, &[9; BLOCK])?;
                pool.flush()?;
            }
            Ok(())
        });
        assert_eq!([0, 1, 2].map(|place| disk.unit(place).unwrap().mark), [0, 1, 2]);
        disk
    }

    fn unit_bytes(&mut self, place: usize) -> &mut [u8] {
        &mut self.bytes[(JOURNAL + place) * BLOCK..(JOURNAL + place + 1) * BLOCK]
    }

    fn unit(&mut self, place: usize) -> Option<Unit> {
        Unit::decode(self.unit_bytes(place), crc32c)
    }

    /// Changes the first record of a unit; everything else is right again.
    fn forge(&mut self, place: usize, change: impl FnOnce(&mut Record)) {
        let unit = self.unit(place).unwrap();
        let bytes = self.unit_bytes(place);
        let mut record = Record::decode(bytes, UNIT_HEADER);
        change(&mut record);
        record.encode(bytes, UNIT_HEADER);
        unit.seal(bytes, crc32c);
    }

    /// The first byte of each of the first sectors of the volume, as a new mount shows them.
    fn seen<const N: usize>(&self) -> Result<[u8; N], Error<()>> {
        let seen = self.mounted();
        assert_eq!(self.read_small(), seen, "the small reader");
        seen
    }

    fn read_small<const N: usize>(&self) -> Result<[u8; N], Error<()>> {
        let mut memory = memory();
        let mut reader = Reader::mount(self.clone(), &mut memory, crc32c)?;
        let image = reader.find("v")?.expect("the volume");
        let mut bytes = vec![0; N * BLOCK];
        reader.read(&image, 0, &mut bytes)?;
        Ok(core::array::from_fn(|i| bytes[i * BLOCK]))
    }

    fn mounted<const N: usize>(&self) -> Result<[u8; N], Error<()>> {
        let mut memory = memory();
        let mut pool = Pool::mount(self.clone(), &mut memory, &MountOptions::default())?;
        let mut bytes = vec![0; N * BLOCK];
        pool.read(VOLUME, 0, &mut bytes)?;
        let mut findings = 0;
        pool.check(&mut [0; 256], true, &mut |_| findings += 1)?;
        assert_eq!(findings, 0);
        Ok(core::array::from_fn(|i| bytes[i * BLOCK]))
    }

    fn is_damaged(&self) -> bool {
        let mounted = Pool::mount(self.clone(), &mut memory(), &MountOptions::default()).map(drop);
        let small = Reader::mount(self.clone(), &mut memory(), crc32c).map(drop);
        let is_damage = |mounted| matches!(mounted, Err(Error::Corrupt { .. }));
        assert_eq!(is_damage(mounted), is_damage(small), "the small reader: {small:?}");
        is_damage(mounted)
    }
}

fn memory() -> Vec<u8> {
    vec![0; 40_000]
}

#[test]
fn every_unit_of_the_journal_is_taken_in() {
    let disk = Disk::with_three_units();
    assert_eq!(disk.seen::<4>(), Ok([9, 9, 9, 0]));
}

#[test]
fn a_flush_of_as_many_records_as_its_units_hold_loses_none() {
    let capacity = Unit::capacity(BLOCK);
    for count in [1, capacity - 1, capacity, capacity + 1, 2 * capacity, 2 * capacity + 1, 40] {
        let mut disk = Disk::with_volume();
        disk.work(|pool| {
            pool.checkpoint()?;
            (0..count as u64).try_for_each(|i| pool.write(VOLUME, i, &[5; BLOCK]))?;
            pool.flush()
        });
        let units = (0..8).filter(|place| disk.unit(*place).is_some()).count();
        assert_eq!(units, count.div_ceil(capacity), "for {count} records");
        let seen = disk.seen::<50>().unwrap();
        assert!(seen.iter().enumerate().all(|(i, byte)| (*byte == 5) == (i < count)), "{count}: {seen:?}");
    }
}

#[test]
fn a_torn_unit_ends_the_journal_and_a_lost_one_before_a_durable_one_is_damage() {
    for place in 0..3 {
        let mut disk = Disk::with_three_units();
        disk.unit_bytes(place)[100] ^= 1;
        match place {
            2 => assert_eq!(disk.seen::<3>(), Ok([9, 9, 0])),
            _ => assert!(disk.is_damaged(), "unit {place} was durable when a later one was written"),
        }
    }
}

#[test]
fn units_of_the_same_flush_may_arrive_in_any_order() {
    let mut disk = Disk::with_volume();
    disk.work(|pool| {
        pool.checkpoint()?;
        pool.write(VOLUME, 0, &[9; BLOCK])?;
        pool.flush()?;
        (1..=20).try_for_each(|i| pool.write(VOLUME, i, &[9; BLOCK]))?;
        pool.flush()
    });
    assert_eq!([1, 2].map(|place| disk.unit(place).unwrap().mark), [1, 1]);
    disk.unit_bytes(1).fill(0);
    assert_eq!(disk.seen::<3>(), Ok([9, 0, 0]), "the flush had not returned");
}

#[test]
fn what_is_unproven_counts_only_with_its_data_and_what_is_proven_counts_without() {
    for (place, expected) in [(0, [8, 9, 9]), (1, [9, 8, 9]), (2, [9, 9, 0])] {
        let mut disk = Disk::with_three_units();
        let record = Record::decode(disk.unit_bytes(place), UNIT_HEADER);
        let at = usize::try_from(record.entry.block).unwrap() * BLOCK;
        disk.bytes[at..at + BLOCK].fill(8);
        assert_eq!(disk.seen::<3>(), Ok(expected), "the data of unit {place} was written over");
    }
}

#[test]
fn a_discard_in_the_last_unit_needs_no_data() {
    let mut disk = Disk::with_three_units();
    disk.work(|pool| {
        pool.checkpoint()?;
        pool.discard(VOLUME, 1, 1)?;
        pool.flush()
    });
    assert_eq!(disk.unit(0).map(|unit| unit.count), Some(1));
    assert_eq!(disk.seen::<3>(), Ok([9, 0, 9]));
}

#[test]
fn blocks_are_given_out_behind_those_that_the_journal_names_and_no_further() {
    let place = |discards: bool| {
        let mut disk = Disk::with_volume();
        disk.work(|pool| {
            pool.checkpoint()?;
            pool.write(VOLUME, 0, &[9; BLOCK])?;
            if discards {
                pool.discard(VOLUME, 7, 2)?;
            }
            pool.flush()
        });
        let first = Record::decode(disk.unit_bytes(0), UNIT_HEADER).entry.block;
        // The checkpoint before the first change must not take the block that the journal alone knows.
        assert_eq!(disk.seen::<1>(), Ok([9]));
        disk.work(|pool| {
            pool.checkpoint()?;
            pool.write(VOLUME, 50, &[1; BLOCK])?;
            pool.flush()
        });
        (first, Record::decode(disk.unit_bytes(0), UNIT_HEADER).entry.block)
    };
    let (without, with) = (place(false), place(true));
    assert!(without.1 > without.0 && without.1 < without.0 + 12, "{without:?}");
    assert_eq!(without, with, "a discard names no block");
}

#[test]
fn a_record_that_cannot_be_is_damage() {
    let changes: [fn(&mut Record); 5] = [
        |record| record.layer = 0,
        |record| record.entry.birth += 1,
        |record| record.entry.block = 3,
        |record| record.entry.block = BLOCKS as u64,
        |record| record.entry.block = (1 << 48) - 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut disk = Disk::with_three_units();
        disk.forge(0, change);
        assert!(disk.is_damaged(), "change {number}");
    }
    let mut disk = Disk::with_three_units();
    disk.forge(0, |_| {});
    assert_eq!(disk.seen::<3>(), Ok([9; 3]), "a record that is not changed is none");
}

#[test]
fn a_unit_of_another_pool_or_an_earlier_generation_is_none_and_one_of_a_later_is_damage() {
    let change = |place: usize, change: fn(&mut Unit)| {
        let mut disk = Disk::with_three_units();
        let mut unit = disk.unit(place).unwrap();
        change(&mut unit);
        unit.seal(disk.unit_bytes(place), crc32c);
        disk.seen::<3>()
    };
    assert_eq!(change(2, |unit| unit.uuid[15] ^= 1), Ok([9, 9, 0]));
    assert_eq!(change(2, |unit| unit.generation -= 1), Ok([9, 9, 0]));
    let later = change(2, |unit| unit.generation += 1);
    assert!(matches!(later, Err(Error::Corrupt { .. })), "the superblock that it builds on is gone");
    for bad in [
        change(2, |unit| unit.sequence += 1),
        change(2, |unit| unit.sequence -= 1),
        change(1, |unit| unit.generation -= 1),
    ] {
        assert!(matches!(bad, Err(Error::Corrupt { .. })));
    }
}

#[test]
fn a_unit_that_reads_differently_the_second_time_is_left_out_or_damage() {
    let mut older = Disk::with_volume();
    older.work(|pool| {
        pool.checkpoint()?;
        pool.write(VOLUME, 60, &[3; BLOCK])?;
        pool.flush()
    });
    let stale = |place: usize| {
        let mut unit = older.clone().unit(0).unwrap();
        unit.sequence = u32::try_from(place).unwrap() + 1;
        let mut bytes = older.clone().unit_bytes(0).to_vec();
        unit.seal(&mut bytes, crc32c);
        bytes
    };
    let other_place = older.clone().unit_bytes(0).to_vec();
    for second in [[0, 1, 2].map(|_| vec![0; BLOCK]), [0, 1, 2].map(stale), [0, 1, 2].map(|_| other_place.clone())] {
        for (place, bytes) in second.into_iter().enumerate() {
            let mut disk = Disk::with_three_units();
            disk.work(|pool| pool.checkpoint());
            disk.work(|pool| {
                pool.checkpoint()?;
                (0..3).try_for_each(|sector| {
                    pool.write(VOLUME, sector + 10, &[4; BLOCK])?;
                    pool.flush()
                })
            });
            disk.second = Some(((JOURNAL + place) as u64, bytes));
            match place {
                2 => assert_eq!(disk.seen::<13>().map(|seen| seen[10..].to_vec()), Ok(vec![4, 4, 0])),
                _ => assert!(disk.is_damaged(), "unit {place} is proven"),
            }
        }
    }
}

#[test]
fn the_first_flush_after_a_mount_ends_the_journal() {
    let mut disk = Disk::with_three_units();
    let generation = disk.unit(0).unwrap().generation;
    disk.work(|pool| pool.flush());
    disk.work(|pool| {
        assert_eq!((pool.info().pending_used, pool.info().generation), (0, generation + 1));
        Ok(())
    });
    assert_eq!(disk.seen::<3>(), Ok([9; 3]));
}
