//! Every limit at its value and one beyond: parameters, sizes, names, memory, budgets, and what errors say.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]

use std::convert::Infallible;

use cowl::{
    Attributes, BlockDevice, Error, FormatOptions, Geometry, LayerFlags, LayerId, MountOptions, Object, Pool, RamDisk,
};
use embedded_io::{Error as _, ErrorKind};

const BLOCK: u64 = 512;
/// Records of the pending table and units of the journal, at most.
const MILLION: u32 = 1 << 20;
/// Blocks of a volume, at most.
const MOST: u64 = 1 << 48;

fn named(name: &str) -> Attributes<'_> {
    Attributes { name, ..Attributes::default() }
}

/// A disk of any geometry at all.
#[derive(Clone)]
struct Disk {
    bytes: Vec<u8>,
    geometry: Geometry,
}

impl Disk {
    fn new(sector_size: u32, physical_size: u32, sectors: u64) -> Self {
        let geometry = Geometry { physical_size, ..Geometry::new(sector_size, sectors) };
        Self { bytes: vec![0; usize::try_from(sectors * u64::from(sector_size)).unwrap()], geometry }
    }

    fn at(&self, sector: u64, length: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(sector).unwrap() * self.geometry.sector_size as usize;
        start..start + length
    }
}

impl BlockDevice for Disk {
    type Error = Infallible;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), Infallible> {
        buffer.copy_from_slice(&self.bytes[self.at(sector, buffer.len())]);
        Ok(())
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> Result<(), Infallible> {
        let range = self.at(sector, buffer.len());
        self.bytes[range].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn format(disk: &mut Disk, options: &FormatOptions) -> Result<(), Error<Infallible>> {
    Pool::format(disk, &mut vec![0; 1 << 20], options)
}

fn options(block_size: u32) -> FormatOptions {
    FormatOptions { pending: 2, journal_units: 3, ..FormatOptions::new(block_size, [7; 16]) }
}

/// What is wrong with a format, in words; none if nothing is.
fn wrong(result: Result<(), Error<Infallible>>) -> Option<&'static str> {
    match result {
        Ok(()) => None,
        Err(Error::BadParameter(what)) => Some(what),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn each_parameter_of_a_format_has_its_limits() {
    let mut disk = Disk::new(512, 512, 40_000);
    for block_size in [256, 768, 131_072] {
        assert!(wrong(format(&mut disk, &options(block_size))).is_some_and(|what| what.contains("block size")));
    }
    for (sector_size, physical_size) in [(384, 512), (256, 512), (512, 3000), (512, 8192)] {
        let mut odd = Disk::new(sector_size, physical_size, 2000);
        assert!(wrong(format(&mut odd, &options(4096))).is_some(), "{sector_size}, {physical_size}");
    }
    assert_eq!(wrong(format(&mut Disk::new(512, 4096, 8000), &options(4096))), None);
    for (pending, journal_units, refused) in [(2, 3, false), (1, 3, true), (2, 2, true), (MILLION + 1, 3, true)] {
        let what = wrong(format(&mut disk, &FormatOptions { pending, journal_units, ..options(512) }));
        assert_eq!(what.is_some_and(|what| what.starts_with("at least 2")), refused, "{pending}, {journal_units}");
    }
    for (journal_units, said) in [(MILLION, "the journal does not fit"), (MILLION + 1, "at least 2")] {
        let what = wrong(format(&mut disk, &FormatOptions { journal_units, ..options(512) }));
        assert!(what.is_some_and(|what| what.starts_with(said)), "{what:?}");
    }
    let most = FormatOptions { pending: MILLION, ..options(512) };
    assert!(matches!(format(&mut disk, &most), Err(Error::DeviceTooSmall { .. })));
}

#[test]
fn a_device_is_too_small_by_one_block_and_is_told_so_exactly() {
    for (block_size, pending, needed) in [(512, 2, 111), (512, 12, 141), (1024, 2, 212), (4096, 5, 896)] {
        let options = FormatOptions { pending, ..options(block_size) };
        let found = match format(&mut Disk::new(512, 512, 8), &options) {
            Err(Error::DeviceTooSmall { needed, actual: 8 }) => needed,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, needed, "{block_size}, {pending}");
        assert_eq!(wrong(format(&mut Disk::new(512, 512, needed), &options)), None);
        let less = format(&mut Disk::new(512, 512, needed - 1), &options);
        assert_eq!(less.err(), Some(Error::DeviceTooSmall { needed, actual: needed - 1 }));
    }
}

/// The least workspace of a pool of one group of blocks, of three, and of so many that the space map has another level; and what of it is
/// left to hold blocks.
#[test]
fn the_least_workspace_is_exact_and_enough() {
    for (blocks, least, cache) in [(300, 4712, 3072), (4096 * 2 + 100, 5260, 3584), (4096 * 33 + 50, 5808, 4096)] {
        let mut disk = Disk::new(512, 512, blocks);
        format(&mut disk, &options(512)).unwrap();
        let (mut memory, mut found) = (vec![0; 1 << 16], 0);
        while let Err(error) = Pool::mount(disk.clone(), &mut memory[..found], &MountOptions::default()) {
            let Error::WorkspaceTooSmall { needed } = error else { panic!("{error:?}") };
            assert!(needed > found, "{needed} bytes are too few");
            found = needed;
        }
        let mut pool = Pool::mount(disk, &mut memory[..found], &MountOptions::default()).unwrap();
        assert_eq!((found, pool.cache_size()), (least, cache), "{blocks} blocks");
        let volume = pool.create(&named("v"), 30, LayerFlags::empty()).unwrap();
        (0..30).for_each(|sector| pool.write(volume, sector, &[1; 512]).unwrap());
        let snapshot = pool.snapshot(volume, &named("s")).unwrap();
        (0..30).for_each(|sector| pool.write(volume, sector, &[2; 512]).unwrap());
        pool.delete(snapshot).unwrap();
        pool.merge_all(2000).unwrap();
        assert_eq!(pool.check(&mut [0; 1024], true, &mut |finding| panic!("{finding:?}")).unwrap().findings, 0);
    }
}

#[test]
fn volumes_attachments_and_descriptions_end_where_they_must() {
    let (mut bytes, mut memory) = (vec![0; 600 * 512], vec![0; 100_000]);
    let mut disk = RamDisk::new(&mut bytes);
    Pool::format(&mut disk, &mut memory, &options(512)).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
    let bad = |result: Result<(), Error<_>>| matches!(result, Err(Error::BadParameter(_)));
    let volume = pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
    for (sectors, refused) in [(0, true), (MOST, false), (MOST + 1, true), (u64::MAX, true)] {
        let created = pool.create(&named("w"), sectors, LayerFlags::empty());
        if let Ok(created) = created {
            pool.delete(created).unwrap();
        }
        assert_eq!(bad(created.map(drop)), refused, "a volume of {sectors}");
        assert_eq!(bad(pool.resize(volume, sectors)), refused, "a volume becomes one of {sectors}");
        pool.resize(volume, 10).unwrap();
    }
    for (length, refused) in [(0, false), (MOST * BLOCK, false), (MOST * BLOCK + 1, true), (u64::MAX, true)] {
        let staged = pool.stage_attachment(&named("a"), length);
        if let Ok(staged) = staged {
            pool.delete(staged).unwrap();
        }
        assert_eq!(bad(staged.map(drop)), refused, "an attachment of {length}");
    }
    let long = "d".repeat(768);
    pool.describe(volume, &long[..767]).unwrap();
    assert_eq!(pool.describe(volume, &long), Err(Error::BadName));
    let described = |description| Attributes { name: "x", description, ..Attributes::default() };
    assert_eq!(pool.create(&described(&long), 10, LayerFlags::empty()), Err(Error::BadName));
    pool.create(&described(&long[..767]), 10, LayerFlags::empty()).unwrap();
    assert_eq!(
        pool.create(&named("y"), 10, LayerFlags::DELETED),
        Err(Error::BadParameter("a volume can be guaranteed and have integrity, nothing else"))
    );
}

#[test]
fn an_attachment_is_taken_out_of_the_middle_of_a_list_and_from_its_ends() {
    for taken in 0..3 {
        let (mut bytes, mut memory) = (vec![0; 600 * 512], vec![0; 100_000]);
        let mut disk = RamDisk::new(&mut bytes);
        Pool::format(&mut disk, &mut memory, &options(512)).unwrap();
        let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
        let volume = pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
        let mut attached = ["a", "b", "c"].map(|name| {
            let staged = pool.stage_attachment(&named(name), 100).unwrap();
            pool.attach(volume, staged).unwrap();
            staged
        });
        // The latest is the first.
        attached.reverse();
        pool.delete(attached[taken]).unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        while let Some(next) = pool.next_attachment(volume, after).unwrap() {
            found.push(next.id);
            after = Some(next.id);
        }
        let left: Vec<LayerId> = attached.iter().copied().filter(|id| *id != attached[taken]).collect();
        assert_eq!(found, left);
        pool.merge_all(2000).unwrap();
        let checked = pool.check(&mut [0; 1024], true, &mut |finding| panic!("{finding:?}")).unwrap();
        assert_eq!(checked.findings, 0);
    }
}

/// The least budget of a merge step, for maps of one level to three.
#[test]
fn the_least_budget_of_a_merge_is_exact_and_enough() {
    for (sectors, least) in [(30, 57), (1000, 64), (30_000, 71)] {
        let (mut bytes, mut memory) = (vec![0; 3000 * 512], vec![0; 100_000]);
        let mut disk = RamDisk::new(&mut bytes);
        Pool::format(&mut disk, &mut memory, &options(512)).unwrap();
        let mut pool = Pool::mount(&mut disk, &mut memory, &MountOptions::default()).unwrap();
        let volume = pool.create(&named("v"), sectors, LayerFlags::empty()).unwrap();
        (0..sectors).step_by(11).take(60).for_each(|sector| pool.write(volume, sector, &[1; 512]).unwrap());
        let snapshot = pool.snapshot(volume, &named("s")).unwrap();
        (0..sectors).step_by(7).take(60).for_each(|sector| pool.write(volume, sector, &[2; 512]).unwrap());
        pool.delete(snapshot).unwrap();
        let Err(Error::BudgetTooSmall { needed }) = pool.merge_step(1) else { panic!("one operation is enough") };
        assert_eq!(needed, least, "{sectors} sectors");
        assert_eq!(pool.merge_step(needed - 1), Err(Error::BudgetTooSmall { needed }));
        pool.merge_all(needed).unwrap();
    }
}

#[test]
fn every_error_says_what_was_wrong_and_where() {
    type E = Error<&'static str>;
    let id = LayerId(7);
    let table: &[(E, &[&str], ErrorKind)] = &[
        (Error::Device("worn out"), &["worn out"], ErrorKind::Other),
        (Error::Poisoned, &["mount"], ErrorKind::Other),
        (Error::ReadOnly, &["read-only"], ErrorKind::PermissionDenied),
        (Error::NotAPool, &["no pool"], ErrorKind::NotFound),
        (Error::HoldsPool, &["already"], ErrorKind::AlreadyExists),
        (Error::UnsupportedVersion { major: 3, minor: 14 }, &["3.14"], ErrorKind::Unsupported),
        (Error::UnsupportedFeatures { bits: 0x51 }, &["0x51"], ErrorKind::Unsupported),
        (Error::Corrupt { what: Object::Superblock, block: 42 }, &["Superblock", "42"], ErrorKind::InvalidData),
        (Error::WorkspaceTooSmall { needed: 4711 }, &["4711"], ErrorKind::Other),
        (Error::DeviceTooSmall { needed: 100, actual: 99 }, &["100", "99"], ErrorKind::Other),
        (Error::WrongSectorSize { pool: 512, device: 4096 }, &["512", "4096"], ErrorKind::InvalidInput),
        (Error::BadParameter("that one"), &["that one"], ErrorKind::InvalidInput),
        (Error::WrongBase, &["base"], ErrorKind::Other),
        (Error::NoSpace { missing: 12 }, &["12"], ErrorKind::OutOfMemory),
        (Error::OutOfRange { sectors: 33 }, &["33"], ErrorKind::InvalidInput),
        (Error::Busy { transfers: 2 }, &["2"], ErrorKind::Other),
        (Error::NoSuchLayer(id), &["7"], ErrorKind::NotFound),
        (Error::WrongKind(id), &["7"], ErrorKind::Other),
        (Error::NameTaken(id), &["7", "name"], ErrorKind::AlreadyExists),
        (Error::BadName, &["63", "767"], ErrorKind::InvalidInput),
        (Error::Exhausted, &["used up"], ErrorKind::Other),
        (Error::BudgetTooSmall { needed: 88 }, &["88"], ErrorKind::Other),
    ];
    for (error, words, kind) in table {
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(error.kind(), *kind, "{said}");
    }
}
