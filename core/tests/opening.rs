//! Opening a pool: which superblock is taken, what of it is believed, what memory it takes.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]

use cowl::{
    Attributes, BlockDevice, Error, FormatOptions, Geometry, LayerFlags, LayerId, Limits, MountOptions, Object, Pool,
    Reader, crc32c, format::Superblock, reader_workspace_size, workspace_size,
};

const BLOCK: usize = 512;

/// A disk whose geometry is free, and which is told sectors that cannot be read.
#[derive(Clone)]
struct Disk {
    bytes: Vec<u8>,
    geometry: Geometry,
    unreadable: Vec<u64>,
}

impl BlockDevice for Disk {
    type Error = u64;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), u64> {
        assert!(self.lies_well(buffer));
        if self.unreadable.contains(&sector) {
            return Err(sector);
        }
        let at = usize::try_from(sector).unwrap() * BLOCK;
        buffer.copy_from_slice(&self.bytes[at..at + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), u64> {
        assert!(self.lies_well(buffer));
        let at = usize::try_from(sector).unwrap() * BLOCK;
        self.bytes[at..at + buffer.len()].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), u64> {
        Ok(())
    }
}

impl Disk {
    fn new(block_size: u32, alignment: u32) -> Self {
        let geometry = Geometry { alignment, ..Geometry::new(512, 2000) };
        let mut disk = Self { bytes: vec![0; 2000 * BLOCK], geometry, unreadable: Vec::new() };
        let options = FormatOptions { pending: 8, journal_units: 4, ..FormatOptions::new(block_size, [7; 16]) };
        Pool::format(&mut disk, &mut vec![0; 300_000], &options).unwrap();
        disk
    }

    fn lies_well(&self, buffer: &[u8]) -> bool {
        buffer.as_ptr().addr().is_multiple_of(self.geometry.alignment.max(1) as usize)
    }

    fn mount(&self, read_only: bool) -> Result<u64, Error<u64>> {
        let mut memory = vec![0; 300_000];
        let options = MountOptions { read_only, ..MountOptions::default() };
        let mounted = Pool::mount(self.clone(), &mut memory[1..], &options).map(|pool| pool.info().generation);
        if read_only {
            let small = Reader::mount(self.clone(), &mut memory[1..], crc32c);
            assert_eq!(small.map(drop), mounted.map(drop), "the small reader");
        }
        mounted
    }

    fn refused(&self) -> bool {
        self.mount(true).unwrap_err();
        matches!(self.mount(false), Err(Error::Corrupt { what: Object::Superblock, .. }))
    }

    /// Changes the superblock in all four slots; its checksum is right again.
    fn forge(&self, change: impl Fn(&mut Superblock)) -> Self {
        let mut disk = self.clone();
        for slot in 0..4u8 {
            let at = usize::from(slot) * BLOCK;
            let Some(mut superblock) = Superblock::decode(&disk.bytes[at..at + BLOCK], crc32c) else { continue };
            change(&mut superblock);
            superblock.encode(&mut disk.bytes[at..at + BLOCK], slot, crc32c);
        }
        disk
    }
}

#[test]
fn what_a_superblock_says_is_believed_up_to_the_last_possible_value() {
    let disk = Disk::new(512, 1);
    assert_eq!(disk.forge(|_| {}).mount(false), Ok(2));
    let possible: [fn(&mut Superblock); 12] = [
        |sb| sb.cursor = sb.total - 1,
        |sb| sb.catalog_height = 8,
        |sb| sb.max_height = 10,
        |sb| sb.free = sb.total,
        |sb| sb.guaranteed = sb.total,
        |sb| sb.reclaimable = sb.total,
        |sb| sb.layers = 2000,
        |sb| (sb.layers, sb.deleted, sb.staged) = (3, 3, 3),
        |sb| sb.version.1 += 1,
        |sb| sb.compatible = u32::MAX,
        |sb| sb.pending = 2,
        |sb| (sb.epoch, sb.next_layer) = (1, 1),
    ];
    for (number, change) in possible.into_iter().enumerate() {
        assert_eq!(disk.forge(change).mount(false), Ok(2), "change {number}");
    }
    let impossible: [fn(&mut Superblock); 24] = [
        |sb| sb.cursor = sb.total,
        |sb| sb.catalog_height = 9,
        |sb| sb.max_height = 11,
        |sb| sb.max_height = 0,
        |sb| sb.free = sb.total + 1,
        |sb| sb.guaranteed = sb.total + 1,
        |sb| sb.reclaimable = sb.total + 1,
        |sb| sb.layers = 2001,
        |sb| (sb.layers, sb.deleted) = (3, 4),
        |sb| (sb.layers, sb.staged) = (3, 4),
        |sb| sb.pending = 1,
        |sb| sb.pending = (1 << 20) + 1,
        |sb| sb.journal_units = 2,
        |sb| sb.journal_units = (1 << 20) + 1,
        |sb| sb.journal_units = 1 << 20,
        |sb| sb.journal_units = 4090,
        |sb| sb.epoch = 0,
        |sb| sb.next_layer = 0,
        |sb| sb.total = 0,
        |sb| sb.total = (1 << 48) + 1,
        |sb| sb.total = 20,
        |sb| sb.unit_shift = 10,
        |sb| sb.unit_shift = 8,
        |sb| sb.sector_shift = 10,
    ];
    for (number, change) in impossible.into_iter().enumerate() {
        assert!(disk.forge(change).refused(), "change {number}");
    }
    let larger = disk.forge(|sb| sb.total = 2001).mount(false);
    assert_eq!(larger, Err(Error::DeviceTooSmall { needed: 2001, actual: 2000 }));
    assert_eq!(disk.forge(|sb| sb.version.0 = 2).mount(true), Err(Error::UnsupportedVersion { major: 2, minor: 0 }));
}

#[test]
fn a_pool_of_other_sectors_is_refused() {
    let mut disk = Disk::new(4096, 1).forge(|sb| sb.sector_shift = 12);
    assert!(disk.refused(), "a unit is smaller than a sector");
    disk = Disk::new(4096, 1).forge(|sb| (sb.sector_shift, sb.unit_shift) = (12, 12));
    assert_eq!(disk.mount(false), Err(Error::WrongSectorSize { pool: 4096, device: 512 }));
    for sector_size in [0, 1, 256, 511, 513, 768, 65_537, 131_072] {
        disk.geometry.sector_size = sector_size;
        assert!(matches!(disk.mount(false), Err(Error::BadParameter(_))), "sectors of {sector_size}");
    }
}

#[test]
fn unknown_features_are_refused_where_they_matter() {
    let disk = Disk::new(512, 1);
    let writing = disk.forge(|sb| sb.read_only_compatible = 4);
    assert_eq!(writing.mount(false), Err(Error::UnsupportedFeatures { bits: 4 }));
    assert_eq!(writing.mount(true), Ok(2));
    let mut locked = writing.clone();
    locked.geometry.read_only = true;
    assert_eq!(locked.mount(false), Ok(2));
    let all = disk.forge(|sb| (sb.incompatible, sb.read_only_compatible) = (3, 6));
    assert_eq!(all.mount(false), Err(Error::UnsupportedFeatures { bits: 7 }));
    assert_eq!(all.mount(true), Err(Error::UnsupportedFeatures { bits: 3 }));
}

#[test]
fn the_newest_superblock_that_can_be_read_is_taken() {
    for block_size in [512, 1024, 4096, 65_536] {
        let at = |slot: usize| slot * block_size as usize;
        let mut disk =
            Disk { bytes: vec![0; 40_000 * BLOCK], geometry: Geometry::new(512, 40_000), unreadable: vec![] };
        let options = FormatOptions { pending: 8, journal_units: 4, ..FormatOptions::new(block_size, [7; 16]) };
        let mut memory = vec![0; 3_000_000];
        Pool::format(&mut disk, &mut memory, &options).unwrap();
        let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
        pool.create(&Attributes { name: "v", ..Attributes::default() }, 9, LayerFlags::empty()).unwrap();
        pool.checkpoint().unwrap();
        let last = pool.info().generation;
        let mut mount = |disk: &Disk| {
            Pool::mount(disk.clone(), &mut memory, &MountOptions::default()).map(|pool| pool.info().generation)
        };
        let newest = if last % 2 == 1 { [2, 3] } else { [0, 1] };
        assert_eq!(mount(&disk), Ok(last));
        for slot in newest {
            let mut one = disk.clone();
            one.bytes[at(slot) + 40] ^= 1;
            assert_eq!(mount(&one), Ok(last), "slot {slot} of {block_size}");
            one = disk.clone();
            one.unreadable.push((at(slot) / BLOCK) as u64);
            assert_eq!(mount(&one), Ok(last), "slot {slot} of {block_size}");
        }
        let mut older = disk.clone();
        for slot in newest {
            older.bytes[at(slot) + 40] ^= 1;
        }
        assert_eq!(mount(&older), Ok(last - 1));
        (0..4).for_each(|slot| older.bytes[at(slot) + 40] |= 0xf0);
        assert_eq!(mount(&older), Err(Error::Corrupt { what: Object::Superblock, block: 0 }));
        (0..4).for_each(|slot| older.bytes[at(slot)] = 0);
        assert_eq!(mount(&older), Err(Error::NotAPool));
        older.unreadable.push(0);
        assert_eq!(mount(&older), Err(Error::Device(0)));
    }
}

#[test]
fn a_device_gets_buffers_that_lie_as_it_wants() {
    for alignment in [1, 2, 64, 512] {
        let mut disk = Disk::new(512, alignment);
        let mut memory = vec![0; 30_000];
        let mut pool = Pool::mount(&mut disk, &mut memory[1..], &MountOptions::default()).unwrap();
        pool.create(&Attributes { name: "v", ..Attributes::default() }, 50, LayerFlags::empty()).unwrap();
        let mut bytes = vec![0; 9 * BLOCK + 1];
        pool.write(LayerId(1), 3, &bytes[1..]).unwrap();
        pool.read(LayerId(1), 2, &mut bytes[1..]).unwrap();
        pool.flush().unwrap();
    }
    let mut disk = Disk::new(512, 1);
    for alignment in [3, 24, 1024] {
        disk.geometry.alignment = alignment;
        assert!(matches!(disk.mount(false), Err(Error::BadParameter(_))), "{alignment}");
    }
    disk.geometry.alignment = 0;
    assert_eq!(disk.mount(false), Ok(2), "none is none");
}

/// Firmware sets this memory aside when it is built.
#[test]
fn a_workspace_is_as_large_as_its_limits_say() {
    let of = |block_size, pool_blocks, volume_blocks, layers, pending| {
        workspace_size(block_size, Limits { pool_blocks, volume_blocks, layers, pending })
    };
    // A superblock's fields, its spares once more, four layers, eight free extents; scratch, a slot for each level and two more, forty
    // bytes for each pending record.
    let fixed = 368 + 144 + 4 * 48 + 8 * 16;
    let expected =
        |block_size: usize, slots: usize, pending: usize| fixed + block_size + slots * (block_size + 36) + pending * 40;
    assert_eq!(of(512, 4096, 1, 0, 2), expected(512, 1 + 1 + 2 + 2, 2));
    assert_eq!(of(512, 4096, 32, 15, 2), expected(512, 1 + 1 + 3 + 2, 2));
    assert_eq!(of(512, 4096, 33, 14, 2), expected(512, 2 + 1 + 2 + 2, 2));
    assert_eq!(of(512, 4097, 1024, 500, 12), expected(512, 2 + 2 + 3 + 2, 12));
    assert_eq!(of(512, 1 << 30, 1 << 48, 1 << 20, 12), expected(512, 10 + 5 + 6 + 2, 12));
    assert_eq!(of(512, u64::MAX, u64::MAX, 1, 12), expected(512, 12 + 12 + 2 + 2, 12));
    assert_eq!(of(4096, 32_768, 256, 1023, 192), expected(4096, 1 + 1 + 3 + 2, 192));
    assert_eq!(of(4096, 32_769, 257, 1022, 192), expected(4096, 2 + 2 + 2 + 2, 192));
    assert_eq!(of(65_536, 1 << 30, 4097, 10_000, 9), expected(65_536, 2 + 2 + 2 + 2, 9));
}

#[test]
fn a_small_reader_needs_its_workspace_and_not_a_byte_more() {
    for (block_size, expected) in
        [(0, 0), (256, 0), (511, 0), (512, 1024), (513, 0), (600, 0), (4096, 8192), (65_536, 131_072), (131_072, 0)]
    {
        let fixed = if expected == 0 { 0 } else { 368 + 8 * 32 };
        assert_eq!(reader_workspace_size(block_size, 8), expected + fixed, "blocks of {block_size}");
    }
    for (block_size, alignment) in [(512, 1), (512, 64), (4096, 1), (4096, 512)] {
        let disk = Disk::new(block_size, alignment);
        let needed = reader_workspace_size(block_size, 8);
        let mut memory = vec![0; needed + 2 * alignment as usize];
        // As far from where the device wants its buffers as it gets.
        let skip = memory.as_ptr().align_offset(alignment as usize) + usize::from(alignment > 1);
        let worst = needed + alignment as usize - 1;
        for size in [0, 367, 368, 880, needed - 1, worst - 1] {
            let told = Reader::mount(disk.clone(), &mut memory[skip..skip + size], crc32c).map(drop);
            let Err(Error::WorkspaceTooSmall { needed: told }) = told else { panic!("{size}: {told:?}") };
            assert!(told > size && told <= worst, "{told} for {size} of {worst}");
        }
        let mut reader = Reader::mount(disk.clone(), &mut memory[skip..skip + worst], crc32c).unwrap();
        assert!(reader.find("nobody").unwrap().is_none());
        assert_eq!(reader.into_device().geometry, disk.geometry);
    }
}
