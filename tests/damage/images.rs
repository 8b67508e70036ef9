//! The reference images: pools of 512-byte blocks that histories have brought into ten different states.

use cowl::{Attributes, Error, FormatOptions, LayerFlags, LayerId, Merge, MountOptions, Pool, RamDisk};
use cowl_tests::{contents::Contents, named};

/// Units of the journal, each a block.
pub const JOURNAL_UNITS: u64 = 4;

/// A pool's image and what it shows.
pub struct Image {
    /// The device.
    pub bytes: Vec<u8>,
    /// The base device, or nothing.
    pub base: Vec<u8>,
    /// What is shown.
    pub now: Contents,
    /// What would be shown without the last group of the journal, if there is one.
    pub before: Option<Contents>,
}

/// A pool on a disk in memory, perhaps on a base.
pub type Disk<'a> = RamDisk<'a>;
type Building<'w, 'a> = Pool<'w, &'w mut Disk<'a>, &'w mut Disk<'a>>;

/// How a pool is mounted.
pub fn options(read_only: bool) -> MountOptions {
    MountOptions { read_only, checksum: cowl_host::crc32c }
}

/// Makes an image. What the history returns is what it showed before its last group of the journal.
fn image(blocks: usize, base: Vec<u8>, history: impl FnOnce(&mut Building<'_, '_>) -> Option<Contents>) -> Image {
    let (mut bytes, mut base_bytes) = (vec![0; blocks * 512], base.clone());
    let mut workspace = vec![0; 1 << 16];
    let (now, before) = {
        let (mut disk, mut base) = (RamDisk::new(&mut bytes), RamDisk::new(&mut base_bytes));
        let format = FormatOptions {
            pending: 4,
            journal_units: JOURNAL_UNITS as u32,
            checksum: cowl_host::crc32c,
            ..FormatOptions::new(512, [9; 16])
        };
        Pool::format_on_base(&mut disk, &mut base, &mut workspace, &format).expect("format");
        let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut workspace, &options(false)).expect("mount");
        let before = history(&mut pool);
        (Contents::of(&mut pool).expect("read"), before)
    };
    Image { bytes, base, now, before }
}

fn write(pool: &mut Building<'_, '_>, id: LayerId, sectors: impl IntoIterator<Item = u64>, tag: u8) {
    for sector in sectors {
        pool.write(id, sector, &[tag ^ sector as u8; 512]).expect("write");
    }
}

fn described(name: &str) -> Attributes<'_> {
    Attributes { name, description: "one line of text, and another one", time: 77, uuid: [3; 16] }
}

/// A volume over two snapshots, each with something of its own; its map has two levels.
fn chain(pool: &mut Building<'_, '_>, flags: LayerFlags) -> (LayerId, Vec<LayerId>) {
    let volume = pool.create(&described("v"), 36, flags).expect("create");
    let mut snapshots = Vec::new();
    for (i, name) in ["s1", "s2"].iter().enumerate() {
        write(pool, volume, (0..36).skip(i * 3).step_by(6 - i), 0x10 * (i as u8 + 1));
        pool.discard(volume, 30 + i as u64, 2).expect("discard");
        snapshots.push(pool.snapshot(volume, &described(name)).expect("snapshot"));
    }
    write(pool, volume, [8, 9, 33], 0x70);
    (volume, snapshots)
}

pub fn a_chain() -> Image {
    image(400, Vec::new(), |pool| {
        chain(pool, LayerFlags::empty());
        pool.checkpoint().expect("checkpoint");
        None
    })
}

pub fn a_merge_half_done() -> Image {
    image(400, Vec::new(), |pool| {
        let (_, snapshots) = chain(pool, LayerFlags::empty());
        pool.delete(snapshots[1]).expect("delete");
        let Err(Error::BudgetTooSmall { needed }) = pool.merge_step(1) else { panic!("a budget of one") };
        assert!(matches!(pool.merge_step(needed), Ok(Merge::Progress { .. })));
        assert!(pool.info().merging.is_some_and(|(_, front)| front > 0), "{:?}", pool.info());
        None
    })
}

pub fn a_deleted_branching_point() -> Image {
    image(400, Vec::new(), |pool| {
        let (volume, snapshots) = chain(pool, LayerFlags::empty());
        let clone = pool.clone_snapshot(snapshots[1], &named("c"), false).expect("clone");
        write(pool, clone, [2, 6, 7], 0xa0);
        write(pool, volume, [0, 6, 12], 0xb0);
        pool.delete(snapshots[1]).expect("delete");
        pool.merge_all(1000).expect("merge");
        assert_eq!(pool.info().deleted, 1, "it stays as a branching point");
        None
    })
}

pub fn attachments() -> Image {
    image(400, Vec::new(), |pool| {
        let (volume, snapshots) = chain(pool, LayerFlags::empty());
        for (owner, name) in [(volume, "a"), (volume, "b"), (snapshots[0], "a")] {
            let staged = pool.stage_attachment(&named(name), 700).expect("stage");
            write(pool, staged, 0..2, name.as_bytes()[0]);
            pool.attach(owner, staged).expect("attach");
        }
        pool.describe(snapshots[1], &"long ".repeat(140)).expect("describe");
        None
    })
}

pub fn integrity() -> Image {
    image(400, Vec::new(), |pool| {
        chain(pool, LayerFlags::INTEGRITY);
        pool.checkpoint().expect("checkpoint");
        None
    })
}

pub fn guaranteed() -> Image {
    image(500, Vec::new(), |pool| {
        chain(pool, LayerFlags::GUARANTEED);
        pool.checkpoint().expect("checkpoint");
        None
    })
}

pub fn a_dirty_journal() -> Image {
    image(400, Vec::new(), |pool| {
        let (volume, _) = chain(pool, LayerFlags::INTEGRITY);
        pool.checkpoint().expect("checkpoint");
        let groups = pool.stats().groups;
        write(pool, volume, 20..21, 0xc0);
        pool.flush().expect("flush");
        write(pool, volume, 21..22, 0xd0);
        pool.flush().expect("flush");
        let before = Contents::of(pool).expect("read");
        write(pool, volume, 20..21, 0xe0);
        write(pool, volume, 34..35, 0xe0);
        pool.flush().expect("flush");
        assert_eq!(pool.stats().groups - groups, 3);
        Some(before)
    })
}

pub fn a_base_device() -> Image {
    let base: Vec<u8> = (0..60 * 512u32).map(|i| (i / 512) as u8 ^ 0x80).collect();
    image(400, base, |pool| {
        chain(pool, LayerFlags::empty());
        pool.checkpoint().expect("checkpoint");
        None
    })
}

pub fn a_full_pool() -> Image {
    image(220, Vec::new(), |pool| {
        let (volume, _) = chain(pool, LayerFlags::empty());
        let more = pool.create(&named("more"), 120, LayerFlags::empty()).expect("create");
        let mut sector = 0;
        let refused = loop {
            match pool.write(more, sector, &[sector as u8; 512]) {
                Ok(()) => sector += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::NoSpace { .. }) && sector > 3, "{refused:?} at {sector}");
        write(pool, volume, 8..9, 0x71);
        pool.checkpoint().expect("checkpoint");
        None
    })
}

pub fn several_levels() -> Image {
    image(5000, Vec::new(), |pool| {
        let volume = pool.create(&described("v"), 1000, LayerFlags::empty()).expect("create");
        write(pool, volume, (0..1000).step_by(333), 1);
        pool.snapshot(volume, &named("s")).expect("snapshot");
        let large = pool.create(&described("large"), 2000, LayerFlags::empty()).expect("create");
        write(pool, large, [0, 31, 32, 1025, 1999], 2);
        for name in ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10"] {
            pool.create(&named(name), 1, LayerFlags::empty()).expect("create");
        }
        assert!(pool.info().heights.0 >= 3 && pool.info().heights.1 >= 1 && pool.info().heights.2 >= 1);
        None
    })
}
