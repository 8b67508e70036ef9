//! A pool as the first version wrote it, opened by every later one.
//!
//! The image holds every kind of object: superblocks, a journal with a proven and an unproven unit, maps of two levels,
//! catalog, space map, a volume with integrity, snapshots, an attachment, a deleted branching point, a merge half done.

#![allow(clippy::cast_possible_truncation)]

use std::{fs, io::Write, path::PathBuf};

use cowl::{BlockDevice, Error, FormatOptions, LayerFlags, MountOptions, Pool, RamDisk, SnapshotOf, crc32c};
use cowl_tests::named;

const BYTES: usize = 300 * 512;
/// CRC-32C of the image; it changes only with the format's major version.
const SUM: u32 = include!("golden/pool-1.0.crc");

fn build() -> Vec<u8> {
    let mut image = vec![0; BYTES];
    let mut workspace = vec![0; 1 << 16];
    let options = FormatOptions { pending: 6, journal_units: 3, ..FormatOptions::new(512, [0x5a; 16]) };
    Pool::format(RamDisk::new(&mut image), &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(RamDisk::new(&mut image), &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("volume"), 40, LayerFlags::INTEGRITY).unwrap();
    for sector in 0..40 {
        pool.write(volume, sector, &[sector as u8; 512]).unwrap();
    }
    let memory = pool.stage_attachment(&named("memory"), 700).unwrap();
    pool.write(memory, 0, &[0x11; 512]).unwrap();
    let first = SnapshotOf { volume, attributes: named("first"), attachments: &[memory] };
    let first = pool.snapshot_all(&[first]).unwrap();
    pool.describe(first, "the first\nof two").unwrap();
    pool.clone_snapshot(first, &named("clone"), false).unwrap();
    pool.write(volume, 3, &[0x33; 512]).unwrap();
    let second = pool.snapshot(volume, &named("second")).unwrap();
    for sector in 0..20 {
        pool.write(volume, sector, &[0x44; 512]).unwrap();
    }
    pool.snapshot(volume, &named("third")).unwrap();
    pool.delete(second).unwrap();
    let Err(Error::BudgetTooSmall { needed }) = pool.merge_step(1) else { panic!("too little") };
    pool.merge_step(needed).unwrap();
    pool.write(volume, 30, &[0x55; 512]).unwrap();
    pool.flush().unwrap();
    pool.discard(volume, 31, 1).unwrap();
    pool.flush().unwrap();
    image
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/pool-1.0.img")
}

/// A literal as clippy wants it.
fn separated(sum: u32) -> String {
    format!("0x{:04x}_{:04x}\n", sum >> 16, sum & 0xffff)
}

#[test]
fn the_image_of_the_first_version_is_what_this_version_writes() {
    let image = build();
    if std::env::var_os("COWL_WRITE_GOLDEN").is_some() {
        fs::File::create(path()).unwrap().write_all(&image).unwrap();
        fs::write(path().with_extension("crc"), separated(crc32c(0, &image))).unwrap();
        return;
    }
    assert!(fs::read(path()).unwrap() == image, "the same operations give other bytes: is that meant?");
}

#[test]
fn the_image_of_the_first_version_opens_and_holds_what_it_held() {
    let mut image = fs::read(path()).unwrap();
    assert_eq!(crc32c(0, &image), SUM, "the image itself must never change");
    let mut workspace = vec![0; 1 << 16];
    let mut pool = Pool::mount(RamDisk::new(&mut image), &mut workspace, &MountOptions::default()).unwrap();
    let mut names: Vec<String> = pool.layers().map(|info| info.unwrap().name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["clone", "first", "third", "volume"]);
    assert!(pool.info().merging.is_some());
    let expected = |name: &str, sector: u64| match (name, sector) {
        ("volume", 30) => 0x55,
        ("volume", 31) => 0,
        ("volume" | "third", 0..20) => 0x44,
        _ => sector as u8,
    };
    for round in 0..2 {
        for name in ["clone", "first", "third", "volume"] {
            let id = pool.find(name).unwrap().unwrap().id;
            for sector in 0..40 {
                let mut read = [0; 512];
                pool.read(id, sector, &mut read).unwrap();
                assert_eq!(read, [expected(name, sector); 512], "{name} {sector} round {round}");
            }
        }
        let first = pool.find("first").unwrap().unwrap().id;
        let mut text = [0; 64];
        let length = pool.description(first, &mut text).unwrap();
        assert_eq!(&text[..length], b"the first\nof two");
        let memory = pool.next_attachment(first, None).unwrap().unwrap();
        assert_eq!((memory.name.as_str(), memory.length), ("memory", 700));
        // Once more with the merge finished.
        let Err(Error::BudgetTooSmall { needed }) = pool.merge_step(1) else { continue };
        pool.merge_all(needed + 500).unwrap();
        let mut findings = Vec::new();
        pool.check(&mut [0; 4096], true, &mut |finding| findings.push(*finding)).unwrap();
        assert_eq!(findings, []);
    }
    assert_eq!(pool.device().geometry().sectors, 300);
}
